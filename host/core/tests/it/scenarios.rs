//! What hosts live through, each told from the first command to the last state.

use std::collections::BTreeSet;

use lath_control_api::{Epoch, ErrorCode, Phase, Reason, Revision, Role};
use lath_host_core::{Reach, Transition};

use crate::model::{DRAIN_MS, Fate, Model, app, bundle, http_server, id, request, spec};

fn kinds(steps: &[Transition]) -> Vec<&'static str> {
    let kind = |step: &Transition| match step {
        Transition::Persist(_) => "persist",
        Transition::Cancel { .. } => "cancel",
        Transition::Prepare { .. } => "prepare",
        Transition::Reopen { .. } => "reopen",
        Transition::Publish => "publish",
        Transition::Drain { .. } => "drain",
        Transition::Close { .. } => "close",
        Transition::Release { .. } => "release",
        Transition::Stop { .. } => "stop",
        Transition::Report => "report",
    };
    steps.iter().map(kind).collect()
}

/// A host on which version 1 of `a` and `b` serves under generation 1.
fn serving_v1() -> Model {
    let mut host = Model::new();
    host.accept(&request(
        1,
        1,
        vec![bundle("a", Some(spec(1, 1)), None), bundle("b", Some(spec(11, 1)), None)],
    ));
    host.prepare_all();
    assert!(host.is_serving("a", &spec(1, 1)) && host.is_serving("b", &spec(11, 1)));
    host
}

#[test]
fn a_rolling_update_prepares_shifts_settles_and_drains() {
    let mut host = serving_v1();
    let step = |k, weight| {
        let candidate = |v| Some((spec(v, 2), weight));
        request(
            2,
            k,
            vec![bundle("a", Some(spec(1, 1)), candidate(2)), bundle("b", Some(spec(11, 1)), candidate(12))],
        )
    };
    assert_eq!(kinds(&host.accept(&step(1, 0))), ["persist", "prepare", "prepare", "publish", "report"]);
    host.prepare_all();
    assert!(host.is_serving("a", &spec(1, 1)));
    assert_eq!(kinds(&host.accept(&step(2, 100))), ["persist", "publish", "report"]);
    assert!(host.is_serving("a", &spec(2, 2)) && host.is_serving("b", &spec(12, 2)));

    let settled =
        request(2, 3, vec![bundle("a", Some(spec(2, 2)), None), bundle("b", Some(spec(12, 2)), None)]);
    assert_eq!(kinds(&host.accept(&settled)), ["persist", "publish", "drain", "drain", "report"]);
    assert!(host.units("a").iter().any(|unit| unit.role == Role::Retired && unit.phase == Phase::Draining));
    host.idle_all();
    assert_eq!((host.units("a").len(), host.units("b").len()), (1, 1));
    assert_eq!(host.core.wake_at(), None);
}

#[test]
fn h7_a_candidate_that_fails_leaves_what_serves() {
    for fate in [Fate::Trap, Fate::Unfetched] {
        let mut host = serving_v1();
        let wave = vec![
            bundle("a", Some(spec(1, 1)), Some((spec(2, 2), 100))),
            bundle("b", Some(spec(11, 1)), None),
        ];
        host.accept(&request(2, 1, wave));
        host.prepare(|_| Some(fate));
        assert!(host.is_serving("a", &spec(1, 1)));
        let failed = host.units("a").into_iter().find(|unit| unit.role == Role::Candidate).unwrap();
        assert_eq!(failed.phase, Phase::Failed);
        assert!(failed.message.contains("told so"));

        let back = vec![bundle("a", Some(spec(1, 1)), None), bundle("b", Some(spec(11, 1)), None)];
        host.accept(&request(3, 1, back));
        assert_eq!(host.units("a").len(), 1);
        assert!(host.is_serving("a", &spec(1, 1)));
    }
}

#[test]
fn specs_that_change_in_place_change_together() {
    let mut host = serving_v1();
    host.accept(&request(
        2,
        1,
        vec![bundle("a", Some(spec(2, 2)), None), bundle("b", Some(spec(12, 2)), None)],
    ));
    host.prepare(|unit| (unit.id == id("a")).then_some(Fate::Ready));
    assert!(host.is_serving("a", &spec(1, 1)), "b is not ready yet");
    host.prepare(|_| Some(Fate::Ready));
    assert!(host.is_serving("a", &spec(2, 2)) && host.is_serving("b", &spec(12, 2)));
}

