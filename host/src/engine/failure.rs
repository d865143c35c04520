//! Why a component could not be made ready, and how a call failed. Plain data and its texts.
//!
//! Texts from guests are bounded and free of control characters before they get in here.

use lath_control_api::Reason;

/// Most bytes of a text that comes from a guest or from the engine about a guest.
const MAX_TEXT: usize = 2048;

/// Why a component cannot be made ready. Goes into the inventory as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PrepareError {
    /// What kind of failure it is.
    pub reason: Reason,
    /// In words, with names and numbers, for people.
    pub message: String,
}

impl PrepareError {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: bounded(&message.into()) }
    }
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The component ended the call: a trap, an exit, or a broken rule of the component model.
    #[error("the component failed: {0}")]
    Trap(String),
    /// The call took longer than it may.
    #[error("the deadline passed")]
    DeadlineExceeded,
    /// No instance was free in time, or too many calls waited for one.
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// What the caller sent is larger than the component takes; the text says how much that is.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The host stopped the component before the call had ended.
    #[error("the component was stopped while the call ran")]
    Stopped,
    /// The component has no such function.
    #[error("no such function: {0}")]
    NoSuchFunction(String),
    /// A linked call that the component made has failed; the text says which and why.
    #[error("{0}")]
    Target(String),
    /// The caller went away before the answer had ended.
    #[error("the caller went away before the answer had ended")]
    Abandoned,
    /// Something else of the platform failed.
    #[error("{0}")]
    Failed(String),
}

/// What a call counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ended well.
    Succeeded,
    /// The component ended it by a trap.
    Trapped,
    /// It ended at its deadline.
    TimedOut,
    /// No instance was free in time.
    Overloaded,
    /// The component answered an HTTP request with a status of 500 to 599.
    Answered5xx,
    /// The caller went away by itself, or sent more than the component takes.
    Abandoned,
    /// Anything else.
    Failed,
}

impl CallError {
    /// What the call counts as.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Trap(_) => Outcome::Trapped,
            Self::DeadlineExceeded => Outcome::TimedOut,
            Self::Overloaded(_) => Outcome::Overloaded,
            // The caller's doing, not the component's.
            Self::Abandoned | Self::TooLarge(_) => Outcome::Abandoned,
            Self::Stopped | Self::NoSuchFunction(_) | Self::Target(_) | Self::Failed(_) => Outcome::Failed,
        }
    }

    /// Reads an error of the engine: a linked call's failure, an exit, a full pool, or a trap.
    ///
    /// `memory` tells of a limit of memory that the guest ran into, since that is what mostly causes the trap.
    pub(crate) fn of_guest(error: &wasmtime::Error, memory: Option<String>) -> Self {
        if let Some(linked) = error.downcast_ref::<LinkedCallFailed>() {
            return Self::Target(bounded(&linked.to_string()));
        }
        if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
            return Self::Overloaded("the host has no room for another instance".into());
        }
        let cause = guest_cause(error);
        Self::Trap(bounded(&match memory {
            Some(memory) => format!("{cause} ({memory})"),
            None => cause,
        }))
    }
}

/// A linked call has failed; it traps the caller, which has no other way to learn of it, and tells the host why.
#[derive(Debug, thiserror::Error)]
#[error("the linked call of `{function}` on `{target}` failed: {cause}")]
pub(crate) struct LinkedCallFailed {
    /// Interface and function.
    pub(crate) function: String,
    /// Who should have answered.
    pub(crate) target: String,
    /// Why it did not.
    pub(crate) cause: CallError,
}

/// The innermost cause in one line. The engine puts the guest's stack around it, which goes to the log.
fn guest_cause(error: &wasmtime::Error) -> String {
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return format!("it called exit with status {}", exit.0);
    }
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        return trap.to_string();
    }
    error.root_cause().to_string()
}

/// `text` without control characters but for spaces, cut to [`MAX_TEXT`] bytes.
pub(crate) fn bounded(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_TEXT));
    for c in text.chars() {
        if out.len() + c.len_utf8() > MAX_TEXT {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_cleaned() {
        assert_eq!(bounded("a\u{1b}[31m\nb"), "a [31m b");
        let long = "é".repeat(MAX_TEXT);
        assert!(bounded(&long).len() <= MAX_TEXT + '…'.len_utf8());
    }
}
