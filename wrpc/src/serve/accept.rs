//! The loop that takes calls in: subscriptions, queue, permits, drain.
//!
//! It owns every subscription and every running call, so that stopping is one thing to do. It never waits for
//! a handler. The rule: a message that was received is either worked on or refused, never forgotten.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures::future::{BoxFuture, pending};
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::call::{Arrived, Call, Unanswered};
use super::desk::{Desk, Told};
use super::{Drained, Export, Load, Place, ServeError, ServeOptions, Service};
use crate::client::{Client, NoRoundTrip};
use crate::failure::{Failure, FailureCode};
use crate::peer::LathCall;
use crate::subject::{Target, queue_group, wire_function};

/// How long a caller that needs no accept waits for one, when the results are not there before.
const ACCEPT_WITHIN: Duration = Duration::from_millis(5);
/// How long to wait for the server to confirm subscriptions; it answers in the time of a round trip.
pub(super) const CONFIRM_WITHIN: Duration = Duration::from_secs(2);
/// More digits than a NATS server reads in the count of an UNSUB, which it then takes as "now"; the NATS client
/// takes it literally and keeps the subscription open. Together: the server stops sending, and what it had
/// sent still arrives. The client's own ways to unsubscribe drop what is under way.
const UNSUBSCRIBE_NOW: u64 = i64::MAX as u64;

pub(super) enum Command {
    Extend(Vec<Arc<Export>>, oneshot::Sender<Result<(), ServeError>>),
    Drain(Instant, oneshot::Sender<Drained>),
}

/// A subscription and the function that it serves.
struct Subscription {
    export: Arc<Export>,
    subscriber: Subscriber,
}

impl Subscription {
    /// Whether it takes the calls of `export`.
    fn serves(&self, export: &Export) -> bool {
        let name = |export: &Export| wire_function(&export.func).to_owned();
        self.export.instance == export.instance && name(&self.export) == name(export)
    }
}

/// All of them. There are as many as a component has functions, mostly a few: looking at each is quick, and what idle
/// components keep in memory counts.
#[derive(Default)]
struct Subscriptions {
    all: Vec<Subscription>,
    /// Which is looked at first, so that a busy one does not keep others waiting.
    first: usize,
}

impl Stream for Subscriptions {
    type Item = (Arc<Export>, Message);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (count, first) = (self.all.len(), self.first);
        let mut ended = 0;
        for at in (0..count).map(|step| (first + step) % count) {
            let Some(Subscription { export, subscriber }) = self.all.get_mut(at) else { continue };
            match subscriber.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => {
                    let export = Arc::clone(export);
                    self.first = (at + 1) % count;
                    return Poll::Ready(Some((export, message)));
                }
                Poll::Ready(None) => ended += 1,
                Poll::Pending => {}
            }
        }
        if ended == count { Poll::Ready(None) } else { Poll::Pending }
    }
}

/// A call that waits for a permit.
struct Waiting {
    arrived: Arrived,
    message: Unanswered,
    bytes: usize,
}

type Acquire = BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>;

struct Draining {
    deadline: Instant,
    done: oneshot::Sender<Drained>,
    /// The round trip after which nothing more can arrive; none when it is over.
    confirm: Option<BoxFuture<'static, Result<(), NoRoundTrip>>>,
}

/// What is served and waits for its first call. There is one for each component of a host, most of which are idle: it
/// holds what waiting takes, and nothing else.
pub(super) struct Standby {
    client: Client,
    place: Place,
    options: ServeOptions,
    desk: Arc<Desk>,
    subscriptions: Subscriptions,
}

struct AcceptLoop {
    standby: Standby,
    /// What the desk had when it was last looked at.
    service: Service,
    queue: VecDeque<Waiting>,
    queued_bytes: usize,
    /// A place in the line for a permit, kept until it is given so that others cannot overtake for ever.
    acquire: Option<Acquire>,
    running: JoinSet<()>,
    draining: Option<Draining>,
}

enum Event {
    Command(Command),
    Permit(Result<OwnedSemaphorePermit, AcquireError>),
    Message(Arc<Export>, Message),
    ServiceChanged,
    Finished(Result<(), JoinError>),
    Confirmed,
    DrainOver,
}

impl Event {
    fn of(told: Told) -> Self {
        match told {
            Told::Command(command) => Self::Command(command),
            Told::Replaced => Self::ServiceChanged,
        }
    }
}

impl Standby {
    pub(super) fn new(client: Client, place: Place, desk: Arc<Desk>, options: ServeOptions) -> Self {
        Self { client, place, options, desk, subscriptions: Subscriptions::default() }
    }

