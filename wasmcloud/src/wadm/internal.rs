//! What the parts of wadm tell each other. Nobody else reads it; it is here so that a lattice with a wadm in it can be
//! understood.

use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::Texts;
use crate::link::Link;

/// Work that is to be done, on `wadm.cmd.{lattice}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A component is to run so many times on a host.
    ScaleComponent {
        /// Which.
        component_id: String,
        /// Where.
        host_id: String,
        /// Most instances at once.
        count: u32,
        /// Its image.
        reference: String,
        /// The app.
        model_name: String,
        /// Marks of the scaler.
        annotations: Texts,
        /// Names of configs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        config: Vec<String>,
    },
    /// A provider is to run on a host.
    StartProvider {
        /// Its image.
        reference: String,
        /// Which.
        provider_id: String,
        /// Where.
        host_id: String,
        /// The app.
        model_name: String,
        /// Names of configs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        config: Vec<String>,
        /// Marks of the scaler.
        annotations: Texts,
    },
    /// A provider is not to run on a host any more.
    StopProvider {
        /// Which.
        provider_id: String,
        /// Where.
        host_id: String,
        /// The app.
        model_name: String,
        /// Marks of the scaler.
        annotations: Texts,
    },
    /// A link is to be put.
    PutLink {
        /// The link.
        #[serde(flatten)]
        link: Link,
        /// The app.
        model_name: String,
    },
    /// A link is to be deleted.
    DeleteLink {
        /// Who calls.
        source_id: String,
        /// Namespace of its interfaces.
        wit_namespace: String,
        /// Their package.
        wit_package: String,
        /// The link's name.
        link_name: String,
        /// The app.
        model_name: String,
    },
    /// A config is to be put.
    PutConfig {
        /// Which.
        config_name: String,
        /// Its values.
        config: Texts,
    },
    /// A config is to be deleted.
    DeleteConfig {
        /// Which.
        config_name: String,
    },
}

/// What one wadm tells the others, on `wadm.notify.{lattice}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notification {
    /// The scalers of an app are to be made.
    CreateScalers(Manifest),
    /// The scalers of an app are to go.
    DeleteScalers(String),
    /// A scaler waits for events.
    RegisterExpectedEvents {
        /// The app.
        name: String,
        /// Which scaler.
        scaler_id: String,
        /// The event that made it act.
        triggering_event: Option<serde_json::Value>,
    },
    /// An event that a scaler waited for has come.
    RemoveExpectedEvent {
        /// The app.
        name: String,
        /// Which scaler.
        scaler_id: String,
        /// The event.
        event: serde_json::Value,
    },
}
