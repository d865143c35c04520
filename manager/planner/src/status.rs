//! What people are told of an app: derived from the record and what was observed, stored nowhere.

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::app::{
    AppState, AppStatus, ComponentStatus, Outcome, Place, Problem, RolloutPhase, RolloutStatus,
};
use lath_control_api::{
    AppInventory, CallCounts, ComponentName, Digest, HostId, Reason, Revision, Role, UnitInventory, Weight,
};

use crate::assess::Assessment;
use crate::desired::{AppSpec, ComponentPlan};
use crate::ladder::Ladder;
use crate::plan::PlanInput;
use crate::record::{Assignment, DesiredRecord, Rollout, Stage, Wanted};
use crate::rollout::Advance;

/// Most things that a status lists as waited for.
const WAITING_SHOWN: usize = 10;

/// What a status tells of, beside the record.
#[derive(Debug)]
pub struct Told<'a> {
    /// How the record's hosts stand.
    pub hosts: &'a BTreeMap<HostId, Assessment>,
    /// What has no place.
    pub unplaced: &'a [Problem],
    /// The steps of its rollout.
    pub ladder: &'a Ladder,
    /// What came of looking at its rollout.
    pub advance: &'a Advance,
}

/// The status of `record`.
#[must_use]
pub fn status(input: &PlanInput<'_>, record: &DesiredRecord, told: &Told<'_>) -> AppStatus {
    let Told { hosts, unplaced, .. } = *told;
    let (revision, assignment) = goal(record);
    let assignment = &with_last_places(record, assignment);
    let spec = revision.and_then(|revision| input.revisions.get(&revision));
    let components = spec.map(|spec| components(input, record, spec, assignment)).unwrap_or_default();
    let mut problems: Vec<Problem> = unplaced.to_vec();
    problems.extend(hosts.values().flat_map(|host| &host.failed).cloned());
    problems.extend(hosts.values().flat_map(|host| &host.unhealthy).cloned());
    problems.extend(record.rollout.as_ref().and_then(|rollout| rollout.problem.clone()));
    problems.extend(hosts.values().flat_map(|host| &host.failed_beside).cloned());
    problems.extend(lost(input, record));
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    let waiting: Vec<String> =
        hosts.values().flat_map(|host| &host.waiting).take(WAITING_SHOWN).cloned().collect();
    let state = state(record, told, &components);
    AppStatus {
        app: record.app.clone(),
        state,
        message: message(record, state, &problems, told.advance.held.as_ref().or_else(|| waiting.first())),
        revision: record.revision,
        generation: record.generation,
        rollout: record.rollout.as_ref().map(|rollout| rollout_status(input, record, rollout, told, waiting)),
        last: record.history.iter().find(|entry| entry.outcome.is_some()).cloned(),
        components,
        problems,
        routes: spec.map(|spec| spec.routes().map(describe).collect()).unwrap_or_default(),
        description: spec.and_then(|spec| spec.description.clone()),
    }
}

/// What the hosts are on the way to.
fn goal(record: &DesiredRecord) -> (Option<Revision>, &Assignment) {
    if record.serving.is_some() && record.rollout.as_ref().is_some_and(Rollout::goes_back) {
        (record.serving, &record.base)
    } else {
        (record.revision, &record.assignment)
    }
}

/// What has no place of its own is where it is kept until it has one.
fn with_last_places(record: &DesiredRecord, assignment: &Assignment) -> Assignment {
    let mut all = assignment.clone();
    for (host, on) in &record.surplus.0 {
        for (name, instances) in on {
            if !assignment.0.values().any(|placed| placed.contains_key(name)) {
                all.add(host, name, *instances);
            }
        }
    }
    all
}

fn describe(route: &lath_control_api::HttpRoute) -> String {
    format!("{} -> {}", route.describe(), route.target)
}

/// Hosts that should run something and have not been heard for too long.
fn lost<'a>(input: &'a PlanInput<'_>, record: &'a DesiredRecord) -> impl Iterator<Item = Problem> + 'a {
    let alive = |host: &HostId| input.observed.is_alive(host, input.now, input.limits.lost_after);
    record.assignment.hosts().filter(move |host| !alive(host)).map(|host| Problem {
        reason: "host-silent".to_owned(),
        message: "nothing has been heard from it".to_owned(),
        component: None,
        host: Some(host.clone()),
        host_name: Some(input.observed.name_of(host)),
    })
}

