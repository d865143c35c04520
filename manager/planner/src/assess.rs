//! How far one host has come with what it was told, judged by its inventory alone.

use lath_control_api::app::Problem;
use lath_control_api::{
    AppInventory, ApplyRequest, ComponentBundle, ComponentInventory, ComponentSpec, HostId, Order, Phase,
    Reason, Role, UnitInventory, Weight,
};

use crate::observed::ObservedState;

/// What a host has made of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assessment {
    /// The host holds this decision or a later step of it.
    pub accepted: bool,
    /// The host serves the app from its journal and waits for a manager's word.
    pub unconfirmed: bool,
    /// What is still on its way, in words.
    pub waiting: Vec<String>,
    /// What has failed and will not come by itself.
    pub failed: Vec<Problem>,
    /// Units that were replaced and still finish what they took.
    pub draining: usize,
    /// The host holds a later decision than this request.
    pub ahead: bool,
}

impl Assessment {
    /// Everything asked for is there, though old units may still drain.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.accepted && self.waiting.is_empty() && self.failed.is_empty()
    }

    /// Everything asked for is there and nothing else.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_ready() && self.draining == 0
    }
}

/// Judges `host` against `request`.
#[must_use]
pub fn assess(observed: &ObservedState, host: &HostId, request: &ApplyRequest) -> Assessment {
    let name = observed.name_of(host);
    let known = observed.host(host);
    let Some(inventory) = known.and_then(|known| known.inventory.as_ref()) else {
        return waiting(format!("{name} has not said what it runs"));
    };
    let Some(entry) = inventory.apps.iter().find(|entry| entry.app == request.app) else {
        // A host without the app holds no fence either; asked for nothing, it is where it should be.
        return match request.bundles.is_empty() {
            true => Assessment { accepted: true, ..Assessment::default() },
            false => waiting(format!("{name} has not taken it on")),
        };
    };
    match entry.fence.order(&request.fence) {
        Order::Older => {
            Assessment { unconfirmed: !entry.confirmed, ..waiting(format!("{name} has not taken it on")) }
        }
        Order::Newer => Assessment { ahead: true, ..waiting(format!("{name} holds a later decision")) },
        Order::Same => judge(observed, host, entry, request),
    }
}

fn waiting(what: String) -> Assessment {
    Assessment { waiting: vec![what], ..Assessment::default() }
}

fn judge(
    observed: &ObservedState,
    host: &HostId,
    entry: &AppInventory,
    request: &ApplyRequest,
) -> Assessment {
    let mut judged = Judge { observed, host, assessment: Assessment::default() };
    judged.assessment.accepted = true;
    judged.assessment.unconfirmed = !entry.confirmed;
    for bundle in &request.bundles {
        let found = entry.components.iter().find(|component| component.component == bundle.component);
        judged.bundle(bundle, found);
    }
    let retired = entry
        .components
        .iter()
        .flat_map(|component| &component.units)
        .filter(|unit| unit.role == Role::Retired);
    judged.assessment.draining = retired.count();
    judged.assessment
}

struct Judge<'a> {
    observed: &'a ObservedState,
    host: &'a HostId,
    assessment: Assessment,
}

impl Judge<'_> {
    fn bundle(&mut self, bundle: &ComponentBundle, found: Option<&ComponentInventory>) {
        if let Some(stable) = &bundle.stable {
            let unit = find(found, stable, Role::Stable);
            // Beside a candidate that takes everything, the stable unit need not take calls.
            let idle = bundle.candidate.as_ref().is_some_and(|candidate| candidate.weight == Weight::ALL);
            self.unit(bundle, unit, !idle);
        }
        if let Some(candidate) = &bundle.candidate {
            let unit = find(found, &candidate.spec, Role::Candidate);
            self.unit(bundle, unit, candidate.weight > Weight::NONE);
        }
    }

    fn unit(&mut self, bundle: &ComponentBundle, unit: Option<&UnitInventory>, must_serve: bool) {
        let host_name = self.observed.name_of(self.host);
        let name = &bundle.component;
        match unit {
            None => self.assessment.waiting.push(format!("{name} on {host_name}: accepted")),
            Some(unit) if unit.phase.is_failed() => self.assessment.failed.push(Problem {
                reason: reason_text(unit.reason),
                message: unit.message.clone(),
                component: Some(name.clone()),
                host: Some(self.host.clone()),
                host_name: Some(host_name),
            }),
            Some(unit) if unit.phase != Phase::Running || (must_serve && !unit.serving) => {
                let detail =
                    if unit.message.is_empty() { String::new() } else { format!(" ({})", unit.message) };
                self.assessment
                    .waiting
                    .push(format!("{name} on {host_name}: {}{detail}", phase_text(unit.phase)));
            }
            Some(_) => {}
        }
    }
}

fn find<'a>(
    found: Option<&'a ComponentInventory>,
    spec: &ComponentSpec,
    role: Role,
) -> Option<&'a UnitInventory> {
    let content = spec.content();
    found?.units.iter().find(|unit| unit.role == role && unit.content == content)
}

/// A phase as it stands on the wire.
#[must_use]
pub fn phase_text(phase: Phase) -> String {
    wire_text(&phase)
}

/// A reason as it stands on the wire.
#[must_use]
pub fn reason_text(reason: Reason) -> String {
    wire_text(&reason)
}

fn wire_text(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(_) | Err(_) => String::new(),
    }
}
