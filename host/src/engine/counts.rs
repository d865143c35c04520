//! Counts of calls and how long they took. Atomics only: the call path takes no lock here.
//!
//! Every call that is counted as begun is counted as ended exactly once, also when its future is dropped or panics.
//! Latency falls into buckets of which each is a fifth to a quarter wider than the one before, so that one addition is all that a call costs and any two hosts'
//! histograms can be added up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lath_control_api::CallCounts;

use crate::engine::Outcome;

/// The first bucket ends at 2^6 = 64 µs: less is noise.
const FIRST_BITS: u32 = 6;
/// Longer ones up to 2^26 µs = 67 s have a bound.
const LAST_BITS: u32 = 26;
/// Buckets with a bound, four to each doubling, and one without.
const BUCKETS: usize = 1 + 4 * (LAST_BITS - FIRST_BITS) as usize + 1;

/// Calls by how long they took.
#[derive(Debug)]
struct Latency([AtomicU64; BUCKETS]);

impl Default for Latency {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// Counters of one unit.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    started: AtomicU64,
    succeeded: AtomicU64,
    trapped: AtomicU64,
    timed_out: AtomicU64,
    overloaded: AtomicU64,
    failed: AtomicU64,
    answered_5xx: AtomicU64,
    abandoned: AtomicU64,
    /// Made with the first call that ends: most units of a full host have none for long.
    latency: OnceLock<Box<Latency>>,
    /// Traps and missed deadlines since the last call that the component answered.
    bad_in_a_row: AtomicU32,
    /// When the last of them was, in milliseconds of the process.
    last_bad: AtomicU64,
}

