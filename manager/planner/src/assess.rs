//! How far one host has come with what it was told, judged by its inventory alone.

use std::collections::BTreeSet;

use lath_control_api::app::Problem;
use lath_control_api::{
    AppInventory, ApplyRequest, ComponentBundle, ComponentInventory, ComponentName, ComponentSpec, Digest,
    HostId, Order, Phase, Reason, Role, UnitInventory, Weight,
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
    /// Components that are wanted here and do not run as asked.
    pub unready: BTreeSet<ComponentName>,
    /// What runs and takes calls, and does not answer them well: a gate that fails.
    pub unhealthy: Vec<Problem>,
    /// What has failed, or is unhealthy, of specs that the record leaves behind: told to people, held against nobody.
    pub failed_beside: Vec<Problem>,
    /// Units that were replaced and still finish what they took.
    pub draining: usize,
    /// The host holds a later decision than this request.
    pub ahead: bool,
    /// The host holds this decision with other content: the store has lost writes, and the number was given twice.
    pub contradicts: bool,
}

impl Assessment {
    /// Everything asked for is there and well, though old units may still drain.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_there() && self.unhealthy.is_empty()
    }

    /// Everything asked for takes the calls that it is to take, well or not.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.accepted && self.waiting.is_empty() && self.failed.is_empty()
    }

    /// Whether a component that is wanted here runs as asked.
    #[must_use]
    pub fn has_ready(&self, component: &ComponentName) -> bool {
        self.accepted && !self.unready.contains(component)
    }

    /// Everything asked for is there and nothing else.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_ready() && self.draining == 0
    }
}

/// Judges `host` against `request`. Components that are not `wanted` there need not be ready. `content` gives
/// [`ComponentSpec::content`], which is dear, perhaps from memory.
#[must_use]
pub fn assess(
    observed: &ObservedState,
    host: &HostId,
    request: &ApplyRequest,
    wanted: impl Fn(&ComponentName) -> bool,
    content: impl Fn(&ComponentName, &ComponentSpec) -> Digest,
) -> Assessment {
    let name = observed.name_of(host);
    let known = observed.host(host);
    let Some(inventory) = known.and_then(|known| known.inventory.as_ref()) else {
        return waiting(format!("{name} has not said what it runs"));
    };
    // A host lists an app as long as it holds its fence. Absence proves nothing: an older command may be on its way.
    let Some(entry) = inventory.apps.iter().find(|entry| entry.app == request.app) else {
        return waiting(format!("{name} has not taken it on"));
    };
    match entry.fence.order(&request.fence) {
        Order::Older => {
            Assessment { unconfirmed: !entry.confirmed, ..waiting(format!("{name} has not taken it on")) }
        }
        Order::Newer => Assessment { ahead: true, ..waiting(format!("{name} holds a later decision")) },
        Order::Same => {
            let assessment = Assessment { accepted: true, ..Assessment::default() };
            let judge = Judge { observed, host, content: &content, assessment };
            judge.judge(entry, request, &wanted)
        }
    }
}

fn waiting(what: String) -> Assessment {
    Assessment { waiting: vec![what], ..Assessment::default() }
}

struct Judge<'a> {
    observed: &'a ObservedState,
    host: &'a HostId,
    content: &'a dyn Fn(&ComponentName, &ComponentSpec) -> Digest,
    assessment: Assessment,
}

impl Judge<'_> {
    fn judge(
        mut self,
        entry: &AppInventory,
        request: &ApplyRequest,
        wanted: &dyn Fn(&ComponentName) -> bool,
    ) -> Assessment {
        self.assessment.unconfirmed = !entry.confirmed;
        for bundle in &request.bundles {
            let found = entry.components.iter().find(|component| component.component == bundle.component);
            self.bundle(bundle, found, wanted(&bundle.component));
        }
        for component in &entry.components {
            let asked = request.bundles.iter().any(|bundle| bundle.component == component.component);
            let retired = component.units.iter().filter(|unit| unit.role == Role::Retired).count();
            self.assessment.draining += retired;
            self.assessment.contradicts |= !asked && retired < component.units.len();
        }
        self.assessment
    }

    fn bundle(&mut self, bundle: &ComponentBundle, found: Option<&ComponentInventory>, wanted: bool) {
        let name = &bundle.component;
        let stable = bundle.stable.as_ref().map(|spec| self.shown(name, found, spec, Role::Stable));
        match &bundle.candidate {
            Some(candidate) => {
                // A rollout leads to the candidate. It may be the repair of a stable spec that is broken.
                stable.flatten().into_iter().for_each(|unit| self.beside(bundle, unit));
                let unit = self.shown(name, found, &candidate.spec, Role::Candidate);
                self.unit(bundle, unit, candidate.weight > Weight::NONE);
            }
            None if wanted => stable.into_iter().for_each(|unit| self.unit(bundle, unit, true)),
            None => stable.flatten().into_iter().for_each(|unit| self.beside(bundle, unit)),
        }
    }

    /// A host shows at once what it has accepted. Without a unit of what was asked for under this very fence, it was
    /// asked for something else.
    fn shown<'a>(
        &mut self,
        name: &ComponentName,
        found: Option<&'a ComponentInventory>,
        spec: &ComponentSpec,
        role: Role,
    ) -> Option<&'a UnitInventory> {
        let mut units = found.into_iter().flat_map(|component| &component.units);
        let unit = units.find(|unit| {
            unit.role == role && unit.revision == spec.revision && unit.content == (self.content)(name, spec)
        });
        self.assessment.contradicts |= unit.is_none();
        unit
    }

    fn beside(&mut self, bundle: &ComponentBundle, unit: &UnitInventory) {
        if unit.phase.is_failed() || unit.phase == Phase::Unhealthy {
            let problem = self.problem(bundle, unit);
            self.assessment.failed_beside.push(problem);
        }
    }

    fn problem(&self, bundle: &ComponentBundle, unit: &UnitInventory) -> Problem {
        Problem {
            reason: reason_text(unit.reason),
            message: unit.message.clone(),
            component: Some(bundle.component.clone()),
            host: Some(self.host.clone()),
            host_name: Some(self.observed.name_of(self.host)),
        }
    }

    fn unit(&mut self, bundle: &ComponentBundle, unit: Option<&UnitInventory>, must_serve: bool) {
        let host_name = self.observed.name_of(self.host);
        let name = &bundle.component;
        match unit {
            None => {
                self.assessment.unready.insert(name.clone());
                self.assessment.waiting.push(format!("{name} on {host_name}: accepted"));
            }
            Some(unit) if unit.phase.is_failed() => {
                let problem = self.problem(bundle, unit);
                self.assessment.unready.insert(name.clone());
                self.assessment.failed.push(problem);
            }
            Some(unit) if unit.phase == Phase::Unhealthy && must_serve && unit.serving => {
                let problem = self.problem(bundle, unit);
                self.assessment.unready.insert(name.clone());
                self.assessment.unhealthy.push(problem);
            }
            Some(unit) if unit.phase != Phase::Running || (must_serve && !unit.serving) => {
                let detail =
                    if unit.message.is_empty() { String::new() } else { format!(" ({})", unit.message) };
                self.assessment.unready.insert(name.clone());
                self.assessment
                    .waiting
                    .push(format!("{name} on {host_name}: {}{detail}", phase_text(unit.phase)));
            }
            Some(_) => {}
        }
    }
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

#[cfg(test)]
mod tests;
