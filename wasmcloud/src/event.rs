//! What hosts tell the lattice, as CloudEvents 1.0 in JSON, on `wasmbus.evt.{lattice}.{name of the event}`.

use serde::{Deserialize, Serialize};

use crate::Texts;
use crate::host::HostInventory;
use crate::link::{DEFAULT_LINK, Link};

/// An event in its envelope. `D` says what it is: [`EventData`] of hosts, [`crate::wadm::EventData`] of the manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudEvent<D> {
    /// Always `1.0`.
    pub specversion: String,
    /// Different for every event: 128 bits in the form of a UUID.
    pub id: String,
    /// Who tells: a host's public key, or `wadm`. Readers of 1.x take it for the host of the event.
    pub source: String,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// When, by RFC 3339, in UTC.
    pub time: String,
    /// Type and data.
    #[serde(flatten)]
    pub data: D,
}

/// An event of a host.
pub type Event = CloudEvent<EventData>;

impl<D> CloudEvent<D> {
    /// An event of now.
    pub fn new(id: impl Into<String>, source: impl Into<String>, time: impl Into<String>, data: D) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: id.into(),
            source: source.into(),
            datacontenttype: "application/json".to_owned(),
            time: time.into(),
            data,
        }
    }
}

/// 128 bits in the form of a UUID, as the ids of events are written.
#[must_use]
pub fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts: Vec<&str> = parts.into_iter().filter_map(|part| hex.get(part)).collect();
    parts.join("-")
}

/// Type and data of an event of a host. Readers skip events of other types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum EventData {
    /// A host is there, and knows the links and claims of the lattice.
    #[serde(rename = "com.wasmcloud.lattice.host_started")]
    HostStarted {
        /// Its name for people.
        friendly_name: String,
        /// Its labels.
        labels: Texts,
        /// Always 0.
        uptime_seconds: u64,
        /// Its version.
        version: String,
    },
    /// A host is there still. The first one comes a whole interval after the start.
    #[serde(rename = "com.wasmcloud.lattice.host_heartbeat")]
    HostHeartbeat(HostInventory),
    /// A host goes.
    #[serde(rename = "com.wasmcloud.lattice.host_stopped")]
    HostStopped {
        /// Its labels.
        labels: Texts,
    },
    /// A component runs as it was asked to, or, with no instances, not any more.
    #[serde(rename = "com.wasmcloud.lattice.component_scaled")]
    ComponentScaled {
        /// Marks of whoever asked.
        annotations: Texts,
        /// What it says of itself, when it is signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claims: Option<EventClaims>,
        /// Which.
        component_id: String,
        /// Where.
        host_id: String,
        /// Of which image, as it was asked for.
        image_ref: String,
        /// Most instances at once.
        max_instances: u32,
        /// Its public key, when it is signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_key: Option<String>,
    },
    /// A component does not run as it was asked to.
    #[serde(rename = "com.wasmcloud.lattice.component_scale_failed")]
    ComponentScaleFailed {
        /// Marks of whoever asked.
        annotations: Texts,
        /// Which.
        component_id: String,
        /// Why not: causes from the outermost to the first, with `: ` between them.
        error: String,
        /// Where.
        host_id: String,
        /// Of which image.
        image_ref: String,
        /// Most instances at once.
        max_instances: u32,
        /// Its public key, when it is signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_key: Option<String>,
    },
    /// The process of a provider was started; whether it is healthy comes later.
    #[serde(rename = "com.wasmcloud.lattice.provider_started")]
    ProviderStarted {
        /// Marks of whoever asked.
        annotations: Texts,
        /// What it says of itself. Those inside a host say nothing, and have none of the fields below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claims: Option<EventClaims>,
        /// Where.
        host_id: String,
        /// Of which image, without `file://`, `oci://` or whatever else stood before it.
        image_ref: String,
        /// Which.
        provider_id: String,
        /// The same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance_id: Option<String>,
        /// The same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_key: Option<String>,
        /// Always `default`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link_name: Option<String>,
    },
    /// A provider could not be started.
    #[serde(rename = "com.wasmcloud.lattice.provider_start_failed")]
    ProviderStartFailed {
        /// Why not.
        error: String,
        /// Where.
        host_id: String,
        /// Always `default`.
        #[serde(default = "default_link")]
        link_name: String,
        /// Which.
        provider_id: String,
        /// Of which image, as it was asked for.
        provider_ref: String,
    },
    /// A provider was stopped.
    #[serde(rename = "com.wasmcloud.lattice.provider_stopped")]
    ProviderStopped {
        /// Marks of whoever started it.
        annotations: Texts,
        /// Where.
        host_id: String,
        /// Which.
        instance_id: String,
        /// Always `default`.
        link_name: String,
        /// Which.
        provider_id: String,
        /// Which.
        public_key: String,
        /// Always `stop`.
        reason: String,
    },
    /// A provider says that it is healthy, and did not before.
    #[serde(rename = "com.wasmcloud.lattice.health_check_passed")]
    HealthCheckPassed(ProviderAt),
    /// A provider says that it is not, and was before; or it does not answer any more.
    #[serde(rename = "com.wasmcloud.lattice.health_check_failed")]
    HealthCheckFailed(ProviderAt),
    /// A provider says what it said before.
    #[serde(rename = "com.wasmcloud.lattice.health_check_status")]
    HealthCheckStatus(ProviderAt),
    /// A link was put.
    #[serde(rename = "com.wasmcloud.lattice.linkdef_set")]
    LinkSet(Link),
    /// A link could not be put.
    #[serde(rename = "com.wasmcloud.lattice.linkdef_set_failed")]
    LinkSetFailed(LinkFailed),
    /// A link was deleted, or there was none.
    #[serde(rename = "com.wasmcloud.lattice.linkdef_deleted")]
    LinkDeleted {
        /// Who called.
        source_id: String,
        /// The link's name.
        #[serde(default = "default_link")]
        name: String,
        /// Namespace of its interfaces.
        wit_namespace: String,
        /// Their package.
        wit_package: String,
        /// Who answered, when there was such a link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        /// Its interfaces, when there was such a link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interfaces: Option<Vec<String>>,
    },
    /// A named config was put.
    #[serde(rename = "com.wasmcloud.lattice.config_set")]
    ConfigSet {
        /// Which.
        config_name: String,
    },
    /// A named config was deleted, or there was none.
    #[serde(rename = "com.wasmcloud.lattice.config_deleted")]
    ConfigDeleted {
        /// Which.
        config_name: String,
    },
    /// Labels of a host were changed.
    #[serde(rename = "com.wasmcloud.lattice.labels_changed")]
    LabelsChanged {
        /// Which host.
        host_id: String,
        /// All that it has now.
        labels: Texts,
    },
}

