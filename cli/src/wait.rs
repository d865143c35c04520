//! Waiting for a change, as a pure decision: statuses come in, lines to show and the end come out.
//!
//! No clock and no printing here: the time since the change was asked for is handed in. What is waited for and how
//! that can end is in this file, who follows is in `wait/follower.rs`, the words are in `wait/lines.rs`.

mod follower;
mod lines;

use lath_control_api::app::{AppStatus, Problem};
use lath_control_api::{AppName, Generation, Revision, Timestamp};

use crate::failure::Exit;

pub(crate) use follower::Follower;
pub(crate) use lines::{gate_line, phase_word, prepared, problem_line};

/// Which change is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A manifest is to run.
    Deploy,
    /// An earlier revision is to run again.
    Rollback,
    /// A component is to have another number of instances.
    Scale,
    /// The app is to stop.
    Undeploy,
    /// The app is to be forgotten.
    Delete,
    /// The rollout is to stand still.
    Pause,
    /// A paused rollout is to go on.
    Resume,
    /// A step, or all that are left, is to count as passed.
    Promote,
    /// The revision before is to serve again.
    Abort,
    /// What failed is to be tried again.
    Retry,
    /// Nothing is asked for: whatever runs is looked at until it has ended.
    Watch,
}

impl Change {
    /// The command's word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Scale => "scale",
            Self::Undeploy => "undeploy",
            Self::Delete => "delete",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Retry => "retry",
            Self::Watch => "watch",
        }
    }

    /// Whether the app is to go away from the hosts.
    pub(crate) const fn stops(self) -> bool {
        match self {
            Self::Undeploy | Self::Delete => true,
            Self::Deploy
            | Self::Rollback
            | Self::Scale
            | Self::Pause
            | Self::Resume
            | Self::Promote
            | Self::Abort
            | Self::Retry
            | Self::Watch => false,
        }
    }

    /// Whether a rollout begins with it.
    pub(crate) const fn begins(self) -> bool {
        match self {
            Self::Deploy | Self::Rollback | Self::Scale | Self::Retry => true,
            Self::Undeploy
            | Self::Delete
            | Self::Pause
            | Self::Resume
            | Self::Promote
            | Self::Abort
            | Self::Watch => false,
        }
    }

    /// Whether a rollout that waits for a person, or only keeps the old revision warm, is all that can be waited for.
    const fn ends_at_rest(self) -> bool {
        match self {
            Self::Deploy
            | Self::Rollback
            | Self::Scale
            | Self::Pause
            | Self::Resume
            | Self::Promote
            | Self::Retry
            | Self::Watch => true,
            Self::Undeploy | Self::Delete | Self::Abort => false,
        }
    }
}

/// What is to become true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goal {
    /// The app.
    pub(crate) app: AppName,
    /// Kind of change.
    pub(crate) change: Change,
    /// The generation that the manager gave the change.
    pub(crate) generation: Generation,
    /// Where it goes.
    pub(crate) revision: Option<Revision>,
    /// Where it comes from.
    pub(crate) from: Option<Revision>,
    /// The manager had nothing to change.
    pub(crate) unchanged: bool,
    /// How the app stood before a rollout was told something: what still looks so may be no answer yet.
    pub(crate) before: Option<Box<AppStatus>>,
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It is so.
    Completed,
    /// It was so before.
    Unchanged,
    /// The new revision has everything, and the one before it is kept ready for a while.
    Warm(Option<Timestamp>),
    /// It stands still until a person says more, for this reason.
    Paused(String),
    /// The revision before serves again, as was asked for.
    Aborted,
    /// The app is stopped.
    Stopped,
    /// The app is forgotten.
    Deleted,
    /// It failed, and what was there before serves again.
    RolledBack(Option<Problem>),
    /// It failed and there was nothing to go back to.
    Failed(Option<Problem>),
    /// It failed, and going back failed or left less than there was.
    Degraded(Option<Problem>),
    /// Somebody asked for something newer.
    Superseded,
}

impl End {
    /// The process's exit.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Completed
            | Self::Unchanged
            | Self::Warm(_)
            | Self::Paused(_)
            | Self::Aborted
            | Self::Stopped
            | Self::Deleted => Exit::Done,
            Self::RolledBack(_) => Exit::RolledBack,
            Self::Failed(_) => Exit::Failed,
            Self::Degraded(_) => Exit::Degraded,
            Self::Superseded => Exit::Conflict,
        }
    }

    /// The word in machine output: what became of the rollout.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Completed | Self::Unchanged | Self::Warm(_) => "Completed",
            Self::Paused(_) => "Paused",
            Self::Stopped => "Stopped",
            Self::Deleted => "Deleted",
            Self::RolledBack(_) | Self::Aborted => "RolledBack",
            Self::Failed(_) => "Failed",
            Self::Degraded(_) => "Degraded",
            Self::Superseded => "Superseded",
        }
    }

    /// Why, where it did not go well.
    pub(crate) const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::RolledBack(problem) | Self::Failed(problem) | Self::Degraded(problem) => problem.as_ref(),
            Self::Completed
            | Self::Unchanged
            | Self::Warm(_)
            | Self::Paused(_)
            | Self::Aborted
            | Self::Stopped
            | Self::Deleted
            | Self::Superseded => None,
        }
    }
}

/// A line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The text.
    pub(crate) text: String,
    /// Whether it tells more than how far things are: it stays on the screen also where that is painted.
    pub(crate) event: bool,
}

/// What a status is news of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Lines, oldest first.
    pub(crate) lines: Vec<Line>,
    /// Set when there is nothing more to wait for.
    pub(crate) end: Option<End>,
}

#[cfg(test)]
mod tests;
