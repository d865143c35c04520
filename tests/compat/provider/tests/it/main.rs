//! Hosts that run a provider on the published SDK of 1.x, unmodified, and ask a published backend for secrets.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod app;
mod claims;
mod courier;
mod lattice;
mod messages;
mod objects;
#[path = "../../../../src/ports.rs"]
#[expect(unreachable_pub, reason = "it is part of a library")]
mod ports;
mod provider;
mod requests;
mod secrets;
