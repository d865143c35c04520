//! Credentials of registries, given to all hosts at once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The request `registry.put` is a map from registries to these.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryCredentials {
    /// With a password: a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// In place of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What kind of registry it is.
    #[serde(rename = "registryType", default)]
    pub kind: RegistryKind,
}

impl fmt::Debug for RegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Passwords and tokens do not get into logs.
        f.debug_struct("RegistryCredentials")
            .field("username", &self.username)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What kind of registry it is; hosts take every kind for OCI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistryKind {
    /// A registry of container images.
    #[default]
    Oci,
    /// Whatever else was written.
    #[serde(untagged)]
    Other(String),
}
