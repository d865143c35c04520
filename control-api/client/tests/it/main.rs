//! The client against a real nats-server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod buckets;
mod components;
#[allow(
    dead_code,
    reason = "the module is shared with the manager's tests, and no test here needs all of it"
)]
mod nats;
#[path = "../../../../tests/src/ports.rs"]
#[expect(unreachable_pub, reason = "it is part of a library")]
mod ports;
mod requests;

use lath_control_api_client::{ConnectOptions, Connection, ControlClient, connect};
use nats::Nats;

/// A server and a connection to it.
async fn connected() -> (Nats, Connection) {
    let nats = Nats::start().await;
    let connection = connect(ConnectOptions::new(&nats.url(), "test")).await.expect("connected");
    (nats, connection)
}

fn client(connection: &Connection) -> ControlClient {
    ControlClient::new(connection.clone(), "test".parse().expect("a lattice"))
}
