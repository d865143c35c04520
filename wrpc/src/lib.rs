//! Invocations between components over NATS, in the wire format `wrpc.0.0.1`, and the encoding of their values.
//!
//! One invocation is: the caller publishes the parameters on the subject of the function ([`Target`]) with its
//! inbox as the reply; one member of the callee's queue group takes the message, accepts it on that inbox with
//! an inbox of its own, and answers on `{inbox}.results`. Whatever does not fit in one message, and every
//! stream, follows on channels below the two inboxes. A channel is a byte stream; an empty message ends it.
//! The format is frozen; `tests/it/wire.rs` holds it, and `tests/compat` in the root by a published 1.x peer.
//!
//! Lath adds three headers, which unmodified peers ignore: `lath-call` on the invocation, `lath-accept` on the
//! accept, `lath-error` on an end that is a failure. A peer that does not send them sees the frozen format and
//! nothing else; two Lath peers need fewer messages, have flow control and typed failures (`peer.rs`).
//!
//! Nothing here decides where a call goes or whether it may be made: that is the host's. Rules kept by all
//! modules: no lock is held across an `await`, every queue has a bound, a slow reader harms only its own call.
//!
//! Read in this order: `subject`, `peer`, `inbox`, `channel`, `client`, `invoke`, `serve`, `codec`, `http`,
//! `blobstore`, `look`.
#![warn(missing_docs)]

mod channel;
mod chunks;
mod client;
mod failure;
mod inbox;
mod invoke;
mod peer;
mod subject;

pub mod blobstore;
pub mod codec;
pub mod http;
pub mod look;
pub mod serve;

pub use async_nats::HeaderMap;
pub use channel::{StreamError, StreamReader, StreamWriter};
pub use client::{Client, ConnectError, Limits, NoRoundTrip};
pub use failure::{Failure, FailureCode};
pub use invoke::{Invocation, InvokeError, Outcome, Params, Progress};
pub use serve::{
    Call, Export, Handler, Responding, ServeAsk, ServeError, ServeOptions, Service, Serving, serve, serve_all,
};
pub use subject::{AppRevision, Instance, Seen, SubjectError, Target, queue_group, wire_function};

/// Header with the id of the caller. Providers choose the resources of a link by it.
pub const SOURCE_ID: &str = "source-id";
/// Header with the name of the link that the call goes along; missing means `default`.
pub const LINK_NAME: &str = "link-name";
/// Header with the id of the callee, which providers of the 1.x world set on their calls.
pub const TARGET_ID: &str = "target-id";
