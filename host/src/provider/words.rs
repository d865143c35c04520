//! What a provider writes to its standard streams: into the host's log, line by line, and its last words for messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use wasmtime_wasi::cli::StdoutStream as _;

use crate::capability::output::{GuestLog, GuestStream, Source};

/// Bytes that are kept of what was written last.
const KEPT: usize = 1_024;
/// Most lines of them that a message has.
const LINES: usize = 4;
/// Bytes that are read at once.
const PIECE: usize = 8 << 10;

/// The end of what a process wrote, on both of its streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastWords(Arc<Mutex<VecDeque<u8>>>);

impl LastWords {
    /// Forgets what was said before, at a new start.
    pub(crate) fn clear(&self) {
        self.held().clear();
    }

    fn push(&self, bytes: &[u8]) {
        let mut held = self.held();
        let new = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or(bytes);
        let over = (held.len() + new.len()).saturating_sub(KEPT);
        let known = held.len();
        held.drain(..over.min(known));
        held.extend(new);
    }

    /// The last whole lines, on one; nothing when there are none.
    pub(crate) fn text(&self) -> Option<String> {
        let held: Vec<u8> = self.held().iter().copied().collect();
        let text = String::from_utf8_lossy(&held);
        let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if held.len() >= KEPT && lines.len() > 1 {
            // Its beginning is missing.
            lines.remove(0);
        }
        let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
        (!last.is_empty()).then(|| last.join(" | "))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, VecDeque<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies a stream of a process into the log until it ends.
pub(crate) async fn copy(
    mut from: impl AsyncRead + Unpin,
    log: Arc<GuestLog>,
    source: Source,
    words: LastWords,
) {
    let stream = GuestStream::new(log, source);
    let mut to = Box::into_pin(stream.async_stream());
    let mut piece = vec![0; PIECE];
    // An error is an end, too: nothing more comes.
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let read = piece.get(..read).unwrap_or_default();
        words.push(read);
        // The log takes everything; what is too much it drops itself.
        let _taken = to.write_all(read).await;
    }
    stream.end_line();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_few_and_whole() {
        let words = LastWords::default();
        assert_eq!(words.text(), None);
        words.push(b"one\ntwo\n\nthree\nfour\nfive\n");
        assert_eq!(words.text().as_deref(), Some("two | three | four | five"));
        words.push(&[b'x'; 3 * KEPT]);
        assert_eq!(words.text().unwrap().len(), KEPT);
        words.push(b"\nthe end");
        assert_eq!(words.text().as_deref(), Some("the end"));
        words.clear();
        assert_eq!(words.text(), None);
    }
}
