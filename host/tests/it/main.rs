//! Whole hosts against a real nats-server, with real components, called over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod admin;
mod apply;
mod control;
mod control_v1;
mod counts;
mod drain;
mod health;
mod http;
mod lattice;
mod load;
mod nats;
#[path = "../../../tests/src/ports.rs"]
#[expect(unreachable_pub, reason = "it is part of a library")]
mod ports;
mod remote;
mod restart;
mod spec;
