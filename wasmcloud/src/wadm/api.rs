//! Requests and answers on `wadm.api.{lattice}.model.…`. The body of `model.put` is a manifest; all others are here.

use serde::{Deserialize, Serialize};

use super::Manifest;

/// The body of `model.get.{name}`; empty means the newest version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetModel {
    /// Which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The body of `model.del.{name}`; empty means all versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteModel {
    /// Which version.
    #[serde(default)]
    pub version: Option<String>,
}

/// The body of `model.deploy.{name}`; empty means the newest version, and so does `latest`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployModel {
    /// Which version.
    #[serde(default)]
    pub version: Option<String>,
}

/// What every request may be answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Always `error`.
    pub result: GetResult,
    /// Why.
    pub message: String,
}

/// What came of a request for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GetResult {
    /// It went wrong.
    Error,
    /// Here it is.
    Success,
    /// There is no such app or version.
    NotFound,
}

/// What came of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PutResult {
    /// It went wrong.
    Error,
    /// The app is new.
    Created,
    /// The app was there; the version is new.
    NewVersion,
}

/// What came of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteResult {
    /// It is gone.
    Deleted,
    /// It went wrong.
    Error,
    /// It was not there.
    Noop,
}

/// What came of a deploy or undeploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeployResult {
    /// It went wrong.
    Error,
    /// It is taken on; the status tells how it goes on.
    Acknowledged,
    /// There is no such app.
    NotFound,
}

/// What came of the question how an app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusResult {
    /// It went wrong.
    Error,
    /// Here it is.
    Ok,
    /// There is no such app.
    NotFound,
}

/// The answer to `model.get.{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetReply {
    /// What came of it.
    pub result: GetResult,
    /// In words.
    #[serde(default)]
    pub message: String,
    /// The manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
}

/// The answer to `model.get` without a name. `model.list` is answered with the array alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// What came of it.
    pub result: GetResult,
    /// In words.
    #[serde(default)]
    pub message: String,
    /// The apps.
    pub models: Vec<ModelSummary>,
}

/// The answer to `model.put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutReply {
    /// What came of it.
    pub result: PutResult,
    /// Versions that are stored now.
    #[serde(default)]
    pub total_versions: usize,
    /// The version that was put.
    #[serde(default)]
    pub current_version: String,
    /// In words; `wash` looks for `already exists` in it.
    #[serde(default)]
    pub message: String,
    /// The app.
    #[serde(default)]
    pub name: String,
}

/// The answer to `model.versions.{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionsReply {
    /// What came of it.
    pub result: GetResult,
    /// In words.
    #[serde(default)]
    pub message: String,
    /// Versions in the order in which they were put.
    pub versions: Vec<VersionInfo>,
}

/// A version of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its name.
    pub version: String,
    /// Whether it is the one that is deployed.
    pub deployed: bool,
}

/// The answer to `model.del.{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteReply {
    /// What came of it.
    pub result: DeleteResult,
    /// In words.
    #[serde(default)]
    pub message: String,
    /// Whether what ran of it is taken down.
    #[serde(default)]
    pub undeploy: bool,
}

/// The answer to `model.deploy.{name}` and `model.undeploy.{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployReply {
    /// What came of it.
    pub result: DeployResult,
    /// In words.
    #[serde(default)]
    pub message: String,
    /// The app.
    #[serde(default)]
    pub name: String,
    /// The version that is deployed; `null` after an undeploy.
    #[serde(default)]
    pub version: Option<String>,
}

/// The answer to `model.status.{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// What came of it.
    pub result: StatusResult,
    /// In words.
    #[serde(default)]
    pub message: String,
    /// How the app is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// An app in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub version: String,
    /// What it is, in the words of its owner.
    pub description: Option<String>,
    /// The version that is deployed.
    pub deployed_version: Option<String>,
    /// How it is.
    #[serde(default)]
    pub detailed_status: Status,
    /// The same in one word for old readers, for whom `waiting` is `undeployed`.
    pub status: StatusKind,
    /// The same in a sentence, for old readers.
    #[serde(default)]
    pub status_message: Option<String>,
}

/// How an app is. Readers ignore more fields; a kind that they do not know makes the whole unreadable to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// All in all.
    pub status: StatusInfo,
    /// Of each scaler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scalers: Vec<ScalerStatus>,
    /// For old readers, empty.
    #[serde(default)]
    pub version: String,
    /// For old readers, empty.
    #[serde(default)]
    pub components: Vec<serde_json::Value>,
}

/// How something is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusInfo {
    /// In one word.
    #[serde(rename = "type")]
    pub kind: StatusKind,
    /// In a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How something is, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusKind {
    /// For something outside of the app: a host that could run it.
    Waiting,
    /// Nothing is wanted of it.
    #[default]
    Undeployed,
    /// It is being changed.
    #[serde(alias = "compensating")]
    Reconciling,
    /// It is as it is wanted.
    #[serde(alias = "ready")]
    Deployed,
    /// It cannot be as it is wanted.
    Failed,
    /// It is there and not well.
    Unhealthy,
}

/// How one scaler is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalerStatus {
    /// A digest of all that decides what it does.
    pub id: String,
    /// `SpreadScaler`, `DaemonScaler` or `LinkScaler`.
    pub kind: String,
    /// Whom it is for.
    #[serde(default)]
    pub name: String,
    /// How it is.
    pub status: StatusInfo,
}
