//! Values of the bucket `LATTICEDATA_{lattice}` beside claims.

use serde::{Deserialize, Serialize};

use crate::link::Link;

/// The value of `COMPONENT_{id}`, of components and of providers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentSpec {
    /// The image that it was first started with; empty when a link was put before.
    pub url: String,
    /// Links that it is the source of.
    #[serde(default)]
    pub links: Vec<Link>,
}
