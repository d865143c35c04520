//! What one host is told now, derived from the record and its revisions and from nothing else.
//!
//! Rule: the same record gives the same bytes. Whoever changes what this function sees must take a new step, or
//! hosts would get two contents under one fence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lath_control_api::{
    ApplyRequest, Candidate, ComponentBundle, ComponentName, ComponentSpec, Epoch, Fence, HostId, Revision,
    Weight,
};

use crate::desired::AppSpec;
use crate::planted::planted;
use crate::record::{DesiredRecord, Stage};

/// The contents of an app's revisions.
pub type Revisions = BTreeMap<Revision, Arc<AppSpec>>;

/// Every host that must be told something: those of the assignments, and those that may still run something.
#[must_use]
pub fn hosts(record: &DesiredRecord) -> BTreeSet<HostId> {
    let assigned = [&record.assignment, &record.base, &record.surplus].into_iter().flat_map(|a| a.hosts());
    assigned.chain(&record.touched).cloned().collect()
}

/// What `host` is told. Empty bundles take the app off the host.
#[must_use]
pub fn request(record: &DesiredRecord, revisions: &Revisions, host: &HostId, epoch: Epoch) -> ApplyRequest {
    let fence = Fence { epoch, generation: record.generation, step: record.step };
    let composer = Composer {
        record,
        host,
        new: record.revision.and_then(|revision| revisions.get(&revision)),
        old: record.serving.and_then(|revision| revisions.get(&revision)),
    };
    ApplyRequest { fence, app: record.app.clone(), bundles: composer.bundles() }
}

/// Whether the record waits for `component` on `host`: not when a rollout is about to leave it behind.
#[must_use]
pub fn is_goal(record: &DesiredRecord, host: &HostId, component: &ComponentName) -> bool {
    match record.rollout.as_ref().map(|rollout| &rollout.stage) {
        Some(Stage::Preparing | Stage::Shifting { .. } | Stage::Warm { .. }) => {
            record.assignment.count(host, component).is_some()
        }
        None
        | Some(Stage::Emptying | Stage::Settling | Stage::RollingBack | Stage::Stopping | Stage::Stuck) => {
            true
        }
    }
}

struct Composer<'a> {
    record: &'a DesiredRecord,
    host: &'a HostId,
    new: Option<&'a Arc<AppSpec>>,
    old: Option<&'a Arc<AppSpec>>,
}

impl Composer<'_> {
    fn bundles(&self) -> Vec<ComponentBundle> {
        match self.record.rollout.as_ref().map(|rollout| &rollout.stage) {
            None => self.stable_only(self.new, true),
            Some(Stage::Preparing) => self.side_by_side(Weight::NONE),
            Some(Stage::Shifting { shifted, weight, alone, .. }) => {
                let has_turn = shifted.contains(self.host) || planted!("shift-everywhere");
                let weight = if has_turn { *weight } else { Weight::NONE };
                if *alone { self.candidates(weight) } else { self.side_by_side(weight) }
            }
            Some(Stage::Warm { .. }) => self.side_by_side(Weight::ALL),
            Some(Stage::Settling) => self.stable_only(self.new, false),
            // Taking back goes to what the base says; when that is stuck, hosts are not told anything else.
            Some(Stage::RollingBack | Stage::Stuck) => self.base_only(),
            Some(Stage::Stopping | Stage::Emptying) => Vec::new(),
        }
    }

    /// The wanted revision alone, with what may stay until the assignment is ready.
    fn stable_only(&self, spec: Option<&Arc<AppSpec>>, surplus: bool) -> Vec<ComponentBundle> {
        let Some(spec) = spec else { return Vec::new() };
        let mut wanted: BTreeMap<&ComponentName, u32> = self.record.assignment.on(self.host).collect();
        if surplus {
            for (name, instances) in self.record.surplus.on(self.host) {
                wanted.entry(name).or_insert(instances);
            }
        }
        let bundle = |(name, instances): (&ComponentName, u32)| {
            bundle(spec, name, Some(spec.spec_for(name, instances)?), None)
        };
        wanted.into_iter().filter_map(bundle).collect()
    }

    /// The wanted revision, with nothing of the one before.
    fn candidates(&self, weight: Weight) -> Vec<ComponentBundle> {
        let Some(spec) = self.new else { return Vec::new() };
        let on = self.record.assignment.on(self.host);
        on.filter_map(|(name, instances)| {
            let candidate = Candidate { spec: Arc::new(spec.spec_for(name, instances)?), weight };
            bundle(spec, name, None, Some(candidate))
        })
        .collect()
    }

    fn base_only(&self) -> Vec<ComponentBundle> {
        let Some(spec) = self.old else { return Vec::new() };
        let on = self.record.base.on(self.host);
        let more = u32::from(planted!("back-to-more"));
        on.filter_map(|(name, instances)| {
            bundle(spec, name, Some(spec.spec_for(name, instances + more)?), None)
        })
        .collect()
    }

    /// Old and new beside each other. Components that both revisions ask for in the same way are there twice as well:
    /// calls enter one revision or the other, and stay in it.
    fn side_by_side(&self, weight: Weight) -> Vec<ComponentBundle> {
        let old: BTreeMap<&ComponentName, u32> = self.record.base.on(self.host).collect();
        let new: BTreeMap<&ComponentName, u32> = self.record.assignment.on(self.host).collect();
        let names: BTreeSet<&ComponentName> = old.keys().chain(new.keys()).copied().collect();
        let spec =
            |side: Option<&Arc<AppSpec>>, counts: &BTreeMap<&ComponentName, u32>, name: &ComponentName| {
                side.zip(counts.get(name)).and_then(|(spec, instances)| spec.spec_for(name, *instances))
            };
        names
            .into_iter()
            .filter_map(|name| {
                let stable = spec(self.old, &old, name);
                let candidate = spec(self.new, &new, name);
                let owner = self.new.filter(|spec| spec.components.contains_key(name)).or(self.old)?;
                bundle(owner, name, stable, candidate.map(|spec| Candidate { spec: Arc::new(spec), weight }))
            })
            .collect()
    }
}

/// None when `owner` does not have the component, which the callers have made sure of.
fn bundle(
    owner: &AppSpec,
    name: &ComponentName,
    stable: Option<ComponentSpec>,
    candidate: Option<Candidate>,
) -> Option<ComponentBundle> {
    let id = owner.components.get(name)?.id.clone();
    let (component, drain, hold) = (name.clone(), owner.drain(), owner.hold(name));
    let unverified_links = owner.unverified_links(name);
    let stable = stable.map(Arc::new);
    Some(ComponentBundle { component, id, stable, candidate, drain, hold, unverified_links })
}
