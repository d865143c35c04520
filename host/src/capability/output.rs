//! What components print and log, line by line into the host's own log, marked as theirs.
//!
//! Text of a guest is data: it is bounded in length and rate, its control characters are escaped, and it goes
//! into one field of a log record, so that it can neither forge a line nor flood the log (XW19).

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use lath_control_api::{Limits, Revision};
use lath_telemetry::TraceContext;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::engine::UnitIdentity;

/// What a guest may write at once.
const WRITE_BUDGET: usize = 64 << 10;

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The logging interface.
    Logging,
    /// The host itself, about the component.
    Host,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Logging => "log",
            Self::Host => "host",
        }
    }
}

/// The log of one unit.
#[derive(Debug)]
pub(crate) struct GuestLog {
    app: String,
    component: String,
    revision: Revision,
    /// Longest line in bytes; the rest of a longer one becomes the next line.
    longest: usize,
    rate: Rate,
}

impl GuestLog {
    pub(crate) fn new(identity: &UnitIdentity, limits: &Limits) -> Self {
        Self {
            app: identity.app.to_string(),
            component: identity.component.to_string(),
            revision: identity.revision,
            longest: usize::try_from(limits.log_line_bytes).unwrap_or(usize::MAX).max(1),
            rate: Rate::new(limits.log_bytes_per_second),
        }
    }

    /// A line of the logging interface, in a call of this trace.
    pub(crate) fn logged(&self, level: Level, trace: Option<&TraceContext>, context: &str, message: &str) {
        let line = if context.is_empty() { message.to_owned() } else { format!("{context}: {message}") };
        self.write(level, Source::Logging, trace, line.as_bytes());
    }

    /// Something was denied to the component.
    pub(crate) fn denied(&self, message: &str) {
        self.write(Level::WARN, Source::Host, None, message.as_bytes());
    }

    /// The component failed; `text` may have several lines.
    pub(crate) fn failed(&self, text: &str) {
        self.write(Level::WARN, Source::Host, None, text.as_bytes());
    }

    /// The component failed in a call of this trace; `text` may have several lines.
    pub(crate) fn failed_in(&self, trace: Option<&TraceContext>, text: &str) {
        self.write(Level::WARN, Source::Host, trace, text.as_bytes());
    }

    fn write(&self, level: Level, source: Source, trace: Option<&TraceContext>, line: &[u8]) {
        let (kept, dropped) = self.rate.take(line.len() as u64);
        if dropped > 0 {
            self.emit(
                Level::WARN,
                Source::Host,
                None,
                &format!("{dropped} bytes of output dropped: more than {} bytes in a second", self.rate.most),
            );
        }
        if kept {
            let line = line.get(..line.len().min(self.longest)).unwrap_or(line);
            self.emit(level, source, trace, &printable(line));
        }
    }

    fn emit(&self, level: Level, source: Source, trace: Option<&TraceContext>, line: &str) {
        let (app, component, stream) = (self.app.as_str(), self.component.as_str(), source.as_str());
        let (revision, trace_id) = (self.revision.0, trace.map(TraceContext::trace_id));
        macro_rules! emit {
            ($level:expr) => {
                tracing::event!(target: "guest", $level, app, component, revision, stream, trace_id, "{line}")
            };
        }
        // A level of the log is a constant of the call site.
        match level {
            Level::TRACE => emit!(Level::TRACE),
            Level::DEBUG => emit!(Level::DEBUG),
            Level::INFO => emit!(Level::INFO),
            Level::WARN => emit!(Level::WARN),
            Level::ERROR => emit!(Level::ERROR),
        }
    }
}

/// The line as text with control characters and bytes that are not UTF-8 escaped.
fn printable(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() && c != '\t' { out.extend(c.escape_default()) } else { out.push(c) }
        }
        out.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    out
}

/// Counts bytes in whole seconds. Two calls may both pass in the moment when a second turns; that is no matter.
#[derive(Debug)]
struct Rate {
    /// Most bytes in a second.
    most: u64,
    begun: Instant,
    second: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
}

impl Rate {
    fn new(most: u64) -> Self {
        Self {
            most,
            begun: Instant::now(),
            second: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Whether `bytes` more may pass now, and how many were dropped before, to be told once.
    fn take(&self, bytes: u64) -> (bool, u64) {
        let now = self.begun.elapsed().as_secs();
        let mut dropped = 0;
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.bytes.store(0, Ordering::Relaxed);
            dropped = self.dropped.swap(0, Ordering::Relaxed);
        }
        // The first line of a second always passes, so that a long one is cut and not lost.
        if self.bytes.fetch_add(bytes.max(1), Ordering::Relaxed) < self.most {
            (true, dropped)
        } else {
            self.dropped.fetch_add(bytes, Ordering::Relaxed);
            (false, dropped)
        }
    }
}

/// Standard output or error of one call. All streams that the guest opens write to the same line.
#[derive(Clone)]
pub(crate) struct GuestStream {
    line: Arc<Mutex<Line>>,
}

impl GuestStream {
    pub(crate) fn new(log: Arc<GuestLog>, source: Source) -> Self {
        Self { line: Arc::new(Mutex::new(Line { log, source, trace: None, text: Vec::new() })) }
    }

    /// A call of this trace begins.
    pub(crate) fn begin(&self, trace: Option<&Arc<TraceContext>>) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).trace = trace.cloned();
    }

    /// Ends the line that is being written, if there is one.
    pub(crate) fn end_line(&self) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).end();
    }

    fn open(&self) -> Writer {
        Writer { line: Arc::clone(&self.line) }
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.open())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.open())
    }
}

/// The line that is being written. The last one needs no line feed: it ends with the call.
struct Line {
    log: Arc<GuestLog>,
    source: Source,
    /// The trace of the call that writes.
    trace: Option<Arc<TraceContext>>,
    text: Vec<u8>,
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let longest = self.log.longest;
            for piece in text.chunks(longest) {
                if self.text.len() + piece.len() > longest {
                    self.end();
                }
                self.text.extend_from_slice(piece);
            }
            if ended {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        let text = self.text.strip_suffix(b"\r").unwrap_or(&self.text);
        if !text.is_empty() {
            self.log.write(Level::INFO, self.source, self.trace.as_deref(), text);
        }
        self.text.clear();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end();
    }
}

/// One stream that the guest has opened. The lock is the call's own: nobody else waits for it.
struct Writer {
    line: Arc<Mutex<Line>>,
}

impl Writer {
    fn push(&self, bytes: &[u8]) {
        // A poisoned line is text that was cut by a panic of ours; what follows is still worth writing.
        self.line.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BUDGET)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xw19_what_a_guest_prints_cannot_forge_a_line() {
        assert_eq!(printable(b"a\x1b[2Jb\r\tc\xff"), "a\\u{1b}[2Jb\\r\tc\\xff");
    }

    #[test]
    fn xw19_a_flood_is_dropped_and_told_once() {
        let rate = Rate::new(1_000);
        assert_eq!(rate.take(4_000), (true, 0));
        assert_eq!(rate.take(10), (false, 0));
        assert_eq!(rate.take(5), (false, 0));
        rate.second.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(rate.take(1), (true, 15));
        assert_eq!(rate.take(1), (true, 0));
    }

    #[test]
    fn i3_lines_pass_until_the_bytes_of_the_second_are_used_up() {
        for (used, passes) in [(998, true), (999, true), (1_000, false)] {
            let rate = Rate::new(1_000);
            assert!(rate.take(used).0);
            assert_eq!(rate.take(1).0, passes, "after {used} bytes");
        }
    }
}
