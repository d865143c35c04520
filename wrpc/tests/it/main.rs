//! The invocation layer against a real nats-server: one binary, one server a test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod calls;
mod codec;
mod greeter;
mod http;
mod nats;
mod revisions;
mod serving;
mod wire;
