//! What signed components and providers say of themselves.

use serde::{Deserialize, Serialize};

use crate::Texts;

/// One of the answers to `claims.get`: names and texts, with short and long names of the same things.
pub type ClaimsEntry = Texts;

/// The value of `CLAIMS_{public key}` in the bucket. What has a call alias and tags is of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoredClaims {
    /// Of a component.
    Component {
        /// A short name for calls, mostly empty.
        call_alias: String,
        /// Public key of the account that signed.
        #[serde(alias = "iss")]
        issuer: String,
        /// Name for people.
        name: String,
        /// A number that grows.
        #[serde(alias = "rev")]
        revision: String,
        /// Public key of the component.
        #[serde(alias = "sub")]
        subject: String,
        /// Marks for people: a list, or words with commas between them.
        tags: Tags,
        /// Version for people.
        version: String,
    },
    /// Of a provider.
    Provider {
        /// Public key of the account that signed.
        #[serde(alias = "iss")]
        issuer: String,
        /// Name for people.
        name: String,
        /// A number that grows.
        #[serde(alias = "rev")]
        revision: String,
        /// Public key of the provider.
        #[serde(alias = "sub")]
        subject: String,
        /// Version for people.
        version: String,
        /// JSON schema of its config, as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        config_schema: Option<String>,
    },
}

/// Marks of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tags {
    /// One by one.
    List(Vec<String>),
    /// With commas between them.
    Joined(String),
}
