//! Statuses in, lines and ends out.

use std::time::Duration;

use lath_control_api::app::{
    AppState, Cause, ChangeKind, ComponentStatus, GateStatus, HistoryEntry, Outcome, RolloutPhase,
    RolloutStatus, Verdict,
};
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
        before: None,
    }
}

/// What a rollout was told, and how the app stood until then.
fn told(change: Change, before: AppStatus) -> Goal {
    Goal { change, before: Some(Box::new(before)), ..goal() }
}

fn texts(step: &Step) -> Vec<&str> {
    step.lines.iter().map(|line| line.text.as_str()).collect()
}

fn with(rollout: impl FnOnce(&mut RolloutStatus), mut status: AppStatus) -> AppStatus {
    rollout(status.rollout.as_mut().unwrap());
    status
}

fn paused(why: &str) -> AppStatus {
    let status = AppStatus { state: AppState::Paused, ..moving(RolloutPhase::Shifting, 1) };
    with(|rollout| rollout.paused = Some(why.into()), status)
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
        lines.extend(texts(&step).into_iter().map(str::to_owned));
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
    assert_eq!(texts(&step), ["cart on blue: fetch-failed: no such object", "rolling back to revision 1"]);
    assert!(step.lines.iter().all(|line| line.event));
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

#[test]
fn a_rollout_that_waits_for_a_person_ends_the_wait_unless_that_person_looks_on() {
    let paused = paused("waits for promotion: lath rollout promote shop");
    let ends = |change| end(Goal { change, ..goal() }, &paused);
    let why = End::Paused("waits for promotion: lath rollout promote shop".into());
    for change in [Change::Deploy, Change::Rollback, Change::Scale, Change::Pause, Change::Watch] {
        assert_eq!(ends(change), Some(why.clone()));
    }
    assert_eq!(why.exit(), Exit::Done);
    for change in [Change::Abort, Change::Undeploy] {
        assert_eq!(ends(change), None);
    }
    let mut attended = Follower::new(goal());
    attended.attend();
    assert_eq!(attended.see(&paused, Duration::ZERO).end, None);
}

#[test]
fn pauses_and_what_ends_them_are_told_each_time() {
    let mut follower = Follower::new(Goal { change: Change::Watch, ..goal() });
    let mut lines = Vec::new();
    for status in [
        moving(RolloutPhase::Shifting, 1),
        paused("by ops"),
        paused("by ops"),
        moving(RolloutPhase::Shifting, 1),
        paused("by ops"),
    ] {
        lines.extend(follower.see(&status, Duration::ZERO).lines.into_iter().map(|line| line.text));
    }
    let shifting = "step 1/3 shifting traffic: cart 1/2 ready";
    assert_eq!(lines, [shifting, "paused: by ops", &format!("goes on: {shifting}"), "paused: by ops"]);
    assert_eq!(follower.still(Duration::from_secs(10)).unwrap(), "still paused after 10 s: by ops");
}

#[test]
fn all_traffic_on_the_new_revision_is_enough_while_the_old_one_is_kept_warm() {
    let until = Some(Timestamp(300_000));
    let warm = with(|rollout| rollout.until = until, moving(RolloutPhase::KeepingWarm, 2));
    assert_eq!(end(goal(), &warm), Some(End::Warm(until)));
    assert_eq!(End::Warm(until).exit(), Exit::Done);
    assert_eq!(end(Goal { change: Change::Watch, ..goal() }, &warm), Some(End::Warm(until)));
    assert_eq!(end(Goal { change: Change::Abort, ..goal() }, &warm), None);
    let newer = with(|rollout| rollout.to = Revision(3), warm.clone());
    assert_eq!(end(goal(), &newer), Some(End::Superseded));
    let mut attended = Follower::new(goal());
    attended.attend();
    assert_eq!(attended.see(&warm, Duration::ZERO).end, None);
}

#[test]
fn a_status_from_before_the_request_ends_nothing() {
    let before = paused("waits for promotion");
    let mut follower = Follower::new(told(Change::Promote, before.clone()));
    assert_eq!(follower.see(&before, Duration::from_secs(1)).end, None);
    let next = with(|rollout| rollout.step = 2, before.clone());
    assert_eq!(
        follower.see(&next, Duration::from_secs(1)).end,
        Some(End::Paused("waits for promotion".into()))
    );
    // What has not changed for so long is how it stands.
    assert_eq!(
        follower.see(&before, Duration::from_secs(3)).end,
        Some(End::Paused("waits for promotion".into()))
    );
    // Where the manager says that nothing was to be changed, how it stands is the answer at once.
    let same = Goal { unchanged: true, ..told(Change::Pause, before.clone()) };
    assert_eq!(end(same, &before), Some(End::Paused("waits for promotion".into())));
}

#[test]
fn an_abort_has_succeeded_when_the_old_revision_serves_again() {
    let goal = || told(Change::Abort, moving(RolloutPhase::Shifting, 1));
    assert_eq!(end(goal(), &moving(RolloutPhase::RollingBack, 1)), None);
    assert_eq!(end(goal(), &ended(5, Outcome::RolledBack)), Some(End::Aborted));
    assert_eq!((End::Aborted.exit(), End::Aborted.word()), (Exit::Done, "RolledBack"));
    let stuck = moving(RolloutPhase::Stuck, 0);
    assert_eq!(end(goal(), &stuck).unwrap().exit(), Exit::Degraded);
}

#[test]
fn an_abort_of_the_first_revision_leaves_nothing() {
    let mut status = ended(5, Outcome::Failed);
    status.last.as_mut().unwrap().from = None;
    assert_eq!(end(told(Change::Abort, moving(RolloutPhase::Shifting, 1)), &status), Some(End::Aborted));
}

#[test]
fn a_retry_is_judged_by_the_new_attempt() {
    let before = ended(5, Outcome::RolledBack);
    let goal = || Goal { generation: Generation(6), ..told(Change::Retry, before.clone()) };
    let again = AppStatus {
        generation: Generation(6),
        last: before.last.clone(),
        ..moving(RolloutPhase::Preparing, 0)
    };
    assert_eq!(end(goal(), &again), None);
    // The old attempt's outcome stays the last one until the new one has its own.
    let between = AppStatus { generation: Generation(6), ..before.clone() };
    assert_eq!(end(goal(), &between), None);
    assert_eq!(end(goal(), &ended(6, Outcome::Completed)), Some(End::Completed));
}

#[test]
fn a_newer_revision_supersedes_what_a_rollout_was_told() {
    let newer = with(|rollout| rollout.to = Revision(3), moving(RolloutPhase::Preparing, 0));
    assert_eq!(end(told(Change::Resume, paused("by ops")), &newer), Some(End::Superseded));
    assert_eq!(end(Goal { change: Change::Watch, ..goal() }, &newer), None);
}

#[test]
fn an_unchanged_revision_whose_rollout_fails_has_not_succeeded() {
    let mut follower = Follower::new(Goal { unchanged: true, ..goal() });
    assert_eq!(follower.see(&moving(RolloutPhase::Shifting, 1), Duration::ZERO).end, None);
    let after = ended(5, Outcome::RolledBack);
    assert_eq!(follower.see(&after, Duration::ZERO).end, Some(End::RolledBack(Some(problem()))));
}

#[test]
fn a_gate_that_fails_is_told_once_with_its_numbers() {
    let gate = |candidate: &str| GateStatus {
        metric: "errors".into(),
        component: Some("cart".parse().unwrap()),
        bound: "<=1%".into(),
        candidate: candidate.into(),
        stable: Some("0.10%".into()),
        samples: 1_001,
        verdict: Verdict::Failed,
    };
    let mut follower = Follower::new(goal());
    let mut lines = Vec::new();
    for candidate in ["4.10%", "4.30%"] {
        let status = with(|rollout| rollout.gates = vec![gate(candidate)], moving(RolloutPhase::Shifting, 1));
        lines.extend(follower.see(&status, Duration::ZERO).lines.into_iter().filter(|line| line.event));
    }
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["gate errors <=1% of cart failed: 4.10% (before 0.10%, 1001 calls)"]);
}

