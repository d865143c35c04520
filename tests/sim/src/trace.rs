//! What happened in a run: a hash over all of it, and its last lines for people.

use std::collections::VecDeque;

/// Lines that are kept for a report.
const KEPT: usize = 200;

/// The trace of a run. The same seed gives the same hash, or the run is not deterministic.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    hash: u64,
    lines: VecDeque<String>,
    all: bool,
}

impl Trace {
    /// An empty trace, which keeps every line if `all` is set.
    pub(crate) const fn new(all: bool) -> Self {
        // Offset basis of FNV-1a, as below its prime.
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: VecDeque::new(), all }
    }

    pub(crate) fn line(&mut self, line: String) {
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if !self.all && self.lines.len() >= KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
