//! How one revision of an app replaces another: the typed form of the policy `policy.rollout.lath/v1`.
//!
//! Numbers and their bounds only; what a strategy does is the planner's. Every duration and count has a bound, and
//! the pair that could never move (no surge and nothing unavailable) does not exist in a valid policy.

use std::collections::BTreeSet;
use std::time::Duration;

use lath_control_api::{ComponentName, UnverifiedLinks};

/// How a new revision takes over. Each field has a default, so an app without a policy has this one's default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RolloutPolicy {
    /// The ladder of steps.
    pub strategy: Strategy,
    /// Steps of [`Strategy::Canary`], with growing weights of which the last is 100.
    pub steps: Vec<CanaryStep>,
    /// What the candidate's calls are judged by. Empty: only its readiness counts.
    pub gates: Gates,
    /// Who is asked before each step that moves traffic on.
    pub webhook: Option<Webhook>,
    /// Hosts in one wave of [`Strategy::Rolling`]: at least one, a percentage rounded down.
    pub max_parallel: Share,
    /// What may be ready beyond the wanted number meanwhile, rounded up.
    pub max_surge: Share,
    /// Assigned hosts that may be not ready while the rollout goes on, rounded down. Never 0 together with
    /// `max_surge`, except under [`Strategy::Recreate`], which asks for neither.
    pub max_unavailable: Share,
    /// How long a step must stay healthy before the next one begins, up to 1 h; less than `progress_deadline`. A step
    /// of a canary with a time of its own has that one instead.
    pub min_healthy_time: Duration,
    /// Longest that the hosts of a step may take to become ready, 1 s to 24 h.
    pub healthy_deadline: Duration,
    /// Longest a rollout may stand without progress before it counts as failed, 1 s to 24 h. Pauses do not count.
    pub progress_deadline: Duration,
    /// True when a failed rollout puts the previous revision back by itself.
    pub auto_rollback: bool,
    /// Whether traffic moves without a person's word; see [`RolloutPolicy::promotes_itself`].
    pub auto_promote: Option<bool>,
    /// How long the replaced revision stays ready beside the new one, up to 24 h; see [`RolloutPolicy::keep_warm`].
    pub keep_warm: Option<Duration>,
    /// How long the replaced instances may take to finish what they have begun, 100 ms to 1 h.
    pub drain_deadline: Duration,
    /// How long calls may be held while something exclusive changes hands, 0 to 1 min.
    pub hold_time: Duration,
    /// What a link is worth that a provider was given and said nothing about.
    pub unverified_links: UnverifiedLinks,
    /// Whether, and by whom, this revision may be left for an earlier one.
    pub rollback: RollbackRule,
    /// In which order groups of hosts get their turn. Hosts of no group come last.
    pub waves: Option<Waves>,
    /// The policy is for changes of these components only; empty: for all.
    pub components: BTreeSet<ComponentName>,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Rolling,
            steps: CanaryStep::usual(),
            gates: Gates::default(),
            webhook: None,
            max_parallel: Share::Percent(25),
            max_surge: Share::Percent(25),
            max_unavailable: Share::Count(0),
            min_healthy_time: Duration::from_secs(5),
            healthy_deadline: Duration::from_mins(1),
            progress_deadline: Duration::from_mins(5),
            auto_rollback: true,
            auto_promote: None,
            keep_warm: None,
            drain_deadline: Duration::from_secs(30),
            hold_time: Duration::from_secs(5),
            unverified_links: UnverifiedLinks::Allow,
            rollback: RollbackRule::Allowed,
            waves: None,
            components: BTreeSet::new(),
        }
    }
}

impl RolloutPolicy {
    /// The policy for a rollout that changes these components: the first that is limited to one of them, else the one
    /// that is for all, else the usual one.
    #[must_use]
    pub fn choose(policies: &[Self], changed: &BTreeSet<ComponentName>) -> Self {
        let limited = policies.iter().find(|policy| !policy.components.is_disjoint(changed));
        let general = || policies.iter().find(|policy| policy.components.is_empty());
        limited.or_else(general).cloned().unwrap_or_default()
    }

    /// Whether traffic moves to the new revision without a person's word: as `auto_promote` says, else always but in
    /// the blue-green strategy, whose new revision waits to be looked at.
    #[must_use]
    pub fn promotes_itself(&self) -> bool {
        self.auto_promote.unwrap_or(self.strategy != Strategy::BlueGreen)
    }

    /// How long the replaced revision is kept beside the new one: as `keep_warm` says, else 5 minutes in the
    /// blue-green strategy and not at all in others.
    #[must_use]
    pub fn keep_warm(&self) -> Duration {
        let usual =
            if self.strategy == Strategy::BlueGreen { Duration::from_mins(5) } else { Duration::ZERO };
        self.keep_warm.unwrap_or(usual)
    }
}

/// One step of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanaryStep {
    /// Percent of the traffic that goes to the new revision, 1 to 100.
    pub weight: u8,
    /// What ends the step.
    pub bake: Bake,
}

impl CanaryStep {
    /// 5 % for a minute, 25 % and 50 % for two, then all.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        let step = |weight, minutes| Self { weight, bake: Bake::For(Duration::from_mins(minutes)) };
        vec![step(5, 1), step(25, 2), step(50, 2), Self { weight: 100, bake: Bake::MinHealthyTime }]
    }
}

/// What ends a step, its gates aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bake {
    /// [`RolloutPolicy::min_healthy_time`].
    MinHealthyTime,
    /// So much time in which it was healthy, up to 24 h.
    For(Duration),
    /// A person's word.
    Promotion,
}

