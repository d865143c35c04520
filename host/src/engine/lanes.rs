//! Where guests run: on the host's own threads while they are quick, on threads of low priority once they compute.
//!
//! Whoever answers a call, a command or a probe of the host needs a thread soon and only for a moment. A guest that
//! computes would keep it for a whole tick of the epoch, and fifty of them would keep all. So a call that has
//! computed for [`QUICK`] moves, whole, to threads that give way to the host's own. While several components are called,
//! new calls of one begin there when it has used its share of the host's threads for the moment, a quarter, and all
//! of them when it uses more than half of the machine. Nothing else changes for them: they have the whole machine while
//! nobody else wants it.
//!
//! There, guests take turns in the order in which they ask. There is one thread more than turns, so that deadlines
//! and the connections of guests are looked after at once, however many guests wait for their turn.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::num::NonZero;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::engine::code::give_way;

/// Time that a call may compute on the host's own threads; it is looked at when the call gives its thread back, at the
/// next tick of the epoch at the latest. By the clock of the wall, which also runs while the thread has no processor: on a
/// busy machine a little less is enough.
const QUICK: Duration = Duration::from_millis(2);
/// Time for which a component has a share of the host's threads. What it leaves to others in the rest of it bounds how long
/// these wait behind its calls.
const MOMENT: Duration = Duration::from_millis(2);
/// The part of the host's threads that is the share of one component: one of so many.
const SHARE: u64 = 4;
/// Moments over which it is added up what all calls of a component use, wherever they run: a tenth of a second.
const WINDOW: u64 = 50;
/// Moments for which it counts that several components were called: a second.
const SEVERAL: u64 = 500;

thread_local! {
    /// Whether guests that run on this thread need a turn that they do not have yet.
    static TURN_NEEDED: Cell<bool> = const { Cell::new(false) };
    /// Whether this is one of the threads of low priority.
    static APART: Cell<bool> = const { Cell::new(false) };
}

/// The threads of low priority of one engine. They are started when the first guest needs them.
pub(crate) struct Lanes {
    begun: Instant,
    processors: usize,
    turns: Arc<Semaphore>,
    apart: OnceLock<Option<Runtime>>,
    /// The component that was called last, by the address of its use, and when; not looked at while the next is recent.
    last: AtomicUsize,
    last_at: AtomicU64,
    /// When one was called soon after another.
    several: AtomicU64,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            begun: Instant::now(),
            processors,
            turns: Arc::new(Semaphore::new(processors)),
            apart: OnceLock::new(),
            last: AtomicUsize::new(0),
            last_at: AtomicU64::new(0),
            several: AtomicU64::new(0),
        }
    }

    /// Whether a guest computes apart at the moment.
    pub(crate) fn are_used(&self) -> bool {
        self.turns.available_permits() < self.processors
    }

    /// Runs `guest` to its end: here while it is quick, then apart. Dropping the future ends the guest wherever it is.
    /// None when the guest has panicked apart.
    pub(crate) async fn run<F>(&self, share: &Share, mut guest: Pin<Box<F>>) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        if !self.gives_way(share) {
            let mut computed = Duration::ZERO;
            let quick = poll_fn(|cx| {
                let begun = Instant::now();
                let polled = guest.as_mut().poll(cx);
                let used = begun.elapsed();
                computed += used;
                if APART.get() {
                    share.add_apart(used, self)
                } else {
                    share.add_here(used, self)
                }
                match polled {
                    Poll::Ready(output) => Poll::Ready(Some(output)),
                    Poll::Pending if computed >= QUICK => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            if let Some(output) = quick.await {
                return Some(output);
            }
        }
        match self.apart() {
            Some(threads) => AbortOnDropHandle::new(threads.spawn(guest)).await.ok(),
            None => Some(guest.await),
        }
    }

    /// Whether a new call of a component begins apart.
    fn gives_way(&self, share: &Share) -> bool {
        let now = self.moment();
        let several = self.several.load(Ordering::Relaxed);
        // Written once in a while, so that calls do not take the line from one another.
        if several + SEVERAL / 2 < now {
            let this = std::ptr::from_ref(share).addr();
            let (before, at) = (self.last.load(Ordering::Relaxed), self.last_at.load(Ordering::Relaxed));
            if before != this {
                self.last.store(this, Ordering::Relaxed);
                if at + SEVERAL >= now {
                    self.several.store(now, Ordering::Relaxed);
                }
            }
            if at != now {
                self.last_at.store(now, Ordering::Relaxed);
            }
        }
        several + SEVERAL >= now && (share.is_used_up(now, self) || share.is_high(now))
    }

    /// `guest`, polled only when it has a turn, where turns are needed.
    pub(crate) fn in_turn<'a, F: Future>(
        &'a self,
        share: &'a Share,
        guest: Pin<&'a mut F>,
    ) -> impl Future<Output = F::Output> + use<'a, F> {
        InTurn { lanes: self, share, turns: None, guest }
    }

    fn apart(&self) -> Option<&Handle> {
        let threads = self.apart.get_or_init(|| {
            let started = Builder::new_multi_thread()
                .worker_threads(self.processors + 1)
                .thread_name("lath-guests")
                .on_thread_start(|| {
                    give_way();
                    TURN_NEEDED.set(true);
                    APART.set(true);
                })
                .enable_all()
                .build();
            started.inspect_err(|error| tracing::warn!(%error, "no threads for guests that compute")).ok()
        });
        threads.as_ref().map(Runtime::handle)
    }

    /// What all processors have in so many moments.
    fn machine_us(&self, moments: u64) -> u64 {
        let processors = u64::try_from(self.processors).unwrap_or(u64::MAX);
        let moment = u64::try_from(MOMENT.as_micros()).unwrap_or(u64::MAX);
        moments.saturating_mul(moment).saturating_mul(processors)
    }

    /// Moments since the start, from the one on at which it would not count any more that several were called.
    fn moment(&self) -> u64 {
        let moments = self.begun.elapsed().as_micros() / MOMENT.as_micros();
        u64::try_from(moments).unwrap_or(u64::MAX / 2) + SEVERAL + 1
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // It may be dropped within another runtime, which must not wait.
        if let Some(threads) = self.apart.take().flatten() {
            threads.shutdown_background();
        }
    }
}