fn state(record: &DesiredRecord, told: &Told<'_>, components: &[ComponentStatus]) -> AppState {
    let Told { hosts, unplaced, .. } = *told;
    match record.rollout.as_ref().map(|rollout| (&rollout.stage, rollout.problem.is_some())) {
        Some((Stage::RollingBack, _)) => AppState::RollingBack,
        Some((Stage::Stuck, _)) => AppState::Degraded,
        Some((_, true)) => AppState::Degraded,
        Some((Stage::Preparing, false)) if !unplaced.is_empty() => AppState::Waiting,
        // A first deploy has no deadline either while it has no hosts.
        Some((Stage::Shifting { .. }, false)) if !unplaced.is_empty() && record.serving.is_none() => {
            AppState::Waiting
        }
        Some(_) if told.advance.held.is_some() => AppState::Paused,
        // Nothing is being changed any more, though the old revision is still there.
        Some((Stage::Warm { .. }, false)) => settled_state(record, hosts, components, unplaced),
        Some((
            Stage::Preparing | Stage::Emptying | Stage::Shifting { .. } | Stage::Settling | Stage::Stopping,
            false,
        )) => AppState::Progressing,
        None if record.wanted != Wanted::Run => {
            let failed = record.history.first().is_some_and(|entry| entry.outcome == Some(Outcome::Failed));
            if failed { AppState::Failed } else { AppState::Stopped }
        }
        None => settled_state(record, hosts, components, unplaced),
    }
}

fn settled_state(
    record: &DesiredRecord,
    hosts: &BTreeMap<HostId, Assessment>,
    components: &[ComponentStatus],
    unplaced: &[Problem],
) -> AppState {
    let ready = components.iter().all(|component| component.ready >= component.desired);
    let present = record.assignment.hosts().all(|host| hosts.contains_key(host));
    let failed = hosts.values().any(|host| !host.failed.is_empty());
    let unhealthy = hosts.values().any(|host| !host.unhealthy.is_empty());
    if ready && present && unplaced.is_empty() {
        AppState::Serving
    } else if components.iter().all(|component| component.ready == 0) && (failed || !unplaced.is_empty()) {
        AppState::Failed
    } else if failed || unhealthy || !unplaced.is_empty() || !present {
        AppState::Degraded
    } else {
        AppState::Progressing
    }
}

fn message(
    record: &DesiredRecord,
    state: AppState,
    problems: &[Problem],
    waiting: Option<&String>,
) -> String {
    let of_problem = |problem: &Problem| match (&problem.component, &problem.host_name) {
        (Some(component), Some(host)) => format!("{component} on {host}: {}", problem.message),
        (Some(component), None) => format!("{component}: {}", problem.message),
        (None, Some(host)) => format!("{host}: {}", problem.message),
        (None, None) => problem.message.clone(),
    };
    match state {
        AppState::Serving | AppState::Stopped => String::new(),
        AppState::Failed if record.rollout.is_none() && problems.is_empty() => {
            let last = record.history.first().and_then(|entry| entry.problem.as_ref());
            last.map(of_problem).unwrap_or_default()
        }
        AppState::Progressing
        | AppState::Waiting
        | AppState::Paused
        | AppState::RollingBack
        | AppState::Degraded
        | AppState::Failed => {
            problems.first().map(of_problem).or_else(|| waiting.cloned()).unwrap_or_default()
        }
    }
}

fn rollout_status(
    input: &PlanInput<'_>,
    record: &DesiredRecord,
    rollout: &Rollout,
    told: &Told<'_>,
    mut waiting: Vec<String>,
) -> RolloutStatus {
    let draining: usize = told.hosts.values().map(|host| host.draining).sum();
    if waiting.is_empty() && draining > 0 {
        waiting
            .push(format!("{draining} replaced instance{} to finish", if draining == 1 { "" } else { "s" }));
    }
    let (phase, weight) = match &rollout.stage {
        Stage::Preparing => (RolloutPhase::Preparing, Weight::NONE),
        Stage::Emptying => (RolloutPhase::Emptying, Weight::NONE),
        Stage::Shifting { weight, .. } => (RolloutPhase::Shifting, *weight),
        Stage::Warm { .. } => (RolloutPhase::KeepingWarm, Weight::ALL),
        Stage::Settling => (RolloutPhase::Settling, Weight::ALL),
        Stage::Stopping => (RolloutPhase::Settling, Weight::NONE),
        Stage::RollingBack => (RolloutPhase::RollingBack, Weight::NONE),
        Stage::Stuck => (RolloutPhase::Stuck, Weight::NONE),
    };
    RolloutStatus {
        from: record.serving,
        to: record.revision.unwrap_or(record.last_revision),
        phase,
        step: told.ladder.position(&rollout.stage),
        steps: told.ladder.len(),
        started: rollout.started,
        waiting_for: waiting,
        strategy: record.history.first().map(|entry| entry.strategy.clone()).unwrap_or_default(),
        weight,
        paused: told.advance.held.as_ref().map(|why| how_on(input, record, rollout, why)),
        until: told.advance.until,
        gates: told.advance.gates.clone(),
    }
}