#[test]
fn a_component_that_is_taken_away_serves_until_the_rest_has_changed() {
    let mut host = serving_v1();
    host.accept(&request(2, 1, vec![bundle("a", Some(spec(2, 2)), None)]));
    assert!(host.is_serving("b", &spec(11, 1)));
    host.prepare_all();
    assert_eq!(host.serving("b"), None);
    assert_eq!(host.units("b")[0].reason, Reason::Removed);
}

#[test]
fn the_same_content_in_another_revision_takes_over_without_a_gap() {
    let mut host = serving_v1();
    let steps = host.accept(&request(
        2,
        1,
        vec![bundle("a", Some(spec(1, 2)), None), bundle("b", Some(spec(11, 2)), None)],
    ));
    assert_eq!(kinds(&steps), ["persist", "prepare", "prepare", "report"]);
    host.prepare_all();
    assert!(host.is_serving("a", &spec(1, 2)) && host.is_serving("b", &spec(11, 2)));
    host.idle_all();
    assert!(host.units("a")[0].revision.0 == 2 && host.units("a").len() == 1);
}

#[test]
fn r8_a_unit_that_leaves_comes_back_without_being_prepared() {
    let mut host = serving_v1();
    let old = |generation| {
        request(
            generation,
            1,
            vec![bundle("a", Some(spec(1, 1)), None), bundle("b", Some(spec(11, 1)), None)],
        )
    };
    host.accept(&request(
        2,
        1,
        vec![bundle("a", Some(spec(2, 2)), None), bundle("b", Some(spec(11, 2)), None)],
    ));
    host.prepare_all();
    assert_eq!(host.draining.len(), 2);
    let late = host.draining.clone();
    let steps = host.accept(&old(3));
    assert_eq!(kinds(&steps), ["persist", "reopen", "reopen", "publish", "drain", "drain", "report"]);
    assert!(host.is_serving("a", &spec(1, 1)));
    for (unit, ticket) in late {
        host.tell(&unit, ticket, lath_host_core::News::Idle);
    }
    assert!(host.is_serving("a", &spec(1, 1)), "news of the drain that is off change nothing");
}

#[test]
fn units_of_one_revision_go_together_and_answer_each_other_until_then() {
    let mut host = serving_v1();
    host.accept(&request(
        2,
        1,
        vec![bundle("a", Some(spec(2, 2)), None), bundle("b", Some(spec(12, 2)), None)],
    ));
    host.prepare_all();
    let (a, b) = (id("a"), id("b"));
    let old_b = spec(11, 1).content();
    let (unit, ticket) = host.draining.iter().find(|(unit, _)| unit.id == b).unwrap();
    let (unit, ticket) = (unit.clone(), *ticket);
    host.draining.remove(&unit);
    host.tell(&unit, ticket, lath_host_core::News::Idle);
    assert_eq!(host.units("b").len(), 2, "the old a is still busy and may call the old b");
    let routes = host.core.routes();
    let old = Some((&app(), Revision(1))).map(|(app, revision)| (app.clone(), revision));
    let picked =
        routes.pick(&b, old.as_ref().map(|(app, revision)| (app, *revision)), Reach::Host, 0).unwrap();
    assert_eq!(picked.spec.content, old_b);
    assert_eq!(routes.pick(&a, None, Reach::Host, 0).unwrap().spec.content, spec(2, 2).content());
    host.idle_all();
    assert_eq!((host.units("a").len(), host.units("b").len()), (1, 1));
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let mut host = serving_v1();
    host.accept(&request(2, 1, Vec::new()));
    assert_eq!(host.serving("a"), None);
    let deadline = host.core.wake_at().unwrap();
    assert_eq!(deadline.since(host.now).as_millis(), u128::from(DRAIN_MS));
    host.wait(DRAIN_MS.cast_signed() - 1);
    assert_eq!(host.alive.len(), 2);
    host.wait(1);
    assert!(host.steps.iter().any(|step| matches!(step, Transition::Stop { overdue: true, .. })));
    assert!(host.alive.is_empty() && host.inventory()[0].components.is_empty());
}

