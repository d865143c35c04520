//! Ends the manager in the middle of a rollout, as a power cut would, and starts it again.

use std::time::{Duration, Instant};

use super::dice::Dice;
use super::kind::Kind;
use crate::lattice::Daemon;

/// How long the manager stays away.
const AWAY: Duration = Duration::from_millis(500);

/// Of a hundred rollouts so many have their manager killed, where that is asked for.
const KILLED: usize = 30;

/// How long after the beginning of a rollout the manager is to be killed, if it is.
pub(super) fn moment(dice: &mut Dice, kind: Kind) -> Option<Duration> {
    // Most are in the middle then: those that move no traffic are over sooner.
    let within_ms = if kind.moves_slowly() { 3_000 } else { 400 };
    let after = Duration::from_millis(dice.below(within_ms) as u64);
    dice.percent(KILLED).then_some(after)
}

/// Kills the manager after a while and brings it back. Says when it was killed.
pub(super) async fn kill(manager: &mut Daemon, after: Option<Duration>) -> Option<Instant> {
    tokio::time::sleep(after?).await;
    manager.kill();
    let killed = Instant::now();
    tokio::time::sleep(AWAY).await;
    manager.restart().await;
    Some(killed)
}
