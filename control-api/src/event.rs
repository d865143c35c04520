//! Events as CloudEvents 1.0. They wake readers; what counts is in inventories and records.

use serde::{Deserialize, Serialize};

use crate::app::AppStatus;
use crate::id::{Epoch, HostId};
use crate::inventory::{AppInventory, HostInventory, HostSummary};
use crate::time::Timestamp;

/// An event in its envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Envelope")]
pub struct CloudEvent {
    /// Always `1.0`.
    pub specversion: String,
    /// A ULID.
    pub id: String,
    /// Who says so: a host id, or a manager's id.
    pub source: String,
    /// What it is about: a host id or an app's name.
    pub subject: String,
    /// When, by the source's clock.
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// What happened.
    #[serde(flatten)]
    pub event: EventData,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "data")]
pub enum EventData {
    /// A host lives, and is this. When something of it has changed, and once a minute; between, [`HostAlive`] says less.
    #[serde(rename = "dev.lath.host.heartbeat.v1")]
    Heartbeat(Box<HostSummary>),
    /// Something changed on a host; all that runs there, unless it is too large for one message.
    #[serde(rename = "dev.lath.host.inventory.v1")]
    Inventory(Box<HostInventory>),
    /// How calls go of apps that are trying a candidate. Every second while there is one.
    #[serde(rename = "dev.lath.host.calls.v1")]
    Calls(Box<HostCalls>),
    /// A host has stopped in order.
    #[serde(rename = "dev.lath.host.stopped.v1")]
    HostStopped(HostGone),
    /// An app's status changed.
    #[serde(rename = "dev.lath.app.status.v1")]
    App(Box<AppStatus>),
}

/// Fresh counts of calls between two inventories: counts alone are no change of a host, and no reason for one.
///
/// They belong to the units of one inventory and mean nothing beside any other. Counts of many apps come in several
/// events with the same numbers; an app whose entry is too large for a message is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostCalls {
    /// Which host.
    pub host: HostId,
    /// Its run.
    pub boot: String,
    /// Number of the inventory that holds the same units.
    pub sequence: u64,
    /// The apps with a candidate that takes calls on this host, whole, in order of their names.
    pub apps: Vec<AppInventory>,
}

/// A host lives, and nothing of it has changed since its last heartbeat or inventory. Every five seconds, not as an event
/// but by itself on a subject that names the host: a lattice of a thousand hosts says little else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostAlive {
    /// Its run.
    pub boot: String,
    /// As in [`HostSummary::sequence`]: whoever knows an older one asks for the inventory.
    pub sequence: u64,
    /// As in [`HostSummary::epoch`].
    pub epoch: Epoch,
}

/// A host that has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostGone {
    /// Which one.
    pub host: HostId,
    /// Its run that ended.
    pub boot: String,
}

/// The envelope as it is read. Serde's own way of reading a flattened enum buffers the data in a form that loses
/// maps with numbers as keys, so the data is read in a second step.
#[derive(Deserialize)]
struct Envelope {
    specversion: String,
    id: String,
    source: String,
    subject: String,
    time: Timestamp,
    datacontenttype: String,
    #[serde(rename = "type")]
    kind: String,
    data: serde_json::Value,
}

impl TryFrom<Envelope> for CloudEvent {
    type Error = serde_json::Error;

    fn try_from(raw: Envelope) -> Result<Self, serde_json::Error> {
        let event = match raw.kind.as_str() {
            "dev.lath.host.heartbeat.v1" => EventData::Heartbeat(serde_json::from_value(raw.data)?),
            "dev.lath.host.inventory.v1" => EventData::Inventory(serde_json::from_value(raw.data)?),
            "dev.lath.host.calls.v1" => EventData::Calls(serde_json::from_value(raw.data)?),
            "dev.lath.host.stopped.v1" => EventData::HostStopped(serde_json::from_value(raw.data)?),
            "dev.lath.app.status.v1" => EventData::App(serde_json::from_value(raw.data)?),
            unknown => return Err(serde::de::Error::custom(format!("unknown event type `{unknown}`"))),
        };
        let Envelope { specversion, id, source, subject, time, datacontenttype, .. } = raw;
        Ok(Self { specversion, id, source, subject, time, datacontenttype, event })
    }
}
