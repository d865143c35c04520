//! What people read of apps, as snapshots.

use lath_control_api::app::{
    AppState, Cause, ChangeKind, ComponentStatus, Outcome, Place, Problem, RolloutPhase, RolloutStatus,
};
use lath_control_api::{CallCounts, Generation, Phase, Reason, Revision, Timestamp, Weight};

use super::*;

const OUT: Output = Output { format: Format::Table, headers: true, glyphs: Glyphs::Unicode, quiet: false };
/// 2026-11-21T07:00:00Z.
const START: i64 = 1_795_244_400_000;

fn now() -> jiff::Zoned {
    "2026-11-21T14:30[UTC]".parse().unwrap()
}

fn place(host: &str, revision: u64, phase: Option<Phase>, reason: Reason) -> Place {
    Place {
        host: format!("N{}", "A".repeat(55)).parse().unwrap(),
        host_name: host.into(),
        revision: Revision(revision),
        phase,
        weight: Weight::ALL,
        calls: CallCounts::default(),
        reason,
        message: if reason == Reason::AsAsked { String::new() } else { "no such object in the store".into() },
        links: Vec::new(),
    }
}

fn entry(revision: u64, outcome: Option<Outcome>, problem: Option<Problem>) -> HistoryEntry {
    HistoryEntry {
        generation: Generation(revision),
        kind: ChangeKind::Deploy,
        revision: Some(Revision(revision)),
        from: revision.checked_sub(1).filter(|from| *from > 0).map(Revision),
        strategy: "rolling".into(),
        outcome,
        problem,
        started: Timestamp(START),
        ended: outcome.map(|_| Timestamp(START + 38_200)),
        cause: Cause { by: "dev".into(), message: Some("batch reads".into()) },
    }
}

fn problem() -> Problem {
    Problem {
        reason: "fetch-failed".into(),
        message: "no such object in the store".into(),
        component: Some("cart".parse().unwrap()),
        host: None,
        host_name: Some("blue-owl".into()),
    }
}

fn status() -> AppStatus {
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
            waiting_for: vec!["cart on blue-owl: fetching".into()],
            strategy: "rolling".into(),
            weight: Weight::NONE,
            paused: None,
            until: None,
            gates: Vec::new(),
        }),
        last: Some(entry(6, Some(Outcome::Completed), None)),
        components: vec![
            ComponentStatus {
                component: "cart".parse().unwrap(),
                id: "shop-cart".parse().unwrap(),
                desired: 2,
                ready: 1,
                places: vec![
                    place("amber-fox", 7, Some(Phase::Running), Reason::AsAsked),
                    place("blue-owl", 7, Some(Phase::Failed), Reason::FetchFailed),
                    place("grey-elk", 6, None, Reason::AsAsked),
                ],
            },
            ComponentStatus {
                component: "http".parse().unwrap(),
                id: "shop-http".parse().unwrap(),
                desired: 2,
                ready: 0,
                places: Vec::new(),
            },
        ],
        problems: vec![problem()],
        routes: vec!["127.0.0.1:8000/cart".into()],
        description: Some("a shop".into()),
    }
}

#[test]
fn status_for_people() {
    insta::assert_snapshot!(status_text(&status(), &now(), &OUT, false));
}

#[test]
fn apps_for_people() {
    let calm = AppStatus { state: AppState::Serving, rollout: None, problems: Vec::new(), ..status() };
    let stopped = AppStatus {
        state: AppState::Stopped,
        revision: None,
        components: Vec::new(),
        last: None,
        ..calm.clone()
    };
    let broken = AppStatus { state: AppState::Degraded, rollout: None, ..status() };
    let apps = [status(), calm, stopped, broken];
    insta::assert_snapshot!("apps", apps_table(&apps, &OUT, false));
    let ascii = Output { glyphs: Glyphs::Ascii, headers: false, ..OUT };
    insta::assert_snapshot!("apps_wide_ascii", apps_table(&apps, &ascii, true));
}

#[test]
fn history_for_people() {
    let entries = [
        entry(8, None, None),
        entry(7, Some(Outcome::RolledBack), Some(problem())),
        entry(6, Some(Outcome::Completed), None),
    ];
    let tags =
        [("stable", 6), ("before-sale", 6)].map(|(tag, revision)| (tag.to_owned(), Revision(revision)));
    let history = History { app: "shop".parse().unwrap(), entries: entries.into(), tags: tags.into() };
    insta::assert_snapshot!(history_table(&history, &now(), &OUT, true));
}
