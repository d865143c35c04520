//! A collector of spans that speaks OTLP over HTTP, as hosts send them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span as Sent, status};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Spans = Arc<Mutex<Vec<Span>>>;

/// A collector. It ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Spans,
    serving: JoinHandle<()>,
}

/// A span that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What it is called.
    pub name: String,
    /// Its trace, in hexadecimal digits, as the other ids.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The id of the span that it is within; empty when there is none.
    pub parent: String,
    /// `SPAN_KIND_SERVER` and so on.
    pub kind: &'static str,
    /// Whether it says that it failed, and how.
    pub failure: Option<String>,
    /// What is known of it, and of who sent it.
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, spans) = (listener.local_addr().expect("it is bound"), Spans::default());
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
        let serving = tokio::spawn(async move {
            let _ended = axum::serve(listener, router).await;
        });
        Self { address, spans, serving }
    }

    /// Where hosts send to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that have come so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those of one trace.
    #[must_use]
    pub fn trace(&self, trace: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace == trace).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(spans): State<Spans>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let came = request.resource_spans.iter().flat_map(spans_of);
    spans.lock().unwrap_or_else(PoisonError::into_inner).extend(came);
    StatusCode::OK
}

fn spans_of(sent: &ResourceSpans) -> impl Iterator<Item = Span> {
    let resource = sent.resource.iter().flat_map(|resource| &resource.attributes);
    let resource: BTreeMap<_, _> = resource.map(said).collect();
    sent.scope_spans.iter().flat_map(|scope| &scope.spans).map(move |span| {
        let mut attributes = resource.clone();
        attributes.extend(span.attributes.iter().map(said));
        Span {
            name: span.name.clone(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            kind: span.kind().as_str_name(),
            failure: failure(span),
            attributes,
        }
    })
}

fn failure(span: &Sent) -> Option<String> {
    let status = span.status.as_ref()?;
    (status.code() == status::StatusCode::Error).then(|| status.message.clone())
}

fn said(KeyValue { key, value, .. }: &KeyValue) -> (String, String) {
    let value = match value {
        Some(AnyValue { value: Some(any_value::Value::StringValue(text)) }) => text.clone(),
        Some(AnyValue { value: Some(any_value::Value::IntValue(number)) }) => number.to_string(),
        other => format!("{other:?}"),
    };
    (key.clone(), value)
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
