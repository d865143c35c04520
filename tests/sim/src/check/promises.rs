//! Checks of what a rollout's policy promises to people.

use std::sync::Arc;

use lath_control_api::app::ChangeKind;
use lath_manager_planner::AppSpec;
use lath_manager_planner::desired::Difference;
use lath_manager_planner::record::{DesiredRecord, Promotion, Stage};
use lath_manifests::manifest::{Bake, RollbackRule, RolloutPolicy, Strategy};
use lath_manifests::rollout::override_policy;

use super::Said;
use super::fact::{Fact, Stored, Writer};
use super::memory::{Memory, stage_name};
use super::records::{moved, stored};

/// How the rollout of `record` is to go. Apps of the simulation have one policy.
pub(crate) fn policy(record: &DesiredRecord, spec: &AppSpec) -> RolloutPolicy {
    let policy = spec.rollouts.first().cloned().unwrap_or_default();
    let overrides = record.rollout.as_ref().map(|rollout| &rollout.overrides);
    match overrides.filter(|overrides| !overrides.is_empty()) {
        Some(overrides) => override_policy(&policy, overrides).unwrap_or(policy),
        None => policy,
    }
}

fn spec<'a>(step: &Stored<'a>, record: &DesiredRecord) -> Option<&'a Arc<AppSpec>> {
    step.revisions()?.get(&record.revision?)
}

/// Whether a plan moves traffic on, or calls the moving of it done.
fn goes_on(before: &DesiredRecord, after: &DesiredRecord) -> bool {
    match (stage_name(before), stage_name(after)) {
        ("preparing", "emptying" | "shifting") | ("shifting", "warm" | "settling") => true,
        ("shifting", "shifting") => moved(before, after),
        _ => false,
    }
}

pub(super) fn l2(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let (before, after) = step.plan()?;
    let Writer::Plan(basis) = step.by else { return None };
    // A person's word that all of it is wanted outweighs the gates.
    let full = before.rollout.as_ref().is_some_and(|rollout| rollout.promotion == Promotion::Full);
    if !basis.gate_failed || full {
        return None;
    }
    if goes_on(before, after) {
        return Some(Err(format!("{} goes on although a gate of it has failed", step.app)));
    }
    Some(Ok(()))
}

pub(super) fn l3(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let (before, after) = step.plan()?;
    let rollout = before.rollout.as_ref().filter(|_| goes_on(before, after))?;
    let spec = spec(step, before)?;
    let old = before.serving.and_then(|serving| step.revisions()?.get(&serving));
    let trivial = Difference::between(old.map(AsRef::as_ref), Some(spec)).is_trivial();
    let in_a_hurry = matches!(rollout.kind, ChangeKind::Rollback | ChangeKind::Scale);
    if before.serving.is_none() || trivial || in_a_hurry || rollout.promotion == Promotion::Full {
        return None;
    }
    if is_late(before, after) || !asks(&policy(before, spec), &rollout.stage) {
        return None;
    }
    if memory.promoted.get(step.app) == Some(&(before.generation, before.step)) {
        return Some(Ok(()));
    }
    let (from, to) = (stage_name(before), stage_name(after));
    Some(Err(format!("{} went from {from} to {to} without a person's word", step.app)))
}

/// Whether a policy wants a person's word before a stage is left.
fn asks(policy: &RolloutPolicy, stage: &Stage) -> bool {
    match (policy.strategy, stage) {
        (Strategy::Canary, Stage::Shifting { rung, .. }) => policy.steps.get(*rung).is_some_and(|step| {
            step.bake == Bake::Promotion || (!policy.promotes_itself() && step.weight < 100)
        }),
        (Strategy::Canary, _) => false,
        (Strategy::Rolling | Strategy::BlueGreen | Strategy::Recreate, Stage::Preparing) => {
            !policy.promotes_itself()
        }
        (Strategy::Rolling | Strategy::BlueGreen | Strategy::Recreate, _) => false,
    }
}

/// Whether all that moves is that a host which came later gets the share that the others have.
fn is_late(before: &DesiredRecord, after: &DesiredRecord) -> bool {
    let at = |record: &DesiredRecord| match record.rollout.as_ref().map(|rollout| &rollout.stage) {
        Some(Stage::Shifting { rung, weight, .. }) => Some((*rung, *weight)),
        _ => None,
    };
    at(before).is_some() && at(before) == at(after)
}

/// Hosts that come later get what the others have, also meanwhile: the app's share stays as it is. And what is not
/// there any more cannot be kept waiting for.
pub(super) fn l4(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let (before, after) = step.plan()?;
    let rollout = before.rollout.as_ref()?;
    rollout.paused.as_ref()?;
    let spec = spec(step, before)?;
    let hosts = u32::try_from(after.assignment.hosts().count()).unwrap_or(u32::MAX);
    let policy = policy(before, spec);
    let old = before.serving.and_then(|serving| step.revisions()?.get(&serving));
    let trivial = Difference::between(old.map(AsRef::as_ref), Some(spec)).is_trivial();
    let at_once = before.serving.is_none()
        || trivial
        || matches!(rollout.kind, ChangeKind::Rollback | ChangeKind::Scale);
    let in_waves = !at_once
        && policy.strategy == Strategy::Rolling
        && policy.waves.is_none()
        && policy.max_parallel.of_rounded_down(hosts).max(1) < hosts;
    if goes_on(before, after) && (in_waves || !is_late(before, after)) {
        let (from, to) = (stage_name(before), stage_name(after));
        return Some(Err(format!("{} is paused and went from {from} to {to}", step.app)));
    }
    Some(Ok(()))
}

pub(super) fn l5(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = stored(fact)?;
    let (before, after) = step.plan()?;
    let spec = spec(step, before)?;
    let policy = policy(before, spec);
    let by_itself = policy.auto_rollback && policy.rollback == RollbackRule::Allowed;
    if by_itself || before.serving.is_none() || stage_name(before) == "rolling back" {
        return None;
    }
    if stage_name(after) == "rolling back" {
        return Some(Err(format!("{} goes back by itself, which its policy forbids", step.app)));
    }
    Some(Ok(()))
}