/// What a candidate must hold to in the window of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gates {
    /// All must hold, for each component by itself.
    pub limits: Vec<GateLimit>,
    /// Calls of a component without which nothing is known of it, 1 to 1,000,000.
    pub samples: u32,
    /// What happens when a step's time is over and there were too few calls.
    pub inconclusive: Inconclusive,
}

impl Default for Gates {
    fn default() -> Self {
        Self { limits: Vec::new(), samples: 20, inconclusive: Inconclusive::Pause }
    }
}

/// One comparison: at most so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimit {
    /// What is measured.
    pub metric: Metric,
    /// What it may be.
    pub bound: Bound,
}

/// Something that hosts count of every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Calls that failed, whatever the kind, of all that ended.
    Errors,
    /// Calls that trapped, of all that ended.
    Traps,
    /// Time that 50, 90, 95 or 99 of a hundred calls needed at most.
    Latency {
        /// 50, 90, 95 or 99.
        percentile: u8,
    },
}

impl Metric {
    /// Every metric, in the order of documents.
    pub const ALL: [Self; 6] = [
        Self::Errors,
        Self::Traps,
        Self::Latency { percentile: 50 },
        Self::Latency { percentile: 90 },
        Self::Latency { percentile: 95 },
        Self::Latency { percentile: 99 },
    ];

    /// Its word in a manifest: `errors`, `traps`, `p95`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Errors => "errors".to_owned(),
            Self::Traps => "traps".to_owned(),
            Self::Latency { percentile } => format!("p{percentile}"),
        }
    }
}

/// What a metric may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A part of the calls, in millionths: `errors<=1%`.
    Ratio(u32),
    /// So much more than the stable revision in the same window, in millionths of the calls: `errors<=+1%`.
    AboveStable(u32),
    /// A time: `p99<=200ms`.
    Time(Duration),
    /// So many thousandths of what the stable revision has in the same window: `p95<=1.5x`.
    TimesStable(u32),
}

/// What a gate does that cannot judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inconclusive {
    /// The rollout pauses until a person says more.
    Pause,
    /// It waits for more calls, until the progress deadline.
    Wait,
}

impl Inconclusive {
    /// Both, in the order of documents.
    pub const ALL: [Self; 2] = [Self::Pause, Self::Wait];

    /// The word in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Wait => "wait",
        }
    }
}

/// Somebody who must agree, asked by HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `http://` or `https://`, without user names.
    pub url: String,
    /// Longest wait for its answer, 100 ms to 1 min.
    pub timeout: Duration,
}

impl Webhook {
    /// How long its answer is waited for when the policy does not say.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
    /// What its address begins with.
    pub(crate) const SCHEMES: [&'static str; 2] = ["https://", "http://"];
}

/// Groups of hosts by the value of a label, in the order of their turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waves {
    /// The label.
    pub label: String,
    /// Its values; hosts with none of them come last.
    pub values: Vec<String>,
}

/// Whether a revision may be left for an earlier one: not, for one that has changed data for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RollbackRule {
    /// By itself and by people.
    Allowed,
    /// By people only.
    Manual,
    /// By nobody.
    Forbidden,
}

impl RollbackRule {
    /// Every rule, in the order of documents.
    pub const ALL: [Self; 3] = [Self::Allowed, Self::Manual, Self::Forbidden];

    /// The word in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Manual => "manual",
            Self::Forbidden => "forbidden",
        }
    }
}

/// The ladder that a rollout climbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Waves of hosts, each at once from old to new.
    Rolling,
    /// A growing part of the traffic.
    Canary,
    /// All of the new beside all of the old, then one switch.
    BlueGreen,
    /// Stop the old, then start the new.
    Recreate,
}

impl Strategy {
    /// Every strategy, in the order of documents.
    pub const ALL: [Self; 4] = [Self::Rolling, Self::Canary, Self::BlueGreen, Self::Recreate];

    /// The word in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::Canary => "canary",
            Self::BlueGreen => "blue-green",
            Self::Recreate => "recreate",
        }
    }
}

/// A part of a whole: so many, or so many in a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// A number of units, at most [`crate::limits::MAX_INSTANCES`].
    Count(u32),
    /// Percent of the whole, 0 to 100.
    Percent(u8),
}

impl Share {
    /// True when it is nothing of any whole.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    /// The share of `whole`, a part of a unit counting as one.
    #[must_use]
    pub const fn of_rounded_up(self, whole: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => percent_of(whole, percent, 99),
        }
    }

    /// The share of `whole`, a part of a unit counting as nothing.
    #[must_use]
    pub const fn of_rounded_down(self, whole: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => percent_of(whole, percent, 0),
        }
    }
}

/// Split so that no product can overflow: hundreds exactly, the rest rounded with `carry`.
const fn percent_of(whole: u32, percent: u8, carry: u32) -> u32 {
    let percent = percent as u32;
    (whole / 100).saturating_mul(percent).saturating_add((whole % 100 * percent + carry) / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_towards_safety() {
        assert_eq!(Share::Percent(25).of_rounded_up(2), 1);
        assert_eq!(Share::Percent(25).of_rounded_down(2), 0);
        assert_eq!(Share::Percent(25).of_rounded_up(8), 2);
        assert_eq!(Share::Percent(100).of_rounded_down(u32::MAX), u32::MAX);
        assert_eq!(Share::Percent(0).of_rounded_up(7), 0);
        assert_eq!(Share::Count(3).of_rounded_up(1), 3);
    }
}
