//! The invocation layer against a real nats-server: one binary, one server a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod blobstore;
mod calls;
mod codec;
mod greeter;
mod http;
mod nats;
#[path = "../../../tests/src/ports.rs"]
#[expect(unreachable_pub, reason = "it is part of a library")]
mod ports;
mod revisions;
mod serving;
mod wire;

use futures::StreamExt as _;

/// Waits until the server has worked on all that `nats` has sent it, subscriptions above all: it answers a message to
/// oneself only after them. A flush by itself only empties the buffer of the client.
async fn settled(nats: &async_nats::Client) {
    let subject = nats.new_inbox();
    let mut echo = nats.subscribe(subject.clone()).await.unwrap();
    nats.publish(subject, bytes::Bytes::new()).await.unwrap();
    assert!(echo.next().await.is_some(), "the connection was closed");
}
