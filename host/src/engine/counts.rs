//! Counts of calls and how long they took. Atomics only: the call path takes no lock here.
//!
//! Latency falls into buckets that double, so that one addition is all that a call costs and any two hosts'
//! histograms can be added up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lath_control_api::CallCounts;

use crate::engine::Outcome;

/// The first bucket ends at 2^6 = 64 µs: less is noise.
const FIRST_BITS: u32 = 6;
/// Buckets with a bound, 64 µs to 2^26 µs = 67 s, and one without.
const BUCKETS: usize = 22;

/// Counters of one unit.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    started: AtomicU64,
    succeeded: AtomicU64,
    trapped: AtomicU64,
    timed_out: AtomicU64,
    overloaded: AtomicU64,
    failed: AtomicU64,
    latency: [AtomicU64; BUCKETS],
}

impl Counters {
    /// The counts as they go into the inventory. Taken one after another: they may differ by calls of this moment.
    pub(crate) fn snapshot(&self, in_flight: u64) -> CallCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CallCounts {
            started: of(&self.started),
            succeeded: of(&self.succeeded),
            trapped: of(&self.trapped),
            timed_out: of(&self.timed_out),
            overloaded: of(&self.overloaded),
            failed: of(&self.failed),
            in_flight,
            latency_us: self
                .latency
                .iter()
                .enumerate()
                .map(|(bucket, count)| (bound(bucket), of(count)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }

    /// Notes the end of a call that took `time`.
    fn ended(&self, outcome: Outcome, time: Duration) {
        let counter = match outcome {
            Outcome::Succeeded => &self.succeeded,
            Outcome::Trapped => &self.trapped,
            Outcome::TimedOut => &self.timed_out,
            Outcome::Overloaded => &self.overloaded,
            Outcome::Failed => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(bucket) = self.latency.get(bucket(time)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Upper bound of a bucket in microseconds.
fn bound(bucket: usize) -> u64 {
    if bucket + 1 >= BUCKETS { u64::MAX } else { 1 << (FIRST_BITS as usize + bucket) }
}

/// The bucket of a call that took `time`: the first whose bound is not less.
fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let bits = u64::BITS - micros.saturating_sub(1).leading_zeros();
    (bits.saturating_sub(FIRST_BITS) as usize).min(BUCKETS - 1)
}

/// One call from its begin to its end. Dropped without an outcome, it counts as failed: its caller went away.
#[derive(Debug)]
pub(crate) struct Recorder<'a> {
    counters: Option<&'a Counters>,
    begun: Instant,
    took: Option<Duration>,
}

impl<'a> Recorder<'a> {
    /// Counts a call as begun. `None` counts nothing, for calls that no user made.
    pub(crate) fn start(counters: Option<&'a Counters>) -> Self {
        if let Some(counters) = counters {
            counters.started.fetch_add(1, Ordering::Relaxed);
        }
        Self { counters, begun: Instant::now(), took: None }
    }

    /// Takes the latency now instead of at the end, as for an answer whose body follows.
    pub(crate) fn answered_after(&mut self, took: Duration) {
        self.took = Some(took);
    }

    /// Counts the call as ended.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.note(outcome);
    }

    fn note(&mut self, outcome: Outcome) {
        if let Some(counters) = self.counters.take() {
            counters.ended(outcome, self.took.unwrap_or_else(|| self.begun.elapsed()));
        }
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        self.note(Outcome::Failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_falls_into_the_bucket_that_bounds_it() {
        for (micros, expected) in [
            (0, 64),
            (64, 64),
            (65, 128),
            (1000, 1024),
            (1025, 2048),
            (60_000_000, 1 << 26),
            (90_000_000, u64::MAX),
        ] {
            assert_eq!(bound(bucket(Duration::from_micros(micros))), expected, "{micros} µs");
        }
        assert_eq!(bound(bucket(Duration::MAX)), u64::MAX);
    }

    #[test]
    fn every_begun_call_ends_in_exactly_one_count() {
        let counters = Counters::default();
        Recorder::start(Some(&counters)).end(Outcome::Succeeded);
        Recorder::start(Some(&counters)).end(Outcome::Trapped);
        drop(Recorder::start(Some(&counters)));
        drop(Recorder::start(None));
        let counts = counters.snapshot(0);
        assert_eq!((counts.started, counts.succeeded, counts.trapped, counts.failed), (3, 1, 1, 1));
        assert_eq!(counts.latency_us.values().sum::<u64>(), 3);
    }
}
