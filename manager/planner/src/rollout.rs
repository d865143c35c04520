//! What happens next to a rollout: its record, moved on by what hosts have done.
//!
//! Each function is one edge of the state chart in `docs/rollouts.md`. Whoever changes what hosts are told also
//! takes a new step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::app::{ChangeKind, Outcome, Problem};
use lath_control_api::{HostId, Step, Timestamp};
use lath_manifests::manifest::RolloutPolicy;

use crate::assess::Assessment;
use crate::record::{Assignment, DesiredRecord, Rollout, Stage, Wanted};

/// What a move of a rollout is decided by.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The time.
    pub now: Timestamp,
    /// How the app wants to be rolled out.
    pub policy: &'a RolloutPolicy,
    /// How far each host that is there has come with what the record tells it.
    pub hosts: &'a BTreeMap<HostId, Assessment>,
    /// Spreads of the new revision without enough hosts.
    pub unplaced: &'a [Problem],
}

/// The record one edge further, or none when it stays as it is; and when time alone could change that.
#[derive(Debug, Default)]
pub struct Advance {
    /// The next record.
    pub record: Option<DesiredRecord>,
    /// When to look again though nothing was heard.
    pub wake_at: Option<Timestamp>,
}

/// Moves the rollout of `record`, if it has one, along one edge at most.
#[must_use]
pub fn advance(record: &DesiredRecord, situation: &Situation<'_>) -> Advance {
    let Some(rollout) = &record.rollout else { return Advance::default() };
    match &rollout.stage {
        Stage::Preparing | Stage::Shifting { .. } | Stage::Settling => forward(record, rollout, situation),
        Stage::RollingBack => back(record, rollout, situation),
        Stage::Stopping => stop(record, situation),
        Stage::Stuck => Advance::default(),
    }
}