#[test]
fn code_that_cannot_be_fetched_is_tried_again_less_and_less_often() {
    let mut host = Model::new();
    host.accept(&request(1, 1, vec![bundle("a", Some(spec(1, 1)), None)]));
    let mut waits = Vec::new();
    for _ in 0..8 {
        host.prepare(|_| Some(Fate::Unfetched));
        assert_eq!(host.units("a")[0].phase, Phase::Failed);
        let at = host.core.wake_at().unwrap();
        waits.push(at.since(host.now).as_secs());
        host.wait(at.0 - host.now.0);
        assert_eq!(host.preparing.len(), 1);
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn xc06_old_and_reused_fences_are_refused_and_repeats_confirm() {
    let mut host = serving_v1();
    let now = request(2, 5, vec![bundle("a", Some(spec(1, 1)), None)]);
    host.accept(&now);
    let mut late = request(2, 4, Vec::new());
    assert_eq!(host.apply(&late), Err(ErrorCode::Stale));
    late.fence = now.fence;
    assert_eq!(host.apply(&late), Err(ErrorCode::FenceReused));
    assert!(host.apply(&now).unwrap().unchanged);
    assert!(host.steps.is_empty());

    let mut newer_term = now.clone();
    newer_term.fence.epoch = Epoch(7);
    assert!(host.apply(&newer_term).unwrap().unchanged);
    assert_eq!(host.inventory()[0].fence.epoch, Epoch(7));
    assert_eq!(host.apply(&request(9, 9, Vec::new())), Err(ErrorCode::Stale), "epoch 1 is over");
}

#[test]
fn h2_a_restarted_host_serves_what_its_journal_says() {
    let mut host = serving_v1();
    host.restart();
    assert!(!host.inventory()[0].confirmed);
    assert_eq!(host.serving("a"), None);
    host.prepare(|unit| (unit.id == id("a")).then_some(Fate::Ready));
    assert!(host.is_serving("a", &spec(1, 1)), "each component serves as soon as it can");
    host.prepare_all();
    let same = request(1, 1, vec![bundle("a", Some(spec(1, 1)), None), bundle("b", Some(spec(11, 1)), None)]);
    assert!(host.apply(&same).unwrap().unchanged);
    assert!(host.inventory()[0].confirmed);
    assert_eq!(host.apply(&request(0, 9, Vec::new())), Err(ErrorCode::Stale));
}

#[test]
fn h2_a_host_that_restarts_amid_a_failed_change_serves_what_served() {
    let mut host = serving_v1();
    host.accept(&request(
        2,
        1,
        vec![bundle("a", Some(spec(2, 2)), None), bundle("b", Some(spec(11, 2)), None)],
    ));
    host.prepare(|_| Some(Fate::Trap));
    host.restart();
    let broken = spec(2, 2).content();
    host.prepare(|unit| Some(if unit.spec.content == broken { Fate::Trap } else { Fate::Ready }));
    assert!(host.is_serving("a", &spec(1, 1)) && host.is_serving("b", &spec(11, 1)));
}

#[test]
fn h3_a_command_that_is_late_does_not_bring_a_removed_app_back() {
    let mut host = serving_v1();
    host.accept(&request(2, 1, Vec::new()));
    host.idle_all();
    host.restart();
    let late = request(1, 2, vec![bundle("a", Some(spec(1, 1)), None)]);
    assert_eq!(host.apply(&late), Err(ErrorCode::Stale));
    host.wait(3_600_000);
    assert!(host.disk.is_empty() && host.inventory().is_empty(), "an hour later nothing of the app is left");
    assert_eq!(host.core.wake_at(), None);
}

#[test]
fn ids_and_routes_of_another_app_are_refused_with_its_name() {
    let route = lath_control_api::HttpRoute {
        address: None,
        host: None,
        path: Some("/cart".into()),
        target: id("a"),
        timeout_ms: None,
    };
    let mut host = Model::new();
    let web = bundle("web", Some(http_server(vec![route.clone()], 1)), None);
    host.accept(&request(1, 1, vec![bundle("a", Some(spec(1, 1)), None), web]));
    let mut thief = request(1, 1, vec![bundle("a", Some(spec(2, 1)), None)]);
    thief.app = "thief".parse().unwrap();
    assert_eq!(host.apply(&thief), Err(ErrorCode::IdTaken));
    thief.bundles = vec![bundle("web2", Some(http_server(vec![route], 1)), None)];
    assert_eq!(host.apply(&thief), Err(ErrorCode::RouteTaken));
}

#[test]
fn malformed_commands_are_refused() {
    let mut host = Model::new();
    let twice = vec![bundle("a", Some(spec(1, 1)), None), bundle("a", Some(spec(2, 1)), None)];
    let empty = vec![bundle("a", None, None)];
    let mut none = spec(1, 1);
    none.max_instances = 0;
    let mut huge = spec(1, 1);
    huge.limits.memory_bytes = u64::MAX;
    for bundles in
        [twice, empty, vec![bundle("a", Some(none), None)], vec![bundle("a", None, Some((huge, 0)))]]
    {
        assert_eq!(host.apply(&request(1, 1, bundles)), Err(ErrorCode::BadRequest));
    }
    assert!(host.inventory().is_empty());
}

#[test]
fn a_stable_spec_that_cannot_run_does_not_hold_up_its_repair() {
    let mut host = serving_v1();
    host.restart();
    host.prepare(|_| Some(Fate::Trap));
    let step = |k, weight| {
        let b = bundle("b", Some(spec(11, 1)), Some((spec(12, 2), weight)));
        request(2, k, vec![bundle("a", Some(spec(1, 1)), Some((spec(2, 2), weight))), b])
    };
    host.accept(&step(1, 0));
    host.prepare(|unit| {
        Some(if unit.spec.content == spec(1, 1).content() { Fate::Trap } else { Fate::Ready })
    });
    host.accept(&step(2, 100));
    host.prepare(|_| Some(Fate::Trap));
    assert!(host.is_serving("a", &spec(2, 2)) && host.is_serving("b", &spec(12, 2)));
}

#[test]
fn a_first_deploy_is_prepared_at_weight_zero_and_then_takes_all() {
    let mut host = Model::new();
    let step = |k, weight| request(1, k, vec![bundle("a", None, Some((spec(1, 1), weight)))]);
    host.accept(&step(1, 0));
    host.prepare_all();
    assert_eq!(host.serving("a"), None);
    assert_eq!(host.units("a")[0].phase, Phase::Running);
    host.accept(&step(2, 5));
    assert_eq!(host.units("a")[0].weight.percent(), 100, "there is nobody else to take the rest");
    assert_eq!(
        kinds(&host.accept(&request(1, 3, vec![bundle("a", Some(spec(1, 1)), None)]))),
        ["persist", "publish", "report"]
    );
}

#[test]
fn r12_a_ready_candidate_without_traffic_takes_nothing_from_one_that_serves() {
    let mut host = Model::new();
    host.accept(&request(1, 1, vec![bundle("a", None, Some((spec(1, 1), 100)))]));
    host.prepare_all();
    assert!(host.is_serving("a", &spec(1, 1)));
    host.accept(&request(2, 1, vec![bundle("a", None, Some((spec(2, 2), 0)))]));
    host.prepare_all();
    assert!(host.is_serving("a", &spec(1, 1)), "it serves on until the other one is given traffic");
    host.accept(&request(2, 2, vec![bundle("a", None, Some((spec(2, 2), 100)))]));
    host.prepare_all();
    assert!(host.is_serving("a", &spec(2, 2)));
}

#[test]
fn a_candidate_that_nobody_wants_any_more_goes_while_what_serves_beside_it_waits() {
    let mut host = Model::new();
    host.accept(&request(1, 1, vec![bundle("a", Some(spec(1, 1)), None)]));
    host.prepare_all();
    host.accept(&request(2, 1, vec![bundle("a", Some(spec(1, 1)), Some((spec(2, 2), 0)))]));
    host.prepare_all();
    assert_eq!(host.units("a").len(), 2);
    host.accept(&request(3, 1, vec![bundle("a", None, Some((spec(3, 3), 0)))]));
    host.prepare_all();
    host.idle_all();
    assert!(host.is_serving("a", &spec(1, 1)), "it has no successor yet");
    let left: BTreeSet<_> = host.units("a").iter().map(|unit| unit.revision).collect();
    assert_eq!(left, BTreeSet::from([Revision(1), Revision(3)]));
}

#[test]
fn a_stable_spec_that_comes_late_takes_its_calls_back_while_a_candidate_of_the_app_is_not_ready() {
    let mut host = Model::new();
    let old = |name, v| bundle(name, Some(spec(v, 1)), None);
    host.accept(&request(1, 1, vec![old("a", 1), old("b", 11), old("c", 21)]));
    host.prepare_all();
    host.restart();
    let step = |k, weight| {
        let both = |name, v| bundle(name, Some(spec(v, 1)), Some((spec(v + 1, 2), weight)));
        request(2, k, vec![both("a", 1), both("b", 11), both("c", 21)])
    };
    host.accept(&step(1, 0));
    let ready = |host: &mut Model, variants: &[u32]| {
        let contents: Vec<_> = variants.iter().map(|variant| spec(*variant, 1).content()).collect();
        host.prepare(|unit| contents.contains(&unit.spec.content).then_some(Fate::Ready));
    };
    ready(&mut host, &[1, 12, 22]);
    host.accept(&step(2, 60));
    assert!(host.is_serving("b", &spec(12, 2)), "nothing else answers");
    host.accept(&step(3, 80));
    ready(&mut host, &[11]);
    assert!(host.is_serving("b", &spec(11, 1)), "the candidate of a is not ready");
    host.prepare_all();
    assert!(["a", "b", "c"].iter().zip([2, 12, 22]).all(|(name, v)| host.is_serving(name, &spec(v, 2))));
}
