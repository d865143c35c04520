//! Statuses in, lines and ends out.

use lath_control_api::app::{Cause, ChangeKind, ComponentStatus};
use lath_control_api::{Timestamp, Weight};

use super::*;

fn goal() -> Goal {
    Goal {
        app: "shop".parse().unwrap(),
        change: Change::Deploy,
        generation: Generation(5),
        revision: Some(Revision(2)),
        from: Some(Revision(1)),
        unchanged: false,
    }
}

fn status(generation: u64, ready: u32) -> AppStatus {
    AppStatus {
        app: "shop".parse().unwrap(),
        state: AppState::Progressing,
        message: String::new(),
        revision: Some(Revision(2)),
        generation: Generation(generation),
        rollout: None,
        last: None,
        components: vec![ComponentStatus {
            component: "cart".parse().unwrap(),
            id: "shop-cart".parse().unwrap(),
            desired: 2,
            ready,
            places: Vec::new(),
        }],
        problems: Vec::new(),
        routes: Vec::new(),
        description: None,
    }
}

fn moving(phase: RolloutPhase, ready: u32) -> AppStatus {
    let rollout = RolloutStatus {
        from: Some(Revision(1)),
        to: Revision(2),
        phase,
        step: 1,
        steps: 3,
        started: Timestamp(0),
        waiting_for: vec!["cart on amber: compiling".into(), "cart on blue: fetching".into()],
        strategy: "rolling".into(),
        weight: Weight::NONE,
        paused: None,
        until: None,
        gates: Vec::new(),
    };
    AppStatus { rollout: Some(rollout), ..status(5, ready) }
}

fn ended(generation: u64, outcome: Outcome) -> AppStatus {
    let entry = HistoryEntry {
        generation: Generation(generation),
        kind: ChangeKind::Deploy,
        revision: Some(Revision(2)),
        from: Some(Revision(1)),
        strategy: "rolling".into(),
        outcome: Some(outcome),
        problem: (outcome != Outcome::Completed).then(problem),
        started: Timestamp(0),
        ended: Some(Timestamp(1)),
        cause: Cause::default(),
    };
    AppStatus { last: Some(entry), state: AppState::Serving, ..status(generation, 2) }
}

fn problem() -> Problem {
    Problem {
        reason: "fetch-failed".into(),
        message: "no such object".into(),
        component: Some("cart".parse().unwrap()),
        host: None,
        host_name: Some("blue".into()),
    }
}

fn end(goal: Goal, status: &AppStatus) -> Option<End> {
    Follower::new(goal).see(status, Duration::ZERO).end
}

#[test]
fn news_of_an_older_generation_say_nothing() {
    let mut follower = Follower::new(goal());
    assert_eq!(follower.see(&ended(4, Outcome::Completed), Duration::ZERO), Step::default());
}

#[test]
fn a_change_is_told_step_by_step_and_each_line_once() {
    let mut follower = Follower::new(goal());
    let seconds = Duration::from_secs;
    let mut lines = Vec::new();
    for (at, status) in [
        (0, moving(RolloutPhase::Preparing, 0)),
        (1, moving(RolloutPhase::Preparing, 0)),
        (2, moving(RolloutPhase::Shifting, 1)),
        (3, moving(RolloutPhase::Settling, 2)),
    ] {
        let step = follower.see(&status, seconds(at));
        assert_eq!(step.end, None);
        lines.extend(step.lines);
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    step 1/3 preparing: cart 0/2 ready
    step 1/3 shifting traffic: cart 1/2 ready
    step 1/3 settling: cart 2/2 ready
    ");
    assert_eq!(follower.see(&ended(5, Outcome::Completed), seconds(4)).end, Some(End::Completed));
    assert_eq!(follower.first_ready(), Some(seconds(2)));
}

#[test]
fn still_waiting_is_said_every_ten_seconds_and_names_the_slowest() {
    let mut follower = Follower::new(goal());
    follower.see(&moving(RolloutPhase::Preparing, 0), Duration::from_secs(1));
    assert_eq!(follower.still(Duration::from_secs(10)), None);
    assert_eq!(
        follower.still(Duration::from_secs(11)).unwrap(),
        "still waiting after 11 s for cart on amber: compiling (and 1 more)"
    );
    assert_eq!(follower.still(Duration::from_secs(20)), None);
}

#[test]
fn outcomes_become_exits() {
    let exit = |outcome| end(goal(), &ended(5, outcome)).unwrap().exit().code();
    assert_eq!(exit(Outcome::Completed), 0);
    assert_eq!(exit(Outcome::RolledBack), 9);
    assert_eq!(exit(Outcome::Failed), 10);
    assert_eq!(exit(Outcome::Superseded), 5);
}

#[test]
fn a_first_deploy_that_fails_has_nothing_to_go_back_to() {
    let mut status = ended(5, Outcome::Failed);
    status.last.as_mut().unwrap().from = None;
    assert_eq!(end(goal(), &status), Some(End::Failed(Some(problem()))));
}

#[test]
fn going_back_that_is_stuck_is_degraded() {
    let status = AppStatus { problems: vec![problem()], ..moving(RolloutPhase::Stuck, 0) };
    assert_eq!(end(goal(), &status), Some(End::Degraded(Some(problem()))));
}

#[test]
fn a_newer_change_supersedes_ours_also_while_it_runs() {
    let newer = AppStatus { last: ended(6, Outcome::Completed).last, ..moving(RolloutPhase::Preparing, 0) };
    assert_eq!(end(goal(), &newer), Some(End::Superseded));
}

#[test]
fn rolling_back_keeps_waiting_and_names_the_problem() {
    let status = AppStatus {
        problems: vec![problem()],
        generation: Generation(6),
        ..moving(RolloutPhase::RollingBack, 1)
    };
    let step = Follower::new(goal()).see(&status, Duration::ZERO);
    assert_eq!(step.end, None);
    assert_eq!(step.lines, ["cart on blue: fetch-failed: no such object", "rolling back to revision 1"]);
    // The way back is a generation of its own, and the outcome still stands under ours.
    let after = AppStatus { generation: Generation(6), ..ended(5, Outcome::RolledBack) };
    assert_eq!(end(goal(), &after), Some(End::RolledBack(Some(problem()))));
}

#[test]
fn an_unchanged_app_is_judged_by_how_it_stands() {
    let goal = Goal { unchanged: true, ..goal() };
    assert_eq!(end(goal.clone(), &ended(5, Outcome::Completed)), Some(End::Unchanged));
    let degraded = AppStatus { state: AppState::Degraded, ..ended(5, Outcome::Completed) };
    assert_eq!(end(goal.clone(), &degraded).unwrap().exit(), Exit::Degraded);
    assert_eq!(end(goal, &moving(RolloutPhase::Preparing, 0)), None);
}

#[test]
fn a_delete_ends_when_the_app_is_gone() {
    let goal = Goal { change: Change::Delete, revision: None, ..goal() };
    assert_eq!(end(goal.clone(), &ended(5, Outcome::Stopped)), None);
    assert_eq!(Follower::new(goal).gone(), End::Deleted);
}
