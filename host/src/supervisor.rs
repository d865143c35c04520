//! The one task that owns what the host has decided, and carries it out.
//!
//! Commands and news come in as messages, snapshots and routes go out. It waits for the disk when a command has
//! to be on it before its answer, and for nothing else: whatever takes time is a task that sends news.

mod carry;
mod derived;
mod health;
mod show;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lath_control_api::{ApiError, AppName, ApplyReply, ApplyRequest, ErrorCode, LatticeId};
use lath_host_core::{Core, News, Ticket, Transition, UnitKey};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::engine::PrepareError;
use crate::ingress::Ingress;
use crate::journal::Journal;
use crate::prepare::{Preparer, Product};
use crate::provider::Providers;
use crate::routes::Router;
use crate::settings::{Change, Settings};
use crate::slots::Slots;
use crate::status::{Snapshot, now};
use crate::wrpc_serve::ServingHandle;
use derived::Derived;

/// Messages that may wait for the supervisor. Senders wait when it is full.
const WAITING: usize = 1_024;
/// Messages taken in one go before readers get a new snapshot, so that a burst costs one of them.
const BURST: usize = 1_024;
/// Longest sleep, so that a machine that was suspended is not late for long.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What the supervisor is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// A command of a manager.
    Apply(Box<ApplyRequest>, oneshot::Sender<Result<ApplyReply, ApiError>>),
    /// How the work for a unit goes.
    News(UnitKey, Ticket, News),
    /// A preparation has ended.
    Prepared(UnitKey, Ticket, Result<Product, PrepareError>),
    /// A change of the host itself. The answer: whether it was so before.
    Change(Change, oneshot::Sender<Result<bool, ApiError>>),
    /// The host is going: say so, and go on.
    Stopping,
    /// Nothing is decided any more from here on.
    Freeze,
}

/// The way to the supervisor.
#[derive(Debug, Clone)]
pub(crate) struct SupervisorHandle {
    orders: mpsc::Sender<Order>,
}

impl SupervisorHandle {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(WAITING);
        (Self { orders }, receiver)
    }

    /// Has a command obeyed, or refused. When this returns, it is on disk and in the snapshot.
    pub(crate) async fn apply(&self, request: ApplyRequest) -> Result<ApplyReply, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Apply(Box::new(request), reply)).await.map_err(|_| going())?;
        answer.await.map_err(|_| going())?
    }

    /// Has the host itself changed; true when it was so before. When this returns, it is on disk and in the snapshot.
    pub(crate) async fn change(&self, change: Change) -> Result<bool, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Change(change, reply)).await.map_err(|_| going())?;
        answer.await.map_err(|_| going())?
    }

    /// Sends an order; without a supervisor there is nobody to obey it, and nothing to do.
    pub(crate) async fn send(&self, order: Order) {
        let _supervisor_gone = self.orders.send(order).await;
    }
}

fn going() -> ApiError {
    ApiError::new(ErrorCode::NotReady, "the host is stopping").with_help("use another host")
}

/// Sends news of one episode of one unit.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    handle: SupervisorHandle,
    unit: UnitKey,
    ticket: Ticket,
}

impl Teller {
    pub(crate) async fn tell(&self, news: News) {
        self.handle.send(Order::News(self.unit.clone(), self.ticket, news)).await;
    }

    async fn end(self, prepared: Result<Product, PrepareError>) {
        self.handle.send(Order::Prepared(self.unit, self.ticket, prepared)).await;
    }
}

/// What the supervisor works with.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) lattice: LatticeId,
    pub(crate) journal: Journal,
    pub(crate) preparer: Preparer,
    pub(crate) router: Arc<Router>,
    pub(crate) ingress: Ingress,
    pub(crate) serving: ServingHandle,
    pub(crate) providers: Providers,
}