/// Milliseconds of this process, from its first call on that ended badly.
fn process_ms() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGUN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Counters {
    /// Traps and missed deadlines since the last call that the component answered, whatever the answer; 0 when the last
    /// of them is longer ago than `within`.
    pub(crate) fn bad_in_a_row(&self, within: Duration) -> u32 {
        let bad = self.bad_in_a_row.load(Ordering::Relaxed);
        if bad == 0 {
            return 0;
        }
        let ago = process_ms().saturating_sub(self.last_bad.load(Ordering::Relaxed));
        if Duration::from_millis(ago) <= within { bad } else { 0 }
    }

    /// The counts as they go into the inventory. Taken one after another: they may differ by calls of this moment.
    pub(crate) fn snapshot(&self, in_flight: u64) -> CallCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = CallCounts {
            started: 0,
            succeeded: of(&self.succeeded),
            trapped: of(&self.trapped),
            timed_out: of(&self.timed_out),
            overloaded: of(&self.overloaded),
            failed: of(&self.failed),
            answered_5xx: of(&self.answered_5xx),
            abandoned: of(&self.abandoned),
            in_flight,
            latency_us: self
                .latency
                .get()
                .into_iter()
                .flat_map(|latency| &latency.0)
                .enumerate()
                .map(|(bucket, count)| (bound(bucket), of(count)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        };
        // Last, so that no more calls have ended than have begun.
        CallCounts { started: of(&self.started), ..counts }
    }

    /// Calls that have begun.
    pub(crate) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Notes the begin of a call.
    pub(crate) fn begun(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the end of a call that took `time`.
    pub(crate) fn ended(&self, outcome: Outcome, time: Duration) {
        let counter = match outcome {
            Outcome::Succeeded => &self.succeeded,
            Outcome::Trapped => &self.trapped,
            Outcome::TimedOut => &self.timed_out,
            Outcome::Overloaded => &self.overloaded,
            Outcome::Failed => &self.failed,
            Outcome::Answered5xx => &self.answered_5xx,
            Outcome::Abandoned => &self.abandoned,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Trapped | Outcome::TimedOut => {
                self.last_bad.store(process_ms(), Ordering::Relaxed);
                self.bad_in_a_row.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Succeeded | Outcome::Answered5xx => {
                // Mostly it is 0 already, and reading is cheaper for all.
                if self.bad_in_a_row.load(Ordering::Relaxed) != 0 {
                    self.bad_in_a_row.store(0, Ordering::Relaxed);
                }
            }
            Outcome::Overloaded | Outcome::Failed | Outcome::Abandoned => {}
        }
        if let Some(bucket) = self.latency.get_or_init(Box::default).0.get(bucket(time)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Upper bound of a bucket in microseconds.
fn bound(bucket: usize) -> u64 {
    let Some(after_first) = bucket.checked_sub(1) else { return 1 << FIRST_BITS };
    if bucket + 1 >= BUCKETS {
        return u64::MAX;
    }
    let (doublings, quarter) = (after_first / 4, after_first as u64 % 4);
    (5 + quarter) << (doublings + FIRST_BITS as usize - 2)
}

/// The bucket of a call that took `time`: the first whose bound is not less.
fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let below = micros.saturating_sub(1);
    let Some(doublings) = below.checked_ilog2().and_then(|log| log.checked_sub(FIRST_BITS)) else { return 0 };
    let quarter = (below >> (doublings + FIRST_BITS - 2)) & 3;
    (1 + 4 * doublings as usize + quarter as usize).min(BUCKETS - 1)
}

/// The head of an HTTP answer: what its status counts as, if all else goes well, and how long it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) outcome: Outcome,
    pub(crate) after: Duration,
}

/// One call of a function from its begin to its end.
#[derive(Debug)]
pub(crate) struct Recorder<'a> {
    counters: &'a Counters,
    begun: Instant,
    due: Instant,
    ended: bool,
}

impl<'a> Recorder<'a> {
    /// Counts a call as begun that must have ended by `due`.
    pub(crate) fn start(counters: &'a Counters, due: Instant) -> Self {
        counters.begun();
        Self { counters, begun: Instant::now(), due, ended: false }
    }

    /// Counts the call as ended.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.ended = true;
        self.counters.ended(outcome, self.begun.elapsed());
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.counters.ended(unfinished(self.due), self.begun.elapsed());
        }
    }
}

/// What a call counts as that was dropped before it had ended. Mostly its caller is gone; but a caller may also have
/// been cut off at the deadline that both share, a moment before the call itself.
pub(crate) fn unfinished(due: Instant) -> Outcome {
    if std::thread::panicking() {
        Outcome::Failed
    } else if Instant::now() >= due {
        Outcome::TimedOut
    } else {
        Outcome::Abandoned
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
            (65, 80),
            (80, 80),
            (81, 96),
            (128, 128),
            (129, 160),
            (1_000, 1_024),
            (1_025, 1_280),
            (60_000_000, 1 << 26),
            ((1 << 26) + 1, u64::MAX),
        ] {
            assert_eq!(bound(bucket(Duration::from_micros(micros))), expected, "{micros} µs");
        }
        assert_eq!(bound(bucket(Duration::MAX)), u64::MAX);
        let bounds: Vec<u64> = (0..BUCKETS).map(bound).collect();
        assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        for (before, at) in bounds.windows(2).flat_map(|pair| [(pair[0], pair[0]), (pair[1], pair[0] + 1)]) {
            assert_eq!(bound(bucket(Duration::from_micros(at))), before, "{at} µs");
        }
    }

    #[test]
    fn bad_calls_in_a_row_count_until_one_is_answered_or_they_are_long_ago() {
        let counters = Counters::default();
        let within = Duration::from_secs(60);
        for outcome in
            [Outcome::Trapped, Outcome::TimedOut, Outcome::Overloaded, Outcome::Abandoned, Outcome::Failed]
        {
            counters.ended(outcome, Duration::ZERO);
        }
        assert_eq!(counters.bad_in_a_row(within), 2);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(counters.bad_in_a_row(Duration::from_millis(1)), 0, "they are long ago");
        counters.ended(Outcome::Trapped, Duration::ZERO);
        assert_eq!(counters.bad_in_a_row(within), 3);
        counters.ended(Outcome::Answered5xx, Duration::ZERO);
        assert_eq!(counters.bad_in_a_row(within), 0, "it answers");
    }

    #[test]
    fn every_begun_call_ends_in_exactly_one_count() {
        let counters = Counters::default();
        let (later, now) = (Instant::now() + Duration::from_secs(60), Instant::now());
        let all = [
            Outcome::Succeeded,
            Outcome::Trapped,
            Outcome::TimedOut,
            Outcome::Overloaded,
            Outcome::Failed,
            Outcome::Answered5xx,
            Outcome::Abandoned,
        ];
        for outcome in all {
            Recorder::start(&counters, later).end(outcome);
        }
        drop(Recorder::start(&counters, later));
        drop(Recorder::start(&counters, now));
        let panics = std::panic::AssertUnwindSafe(|| {
            let _recorder = Recorder::start(&counters, later);
            panic!("in the call");
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        let counts = counters.snapshot(0);
        let twice = [counts.abandoned, counts.timed_out, counts.failed];
        let once = [counts.succeeded, counts.trapped, counts.overloaded, counts.answered_5xx];
        assert_eq!((twice, once), ([2; 3], [1; 4]), "{counts:?}");
        assert_eq!((counts.started, counts.ended()), (10, 10));
        assert_eq!(counts.latency_us.values().sum::<u64>(), 10);
    }
}
