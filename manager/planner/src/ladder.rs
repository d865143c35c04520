//! The steps of one rollout, the same for every strategy: how much traffic, on which hosts, for how long.
//!
//! Worked out anew each time from the policy and the hosts that are there now, and stored nowhere: what is stored is
//! how far a rollout has come.

use std::collections::BTreeSet;
use std::time::Duration;

use lath_control_api::app::ChangeKind;
use lath_control_api::{HostId, Weight};
use lath_manifests::manifest::{Bake, RolloutPolicy, Strategy};

use crate::observed::ObservedState;
use crate::planted::planted;
use crate::record::{DesiredRecord, Promotion, Rollout, Stage};

/// Properties that say how a rollout climbs. A rollback for which one of them is given climbs, as a deploy does.
const CLIMB: [&str; 9] = [
    "strategy",
    "steps",
    "gates",
    "webhook",
    "max_parallel",
    "waves",
    "min_healthy_time",
    "auto_promote",
    "keep_warm",
];

/// Whether somebody has said, for this rollout alone, how it is to climb.
pub(crate) fn is_told_how(rollout: &Rollout) -> bool {
    CLIMB.iter().any(|name| rollout.overrides.contains_key(*name))
}

/// What a rollout climbs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// Nothing of the old revision may be left when the new one takes traffic.
    pub empties: bool,
    /// A person's word is needed before any traffic moves.
    pub waits_for_promotion: bool,
    /// Shares of the traffic, growing to 100.
    pub rungs: Vec<Rung>,
    /// Groups of hosts that get their turn one after another, on each rung.
    pub waves: Vec<BTreeSet<HostId>>,
    /// Whether counts are judged.
    pub gated: bool,
    /// Whether the policy's webhook is asked before traffic moves on.
    pub asks_webhook: bool,
    /// How long the old revision is kept ready after the last step.
    pub warm: Duration,
}

/// One share of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// The new revision's.
    pub weight: Weight,
    /// How long it must be healthy; none when a person's word ends the step.
    pub bake: Option<Duration>,
}

impl Ladder {
    /// The ladder of the record's rollout. `trivial`: the two revisions ask the same of hosts.
    #[must_use]
    pub fn new(
        record: &DesiredRecord,
        policy: &RolloutPolicy,
        observed: &ObservedState,
        trivial: bool,
    ) -> Self {
        let everywhere: BTreeSet<HostId> = record.assignment.hosts().cloned().collect();
        let kind = record.rollout.as_ref().map(|rollout| rollout.kind);
        let promotion = record.rollout.as_ref().map(|rollout| rollout.promotion).unwrap_or_default();
        let empties = policy.strategy == Strategy::Recreate && record.serving.is_some() && !trivial;
        // Without a revision before it nobody loses anything. A revision that people go back to has proven itself,
        // and whoever goes back is in a hurry, unless they say how they want it this time.
        let asked = record.rollout.as_ref().is_some_and(is_told_how);
        let quick = record.serving.is_none()
            || trivial
            || kind == Some(ChangeKind::Scale)
            || (kind == Some(ChangeKind::Rollback) && !asked)
            || promotion == Promotion::Full;
        if quick {
            let rungs = vec![Rung { weight: Weight::ALL, bake: Some(Duration::ZERO) }];
            let warm = if promotion == Promotion::Full { policy.keep_warm() } else { Duration::ZERO };
            let waves = vec![everywhere];
            return Self {
                empties,
                waits_for_promotion: false,
                rungs,
                waves,
                gated: false,
                asks_webhook: false,
                warm,
            };
        }
        let one_step = vec![Rung { weight: Weight::ALL, bake: Some(policy.min_healthy_time) }];
        let (rungs, waves) = match policy.strategy {
            Strategy::Rolling => (one_step, waves(everywhere, policy, observed)),
            Strategy::Canary => (rungs(policy), vec![everywhere]),
            Strategy::BlueGreen | Strategy::Recreate => (one_step, vec![everywhere]),
        };
        let warm = if empties { Duration::ZERO } else { policy.keep_warm() };
        let gated = !policy.gates.limits.is_empty();
        // A canary asks at each step instead; the others have one moment to be looked at.
        let asks_once =
            matches!(policy.strategy, Strategy::BlueGreen | Strategy::Rolling | Strategy::Recreate);
        let waits_for_promotion = asks_once && !policy.promotes_itself() && !planted!("promote-unpromoted");
        let asks_webhook = policy.webhook.is_some();
        Self { empties, waits_for_promotion, rungs, waves, gated, asks_webhook, warm }
    }

