//! This crate against Debian's docker-registry, and against one that misbehaves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what goes wrong here is a failed test, and a panic is how a test fails"
)]

mod faults;
mod logins;
#[path = "../../../tests/src/ports.rs"]
#[expect(unreachable_pub, reason = "it is public to the system tests")]
mod ports;
#[path = "../../../tests/src/registry.rs"]
#[expect(unreachable_pub, reason = "it is public to the system tests")]
mod registry;
#[path = "../../../tests/src/registry_proxy.rs"]
#[expect(unreachable_pub, reason = "it is public to the system tests")]
mod registry_proxy;
mod transfer;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use lath_artifacts::{Patience, Reference, Registries, RegistryArgs, RegistryError};
use lath_control_api::Digest;

/// A test that waits for a registry does not wait long.
pub(crate) const QUICK: Patience = Patience {
    connect: Duration::from_secs(2),
    idle: Duration::from_millis(500),
    total: Duration::from_secs(20),
    helper: Duration::from_secs(2),
    pause: Duration::from_millis(10),
    longest_pause: Duration::from_secs(2),
    tries: 3,
};

/// Registries of which these are named as insecure, for a user without logins.
pub(crate) fn registries(insecure: &[&str]) -> Registries {
    with(insecure, RegistryArgs::default())
}

/// The same with more arguments. Nothing of the developer's own configuration is read.
pub(crate) fn with(insecure: &[&str], args: RegistryArgs) -> Registries {
    let insecure = insecure.iter().map(|name| name.parse().unwrap()).collect();
    let auth = args.auth.clone().or_else(|| Some(PathBuf::from("/nowhere/config.json")));
    Registries::new(&RegistryArgs { insecure, auth, ..args }, QUICK).unwrap()
}

pub(crate) fn reference(registry: &str, rest: &str) -> Reference {
    format!("{registry}/{rest}").parse().unwrap()
}

/// A component that no other test has.
pub(crate) fn component(name: &str) -> Bytes {
    wat::parse_str(format!(r#"(component (import "{name}" (func)))"#)).unwrap().into()
}

/// What fetching gives, as a host does it.
pub(crate) async fn fetched(
    registries: &Registries,
    reference: &Reference,
    digest: &Digest,
) -> Result<Vec<u8>, RegistryError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("code");
    let mut file = tokio::fs::File::create(&path).await.unwrap();
    let size = registries.fetch(reference, digest, &mut file).await?;
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, size);
    Ok(bytes)
}
