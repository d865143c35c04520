//! What wasmCloud 1.x and wadm say on the wire, as plain data: control requests, events, buckets, what hosts and
//! providers tell each other, and the API of the application manager.
//!
//! Read in the order of the modules. Nothing here talks to a network or decides anything. The forms are those of
//! wasmCloud 1.9.2, wadm 0.21.1 and wash 0.43.0; a recorded conversation of the three is the proof
//! (`tests/it/recording.rs`): every line of it decodes with these types and encodes to the same JSON.
//!
//! Two rules come from there. What is optional is left out or is `null`, as each field says: readers tell them apart.
//! And unknown fields are ignored, as 1.x does, so that newer peers are understood.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod claims;
mod component;
mod config;
mod event;
mod host;
mod label;
mod link;
mod provider;
mod registry;
mod reply;
mod stored;

pub mod subject;
pub mod wadm;

pub use claims::{ClaimsEntry, StoredClaims, Tags};
pub use component::{
    AuctionAck, AuctionComponent, ComponentDescription, ComponentLimits, ScaleComponent, UpdateComponent,
};
pub use config::NamedConfig;
pub use event::{CloudEvent, Event, EventClaims, EventData, LinkFailed, ProviderAt, uuid};
pub use host::{HostDescription, HostInventory, StopHost, uptime};
pub use label::{DeleteLabel, PutLabel};
pub use link::{DEFAULT_LINK, DeleteLink, Link, ProviderLink, STANDING_HEADER};
pub use provider::{
    AuctionProvider, HealthReply, HostData, LinkVerdict, OtelConfig, ProviderAuctionAck, ProviderDescription,
    SecretValue, ShutDownProvider, StartProvider, StopProvider,
};
pub use registry::{RegistryCredentials, RegistryKind};
pub use reply::Reply;
pub use stored::ComponentSpec;

/// Names and texts: annotations, labels, constraints, the values of a config.
pub type Texts = std::collections::BTreeMap<String, String>;
