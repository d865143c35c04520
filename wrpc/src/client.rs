//! The handle that callers and servers share: one for each NATS connection, cheap to clone.
//!
//! It owns the inbox of the connection and the two tasks that serve it. How a call or a served function
//! behaves is not here. The rule: the tasks end with the last clone, and nothing on a call's path waits for
//! them.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, Subject, Subscriber};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::channel::StreamError;
use crate::inbox::{Budget, Inbox, Mailbox, Registration, Route, RouteKind, Sender, mailbox};

/// Messages that may wait to be sent on behalf of owners that are gone already.
const LAST_WORDS: usize = 1024;

/// How often to look whether the connection was lost and made anew. Streams that lasted across are broken then,
/// because bytes of theirs may be missing; without this a reader that gets nothing would not learn of it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Bounds of a connection's invocations. The defaults suit a host with a gigabyte of memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest parameters of one call that are taken or sent, in bytes. Default 32 MiB: a NATS server cuts off a
    /// connection that is 64 MiB behind.
    pub max_params: usize,
    /// Largest results of one call that are taken, in bytes. Default 32 MiB.
    pub max_results: usize,
    /// Bytes of one stream that a Lath writer may send ahead of this reader. Default 1 MiB.
    pub stream_window: usize,
    /// Bytes of one stream that may wait for its reader when the writer knows no flow control; a stream
    /// that exceeds this fails. At least four windows. Default 32 MiB.
    pub stream_buffer: usize,
    /// Bytes that all channels of the connection may hold together. Default 256 MiB.
    pub total_buffer: usize,
    /// How long a stream may stand still before it counts as dead. Default 10 minutes, as `wasi:http` has it
    /// for the time between bytes.
    pub stream_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_params: 32 << 20,
            max_results: 32 << 20,
            stream_window: 1 << 20,
            stream_buffer: 32 << 20,
            total_buffer: 256 << 20,
            stream_idle: Duration::from_secs(600),
        }
    }
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The inbox could not be subscribed to.
    #[error("cannot subscribe to the inbox of invocations")]
    Subscribe(#[source] async_nats::SubscribeError),
}

/// Why a round trip to the NATS server failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the NATS server did not answer in time")]
pub struct NoRoundTrip;

/// Makes and serves invocations over one NATS connection.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    nats: async_nats::Client,
    inbox: Arc<Inbox>,
    budget: Arc<Budget>,
    limits: Limits,
    last_words: mpsc::Sender<OutboundMessage>,
    /// Reads the inbox.
    _reader: AbortOnDropHandle<()>,
    /// Sends what could not be sent at once by those that were dropped.
    _mourner: AbortOnDropHandle<()>,
}

impl Client {
    /// Subscribes to a fresh inbox of `nats`. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the NATS client is closed.
    pub async fn new(nats: async_nats::Client, limits: Limits) -> Result<Self, ConnectError> {
        let inbox = Arc::new(Inbox::new(&nats.new_inbox(), nats.statistics()));
        // The subscription is written before any later message of this connection, so no flush is needed.
        let subscription = nats.subscribe(inbox.wildcard()).await.map_err(ConnectError::Subscribe)?;
        let reader = tokio::spawn(read(subscription, Arc::clone(&inbox)));
        let (last_words, words) = mpsc::channel(LAST_WORDS);
        let mourner = tokio::spawn(mourn(nats.clone(), words));
        let shared = Shared {
            nats,
            inbox,
            budget: Budget::new(limits.total_buffer),
            limits,
            last_words,
            _reader: AbortOnDropHandle::new(reader),
            _mourner: AbortOnDropHandle::new(mourner),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The bounds that this client was made with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Whether the connection stands at this moment. A call while it does not fails at once.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.nats.connection_state() == State::Connected
    }

    pub(crate) fn nats(&self) -> &async_nats::Client {
        &self.shared.nats
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.shared.inbox
    }

    pub(crate) fn reserve(&self) -> Registration {
        self.shared.inbox.reserve()
    }

    /// A queue for a channel, of at most `limit` bytes.
    pub(crate) fn mailbox(&self, limit: usize) -> (Sender, Mailbox) {
        mailbox(limit, &self.shared.budget)
    }

    pub(crate) fn max_payload(&self) -> usize {
        self.shared.nats.max_payload().max(1)
    }

    /// Hands a message to the connection, which writes and flushes by itself.
    pub(crate) async fn publish(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), StreamError> {
        let nats = &self.shared.nats;
        let sent = match (reply, headers) {
            (None, None) => nats.publish(subject, payload).await,
            (None, Some(headers)) => nats.publish_with_headers(subject, headers, payload).await,
            (Some(reply), None) => nats.publish_with_reply(subject, reply, payload).await,
            (Some(reply), Some(headers)) => {
                nats.publish_with_reply_and_headers(subject, reply, headers, payload).await
            }
        };
        sent.map_err(|_| StreamError::Closed)
    }

    /// Ends a channel from where nothing can be awaited.
    pub(crate) fn publish_later(&self, subject: Subject, headers: Option<HeaderMap>) {
        let message = OutboundMessage { subject, reply: None, payload: Bytes::new(), headers };
        let now =
            self.publish(message.subject.clone(), None, message.headers.clone(), Bytes::new()).now_or_never();
        if now.is_none() && self.shared.last_words.try_send(message).is_err() {
            tracing::warn!(
                "an abandoned invocation could not be ended; its peer will wait until its own deadline"
            );
        }
    }

    /// Waits until the server has handled everything that was handed to the connection before, and everything
    /// that the server had sent before has arrived: the server works on a connection in order.
    ///
    /// # Errors
    /// When the server has not answered by the deadline.
    pub async fn round_trip(&self, deadline: Instant) -> Result<(), NoRoundTrip> {
        let registration = self.reserve();
        let (sender, mut mails) = self.mailbox(1024);
        registration.add(vec![Route { suffix: "sync".into(), kind: RouteKind::Once, sender }]);
        let subject = crate::channel::below(&registration.subject(), "sync");
        let wait = async {
            self.publish(subject, None, None, Bytes::new()).await.map_err(|_| NoRoundTrip)?;
            mails.recv().await.map(drop).map_err(|_| NoRoundTrip)
        };
        timeout_at(deadline, wait).await.unwrap_or(Err(NoRoundTrip))
    }
}

/// Delivers what arrives, and notices when the connection was made anew.
async fn read(mut subscription: Subscriber, inbox: Arc<Inbox>) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            message = subscription.next() => match message {
                Some(message) => inbox.deliver(message),
                None => return inbox.close(),
            },
            _ = look.tick() => inbox.break_interrupted(),
        }
    }
}

async fn mourn(nats: async_nats::Client, mut words: mpsc::Receiver<OutboundMessage>) {
    while let Some(OutboundMessage { subject, payload, headers, .. }) = words.recv().await {
        // The connection is closed when this fails, and then nobody can be told.
        let _ = nats.publish_with_headers(subject, headers.unwrap_or_default(), payload).await;
    }
}
