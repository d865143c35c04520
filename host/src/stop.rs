//! The end of a host, in the order that loses no call.
//!
//! Say that we go → let others take over → take in and finish what arrives → finish what is in flight → say that we
//! are gone. Each wait has a bound, and a second signal cuts all of them short.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lath_control_api::{HostId, HostState, Subjects};
use lath_control_api_client::{Connection, ControlClient};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ingress::Ingress;
use crate::provider::Providers;
use crate::status::Snapshot;
use crate::supervisor::{Order, SupervisorHandle};
use crate::{ENDING, FLUSH};

/// Longest wait for a manager to say which hosts there are.
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// Time that providers have to end in any case, and at most.
const PROVIDERS_LEAST: Duration = Duration::from_secs(1);
const PROVIDERS_MOST: Duration = Duration::from_secs(10);
/// Pause between two looks at who could take over.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Cancels `stop` at the first SIGINT or SIGTERM, and `stop_at_once` at the second.
///
/// # Errors
/// When signals cannot be caught.
pub(crate) fn listen(
    stop: CancellationToken,
    stop_at_once: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    Ok(async move {
        for token in [stop, stop_at_once] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            token.cancel();
        }
    })
}

/// Ends each part on its own.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) control: CancellationToken,
    pub(crate) reporter: CancellationToken,
    pub(crate) server: CancellationToken,
    pub(crate) supervisor: CancellationToken,
}

/// Stops the parts of a host.
#[derive(Debug)]
pub(crate) struct Stopper {
    pub(crate) host: HostId,
    pub(crate) handover: Duration,
    pub(crate) drain: Duration,
    pub(crate) connection: Connection,
    pub(crate) subjects: Subjects,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) supervisor: SupervisorHandle,
    pub(crate) ingress: Ingress,
    pub(crate) providers: Providers,
    pub(crate) ends: Ends,
}

impl Stopper {
    pub(crate) async fn stop(
        self,
        mut server: JoinHandle<()>,
        tasks: TaskTracker,
        at_once: CancellationToken,
    ) {
        tracing::info!("stopping; a second signal ends everything at once");
        self.supervisor.send(Order::Stopping).await;
        self.announced().await;
        let orderly = async {
            self.hand_over().await;
            self.supervisor.send(Order::Freeze).await;
            self.finish(&mut server).await;
        };
        tokio::select! {
            () = orderly => {}
            () = at_once.cancelled() => {
                tracing::warn!("stopping at once; calls in flight get an error");
                self.abort_all();
                self.providers.stop(std::time::Instant::now()).await;
            }
        }
        self.ends.server.cancel();
        self.ends.control.cancel();
        self.ends.supervisor.cancel();
        // Says that the host is gone, after everything that it could have to say before.
        self.ends.reporter.cancel();
        if timeout(ENDING, tasks.wait()).await.is_err() {
            tracing::warn!("not every task has ended in time");
        }
        server.abort();
        if self.connection.is_up() {
            let _too_late_to_matter = timeout(FLUSH, self.connection.nats().flush()).await;
        }
        tracing::info!("stopped");
    }

    /// Waits until readers can see that the host is going.
    async fn announced(&self) {
        let mut snapshots = self.snapshots.clone();
        let seen = snapshots.wait_for(|snapshot| snapshot.state == HostState::Stopping);
        if timeout(ENDING, seen).await.is_err() {
            tracing::warn!("the supervisor is late");
        }
    }

    /// Goes on serving while another host can take over what serves here, until it has.
    async fn hand_over(&self) {
        let deadline = Instant::now() + self.handover;
        let mut snapshots = self.snapshots.clone();
        while snapshots.borrow_and_update().serves() && Instant::now() < deadline {
            if !self.others_can_take_over().await {
                return;
            }
            let look = (Instant::now() + LOOK_EVERY).min(deadline);
            let handed_over = snapshots.wait_for(|snapshot| !snapshot.serves());
            let _looks_again = timeout_at(look, handed_over).await;
        }
    }

    async fn others_can_take_over(&self) -> bool {
        if !self.connection.is_up() {
            return false;
        }
        let client = ControlClient::new(self.connection.clone(), self.subjects.lattice().clone());
        // Without a manager there is nobody who would move anything.
        let Ok(Ok(list)) = timeout(ASK_WITHIN, client.hosts()).await else { return false };
        list.hosts.iter().any(|known| {
            let other = known.summary.host != self.host && known.summary.state == HostState::Ready;
            other && !known.lost
        })
    }

    /// Takes nothing new, finishes everything that was taken; at the deadline the rest gets an error.
    async fn finish(&self, server: &mut JoinHandle<()>) {
        let deadline = Instant::now() + self.drain;
        self.ends.server.cancel();
        let drained = async {
            let (_, _served) = tokio::join!(self.ingress.stop(), &mut *server);
            let snapshot = Arc::clone(&self.snapshots.borrow());
            for unit in snapshot.units() {
                unit.idle().await;
            }
        };
        if timeout_at(deadline, drained).await.is_err() {
            tracing::warn!("the drain deadline has passed; calls in flight get an error");
            self.abort_all();
            let _answers_out = timeout(Duration::from_secs(1), self.ingress.stop()).await;
        }
        // After everything that may call them. Their own end has its part of the time, and a little when there is none left.
        let until = deadline.max(Instant::now() + PROVIDERS_LEAST).min(Instant::now() + PROVIDERS_MOST);
        self.providers.stop(until.into_std()).await;
    }

    fn abort_all(&self) {
        for unit in self.snapshots.borrow().units() {
            unit.abort();
        }
    }
}
