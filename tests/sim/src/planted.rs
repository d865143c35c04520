//! Deliberate bugs, each of which some run must notice (feature `planted-bugs`).
//!
//! Some are planted in the planner and in the decisions of hosts, the others in the models here, which stand for code
//! that needs a network or a disk. Which one is there is chosen for each run; without the feature there is none.
//! Each also has a feature of its own, `bug-NAME`, which plants it in every run.

/// A deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bug {
    /// Its name, as in the feature `bug-NAME`.
    pub name: &'static str,
    /// What it does.
    pub does: &'static str,
    /// Whether its feature is on.
    on: bool,
}

/// The bugs of a list, each with the feature that turns it on.
macro_rules! bugs {
    ($($name:literal $feature:literal $does:literal)*) => {
        [$(Bug { name: $name, does: $does, on: cfg!(feature = $feature) }),*]
    };
}

/// All of them.
pub const BUGS: &[Bug] = &bugs! {
    // In the planner.
    "forget-step" "bug-forget-step" "new content for hosts under the step of the old"
    "promote-unpromoted" "bug-promote-unpromoted" "traffic moves without the person's word that the policy asks for"
    "ignore-failed-gate" "bug-ignore-failed-gate" "a gate that failed counts as held"
    "ignore-pause" "bug-ignore-pause" "a paused rollout goes on"
    "rollback-to-failed" "bug-rollback-to-failed" "going back leads to a revision that failed"
    "shift-unready" "bug-shift-unready" "traffic moves before the new revision is ready"
    "settle-unready" "bug-settle-unready" "a rollout is called done before the new revision is ready"
    "back-by-itself" "bug-back-by-itself" "a rollout goes back by itself although its policy forbids it"
    "stuck-tries-again" "bug-stuck-tries-again" "what is stuck goes on without anybody's word"
    "ignore-lost-writes" "bug-ignore-lost-writes" "hosts that know more than the store are not outrun"
    "send-always" "bug-send-always" "hosts are told what they have confirmed"
    "never-wake" "bug-never-wake" "no time is named at which the plan could change"
    "forget-touched" "bug-forget-touched" "a host is forgotten before it says that nothing is left"
    "drop-surplus" "bug-drop-surplus" "the old place goes before the new one is ready"
    "silence-is-absence" "bug-silence-is-absence" "a silent host loses its place in what is gone back to"
    "shift-everywhere" "bug-shift-everywhere" "hosts get the new share before their turn"
    "back-to-more" "bug-back-to-more" "going back asks for more instances than there were"
    // In the decisions of hosts.
    "skip-epoch-check" "bug-skip-epoch-check" "a command of an older term is obeyed"
    "obey-older" "bug-obey-older" "an older decision is obeyed"
    "flip-early" "bug-flip-early" "the old is left before the new is ready"
    "route-unready" "bug-route-unready" "calls are led to what is not ready"
    "share-alone" "bug-share-alone" "a component shares its traffic while others of its app cannot"
    "stop-busy" "bug-stop-busy" "a unit is stopped with calls in flight"
    // In the models.
    "send-before-commit" "bug-send-before-commit" "what a plan says is sent before the record is written"
    "empty-list-is-delete" "bug-empty-list-is-delete" "what the manager has not listed is taken off the hosts"
    "write-without-cas" "bug-write-without-cas" "the store writes records without comparing their numbers"
    "keep-epoch" "bug-keep-epoch" "the lease is taken over without a new epoch"
    "no-relist" "bug-no-relist" "nothing is asked for unless there is news"
    "send-without-pause" "bug-send-without-pause" "a command is sent again as soon as it was answered"
    "read-newer" "bug-read-newer" "a record that cannot be read is taken as if it could"
    "drop-calls" "bug-drop-calls" "a unit is said to be idle while it has calls in flight"
    "forget-journal" "bug-forget-journal" "a host answers for what it has not written to its disk"
    "ready-too-early" "bug-ready-too-early" "a unit is said to be ready before it is"
};

/// The bug whose feature is on, if one is.
pub(crate) fn of_features() -> Option<&'static str> {
    BUGS.iter().find(|bug| bug.on).map(|bug| bug.name)
}

/// Plants a bug in the planner, in the decisions of hosts and in the models; none takes it away.
#[cfg(feature = "planted-bugs")]
pub(crate) fn plant(bug: Option<&'static str>) {
    lath_manager_planner::planted::plant(bug);
    lath_host_core::planted::plant(bug);
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn is_planted(name: &str) -> bool {
    lath_manager_planner::planted::is_planted(name)
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn plant(_: Option<&'static str>) {}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is_planted(_: &str) -> bool {
    false
}