    /// The next hosts of a rung: those of the first wave that are not among `shifted`.
    #[must_use]
    pub fn next_wave(&self, shifted: &BTreeSet<HostId>) -> Option<BTreeSet<HostId>> {
        let left = self.waves.iter().map(|wave| wave.difference(shifted).cloned().collect());
        left.into_iter().find(|wave: &BTreeSet<HostId>| !wave.is_empty())
    }

    /// Steps as people count them: preparing, stopping the old where that is asked for, each wave of each rung, keeping
    /// warm where that is asked for, and settling.
    #[must_use]
    pub fn len(&self) -> u32 {
        1 + u32::from(self.empties) + self.moves() + u32::from(!self.warm.is_zero()) + 1
    }

    /// Never: preparing and settling are always there.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Where a stage stands among [`Ladder::len`] steps, from 1.
    #[must_use]
    pub fn position(&self, stage: &Stage) -> u32 {
        match stage {
            Stage::Preparing => 1,
            Stage::Emptying => 2,
            Stage::Shifting { shifted, rung, .. } => {
                let begun = self.waves.iter().filter(|wave| !wave.is_disjoint(shifted)).count().max(1);
                let moves = rung.saturating_mul(self.waves.len().max(1)).saturating_add(begun);
                (1 + u32::from(self.empties))
                    .saturating_add(u32::try_from(moves).unwrap_or(u32::MAX))
                    .min(self.len())
            }
            Stage::Warm { .. } => self.len() - 1,
            Stage::Settling | Stage::RollingBack | Stage::Stopping | Stage::Stuck => self.len(),
        }
    }

    fn moves(&self) -> u32 {
        u32::try_from(self.rungs.len().saturating_mul(self.waves.len().max(1))).unwrap_or(u32::MAX - 4)
    }
}

fn rungs(policy: &RolloutPolicy) -> Vec<Rung> {
    let rung = |step: &lath_manifests::manifest::CanaryStep| Rung {
        weight: Weight::try_from(step.weight).unwrap_or(Weight::ALL),
        bake: match step.bake {
            Bake::Promotion if planted!("promote-unpromoted") => Some(policy.min_healthy_time),
            // What does not promote itself asks at every step but the last, which has nothing left to move.
            _ if !policy.promotes_itself() && step.weight < 100 => None,
            Bake::MinHealthyTime => Some(policy.min_healthy_time),
            Bake::For(time) => Some(time),
            Bake::Promotion => None,
        },
    };
    policy.steps.iter().map(rung).collect()
}

/// The hosts in their turns: group by group where the policy names groups, at most so many at a time.
fn waves(hosts: BTreeSet<HostId>, policy: &RolloutPolicy, observed: &ObservedState) -> Vec<BTreeSet<HostId>> {
    let all = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
    let at_once = usize::try_from(policy.max_parallel.of_rounded_down(all).max(1)).unwrap_or(usize::MAX);
    let turn = |host: &HostId| {
        let waves = policy.waves.as_ref()?;
        let value = observed.host(host)?.summary.labels.0.get(&waves.label)?;
        waves.values.iter().position(|wanted| wanted == value)
    };
    // Hosts without a turn of their own come last.
    let mut in_turns: Vec<(usize, HostId)> =
        hosts.into_iter().map(|host| (turn(&host).unwrap_or(usize::MAX), host)).collect();
    in_turns.sort();
    let groups = in_turns.chunk_by(|(a, _), (b, _)| a == b);
    let waves = groups.flat_map(|group| group.chunks(at_once));
    waves.map(|wave| wave.iter().map(|(_, host)| host.clone()).collect()).collect()
}

#[cfg(test)]
mod tests;
