//! Spans of what a process does for calls that pass through it, sent to a collector by OTLP.
//!
//! A call has a trace whether anybody records it or not: [`TraceContext`] is what travels with it. [`Spans`] records; a process
//! without a collector has [`Spans::default`], which records nothing and costs a comparison. What is recorded, how it is
//! batched and where it goes is decided by the libraries of OpenTelemetry, from the variables that all its programs read.

mod collector;
mod context;
mod settings;
mod spans;

pub use context::TraceContext;
pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::SpanKind;
pub use settings::{Service, TelemetryArgs, TelemetryError};
pub use spans::{Open, Spans};
