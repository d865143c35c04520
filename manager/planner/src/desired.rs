//! What a revision asks of hosts: a manifest with every name replaced by what it stands for.

mod expand;
mod http;
mod providers;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use lath_control_api::{
    AppName, ComponentId, ComponentName, ComponentSpec, Digest, DrainPolicy, HoldPolicy, HttpRoute, Revision,
    UnverifiedLinks,
};
use lath_manifests::manifest::{RolloutPolicy, Scaling};

pub use expand::{expand, no_config};
pub use shared::shared_as;

/// A revision of an app, ready to be placed: specs that lack nothing but the number of instances on a host.
#[derive(Debug, Clone, PartialEq)]
pub struct AppSpec {
    /// The app.
    pub app: AppName,
    /// Its revision.
    pub revision: Revision,
    /// Its components and capabilities by name.
    pub components: BTreeMap<ComponentName, ComponentPlan>,
    /// How it replaces another revision, by what that changes.
    pub rollouts: Vec<RolloutPolicy>,
    /// One line for lists.
    pub description: Option<String>,
    /// Digests of its specs, each worked out once.
    pub contents: Contents,
}

/// [`ComponentSpec::content`] of the components of a revision by their number of instances: asked for in every plan,
/// and by far the dearest thing in it. Says nothing that the specs do not say, so it differs from no other.
#[derive(Debug, Default)]
pub struct Contents(Mutex<BTreeMap<(ComponentName, u32), Digest>>);

impl Clone for Contents {
    /// An empty one: the copy's specs may be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Contents {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// One component of a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentPlan {
    /// Lattice-wide id.
    pub id: ComponentId,
    /// Whether it is a capability: hosts are counted then, not instances.
    pub capability: bool,
    /// Where and how often it runs.
    pub scaling: Scaling,
    /// What hosts run; its `max_instances` is set when it is placed.
    pub spec: ComponentSpec,
}

/// What a rollout changes, in the eyes of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Components of the new revision that are called and are not as before.
    pub changed: BTreeSet<ComponentName>,
    /// Something else differs: a capability, or a component that goes away.
    others: bool,
}

impl Difference {
    /// What differs between two revisions; everything when there is none before.
    #[must_use]
    pub fn between(old: Option<&AppSpec>, new: Option<&AppSpec>) -> Self {
        let has = |spec: Option<&AppSpec>, name: &ComponentName| {
            spec.is_some_and(|spec| spec.components.contains_key(name))
        };
        let gone = old.into_iter().flat_map(|old| old.components.keys()).any(|name| !has(new, name));
        let mut found = Self { others: gone, ..Self::default() };
        for (name, plan) in new.into_iter().flat_map(|new| &new.components) {
            let before = old.and_then(|old| old.components.get(name));
            if before.is_some_and(|before| before.asks_the_same(plan)) {
                continue;
            }
            if plan.capability {
                found.others = true;
            } else {
                found.changed.insert(name.clone());
            }
        }
        found
    }

    /// Whether hosts are asked for the same as before, under another number.
    #[must_use]
    pub fn is_trivial(&self) -> bool {
        self.changed.is_empty() && !self.others
    }
}

impl ComponentPlan {
    /// Whether both ask the same of hosts: all but the revision.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let Self { id, capability, scaling, spec } = self;
        (id, capability, scaling) == (&other.id, &other.capability, &other.scaling)
            && ComponentSpec { revision: other.spec.revision, ..spec.clone() } == other.spec
    }
}

impl AppSpec {
    /// The spec of a component with its number of instances on a host.
    #[must_use]
    pub fn spec_for(&self, component: &ComponentName, instances: u32) -> Option<ComponentSpec> {
        let plan = self.components.get(component)?;
        Some(ComponentSpec { max_instances: instances.max(1), ..plan.spec.clone() })
    }

    /// [`ComponentSpec::content`] of [`AppSpec::spec_for`].
    #[must_use]
    pub fn content_for(&self, component: &ComponentName, instances: u32) -> Option<Digest> {
        let key = (component.clone(), instances.max(1));
        let mut known = self.contents.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = known.get(&key) {
            return Some(content.clone());
        }
        let content = self.spec_for(component, instances)?.content();
        known.insert(key, content.clone());
        Some(content)
    }

    /// How what is replaced goes away.
    #[must_use]
    pub fn drain(&self) -> DrainPolicy {
        let general = self.rollouts.iter().find(|policy| policy.components.is_empty());
        let deadline =
            general.map_or_else(|| RolloutPolicy::default().drain_deadline, |policy| policy.drain_deadline);
        DrainPolicy { deadline_ms: millis(deadline) }
    }

    /// What may be held of a component's calls while a link changes at its provider: as the policy for it says.
    #[must_use]
    pub fn hold(&self, component: &ComponentName) -> HoldPolicy {
        let policy = RolloutPolicy::choose(&self.rollouts, &BTreeSet::from([component.clone()]));
        HoldPolicy { max_time_ms: millis(policy.hold_time), ..HoldPolicy::default() }
    }

    /// What a link is worth that a provider has said nothing about: as the policy for `component` says, else the general
    /// one.
    #[must_use]
    pub fn unverified_links(&self, component: &ComponentName) -> UnverifiedLinks {
        RolloutPolicy::choose(&self.rollouts, &BTreeSet::from([component.clone()])).unverified_links
    }

    /// How a rollout goes that changes these components.
    #[must_use]
    pub fn policy(&self, changed: &BTreeSet<ComponentName>) -> RolloutPolicy {
        RolloutPolicy::choose(&self.rollouts, changed)
    }

    /// Every HTTP route of the app.
    pub fn routes(&self) -> impl Iterator<Item = &HttpRoute> {
        self.components.values().flat_map(|plan| &plan.spec.routes)
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
