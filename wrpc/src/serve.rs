//! The callee's side: functions of one component or provider, served to its queue group.
//!
//! Subscriptions belong to the component id, not to a generation: a [`Service`] (handler and permits) can be
//! replaced at any time, and new functions added, while the subscriptions stay. Work waits in a bounded queue
//! until there is a permit; what does not fit is refused at once, so that its caller can go elsewhere. Draining
//! loses nothing: the server stops sending first, then everything that it sent is finished. What a handler does
//! is not known here.

mod accept;
mod call;
mod desk;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use lath_control_api::{ComponentId, LatticeId};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use call::{Call, Responding};

use crate::client::Client;
use crate::subject::{AppRevision, SubjectError, Target};
use accept::{CONFIRM_WITHIN, Command, Standby};
use desk::Desk;

/// One function to serve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Export {
    /// The WIT instance, such as `demo:greet/greeter@0.1.0`; none for a function at the root of a component.
    pub instance: Option<String>,
    /// The function, with or without the tag of resource functions.
    pub func: String,
    /// Index paths of its asynchronous parameters, such as `0.0`. Empty for plain values.
    pub streams: &'static [&'static str],
}

impl Export {
    /// A function of plain values.
    pub fn plain(instance: Option<impl Into<String>>, func: impl Into<String>) -> Self {
        Self { instance: instance.map(Into::into), func: func.into(), streams: &[] }
    }
}

/// What is done with a call. Implemented by every `Fn(Call) -> impl Future<Output = ()>`.
pub trait Handler: Send + Sync + 'static {
    /// Works on one call and answers it through [`Call::finish`] or [`Call::respond`]. A call that is dropped
    /// without an answer, by a panic for instance, ends as a failure for its caller.
    fn handle(&self, call: Call) -> BoxFuture<'static, ()>;
}

impl<F, Fut> Handler for F
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn handle(&self, call: Call) -> BoxFuture<'static, ()> {
        Box::pin(self(call))
    }
}

/// A handler and how many calls it may have at once.
#[derive(Clone)]
pub struct Service {
    /// What is done with a call.
    pub handler: Arc<dyn Handler>,
    /// A call is taken when one permit is free and holds it to its end. May be shared with other ways into
    /// the same component.
    pub permits: Arc<Semaphore>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("permits", &self.permits).finish_non_exhaustive()
    }
}

/// Which calls are taken, and bounds of what waits for a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// Take the calls that prefer this revision, and no others. Default none: take those of anyone.
    pub revision: Option<AppRevision>,
    /// Most calls that wait. Default 1024.
    pub max_queue: usize,
    /// Most bytes of parameters that wait. Default 64 MiB.
    pub max_queue_bytes: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { revision: None, max_queue: 1024, max_queue_bytes: 64 << 20 }
    }
}

/// Why functions are not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A name cannot stand in a subject.
    #[error("a function cannot be served")]
    Subject(#[from] SubjectError),
    /// The NATS client is closed.
    #[error("cannot subscribe to `{0}`")]
    Subscribe(Target),
    /// This serving has stopped.
    #[error("the serving has stopped")]
    Stopped,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Calls that were taken but not finished by the deadline. Their callers got a failure.
    pub aborted: usize,
    /// Calls that still waited for a permit at the deadline. Their callers were told that they did not start.
    pub refused: usize,
}

/// How busy a serving is, at the moment of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Calls that wait for a permit.
    pub queued: usize,
    /// Calls that are worked on.
    pub running: usize,
}

/// Serves `exports` of `id` to the queue group of that id. When this returns while NATS is connected, the
/// server has the subscriptions; without a connection they are made as soon as there is one.
///
/// # Errors
/// When a name does not fit in a subject, or the NATS client is closed.
pub async fn serve(
    client: &Client,
    lattice: &LatticeId,
    id: &ComponentId,
    exports: &[Export],
    service: Service,
    options: ServeOptions,
) -> Result<Serving, ServeError> {
    let ask = ServeAsk {
        id: id.clone(),
        exports: exports.iter().cloned().map(Arc::new).collect(),
        service,
        options,
    };
    let serving = begin(client, lattice, ask).await?;
    confirm(client).await;
    Ok(serving)
}

/// What is to be served, for [`serve_all`].
#[derive(Debug)]
pub struct ServeAsk {
    /// The component or provider.
    pub id: ComponentId,
    /// Its functions. Components of the same code share them.
    pub exports: Vec<Arc<Export>>,
    /// Who answers.
    pub service: Service,
    /// Which calls are taken.
    pub options: ServeOptions,
}

/// As [`serve`] for many, in order: they wait for the server once, together.
pub async fn serve_all(
    client: &Client,
    lattice: &LatticeId,
    asks: Vec<ServeAsk>,
) -> Vec<Result<Serving, ServeError>> {
    let mut servings = Vec::with_capacity(asks.len());
    for ask in asks {
        servings.push(begin(client, lattice, ask).await);
    }
    confirm(client).await;
    servings
}

async fn begin(client: &Client, lattice: &LatticeId, ask: ServeAsk) -> Result<Serving, ServeError> {
    let ServeAsk { id, exports, service, options } = ask;
    let desk = Arc::new(Desk::new(service));
    let mut standby =
        Standby::new(client.clone(), Place { lattice: lattice.clone(), id }, Arc::clone(&desk), options);
    standby.subscribe(exports).await?;
    Ok(Serving { desk, _task: standby.spawn() })
}

/// Waits until the server has all subscriptions that were made before, while there is a connection.
async fn confirm(client: &Client) {
    if client.is_connected() && client.round_trip(Instant::now() + CONFIRM_WITHIN).await.is_err() {
        tracing::warn!("the NATS server has not confirmed new subscriptions yet");
    }
}

/// Where something is served.
#[derive(Debug)]
struct Place {
    lattice: LatticeId,
    id: ComponentId,
}

/// Functions that are being served. Dropping it aborts: running calls end as failures, waiting ones are
/// refused, and messages under way are lost to their callers. [`Serving::drain`] is the way that loses nothing.
pub struct Serving {
    desk: Arc<Desk>,
    _task: AbortOnDropHandle<()>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("load", &self.load()).finish_non_exhaustive()
    }
}

impl Serving {
    /// Replaces handler and permits for every call that is not taken yet. Calls under way stay with theirs.
    pub fn replace(&self, service: Service) {
        self.desk.replace(service);
    }

    /// Serves more functions; those that are served already stay as they are.
    ///
    /// # Errors
    /// As [`serve`].
    pub async fn extend<E: Into<Arc<Export>>>(&self, exports: Vec<E>) -> Result<(), ServeError> {
        let exports = exports.into_iter().map(Into::into).collect();
        let (done, answer) = oneshot::channel();
        if !self.desk.tell(Command::Extend(exports, done)) {
            return Err(ServeError::Stopped);
        }
        answer.await.map_err(|_| ServeError::Stopped)?
    }

    /// How busy it is.
    #[must_use]
    pub fn load(&self) -> Load {
        self.desk.load()
    }

    /// Stops without losing a call: unsubscribes, takes in what the server had sent by then, finishes it, and
    /// ends. What is not finished at `deadline` is refused or aborted, and its caller is told.
    pub async fn drain(self, deadline: Instant) -> Drained {
        let (done, answer) = oneshot::channel();
        if !self.desk.tell(Command::Drain(deadline, done)) {
            return Drained::default();
        }
        answer.await.unwrap_or_default()
    }
}
