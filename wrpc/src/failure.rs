//! Why a callee did not answer, as it crosses the wire between Lath peers.
//!
//! The wire format has no frame for errors: a callee that fails ends the channel of the results early. A Lath
//! callee puts the header [`HEADER`] on that last, empty message. Peers of the 1.x world look at the payload
//! only and see a plain end. No internal text belongs in a failure: what is here is shown to the caller.

use std::fmt;

use async_nats::HeaderMap;

/// `<code> <text>` on an end that is a failure, or on a refusal.
pub(crate) const HEADER: &str = "lath-error";

/// Longest text that is sent, in bytes; longer ones are cut.
const MAX_TEXT: usize = 512;

/// What kind of failure it is. The spelling of each is part of the wire and stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// The component trapped or ran out of a limit.
    Trapped,
    /// The call's time was over before it was done.
    Timeout,
    /// The callee has no room for more calls. The call did not start.
    Overloaded,
    /// The callee is stopping or has stopped. The call did not start.
    Stopping,
    /// A policy or a missing grant forbids the call.
    Denied,
    /// The parameters could not be read as what the function takes.
    BadParams,
    /// Parameters or results are larger than the limit of the callee.
    TooLarge,
    /// The callee ended the call halfway, for instance because its drain was over.
    Aborted,
    /// Anything else, and every code that this version does not know.
    Internal,
}

impl FailureCode {
    const ALL: [Self; 9] = [
        Self::Trapped,
        Self::Timeout,
        Self::Overloaded,
        Self::Stopping,
        Self::Denied,
        Self::BadParams,
        Self::TooLarge,
        Self::Aborted,
        Self::Internal,
    ];

    /// The spelling on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trapped => "trapped",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Stopping => "stopping",
            Self::Denied => "denied",
            Self::BadParams => "bad-params",
            Self::TooLarge => "too-large",
            Self::Aborted => "aborted",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure of a callee: a code to act on and a short text for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Failure {
    /// What kind of failure it is.
    pub code: FailureCode,
    /// What happened, in one line without control characters, at most 512 bytes.
    pub text: String,
}

impl Failure {
    /// A failure with a text that is made fit for a header: one line, cut to its bound.
    pub fn new(code: FailureCode, text: impl AsRef<str>) -> Self {
        let mut line = String::new();
        for c in text.as_ref().trim().chars() {
            let c = if c.is_control() { ' ' } else { c };
            if line.len() + c.len_utf8() > MAX_TEXT {
                break;
            }
            line.push(c);
        }
        Self { code, text: line }
    }

    /// The headers of the message that ends a call with this failure. An unmodified caller sees an end without a reason.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, format!("{} {}", self.code, self.text));
        headers
    }

    pub(crate) fn from_headers(headers: Option<&HeaderMap>) -> Option<Self> {
        let value = headers?.get_last(HEADER)?.as_str();
        let (code, text) = value.split_once(' ').unwrap_or((value, ""));
        let known = FailureCode::ALL.into_iter().find(|known| known.as_str() == code);
        Some(Self::new(known.unwrap_or(FailureCode::Internal), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_header() {
        for code in FailureCode::ALL {
            let failure = Failure::new(code, "out of\r\nmemory \u{7}at 64 MiB");
            assert!(!failure.text.chars().any(char::is_control));
            assert_eq!(Failure::from_headers(Some(&failure.headers())), Some(failure));
        }
    }

    #[test]
    fn long_and_foreign_failures_are_tamed() {
        let long = Failure::new(FailureCode::Trapped, "é".repeat(1000));
        assert_eq!(long.text.len(), 512);
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, "novel");
        let read = Failure::from_headers(Some(&headers)).unwrap();
        assert_eq!((read.code, read.text.as_str()), (FailureCode::Internal, ""));
        assert_eq!(Failure::from_headers(Some(&HeaderMap::new())), None);
    }
}
