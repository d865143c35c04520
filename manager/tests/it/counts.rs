//! Rollouts that are judged by what hosts count: heard while they last, not with the next change of a host.

use std::time::{Duration, Instant};

use lath_control_api::app::{AppState, Outcome};
use lath_control_api::{CallCounts, Revision, Role};

use crate::lattice::{Lattice, eventually, manifest_with};

/// Tries a revision on one host with half of the calls for ten minutes; gates judge it by `counts` of each role after
/// so many calls.
async fn tried(counts: impl Fn(Role, u64) -> CallCounts) -> (Lattice, crate::lattice::Manager) {
    let lattice = Lattice::with_hosts(1).await;
    let manager = lattice.manager("m1").await;
    let policy =
        "strategy: canary, steps: \"50%/10m\", gates: \"errors<=10%, samples>=20\", min_healthy_time: 0s";
    lattice.serve(&manifest_with("shop", &[], policy)).await;
    lattice.deploy(&manifest_with("shop", &[("word", "hi")], policy)).await.unwrap();
    eventually("half of the traffic", async || {
        let status = lattice.status("shop").await.map_err(|error| error.to_string())?;
        let half = status.rollout.as_ref().is_some_and(|rollout| rollout.weight.percent() == 50);
        if half { Ok(()) } else { Err(format!("{status:#?}")) }
    })
    .await;
    let host = &lattice.hosts[0];
    let begun = Instant::now();
    // As long as there is a candidate, and as often as hosts do.
    for second in 0_u64..12 {
        host.tell_calls("shop", |role| counts(role, 10 * second)).await;
        let status = lattice.status("shop").await.unwrap();
        if status.rollout.is_none() || begun.elapsed() > Duration::from_secs(10) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    (lattice, manager)
}

#[tokio::test]
async fn a_candidate_that_answers_500_is_taken_back_while_it_is_tried() {
    let (lattice, _manager) = tried(|role, calls| match role {
        Role::Candidate => CallCounts { started: calls, answered_5xx: calls, ..CallCounts::default() },
        Role::Stable | Role::Retired => {
            CallCounts { started: calls, succeeded: calls, ..CallCounts::default() }
        }
    })
    .await;
    let status = eventually("the old revision to serve alone", async || {
        let status = lattice.status("shop").await.map_err(|error| error.to_string())?;
        let back = status.state == AppState::Serving && status.rollout.is_none();
        if back { Ok(status) } else { Err(format!("{status:#?}")) }
    })
    .await;
    assert_eq!(status.revision, Some(Revision(1)));
    let last = status.last.unwrap();
    assert_eq!((last.revision, last.outcome), (Some(Revision(2)), Some(Outcome::RolledBack)));
    let problem = last.problem.unwrap();
    assert_eq!(problem.reason, "gate-failed", "{problem:?}");
}

#[tokio::test]
async fn callers_that_leave_are_not_held_against_a_candidate_and_its_counts_are_shown() {
    let (lattice, _manager) = tried(|_, calls| CallCounts {
        started: 2 * calls,
        succeeded: calls,
        abandoned: calls,
        ..CallCounts::default()
    })
    .await;
    let status = lattice.status("shop").await.unwrap();
    assert!(status.rollout.is_some(), "{status:#?}");
    let places = status.components.iter().flat_map(|component| &component.places);
    let tried = places.filter(|place| place.revision == Revision(2)).map(|place| place.calls.succeeded);
    assert!(tried.max() >= Some(50), "{status:#?}");
}
