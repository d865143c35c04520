//! Checks of what hosts do.

use lath_control_api::{ComponentBundle, ComponentId, Order};

use super::Said;
use super::fact::{Cause, Changed, Fact, Obeyed};
use super::memory::{Memory, WANTED_FOR};

const fn changed<'a, 'b>(fact: &'b Fact<'a>) -> Option<&'b Changed<'a>> {
    if let Fact::Changed(changed) = fact { Some(changed) } else { None }
}

const fn obeyed<'a, 'b>(fact: &'b Fact<'a>) -> Option<&'b Obeyed<'a>> {
    if let Fact::Obeyed(obeyed) = fact { Some(obeyed) } else { None }
}

/// Says `what` of the first of `found`.
fn none<T: std::fmt::Display>(found: &[T], what: impl Fn(&T) -> String) -> Said {
    match found.first() {
        None => Some(Ok(())),
        Some(first) => Some(Err(what(first))),
    }
}

/// Components that the host serves no more.
fn gone<'a>(step: &'a Changed<'_>) -> impl Iterator<Item = &'a ComponentId> {
    step.before.0.keys().filter(|id| !step.host.face.serves(id))
}

pub(super) fn r4(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = changed(fact).filter(|step| !memory.is_after_a_fault(step.now))?;
    let mut said = None;
    for id in gone(step) {
        let app = &step.before.0.get(id)?.app;
        let floors = memory.floors.get(app)?;
        let floor = floors.iter().map(|floor| floor.places.get(id).copied().unwrap_or(0)).min();
        let served = step.hosts.iter().filter(|host| host.up && host.face.serves(id)).count();
        let floor = floor.unwrap_or(0);
        if served < floor {
            let host = &step.host.summary.name;
            return Some(Err(format!(
                "{id} is served in {served} places without {host}, and {floor} are promised"
            )));
        }
        said = Some(Ok(()));
    }
    said
}

pub(super) fn r5a(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = changed(fact)?;
    none(&step.outcome.unready, |unit| {
        format!("{} sends calls to {unit}, which is not ready", step.host.summary.name)
    })
}

pub(super) fn r5c(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = obeyed(fact).filter(|step| step.host.up)?;
    let told = |id: &ComponentId| step.request.bundles.iter().any(|bundle| bundle.id == *id);
    let lost = step.before.0.keys().find(|id| told(id) && !step.host.face.serves(id));
    match lost {
        None => Some(Ok(())),
        Some(id) => {
            let (name, fence) = (&step.host.summary.name, step.request.fence);
            Some(Err(format!("{name} is told of {id} by {fence} and serves it no more")))
        }
    }
}

pub(super) fn r6(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = changed(fact)?;
    none(&step.outcome.cut_off, |unit| {
        format!("{} stopped {unit} with calls in flight", step.host.summary.name)
    })
}

pub(super) fn r12(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = changed(fact).filter(|step| !memory.is_after_a_fault(step.now))?;
    let mut said = None;
    for id in gone(step) {
        let since = memory.needed.values().find_map(|needed| needed.get(id));
        let wanted = since.is_some_and(|since| step.now.since(*since) >= WANTED_FOR);
        if wanted && !step.hosts.iter().any(|host| host.up && host.face.serves(id)) {
            return Some(Err(format!(
                "{id} was served last by {}, and no fault took it",
                step.host.summary.name
            )));
        }
        said = Some(Ok(()));
    }
    said
}

pub(super) fn r13b(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = obeyed(fact).filter(|step| step.unchanged)?;
    if step.outcome.acted || *step.before != step.host.face {
        let name = &step.host.summary.name;
        return Some(Err(format!(
            "{name} knew {} {} and did something",
            step.request.app, step.request.fence
        )));
    }
    Some(Ok(()))
}

