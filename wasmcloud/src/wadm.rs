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
    StoredProvider, Versions,
};

/// Header of `model.put` that only Lath reads: image reference to digest, as JSON, of what is in the lattice's store.
pub const IMAGES_HEADER: &str = "Lath-Images";
/// Header of a request that changes something, which only Lath reads: the name of whoever asks, for the history.
pub const BY_HEADER: &str = "Lath-By";

/// A manifest as it is put, stored and told: JSON, read by `lath-manifests`.
pub type Manifest = serde_json::Value;
