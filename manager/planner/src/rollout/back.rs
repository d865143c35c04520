//! The ways that lead away from a revision: taking a rollout back, and stopping the app.

use lath_control_api::app::{ChangeKind, Outcome, Problem};

use super::{Advance, Situation};
use crate::assess::Assessment;
use crate::record::{Assignment, DesiredRecord, Rollout, Stage, Wanted};

pub(super) fn back(record: &DesiredRecord, rollout: &Rollout, situation: &Situation<'_>) -> Advance {
    let problem = rollout.problem.clone();
    // Hosts that are silent are told when they are heard again, rollout or not. What serves again is all that counts,
    // while the revision that is left finishes its calls; without one before it, nothing may stay behind.
    // How well it is does not count: it may have been no better before.
    let back = if record.serving.is_some() { Assessment::is_there } else { Assessment::is_settled };
    // It may have been away on some hosts before, and is no worse for that now.
    let places = u32::try_from(record.base.hosts().count()).unwrap_or(u32::MAX);
    let away = situation.old_unavailable.of_rounded_down(places).min(places.saturating_sub(1));
    let fails = situation.hosts.values().filter(|host| !host.failed.is_empty()).count();
    let tolerated = u32::try_from(fails).is_ok_and(|fails| fails <= away);
    let is_back = |host: &Assessment| back(host) || (tolerated && host.accepted && !host.failed.is_empty());
    if situation.hosts.values().all(is_back) {
        let mut next = record.clone();
        next.rollout = None;
        next.revision = record.serving;
        next.assignment = std::mem::take(&mut next.base);
        let outcome = if rollout.kind == ChangeKind::Rollback && problem.is_none() {
            // Somebody went back to what was still warm.
            Outcome::Completed
        } else if record.serving.is_some() {
            Outcome::RolledBack
        } else {
            // The first revision of the app: nothing serves, and nothing is left behind.
            next.wanted = Wanted::Stop;
            Outcome::Failed
        };
        next.end_history(outcome, problem, situation.now);
        return Advance::to(next);
    }
    let failed = situation.hosts.values().flat_map(|host| &host.failed).next().filter(|_| !tolerated);
    let since = rollout.progressed.max(situation.observed.listening_since());
    let policy = situation.policy;
    // Hosts drain by their own deadline, which comes on top.
    let deadline = since.plus(policy.progress_deadline + policy.drain_deadline);
    if failed.is_none() && situation.now < deadline {
        return Advance { wake_at: Some(deadline), ..Advance::default() };
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
    Advance::to(next)
}

/// Stopped when every host that is there says that nothing of the app is left.
pub(super) fn stop(record: &DesiredRecord, situation: &Situation<'_>) -> Advance {
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
    Advance::to(next)
}
