//! Invariants of a plan, checked by code that shares nothing with the code that made it.
//!
//! A broken one means a defect in the planner: nothing of that plan is committed or sent, and the app stays as
//! it is, which is always the smaller harm.

use lath_control_api::{ComponentInventory, HostId};

use crate::bundles;
use crate::plan::{Command, PlanInput};
use crate::record::{DesiredRecord, Rollout, Stage, Wanted};

/// An invariant that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its id in the reliability reference, such as `M5`.
    pub id: &'static str,
    /// What is wrong, with names.
    pub message: String,
}

/// Checks the step from `input.record` to `next` and its commands.
#[must_use]
pub fn check(input: &PlanInput<'_>, next: &DesiredRecord, commands: &[Command]) -> Vec<Violation> {
    let mut broken = Vec::new();
    counters(input.record, next, &mut broken);
    contents(input, next, &mut broken);
    for command in commands {
        addressed(input, command, &mut broken);
        capacity(input, next, command, &mut broken);
    }
    broken
}

/// Counters only grow.
fn counters(before: &DesiredRecord, next: &DesiredRecord, broken: &mut Vec<Violation>) {
    if (next.generation, next.step) < (before.generation, before.step)
        || next.last_revision < before.last_revision
    {
        broken.push(Violation { id: "R13", message: format!("counters of `{}` would go back", before.app) });
    }
}

/// One fence never stands for two contents.
fn contents(input: &PlanInput<'_>, next: &DesiredRecord, broken: &mut Vec<Violation>) {
    let before = input.record;
    if (next.generation, next.step) != (before.generation, before.step) || next == before {
        return;
    }
    for host in bundles::hosts(before).union(&bundles::hosts(next)) {
        let old = bundles::request(before, input.revisions, host, input.epoch);
        let new = bundles::request(next, input.revisions, host, input.epoch);
        if old != new {
            let message =
                format!("{host} would get two contents for `{}` under fence {}", before.app, new.fence);
            broken.push(Violation { id: "M3", message });
        }
    }
}

/// Commands go to hosts that are there.
fn addressed(input: &PlanInput<'_>, command: &Command, broken: &mut Vec<Violation>) {
    if !input.observed.is_alive(&command.host, input.now, input.limits.lost_after) {
        broken.push(Violation {
            id: "M4",
            message: format!("{} is silent and would be commanded", command.host),
        });
    }
}

/// What serves goes away only against something that serves in its stead, or when nobody wants the component.
fn capacity(input: &PlanInput<'_>, next: &DesiredRecord, command: &Command, broken: &mut Vec<Violation>) {
    let leaves = |rollout: &Rollout| {
        rollout.problem.is_some() || rollout.goes_back() || rollout.stage == Stage::Emptying
    };
    if next.wanted != Wanted::Run || next.rollout.as_ref().is_some_and(leaves) {
        return;
    }
    let Some(spec) = next.revision.and_then(|revision| input.revisions.get(&revision)) else { return };
    let serving = next.serving.filter(|_| next.rollout.is_some());
    let serving = serving.and_then(|revision| input.revisions.get(&revision));
    let entry = input.observed.host(&command.host).and_then(|known| known.app(&next.app));
    for component in entry.into_iter().flat_map(|entry| &entry.components) {
        let wanted = spec.components.contains_key(&component.component)
            && serving.is_none_or(|serving| serving.components.contains_key(&component.component))
            && next.assignment.0.values().any(|on| on.contains_key(&component.component));
        if wanted && loses_all(component, command) && !serves_elsewhere(input, next, component, &command.host)
        {
            broken.push(Violation {
                id: "R12",
                message: format!("`{}` would lose its last serving place, on {}", component.id, command.host),
            });
        }
    }
}

/// Whether the command takes a component that serves off the host. Told of any spec of it, a host keeps what serves
/// until that spec takes its calls.
fn loses_all(component: &ComponentInventory, command: &Command) -> bool {
    let told = command.request.bundles.iter().any(|bundle| bundle.component == component.component);
    !told && component.units.iter().any(|unit| unit.serving)
}

fn serves_elsewhere(
    input: &PlanInput<'_>,
    next: &DesiredRecord,
    component: &ComponentInventory,
    host: &HostId,
) -> bool {
    let alive = |id: &HostId| input.observed.is_alive(id, input.now, input.limits.lost_after);
    input.observed.hosts().filter(|(id, _)| *id != host && alive(id)).any(|(_, known)| {
        let entry = known.app(&next.app).into_iter().flat_map(|entry| &entry.components);
        entry.filter(|other| other.id == component.id).flat_map(|other| &other.units).any(|unit| unit.serving)
    })
}
