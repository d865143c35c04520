//! Code in OCI registries: which bytes a reference stands for, how they come here, and how they get there.
//!
//! Read on in `reference.rs`, `registries.rs`, `fault.rs`. What is kept on a disk, and for how long, is the host's.
//!
//! A registry is never believed: what it sends has the digest that was asked for or is refused, every size, count and
//! wait has a bound, and credentials go to the registry they belong to and over TLS, unless a registry is named as
//! insecure. A tag is looked at once, by whoever makes a revision; afterwards only digests count.

mod component;
mod credentials;
mod docker_config;
mod fault;
mod form;
mod manifest;
mod reference;
mod registries;
mod settings;
mod signature;

pub use component::{Shape, recognise};
pub use credentials::{Credential, Secret};
pub use docker_config::{Kept, LoginError};
pub use fault::{Fault, RegistryError};
pub use form::{FORM_BYTES, Form};
pub use manifest::{Descriptor, Format, ImageManifest, Platform};
pub use reference::{BadReference, Reference, RegistryName};
pub use registries::{Given, Inspected, Login, Pushed, Registries, Resolved};
pub use settings::{Mirror, Patience, RegistryArgs, SettingsError};
pub use signature::{Signature, signature};

/// Largest code that is taken from a registry or put there, in bytes.
pub const MAX_BYTES: u64 = 256 << 20;
