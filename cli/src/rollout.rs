//! `lath rollout`: looks on at a rollout, and steers it.
//!
//! The picture is `rollout/tree.rs`, its numbers `rates.rs`, its keys `keys.rs`; the commands are in `watch.rs` and
//! `control.rs`. Whether something may be done at a step is the manager's decision.

mod control;
mod keys;
mod rates;
mod screen;
mod tree;
mod watch;

use clap::Subcommand;

use crate::call::Call;
use crate::failure::{Exit, Failure};

pub(crate) use control::status;
pub(crate) use rates::{Rates, Seen};
pub(crate) use screen::{Screen, Steered};

/// What is told below the verbs.
pub(crate) const AFTER_HELP: &str = "\
    A rollout that pauses by itself says why and which command goes on with it. A failure takes it back also while it is \
    paused. `abort` works as long as the revision before is there, also while it is only kept warm; later it is \
    `lath rollback`. `retry` goes on with a rollout that is held after a failure, and deploys anew what was taken back.";

/// The commands of `lath rollout`.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Show a rollout until it has ended
    Watch(watch::WatchArgs),
    /// Have a rollout stay at its step
    Pause(control::ControlArgs),
    /// Let a paused rollout go on
    Resume(control::ControlArgs),
    /// Let the step at hand be enough
    Promote(control::PromoteArgs),
    /// Give everything back to the revision before
    Abort(control::ControlArgs),
    /// Try again what failed
    Retry(control::ControlArgs),
}

/// Carries a command out.
pub(crate) async fn rollout(command: RolloutCommand, call: &Call) -> Result<Exit, Failure> {
    match command {
        RolloutCommand::Watch(args) => watch::watch(args, call).await,
        RolloutCommand::Pause(args) => control::pause(args, call).await,
        RolloutCommand::Resume(args) => control::resume(args, call).await,
        RolloutCommand::Promote(args) => control::promote(args, call).await,
        RolloutCommand::Abort(args) => control::abort(args, call).await,
        RolloutCommand::Retry(args) => control::retry(args, call).await,
    }
}