/// What the calls of one component have used of late. Calls of the same moment may put a little of it into the wrong one,
/// which is no matter.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// Of the host's own threads, in a moment.
    here: Used,
    /// Of all threads, in a window.
    all: Used,
    high: AtomicBool,
}

/// Microseconds of threads within one stretch of time.
#[derive(Debug, Default)]
struct Used {
    stretch: AtomicU64,
    us: AtomicU64,
}

impl Used {
    /// Adds to what was used in `stretch`, or in a later one that has begun, and gives the sum, with that of the stretch before
    /// when this is the first of it.
    fn add(&self, used: Duration, stretch: u64) -> (u64, Option<u64>) {
        let used = u64::try_from(used.as_micros()).unwrap_or(u64::MAX);
        let newest = self.stretch.fetch_max(stretch, Ordering::Relaxed);
        if newest >= stretch {
            return (self.us.fetch_add(used, Ordering::Relaxed).saturating_add(used), None);
        }
        let before = self.us.swap(used, Ordering::Relaxed);
        (used, Some(if newest + 1 == stretch { before } else { 0 }))
    }
}

impl Share {
    /// Whether new calls have to begin apart for the rest of the moment.
    fn is_used_up(&self, now: u64, lanes: &Lanes) -> bool {
        self.here.stretch.load(Ordering::Relaxed) == now
            && self.here.us.load(Ordering::Relaxed) >= lanes.machine_us(1) / SHARE
    }

    /// Whether its calls use more than half of the machine.
    fn is_high(&self, now: u64) -> bool {
        self.high.load(Ordering::Relaxed) && self.all.stretch.load(Ordering::Relaxed) + 1 >= now / WINDOW
    }

    /// Adds time for which a call has had a thread of the host's own.
    fn add_here(&self, used: Duration, lanes: &Lanes) {
        self.here.add(used, lanes.moment());
        self.add_apart(used, lanes);
    }

    /// Adds time for which a call has had another thread.
    fn add_apart(&self, used: Duration, lanes: &Lanes) {
        let most = lanes.machine_us(WINDOW) / 2;
        let (sum, before) = self.all.add(used, lanes.moment() / WINDOW);
        // Half of what makes it high keeps it so.
        if before.is_some_and(|before| before < most / 2) {
            self.high.store(false, Ordering::Relaxed);
        }
        if sum > most {
            self.high.store(true, Ordering::Relaxed);
        }
    }
}

/// A guest and its place in the order of turns.
struct InTurn<'a, F> {
    lanes: &'a Lanes,
    share: &'a Share,
    turns: Option<PollSemaphore>,
    guest: Pin<&'a mut F>,
}

