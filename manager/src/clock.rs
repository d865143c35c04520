//! The manager's clock: wall-clock times that never jump.
//!
//! It reads the wall clock once, at the start, and counts on from there by the monotonic clock: times in records are
//! times of day, and yet no correction of the machine's clock moves a deadline (fault F54).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lath_control_api::Timestamp;
use tokio::time::Instant;

/// A clock. Copies show the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    wall: Timestamp,
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Self { wall, started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.wall.plus(self.started.elapsed())
    }

    /// The moment at which this clock shows `time`; a moment long ago for times before the start.
    pub(crate) fn at(&self, time: Timestamp) -> Instant {
        let ahead = time.since(self.wall).min(Duration::from_secs(365 * 24 * 3600));
        self.started + ahead
    }
}
