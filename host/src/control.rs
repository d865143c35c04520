//! Commands and questions to this host: bytes in, typed calls, bytes out. Every request gets an answer.
//!
//! Nothing is decided here. Questions are answered from the newest snapshot, without asking the supervisor.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use lath_control_api::{
    ApiError, DrainRequest, ErrorCode, HostChangeReply, InventoryRequest, PingReply, PingRequest, Reply,
    Subjects,
};
use lath_control_api_client::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::Change;
use crate::status::{Facts, Snapshot, wall_clock};
use crate::supervisor::SupervisorHandle;

/// Requests that are worked on at the same time; a manager sends a few.
const PARALLEL: usize = 256;
/// Longest wait for the connection to take an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Room that is left in a message for the head of an inventory, in bytes.
const HEAD: usize = 64 << 10;
/// What this host can be asked.
const VERBS: &str = "apply, drain, inventory, label, ping, undrain";

/// Answers requests.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) facts: Arc<Facts>,
    pub(crate) connection: Connection,
    pub(crate) subjects: Subjects,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) supervisor: SupervisorHandle,
}

/// The subscriptions; made before the host says that it is ready.
#[derive(Debug)]
pub(crate) struct Requests {
    ours: Subscriber,
    everyone: Subscriber,
}

impl Control {
    /// Asks for requests to be sent here. Works without a connection, as soon as there is one.
    pub(crate) async fn subscribe(&self) -> Result<Requests> {
        let subscribe = async |subject: String| {
            self.connection
                .nats()
                .subscribe(subject.clone())
                .await
                .with_context(|| format!("cannot subscribe to {subject}"))
        };
        let ours = subscribe(self.subjects.host_requests(&self.facts.host)).await?;
        Ok(Requests { ours, everyone: subscribe(self.subjects.ping_hosts()).await? })
    }

    /// Answers until `shutdown`.
    pub(crate) async fn run(self, requests: Requests, shutdown: CancellationToken) {
        let Requests { mut ours, mut everyone } = requests;
        let (tasks, permits) = (TaskTracker::new(), Arc::new(Semaphore::new(PARALLEL)));
        loop {
            let message = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(message) = ours.next() => message,
                Some(message) = everyone.next() => message,
                else => break,
            };
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let control = self.clone();
            tasks.spawn(async move {
                control.answer(message).await;
                drop(permit);
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn answer(&self, message: Message) {
        let json = match Subjects::verb(&message.subject) {
            "apply" => encode(self.apply(&message).await),
            "inventory" => encode(self.inventory(&message)),
            "drain" => encode(self.drain(&message, Change::Drain).await),
            "undrain" => encode(self.drain(&message, Change::Undrain).await),
            "label" => encode(self.label(&message).await),
            "ping" => encode(read::<PingRequest>(&message).map(|_| self.ping())),
            other => encode::<()>(Err(ApiError::new(
                ErrorCode::UnknownOperation,
                format!("a host cannot be asked to `{}`", other.escape_debug()),
            )
            .with_help(format!("this version knows: {VERBS}")))),
        };
        // A question without an address for the answer is obeyed like any other, in silence.
        let Some(reply) = message.reply else { return };
        let sent = timeout(ANSWER_WITHIN, self.connection.nats().publish(reply, json.into())).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!("an answer could not be sent; whoever asked will ask again");
        }
    }

    async fn apply(&self, message: &Message) -> Result<lath_control_api::ApplyReply, ApiError> {
        self.supervisor.apply(read(message)?).await
    }

    async fn drain(&self, message: &Message, change: Change) -> Result<HostChangeReply, ApiError> {
        read::<DrainRequest>(message)?;
        self.change(change).await
    }

    async fn label(&self, message: &Message) -> Result<HostChangeReply, ApiError> {
        self.change(Change::Label(read(message)?)).await
    }

    async fn change(&self, change: Change) -> Result<HostChangeReply, ApiError> {
        let unchanged = self.supervisor.change(change).await?;
        Ok(HostChangeReply { summary: self.snapshots.borrow().summary(&self.facts), unchanged })
    }

    fn inventory(&self, message: &Message) -> Result<lath_control_api::InventoryPage, ApiError> {
        let request: InventoryRequest = read(message)?;
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let limit = self.connection.max_payload().saturating_sub(HEAD);
        snapshot.page(&self.facts, request.after.as_ref(), limit)
    }

    fn ping(&self) -> PingReply {
        PingReply {
            host: self.facts.host.clone(),
            name: self.facts.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            apis: vec![Subjects::API.to_owned()],
            time: wall_clock(),
        }
    }
}

/// Reads a request; an empty one is the default of its kind.
fn read<T: DeserializeOwned>(message: &Message) -> Result<T, ApiError> {
    let payload: &[u8] = if message.payload.is_empty() { b"{}" } else { &message.payload };
    serde_json::from_slice(payload).map_err(|error| {
        let message = format!("the request cannot be read: {error}");
        ApiError::new(ErrorCode::BadRequest, message).with_help("send the JSON form of lath.v1")
    })
}

fn encode<T: Serialize>(result: Result<T, ApiError>) -> Vec<u8> {
    let refused = |error: &serde_json::Error| {
        let error = ApiError::new(ErrorCode::Internal, format!("the answer has no JSON form: {error}"));
        serde_json::to_vec(&Reply::<()>::Error(Box::new(error))).unwrap_or_default()
    };
    serde_json::to_vec(&Reply::from(result)).unwrap_or_else(|error| refused(&error))
}