/// The only writer of what the host has decided.
#[derive(Debug)]
pub(crate) struct Supervisor {
    core: Core,
    slots: Slots,
    tools: Tools,
    orders: mpsc::Receiver<Order>,
    handle: SupervisorHandle,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// Owns preparations and waits of drains.
    tasks: TaskTracker,
    settings: Settings,
    /// Changes of the host itself, which count in its sequence.
    changes: u64,
    /// The host is about to end.
    stopping: bool,
    frozen: bool,
    /// Calls do not go by the newest routes yet.
    unpublished: bool,
    /// Apps whose journal does not hold yet what serves of them.
    unwritten: BTreeSet<AppName>,
    /// Writes some of them down, one after another.
    writing: Option<JoinHandle<()>>,
    /// Ends when the lattice's calls find what the routes lead to, and when it is not waited for any longer.
    settling: Option<(Instant, AbortOnDropHandle<()>)>,
    /// When the rest after the states that readers were given would be over.
    rested: Instant,
    /// What routes, offers and readers were given of each app.
    derived: Derived,
    /// Readers have not seen the newest state.
    stale: bool,
    /// What is served to the lattice may have changed since.
    offered: bool,
}

/// An answer that is given when readers can see what it tells.
enum Answer {
    Apply(oneshot::Sender<Result<ApplyReply, ApiError>>, Result<ApplyReply, ApiError>),
    Change(oneshot::Sender<Result<bool, ApiError>>, Result<bool, ApiError>),
}

impl Answer {
    fn give(self) {
        // Whoever asked may be gone.
        match self {
            Self::Apply(reply, result) => drop(reply.send(result)),
            Self::Change(reply, result) => drop(reply.send(result)),
        }
    }
}

impl Supervisor {
    pub(crate) fn new(
        core: Core,
        settings: Settings,
        tools: Tools,
        (handle, orders): (SupervisorHandle, mpsc::Receiver<Order>),
        snapshots: watch::Sender<Arc<Snapshot>>,
    ) -> Self {
        Self {
            core,
            slots: Slots::default(),
            tools,
            orders,
            handle,
            snapshots,
            tasks: TaskTracker::new(),
            settings,
            changes: 0,
            stopping: false,
            frozen: false,
            unpublished: false,
            unwritten: BTreeSet::new(),
            writing: None,
            settling: None,
            rested: Instant::now(),
            derived: Derived::default(),
            stale: true,
            offered: false,
        }
    }