/// Why a rollout stands still, with the commands that make it go on.
fn how_on(input: &PlanInput<'_>, record: &DesiredRecord, rollout: &Rollout, why: &str) -> String {
    let app = &input.record.app;
    let forward = match (&rollout.problem, &rollout.paused) {
        (Some(_), _) => "retry",
        (None, Some(_)) => "resume",
        (None, None) => "promote",
    };
    let back =
        if record.serving.is_some() { format!("; go back: lath rollout abort {app}") } else { String::new() };
    format!("{why}; go on: lath rollout {forward} {app}{back}")
}

fn components(
    input: &PlanInput<'_>,
    record: &DesiredRecord,
    spec: &AppSpec,
    assignment: &Assignment,
) -> Vec<ComponentStatus> {
    // Found once: a lattice has many hosts, and an app is on few of them.
    let on: Vec<(&HostId, &AppInventory)> =
        input.observed.hosts().filter_map(|(id, host)| Some((id, host.app(&record.app)?))).collect();
    let of_component = |(name, plan): (&ComponentName, &ComponentPlan)| {
        let mut places: Vec<Place> = on
            .iter()
            .flat_map(|(host, entry)| places(input, name, host, entry))
            .chain(silent_places(input, record, name, assignment))
            .collect();
        places.sort_by(|a, b| (&a.host_name, &a.host, a.revision).cmp(&(&b.host_name, &b.host, b.revision)));
        let desired = assignment.0.iter().filter(|(_, on)| on.contains_key(name));
        let ready = desired.clone().filter(|(host, on)| {
            let content = on.get(name).and_then(|instances| spec.content_for(name, *instances));
            content.is_some_and(|content| is_ready(input, record, name, host, (spec.revision, &content)))
        });
        ComponentStatus {
            component: name.clone(),
            id: plan.id.clone(),
            desired: u32::try_from(desired.clone().count()).unwrap_or(u32::MAX),
            ready: u32::try_from(ready.count()).unwrap_or(u32::MAX),
            places,
        }
    };
    spec.components.iter().map(of_component).collect()
}

/// Whether the wanted content of a component takes calls on a host that is there.
fn is_ready(
    input: &PlanInput<'_>,
    record: &DesiredRecord,
    name: &ComponentName,
    host: &HostId,
    (revision, content): (Revision, &Digest),
) -> bool {
    let alive = input.observed.is_alive(host, input.now, input.limits.lost_after);
    alive
        && units(input, record, name, host).any(|unit| {
            (unit.revision, &unit.content) == (revision, content)
                && unit.phase.is_running()
                && unit.serving
                && unit.role != Role::Retired
        })
}

fn units<'a>(
    input: &PlanInput<'a>,
    record: &'a DesiredRecord,
    name: &'a ComponentName,
    host: &HostId,
) -> impl Iterator<Item = &'a UnitInventory> {
    let entry = input.observed.host(host).and_then(|known| known.app(&record.app));
    entry.into_iter().flat_map(|entry| units_of(entry, name))
}

fn units_of<'a>(entry: &'a AppInventory, name: &'a ComponentName) -> impl Iterator<Item = &'a UnitInventory> {
    let components = entry.components.iter().filter(move |component| component.component == *name);
    components.flat_map(|component| &component.units)
}

/// Where a component is by the word of a host, whose entry of the app this is.
fn places(input: &PlanInput<'_>, name: &ComponentName, host: &HostId, entry: &AppInventory) -> Vec<Place> {
    let host_name = input.observed.name_of(host);
    // What a silent host said last is no news of what it runs now.
    let silent = !input.observed.is_alive(host, input.now, input.limits.lost_after);
    units_of(entry, name)
        .map(|unit| Place {
            host: host.clone(),
            host_name: host_name.clone(),
            revision: unit.revision,
            phase: (!silent).then_some(unit.phase),
            weight: if silent { Weight::NONE } else { unit.weight },
            calls: unit.calls.clone(),
            reason: unit.reason,
            message: if silent { "the host is silent".to_owned() } else { unit.message.clone() },
            links: if silent { Vec::new() } else { unit.links.clone() },
        })
        .collect()
}

/// Places where a component should be and of which the host has said nothing.
fn silent_places<'a>(
    input: &PlanInput<'a>,
    record: &'a DesiredRecord,
    name: &'a ComponentName,
    assignment: &'a Assignment,
) -> impl Iterator<Item = Place> + use<'a> {
    let input = *input;
    let wanted = assignment.0.iter().filter(move |(_, on)| on.contains_key(name));
    wanted.filter(move |(host, _)| units(&input, record, name, host).next().is_none()).map(
        move |(host, _)| Place {
            host: host.clone(),
            host_name: input.observed.name_of(host),
            revision: record.revision.unwrap_or_default(),
            phase: None,
            weight: Weight::NONE,
            calls: CallCounts::default(),
            reason: Reason::AsAsked,
            message: "nothing heard of it".to_owned(),
            links: Vec::new(),
        },
    )
}
