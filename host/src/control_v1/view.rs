//! What runs on a host as tools of 1.x see it: one entry for each id, made from a snapshot.
//!
//! Nothing is sent here. 1.x lists only what runs; what is on its way or has failed is listed here as well, with no
//! instances, and says so in fields of ours.

use std::collections::BTreeMap;

use lath_control_api::{
    AppInventory, AppName, Builtin, Claims, ComponentSpec, Digest, Limits, Revision, Role, UnitInventory,
    Workload, annotation,
};
use lath_host_core::{SpecKey, UnitKey};
use lath_wasmcloud::{ComponentDescription, ComponentLimits, ProviderDescription, Texts};

use crate::status::{AppShown, Snapshot};

/// Annotations by which tools of 1.x know what a manifest has started.
const APP: &str = "wasmcloud.dev/appspec";
const MANAGED_BY: &str = "wasmcloud.dev/managed-by";

/// What 1.x makes a difference between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Component,
    Provider,
}

/// One component or provider.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// As it was asked for; of a provider without what stands before `://`.
    pub(super) image: String,
    pub(super) annotations: Texts,
    /// Instances of what serves; 0 of what does not.
    pub(super) instances: u32,
    /// What was asked for, whether it serves or not.
    pub(super) asked: u32,
    pub(super) limits: Option<ComponentLimits>,
    /// What its maker has signed.
    pub(super) claims: Option<Claims>,
    /// Digest of all that decides how it behaves.
    pub(super) content: Option<Digest>,
    /// Phase, reason and message of what does not serve.
    stands: Option<(String, String, String)>,
}

/// A spec that could not be made ready.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failed {
    pub(super) item: Item,
    pub(super) why: String,
}

/// Everything on a host.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct View {
    /// By kind and id.
    pub(super) items: BTreeMap<(Kind, String), Item>,
    /// By kind, id, and which spec of it. Beside another spec that serves, these are not among the items.
    pub(super) failed: BTreeMap<(Kind, String, Revision, Digest), Failed>,
    /// Capabilities that are part of their callers, by id. Apps share them.
    capabilities: BTreeMap<String, Item>,
}

impl View {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut view = Self::default();
        snapshot.apps.iter().for_each(|app| view.add_app(app));
        view.items.append(&mut Self::capabilities([&view].into_iter()).items);
        view
    }

    /// The capabilities of several apps, each once.
    pub(super) fn capabilities<'a>(views: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for (id, item) in views.flat_map(|view| &view.capabilities) {
            all.items.entry((Kind::Provider, id.clone())).or_insert_with(|| item.clone());
        }
        all
    }

    /// Of what one app adds only what it shares with others.
    pub(super) fn capabilities_alone(self) -> Self {
        Self { capabilities: self.capabilities, ..Self::default() }
    }

    /// What one app adds to it, without capabilities. Beside these no two apps of a host have the same ids.
    pub(super) fn of_app(app: &AppShown) -> Self {
        let mut view = Self::default();
        view.add_app(app);
        view
    }

    fn add_app(&mut self, app: &AppShown) {
        let AppInventory { app: name, components, .. } = &app.inventory;
        for component in components {
            let wanted = component.units.iter().filter(|unit| unit.role != Role::Retired || unit.serving);
            for unit in wanted {
                let spec = SpecKey { revision: unit.revision, content: unit.content.clone() };
                let key = UnitKey { app: name.clone(), id: component.id.clone(), spec };
                if let Some(spec) = app.specs.get(&key) {
                    self.add(&key, unit, spec);
                }
            }
        }
    }

    fn add(&mut self, key: &UnitKey, unit: &UnitInventory, spec: &ComponentSpec) {
        let id = key.id.to_string();
        let kind = match spec.workload {
            Workload::Component { .. } => Kind::Component,
            Workload::Builtin { .. } | Workload::Provider { .. } => Kind::Provider,
        };
        let item = Item::of(&key.app, unit, spec);
        if unit.phase.is_failed() {
            let failed = Failed { item: item.clone(), why: why(unit) };
            self.failed.insert((kind, id.clone(), unit.revision, unit.content.clone()), failed);
        }
        if item.instances > 0 {
            self.add_capabilities(&key.app, spec);
        }
        let place = self.items.entry((kind, id)).or_insert_with(|| item.clone());
        // Of a stable spec and its candidate the one with the greater share counts, the stable one at first.
        let better = (place.instances == 0 && item.instances > 0) || unit.weight.percent() > 50;
        if better {
            *place = item;
        }
    }

    /// Capabilities that are part of their callers: on this host since a caller is.
    fn add_capabilities(&mut self, app: &AppName, spec: &ComponentSpec) {
        for link in &spec.links {
            let Some(builtin) = link.builtin else { continue };
            let item = Item {
                image: builtin.name().to_owned(),
                annotations: annotations(app, spec),
                instances: 1,
                asked: 1,
                limits: None,
                claims: None,
                content: None,
                stands: None,
            };
            self.capabilities.entry(link.target.to_string()).or_insert(item);
        }
    }

    /// The two lists of an inventory.
    pub(super) fn describe(self) -> (Vec<ComponentDescription>, Vec<ProviderDescription>) {
        let (mut components, mut providers) = (Vec::new(), Vec::new());
        for ((kind, id), item) in self.items {
            let (phase, reason, message) = match item.stands {
                Some((phase, reason, message)) => {
                    (Some(phase), Some(reason), Some(message).filter(|text| !text.is_empty()))
                }
                None => (None, None, None),
            };
            let annotations = Some(item.annotations);
            let (name, revision) = match item.claims {
                Some(Claims { name, revision, .. }) => (name, revision),
                None => (None, 0),
            };
            match kind {
                Kind::Component => components.push(ComponentDescription {
                    id,
                    image_ref: item.image,
                    name,
                    annotations,
                    revision,
                    max_instances: item.instances,
                    limits: item.limits,
                    phase,
                    reason,
                    message,
                }),
                Kind::Provider => providers.push(ProviderDescription {
                    id,
                    image_ref: Some(item.image),
                    name,
                    revision,
                    annotations,
                    phase,
                    reason,
                    message,
                }),
            }
        }
        (components, providers)
    }
}

