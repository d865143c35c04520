//! Trace context as W3C headers write it (<https://www.w3.org/TR/trace-context/>).

use std::str::FromStr as _;

use data_encoding::HEXLOWER;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Longest `tracestate` that is carried, in bytes: what the standard asks everyone to carry.
const MAX_STATE: usize = 512;
/// Longest `traceparent` of a version to come, in bytes.
const MAX_PARENT: usize = 256;
/// Length of a `traceparent` of version 00.
const PARENT: usize = 55;

/// The trace that a call belongs to, and the span in it that called. Always valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    traceparent: String,
    tracestate: Option<String>,
}

impl TraceContext {
    /// What the headers `traceparent` and `tracestate` say; none when the first is not valid. A second one that is too
    /// long or not printable is left out.
    #[must_use]
    pub fn of_headers(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Self> {
        let traceparent = traceparent.filter(|text| is_valid(text))?.to_owned();
        let fits =
            |state: &&str| state.len() <= MAX_STATE && state.bytes().all(|b| (b' '..=b'~').contains(&b));
        Some(Self { traceparent, tracestate: tracestate.filter(fits).map(str::to_owned) })
    }

    /// The first span of a trace that nobody here records. `trace` and `span` are any numbers.
    #[must_use]
    pub fn begun(trace: u128, span: u64) -> Self {
        // An id of zeros means "none"; one set bit keeps clear of it.
        Self { traceparent: parent(trace | 1, span | 1, 1), tracestate: None }
    }

    /// Value of the header `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// Value of the header `tracestate`.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// The trace: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// Whether whoever called records the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        // The last of the eight flags.
        self.traceparent.as_bytes().get(PARENT - 1).is_some_and(|digit| b"13579bdf".contains(digit))
    }

    /// The context of those that a span calls.
    pub(crate) fn of_span(span: &SpanContext, within: Option<&Self>) -> Self {
        let trace = u128::from_be_bytes(span.trace_id().to_bytes());
        let id = u64::from_be_bytes(span.span_id().to_bytes());
        Self {
            traceparent: parent(trace, id, span.trace_flags().to_u8()),
            tracestate: within.and_then(|context| context.tracestate.clone()),
        }
    }

    /// The span that called, as one of another process.
    pub(crate) fn to_span(&self) -> Option<SpanContext> {
        let trace = TraceId::from_hex(self.trace_id()).ok()?;
        let span = SpanId::from_hex(self.traceparent.get(36..52)?).ok()?;
        let flags = if self.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let state = self.tracestate().and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
        Some(SpanContext::new(trace, span, flags, true, state))
    }
}

/// A `traceparent` of version 00. Every request gets one: the formatter of the standard library would take a few percent of a
/// short one.
fn parent(trace: u128, span: u64, flags: u8) -> String {
    let (mut of_trace, mut of_span, mut of_flags) = ([0; 32], [0; 16], [0; 2]);
    let fields = [
        "00",
        HEXLOWER.encode_mut_str(&trace.to_be_bytes(), &mut of_trace),
        HEXLOWER.encode_mut_str(&span.to_be_bytes(), &mut of_span),
        HEXLOWER.encode_mut_str(&[flags], &mut of_flags),
    ];
    fields.join("-")
}

/// Version 00, or a later one that begins in the same way.
fn is_valid(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |len: usize| {
        parts.next().is_some_and(|part| {
            part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
    };
    let shaped = hex(2) && hex(32) && hex(16) && hex(2);
    let empty =
        |range: std::ops::Range<usize>| text.get(range).is_none_or(|id| id.bytes().all(|b| b == b'0'));
    let version_0 = !text.starts_with("00-") || text.len() == PARENT;
    shaped
        && version_0
        && text.len() <= MAX_PARENT
        && !text.starts_with("ff")
        && !empty(3..35)
        && !empty(36..52)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn valid_headers_are_taken_as_they_are_and_others_are_not() {
        let context = TraceContext::of_headers(Some(VALID), Some("a=b")).unwrap();
        assert_eq!((context.traceparent(), context.tracestate()), (VALID, Some("a=b")));
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.is_sampled());
        let longer = format!("01{}-more", VALID.strip_prefix("00").unwrap());
        assert!(TraceContext::of_headers(Some(&longer), None).is_some());
        let state = "x".repeat(MAX_STATE + 1);
        assert_eq!(TraceContext::of_headers(Some(VALID), Some(&state)).unwrap().tracestate(), None);
        let no_trace = format!("00-{:032}-00f067aa0ba902b7-01", 0);
        let no_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{:016}-01", 0);
        let (long, reserved) = (format!("{VALID}-more"), VALID.replacen("00", "ff", 1));
        let upper = VALID.to_ascii_uppercase();
        for wrong in ["", "00", "00-0-0-0", "é", &no_trace, &no_span, &long, &reserved, &upper] {
            assert_eq!(TraceContext::of_headers(Some(wrong), None), None, "{wrong}");
        }
    }

    #[test]
    fn a_context_that_begins_here_is_valid_whatever_the_numbers_are() {
        for (trace, span) in [(0, 0), (u128::MAX, u64::MAX), (1 << 127, 1 << 63)] {
            let begun = TraceContext::begun(trace, span);
            assert_eq!(TraceContext::of_headers(Some(begun.traceparent()), None), Some(begun));
        }
    }

    #[test]
    fn flags_are_read_by_their_last_bit() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("03", true), ("fe", false)] {
            let text = format!("{}{flags}", VALID.strip_suffix("01").unwrap());
            let context = TraceContext::of_headers(Some(&text), None).unwrap();
            assert_eq!(context.is_sampled(), sampled, "{flags}");
            assert_eq!(context.to_span().unwrap().is_sampled(), sampled, "{flags}");
        }
    }
}
