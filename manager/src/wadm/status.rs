//! How an app stands, in the words of wadm.
//!
//! There are six of them, and no reader takes another one. What Lath knows beyond them goes into the message.

use lath_control_api::app::{AppState, AppStatus, ComponentStatus, Outcome};
use lath_control_api::{ComponentName, Phase};
use lath_manifests::Manifest;
use lath_wasmcloud::wadm::{ScalerStatus, Status, StatusInfo, StatusKind};

use super::scalers::{self, Scaler, Work};
use crate::context::Context;

/// How an app stands, with the scalers of the manifest that it is on the way to.
pub(super) async fn of(context: &Context, status: &AppStatus) -> Status {
    let known = match status.revision {
        Some(revision) => context.records.revisions.get(&status.app, revision).await.ok(),
        None => None,
    };
    let manifest = known.and_then(|known| lath_manifests::load(known.record.manifest.as_bytes()).ok());
    told(status, manifest.as_ref().map(|loaded| &loaded.manifest))
}

/// The same, for a manifest that is at hand.
pub(super) fn told(status: &AppStatus, manifest: Option<&Manifest>) -> Status {
    let stopped = status.state == AppState::Stopped;
    let scalers: Vec<ScalerStatus> = manifest
        .filter(|_| !stopped)
        .map(|manifest| scalers::of(manifest).into_iter().map(|scaler| of_scaler(status, manifest, scaler)))
        .into_iter()
        .flatten()
        .collect();
    let status = StatusInfo { kind: kind(status.state), message: message(status, &scalers) };
    Status { status, scalers, ..Status::default() }
}

const fn kind(state: AppState) -> StatusKind {
    match state {
        AppState::Serving => StatusKind::Deployed,
        AppState::Progressing | AppState::Paused | AppState::RollingBack => StatusKind::Reconciling,
        AppState::Waiting => StatusKind::Waiting,
        AppState::Degraded => StatusKind::Unhealthy,
        AppState::Failed => StatusKind::Failed,
        AppState::Stopped => StatusKind::Undeployed,
    }
}

fn message(status: &AppStatus, scalers: &[ScalerStatus]) -> String {
    let of_scalers = || {
        let said = scalers.iter().map(|scaler| scaler.status.message.as_str());
        said.filter(|said| !said.is_empty()).collect::<Vec<_>>().join(", ")
    };
    let or_scalers = |message: &str| if message.is_empty() { of_scalers() } else { message.to_owned() };
    match status.state {
        AppState::Serving => taken_back(status).unwrap_or_default(),
        AppState::Progressing => {
            let said = [of_scalers(), status.message.clone()].into_iter().find(|said| !said.is_empty());
            let rest = if status.revision.is_some() { "Finishing the rollout" } else { "Stopping what runs" };
            said.unwrap_or_else(|| rest.to_owned())
        }
        AppState::Paused => {
            let paused = status.rollout.as_ref().and_then(|rollout| rollout.paused.as_ref());
            or_scalers(&paused.map(|why| format!("Paused: {why}")).unwrap_or_default())
        }
        AppState::RollingBack => format!("Rolling back: {}", or_scalers(&status.message)),
        AppState::Waiting | AppState::Degraded | AppState::Failed => or_scalers(&status.message),
        // One that was never deployed has nothing to say.
        AppState::Stopped if status.last.is_some() => "Manifest has been undeployed".to_owned(),
        AppState::Stopped => String::new(),
    }
}

/// What became of the last change, when what serves is not what was asked for last.
fn taken_back(status: &AppStatus) -> Option<String> {
    let last = status.last.as_ref().filter(|last| last.outcome == Some(Outcome::RolledBack))?;
    let why = last.problem.as_ref().map(|problem| format!(": {}", problem.message)).unwrap_or_default();
    let revision = last.revision.map(|revision| format!(" (revision {revision})")).unwrap_or_default();
    Some(format!("The last deploy{revision} failed and was taken back{why}"))
}

fn of_scaler(status: &AppStatus, manifest: &Manifest, scaler: Scaler) -> ScalerStatus {
    let info = match &scaler.work {
        Work::Places(component) => of_places(status, component, is_capability(manifest, component)),
        Work::Link { source, target } => of_link(status, manifest, source, target),
    };
    ScalerStatus { id: scaler.id, kind: scaler.kind.to_owned(), name: scaler.name, status: info }
}

fn is_capability(manifest: &Manifest, component: &ComponentName) -> bool {
    manifest
        .component(component)
        .is_some_and(|component| component.kind == lath_manifests::manifest::Kind::Capability)
}

fn of_places(status: &AppStatus, name: &ComponentName, capability: bool) -> StatusInfo {
    // What is part of its callers has no place of its own, and is there when they are.
    let Some(component) = status.components.iter().find(|component| component.component == *name) else {
        return deployed();
    };
    if let Some(problem) = failed(status, component) {
        return info(StatusKind::Failed, problem);
    }
    let missing = component.desired.saturating_sub(component.ready);
    if missing == 0 && component.desired > 0 {
        return deployed();
    }
    let without_place = status
        .problems
        .iter()
        .find(|problem| problem.component.as_ref() == Some(name) && problem.host.is_none());
    if let Some(problem) = without_place {
        let kind = if status.state == AppState::Waiting { StatusKind::Waiting } else { StatusKind::Failed };
        return info(kind, problem.message.clone());
    }
    if missing == 0 {
        return deployed();
    }
    let what = if capability { "provider" } else { "component" };
    info(StatusKind::Reconciling, format!("Scaling {what} on {missing} host(s)"))
}

/// Why a component does not come up where it should, if it does not.
fn failed(status: &AppStatus, component: &ComponentStatus) -> Option<String> {
    let wanted = |revision| status.revision == Some(revision);
    let mut places = component.places.iter().filter(|place| wanted(place.revision));
    let place = places.find(|place| place.phase.is_some_and(Phase::is_failed))?;
    Some(format!("{}: {}", place.host_name, place.message))
}

fn of_link(
    status: &AppStatus,
    manifest: &Manifest,
    source: &ComponentName,
    target: &ComponentName,
) -> StatusInfo {
    let there = |name: &ComponentName| {
        of_places(status, name, is_capability(manifest, name)).kind == StatusKind::Deployed
    };
    if there(source) && there(target) {
        return deployed();
    }
    let id = |name: &ComponentName| {
        manifest.component(name).map(|component| component.id.to_string()).unwrap_or_default()
    };
    let message = format!("Putting link definition between {} and {}", id(source), id(target));
    info(StatusKind::Reconciling, message)
}

const fn deployed() -> StatusInfo {
    info(StatusKind::Deployed, String::new())
}

const fn info(kind: StatusKind, message: String) -> StatusInfo {
    StatusInfo { kind, message }
}