    /// Asks the server for the subscriptions that are missing; whoever needs to know that it has them confirms it.
    pub(super) async fn subscribe(&mut self, exports: Vec<Arc<Export>>) -> Result<(), ServeError> {
        for export in exports {
            let target =
                Target::new(&self.place.lattice, &self.place.id, export.instance.as_deref(), &export.func)?;
            if self.subscriptions.all.iter().any(|held| held.serves(&export)) {
                continue;
            }
            let subject = match &self.options.revision {
                Some(revision) => target.clone().preferring(revision).preferred(),
                None => None,
            };
            let subject = subject.unwrap_or_else(|| target.subject());
            let subscribed = self
                .client
                .nats()
                .queue_subscribe(subject, queue_group(&self.place.lattice, &self.place.id))
                .await;
            let subscriber = subscribed.map_err(|_| ServeError::Subscribe(target))?;
            self.subscriptions.all.reserve_exact(1);
            self.subscriptions.all.push(Subscription { export, subscriber });
        }
        Ok(())
    }

    /// Serves until it is drained or the task is dropped.
    // An `async fn` for it would have room for `self` twice.
    pub(super) fn spawn(mut self) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(async move {
            let first = tokio::select! {
                biased;
                told = self.desk.next(true) => Event::of(told),
                Some((export, message)) = self.subscriptions.next() => Event::Message(export, message),
            };
            AcceptLoop::begin(self, first).await;
        }))
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.desk.close();
    }
}

