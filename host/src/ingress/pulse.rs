//! Whether a connection is silent: nobody has asked anything over it for too long.
//!
//! It is looked at now and then. A timer for each request would cost every one of them a turn at the lock of all timers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Longest time from a connection to its first request: who says nothing holds nothing.
const FIRST_REQUEST: Duration = Duration::from_secs(15);
/// Time for the head of a later request over HTTP/1, idle time between requests included; one [`LOOK`] more at most. Longer
/// than common clients keep an idle connection, so that it is mostly they who close it, and no request meets a closing
/// connection.
const NEXT_REQUEST: Duration = Duration::from_secs(90);
/// How often it is looked whether a connection is silent.
const LOOK: Duration = Duration::from_secs(15);

/// What is known of the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Requests that have arrived.
    arrived: AtomicU64,
    /// Of them, those whose answers are not written.
    under_way: AtomicU64,
    /// It has many requests at a time, and is asked by pings whether it is alive.
    is_multiplexed: AtomicBool,
}

impl Pulse {
    /// A request has arrived. [`Pulse::end`] follows.
    pub(super) fn begin(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer of a request is written, or nobody waits for it any more.
    pub(super) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// The connection is one of HTTP/2.
    pub(super) fn multiplexed(&self) {
        self.is_multiplexed.store(true, Ordering::Relaxed);
    }

    /// Resolves when the other side has kept the connection for too long without a request.
    pub(super) async fn lost(&self) {
        tokio::time::sleep(FIRST_REQUEST).await;
        let mut seen = self.arrived.load(Ordering::Relaxed);
        if seen == 0 {
            return;
        }
        if self.is_multiplexed.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        // Looks in a row that found nothing. A silence begins at any time before the first of them.
        let mut silent = Duration::ZERO;
        while silent <= NEXT_REQUEST {
            tokio::time::sleep(LOOK).await;
            let arrived = self.arrived.load(Ordering::Relaxed);
            let is_silent = arrived == seen && self.under_way.load(Ordering::Relaxed) == 0;
            silent = if is_silent { silent + LOOK } else { Duration::ZERO };
            seen = arrived;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// When `pulse` is lost, of which `talk` is the life.
    async fn lost(pulse: &Pulse, talk: impl Future<Output = ()>) -> Option<Duration> {
        let begun = Instant::now();
        let quiet = async {
            talk.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = quiet => None,
            lost = timeout(HOUR, pulse.lost()) => lost.ok().map(|()| begun.elapsed()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_soon_left() {
        assert_eq!(lost(&Pulse::default(), async {}).await, Some(FIRST_REQUEST));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_counts_from_the_end_of_the_last_answer() {
        for long in [0, 1, 14, 15, 16, 100, 1_000] {
            let (pulse, long) = (Pulse::default(), Duration::from_secs(long));
            let request = async {
                pulse.begin();
                sleep(long).await;
                pulse.end();
            };
            let silent = lost(&pulse, request).await.unwrap().checked_sub(long).unwrap();
            assert!((NEXT_REQUEST..=NEXT_REQUEST + 2 * LOOK).contains(&silent), "{silent:?} after {long:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_now_and_then_is_not_left() {
        let pulse = Pulse::default();
        let talk = async {
            loop {
                pulse.begin();
                pulse.end();
                sleep(NEXT_REQUEST).await;
            }
        };
        assert_eq!(lost(&pulse, talk).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_of_many_requests_are_asked_by_pings_instead() {
        let pulse = Pulse::default();
        let talk = async {
            pulse.begin();
            pulse.multiplexed();
            pulse.end();
        };
        assert_eq!(lost(&pulse, talk).await, None);
    }
}
