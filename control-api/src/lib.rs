//! The vocabulary of a lattice: what managers, hosts and tools say to one another, as plain data.
//!
//! Read in the order of the modules. Nothing here talks to a network, reads a clock or decides anything.
//! Rule for changes: a field may be added with a default; a field is never renamed, retyped or given another
//! meaning. `tests/wire.rs` holds a frozen sample of every message and fails on any other change.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod artifact;
mod builtin;
mod bundle;
mod claims;
mod command;
mod error;
mod event;
mod fence;
mod id;
mod inventory;
mod label;
mod limits;
mod link;
mod provider;
mod secret;
mod time;

pub mod annotation;
pub mod app;
pub mod egress;
pub mod plan;
pub mod preopen;
pub mod subject;

pub use artifact::{Digest, Image};
pub use builtin::{Builtin, BuiltinAliases};
pub use bundle::{
    Candidate, ComponentBundle, ComponentSpec, DrainPolicy, Grants, HoldPolicy, HttpRoute, Probe,
    UnverifiedLinks, Weight, Workload,
};
pub use claims::Claims;
pub use command::{
    ApplyReply, ApplyRequest, DrainRequest, HostChangeReply, InventoryRequest, LabelRequest, PingReply,
    PingRequest, Reply,
};
pub use error::{ApiError, ErrorCode};
pub use event::{CloudEvent, EventData, HostAlive, HostCalls, HostGone};
pub use fence::{Fence, Order};
pub use id::{
    AppName, ComponentId, ComponentName, Epoch, Generation, HostId, IdError, LatticeId, Revision, Step,
};
pub use inventory::{
    AppInventory, CallCounts, ComponentInventory, HostInventory, HostState, HostSummary, InventoryPage,
    LinkInventory, LinkState, ListenerInventory, Phase, Reason, Role, UnitInventory,
};
pub use label::{LabelError, Labels, Requirements};
pub use limits::{InstancePolicy, Limits};
pub use link::{LinkName, LinkSpec, Transport, WitInterface};
pub use provider::{
    IncomingLink, LinkAnswer, LinkDeleteRequest, LinkHeld, LinkKey, LinkPutRequest, LinkReply, LinksReply,
    LinksRequest, ProviderTarget, WireId,
};
pub use secret::SecretRef;
pub use subject::{AppVerb, Bucket, HostEventKind, Subjects};
pub use time::Timestamp;
