//! Links, as people put them and as providers get them.

use serde::{Deserialize, Serialize};

use crate::Texts;

/// The name of a link that was given none.
pub const DEFAULT_LINK: &str = "default";

/// Header of a `link.put` for a link that stands in the bucket of 1.x already: it is taken over, and not copied there.
/// Lath's own; its value is `1`.
pub const STANDING_HEADER: &str = "Lath-Standing";

fn default_link() -> String {
    DEFAULT_LINK.to_owned()
}

/// A link between two components or providers: the request `link.put`, and what `link.get` and the bucket tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// Who calls.
    pub source_id: String,
    /// Who answers.
    pub target: String,
    /// Tells links of one source to several targets of one interface apart.
    #[serde(default = "default_link")]
    pub name: String,
    /// Namespace of the interfaces.
    pub wit_namespace: String,
    /// Their package.
    pub wit_package: String,
    /// Their names.
    pub interfaces: Vec<String>,
    /// Names of configs for the source.
    #[serde(default)]
    pub source_config: Vec<String>,
    /// Names of configs for the target.
    #[serde(default)]
    pub target_config: Vec<String>,
}

/// The request `link.del`. Neither target nor interfaces count: the first link that fits goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteLink {
    /// Who calls.
    pub source_id: String,
    /// The link's name.
    #[serde(default = "default_link")]
    pub name: String,
    /// Namespace of its interfaces.
    pub wit_namespace: String,
    /// Their package.
    pub wit_package: String,
}

/// A link as a provider gets it: with the values of its configs in place of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderLink {
    /// Who calls.
    pub source_id: String,
    /// Who answers.
    pub target: String,
    /// The link's name.
    #[serde(default = "default_link")]
    pub name: String,
    /// Namespace of the interfaces.
    pub wit_namespace: String,
    /// Their package.
    pub wit_package: String,
    /// Their names.
    pub interfaces: Vec<String>,
    /// Values for the source.
    #[serde(default)]
    pub source_config: Texts,
    /// Values for the target.
    #[serde(default)]
    pub target_config: Texts,
    /// Secrets for the source, sealed for the provider; `null` when there are none.
    #[serde(default)]
    pub source_secrets: Option<Vec<u8>>,
    /// The same for the target.
    #[serde(default)]
    pub target_secrets: Option<Vec<u8>>,
}
