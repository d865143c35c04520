//! The calls that an instance which stays is busy with: how each is counted, answered and ended in time.
//!
//! It is kept outside of the engine. While a guest computes, or once it has trapped, nothing inside of the engine's
//! future can tell a caller anything.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use crate::engine::counts::Recorder;
use crate::engine::session::{Answer, after};
use crate::engine::{CallError, Outcome, Prepared};

/// How often it is looked whether a caller has left.
const LOOK: Duration = Duration::from_millis(200);

/// Calls of one instance.
pub(crate) struct Calls<'a> {
    prepared: &'a Prepared,
    state: Mutex<State<'a>>,
    /// A call has begun, or there will be none.
    begun: Notify,
}

struct State<'a> {
    /// The first call: it begins before there is an instance for it.
    first: Option<Recorder<'a>>,
    last: u64,
    under_way: BTreeMap<u64, UnderWay<'a>>,
    /// When the last of all calls must have ended.
    last_due: Option<Instant>,
    /// No more will begin: what the guest goes on with must end by `last_due`.
    runs_out: bool,
}

struct UnderWay<'a> {
    recorder: Recorder<'a>,
    answer: oneshot::Sender<Result<Answer, CallError>>,
    due: Instant,
}

impl<'a> Calls<'a> {
    /// Those of an instance that is made for a call which must have ended by `due`.
    pub(crate) fn new(prepared: &'a Prepared, due: Instant) -> Self {
        let first = Some(Recorder::start(&prepared.counters, due));
        let state = State { first, last: 0, under_way: BTreeMap::new(), last_due: None, runs_out: false };
        Self { prepared, state: Mutex::new(state), begun: Notify::new() }
    }

    /// There is no instance for the first call.
    pub(crate) fn refused(&self, cause: &CallError) {
        if let Some(first) = self.state().first.take() {
            first.end(cause.outcome());
        }
    }

    /// A call begins. Gives its number.
    pub(crate) fn begin(&self, answer: oneshot::Sender<Result<Answer, CallError>>, due: Instant) -> u64 {
        let mut state = self.state();
        let recorder = state.first.take().unwrap_or_else(|| Recorder::start(&self.prepared.counters, due));
        state.last += 1;
        state.last_due = state.last_due.max(Some(due));
        let number = state.last;
        state.under_way.insert(number, UnderWay { recorder, answer, due });
        drop(state);
        self.begun.notify_one();
        number
    }

    /// A call has ended well.
    pub(crate) fn answer(&self, number: u64, answer: Answer) {
        let call = self.state().under_way.remove(&number);
        if let Some(call) = call {
            call.recorder.end(Outcome::Succeeded);
            // A caller that has left has no use for it.
            let _unwanted = call.answer.send(Ok(answer));
        }
    }

    /// No more calls will begin.
    pub(crate) fn run_out(&self) {
        self.state().runs_out = true;
        self.begun.notify_one();
    }

    /// Resolves when the instance must end because a call has not ended in time, or a caller has left during one.
    pub(crate) async fn over(&self) -> CallError {
        loop {
            let now = Instant::now();
            let wait = {
                let state = self.state();
                if state.under_way.values().any(|call| call.answer.is_closed()) {
                    return CallError::Abandoned;
                }
                let dues = state.under_way.values().map(|call| call.due);
                let next = dues.chain(state.last_due.filter(|_| state.runs_out)).min();
                if next.is_some_and(|due| due <= now) {
                    return CallError::DeadlineExceeded;
                }
                next.map(|due| if state.under_way.is_empty() { due } else { due.min(now + LOOK) })
            };
            match wait {
                Some(until) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(until.into()) => {}
                        () = self.begun.notified() => {}
                    }
                }
                None => self.begun.notified().await,
            }
        }
    }

    /// The instance has ended for this reason: the calls that it is busy with have too. One of them is why.
    pub(crate) fn end(&self, cause: &CallError) {
        let (first, under_way) = {
            let mut state = self.state();
            (state.first.take(), std::mem::take(&mut state.under_way))
        };
        if let Some(first) = first {
            first.end(cause.outcome());
        }
        let is_due = |call: &UnderWay<'_>| match cause {
            CallError::DeadlineExceeded => call.due <= Instant::now(),
            CallError::Abandoned => call.answer.is_closed(),
            _ => true,
        };
        let culprit = under_way.iter().find(|(_, call)| is_due(call)).map(|(number, _)| *number);
        for (number, call) in under_way {
            let told = if culprit == Some(number) || matches!(cause, CallError::Stopped) {
                cause.clone()
            } else {
                CallError::Failed(after(cause))
            };
            call.recorder.end(told.outcome());
            let _unwanted = call.answer.send(Err(told));
        }
    }

    /// Held for a moment only.
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
