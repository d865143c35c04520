//! Trace context on its way through the host: read from HTTP and wRPC headers, begun where there is none.
//!
//! A context that is not valid is dropped and the call goes on without it.

use http::{HeaderMap, HeaderValue};

use crate::engine::TraceContext;
use crate::random;

/// Header of the W3C trace context, in HTTP and in wRPC.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// Header of the vendors' part of it.
pub(crate) const TRACESTATE: &str = "tracestate";
/// Longest `tracestate` that is carried, in bytes: what the standard asks everyone to carry.
const MAX_STATE: usize = 512;

/// The context of a request; a new one when it has none. The request carries it afterwards.
pub(crate) fn of_request(headers: &mut HeaderMap) -> TraceContext {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if let Some(context) = checked(text(TRACEPARENT), text(TRACESTATE)) {
        return context;
    }
    let context = begin();
    headers.remove(TRACESTATE);
    if let Ok(value) = HeaderValue::try_from(&context.traceparent) {
        headers.insert(TRACEPARENT, value);
    }
    context
}

/// The context of a call that came over NATS.
pub(crate) fn of_call(headers: &lath_wrpc::HeaderMap) -> Option<TraceContext> {
    let text = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    checked(text(TRACEPARENT), text(TRACESTATE))
}

/// Puts the context on a call that goes over NATS.
pub(crate) fn put(context: Option<&TraceContext>, headers: &mut lath_wrpc::HeaderMap) {
    let Some(context) = context else { return };
    headers.insert(TRACEPARENT, context.traceparent.as_str());
    if let Some(state) = &context.tracestate {
        headers.insert(TRACESTATE, state.as_str());
    }
}

fn checked(traceparent: Option<String>, tracestate: Option<String>) -> Option<TraceContext> {
    let traceparent = traceparent.filter(|text| is_valid(text))?;
    let fits = |state: &String| state.len() <= MAX_STATE && state.bytes().all(|b| (b' '..=b'~').contains(&b));
    Some(TraceContext { traceparent, tracestate: tracestate.filter(fits) })
}

fn begin() -> TraceContext {
    // An id of zeros means "none"; one set bit keeps clear of it.
    let trace = (u128::from(random::number()) << 64) | u128::from(random::number() | 1);
    let traceparent = format!("00-{trace:032x}-{:016x}-01", random::number() | 1);
    TraceContext { traceparent, tracestate: None }
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
    let version_0 = !text.starts_with("00-") || text.len() == 55;
    shaped && version_0 && text.len() <= 256 && !text.starts_with("ff") && !empty(3..35) && !empty(36..52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_contexts_are_carried_and_others_replaced() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(valid));
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        let context = of_request(&mut headers);
        assert_eq!((context.traceparent.as_str(), context.tracestate.as_deref()), (valid, Some("a=b")));
        for wrong in
            ["", "00", "00-0-0-0", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4BF9"]
        {
            headers.insert(TRACEPARENT, HeaderValue::from_static(wrong));
            let context = of_request(&mut headers);
            assert!(is_valid(&context.traceparent), "{wrong}");
            assert_eq!(headers.get(TRACEPARENT).unwrap(), context.traceparent.as_str());
        }
        assert!(!is_valid("00-00000000000000000000000000000000-00f067aa0ba902b7-01"));
    }
}
