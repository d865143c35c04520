//! Values of the buckets `wadm_manifests` and `wadm_state`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Manifest;
use crate::Texts;

/// The value of `{lattice}-{app}` in `wadm_manifests`: all versions of an app. The value of `{lattice}` is the list of
/// names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredModel {
    /// Versions in the order in which they were put: the last is the newest.
    pub manifests: Versions,
    /// The version that is deployed.
    pub deployed_version: Option<String>,
}

/// Manifests by version. On the wire a map whose order counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions(pub Vec<(String, Manifest)>);

impl Serialize for Versions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(version, manifest)| (version, manifest)))
    }
}

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Versions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of versions to manifests")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Versions, A::Error> {
        let mut versions = Vec::new();
        while let Some(version) = map.next_entry()? {
            versions.push(version);
        }
        Ok(Versions(versions))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_keep_the_order_in_which_they_were_put() {
        let text = r#"{"manifests":{"v2":{},"v10":{},"v1":{}},"deployed_version":"v10"}"#;
        let model: StoredModel = serde_json::from_str(text).unwrap();
        let names: Vec<&str> = model.manifests.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["v2", "v10", "v1"]);
        assert_eq!(serde_json::to_string(&model).unwrap(), text);
    }
}
