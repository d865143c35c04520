//! The lattice over NATS: requests, events, typed buckets and the store of components.
//!
//! Nothing is decided here: this crate carries what managers, hosts and tools say, and tells truthfully whether it
//! arrived. Rules it keeps: every wait has a deadline; a write whose answer was lost is looked up, never assumed;
//! a list is complete or an error; nothing larger than the server takes is sent.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod apps;
mod buckets;
mod components;
mod connection;
mod events;
mod hosts;
mod request;

pub use async_nats;
pub use buckets::{
    BucketOptions, BucketWatch, Change, KvRevision, Listing, Malformed, ReadError, Stored, TypedBucket,
    WriteError, WriteId,
};
pub use components::{ComponentStore, Put, StoreError};
pub use connection::{
    Attempt, ConnectError, ConnectOptions, Connection, DOMAIN_VARIABLE, DomainError, JetStreamDomain, Link,
    Patience, connect,
};
pub use events::{Alive, Events, Heard, envelope};
pub use request::{ControlClient, RequestError};
