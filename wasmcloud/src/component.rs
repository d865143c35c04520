//! Components: where they may run, how many, and of which image.

use serde::{Deserialize, Serialize};

use crate::Texts;

/// The request `component.auction`: who could run this? Only hosts that can answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuctionComponent {
    /// The image, as [`ScaleComponent::component_ref`].
    #[serde(default)]
    pub component_ref: String,
    /// The id that it would have.
    pub component_id: String,
    /// Labels that a host must have, each with just this value.
    pub constraints: Texts,
}

/// A host's answer to an auction of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuctionAck {
    /// The image that was asked for.
    pub component_ref: String,
    /// The id that was asked for. Hosts of 1.x write the image here; nobody reads it.
    pub component_id: String,
    /// The host that could run it.
    pub host_id: String,
    /// The labels that were asked for.
    pub constraints: Texts,
}

/// The request `component.scale`: start, change the number, or stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleComponent {
    /// The image: a name in a registry, with `oci://`, `http://` or `https://` before it or without, or `file://` and
    /// an absolute path.
    #[serde(default)]
    pub component_ref: String,
    /// The component's id in the lattice.
    pub component_id: String,
    /// Marks of whoever asked, kept and told with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Texts>,
    /// Most instances at once; none stops it.
    #[serde(default)]
    pub count: u32,
    /// Bounds of one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_limits: Option<ComponentLimits>,
    /// The host that is asked: events repeat it, nothing checks it.
    #[serde(default)]
    pub host_id: String,
    /// Names of configs; of equal keys the later config's counts. Names that begin with `SECRET` are secrets.
    #[serde(default)]
    pub config: Vec<String>,
    /// Whether one that runs with another image takes this one.
    #[serde(default)]
    pub allow_update: bool,
}

/// Bounds of one instance, decimal numbers as texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentLimits {
    /// Bytes of linear memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_limit: Option<String>,
    /// Seconds that a call may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_execution_time: Option<String>,
}

/// The request `component.update`: another image for one that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateComponent {
    /// Which component.
    #[serde(default)]
    pub component_id: String,
    /// Marks that take the place of those that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Texts>,
    /// The host that is asked.
    #[serde(default)]
    pub host_id: String,
    /// The new image.
    #[serde(default)]
    pub new_component_ref: String,
}

/// A component in an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentDescription {
    /// Its id.
    pub id: String,
    /// Its image, just as it was asked for.
    pub image_ref: String,
    /// Its name by its claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Marks of whoever started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Texts>,
    /// Its revision by its claims, or 0.
    #[serde(default)]
    pub revision: i32,
    /// Most instances at once; 0 of what does not run (yet), which only Lath lists.
    pub max_instances: u32,
    /// Bounds of one instance; `null` when there are none.
    #[serde(default)]
    pub limits: Option<ComponentLimits>,
    /// How far what does not run has come, as Lath's own inventory says it; 1.x does not list such at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why it does not run, a word for scripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
