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
    /// Since when hosts are heard: no rollout is blamed for the time before, nor called healthy by it.
    pub listening_since: Timestamp,
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
    let next = match &rollout.stage {
        Stage::Preparing => shift(record, rollout, situation, &BTreeSet::new(), None),
        Stage::Shifting { shifted, healthy_since } => {
            shift(record, rollout, situation, shifted, *healthy_since)
        }
        Stage::Settling => settled(record, rollout, situation),
        Stage::RollingBack | Stage::Stopping | Stage::Stuck => Advance::default(),
    };
    Advance { wake_at: next.wake_at.into_iter().chain(deadline(record, rollout, situation)).min(), ..next }
}

fn to(record: DesiredRecord) -> Advance {
    Advance { record: Some(record), wake_at: None }
}

/// When a rollout that does not come forward has failed; none while it may take as long as it takes.
fn deadline(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> Option<Timestamp> {
    // The first deploy of an app waits for hosts: there is nothing better to go back to.
    if record.serving.is_none() && !situation.unplaced.is_empty() {
        return None;
    }
    // Hosts drain by their own deadline, which comes on top.
    let drains = matches!(rollout.stage, Stage::Settling | Stage::RollingBack);
    let slack = if drains { situation.policy.drain_deadline } else { Duration::ZERO };
    let since = rollout.progressed.max(situation.listening_since);
    Some(since.plus(situation.policy.progress_deadline + slack))
}

fn is_overdue(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> bool {
    deadline(record, rollout, situation).is_some_and(|deadline| deadline <= situation.now)
}

/// Why the rollout cannot go on, if it cannot.
fn failure(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> Option<Problem> {
    if let Some(problem) = situation.hosts.values().flat_map(|host| &host.failed).next() {
        return Some(problem.clone());
    }
    // When all that is missing is the end of old instances, the new ones are not to blame.
    let only_drains = rollout.stage == Stage::Settling && all_ready(situation, &record.assignment);
    if only_drains || !is_overdue(record, rollout, situation) {
        return None;
    }
    let waiting = situation.hosts.values().flat_map(|host| &host.waiting).next().cloned();
    let unplaced = situation.unplaced.first().map(|problem| problem.message.clone());
    Some(Problem {
        reason: "progress-deadline".to_owned(),
        message: format!(
            "no progress for {} s; waiting for {}",
            situation.policy.progress_deadline.as_secs(),
            unplaced.or(waiting).unwrap_or_else(|| "the next wave".to_owned())
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
    if !shifted.is_empty() {
        let Some(since) = healthy_since else {
            return to(with_health(record, rollout, shifted, Some(situation.now)));
        };
        // Without a revision before it nobody loses anything: no need to watch each wave.
        let enough = since.max(situation.listening_since).plus(situation.policy.min_healthy_time);
        if record.serving.is_some() && situation.now < enough {
            return Advance { record: None, wake_at: Some(enough) };
        }
    }
    let hosts = u32::try_from(record.assignment.hosts().count()).unwrap_or(u32::MAX);
    let parallel = situation.policy.max_parallel.of_rounded_down(hosts).max(1);
    let wave = if record.serving.is_some() { parallel } else { u32::MAX };
    let left = record.assignment.hosts().filter(|host| !shifted.contains(*host));
    let wave: Vec<HostId> = left.take(usize::try_from(wave).unwrap_or(usize::MAX)).cloned().collect();
    if wave.is_empty() {
        return to(enter(record, rollout, situation, Stage::Settling));
    }
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

/// Done when every host that is there has the new revision alone, or is overdue with ending the old one.
fn settled(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> Advance {
    let gone = situation.hosts.values().all(Assessment::is_settled);
    if !all_ready(situation, &record.assignment) || !(gone || is_overdue(record, rollout, situation)) {
        return Advance::default();
    }
    let mut next = record.clone();
    complete(&mut next);
    next.rollout = None;
    next.end_history(Outcome::Completed, None, situation.now);
    to(next)
}

/// The revision that is wanted has proven itself: it is what serves, and what later rollouts go back to.
fn complete(record: &mut DesiredRecord) {
    record.serving = record.revision;
    record.base = Assignment::default();
    if let Some(revision) = record.revision {
        record.failed.remove(&revision);
        record.good.retain(|good| *good != revision);
        record.good.push(revision);
        let surplus = record.good.len().saturating_sub(crate::record::HISTORY_KEPT);
        record.good.drain(..surplus);
    }
}

fn back(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> Advance {
    let problem = rollout.problem.clone();
    // Hosts that are silent are told when they are heard again, rollout or not.
    if situation.hosts.values().all(Assessment::is_settled) {
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
    if failed.is_none() && !is_overdue(record, rollout, situation) {
        return Advance { record: None, wake_at: deadline(record, rollout, situation) };
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

/// Ends what the record is about, so that another change can begin: afterwards `serving` and `base` are what hosts
/// hold as stable.
pub(crate) fn supersede(record: &mut DesiredRecord) {
    // What serves is where the assignment is without a rollout, and where the base is during one; except that a
    // revision that settles was healthy on every host and the one before it is going already, and that a first one
    // was ready on every host before all of them gave it their traffic.
    let took_over = record.rollout.as_ref().is_some_and(|rollout| match rollout.stage {
        Stage::Settling => rollout.problem.is_none(),
        Stage::Shifting { .. } => rollout.problem.is_none() && record.serving.is_none(),
        Stage::Preparing | Stage::RollingBack | Stage::Stopping | Stage::Stuck => false,
    });
    if took_over {
        complete(record);
    }
    if took_over || record.rollout.is_none() {
        record.base = record.assignment.and(&record.surplus);
    }
    record.assignment = Assignment::default();
    record.surplus = Assignment::default();
    record.rollout = None;
}

/// Begins the rollout of `record.revision`.
pub(crate) fn begin(record: &mut DesiredRecord, kind: ChangeKind, now: Timestamp) {
    let stage = if kind == ChangeKind::Undeploy { Stage::Stopping } else { Stage::Preparing };
    record.rollout = Some(Rollout { kind, stage, started: now, progressed: now, problem: None });
}
