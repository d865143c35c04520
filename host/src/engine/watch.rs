//! Ends a call in time: at its deadline, when its answer is late, when its unit is stopped, or when nobody reads its
//! answer any more.
//!
//! It stands around the future of the call, so that a guest is stopped in wasm (which yields at every tick of
//! the epoch) and in a host call alike. Whoever is stopped loses its store: the future is dropped.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::engine::CallError;
use crate::engine::counts::Answered;

/// How often a long call looks whether it should go on. Short calls never do.
const LOOK: Duration = Duration::from_millis(200);
/// How long a guest may go on when nobody reads its answer any more.
const UNREAD: Duration = Duration::from_secs(1);

/// What ends a call early.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch<'a> {
    deadline: Instant,
    stopped: &'a AtomicBool,
    unread: Option<&'a AtomicBool>,
    /// When there must be an answer, and where it is noted.
    answer_by: Option<(Instant, &'a OnceLock<Answered>)>,
}

impl<'a> Watch<'a> {
    pub(crate) const fn new(deadline: Instant, stopped: &'a AtomicBool) -> Self {
        Self { deadline, stopped, unread: None, answer_by: None }
    }

    /// Ends the call also when `unread` has been true for a while.
    pub(crate) const fn unless_unread(self, unread: &'a AtomicBool) -> Self {
        Self { unread: Some(unread), ..self }
    }

    /// Ends the call also when nothing stands in `answered` at that time, if any.
    pub(crate) fn answered_by(self, time: Option<Instant>, answered: &'a OnceLock<Answered>) -> Self {
        Self { answer_by: time.map(|time| (time, answered)), ..self }
    }

    /// What a failure is to the caller: once the deadline has passed, a linked call that ended at it is no fault
    /// of its target.
    pub(crate) fn verdict(&self, error: CallError) -> CallError {
        match error {
            CallError::Target(_) if Instant::now() >= self.deadline => CallError::DeadlineExceeded,
            other => other,
        }
    }

    /// Runs `call` to its end, or drops it when it must not go on.
    pub(crate) async fn over<T>(&self, call: impl Future<Output = T>) -> Result<T, CallError> {
        tokio::pin!(call);
        let begun = Instant::now();
        let sleep = tokio::time::sleep_until((begun + LOOK).min(self.due()).into());
        tokio::pin!(sleep);
        let mut unread_since = None;
        loop {
            tokio::select! {
                // A result that is there counts, even at the deadline.
                biased;
                result = &mut call => return Ok(result),
                () = &mut sleep => {}
            }
            let now = Instant::now();
            if self.stopped.load(Ordering::Relaxed) {
                return Err(CallError::Stopped);
            }
            if now >= self.due() {
                return Err(CallError::DeadlineExceeded);
            }
            if self.unread.is_some_and(|unread| unread.load(Ordering::Relaxed))
                && now.duration_since(*unread_since.get_or_insert(now)) >= UNREAD
            {
                return Err(CallError::Abandoned);
            }
            sleep.as_mut().reset((now + LOOK).min(self.due()).into());
        }
    }

    /// When the call must have ended, as things stand.
    fn due(&self) -> Instant {
        match self.answer_by {
            Some((time, answered)) if answered.get().is_none() => time.min(self.deadline),
            Some(_) | None => self.deadline,
        }
    }
}