impl AcceptLoop {
    /// What there is to do from the first event on. In a box, for which nothing has to be kept free before.
    fn begin(standby: Standby, first: Event) -> BoxFuture<'static, ()> {
        let service = standby.desk.service();
        let accept = Self {
            standby,
            service,
            queue: VecDeque::new(),
            queued_bytes: 0,
            acquire: None,
            running: JoinSet::new(),
            draining: None,
        };
        accept.work(first).boxed()
    }

    async fn work(mut self, first: Event) {
        let mut next = Some(first);
        loop {
            let event = match next.take() {
                Some(event) => event,
                None => self.next_event().await,
            };
            match event {
                Event::Command(Command::Extend(exports, done)) => {
                    let result = self.standby.subscribe(exports).await;
                    super::confirm(&self.standby.client).await;
                    // Whoever asked may have gone.
                    let _ = done.send(result);
                }
                Event::Command(Command::Drain(deadline, done)) => self.begin_drain(deadline, done).await,
                Event::Permit(permit) => self.take_call(permit.ok()),
                Event::Message(export, message) => self.enqueue(export, message),
                // A place in the line of the old permits is of no use.
                Event::ServiceChanged => {
                    self.service = self.standby.desk.service();
                    self.acquire = None;
                }
                Event::Finished(ended) => self.note(&ended),
                Event::Confirmed => self.confirmed(),
                Event::DrainOver => return self.end_drain().await,
            }
            self.reap();
            self.publish_load();
            if self.is_drained() {
                return self.end_drain().await;
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let waiting = !self.queue.is_empty();
        if waiting && self.acquire.is_none() {
            let permits = Arc::clone(&self.service().permits);
            match Semaphore::try_acquire_owned(Arc::clone(&permits)) {
                Ok(permit) => return Event::Permit(Ok(permit)),
                Err(_) => self.acquire = Some(permits.acquire_owned().boxed()),
            }
        }
        let draining = self.draining.is_some();
        let deadline = self.draining.as_ref().map(|draining| draining.deadline);
        let confirm = self.draining.as_mut().and_then(|draining| draining.confirm.as_mut());
        tokio::select! {
            biased;
            () = maybe_sleep(deadline) => Event::DrainOver,
            told = self.standby.desk.next(!draining) => Event::of(told),
            permit = maybe(self.acquire.as_mut()), if waiting => {
                self.acquire = None;
                Event::Permit(permit)
            }
            Some((export, message)) = self.standby.subscriptions.next() => Event::Message(export, message),
            _ = maybe(confirm) => Event::Confirmed,
            Some(ended) = self.running.join_next() => Event::Finished(ended),
        }
    }

    fn enqueue(&mut self, export: Arc<Export>, message: Message) {
        let bytes = message.payload.len();
        let caller = LathCall::from_headers(message.headers.as_ref());
        let deadline = caller.map(|caller| Instant::now() + caller.timeout);
        let arrived = Arrived { export, caller, deadline };
        let message = Unanswered { client: self.standby.client.clone(), message: Some(message) };
        let full = self.queue.len() >= self.standby.options.max_queue
            || self.queued_bytes.saturating_add(bytes) > self.standby.options.max_queue_bytes;
        if full {
            let text = format!("{} calls wait already", self.queue.len());
            return message.refuse(&Failure::new(FailureCode::Overloaded, text));
        }
        self.queued_bytes += bytes;
        self.queue.push_back(Waiting { arrived, message, bytes });
    }

    /// Who takes calls now. A call that is not taken yet goes to the newest, also before the loop has heard of it.
    fn service(&mut self) -> &Service {
        if self.standby.desk.has_word() {
            self.service = self.standby.desk.service();
        }
        &self.service
    }

    /// Starts the longest waiting call. Without a permit, which means that no more will come, it is refused.
    fn take_call(&mut self, permit: Option<OwnedSemaphorePermit>) {
        let Some(mut waiting) = self.next_waiting() else { return };
        let Some(permit) = permit else {
            let failure = Failure::new(FailureCode::Stopping, "the callee takes no more calls");
            return waiting.message.refuse(&failure);
        };
        let message = waiting.message.message.take();
        let Some(call) =
            message.and_then(|message| Call::new(&self.standby.client, waiting.arrived, message))
        else {
            tracing::debug!(component = %self.standby.place.id, "a call without a reply subject was ignored");
            return;
        };
        let handler = Arc::clone(&self.service().handler);
        self.running.spawn(async move {
            work(handler.as_ref(), call).await;
            drop(permit);
        });
    }

    /// The longest waiting call whose caller still waits too.
    fn next_waiting(&mut self) -> Option<Waiting> {
        loop {
            let waiting = self.queue.pop_front()?;
            self.queued_bytes -= waiting.bytes;
            if waiting.arrived.deadline.is_none_or(|deadline| deadline > Instant::now()) {
                return Some(waiting);
            }
            let failure = Failure::new(FailureCode::Timeout, "the caller's time was over before the start");
            waiting.message.refuse(&failure);
        }
    }

    async fn begin_drain(&mut self, deadline: Instant, done: oneshot::Sender<Drained>) {
        for subscription in &mut self.standby.subscriptions.all {
            // This fails only when the client is closed, and then nothing arrives either.
            let _ = subscription.subscriber.unsubscribe_after(UNSUBSCRIBE_NOW).await;
        }
        let client = self.standby.client.clone();
        let within = deadline.min(Instant::now() + CONFIRM_WITHIN);
        let confirm = async move { client.round_trip(within).await }.boxed();
        self.draining = Some(Draining { deadline, done, confirm: Some(confirm) });
    }

    /// Nothing can arrive any more: takes in what has, and lets go of the subscriptions.
    fn confirmed(&mut self) {
        while let Some(Some((export, message))) = self.standby.subscriptions.next().now_or_never() {
            self.enqueue(export, message);
        }
        self.standby.subscriptions = Subscriptions::default();
        if let Some(draining) = &mut self.draining {
            draining.confirm = None;
        }
    }

    fn is_drained(&self) -> bool {
        let confirmed = self.draining.as_ref().is_some_and(|draining| draining.confirm.is_none());
        confirmed && self.queue.is_empty() && self.running.is_empty()
    }

    async fn end_drain(mut self) {
        let drained = Drained { aborted: self.running.len(), refused: self.queue.len() };
        for waiting in self.queue.drain(..) {
            waiting.message.refuse(&Failure::new(FailureCode::Stopping, "the callee has stopped"));
        }
        self.running.shutdown().await;
        self.publish_load();
        if let Some(draining) = self.draining.take() {
            let _ = draining.done.send(drained);
        }
    }

    fn reap(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            self.note(&ended);
        }
    }

    /// A handler that panicked has failed its call, whose caller was told when the call was dropped.
    fn note(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            tracing::error!(component = %self.standby.place.id, "the handler of a call panicked");
        }
    }

    fn publish_load(&self) {
        self.standby.desk.set_load(Load { queued: self.queue.len(), running: self.running.len() });
    }
}

/// Runs a handler, and accepts the call before it or beside it.
async fn work(handler: &dyn super::Handler, call: Call) {
    let acceptance = call.acceptance();
    if call.wants_accept_now() {
        if acceptance.send().await.is_ok() {
            handler.handle(call).await;
        }
        return;
    }
    let mut handling = handler.handle(call);
    if timeout(ACCEPT_WITHIN, &mut handling).await.is_err() {
        // Without a connection there is nobody to tell, but the work has begun.
        let _ = acceptance.send().await;
        handling.await;
    }
}

/// The result of a future that may not be there; then it is waited for ever.
async fn maybe<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn maybe_sleep(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
