//! Which steps a policy leads to.

use lath_manifests::manifest::{CanaryStep, Share, Waves};

use super::*;
use crate::example::{fleet, host, inventory};
use crate::record::Rollout;

fn observed(line: &str) -> ObservedState {
    let now = lath_control_api::Timestamp(0);
    let mut state = ObservedState::new(now);
    for summary in fleet(line) {
        state.inventory(inventory(&summary, &[]), now);
    }
    state
}

fn record(hosts: &[&str], kind: ChangeKind) -> DesiredRecord {
    let mut record = DesiredRecord::new("shop".parse().unwrap());
    let component = "front".parse().unwrap();
    for name in hosts {
        record.assignment.add(&host(name), &component, 1);
    }
    record.serving = Some(lath_control_api::Revision(1));
    crate::rollout::begin(
        &mut record,
        kind,
        std::collections::BTreeMap::new(),
        lath_control_api::Timestamp(0),
    );
    record
}

fn policy(change: impl FnOnce(&mut RolloutPolicy)) -> RolloutPolicy {
    let mut policy = RolloutPolicy::default();
    change(&mut policy);
    policy
}

fn sizes(ladder: &Ladder) -> Vec<usize> {
    ladder.waves.iter().map(BTreeSet::len).collect()
}

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn waves_have_as_many_hosts_as_allowed_and_at_least_one() {
    let (state, record) = (observed("a b c d e"), record(&FIVE, ChangeKind::Deploy));
    let waves = |share| sizes(&Ladder::new(&record, &policy(|p| p.max_parallel = share), &state, false));
    assert_eq!(waves(Share::Percent(25)), [1; 5], "a quarter of five is one");
    assert_eq!(waves(Share::Percent(50)), [2, 2, 1]);
    assert_eq!(waves(Share::Count(3)), [3, 2]);
    assert_eq!(waves(Share::Percent(100)), [5]);
    assert_eq!(waves(Share::Percent(1)), [1; 5]);
}

#[test]
fn groups_of_hosts_have_their_turns_and_the_rest_comes_last() {
    let state = observed("a,zone=west b,zone=east c,zone=west d e,zone=east");
    let record = record(&FIVE, ChangeKind::Deploy);
    let policy = policy(|policy| {
        policy.max_parallel = Share::Count(2);
        policy.waves =
            Some(Waves { label: "zone".to_owned(), values: vec!["east".to_owned(), "west".to_owned()] });
    });
    let ladder = Ladder::new(&record, &policy, &state, false);
    let names = |wave: &BTreeSet<HostId>| {
        let mut names: Vec<String> = wave.iter().map(|host| state.name_of(host)).collect();
        names.sort();
        names.concat()
    };
    assert_eq!(ladder.waves.iter().map(names).collect::<Vec<_>>(), ["be", "ac", "d"]);
    assert_eq!(ladder.len(), 5, "preparing, three waves, settling");
}

#[test]
fn a_canary_has_its_steps_on_all_hosts() {
    let (state, record) = (observed("a b c d e"), record(&FIVE, ChangeKind::Deploy));
    let canary = policy(|policy| policy.strategy = Strategy::Canary);
    let ladder = Ladder::new(&record, &canary, &state, false);
    let weights: Vec<u8> = ladder.rungs.iter().map(|rung| rung.weight.percent()).collect();
    assert_eq!((weights.as_slice(), sizes(&ladder)), ([5, 25, 50, 100].as_slice(), vec![5]));
    let asked = policy(|policy| {
        policy.strategy = Strategy::Canary;
        policy.auto_promote = Some(false);
        policy.steps = CanaryStep::usual();
    });
    let bakes: Vec<bool> =
        Ladder::new(&record, &asked, &state, false).rungs.iter().map(|rung| rung.bake.is_none()).collect();
    assert_eq!(bakes, [true, true, true, false], "the last step has nothing left to move");
}

#[test]
fn whoever_goes_back_or_changes_nothing_waits_for_nothing() {
    let state = observed("a b c d e");
    let canary = policy(|policy| policy.strategy = Strategy::Canary);
    let quick = |record: &DesiredRecord, trivial| {
        let ladder = Ladder::new(record, &canary, &state, trivial);
        ladder.rungs.len() == 1 && ladder.waves.len() == 1 && !ladder.gated && !ladder.waits_for_promotion
    };
    assert!(!quick(&record(&FIVE, ChangeKind::Deploy), false));
    let back = record(&FIVE, ChangeKind::Rollback);
    assert!(quick(&back, false), "nomad10882_rollback_skips_canary");
    let with = |name: &str| {
        let overrides = std::collections::BTreeMap::from([(name.to_owned(), "10s".to_owned())]);
        let mut back = back.clone();
        back.rollout = back.rollout.map(|rollout| Rollout { overrides, ..rollout });
        back
    };
    assert!(!quick(&with("min_healthy_time"), false), "it was asked for");
    assert!(quick(&with("progress_deadline"), false), "a deadline is no step");
    assert!(quick(&record(&FIVE, ChangeKind::Scale), false));
    assert!(quick(&record(&FIVE, ChangeKind::Deploy), true));
    let mut first = record(&FIVE, ChangeKind::Deploy);
    first.serving = None;
    assert!(quick(&first, false));
    let mut full = record(&FIVE, ChangeKind::Deploy);
    full.rollout = full.rollout.map(|rollout| Rollout { promotion: Promotion::Full, ..rollout });
    assert!(quick(&full, false));
}

#[test]
fn nomad20308_what_promotes_itself_is_said_by_the_policy_alone() {
    let (state, record) = (observed("a b c d e"), record(&FIVE, ChangeKind::Deploy));
    let waits = |strategy, auto| {
        let policy = policy(|policy| {
            policy.strategy = strategy;
            policy.auto_promote = auto;
        });
        Ladder::new(&record, &policy, &state, false).waits_for_promotion
    };
    assert!(waits(Strategy::BlueGreen, None) && !waits(Strategy::BlueGreen, Some(true)));
    assert!(!waits(Strategy::Rolling, None) && waits(Strategy::Rolling, Some(false)));
}
