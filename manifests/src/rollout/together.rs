//! What no single property of a rollout policy can be blamed for.
//!
//! Only what was given is blamed: a default, or what an overridden policy says, is never refused by itself. What
//! could not be read is compared with nothing, so that one mistake is reported once.

use std::collections::BTreeSet;

use super::Given;
use crate::code;
use crate::manifest::{RollbackRule, RolloutPolicy, Strategy};
use crate::problem::{Place, Problem};
use crate::read::listed;
use crate::units::show_duration;

/// Properties that mean something in some strategies only, and in which.
///
/// Anywhere else they are errors, not warnings: who writes steps expects a canary, and a rollout that goes another
/// way than its owner thinks is what a policy is there to prevent.
const STRATEGIES: [(&str, &[Strategy]); 4] = [
    ("steps", &[Strategy::Canary]),
    ("max_parallel", &[Strategy::Rolling]),
    ("waves", &[Strategy::Rolling]),
    // What was stopped before the new revision began cannot be kept.
    ("keep_warm", &[Strategy::Rolling, Strategy::Canary, Strategy::BlueGreen]),
];

/// Every contradiction, with the index of the property to blame.
pub(super) fn check(
    policy: &RolloutPolicy,
    given: &[Given<'_>],
    failed: &BTreeSet<usize>,
) -> Vec<(usize, Problem)> {
    let scene = Scene { policy, given, failed };
    let rules = [scene.stuck(), scene.never_healthy(), scene.nobody_asked(), scene.nothing_judged()];
    let rules = rules.into_iter().chain([scene.nobody_may()]).flatten();
    let strategies =
        STRATEGIES.into_iter().filter_map(|(name, strategies)| scene.no_effect(name, strategies));
    rules.chain(strategies).collect()
}

struct Scene<'a> {
    policy: &'a RolloutPolicy,
    given: &'a [Given<'a>],
    /// Indexes of what could not be read.
    failed: &'a BTreeSet<usize>,
}

type Found = Option<(usize, Problem)>;

impl Scene<'_> {
    /// The first of these properties that was given, unless one of them could not be read.
    fn first(&self, names: &[&str]) -> Option<usize> {
        let mut places = self.given.iter().enumerate().filter(|(_, (name, _))| names.contains(name));
        if places.clone().any(|(index, _)| self.failed.contains(&index)) {
            return None;
        }
        places.next().map(|(index, _)| index)
    }

    /// The place of `name`, unless it or one of `others` could not be read.
    fn only(&self, name: &str, others: &[&str]) -> Option<usize> {
        let unread =
            |(index, (other, _)): (usize, &Given<'_>)| others.contains(other) && self.failed.contains(&index);
        if self.given.iter().enumerate().any(unread) {
            return None;
        }
        self.first(&[name])
    }

    fn stuck(&self) -> Found {
        let policy = self.policy;
        let none = policy.max_surge.is_zero() && policy.max_unavailable.is_zero();
        let at = self
            .first(&["max_surge", "max_unavailable", "strategy"])
            .filter(|_| none && policy.strategy != Strategy::Recreate)?;
        let message = "with `max_surge` and `max_unavailable` both 0 nothing could ever be replaced";
        let help = "allow one of the two, such as `max_surge: \"25%\"`";
        Some((at, Problem::new(code::POLICY, message, help)))
    }

    fn never_healthy(&self) -> Found {
        let (healthy, progress) = (self.policy.min_healthy_time, self.policy.progress_deadline);
        let at = self.first(&["min_healthy_time", "progress_deadline"]).filter(|_| healthy >= progress)?;
        let message = format!(
            "`min_healthy_time` ({}) must be shorter than `progress_deadline` ({})",
            show_duration(healthy),
            show_duration(progress)
        );
        let help = "a step that may not be called healthy in time would always fail";
        Some((at, Problem::new(code::POLICY, message, help)))
    }

    fn nobody_asked(&self) -> Found {
        let at = self.only("webhook_timeout", &["webhook"]).filter(|_| self.policy.webhook.is_none())?;
        let message = "`webhook_timeout` has no effect without `webhook`";
        let help = "add `webhook: \"https://HOST/PATH\"`, or remove the timeout";
        Some((at, Problem::new(code::POLICY, message, help).at(Place::Name)))
    }

    fn nothing_judged(&self) -> Found {
        let at = self.only("inconclusive", &["gates"]).filter(|_| self.policy.gates.limits.is_empty())?;
        let message = "`inconclusive` has no effect without `gates`";
        let help = "add `gates: \"errors<=1%\"`, or remove the property";
        Some((at, Problem::new(code::POLICY, message, help).at(Place::Name)))
    }

    /// A default is quiet here: `rollback: manual` alone says enough.
    fn nobody_may(&self) -> Found {
        let rule = self.policy.rollback;
        let at = self
            .only("auto_rollback", &["rollback"])
            .filter(|_| self.policy.auto_rollback && rule != RollbackRule::Allowed)?;
        let message =
            format!("`auto_rollback` cannot be true with `rollback: {}`, which forbids it", rule.as_str());
        let help = "write `rollback: allowed`, or leave `auto_rollback` out";
        Some((at, Problem::new(code::POLICY, message, help)))
    }

    fn no_effect(&self, name: &str, strategies: &[Strategy]) -> Found {
        let strategy = self.policy.strategy;
        let at = self.only(name, &["strategy"]).filter(|_| !strategies.contains(&strategy))?;
        let message = format!("`{name}` has no effect in the strategy `{}`", strategy.as_str());
        let names: Vec<&str> = strategies.iter().map(|strategy| strategy.as_str()).collect();
        let help = match names.as_slice() {
            [one] => format!("add `strategy: {one}`, or remove the property"),
            several => format!("it is for {}: choose one of them, or remove the property", listed(several)),
        };
        Some((at, Problem::new(code::POLICY, message, help).at(Place::Name)))
    }
}
