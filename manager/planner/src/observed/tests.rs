//! What counts as news, and what is too late.

use super::*;
use crate::example::{boot, inventory, summary};

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

fn beat(boot_number: u64, sequence: u64) -> HostSummary {
    HostSummary { boot: boot(boot_number), sequence, ..summary("a") }
}

#[test]
fn f45_news_of_an_earlier_moment_changes_nothing() {
    let mut observed = ObservedState::new(at(0));
    assert_eq!(observed.heard(beat(2, 5), at(1)), News::Host);
    assert_eq!(observed.heard(beat(2, 4), at(2)), News::None);
    assert_eq!(observed.heard(beat(1, 9), at(3)), News::None);
    assert_eq!(observed.heard(beat(2, 5), at(4)), News::Alive);
    assert_eq!(observed.inventory(inventory(&beat(2, 5), &[]), at(5)), News::Inventory);
    assert_eq!(observed.inventory(inventory(&beat(2, 5), &[]), at(6)), News::Alive);
    assert_eq!(observed.inventory(inventory(&beat(2, 4), &[]), at(7)), News::None);
    assert_eq!(observed.host(&summary("a").host).unwrap().heard, at(6));
}

#[test]
fn f54_a_host_whose_clock_was_set_back_is_heard_again_once_its_earlier_run_is_silent() {
    let mut observed = ObservedState::new(at(0));
    observed.heard(beat(9, 100), at(10));
    assert_eq!(observed.heard(beat(1, 1), at(20)), News::None, "the later boot was heard just now");
    assert_eq!(observed.heard(beat(1, 2), at(30)), News::Host);
    assert_eq!(observed.heard(beat(1, 3), at(35)), News::Alive);
}

#[test]
fn a_new_boot_has_said_nothing_yet() {
    let mut observed = ObservedState::new(at(0));
    observed.inventory(inventory(&beat(1, 1), &[]), at(1));
    assert_eq!(observed.heard(beat(2, 1), at(2)), News::Host);
    assert_eq!(observed.host(&summary("a").host).unwrap().inventory, None);
}

#[test]
fn the_end_of_another_boot_is_not_the_end_of_this_one() {
    let mut observed = ObservedState::new(at(0));
    observed.heard(beat(2, 1), at(1));
    assert_eq!(observed.stopped(&summary("a").host, &boot(1)), News::None);
    assert_eq!(observed.stopped(&summary("a").host, &boot(2)), News::Host);
    assert_eq!(observed.hosts().count(), 0);
}

#[test]
fn silence_counts_only_while_somebody_listens() {
    let mut observed = ObservedState::new(at(0));
    observed.heard(beat(1, 1), at(1));
    let host = summary("a").host;
    let lost_after = Duration::from_secs(11);
    assert!(observed.is_alive(&host, at(12), lost_after));
    assert!(!observed.is_alive(&host, at(13), lost_after));
    observed.listening_again(at(60));
    assert!(observed.is_alive(&host, at(71), lost_after));
    assert!(!observed.is_alive(&host, at(72), lost_after));
}

#[test]
fn the_return_of_a_host_that_was_missed_is_news() {
    let mut observed = ObservedState::new(at(0));
    observed.heard(beat(1, 1), at(1));
    assert_eq!(observed.heard(beat(1, 1), at(8)), News::Alive);
    assert_eq!(observed.heard(beat(1, 1), at(16)), News::Host);
}

#[test]
fn a_drained_host_is_there_and_takes_no_work() {
    let mut observed = ObservedState::new(at(0));
    let (host, lost_after) = (summary("a").host, Duration::from_secs(11));
    observed.heard(beat(1, 1), at(1));
    assert!(observed.takes_work(&host, at(2), lost_after));
    let drained = HostSummary { state: HostState::Draining, ..beat(1, 2) };
    assert_eq!(observed.heard(drained, at(3)), News::Host);
    assert!(observed.is_alive(&host, at(4), lost_after) && !observed.takes_work(&host, at(4), lost_after));
    assert_eq!(observed.heard(beat(1, 3), at(5)), News::Host);
    assert!(observed.takes_work(&host, at(6), lost_after));
}
