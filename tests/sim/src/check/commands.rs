//! Checks of what managers tell hosts.

use std::time::Duration;

use lath_control_api::{ComponentName, Weight};
use lath_manager_planner::record::{Assignment, DesiredRecord, Stage};

use super::Said;
use super::fact::{Fact, Sent};
use super::memory::{Memory, specs_of};

/// Shortest time between two sendings of one command by one manager.
const BETWEEN: Duration = Duration::from_secs(2);

const fn sent<'a, 'b>(fact: &'b Fact<'a>) -> Option<&'b Sent<'a>> {
    if let Fact::Sent(sent) = fact { Some(sent) } else { None }
}

/// The record of the decision that a command belongs to.
fn record<'a>(memory: &'a Memory, step: &Sent<'_>) -> Option<&'a DesiredRecord> {
    let (app, fence) = (&step.request.app, step.request.fence);
    memory.committed.get(&(app.clone(), fence.generation, fence.step)).map(AsRef::as_ref)
}

pub(super) fn m3a(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    // A store that has lost the lease gives its numbers again, until hosts tell which they have obeyed.
    let Fact::Began { by, epoch } = fact else { return None };
    if memory.store_went_back {
        return None;
    }
    match memory.epochs.get(epoch) {
        Some(before) if before != by => Some(Err(format!(
            "epoch {epoch} belongs to m{}.{} and to m{}.{}",
            before.manager, before.run, by.manager, by.run
        ))),
        Some(_) | None => Some(Ok(())),
    }
}

pub(super) fn m3b(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = sent(fact).filter(|_| !memory.store_went_back)?;
    let (app, fence) = (&step.request.app, step.request.fence);
    let before = memory.contents.get(&(app.clone(), fence.generation, fence.step, step.at))?;
    if before.bundles == step.request.bundles {
        return Some(Ok(()));
    }
    let (generation, number, name) = (fence.generation, fence.step, &step.host.summary.name);
    Some(Err(format!("{app} g{generation}.{number} stands for two contents on {name}")))
}

pub(super) fn m10(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = sent(fact)?;
    if record(memory, step).is_some() {
        return Some(Ok(()));
    }
    let (app, fence, name) = (&step.request.app, step.request.fence, &step.host.summary.name);
    Some(Err(format!("{app} {fence} was sent to {name} and never committed")))
}

pub(super) fn m12(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = sent(fact)?;
    let (fence, boot, last) = memory.sent.get(&(step.by, step.at, step.request.app.clone()))?;
    let same = *fence == step.request.fence && *boot == step.known.boot;
    if same && step.now.since(*last) < BETWEEN {
        let pause = step.now.since(*last).as_millis();
        let (app, name) = (&step.request.app, &step.host.summary.name);
        return Some(Err(format!("{app} {fence} was sent to {name} again after {pause} ms")));
    }
    Some(Ok(()))
}

pub(super) fn r15(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = sent(fact)?;
    if !step.known.has_it {
        return Some(Ok(()));
    }
    let (app, fence, name) = (&step.request.app, step.request.fence, &step.host.summary.name);
    Some(Err(format!("{app} {fence} was sent to {name}, which holds it")))
}

pub(super) fn r7a(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = sent(fact).filter(|_| !memory.store_went_back)?;
    let record = record(memory, step)?;
    let stage = record.rollout.as_ref().map(|rollout| &rollout.stage);
    let back = matches!(stage, Some(Stage::RollingBack | Stage::Stuck));
    let count = |places: &Assignment, name: &ComponentName| places.count(&step.host.id, name);
    for bundle in &step.request.bundles {
        let name = &bundle.component;
        let stable = match stage {
            None => count(&record.assignment, name).or_else(|| count(&record.surplus, name)),
            Some(Stage::Settling) => count(&record.assignment, name),
            Some(_) => count(&record.base, name),
        };
        let found = bundle.stable.as_ref().map(|spec| spec.max_instances);
        if found.is_some() && found != stable.map(|count| count.max(1)) {
            return Some(Err(format!(
                "{} is told {name} in {found:?} instances for {stable:?}",
                step.host.summary.name
            )));
        }
        if back && bundle.stable.as_ref().map(|spec| spec.revision) != record.serving {
            return Some(Err(format!("{} goes back to another revision of {name}", step.host.summary.name)));
        }
        for (_, spec) in specs_of(bundle) {
            let key = (step.request.app.clone(), spec.revision, bundle.id.clone(), spec.max_instances);
            if memory.told.get(&key).is_some_and(|told| told != spec) {
                return Some(Err(format!("{name} of r{} was told in other bytes before", spec.revision)));
            }
        }
    }
    Some(Ok(()))
}

pub(super) fn l1b(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = sent(fact)?;
    let record = record(memory, step)?;
    let share = match record.rollout.as_ref().map(|rollout| &rollout.stage) {
        Some(Stage::Shifting { shifted, weight, .. }) if shifted.contains(&step.host.id) => *weight,
        Some(Stage::Warm { .. }) => Weight::ALL,
        Some(_) | None => Weight::NONE,
    };
    let mut candidates = step.request.bundles.iter().filter_map(|bundle| bundle.candidate.as_ref());
    match candidates.find(|candidate| candidate.weight != share) {
        None => Some(Ok(())),
        Some(other) => Some(Err(format!(
            "{} is told {} % of {}, and the record has {} %",
            step.host.summary.name,
            other.weight.percent(),
            step.request.app,
            share.percent()
        ))),
    }
}
