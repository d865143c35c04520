//! The bounded queue between the one reader of the connection and the owner of a channel.
//!
//! Pushing never waits. A queue that would grow over its bound, or over what all queues of the connection may
//! hold together, breaks: it drops what it holds, and its reader gets [`Broken::Overflow`]. That is the price
//! of never holding up another invocation; flow control between Lath peers keeps it from being paid.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_nats::Subject;
use bytes::Bytes;

use crate::failure::{Failure, FailureCode};
use crate::peer::LathAccept;

/// What a message costs beside its payload, in bytes, so that floods of tiny messages are bounded too.
pub(crate) const MESSAGE_COST: usize = 64;

/// One message, read by the kind of its route.
#[derive(Debug)]
pub(crate) enum Mail {
    /// The callee took the call.
    Accepted(Accepted),
    /// Nobody took the call, or it was turned away.
    Refused(Refusal),
    /// Some bytes of a channel; never empty.
    Data(Bytes),
    /// The complete results of a call; may be empty.
    Whole(Bytes),
    /// The end of a channel, with a reason when it is a failure.
    End(Option<Failure>),
    /// How much of a stream the peer has consumed so far.
    Credit(u64),
}

#[derive(Debug)]
pub(crate) struct Accepted {
    /// The callee's inbox for this call.
    pub(crate) reply: Subject,
    /// There when the callee is Lath.
    pub(crate) lath: Option<LathAccept>,
}

#[derive(Debug)]
pub(crate) enum Refusal {
    NoResponders,
    /// A Lath callee says why.
    Failure(Failure),
    Status(u16, String),
    /// An accept without an inbox.
    NoReply,
}

impl Refusal {
    /// Whether there is nobody any more on the subject that the call went to, or nobody who takes new calls.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::NoResponders => true,
            Self::Failure(failure) => failure.code == FailureCode::Stopping,
            Self::Status(..) | Self::NoReply => false,
        }
    }
}

/// Why a queue gives nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// More came in than the reader took out.
    Overflow,
    /// The connection was made anew in the middle of the channel: bytes may be missing.
    ConnectionLost,
    /// The NATS client was shut down.
    Closed,
}

/// What all queues of one connection hold together, in bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit })
    }

    fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    limit: usize,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct State {
    mails: VecDeque<Mail>,
    bytes: usize,
    /// Whether a byte of data was ever pushed.
    data: bool,
    broken: Option<Broken>,
    /// The reader is gone; nothing is kept any more.
    gone: bool,
    waker: Option<Waker>,
}

/// A queue of at most `limit` bytes.
pub(crate) fn mailbox(limit: usize, budget: &Arc<Budget>) -> (Sender, Mailbox) {
    let queue = Arc::new(Queue { state: Mutex::default(), limit, budget: Arc::clone(budget) });
    (Sender { queue: Arc::clone(&queue) }, Mailbox { queue })
}

/// The end that the connection's reader holds; several routes may share one.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    queue: Arc<Queue>,
}

impl Sender {
    pub(crate) fn push(&self, mail: Mail) {
        let cost = mail.cost();
        let mut state = self.queue.lock();
        if state.gone || state.broken.is_some() {
            return;
        }
        let fits = state.bytes.saturating_add(cost) <= self.queue.limit && self.queue.budget.take(cost);
        if fits {
            state.bytes += cost;
            state.data |= matches!(mail, Mail::Data(_));
            state.mails.push_back(mail);
        } else {
            self.queue.empty(&mut state);
            state.broken = Some(Broken::Overflow);
        }
        wake(state);
    }

    /// Breaks the queue; what it holds is lost, because what follows it is missing.
    pub(crate) fn fail(&self, broken: Broken) {
        let mut state = self.queue.lock();
        if state.broken.is_none() {
            self.queue.empty(&mut state);
            state.broken = Some(broken);
        }
        wake(state);
    }

    pub(crate) fn has_data(&self) -> bool {
        self.queue.lock().data
    }
}

/// The end that the owner of the channel holds. One reader at a time.
#[derive(Debug)]
pub(crate) struct Mailbox {
    queue: Arc<Queue>,
}

impl Mailbox {
    /// The next message, when there is one.
    pub(crate) async fn recv(&mut self) -> Result<Mail, Broken> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next message if it is there already.
    pub(crate) fn try_recv(&mut self) -> Option<Result<Mail, Broken>> {
        self.queue.pop(&mut self.queue.lock())
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Mail, Broken>> {
        let mut state = self.queue.lock();
        match self.queue.pop(&mut state) {
            Some(next) => Poll::Ready(next),
            None => {
                if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    state.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.gone = true;
        self.queue.empty(&mut state);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self, state: &mut State) -> Option<Result<Mail, Broken>> {
        let Some(mail) = state.mails.pop_front() else {
            return state.broken.map(Err);
        };
        let cost = mail.cost();
        state.bytes -= cost;
        self.budget.give_back(cost);
        Some(Ok(mail))
    }

    fn empty(&self, state: &mut State) {
        state.mails.clear();
        self.budget.give_back(std::mem::take(&mut state.bytes));
    }
}

impl Mail {
    fn cost(&self) -> usize {
        match self {
            Self::Data(bytes) | Self::Whole(bytes) => bytes.len() + MESSAGE_COST,
            Self::Accepted(_) | Self::Refused(_) | Self::End(_) | Self::Credit(_) => MESSAGE_COST,
        }
    }
}

/// Wakes the reader after the lock is released.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
