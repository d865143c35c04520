//! What people are told of an app: derived from the record and what was observed, stored nowhere.

use std::collections::BTreeMap;

use lath_control_api::app::{
    AppState, AppStatus, ComponentStatus, Outcome, Place, Problem, RolloutPhase, RolloutStatus,
};
use lath_control_api::{CallCounts, ComponentName, Digest, HostId, Reason, Revision, Role, UnitInventory, Weight};

use crate::assess::Assessment;
use crate::desired::{AppSpec, ComponentPlan};
use crate::plan::PlanInput;
use crate::record::{Assignment, DesiredRecord, Rollout, Stage, Wanted};

/// Most things that a status lists as waited for.
const WAITING_SHOWN: usize = 10;

/// The status of `record`, whose hosts stand as `hosts` says.
#[must_use]
pub fn status(
    input: &PlanInput<'_>,
    record: &DesiredRecord,
    hosts: &BTreeMap<HostId, Assessment>,
    unplaced: &[Problem],
) -> AppStatus {
    let (revision, assignment) = goal(record);
    let spec = revision.and_then(|revision| input.revisions.get(&revision));
    let components = spec.map(|spec| components(input, record, spec, assignment)).unwrap_or_default();
    let mut problems: Vec<Problem> = unplaced.to_vec();
    problems.extend(hosts.values().flat_map(|host| &host.failed).cloned());
    problems.extend(record.rollout.as_ref().and_then(|rollout| rollout.problem.clone()));
    problems.extend(hosts.values().flat_map(|host| &host.failed_beside).cloned());
    problems.extend(lost(input, record));
    problems.dedup();
    let waiting: Vec<String> =
        hosts.values().flat_map(|host| &host.waiting).take(WAITING_SHOWN).cloned().collect();
    let state = state(record, hosts, &components, unplaced);
    AppStatus {
        app: record.app.clone(),
        state,
        message: message(record, state, &problems, &waiting),
        revision: record.revision,
        generation: record.generation,
        rollout: record.rollout.as_ref().and_then(|rollout| rollout_status(record, rollout, hosts, waiting)),
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

fn state(
    record: &DesiredRecord,
    hosts: &BTreeMap<HostId, Assessment>,
    components: &[ComponentStatus],
    unplaced: &[Problem],
) -> AppState {
    match record.rollout.as_ref().map(|rollout| (&rollout.stage, rollout.problem.is_some())) {
        Some((Stage::RollingBack, _)) => AppState::RollingBack,
        Some((Stage::Stuck, _)) => AppState::Degraded,
        Some((_, true)) => AppState::Degraded,
        Some((Stage::Preparing, false)) if !unplaced.is_empty() => AppState::Waiting,
        Some((Stage::Preparing | Stage::Shifting { .. } | Stage::Settling | Stage::Stopping, false)) => {
            AppState::Progressing
        }
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
    if ready && present && unplaced.is_empty() {
        AppState::Serving
    } else if components.iter().all(|component| component.ready == 0) && (failed || !unplaced.is_empty()) {
        AppState::Failed
    } else if failed || !unplaced.is_empty() || !present {
        AppState::Degraded
    } else {
        AppState::Progressing
    }
}

fn message(record: &DesiredRecord, state: AppState, problems: &[Problem], waiting: &[String]) -> String {
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
            problems.first().map(of_problem).or_else(|| waiting.first().cloned()).unwrap_or_default()
        }
    }
}

fn rollout_status(
    record: &DesiredRecord,
    rollout: &Rollout,
    hosts: &BTreeMap<HostId, Assessment>,
    mut waiting: Vec<String>,
) -> Option<RolloutStatus> {
    let draining: usize = hosts.values().map(|host| host.draining).sum();
    if waiting.is_empty() && draining > 0 {
        waiting
            .push(format!("{draining} replaced instance{} to finish", if draining == 1 { "" } else { "s" }));
    }
    // Prepare, one step for each host, settle: what a person can count along with.
    let waves = u32::try_from(record.assignment.hosts().count()).unwrap_or(u32::MAX);
    let steps = waves.saturating_add(2);
    let (phase, step) = match &rollout.stage {
        Stage::Preparing => (RolloutPhase::Preparing, 1),
        Stage::Shifting { shifted, .. } => {
            let moved = u32::try_from(shifted.len()).unwrap_or(u32::MAX).max(1);
            (RolloutPhase::Shifting, moved.saturating_add(1).min(steps))
        }
        Stage::Settling | Stage::Stopping => (RolloutPhase::Settling, steps),
        Stage::RollingBack => (RolloutPhase::RollingBack, steps),
        Stage::Stuck => (RolloutPhase::Stuck, steps),
    };
    let (from, started) = (record.serving, rollout.started);
    let to = record.revision.unwrap_or(record.last_revision);
    Some(RolloutStatus {
        from,
        to,
        phase,
        step,
        steps,
        started,
        waiting_for: waiting,
        strategy: String::new(),
        weight: Weight::NONE,
        paused: None,
        until: None,
        gates: Vec::new(),
    })
}

fn components(
    input: &PlanInput<'_>,
    record: &DesiredRecord,
    spec: &AppSpec,
    assignment: &Assignment,
) -> Vec<ComponentStatus> {
    let of_component = |(name, plan): (&ComponentName, &ComponentPlan)| {
        let mut places: Vec<Place> = input
            .observed
            .hosts()
            .flat_map(|(host, _)| places(input, record, name, host))
            .chain(silent_places(input, record, name, assignment))
            .collect();
        places.sort_by(|a, b| (&a.host_name, &a.host, a.revision).cmp(&(&b.host_name, &b.host, b.revision)));
        let desired = assignment.0.iter().filter(|(_, on)| on.contains_key(name));
        // Most hosts have the same number of instances, and digests are what a status costs.
        let mut contents: BTreeMap<u32, Option<Digest>> = BTreeMap::new();
        let ready = desired.clone().filter(|(host, on)| {
            let Some(instances) = on.get(name) else { return false };
            let content = || spec.spec_for(name, *instances).map(|spec| spec.content());
            let wanted = contents.entry(*instances).or_insert_with(content);
            wanted.as_ref().is_some_and(|wanted| is_ready(input, record, name, host, wanted))
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
    wanted: &Digest,
) -> bool {
    let alive = input.observed.is_alive(host, input.now, input.limits.lost_after);
    alive
        && units(input, record, name, host).any(|unit| {
            unit.content == *wanted && unit.phase.is_running() && unit.serving && unit.role != Role::Retired
        })
}

fn units<'a>(
    input: &PlanInput<'a>,
    record: &'a DesiredRecord,
    name: &'a ComponentName,
    host: &HostId,
) -> impl Iterator<Item = &'a UnitInventory> {
    let entry = input.observed.host(host).and_then(|known| known.app(&record.app));
    let components = entry.into_iter().flat_map(|entry| &entry.components);
    components.filter(move |component| component.component == *name).flat_map(|component| &component.units)
}

fn places<'a>(
    input: &PlanInput<'a>,
    record: &'a DesiredRecord,
    name: &'a ComponentName,
    host: &HostId,
) -> Vec<Place> {
    let host_name = input.observed.name_of(host);
    // What a silent host said last is no news of what it runs now.
    let silent = !input.observed.is_alive(host, input.now, input.limits.lost_after);
    units(input, record, name, host)
        .map(|unit| Place {
            host: host.clone(),
            host_name: host_name.clone(),
            revision: unit.revision,
            phase: (!silent).then_some(unit.phase),
            weight: if silent { Weight::NONE } else { unit.weight },
            calls: unit.calls.clone(),
            reason: unit.reason,
            message: if silent { "the host is silent".to_owned() } else { unit.message.clone() },
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
        },
    )
}
