//! Checks of what is written to the store.

use lath_control_api::subject::{app_key, parse_revision_key, revision_key};
use lath_control_api::{AppName, Revision};
use lath_manager_planner::record::{Assignment, DesiredRecord, Stage, Wanted};

use super::Said;
use super::fact::{Fact, Stored, Writer};
use super::memory::{Memory, stage_name};
use crate::host::Host;

pub(super) const fn stored<'a, 'b>(fact: &'b Fact<'a>) -> Option<&'b Stored<'a>> {
    if let Fact::Stored(stored) = fact { Some(stored) } else { None }
}

/// The stages that a plan may lead to, by the stage that it was made from. To the same one it may always.
const EDGES: [(&str, &[&str]); 11] = [
    ("at rest", &[]),
    ("stopped", &[]),
    ("preparing", &["emptying", "shifting", "rolling back", "held"]),
    ("emptying", &["shifting", "rolling back", "held"]),
    ("shifting", &["warm", "settling", "rolling back", "held"]),
    ("warm", &["settling", "rolling back", "held"]),
    ("settling", &["at rest", "rolling back", "held"]),
    // Without a revision to go back to, the app is stopped.
    ("rolling back", &["at rest", "stopped", "stuck"]),
    ("stopping", &["stopped"]),
    ("stuck", &[]),
    ("held", &[]),
];

pub(super) fn r10(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let (before, after) = step.plan()?;
    let (from, to) = (stage_name(before), stage_name(after));
    let edges = EDGES.iter().find(|(stage, _)| *stage == from).map_or(&[][..], |(_, edges)| edges);
    if from == to || edges.contains(&to) {
        return Some(Ok(()));
    }
    Some(Err(format!("{} went from {from} to {to}", step.app)))
}

pub(super) fn r11(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let (_, after) = step.plan()?;
    let asked = *memory.asked.get(step.app)?;
    if after.generation < asked {
        return Some(Err(format!("{} works on g{} after g{asked}", step.app, after.generation)));
    }
    Some(Ok(()))
}

pub(super) fn r13a(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let after = step.after?;
    let before = *memory.counters.get(step.app)?;
    let counters = (after.generation, after.step, after.last_revision);
    // Who writes again what was lost cannot know which numbers of revisions were given meanwhile.
    let restored = matches!(step.by, Writer::Restore);
    if counters < before || (counters.2 < before.2 && !restored) {
        return Some(Err(format!("counters of {} went from {before:?} to {counters:?}", step.app)));
    }
    Some(Ok(()))
}

pub(super) fn n2(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact).filter(|step| step.after.is_some())?;
    let Writer::Restore = step.by else { return None };
    if memory.asked_after_loss.contains(step.app) {
        return Some(Err(format!("{} was written over by what was lost before it", step.app)));
    }
    Some(Ok(()))
}

pub(super) fn n6(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let key = app_key(step.app);
    let revisions = step.after.into_iter().flat_map(|record| record.needed_revisions());
    for revision in revisions {
        let of_revision = revision_key(step.app, revision);
        let read = parse_revision_key(&of_revision).ok();
        let wild = of_revision.contains(['*', '>', ' ']) || key.contains(['*', '>', ' ', '.']);
        if wild || read != Some((step.app.clone(), revision)) {
            return Some(Err(format!("{of_revision} is the key of r{revision} of {}", step.app)));
        }
        let begins =
            |other: &&AppName| *other != step.app && of_revision.starts_with(&format!("{}.", app_key(other)));
        if let Some(other) = memory.counters.keys().find(begins) {
            return Some(Err(format!("{of_revision} of {} is among those of {other}", step.app)));
        }
    }
    Some(Ok(()))
}

pub(super) fn n7(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    if !memory.spoilt.contains(step.app) {
        return Some(Ok(()));
    }
    match step.by {
        Writer::Plan(_) | Writer::Restore | Writer::User { .. } => {
            Some(Err(format!("{} was written over and could not be read", step.app)))
        }
        Writer::Time => None,
    }
}

pub(super) fn m4(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let Writer::Plan(basis) = step.by else { return None };
    if step.before.is_some_and(|before| **before == *basis.record) {
        return Some(Ok(()));
    }
    let (generation, number) = (basis.record.generation, basis.record.step);
    Some(Err(format!("{} was planned from g{generation}.{number}, which is not there any more", step.app)))
}

