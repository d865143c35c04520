//! Which revisions of an app may answer at which time: one at rest, two while one takes over from the other, and from
//! the moment that a change is called done only what it led to.

use std::collections::BTreeSet;

use super::book::Micros;

/// Revisions of a rollout that may answer from some moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The one that served before.
    Old,
    /// That one and whatever is new.
    Both,
    /// What is new.
    New,
}

/// Everything that an app's answers may come from, over all of the soak.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    /// From when on, in order of time, and which revisions.
    spans: Vec<(Micros, BTreeSet<u32>)>,
}

impl Stage {
    /// From now on these, and no others.
    pub(super) fn set(&mut self, from: Micros, revisions: BTreeSet<u32>) {
        self.spans.push((from, revisions));
    }

    /// What may have answered a request that was sent and answered at these times.
    pub(super) fn allowed(&self, sent: Micros, ended: Micros) -> BTreeSet<u32> {
        // A request is answered by what serves at some moment while it is out.
        let first = self.spans.partition_point(|(from, _)| *from <= sent).saturating_sub(1);
        let out = self.spans.iter().skip(first).take_while(|(from, _)| *from <= ended.max(sent));
        out.flat_map(|(_, revisions)| revisions.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_be_answered_by_what_serves_while_it_is_out() {
        let mut stage = Stage::default();
        stage.set(0, BTreeSet::from([1]));
        stage.set(100, BTreeSet::from([1, 2]));
        stage.set(200, BTreeSet::from([2]));
        for (sent, ended, allowed) in [
            (10, 20, vec![1]),
            (90, 110, vec![1, 2]),
            (150, 160, vec![1, 2]),
            (190, 300, vec![1, 2]),
            (200, 210, vec![2]),
            (500, 510, vec![2]),
        ] {
            assert_eq!(stage.allowed(sent, ended), allowed.into_iter().collect(), "{sent} to {ended}");
        }
    }
}