impl<F: Future> Future for InTurn<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !TURN_NEEDED.get() {
            return self.guest.as_mut().poll(cx);
        }
        let lanes = self.lanes;
        let turns = self.turns.get_or_insert_with(|| PollSemaphore::new(Arc::clone(&lanes.turns)));
        // A turn is as long as the guest computes, a tick of the epoch at most.
        let turn = ready!(turns.poll_acquire(cx));
        // What the guest calls over links runs in its turn.
        let within = Within::enter();
        let begun = Instant::now();
        let polled = self.guest.as_mut().poll(cx);
        self.share.add_apart(begun.elapsed(), lanes);
        drop((within, turn));
        // Whoever waits for this processor gets it: the kernel lets the one that runs have it for some milliseconds,
        // whatever its priority.
        thread::yield_now();
        polled
    }
}

/// A turn that this thread has, until it is dropped.
struct Within;

impl Within {
    fn enter() -> Self {
        TURN_NEEDED.set(false);
        Self
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        TURN_NEEDED.set(true);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// Computes for some ticks, and gives the thread back after each.
    async fn compute(ticks: u32) -> String {
        for _ in 0..ticks {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(6) {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
        }
        thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn h5_what_is_quick_stays_and_what_computes_moves() {
        let (lanes, share) = (Lanes::new(), Share::default());
        let here = thread::current().name().unwrap_or_default().to_owned();
        assert_eq!(lanes.run(&share, Box::pin(compute(0))).await.unwrap(), here);
        assert!(lanes.apart.get().is_none(), "threads were started for nothing");
        assert_eq!(lanes.run(&share, Box::pin(compute(3))).await.unwrap(), "lath-guests");
    }

    #[tokio::test]
    async fn h5_a_component_that_has_used_its_share_begins_apart_while_others_are_called() {
        let (lanes, share, other) = (Lanes::new(), Share::default(), Share::default());
        let use_up = || share.add_here(MOMENT * u32::try_from(lanes.processors).unwrap(), &lanes);
        let gives_way = || {
            // A moment may end between the two.
            (0..1_000).any(|_| {
                use_up();
                lanes.gives_way(&share)
            })
        };
        assert!(!gives_way(), "alone");
        assert!(!lanes.gives_way(&other), "it has used nothing");
        assert!(gives_way());
        let begun = Instant::now();
        while lanes.run(&share, Box::pin(compute(0))).await.unwrap() == "lath-guests" {
            assert!(begun.elapsed() < Duration::from_secs(20), "the moment does not end");
        }
        tokio::time::sleep(MOMENT * u32::try_from(SEVERAL + 1).unwrap()).await;
        assert!(!gives_way(), "alone again");
    }

    #[tokio::test]
    async fn h5_no_more_compute_at_once_than_there_are_turns_and_each_gets_some() {
        let lanes = Arc::new(Lanes::new());
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let threads = lanes.apart().unwrap().clone();
        let guests: Vec<_> = (0..20)
            .map(|_| {
                let (lanes, inside, most) = (Arc::clone(&lanes), Arc::clone(&inside), Arc::clone(&most));
                threads.spawn(async move {
                    let share = Share::default();
                    let guest = async {
                        for _ in 0..10 {
                            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            thread::sleep(Duration::from_millis(1));
                            inside.fetch_sub(1, Ordering::SeqCst);
                            tokio::task::yield_now().await;
                        }
                    };
                    // A call over a link, within the turn of its caller.
                    let linked = async { lanes.in_turn(&share, pin!(guest)).await };
                    lanes.in_turn(&share, pin!(linked)).await;
                })
            })
            .collect();
        for guest in guests {
            tokio::time::timeout(Duration::from_secs(20), guest).await.unwrap().unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= lanes.processors, "{most:?}");
    }

    #[tokio::test]
    async fn whoever_is_dropped_ends_apart_as_well() {
        let (lanes, share) = (Lanes::new(), Share::default());
        let (gone, is_gone) = tokio::sync::oneshot::channel::<()>();
        let endless = Box::pin(async move {
            let _gone = gone;
            compute(u32::MAX).await
        });
        let ended = tokio::time::timeout(Duration::from_millis(100), lanes.run(&share, endless)).await;
        assert!(ended.is_err());
        let told = tokio::time::timeout(Duration::from_secs(20), is_gone).await;
        assert!(told.unwrap().is_err());
    }
}