impl Item {
    fn of(app: &AppName, unit: &UnitInventory, spec: &ComponentSpec) -> Self {
        let serves = unit.serving;
        let stands = (!serves).then(|| (word(&unit.phase), word(&unit.reason), unit.message.clone()));
        Self {
            image: image(spec),
            annotations: annotations(app, spec),
            instances: if serves { unit.max_instances } else { 0 },
            asked: unit.max_instances,
            limits: limits(spec),
            claims: unit.claims.clone(),
            content: Some(unit.content.clone()),
            stands,
        }
    }
}

fn image(spec: &ComponentSpec) -> String {
    let asked = || spec.annotations.get(annotation::ASKED_IMAGE).cloned();
    match &spec.workload {
        Workload::Component { image } => asked().unwrap_or_else(|| image.reference.clone()),
        Workload::Provider { image } => {
            let asked = asked().unwrap_or_else(|| image.reference.clone());
            // Without what stands before `://`.
            asked.split_once("://").map_or_else(|| asked.clone(), |(_, rest)| rest.to_owned())
        }
        Workload::Builtin { builtin, reference } => builtin_image(*builtin, reference),
    }
}

/// 1.x tells images of providers without what stands before `://`.
fn builtin_image(builtin: Builtin, reference: &str) -> String {
    match reference.split_once("://") {
        Some(_) => builtin.name().to_owned(),
        None => reference.to_owned(),
    }
}

/// What started it by hand gave; of what a manifest started, the app.
fn annotations(app: &AppName, spec: &ComponentSpec) -> Texts {
    let theirs = spec.annotations.iter().filter(|(key, _)| !key.starts_with(annotation::OWN));
    let mut all: Texts = theirs.map(|(key, value)| (key.clone(), value.clone())).collect();
    if !spec.annotations.contains_key(annotation::BY_HAND) {
        all.entry(APP.to_owned()).or_insert_with(|| app.to_string());
        all.entry(MANAGED_BY.to_owned()).or_insert_with(|| "lath".to_owned());
    }
    all
}

/// Bounds that differ from what every component has: 1.x lists only those that somebody gave.
fn limits(spec: &ComponentSpec) -> Option<ComponentLimits> {
    let (limits, usual) = (&spec.limits, Limits::default());
    let memory = (limits.memory_bytes != usual.memory_bytes).then(|| limits.memory_bytes.to_string());
    let deadline = limits.invocation_deadline_ms;
    let time = (deadline != usual.invocation_deadline_ms).then(|| deadline.div_ceil(1_000).to_string());
    let found = ComponentLimits { max_memory_limit: memory, max_execution_time: time };
    (found != ComponentLimits::default()).then_some(found)
}

fn why(unit: &UnitInventory) -> String {
    let reason = word(&unit.reason);
    if unit.message.is_empty() { reason } else { format!("{reason}: {}", unit.message) }
}

/// The word that a value is on the wire.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => String::new(),
    }
}
