//! Pictures, as snapshots.

use std::collections::BTreeMap;

use lath_control_api::app::{AppState, Problem};
use lath_control_api::{CallCounts, Generation, HostId, Weight};

use super::*;

/// 2026-11-21T07:00:00Z.
const START: i64 = 1_795_244_400_000;

fn host(number: usize) -> HostId {
    let letters = ["A", "B", "C", "D", "E", "F", "G"];
    format!("N{}{}", letters[number % 7].repeat(54), letters[number / 7]).parse().unwrap()
}

fn place(number: usize, revision: u64, phase: Phase, weight: u8) -> Place {
    Place {
        host: host(number),
        host_name: format!("host-{number:02}"),
        revision: Revision(revision),
        phase: Some(phase),
        weight: Weight::try_from(weight).unwrap(),
        calls: CallCounts::default(),
        reason: Reason::AsAsked,
        message: String::new(),
        links: Vec::new(),
    }
}

fn component(name: &str, places: Vec<Place>) -> ComponentStatus {
    let desired = places.iter().map(|place| &place.host).collect::<BTreeSet<_>>().len();
    ComponentStatus {
        component: name.parse().unwrap(),
        id: format!("shop-{name}").parse().unwrap(),
        desired: u32::try_from(desired).unwrap(),
        ready: 1,
        places,
    }
}

fn gate(metric: &str, bound: &str, candidate: &str, verdict: Verdict) -> GateStatus {
    GateStatus {
        metric: metric.into(),
        component: Some("cart".parse().unwrap()),
        bound: bound.into(),
        candidate: candidate.into(),
        stable: Some("0.10%".into()),
        samples: 1_001,
        verdict,
    }
}

fn canary() -> AppStatus {
    let mut linking = place(2, 7, Phase::Linking, 0);
    linking.reason = Reason::ImportUnsatisfied;
    linking.message = "kv: no answer from its provider yet".into();
    let mut draining = place(3, 6, Phase::Draining, 0);
    draining.calls.in_flight = 3;
    let cart = component(
        "cart",
        vec![
            place(0, 7, Phase::Running, 25),
            place(0, 6, Phase::Running, 75),
            place(1, 7, Phase::Running, 25),
            place(1, 6, Phase::Running, 75),
            linking,
            place(2, 6, Phase::Running, 100),
            draining,
        ],
    );
    AppStatus {
        app: "shop".parse().unwrap(),
        state: AppState::Progressing,
        message: String::new(),
        revision: Some(Revision(7)),
        generation: Generation(9),
        rollout: Some(RolloutStatus {
            from: Some(Revision(6)),
            to: Revision(7),
            phase: RolloutPhase::Shifting,
            step: 2,
            steps: 4,
            started: Timestamp(START),
            waiting_for: vec!["cart on host-02: linking".into()],
            strategy: "canary".into(),
            weight: Weight::try_from(25).unwrap(),
            paused: None,
            until: Some(Timestamp(START + 53_000)),
            gates: vec![
                gate("errors", "<=1%", "0.00%", Verdict::Passed),
                gate("p95", "<=1.3x", "7.9 ms", Verdict::Inconclusive),
            ],
        }),
        last: None,
        components: vec![cart, component("http", Vec::new())],
        problems: Vec::new(),
        routes: Vec::new(),
        description: None,
    }
}

/// The app after so many calls of its newest revision.
fn called(status: &AppStatus) -> AppStatus {
    let mut status = status.clone();
    for place in status.components.iter_mut().flat_map(|component| &mut component.places) {
        place.calls.started = 152;
    }
    status
}

/// Two looks, one second apart, between which calls of both revisions ended.
fn rates(status: &AppStatus) -> Rates {
    let counted = |calls: u64| {
        let mut status = status.clone();
        for place in status.components.iter_mut().flat_map(|component| &mut component.places) {
            let each = if place.revision == Revision(7) { calls } else { 3 * calls };
            let latency_us = BTreeMap::from([(8_192, each)]);
            let trapped = each / 50;
            place.calls = CallCounts {
                started: each,
                succeeded: each - trapped,
                trapped,
                latency_us,
                ..CallCounts::default()
            };
        }
        status
    };
    let mut rates = Rates::default();
    rates.see(&counted(100), Duration::from_secs(1));
    rates.see(&counted(152), Duration::from_secs(2));
    rates
}

