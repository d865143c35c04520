//! The model of NATS between processes: messages are delayed, and in rough runs lost, doubled, late or cut off.
//!
//! Harsher than the real thing, which keeps the order of one sender's messages to one receiver: here nothing may
//! rest on that.

use std::collections::BTreeSet;
use std::time::Duration;

use lath_control_api::HostId;

use crate::profile::Profile;
use crate::rng::Rng;

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Host(HostId),
    Manager(usize),
    Store,
}

/// Which links are cut, by direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    cut: BTreeSet<(Node, Node)>,
}

impl Network {
    pub(crate) fn cut(&mut self, from: &Node, to: &Node) {
        self.cut.insert((from.clone(), to.clone()));
    }

    pub(crate) fn heal(&mut self, from: &Node, to: &Node) {
        self.cut.remove(&(from.clone(), to.clone()));
    }

    pub(crate) fn heal_all(&mut self) {
        self.cut.clear();
    }

    /// When a message arrives: never, once, or twice.
    pub(crate) fn deliveries(
        &self,
        from: &Node,
        to: &Node,
        profile: &Profile,
        rng: &mut Rng,
    ) -> Vec<Duration> {
        if self.cut.contains(&(from.clone(), to.clone())) || rng.chance(profile.loss) {
            return Vec::new();
        }
        let copies = if rng.chance(profile.duplication) { 2 } else { 1 };
        let delay = |rng: &mut Rng| match rng.chance(profile.late) {
            true => rng.millis(10, profile.lateness_ms),
            false => rng.millis(1, 15),
        };
        (0..copies).map(|_| delay(rng)).collect()
    }
}