fn forward(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> Advance {
    if rollout.problem.is_some() {
        // Held: it has failed, and its policy says that nobody goes back by himself.
        return Advance::default();
    }
    if let Some(problem) = failure(record, rollout, situation) {
        return to(fail(record, rollout, situation, problem));
    }
    let deadline = rollout.progressed.plus(situation.policy.progress_deadline);
    let next = match &rollout.stage {
        Stage::Preparing => prepared(record, rollout, situation),
        Stage::Shifting { shifted, healthy_since } => {
            shift(record, rollout, situation, shifted, *healthy_since)
        }
        Stage::Settling => settled(record, situation),
        Stage::RollingBack | Stage::Stopping | Stage::Stuck => Advance::default(),
    };
    let earlier = next.wake_at.map_or(deadline, |wake| wake.min(deadline));
    Advance { wake_at: Some(earlier), ..next }
}

fn to(record: DesiredRecord) -> Advance {
    Advance { record: Some(record), wake_at: None }
}

/// Why the rollout cannot go on, if it cannot.
fn failure(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> Option<Problem> {
    if let Some(problem) = situation.hosts.values().flat_map(|host| &host.failed).next() {
        return Some(problem.clone());
    }
    // The first deploy of an app waits for hosts as long as it takes: there is nothing better to go back to.
    if record.serving.is_none() && !situation.unplaced.is_empty() {
        return None;
    }
    // Hosts drain by their own deadline, which comes on top.
    let slack = if matches!(rollout.stage, Stage::Settling) {
        situation.policy.drain_deadline
    } else {
        Duration::ZERO
    };
    if situation.now.since(rollout.progressed) <= situation.policy.progress_deadline + slack {
        return None;
    }
    let waiting = situation.hosts.values().flat_map(|host| &host.waiting).next().cloned();
    let unplaced = situation.unplaced.first().map(|problem| problem.message.clone());
    Some(Problem {
        reason: "progress-deadline".to_owned(),
        message: format!(
            "no progress for {} s; waiting for {}",
            situation.policy.progress_deadline.as_secs(),
            unplaced.or(waiting).unwrap_or_else(|| "old instances to finish".to_owned())
        ),
        component: None,
        host: None,
        host_name: None,
    })
}

/// The rollout has failed: go back, or hold where it is when the policy says so.
fn fail(
    record: &DesiredRecord,
    rollout: &Rollout,
    situation: &Situation<'_>,
    problem: Problem,
) -> DesiredRecord {
    let mut next = record.clone();
    if let Some(revision) = record.revision {
        next.failed.insert(revision, problem.clone());
    }
    let held = !situation.policy.auto_rollback && record.serving.is_some();
    let stage = if held { rollout.stage.clone() } else { Stage::RollingBack };
    if !held {
        next.generation = record.generation.next();
        next.step = Step(1);
    }
    next.rollout =
        Some(Rollout { stage, progressed: situation.now, problem: Some(problem), ..rollout.clone() });
    next
}

fn all_ready(situation: &Situation<'_>, assignment: &Assignment) -> bool {
    situation.unplaced.is_empty()
        && assignment.hosts().all(|host| situation.hosts.get(host).is_some_and(Assessment::is_ready))
}

fn prepared(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> Advance {
    if !all_ready(situation, &record.assignment) {
        return Advance::default();
    }
    to(enter(record, rollout, situation, Stage::Shifting { shifted: BTreeSet::new(), healthy_since: None }))
}

fn enter(
    record: &DesiredRecord,
    rollout: &Rollout,
    situation: &Situation<'_>,
    stage: Stage,
) -> DesiredRecord {
    let rollout = Rollout { stage, progressed: situation.now, ..rollout.clone() };
    DesiredRecord { step: record.step.next(), rollout: Some(rollout), ..record.clone() }
}

fn shift(
    record: &DesiredRecord,
    rollout: &Rollout,
    situation: &Situation<'_>,
    shifted: &BTreeSet<HostId>,
    healthy_since: Option<Timestamp>,
) -> Advance {
    if !all_ready(situation, &record.assignment) {
        // Whatever was healthy is not any more: the wave's time begins again.
        return match healthy_since {
            None => Advance::default(),
            Some(_) => to(with_health(record, rollout, shifted, None)),
        };
    }
    let left: Vec<&HostId> = record.assignment.hosts().filter(|host| !shifted.contains(*host)).collect();
    if !shifted.is_empty() {
        let Some(since) = healthy_since else {
            return to(with_health(record, rollout, shifted, Some(situation.now)));
        };
        // Without a revision before it nobody loses anything: no need to watch each wave.
        let enough = since.plus(situation.policy.min_healthy);
        if record.serving.is_some() && situation.now < enough {
            return Advance { record: None, wake_at: Some(enough) };
        }
    }
    if left.is_empty() {
        return to(enter(record, rollout, situation, Stage::Settling));
    }
    let wave = if record.serving.is_some() { situation.policy.max_parallel } else { u32::MAX };
    let wave = left.into_iter().take(usize::try_from(wave).unwrap_or(usize::MAX)).cloned();
    let shifted = shifted.iter().cloned().chain(wave).collect();
    to(enter(record, rollout, situation, Stage::Shifting { shifted, healthy_since: None }))
}

/// Hosts are told nothing new by this, so the step stays.
fn with_health(
    record: &DesiredRecord,
    rollout: &Rollout,
    shifted: &BTreeSet<HostId>,
    healthy_since: Option<Timestamp>,
) -> DesiredRecord {
    let stage = Stage::Shifting { shifted: shifted.clone(), healthy_since };
    DesiredRecord { rollout: Some(Rollout { stage, ..rollout.clone() }), ..record.clone() }
}

/// Done when every host that is there has the new revision alone.
fn settled(record: &DesiredRecord, situation: &Situation<'_>) -> Advance {
    if !all_ready(situation, &record.assignment) || !situation.hosts.values().all(Assessment::is_settled) {
        return Advance::default();
    }
    let mut next = record.clone();
    next.rollout = None;
    next.serving = record.revision;
    next.base = Assignment::default();
    next.surplus = Assignment::default();
    if let Some(revision) = record.revision {
        next.failed.remove(&revision);
        next.good.retain(|good| *good != revision);
        next.good.push(revision);
        let surplus = next.good.len().saturating_sub(crate::record::HISTORY_KEPT);
        next.good.drain(..surplus);
    }
    next.end_history(Outcome::Completed, None, situation.now);
    to(next)
}

fn back(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> Advance {
    let problem = rollout.problem.clone();
    let present = record.base.hosts().all(|host| situation.hosts.contains_key(host));
    if present && situation.hosts.values().all(Assessment::is_settled) {
        let mut next = record.clone();
        next.rollout = None;
        next.revision = record.serving;
        next.assignment = std::mem::take(&mut next.base);
        let outcome = if record.serving.is_some() {
            Outcome::RolledBack
        } else {
            // The first revision of the app: nothing serves, and nothing is left behind.
            next.wanted = Wanted::Stop;
            Outcome::Failed
        };
        next.end_history(outcome, problem, situation.now);
        return to(next);
    }
    let failed = situation.hosts.values().flat_map(|host| &host.failed).next();
    let limit = situation.policy.progress_deadline + situation.policy.drain_deadline;
    let deadline = rollout.progressed.plus(limit);
    if failed.is_none() && situation.now <= deadline {
        return Advance { record: None, wake_at: Some(deadline.plus(Duration::from_millis(1))) };
    }
    let why = failed.map_or_else(|| "it takes too long".to_owned(), |failed| failed.message.clone());
    let stuck = Problem {
        reason: "rollback-stuck".to_owned(),
        message: format!(
            "going back failed ({why}) after {}",
            problem.map_or_else(|| "a failed rollout".to_owned(), |problem| problem.message)
        ),
        ..failed.cloned().unwrap_or_else(|| Problem {
            reason: String::new(),
            message: String::new(),
            component: None,
            host: None,
            host_name: None,
        })
    };
    let mut next = record.clone();
    next.end_history(Outcome::Failed, Some(stuck.clone()), situation.now);
    next.rollout = Some(Rollout { stage: Stage::Stuck, problem: Some(stuck), ..rollout.clone() });
    to(next)
}

/// Stopped when every host that is there says that nothing of the app is left.
fn stop(record: &DesiredRecord, situation: &Situation<'_>) -> Advance {
    if !situation.hosts.values().all(Assessment::is_settled) {
        return Advance::default();
    }
    let mut next = record.clone();
    next.rollout = None;
    next.serving = None;
    next.assignment = Assignment::default();
    next.base = Assignment::default();
    next.surplus = Assignment::default();
    next.end_history(Outcome::Stopped, None, situation.now);
    to(next)
}

/// Begins the rollout of `record.revision`: everything that the record says of an earlier one is put aside.
pub(crate) fn begin(record: &mut DesiredRecord, kind: ChangeKind, now: Timestamp) {
    // What serves is where the base is during a rollout, and where the assignment is without one.
    if record.rollout.is_none() {
        record.base = record.assignment.and(&record.surplus);
    }
    record.assignment = Assignment::default();
    record.surplus = Assignment::default();
    let stage = if kind == ChangeKind::Undeploy { Stage::Stopping } else { Stage::Preparing };
    record.rollout = Some(Rollout { kind, stage, started: now, progressed: now, problem: None });
}
