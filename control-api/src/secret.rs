//! Secrets: which one is meant and who keeps it. Never a value: values are between a host, the backend and whoever reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A secret as a spec names it. The host that runs the spec asks the backend for the value, and hands it over under `name`.
///
/// Two references that are equal ask for the same: a changed one is a changed content, a changed value in the backend is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Under which its reader finds it; unique among the secrets of one reader.
    pub name: String,
    /// The backend that keeps it, as the policy of the manifest names it: a token of the subjects on which it is asked.
    pub backend: String,
    /// What the backend calls it.
    pub key: String,
    /// Which field of it, where the backend keeps several under one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Which version; the newest at the time of asking when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What else the policy of the manifest says to the backend, without `backend`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}