fn default_link() -> String {
    DEFAULT_LINK.to_owned()
}

impl EventData {
    /// The last token of the event's subject, and the end of its type.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::HostStarted { .. } => "host_started",
            Self::HostHeartbeat(_) => "host_heartbeat",
            Self::HostStopped { .. } => "host_stopped",
            Self::ComponentScaled { .. } => "component_scaled",
            Self::ComponentScaleFailed { .. } => "component_scale_failed",
            Self::ProviderStarted { .. } => "provider_started",
            Self::ProviderStartFailed { .. } => "provider_start_failed",
            Self::ProviderStopped { .. } => "provider_stopped",
            Self::HealthCheckPassed(_) => "health_check_passed",
            Self::HealthCheckFailed(_) => "health_check_failed",
            Self::HealthCheckStatus(_) => "health_check_status",
            Self::LinkSet(_) => "linkdef_set",
            Self::LinkSetFailed(_) => "linkdef_set_failed",
            Self::LinkDeleted { .. } => "linkdef_deleted",
            Self::ConfigSet { .. } => "config_set",
            Self::ConfigDeleted { .. } => "config_deleted",
            Self::LabelsChanged { .. } => "labels_changed",
        }
    }
}

/// A provider on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAt {
    /// Where.
    pub host_id: String,
    /// Which.
    pub provider_id: String,
}

/// A link that could not be put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFailed {
    /// The link.
    #[serde(flatten)]
    pub link: Link,
    /// Why not.
    pub error: String,
}

/// What a signed component or provider says of itself, in events. What is not said is `null`; a reader of 1.x cannot
/// read a provider's event without name or version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventClaims {
    /// A short name for calls; providers have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_alias: Option<String>,
    /// Until when it may be used: seconds since 1970 as text, or `never`.
    pub expires_human: String,
    /// Public key of the account that signed.
    pub issuer: String,
    /// Name for people.
    pub name: Option<String>,
    /// From when on it may be used: the same forms.
    pub not_before_human: String,
    /// A number that grows; providers have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Marks for people.
    pub tags: Option<crate::claims::Tags>,
    /// Version for people.
    pub version: Option<String>,
}
