//! Values of the buckets `wadm_manifests` and `wadm_state`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::Texts;

/// The value of `{lattice}-{app}` in `wadm_manifests`: all versions of an app. The value of `{lattice}` is the list of
/// names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredModel {
    /// Versions in the order in which they were put: the last is the newest.
    pub manifests: serde_json::Map<String, Manifest>,
    /// The version that is deployed.
    pub deployed_version: Option<String>,
}

/// A host, by id in the value of `host_{lattice}` in `wadm_state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHost {
    /// Instances of each component.
    pub components: BTreeMap<String, usize>,
    /// Its name for people.
    pub friendly_name: String,
    /// Its labels.
    pub labels: Texts,
    /// Its providers.
    pub providers: Vec<StoredHostProvider>,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its public key.
    pub id: String,
    /// When it was heard last, by RFC 3339.
    pub last_seen: String,
}

/// A provider of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHostProvider {
    /// Which.
    pub provider_id: String,
    /// Its image.
    #[serde(default)]
    pub provider_ref: String,
    /// Marks of whoever started it.
    #[serde(default)]
    pub annotations: Texts,
}

/// A component, by id in the value of `component_{lattice}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredComponent {
    /// Its id.
    pub id: String,
    /// Its name by its claims.
    pub name: String,
    /// Who signed it.
    pub issuer: String,
    /// Where it runs.
    pub instances: BTreeMap<String, Vec<StoredInstances>>,
    /// Its image.
    pub reference: String,
}

/// Instances of a component that were started for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredInstances {
    /// Marks of whoever started them.
    pub annotations: Texts,
    /// How many.
    pub count: usize,
}

/// A provider, by id in the value of `provider_{lattice}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProvider {
    /// Its id.
    pub id: String,
    /// Its name by its claims.
    pub name: String,
    /// Who signed it.
    pub issuer: String,
    /// Its image.
    pub reference: String,
    /// Where it is, and how.
    pub hosts: BTreeMap<String, ProviderState>,
}

/// How a provider is on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProviderState {
    /// Started, and nothing was heard of its health.
    Pending,
    /// Healthy.
    Running,
    /// Not healthy.
    Failed,
}
