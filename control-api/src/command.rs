//! Requests from a manager or tool to one host, and what the host answers.
//!
//! Every command states what should be, never a change to it. An answer says "accepted", not "done": what
//! came of it stands in the inventory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bundle::ComponentBundle;
use crate::error::ApiError;
use crate::fence::Fence;
use crate::id::{AppName, HostId};
use crate::inventory::HostSummary;
use crate::time::Timestamp;

/// Every answer on a subject of ours: the value asked for, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply<T> {
    /// What was asked for.
    Result(T),
    /// Why it was refused. Nothing was changed.
    Error(Box<ApiError>),
}

impl<T> Reply<T> {
    /// The answer as Rust's own result.
    ///
    /// # Errors
    /// With the refusal, when it was one.
    pub fn into_result(self) -> Result<T, Box<ApiError>> {
        match self {
            Self::Result(value) => Ok(value),
            Self::Error(error) => Err(error),
        }
    }
}

impl<T> From<Result<T, ApiError>> for Reply<T> {
    fn from(result: Result<T, ApiError>) -> Self {
        match result {
            Ok(value) => Self::Result(value),
            Err(error) => Self::Error(Box::new(error)),
        }
    }
}

/// The whole of an app on one host. What runs there of the app and is not in `bundles` is drained and stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyRequest {
    /// Which decision this is.
    pub fence: Fence,
    /// Which app.
    pub app: AppName,
    /// All its components on this host; none takes the app off the host.
    pub bundles: Vec<ComponentBundle>,
}

/// The host has taken the request on: it is in its journal, and the work shows in its inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyReply {
    /// The fence that the host now holds for the app.
    pub fence: Fence,
    /// Whether the host held it before: nothing was done.
    pub unchanged: bool,
}

/// Asks for one page of a host's inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InventoryRequest {
    /// Apps after this one, in order of their names; from the first when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<AppName>,
}

/// Has a host drained, or not any more: `drain` and `undrain` are two verbs with this one form. The host keeps to it
/// over restarts, until it is told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRequest {}

/// What some labels of a host should be; those that are not named stay. The host keeps to it over restarts: what is
/// set here wins over its command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelRequest {
    /// Key to the value that it should have, or to nothing when the host should not have the label.
    pub labels: BTreeMap<String, Option<String>>,
}

/// What a host is after a change of itself. It is on its disk and in its inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostChangeReply {
    /// Its state and labels among others.
    pub summary: HostSummary,
    /// Whether it was so before: nothing was done.
    pub unchanged: bool,
}

/// Asks who is there. Sent to all hosts of a lattice, or to one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingRequest {}

/// A host's or manager's answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PingReply {
    /// Who answers.
    pub host: HostId,
    /// Its name for people.
    pub name: String,
    /// Version of Lath that it runs.
    pub version: String,
    /// Control APIs that it speaks, such as `lath.v1`.
    pub apis: Vec<String>,
    /// Its clock when it answered.
    pub time: Timestamp,
}
