//! HTTP over invocations: `wrpc:http/incoming-handler@0.1.0` and `outgoing-handler`, streaming both ways.
//!
//! Parameter and result hold a head of plain values and two asynchronous parts: the body at index path `0.0`,
//! a stream of byte chunks, and the trailers at `0.1`. The body's chunks flow while the other direction is
//! still open. Routing, header hygiene and the mapping to `wasi:http` are the host's. The rule: a body that was
//! cut off is an error at its reader, never a short body.

mod body;
mod client;
mod error_code;
mod head;
mod server;

pub use body::IncomingBody;
pub use client::{HttpError, handle, try_handle};
pub use error_code::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertPayload};
pub use head::RequestOptions;
pub(crate) use head::look_request;
pub use server::{Responder, receive};

use lath_control_api::{ComponentId, LatticeId};

use crate::serve::Export;
use crate::subject::{SubjectError, Target};

/// The instance under which a component's `wasi:http/incoming-handler` is served.
pub const INCOMING: &str = "wrpc:http/incoming-handler@0.1.0";
/// The instance to which a component's `wasi:http/outgoing-handler` calls go.
pub const OUTGOING: &str = "wrpc:http/outgoing-handler@0.1.0";

/// Index paths of body and trailers, in parameters and results alike.
const STREAMS: &[&str] = &["0.0", "0.1"];

/// The export that serves a component's incoming handler; its calls go to [`receive`].
#[must_use]
pub fn incoming_export() -> Export {
    Export { instance: Some(INCOMING.to_owned()), func: "handle".to_owned(), streams: STREAMS }
}

/// The `handle` function of `id`, under [`INCOMING`] or [`OUTGOING`].
///
/// # Errors
/// When the instance cannot stand in a subject.
pub fn target(lattice: &LatticeId, id: &ComponentId, instance: &str) -> Result<Target, SubjectError> {
    Target::new(lattice, id, Some(instance), "handle")
}