    /// Carries out what the restored state asks for, then obeys until `shutdown`.
    pub(crate) async fn run(mut self, restored: Vec<Transition>, shutdown: CancellationToken) {
        self.carry_out(restored).await;
        self.show().await;
        let mut health = interval(health::LOOK);
        health.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake = self.until_wake();
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(wake) => self.tick().await,
                _ = health.tick() => self.look_at_health().await,
                () = ended(self.writing.as_mut()) => self.writing = None,
                () = ended(self.settling.as_mut().map(|(_, settling)| settling)) => self.settled().await,
                order = self.orders.recv() => {
                    let Some(order) = order else { break };
                    self.obey_burst(order).await;
                }
            }
            if self.until_show().is_zero() {
                self.show_when_served();
            }
        }
        self.write_down().await;
        self.tools.ingress.listen(&BTreeSet::new());
        // Dropping the slots ends every task that works for one.
        drop(self.slots);
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn obey_burst(&mut self, first: Order) {
        let mut answers = Vec::new();
        let mut next = Some(first);
        for _ in 0..BURST {
            let Some(order) = next else { break };
            answers.extend(self.obey(order).await);
            next = self.orders.try_recv().ok();
        }
        if let Some(order) = next {
            answers.extend(self.obey(order).await);
        }
        if answers.is_empty() {
            return;
        }
        // Whoever is told "accepted" finds it in the inventory.
        self.show().await;
        answers.into_iter().for_each(Answer::give);
    }

    async fn obey(&mut self, order: Order) -> Option<Answer> {
        match order {
            Order::Apply(request, reply) => return Some(Answer::Apply(reply, self.apply(&request).await)),
            Order::Change(change, reply) => return Some(Answer::Change(reply, self.change(&change).await)),
            Order::News(unit, ticket, news) => self.observe(&unit, ticket, news).await,
            Order::Prepared(unit, ticket, Ok(product)) => {
                if self.slots.fill(&unit, ticket, product) {
                    tracing::info!(%unit, app = %unit.app, "ready");
                    self.keep_asking(&unit);
                    self.observe(&unit, ticket, News::Ready).await;
                }
            }
            Order::Prepared(unit, ticket, Err(PrepareError { reason, message })) => {
                tracing::warn!(%unit, app = %unit.app, ?reason, message, "could not be prepared");
                self.observe(&unit, ticket, News::Failed { reason, message }).await;
            }
            Order::Stopping => {
                self.stopping = true;
                self.changed();
            }
            Order::Freeze => self.frozen = true,
        }
        None
    }

    /// Decides on a copy, writes the decision down, and only then makes it count.
    async fn apply(&mut self, request: &ApplyRequest) -> Result<ApplyReply, ApiError> {
        if self.frozen {
            return Err(going());
        }
        // The disk is waited for below; calls do not wait with it.
        self.publish();
        self.write_down().await;
        let mut next = self.core.clone();
        let (reply, steps) = next.apply(request, now())?;
        for step in &steps {
            if let Transition::Persist(app) = step {
                self.tools.journal.write(app, next.journal(app)).await.map_err(|error| {
                    tracing::error!(%app, %error, "the journal cannot be written");
                    let message = format!("app {app}: the host cannot write its journal: {error}");
                    ApiError::new(ErrorCode::Internal, message)
                        .with_help("free space in the host's data folder")
                })?;
            }
        }
        self.core = next;
        if !reply.unchanged {
            tracing::info!(app = %request.app, fence = %request.fence, components = request.bundles.len(), "accepted");
        }
        let unwritten = steps.into_iter().filter(|step| !matches!(step, Transition::Persist(_))).collect();
        self.carry_out(unwritten).await;
        Ok(reply)
    }

    /// Writes a change of the host itself down, and only then makes it count. True when it was so before.
    async fn change(&mut self, change: &Change) -> Result<bool, ApiError> {
        if self.frozen {
            return Err(going());
        }
        let next = self.settings.with(change)?;
        if next == self.settings {
            return Ok(true);
        }
        next.write().await.map_err(|error| {
            tracing::error!(%error, "the host's settings cannot be written");
            let message = format!("the host cannot write its settings: {error}");
            ApiError::new(ErrorCode::Internal, message).with_help("free space in the host's data folder")
        })?;
        self.settings = next;
        tracing::info!(state = ?self.settings.state(), labels = ?self.settings.labels().0, "the host was changed");
        self.changed();
        Ok(false)
    }

    /// The host itself is another than before.
    fn changed(&mut self) {
        self.changes += 1;
        self.stale = true;
    }

    async fn observe(&mut self, unit: &UnitKey, ticket: Ticket, news: News) {
        let steps = self.core.observe(unit, ticket, news, now());
        self.carry_out(steps).await;
    }

    async fn tick(&mut self) {
        let steps = self.core.tick(now());
        self.carry_out(steps).await;
    }

    fn teller(&self, unit: &UnitKey, ticket: Ticket) -> Teller {
        Teller { handle: self.handle.clone(), unit: unit.clone(), ticket }
    }

    fn until_wake(&self) -> Duration {
        let due = self.core.wake_at().map_or(LONGEST_SLEEP, |at| at.since(now()).min(LONGEST_SLEEP));
        let readers_wait = self.stale && self.settling.is_none();
        let disk_waits = !self.unwritten.is_empty() && self.writing.is_none();
        if readers_wait || self.unpublished || disk_waits { due.min(self.until_show()) } else { due }
    }
}

/// Resolves when a future has ended, however; never without one.
async fn ended<F: Future + Unpin>(future: Option<F>) {
    match future {
        Some(future) => drop(future.await),
        None => std::future::pending().await,
    }
}
