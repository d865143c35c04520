//! The API of the application manager, what it stores, and what its parts tell each other.

mod api;
mod event;
mod internal;
mod stored;

pub use api::{
    DeleteModel, DeleteReply, DeleteResult, DeployModel, DeployReply, DeployResult, Failure, GetModel,
    GetReply, GetResult, ListReply, ModelSummary, PutReply, PutResult, ScalerStatus, Status, StatusInfo,
    StatusKind, StatusReply, StatusResult, VersionInfo, VersionsReply,
};
pub use event::{Event, EventData};
pub use internal::{Command, Notification};
pub use stored::{
    ProviderState, StoredComponent, StoredHost, StoredHostProvider, StoredInstances, StoredModel,
    StoredProvider,
};

/// A manifest as it is put, stored and told: JSON, read by `lath-manifests`.
pub type Manifest = serde_json::Value;
