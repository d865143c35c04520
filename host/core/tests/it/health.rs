//! Units that fail at their start, that cannot be started any more, and that do not answer well.

use lath_control_api::{Phase, Reason, UnitInventory};
use lath_host_core::{News, Transition, UnitKey};

use crate::model::{Fate, Model, bundle, request, spec};

fn starting() -> Model {
    let mut host = Model::new();
    host.accept(&request(1, 1, vec![bundle("a", Some(spec(1, 1)), None)]));
    host
}

fn running() -> (Model, UnitKey) {
    let mut host = starting();
    host.prepare_all();
    let unit = host.prepared.keys().next().cloned().unwrap();
    (host, unit)
}

fn unit(host: &Model) -> UnitInventory {
    host.units("a").into_iter().next().unwrap()
}

fn unhealthy(message: &str) -> News {
    News::Unhealthy { reason: Reason::ProbeFailed, message: message.into() }
}

fn failed() -> News {
    News::Failed { reason: Reason::StartFailed, message: "a trap".into() }
}

/// Lets the time pass until the next try, and says how long that was.
fn until_tried(host: &mut Model) -> i64 {
    let wait = host.core.wake_at().unwrap().0 - host.now.0;
    host.wait(wait);
    assert_eq!(host.preparing.len(), 1, "it is tried");
    wait
}

#[test]
fn h8_what_fails_at_start_is_tried_less_often_and_crash_loops_until_it_starts() {
    let mut host = starting();
    let mut waits = Vec::new();
    for failure in 1..=12 {
        host.prepare(|_| Some(Fate::Trap));
        let shown = unit(&host);
        let phase = if failure < 3 { Phase::Failed } else { Phase::CrashLooping };
        assert_eq!((shown.phase, shown.reason, shown.serving), (phase, Reason::StartFailed, false));
        assert_eq!(shown.next_try, host.core.wake_at());
        waits.push(until_tried(&mut host));
        assert_eq!(unit(&host).phase, phase, "it has failed until it runs");
    }
    assert!(waits[0] <= 1_000 && waits[11] <= 300_000 && waits[11] >= 225_000, "{waits:?}");
    assert!(waits[..8].is_sorted_by(|a, b| a < b), "{waits:?}");
    host.prepare_all();
    assert_eq!((unit(&host).phase, unit(&host).next_try), (Phase::Running, None));
    assert!(host.is_serving("a", &spec(1, 1)));
}

#[test]
fn a_failed_start_is_shown_since_it_has_been_so() {
    let mut host = starting();
    for _ in 0..3 {
        host.prepare(|_| Some(Fate::Trap));
        until_tried(&mut host);
    }
    let since = unit(&host).since;
    for _ in 0..3 {
        host.prepare(|_| Some(Fate::Trap));
        until_tried(&mut host);
        assert_eq!(unit(&host).since, since);
    }
}

#[test]
fn what_could_not_be_fetched_has_failed_until_it_runs() {
    let mut host = starting();
    for _ in 0..3 {
        host.prepare(|_| Some(Fate::Unfetched));
        assert_eq!((unit(&host).phase, unit(&host).reason), (Phase::Failed, Reason::FetchFailed));
        until_tried(&mut host);
        assert_eq!((unit(&host).phase, unit(&host).reason), (Phase::Failed, Reason::FetchFailed));
    }
    host.prepare_all();
    assert_eq!((unit(&host).phase, unit(&host).reason), (Phase::Running, Reason::AsAsked));
}

