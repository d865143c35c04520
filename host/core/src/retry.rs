//! When what has failed is tried again: later each time, and not on all hosts in the same moment.
//!
//! Pure: the time is an argument, and the spread comes from a seed that the edge gives once.

use std::time::Duration;

use lath_control_api::Reason;

use crate::unit::UnitKey;

/// First wait after something outside was not as it has to be: code could not be fetched, or an address was taken.
const FIRST_OUTSIDE_WAIT: Duration = Duration::from_secs(2);
/// Longest wait between two such looks: a store is asked about once a minute, however long it is away.
const MAX_OUTSIDE_WAIT: Duration = Duration::from_secs(60);
/// First wait after a component did not start: what it needs may come a moment later.
const FIRST_START_WAIT: Duration = Duration::from_secs(1);
/// Longest wait between two starts: one in five minutes is no load, whatever a start does.
const MAX_START_WAIT: Duration = Duration::from_secs(300);
/// Failed starts in a row from which on a unit is `crash-looping`. Fewer may be an accident.
pub(crate) const LOOPING: u32 = 3;
/// How long a unit must have run for its failures before that to be forgotten: longer than the longest wait, or one
/// that runs for a moment each time would be started again and again after the shortest.
pub(crate) const GOOD_RUN: Duration = Duration::from_secs(600);

/// Whether a failure is one of the component itself at its start, which may pass with what it needs. A provider that has
/// ended is at its start again.
pub(crate) const fn is_of_start(reason: Reason) -> bool {
    matches!(reason, Reason::StartFailed | Reason::ProbeFailed | Reason::ProviderExited)
}

/// How long to wait after the failure number `failures` in a row, counted from 1; none for what does not come right
/// without another decision.
pub(crate) fn wait(reason: Reason, failures: u32, seed: u64, unit: &UnitKey) -> Option<Duration> {
    let doublings = failures.saturating_sub(1).min(20);
    if reason.may_pass() {
        return Some(FIRST_OUTSIDE_WAIT.saturating_mul(1 << doublings).min(MAX_OUTSIDE_WAIT));
    }
    if !is_of_start(reason) {
        return None;
    }
    let full = FIRST_START_WAIT.saturating_mul(1 << doublings).min(MAX_START_WAIT);
    Some(full - spread(full, failures, seed, unit))
}

/// Up to a quarter of `full`.
fn spread(full: Duration, failures: u32, seed: u64, unit: &UnitKey) -> Duration {
    let text = format!("{seed}/{failures}/{}/{unit}", unit.app);
    let mixed = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The low bits of this hash hang on the last bytes alone.
    full * u32::try_from(mixed >> 48).unwrap_or_default() / (4 * 65_536)
}

#[cfg(test)]
mod tests {
    use lath_control_api::{Digest, Revision};

    use super::*;
    use crate::unit::SpecKey;

    fn unit(name: &str) -> UnitKey {
        UnitKey {
            app: "shop".parse().unwrap(),
            id: name.parse().unwrap(),
            spec: SpecKey { revision: Revision(1), content: Digest::of(b"content") },
        }
    }

    #[test]
    fn m12_starts_are_tried_less_and_less_often_within_bounds() {
        let mut before = Duration::ZERO;
        for failures in 1..=40 {
            let full = Duration::from_secs(1 << (failures - 1).min(30)).min(Duration::from_secs(300));
            for (seed, name) in (0..200).map(|seed| (seed, "cart")).chain([(7, "front"), (7, "back")]) {
                let wait = wait(Reason::StartFailed, failures, seed, &unit(name)).unwrap();
                assert!(wait <= full && wait >= full * 3 / 4, "{failures}: {wait:?} of {full:?}");
            }
            let least = full * 3 / 4;
            assert!(least > before || full == Duration::from_secs(300), "{failures}: {least:?}");
            before = full;
        }
        assert_eq!(wait(Reason::StartFailed, u32::MAX, 1, &unit("cart")).unwrap().as_secs() / 100, 2);
    }

    #[test]
    fn m12_hosts_and_components_that_failed_together_are_not_tried_together() {
        let waits = |of: &dyn Fn(u64) -> Duration| {
            let mut waits: Vec<Duration> = (0..100).map(of).collect();
            waits.sort();
            waits.dedup();
            waits.len()
        };
        let of_host = |seed| wait(Reason::ProbeFailed, 9, seed, &unit("cart")).unwrap();
        let of_component =
            |index: u64| wait(Reason::ProbeFailed, 9, 1, &unit(&format!("cart-{index}"))).unwrap();
        assert!(waits(&of_host) > 90 && waits(&of_component) > 90);
        assert_eq!(of_host(3), of_host(3));
    }

    #[test]
    fn what_does_not_come_right_by_itself_is_not_tried_again() {
        for reason in
            [Reason::NotAComponent, Reason::ImportUnsatisfied, Reason::ConfigInvalid, Reason::DigestMismatch]
        {
            assert_eq!(wait(reason, 1, 1, &unit("cart")), None, "{reason:?}");
        }
        assert_eq!(wait(Reason::FetchFailed, 1, 1, &unit("cart")), Some(Duration::from_secs(2)));
        assert_eq!(wait(Reason::DiskFull, 90, 1, &unit("cart")), Some(Duration::from_secs(60)));
    }
}
