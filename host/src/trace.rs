//! Traces on their way through the host: read from HTTP and wRPC headers, begun where there is none, recorded where
//! somebody wants them.
//!
//! A context that is not valid is dropped and the call goes on without it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use lath_telemetry::{KeyValue, Open, SpanKind, Spans, TraceContext};

use crate::engine::{CallContext, CallError, UnitIdentity};
use crate::random;

/// Header of the W3C trace context, in HTTP and in wRPC.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// Header of the vendors' part of it.
pub(crate) const TRACESTATE: &str = "tracestate";

/// The same as HTTP has them.
const PARENT: HeaderName = HeaderName::from_static(TRACEPARENT);
const STATE: HeaderName = HeaderName::from_static(TRACESTATE);

/// Attribute of spans of links: how the call went.
pub(crate) const TRANSPORT: &str = "lath.transport";

/// The trace of a request that has arrived, a new one when it brings none, and the span in which it is answered, if it is
/// recorded. The request carries the context afterwards.
pub(crate) fn enter_request(spans: &Spans, headers: &mut HeaderMap) -> (Arc<TraceContext>, Option<Open>) {
    let brought = of_headers(headers);
    let open = spans.enter(brought.as_ref(), SpanKind::Server, "HTTP");
    let is_new = brought.is_none();
    let context = match (&open, brought) {
        (Some(open), _) => open.context().clone(),
        (None, Some(brought)) => return (Arc::new(brought), None),
        (None, None) => begin(),
    };
    if is_new {
        headers.remove(STATE);
    }
    put_into(headers, &context);
    (Arc::new(context), open.filter(Open::is_recorded))
}

/// The trace of a call that came over NATS, and the span in which it is answered, if it is recorded.
pub(crate) fn enter_call(
    spans: &Spans,
    headers: &lath_wrpc::HeaderMap,
) -> (Option<Arc<TraceContext>>, Option<Open>) {
    let text = |name: &str| headers.get(name).map(|value| value.as_str());
    let brought = TraceContext::of_headers(text(TRACEPARENT), text(TRACESTATE));
    match spans.enter(brought.as_ref(), SpanKind::Server, "wrpc") {
        Some(open) => (Some(Arc::new(open.context().clone())), Some(open).filter(Open::is_recorded)),
        None => (brought.map(Arc::new), None),
    }
}

/// The span of a request that a component sends in a call, within what the request itself says where it is of the same trace: the
/// component may have spans of its own. The request and the call go on within it. None when the call is not recorded.
pub(crate) fn send_request<B>(
    spans: &Spans,
    ctx: &mut CallContext,
    request: &mut Request<B>,
) -> Option<Open> {
    let within = ctx.trace.clone().filter(|trace| spans.is_on() && trace.is_sampled())?;
    let said = of_headers(request.headers()).filter(|said| said.trace_id() == within.trace_id());
    let method = method_of(request.method());
    let mut open =
        spans.within(Some(said.as_ref().unwrap_or(&within)), SpanKind::Client, || method.to_owned())?;
    open.note(|| {
        [
            KeyValue::new("http.request.method", method),
            KeyValue::new("server.address", request.uri().host().unwrap_or_default().to_owned()),
            KeyValue::new("url.path", request.uri().path().to_owned()),
        ]
    });
    put_into(request.headers_mut(), open.context());
    ctx.trace = Some(Arc::new(open.context().clone()));
    Some(open)
}

/// Notes the status of an answer that is given. What its caller did wrong is no failure of it.
pub(crate) fn note_answer(open: &mut Open, status: StatusCode) {
    open.note(|| [KeyValue::new("http.response.status_code", i64::from(status.as_u16()))]);
    if status.is_server_error() {
        open.fail("http", &status);
    }
}

/// Notes the status of the answer to a request that was sent.
pub(crate) fn note_status(open: &mut Open, status: StatusCode) {
    open.note(|| [KeyValue::new("http.response.status_code", i64::from(status.as_u16()))]);
    if status.is_client_error() || status.is_server_error() {
        open.fail("http", &status);
    }
}