#[test]
fn a_part_of_the_traffic_is_told_as_a_weight() {
    let quarter = |rollout: &mut RolloutStatus| rollout.weight = Weight::try_from(25).unwrap();
    let step = Follower::new(goal()).see(&with(quarter, moving(RolloutPhase::Shifting, 1)), Duration::ZERO);
    assert_eq!(texts(&step), ["step 1/3 shifting traffic, weight 25%: cart 1/2 ready"]);
}

#[test]
fn watching_a_rollout_that_has_ended_tells_how() {
    let goal = || Goal { change: Change::Watch, generation: Generation(0), revision: None, ..goal() };
    assert_eq!(end(goal(), &ended(5, Outcome::RolledBack)), Some(End::RolledBack(Some(problem()))));
    assert_eq!(end(goal(), &ended(5, Outcome::Completed)), Some(End::Completed));
    assert_eq!(Follower::new(goal()).gone(), End::Deleted);
}

#[test]
fn a_failure_that_is_held_is_degraded_and_not_paused() {
    let held =
        AppStatus { state: AppState::Degraded, problems: vec![problem()], ..paused("the gate failed") };
    assert_eq!(end(goal(), &held), Some(End::Degraded(Some(problem()))));
    assert_eq!(end(told(Change::Abort, held.clone()), &held), None);
}

#[test]
fn a_step_that_takes_its_time_is_still_waited_for_until_then() {
    let mut follower = Follower::new(goal());
    let waits = |rollout: &mut RolloutStatus| {
        rollout.waiting_for.clear();
        rollout.until = Some(Timestamp(1_795_244_400_123));
    };
    follower.see(&with(waits, moving(RolloutPhase::Shifting, 2)), Duration::ZERO);
    assert_eq!(
        follower.still(Duration::from_secs(10)).unwrap(),
        "still waiting after 10 s: step 1/3 shifting traffic: cart 2/2 ready, until 2026-11-21T07:00:00Z"
    );
}
