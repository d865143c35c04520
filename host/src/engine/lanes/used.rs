//! How long a piece of work has had its thread's processor.
//!
//! The clock of the wall also runs while others have the processor: on a busy machine what is quick would pass for what computes. The
//! thread's own clock costs a call of the system, so it is read only now and then, and when a piece of work was not short.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Work that is shorter by the clock of the wall counts as that clock says.
const SHORT: Duration = Duration::from_micros(200);
/// How old what is known of the thread's own clock may be, and hence the most by which longer work is taken for longer than it was.
const FRESH: Duration = Duration::from_millis(1);

thread_local! {
    /// When the thread's own clock was read last, and what it said.
    static LAST_LOOK: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Work that has begun on this thread.
pub(super) struct Begun {
    at: Instant,
    /// What the thread's own clock said then, or shortly before.
    own: Duration,
}

impl Begun {
    pub(super) fn now() -> Self {
        let at = Instant::now();
        let known = LAST_LOOK.get().filter(|(looked, _)| at.saturating_duration_since(*looked) <= FRESH);
        Self { at, own: known.map_or_else(|| look(at), |(_, own)| own) }
    }

    /// For how long it has had the processor until now, on the thread on which it began.
    pub(super) fn used(&self) -> Duration {
        let wall = self.at.elapsed();
        if wall < SHORT {
            return wall;
        }
        wall.min(look(self.at + wall).saturating_sub(self.own))
    }
}

/// What the thread's own clock says at this moment.
fn look(now: Instant) -> Duration {
    let own = own_clock();
    LAST_LOOK.set(Some((now, own)));
    own
}

/// For how long this thread has had a processor.
#[cfg(unix)]
fn own_clock() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}

/// Where a thread has no clock of its own, that of the wall has to do.
#[cfg(not(unix))]
fn own_clock() -> Duration {
    use std::sync::OnceLock;

    static BEGUN: OnceLock<Instant> = OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_processor_is_not_used() {
        let begun = Begun::now();
        std::thread::sleep(Duration::from_millis(50));
        assert!(begun.used() < Duration::from_millis(40));
        let begun = Begun::now();
        let until = own_clock() + Duration::from_millis(20);
        while own_clock() < until {
            std::hint::spin_loop();
        }
        assert!(begun.used() >= Duration::from_millis(20));
    }

    #[test]
    fn short_work_is_what_the_wall_says() {
        let begun = Begun::now();
        assert!(begun.used() <= begun.at.elapsed());
    }
}
