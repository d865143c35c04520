//! Events of the manager, on `wadm.evt.{lattice}.…`.

use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::event::CloudEvent;

/// An event of the manager; its source is `wadm`.
pub type Event = CloudEvent<EventData>;

/// What the manager tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum EventData {
    /// A version of an app was deployed.
    #[serde(rename = "com.wadm.manifest_published")]
    ManifestPublished(Manifest),
    /// An app was undeployed, or deleted.
    #[serde(rename = "com.wadm.manifest_unpublished")]
    ManifestUnpublished {
        /// Which.
        name: String,
    },
}