pub(super) fn r14(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let Fact::Reported { host, inventory } = fact else { return None };
    let components = inventory.apps.iter().flat_map(|entry| &entry.components);
    let mut serving = 0;
    for component in components {
        let units = component.units.iter().filter(|unit| unit.serving);
        let mut said: Vec<_> = units.map(|unit| (unit.revision, unit.weight.percent())).collect();
        let mut found =
            host.face.0.get(&component.id).map(|served| served.shares.clone()).unwrap_or_default();
        said.sort_unstable();
        found.sort_unstable();
        serving += usize::from(!said.is_empty());
        if said != found {
            let (id, name) = (&component.id, &host.summary.name);
            return Some(Err(format!("{name} says of {id} {said:?}, and calls find {found:?}")));
        }
    }
    let all = host.face.0.len();
    if serving != all {
        return Some(Err(format!(
            "{} says that it serves {serving} components, and serves {all}",
            host.summary.name
        )));
    }
    Some(Ok(()))
}

pub(super) fn m3c(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = obeyed(fact)?;
    let epoch = step.request.fence.epoch;
    let (life, highest) = memory.highest_epoch.get(&step.at).copied().unwrap_or_default();
    if life == step.host.disk_life && epoch < highest {
        let name = &step.host.summary.name;
        return Some(Err(format!("{name} obeyed epoch {epoch} after epoch {highest}")));
    }
    Some(Ok(()))
}

pub(super) fn h2(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = changed(fact).filter(|step| step.cause == Cause::Start)?;
    none(&step.outcome.forgotten, |app| format!("{} has lost {app}", step.host.summary.name))
}

pub(super) fn h3(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = obeyed(fact)?;
    let Some((life, held)) = memory.obeyed.get(&(step.at, step.request.app.clone())) else {
        return Some(Ok(()));
    };
    if *life == step.host.disk_life && step.request.fence.order(&held.fence) == Order::Older {
        let (name, fence) = (&step.host.summary.name, step.request.fence);
        return Some(Err(format!("{name} obeyed {} {fence} after {}", step.request.app, held.fence)));
    }
    Some(Ok(()))
}

pub(super) fn h7(_: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = changed(fact).filter(|step| step.cause == Cause::Failure && step.host.up)?;
    match gone(step).next() {
        None => Some(Ok(())),
        Some(id) => Some(Err(format!("{} gave {id} up because something failed", step.host.summary.name))),
    }
}

/// What a host goes on doing is not judged: until what it was told is ready, it does what it was told before.
pub(super) fn l1a(memory: &mut Memory, fact: &Fact<'_>) -> Said {
    let step = changed(fact).filter(|step| step.host.up)?;
    let (host, now) = (step.host, step.now);
    let mut said = None;
    for (id, served) in &host.face.0 {
        if step.before.0.get(id) == Some(served) {
            continue;
        }
        let Some((life, request)) = memory.obeyed.get(&(step.at, served.app.clone())) else { continue };
        let bundle = request.bundles.iter().find(|bundle| bundle.id == *id);
        let candidate = bundle.and_then(|bundle| bundle.candidate.as_ref());
        let Some((bundle, candidate)) = bundle.zip(candidate).filter(|_| *life == host.disk_life) else {
            continue;
        };
        let of_it = served.shares.iter().find(|(revision, _)| *revision == candidate.spec.revision);
        let share = of_it.map_or(0, |(_, percent)| *percent);
        let has_other = bundle.stable.as_ref().is_some_and(|spec| host.has_heard_ready(id, spec));
        let ready = |other: &&ComponentBundle| {
            let candidate = other.candidate.as_ref().map(|candidate| candidate.spec.revision);
            candidate.is_none_or(|revision| host.has_ready(&other.id, revision, now))
        };
        let all_ready = request.bundles.iter().all(|other| ready(&other));
        let (name, told) = (&host.summary.name, candidate.weight.percent());
        let revision = candidate.spec.revision;
        let was_told = memory.shares.contains(&(step.at, *life, served.app.clone(), revision, share));
        if share > 0 && has_other && !(was_told && all_ready) {
            return Some(Err(format!(
                "{name} gives {share} % of {id} to r{revision}, was told {told} %, all of it ready: {all_ready}"
            )));
        }
        said = Some(Ok(()));
    }
    said
}
