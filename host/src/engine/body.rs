//! Bodies of HTTP messages on their way into and out of components.
//!
//! A body is never collected here: frames pass one by one, and whoever reads slowly holds up only the writer.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

use crate::engine::CallError;

/// A body that passes through the host.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The call that writes it has failed.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The connection that it comes from has failed.
    #[error("{0}")]
    Connection(String),
}

impl From<BodyError> for wasmtime_wasi_http::Error {
    fn from(error: BodyError) -> Self {
        Self::InternalError(Some(error.to_string()))
    }
}

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is there already.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Reads a body to its end and keeps its first `most` bytes.
///
/// # Errors
/// When it breaks off.
pub async fn beginning(mut body: Body, most: usize) -> Result<Vec<u8>, BodyError> {
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let room = most.saturating_sub(kept.len());
            kept.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        }
    }
    Ok(kept)
}