#[test]
fn what_runs_and_cannot_be_started_any_more_takes_no_calls_until_it_starts() {
    let (mut host, key) = running();
    host.hear(&key, failed());
    assert!(host.steps.contains(&Transition::Release { unit: key.clone() }), "{:?}", host.steps);
    assert_eq!((unit(&host).phase, unit(&host).serving), (Phase::CrashLooping, false));
    assert_eq!(host.serving("a"), None);
    // Late news of the run that is over change nothing.
    host.hear(&key, News::Healthy);
    host.hear(&key, unhealthy("late"));
    assert_eq!(unit(&host).phase, Phase::CrashLooping);
    let first = until_tried(&mut host);
    host.prepare_all();
    assert!(host.is_serving("a", &spec(1, 1)) && unit(&host).phase == Phase::Running);
    // Soon again: it waits longer. Long after: as if it were the first time.
    host.hear(&key, failed());
    let second = until_tried(&mut host);
    host.prepare_all();
    host.wait(600_000);
    host.hear(&key, failed());
    let third = until_tried(&mut host);
    assert!(second > first && third <= 1_000, "{first} {second} {third}");
}

#[test]
fn only_a_failed_start_takes_what_runs_out_of_service() {
    let (mut host, key) = running();
    host.hear(&key, News::Failed { reason: Reason::FetchFailed, message: "late".into() });
    assert!(host.is_serving("a", &spec(1, 1)) && host.steps.is_empty());
}

#[test]
fn an_unhealthy_unit_serves_and_shows_it_until_it_is_well() {
    let (mut host, key) = running();
    host.now.0 += 5_000;
    host.hear(&key, unhealthy("GET / fails"));
    let ill = unit(&host);
    assert_eq!((ill.phase, ill.reason, ill.serving), (Phase::Unhealthy, Reason::ProbeFailed, true));
    assert_eq!((ill.message.as_str(), ill.since), ("GET / fails", host.now));
    host.now.0 += 5_000;
    host.hear(&key, unhealthy("GET / fails"));
    assert!(host.steps.is_empty(), "that is no news");
    host.hear(&key, unhealthy("GET / fails otherwise"));
    assert_eq!(unit(&host).since, ill.since);
    host.hear(&key, News::Healthy);
    assert_eq!((unit(&host).phase, unit(&host).message), (Phase::Running, String::new()));
    host.hear(&key, News::Healthy);
    assert!(host.steps.is_empty());
}

#[test]
fn r12_an_unhealthy_unit_is_replaced_like_any_other() {
    let (mut host, key) = running();
    host.hear(&key, unhealthy("GET / fails"));
    host.accept(&request(2, 1, vec![bundle("a", Some(spec(2, 2)), None)]));
    assert!(host.is_serving("a", &spec(1, 1)), "what replaces it is not ready");
    host.prepare_all();
    assert!(host.is_serving("a", &spec(2, 2)));
    // On its way out nobody asks any more how it is.
    host.hear(&key, News::Healthy);
    let leaving = host.units("a").into_iter().find(|unit| unit.revision.0 == 1).unwrap();
    assert_eq!(leaving.phase, Phase::Draining);
    host.idle_all();
    assert_eq!(host.units("a").len(), 1);
}

#[test]
fn a_crash_looping_unit_gives_way_to_a_candidate_and_to_nobody() {
    let (mut host, key) = running();
    host.hear(&key, failed());
    host.accept(&request(2, 1, vec![bundle("a", Some(spec(1, 1)), Some((spec(2, 2), 10)))]));
    host.prepare(|unit| (unit.spec.revision.0 == 2).then_some(Fate::Ready));
    assert!(host.is_serving("a", &spec(2, 2)), "one that runs takes all calls from one that does not");
    host.accept(&request(3, 1, Vec::new()));
    host.idle_all();
    assert!(host.units("a").is_empty() && host.alive.is_empty());
}

#[test]
fn a_newer_decision_tries_at_once_and_forgets_failures() {
    let mut host = starting();
    for _ in 0..5 {
        host.prepare(|_| Some(Fate::Trap));
        until_tried(&mut host);
    }
    host.prepare(|_| Some(Fate::Trap));
    host.accept(&request(2, 1, vec![bundle("a", Some(spec(1, 1)), None)]));
    assert_eq!((unit(&host).phase, host.preparing.len()), (Phase::Pending, 1));
    host.prepare(|_| Some(Fate::Trap));
    assert_eq!(unit(&host).phase, Phase::Failed);
    assert!(until_tried(&mut host) <= 1_000);
}
