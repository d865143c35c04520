//! Spans that are open, and those who record them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use crate::collector::Collector;
use crate::context::TraceContext;
use crate::settings::{Service, TelemetryArgs, TelemetryError};

/// The name of the instrumentation.
const SCOPE: &str = "lath";

/// Records spans, if anybody wants them. A clone records to the same place.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<Recorder>>);

struct Recorder {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl Spans {
    /// Sends what is recorded to the collector that the settings name; records nothing when they name none. To be called in
    /// the runtime that is to send.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn new(args: &TelemetryArgs, service: Service) -> Result<Self, TelemetryError> {
        let Some(target) = args.target(|name| std::env::var(name).ok())? else { return Ok(Self::default()) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new()?)
            .with_endpoint(&target)
            .build()
            .map_err(TelemetryError::exporter)?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(service))
            .build();
        tracing::info!(collector = target, "spans are sent by OTLP");
        Ok(Self::of(provider))
    }

    fn of(provider: SdkTracerProvider) -> Self {
        Self(Some(Arc::new(Recorder { tracer: provider.tracer(SCOPE), provider })))
    }

    /// Whether there is somebody who records.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A call that comes from outside begins here, within the trace that it brings. Whether it is recorded is decided now, for all
    /// that is called because of it. None when nobody records.
    #[must_use]
    pub fn enter(&self, within: Option<&TraceContext>, kind: SpanKind, name: &'static str) -> Option<Open> {
        self.0.as_ref().map(|recorder| recorder.open(within, kind, SpanBuilder::from_name(name)))
    }

    /// A part of a call begins here. None when nobody records, or nobody records this call.
    #[must_use]
    pub fn within(
        &self,
        context: Option<&TraceContext>,
        kind: SpanKind,
        name: impl FnOnce() -> String,
    ) -> Option<Open> {
        let recorder = self.0.as_ref()?;
        let context = context.filter(|context| context.is_sampled())?;
        let open = recorder.open(Some(context), kind, SpanBuilder::from_name(name()));
        open.is_recorded().then_some(open)
    }

    /// Sends what is left, and records nothing from then on. Blocks for `time` at most.
    pub fn end(&self, time: Duration) {
        let Some(recorder) = &self.0 else { return };
        if let Err(error) = recorder.provider.shutdown_with_timeout(time) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("on", &self.is_on()).finish()
    }
}

impl Recorder {
    fn open(&self, within: Option<&TraceContext>, kind: SpanKind, builder: SpanBuilder) -> Open {
        let parent = match within.and_then(TraceContext::to_span) {
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let span = self.tracer.build_with_context(builder.with_kind(kind), &parent);
        let context = TraceContext::of_span(span.span_context(), within);
        Open { span, context }
    }
}

/// A span that has begun. It ends when it is dropped.
pub struct Open {
    span: Span,
    context: TraceContext,
}

impl Open {
    /// What those are told that are called within it.
    #[must_use]
    pub const fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Whether it will be sent. Where it is not, its context counts all the same.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.span.is_recording()
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: impl FnOnce() -> String) {
        if self.is_recorded() {
            self.span.update_name(name());
        }
    }

    /// Adds what is known of it.
    pub fn note<const N: usize>(&mut self, attributes: impl FnOnce() -> [KeyValue; N]) {
        if self.is_recorded() {
            self.span.set_attributes(attributes());
        }
    }

    /// It is what failed: `kind` is the sort of failure, one of few; `said` tells people more.
    pub fn fail(&mut self, kind: &'static str, said: &dyn fmt::Display) {
        if self.is_recorded() {
            self.span.set_attribute(KeyValue::new("error.type", kind));
            self.span.set_status(Status::error(said.to_string()));
        }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("context", &self.context).finish_non_exhaustive()
    }
}

/// What is the same of all spans. The environment's name for the service goes before ours.
fn resource(service: Service) -> Resource {
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
    let builder = Resource::builder().with_attributes([
        KeyValue::new("service.version", service.version),
        KeyValue::new("service.instance.id", service.instance),
        KeyValue::new("lath.lattice", service.lattice),
    ]);
    if named { builder.build() } else { builder.with_service_name(service.name).build() }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler};

    use super::*;

    fn recording(sampler: Sampler) -> (Spans, InMemorySpanExporter) {
        let exporter = InMemorySpanExporter::default();
        let provider =
            SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).with_sampler(sampler);
        (Spans::of(provider.build()), exporter)
    }

    fn parent(flags: &str) -> TraceContext {
        let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        TraceContext::of_headers(Some(&text), Some("a=b")).unwrap()
    }

    #[test]
    fn a_span_is_within_the_trace_that_its_call_brings_and_hands_it_on() {
        let (spans, sent) = recording(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
        let parent = parent("01");
        let mut outer = spans.enter(Some(&parent), SpanKind::Server, "GET").unwrap();
        outer.rename(|| "GET /cart".to_owned());
        let mut inner = spans.within(Some(outer.context()), SpanKind::Internal, || "a.b".to_owned()).unwrap();
        inner.note(|| [KeyValue::new("lath.app", "shop")]);
        inner.fail("trapped", &"it broke");
        assert_eq!(inner.context().trace_id(), parent.trace_id());
        assert_eq!(inner.context().tracestate(), Some("a=b"));
        assert_ne!(inner.context().traceparent(), outer.context().traceparent());
        drop(inner);
        drop(outer);
        let [inner, outer] = <[_; 2]>::try_from(sent.get_finished_spans().unwrap()).unwrap();
        assert_eq!((inner.name.as_ref(), outer.name.as_ref()), ("a.b", "GET /cart"));
        assert_eq!(inner.parent_span_id, outer.span_context.span_id());
        assert_eq!(outer.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(inner.status, Status::error("it broke"));
        let noted: Vec<_> = inner.attributes.iter().map(|noted| noted.key.as_str()).collect();
        assert_eq!(noted, ["lath.app", "error.type"]);
    }

    #[test]
    fn what_is_not_sampled_is_not_recorded_and_keeps_its_trace() {
        let (spans, sent) = recording(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
        for within in [Some(parent("00")), None] {
            let open = spans.enter(within.as_ref(), SpanKind::Server, "GET").unwrap();
            assert!(!open.is_recorded() && !open.context().is_sampled());
            if let Some(within) = &within {
                assert_eq!(open.context().trace_id(), within.trace_id());
            }
            let never = || unreachable!("no name is made for what nobody records");
            assert!(spans.within(Some(open.context()), SpanKind::Internal, never).is_none());
        }
        assert!(sent.get_finished_spans().unwrap().is_empty());
    }

    #[test]
    fn without_a_collector_there_is_nothing() {
        let spans = Spans::default();
        assert!(spans.enter(None, SpanKind::Server, "GET").is_none());
        assert!(spans.within(Some(&parent("01")), SpanKind::Server, || unreachable!()).is_none());
    }
}
