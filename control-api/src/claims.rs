//! What the maker of a component or provider has signed of it.

use serde::{Deserialize, Serialize};

/// What a signature says of the code that it is of, in the form of wasmCloud 1.x. The host that tells it has checked the
/// signature, its times and that it is of this code; whether the account is to be trusted is for its readers to decide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// Public key of the account that signed: an nkey that begins with `A`.
    pub issuer: String,
    /// Public key of what is signed: `M…` of a component, `V…` of a provider.
    pub subject: String,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Version for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A number that grows with the versions; 0 when nothing is said.
    #[serde(default)]
    pub revision: i32,
    /// A short name for calls, of a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_alias: Option<String>,
    /// Marks for people, of a component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// From when on it holds, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// Until when it holds, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// JSON schema of its config, as text, of a provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<String>,
}