pub(super) fn m5(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let (before, after) = step.plan()?;
    let has = |record: &DesiredRecord| {
        let during = record.rollout.is_some() && !record.base.is_empty();
        !record.assignment.is_empty() || !record.surplus.is_empty() || during
    };
    let emptied = matches!(
        after.rollout.as_ref().map(|rollout| &rollout.stage),
        Some(Stage::Emptying | Stage::Shifting { alone: true, .. })
    );
    let wanted = before.wanted == Wanted::Run && after.wanted == Wanted::Run && !emptied;
    if wanted && has(before) && !has(after) && after.serving.is_some() {
        return Some(Err(format!("{} would be nowhere", step.app)));
    }
    Some(Ok(()))
}

/// Judged by what the manager had heard; and by what really is, unless a host was lost or cut off a while ago and may
/// not be what it was said to be.
pub(super) fn r5b(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let (before, after) = step.plan()?;
    let Writer::Plan(basis) = step.by else { return None };
    if !goes_forward(before, after) {
        return None;
    }
    let revision = before.revision?;
    if basis.unready {
        let (from, to) = (stage_name(before), stage_name(after));
        return Some(Err(format!(
            "{} went from {from} to {to}, and r{revision} was not heard to be ready",
            step.app
        )));
    }
    if memory.is_after_a_fault(step.now) {
        return Some(Ok(()));
    }
    let spec = step.revisions()?.get(&revision)?;
    let unready = |host: &&Host| {
        let assigned = before.assignment.on(&host.id);
        let mut ids = assigned.filter_map(|(name, _)| spec.components.get(name).map(|plan| &plan.id));
        ids.any(|id| !host.has_ready(id, revision, step.now))
    };
    let missing: Vec<&str> =
        step.hosts.iter().filter(unready).map(|host| host.summary.name.as_str()).collect();
    let hosts = u32::try_from(before.assignment.hosts().count()).unwrap_or(u32::MAX);
    let policy = super::promises::policy(before, spec);
    let away = policy.max_unavailable.of_rounded_down(hosts).min(hosts.saturating_sub(1));
    if missing.len() > usize::try_from(away).unwrap_or(0) {
        let (from, to) = (stage_name(before), stage_name(after));
        return Some(Err(format!(
            "{} went from {from} to {to} while r{revision} is not ready on {missing:?}",
            step.app
        )));
    }
    Some(Ok(()))
}

/// Whether more of the new revision is told than before, or it is called done.
fn goes_forward(before: &DesiredRecord, after: &DesiredRecord) -> bool {
    match (stage_name(before), stage_name(after)) {
        ("preparing", "shifting") | ("shifting", "warm" | "settling") | ("settling", "at rest") => true,
        ("shifting", "shifting") => moved(before, after),
        _ => false,
    }
}

/// Whether a record gives the new revision more traffic than the one before.
pub(super) fn moved(before: &DesiredRecord, after: &DesiredRecord) -> bool {
    let stage = |record: &DesiredRecord| match record.rollout.as_ref().map(|rollout| &rollout.stage) {
        Some(Stage::Shifting { shifted, weight, .. }) => Some((shifted.clone(), weight.percent())),
        _ => None,
    };
    match (stage(before), stage(after)) {
        (Some((shifted, weight)), Some((now, more))) => more > weight || !now.is_subset(&shifted),
        _ => false,
    }
}

pub(super) fn r7b(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let (before, after) = step.plan()?;
    if before.rollout.is_none() || after.rollout.is_none() || before.serving != after.serving {
        return None;
    }
    if fewer(&before.base, &after.base) {
        return Some(Err(format!(
            "{} has lost a place of r{:?} in the middle of a rollout",
            step.app, before.serving
        )));
    }
    Some(Ok(()))
}

fn fewer(before: &Assignment, after: &Assignment) -> bool {
    before.0.iter().any(|(host, components)| {
        components.iter().any(|(name, count)| after.count(host, name).is_none_or(|now| now < *count))
    })
}

pub(super) fn r9(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let Writer::User { what: "rollback" | "rollback to a revision", .. } = step.by else { return None };
    let (before, after) = (step.before?, step.after?);
    let content = |revision: Revision| step.store.revision(step.app, revision).map(|found| &found.content);
    let reached = content(after.revision?);
    let mut good = before.good.iter().copied().chain(before.serving);
    if good.any(|good| content(good) == reached) {
        return Some(Ok(()));
    }
    Some(Err(format!("{} was led to r{:?}, and its content was never good", step.app, after.revision)))
}