fn drawn(status: &AppStatus, paper: Paper, keys: bool) -> String {
    let rates = rates(status);
    let status = &called(status);
    let view = View { status, rates: &rates, now: Timestamp(START + 41_000), told: None, keys };
    frame(&view, &paper).join("\n")
}

const WIDE: Paper = Paper { width: 120, height: 60, glyphs: Glyphs::Unicode };

#[test]
fn a_canary_in_the_middle() {
    insta::assert_snapshot!(drawn(&canary(), WIDE, true));
}

#[test]
fn without_pictures_it_is_ascii() {
    let text = drawn(&canary(), Paper { glyphs: Glyphs::Ascii, ..WIDE }, true);
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_rollout_that_waits_for_a_person() {
    let mut status = AppStatus { state: AppState::Paused, ..canary() };
    let rollout = status.rollout.as_mut().unwrap();
    rollout.strategy = "blue-green".into();
    rollout.weight = Weight::NONE;
    rollout.until = None;
    rollout.gates.clear();
    rollout.waiting_for.clear();
    rollout.paused = Some("waits for promotion: lath rollout promote shop".into());
    insta::assert_snapshot!(drawn(&status, WIDE, false));
}

#[test]
fn a_rollout_that_goes_back() {
    let mut status = AppStatus { state: AppState::RollingBack, ..canary() };
    status.problems = vec![Problem {
        reason: "gate-failed".into(),
        message: "errors 4.10% > 1%".into(),
        component: Some("cart".parse().unwrap()),
        host: None,
        host_name: None,
    }];
    let rollout = status.rollout.as_mut().unwrap();
    rollout.phase = RolloutPhase::RollingBack;
    rollout.until = None;
    rollout.gates = vec![gate("errors", "<=1%", "4.10%", Verdict::Failed)];
    insta::assert_snapshot!(drawn(&status, WIDE, false));
}

#[test]
fn an_app_that_stands_still() {
    let mut status = AppStatus { state: AppState::Serving, rollout: None, ..canary() };
    status.components = vec![component("cart", vec![place(0, 7, Phase::Running, 100)])];
    insta::assert_snapshot!(drawn(&status, WIDE, false), @r"
    shop  revision 7   ✔ Serving
    └─ cart
       └─ rev 7   ▕██████████▏ 1/1 ready   weight 100%   req/s 52   ok 98.07%   p95 8.1ms
          └─ host-00   ✔ serving
    ");
    let stopped = AppStatus { state: AppState::Stopped, revision: None, components: Vec::new(), ..status };
    insta::assert_snapshot!(drawn(&stopped, WIDE, false), @"shop   ○ Stopped");
}

#[test]
fn it_never_goes_over_the_edges() {
    let mut status = canary();
    let many =
        (0..40).map(|number| place(number, 7, if number < 38 { Phase::Running } else { Phase::Failed }, 0));
    status.components = vec![component("cart", many.collect())];
    for (width, height) in [(120, 60), (80, 24), (40, 12), (20, 5), (1, 1), (0, 0)] {
        let text = drawn(&status, Paper { width, height, glyphs: Glyphs::Unicode }, true);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() <= height.max(1), "{width}x{height}\n{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}x{height}\n{text}");
    }
    // What is not well comes first.
    let text = drawn(&status, Paper { height: 14, ..WIDE }, false);
    assert!(text.contains("host-38  ") || text.contains("host-38   "), "{text}");
    assert!(text.contains("more hosts"), "{text}");
}

#[test]
fn names_of_others_do_not_move_the_cursor() {
    let mut status = canary();
    status.components[0].places[2].host_name = "a\u{1b}[2Jb".into();
    status.rollout.as_mut().unwrap().paused = Some("by \u{1b}[31mops".into());
    let text = drawn(&status, WIDE, true);
    assert!(!text.contains('\u{1b}'), "{text}");
}
