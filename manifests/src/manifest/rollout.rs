//! How one revision of an app replaces another: the typed form of the policy `policy.rollout.lath.dev/v1`.
//!
//! Numbers and their bounds only; what a strategy does is the planner's. Every duration and count has a bound, and
//! the pair that could never move (no surge and nothing unavailable) does not exist in a valid policy.

use std::time::Duration;

/// How a new revision takes over. Each field has a default, so an app without a policy has this one's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RolloutPolicy {
    /// The ladder of steps.
    pub strategy: Strategy,
    /// Hosts in one wave, 1 to 1,000.
    pub max_parallel: u32,
    /// What may run above the wanted number meanwhile, rounded up.
    pub max_surge: Share,
    /// What may be missing from the wanted number meanwhile, rounded down. Never 0 together with `max_surge`,
    /// except under [`Strategy::Recreate`], which asks for neither.
    pub max_unavailable: Share,
    /// How long a wave must stay healthy before the next one begins, up to 1 h; less than `progress_deadline`.
    pub min_healthy: Duration,
    /// Longest a rollout may stand without progress before it counts as failed, 1 s to 24 h.
    pub progress_deadline: Duration,
    /// True when a failed rollout puts the previous revision back by itself.
    pub auto_rollback: bool,
    /// How long the replaced instances may take to finish what they have begun, 100 ms to 1 h.
    pub drain_deadline: Duration,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Rolling,
            max_parallel: 1,
            max_surge: Share::Percent(25),
            max_unavailable: Share::Count(0),
            min_healthy: Duration::from_secs(1),
            progress_deadline: Duration::from_mins(2),
            auto_rollback: true,
            drain_deadline: Duration::from_secs(30),
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
