//! How a candidate is judged: by bounds, by the stable revision, and not by too little.

use super::*;

fn calls(good: u64, bad: u64, micros: u64) -> CallCounts {
    CallCounts {
        started: good + bad,
        succeeded: good,
        trapped: bad,
        latency_us: BTreeMap::from([(micros, good + bad)]),
        ..CallCounts::default()
    }
}

fn window(stable: CallCounts, candidate: CallCounts) -> Window {
    let name = || "front".parse().unwrap();
    Window {
        boots: BTreeMap::new(),
        stable: BTreeMap::from([(name(), stable)]),
        candidate: BTreeMap::from([(name(), candidate)]),
    }
}

fn empty() -> Window {
    window(CallCounts::default(), CallCounts::default())
}

fn verdict(bound: Bound, metric: Metric, now: &Window) -> Verdict {
    let gates = Gates { limits: vec![GateLimit { metric, bound }], ..Gates::default() };
    let judged = BTreeSet::from(["front".parse().unwrap()]);
    let found = judge(&gates, &empty(), now, &judged, true);
    assert_eq!(found.len(), 1);
    found[0].verdict
}

#[test]
fn ratios_are_held_to_the_bound_itself() {
    let now = |bad| window(calls(1_000, 0, 1_024), calls(1_000 - bad, bad, 1_024));
    let one = Bound::Ratio(10_000);
    assert_eq!(verdict(one, Metric::Errors, &now(10)), Verdict::Passed);
    assert_eq!(verdict(one, Metric::Errors, &now(11)), Verdict::Failed);
    assert_eq!(verdict(one, Metric::Traps, &now(11)), Verdict::Failed);
    // The stable revision fails as much in the same time: the candidate is not to blame.
    let both = window(calls(950, 50, 1_024), calls(945, 55, 1_024));
    assert_eq!(verdict(Bound::AboveStable(10_000), Metric::Errors, &both), Verdict::Passed);
    assert_eq!(verdict(Bound::AboveStable(1_000), Metric::Errors, &both), Verdict::Failed);
    assert_eq!(verdict(one, Metric::Errors, &both), Verdict::Failed);
}

#[test]
fn latencies_are_compared_with_a_time_or_with_the_stable_revision() {
    let now = window(calls(100, 0, 1_024), calls(100, 0, 16_384));
    let p95 = Metric::Latency { percentile: 95 };
    assert_eq!(verdict(Bound::Time(Duration::from_millis(20)), p95, &now), Verdict::Passed);
    assert_eq!(verdict(Bound::Time(Duration::from_millis(10)), p95, &now), Verdict::Failed);
    assert_eq!(verdict(Bound::TimesStable(1_500), p95, &now), Verdict::Failed);
    assert_eq!(verdict(Bound::TimesStable(20_000), p95, &now), Verdict::Passed);
}

#[test]
fn nothing_is_judged_by_fewer_calls_than_asked_for() {
    let errors = |bound, stable, candidate| {
        verdict(bound, Metric::Errors, &window(calls(stable, 0, 64), calls(0, candidate, 64)))
    };
    assert_eq!(errors(Bound::Ratio(10_000), 100, 19), Verdict::Inconclusive);
    assert_eq!(errors(Bound::Ratio(10_000), 100, 20), Verdict::Failed);
    assert_eq!(
        errors(Bound::AboveStable(10_000), 19, 20),
        Verdict::Inconclusive,
        "too little of the stable one"
    );
}

#[test]
fn only_what_came_in_the_window_counts() {
    let before = window(calls(0, 0, 64), calls(0, 500, 64));
    let now = window(calls(100, 0, 64), calls(100, 500, 64));
    let gates = Gates {
        limits: vec![GateLimit { metric: Metric::Errors, bound: Bound::Ratio(10_000) }],
        ..Gates::default()
    };
    let judged = BTreeSet::from(["front".parse().unwrap()]);
    let found = judge(&gates, &before, &now, &judged, true);
    assert_eq!((found[0].verdict, found[0].samples), (Verdict::Passed, 100));
    assert!(goes_on(&before, &now) && !goes_on(&now, &before), "counts that shrink have begun anew");
    assert_eq!(inconclusive(&gates, &found, &judged), None);
    let quiet = judge(&gates, &now, &now, &judged, true);
    assert!(inconclusive(&gates, &quiet, &judged).unwrap().contains("0 of 20"));
    // Where all traffic is on the candidate, relative bounds say nothing, absolute ones still do.
    let relative = Gates {
        limits: vec![GateLimit { metric: Metric::Errors, bound: Bound::AboveStable(0) }],
        ..Gates::default()
    };
    assert!(judge(&relative, &before, &now, &judged, false).is_empty());
}

#[test]
fn a_failed_gate_says_what_was_measured_and_on_what() {
    let now = window(calls(1_000, 0, 1_024), calls(959, 41, 1_024));
    let gates = Gates {
        limits: vec![GateLimit { metric: Metric::Errors, bound: Bound::Ratio(10_000) }],
        ..Gates::default()
    };
    let found = judge(&gates, &empty(), &now, &BTreeSet::from(["front".parse().unwrap()]), true);
    let problem = failed(&found).unwrap();
    assert_eq!(problem.reason, "gate-failed");
    assert_eq!(problem.message, "errors 4.10% is not <= 1.00% (1000 calls; the revision before it: 0.00%)");
}

#[test]
fn answers_of_500_are_errors_and_abandoned_calls_say_nothing() {
    let calls = CallCounts {
        started: 100,
        succeeded: 30,
        answered_5xx: 10,
        abandoned: 59,
        in_flight: 1,
        ..CallCounts::default()
    };
    let sample = Sample::of(&calls);
    assert_eq!((sample.ended, sample.value(Metric::Errors)), (40, 250_000));
    let mut delta = calls.clone();
    combine(&mut delta, &calls, u64::saturating_sub);
    assert_eq!(Sample::of(&delta).ended, 0);
    assert_eq!(delta.abandoned, 0);
}
