//! The model of NATS between processes: messages are delayed, and in rough runs lost, doubled, late or cut off.
//!
//! Harsher than the real thing, which keeps the order of one sender's messages to one receiver: here nothing may
//! rest on that.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::profile::Profile;
use crate::rng::Rng;

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    /// By its place among the hosts of the run.
    Host(usize),
    Manager(usize),
    Store,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(at) => write!(f, "host {at}"),
            Self::Manager(at) => write!(f, "m{at}"),
            Self::Store => write!(f, "store"),
        }
    }
}

/// Which links are cut, by direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    cut: BTreeSet<(Node, Node)>,
}

/// When a message arrives: never, once, or twice.
pub(crate) type Arrivals = [Option<Duration>; 2];

impl Network {
    pub(crate) fn cut(&mut self, from: Node, to: Node) {
        self.cut.insert((from, to));
    }

    pub(crate) fn heal(&mut self, from: Node, to: Node) {
        self.cut.remove(&(from, to));
    }

    pub(crate) fn heal_all(&mut self) {
        self.cut.clear();
    }

    /// How long a message is on its way.
    pub(crate) fn deliveries(&self, from: Node, to: Node, profile: &Profile, rng: &mut Rng) -> Arrivals {
        if self.cut.contains(&(from, to)) || rng.chance(profile.loss) {
            return [None, None];
        }
        let twice = rng.chance(profile.duplication);
        let delay = |rng: &mut Rng| match rng.chance(profile.late) {
            true => rng.millis(10, profile.lateness_ms),
            false => rng.millis(1, 15),
        };
        [Some(delay(rng)), twice.then(|| delay(rng))]
    }
}