/// How spans call a method; others than these can be any word.
pub(crate) fn method_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}

/// What the headers of a message say.
pub(crate) fn of_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let parent = text(PARENT)?;
    TraceContext::of_headers(Some(parent), text(STATE))
}

/// Has a message say it.
pub(crate) fn put_into(headers: &mut HeaderMap, context: &TraceContext) {
    if let Ok(value) = HeaderValue::try_from(context.traceparent()) {
        headers.insert(PARENT, value);
    }
    if let Some(Ok(state)) = context.tracestate().map(HeaderValue::try_from) {
        headers.insert(STATE, state);
    }
}

/// Puts the context on a call that goes over NATS.
pub(crate) fn put(context: Option<&TraceContext>, headers: &mut lath_wrpc::HeaderMap) {
    let Some(context) = context else { return };
    headers.insert(TRACEPARENT, context.traceparent());
    if let Some(state) = context.tracestate() {
        headers.insert(TRACESTATE, state);
    }
}

/// The name of a span for a function: `wasi:keyvalue/store.get`, without a version.
pub(crate) fn name_of(instance: &str, function: &str) -> String {
    format!("{}.{function}", without_version(instance))
}

/// Notes which function a span is a call of.
pub(crate) fn note_function(open: &mut Open, instance: &str, function: &str) {
    open.note(|| {
        [
            KeyValue::new("rpc.system", "wrpc"),
            KeyValue::new("rpc.service", instance.to_owned()),
            KeyValue::new("rpc.method", function.to_owned()),
        ]
    });
}

/// Notes who answers in a span.
pub(crate) fn note_unit(open: &mut Open, unit: &UnitIdentity) {
    open.note(|| {
        [
            KeyValue::new("lath.app", unit.app.to_string()),
            KeyValue::new("lath.component", unit.component.to_string()),
            KeyValue::new("lath.revision", i64::try_from(unit.revision.0).unwrap_or(i64::MAX)),
        ]
    });
}

/// Notes that what a span stands for has failed.
pub(crate) fn note_failure(open: &mut Open, error: &CallError) {
    let kind = match error {
        CallError::Trap(_) => "trapped",
        CallError::DeadlineExceeded => "timed_out",
        CallError::Overloaded(_) => "overloaded",
        CallError::TooLarge(_) => "too_large",
        CallError::Stopped => "stopped",
        CallError::Abandoned => "abandoned",
        CallError::NoSuchFunction(_) => "no_such_function",
        CallError::Target(_) => "target",
        CallError::Failed(_) => "failed",
    };
    open.fail(kind, error);
}

fn without_version(instance: &str) -> &str {
    instance.split_once('@').map_or(instance, |(name, _)| name)
}

fn begin() -> TraceContext {
    let trace = (u128::from(random::number()) << 64) | u128::from(random::number());
    TraceContext::begun(trace, random::number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_a_valid_context_whatever_it_brings() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(valid));
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        let (context, open) = enter_request(&Spans::default(), &mut headers);
        assert_eq!((context.traceparent(), context.tracestate()), (valid, Some("a=b")));
        assert!(open.is_none());
        for wrong in
            ["", "00", "00-0-0-0", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4BF9"]
        {
            headers.insert(TRACEPARENT, HeaderValue::from_static(wrong));
            headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
            let (context, _) = enter_request(&Spans::default(), &mut headers);
            assert_eq!(headers.get(TRACEPARENT).unwrap(), context.traceparent());
            assert!(context.is_sampled(), "whoever records further on decides for itself");
            assert_eq!(headers.get(TRACESTATE), None, "it was that of another trace");
        }
    }

    #[test]
    fn spans_of_functions_have_no_version() {
        assert_eq!(name_of("wasi:keyvalue/store@0.2.0-draft", "get"), "wasi:keyvalue/store.get");
        assert_eq!(name_of("plain", "run"), "plain.run");
    }
}
