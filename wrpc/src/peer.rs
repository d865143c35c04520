//! What two Lath peers tell each other beyond the frozen wire format, each in one header.
//!
//! - `lath-call` on the invocation: that the caller is Lath, how many bytes of parameters there are in all (so
//!   that the callee starts without waiting for their end when one message held them), how long the caller
//!   waits, and how many bytes of a stream it buffers.
//! - `lath-accept` on the accept: that the callee is Lath, and how many bytes of a stream it buffers.
//!
//! A Lath caller takes results that fit in one message on `{inbox}.whole`, which is the accept, the results and
//! their end at once: a call of plain values is then two messages, and empty results are told from a failure.
//! With both headers, streams are flow controlled: the reader of a channel reports what it has consumed on
//! `{inbox}.credit.{channel}` and the writer stays within the window. Nothing here may change what an
//! unmodified peer sees: every use of these headers is conditional on having got the peer's.

use std::fmt::Write as _;
use std::time::Duration;

use async_nats::HeaderMap;

pub(crate) const CALL: &str = "lath-call";
pub(crate) const ACCEPT: &str = "lath-accept";
/// The channel on which a Lath caller takes complete results.
pub(crate) const WHOLE: &str = "whole";

/// Longest wait that a caller can state; longer ones are stated as this.
const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;

/// What a Lath caller says of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LathCall {
    /// Bytes of the synchronous parameters, all messages together.
    pub(crate) params: usize,
    /// How long the caller waits for the results from the moment of sending.
    pub(crate) timeout: Duration,
    /// Bytes that the caller buffers of each result stream.
    pub(crate) window: usize,
}

impl LathCall {
    /// The header's value. A fresh allocation for each call, so kept short.
    pub(crate) fn header(&self) -> String {
        let mut value = String::with_capacity(48);
        let timeout = self.timeout.as_millis().min(u128::from(MAX_TIMEOUT_MS));
        // Writing to a string cannot fail.
        let _ = write!(value, "params={} timeout={timeout} window={}", self.params, self.window);
        value
    }

    pub(crate) fn from_headers(headers: Option<&HeaderMap>) -> Option<Self> {
        let value = headers?.get_last(CALL)?.as_str();
        Some(Self {
            params: usize::try_from(field(value, "params")?).ok()?,
            // Bounded, so that adding it to a time cannot overflow.
            timeout: Duration::from_millis(field(value, "timeout")?.min(MAX_TIMEOUT_MS)),
            window: usize::try_from(field(value, "window")?).ok()?,
        })
    }
}

/// What a Lath callee says when it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LathAccept {
    /// Bytes that the callee buffers of each parameter stream.
    pub(crate) window: usize,
}

impl LathAccept {
    pub(crate) fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, format!("window={}", self.window));
        headers
    }

    pub(crate) fn from_headers(headers: Option<&HeaderMap>) -> Option<Self> {
        let value = headers?.get_last(ACCEPT)?.as_str();
        Some(Self { window: usize::try_from(field(value, "window")?).ok()? })
    }
}

/// The number of `key=number` in a list that is separated by spaces. Keys that are not asked for are skipped,
/// so that later versions can add theirs.
fn field(value: &str, key: &str) -> Option<u64> {
    value.split(' ').find_map(|part| part.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_and_foreign_ones_are_ignored() {
        let call = LathCall { params: 12, timeout: Duration::from_millis(1500), window: 1 << 20 };
        let mut headers = HeaderMap::new();
        headers.insert(CALL, format!("novel=1 {}", call.header()));
        assert_eq!(LathCall::from_headers(Some(&headers)), Some(call));
        let accept = LathAccept { window: 7 };
        assert_eq!(LathAccept::from_headers(Some(&accept.headers())), Some(accept));
        for bad in
            ["", "params=", "params=1", "params=-1 timeout=1 window=1", "params=99999999999999999999999"]
        {
            headers.insert(CALL, bad);
            assert_eq!(LathCall::from_headers(Some(&headers)), None, "{bad}");
        }
    }
}
