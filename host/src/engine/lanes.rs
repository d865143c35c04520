//! Where guests run: on the host's own threads while they are quick, on threads of low priority once they compute.
//!
//! Whoever answers a call, a command or a probe of the host needs a thread soon and only for a moment. A guest that
//! computes would keep it for a whole tick of the epoch, and fifty of them would keep all. So a call that has
//! computed for [`QUICK`] moves, whole, to threads that give way to the host's own, and for a moment all new calls of its
//! component begin there; so they do while several components are called and all calls of one together use more than half of
//! the machine. Nothing else changes for them: they have the whole machine while nobody else wants it, but for those that hold
//! on to a thread ([`HELD`]).
//!
//! There, guests take turns in the order in which they ask, and offer the processor to others between them. There is one
//! thread more than turns, so that deadlines
//! and the connections of guests are looked after at once, however many guests wait for their turn.

mod used;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::num::NonZero;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::engine::code::give_way;
use used::Begun;

/// Time that a call may compute on the host's own threads: less than a tick of the epoch.
const QUICK: Duration = Duration::from_millis(5);
/// The same for a call of a component that is known to compute, or gives way for what all its calls use.
const KNOWN_TO_COMPUTE: Duration = Duration::from_micros(500);
/// Time over which it is added up what the calls of a component use.
const WINDOW: Duration = Duration::from_millis(100);
/// Windows for which it counts that several components were called: a second.
const SEVERAL: u64 = 10;
/// How long a thread of low priority runs guests before it offers its processor to others. Linux lets a thread that wakes wait
/// for its own next tick, 4 ms at most machines, while another one computes, whatever the priorities; not when that one yields.
const OFFER: Duration = Duration::from_micros(500);

/// A guest that computes for so long without giving its thread back is in an instruction that takes long, such as one that fills
/// much memory: nothing stops it there, and others wait for the kernel's locks with it.
const HELD: Duration = Duration::from_millis(5);
/// Windows for which a component counts as one that holds on to threads: two seconds.
const HOLDS_ON: u64 = 20;

thread_local! {
    /// Whether guests that run on this thread need a turn that they do not have yet.
    static TURN_NEEDED: Cell<bool> = const { Cell::new(false) };
    /// For how long guests have run on this thread since it last offered its processor to others.
    static SINCE_OFFER: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The threads of low priority of one engine. They are started when the first guest needs them.
pub(crate) struct Lanes {
    begun: Instant,
    processors: usize,
    turns: Arc<Semaphore>,
    /// Of the turns, those that components may have at once which hold on to threads: all but one, where there are several.
    long_turns: Arc<Semaphore>,
    apart: OnceLock<Option<Runtime>>,
    /// The component that was called last, by the address of its pressure; 0 before the first call. It is not kept up while
    /// several are known to be called.
    last: AtomicUsize,
    /// The window after the one in which a call of one component came after that of another; 0 while none did.
    several: AtomicU64,
    /// Whether a guest has had a turn since the clock last looked.
    turned: AtomicBool,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            begun: Instant::now(),
            processors,
            turns: Arc::new(Semaphore::new(processors)),
            long_turns: Arc::new(Semaphore::new(processors.saturating_sub(1).max(1))),
            apart: OnceLock::new(),
            last: AtomicUsize::new(0),
            several: AtomicU64::new(0),
            turned: AtomicBool::new(false),
        }
    }

    /// Whether guests have taken turns since this was asked before.
    pub(crate) fn have_turned(&self) -> bool {
        self.turned.load(Ordering::Relaxed) && self.turned.swap(false, Ordering::Relaxed)
    }

    /// Runs `guest` to its end: here while it is quick, then apart. Dropping the future ends the guest wherever it is.
    /// None when the guest has panicked apart.
    pub(crate) async fn run<F>(&self, pressure: &Pressure, mut guest: Pin<Box<F>>) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        if !self.gives_way(pressure) {
            let mut computed = Duration::ZERO;
            let quick = poll_fn(|cx| {
                let begun = Begun::now();
                let polled = guest.as_mut().poll(cx);
                let used = begun.used();
                computed += used;
                pressure.add(used, self);
                if computed >= QUICK {
                    pressure.raise(self);
                }
                match polled {
                    Poll::Ready(output) => Poll::Ready(Some(output)),
                    Poll::Pending if computed >= QUICK => Poll::Ready(None),
                    // Many may have begun at the same time, before any was seen to compute.
                    Poll::Pending if computed >= KNOWN_TO_COMPUTE && self.gives_way(pressure) => {
                        Poll::Ready(None)
                    }
                    Poll::Pending => Poll::Pending,
                }
            });
            if let Some(output) = quick.await {
                return Some(output);
            }
        }
        let (Some(threads), Ok(host)) = (self.apart(), Handle::try_current()) else {
            return Some(guest.await);
        };
        let guest = poll_fn(move |cx| {
            // Timers, connections and tasks that it begins are looked after by the host's own threads.
            let _host = host.enter();
            guest.as_mut().poll(cx)
        });
        AbortOnDropHandle::new(threads.spawn(guest)).await.ok()
    }

    /// Whether a new call of a component begins apart: it is known to compute, or uses much of the machine while others want some.
    fn gives_way(&self, pressure: &Pressure) -> bool {
        // Whoever else is called shows only when there is a thread to call it on.
        if pressure.computes(self) {
            return true;
        }
        let this = ptr::from_ref(pressure).addr();
        let several = self.several.load(Ordering::Relaxed);
        if several == 0 {
            // Only looked at while it stays the same: a line of memory that all threads write to costs more.
            if self.last.load(Ordering::Relaxed) == this {
                return false;
            }
            let before = self.last.swap(this, Ordering::Relaxed);
            if before == 0 || before == this {
                return false;
            }
            self.several.store(self.window() + 1, Ordering::Relaxed);
        }
        if !pressure.high.load(Ordering::Relaxed) {
            return false;
        }
        let now = self.window();
        if several > 0 && several + SEVERAL <= now {
            // That was long ago: it is found out anew.
            self.last.store(this, Ordering::Relaxed);
            self.several.store(0, Ordering::Relaxed);
            return false;
        }
        // It may have been long ago that it was high, too.
        pressure.window.load(Ordering::Relaxed) + 1 >= now
    }

    /// `guest`, polled only when it has a turn, where turns are needed.
    pub(crate) fn in_turn<'a, F: Future>(
        &'a self,
        pressure: &'a Pressure,
        guest: Pin<&'a mut F>,
    ) -> impl Future<Output = F::Output> + use<'a, F> {
        InTurn {
            lanes: self,
            pressure,
            turns: None,
            long_turns: None,
            long_turn: None,
            computed: Duration::ZERO,
            guest,
        }
    }

    fn apart(&self) -> Option<&Handle> {
        let threads = self.apart.get_or_init(|| {
            let started = Builder::new_multi_thread()
                .worker_threads(self.processors + 1)
                .thread_name("lath-guests")
                .on_thread_start(|| {
                    give_way();
                    TURN_NEEDED.set(true);
                })
                .enable_all()
                .build();
            started.inspect_err(|error| tracing::warn!(%error, "no threads for guests that compute")).ok()
        });
        threads.as_ref().map(Runtime::handle)
    }

    fn window(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis() / WINDOW.as_millis()).unwrap_or(u64::MAX)
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

/// How much of the machine the calls of one component have used of late, wherever they ran.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    window: AtomicU64,
    used_us: AtomicU64,
    high: AtomicBool,
    /// The window after the last one in which a call was seen to compute; 0 while none was.
    computed: AtomicU64,
    /// The window after the last one in which a call held on to its thread; 0 while none did.
    held: AtomicU64,
}

impl Pressure {
    /// Adds time for which a call has had a thread. Calls of the same moment may put a little of it into the wrong
    /// window, which is no matter.
    fn add(&self, used: Duration, lanes: &Lanes) {
        let now = lanes.window();
        let most = u64::try_from(WINDOW.as_micros()).unwrap_or(u64::MAX) * lanes.processors as u64 / 2;
        if self.window.swap(now, Ordering::Relaxed) != now {
            let before = self.used_us.swap(0, Ordering::Relaxed);
            // Half of what makes it high keeps it so.
            if before < most / 2 {
                self.high.store(false, Ordering::Relaxed);
            }
        }
        if used >= HELD {
            self.held.store(now + 1, Ordering::Relaxed);
        }
        let used = u64::try_from(used.as_micros()).unwrap_or(u64::MAX);
        if self.used_us.fetch_add(used, Ordering::Relaxed).saturating_add(used) > most {
            self.high.store(true, Ordering::Relaxed);
        }
    }

    /// Whether one of its calls has held on to its thread of late.
    fn holds_on(&self, lanes: &Lanes) -> bool {
        let held = self.held.load(Ordering::Relaxed);
        held > 0 && held + HOLDS_ON > lanes.window()
    }

    /// Whether one of its calls was seen to compute in this window or the one before.
    fn computes(&self, lanes: &Lanes) -> bool {
        let computed = self.computed.load(Ordering::Relaxed);
        computed > 0 && computed + 1 >= lanes.window()
    }

    /// One of its calls computes: so may the next ones.
    fn raise(&self, lanes: &Lanes) {
        self.computed.store(lanes.window() + 1, Ordering::Relaxed);
    }
}

/// A guest and its place in the order of turns.
struct InTurn<'a, F> {
    lanes: &'a Lanes,
    pressure: &'a Pressure,
    turns: Option<PollSemaphore>,
    long_turns: Option<PollSemaphore>,
    /// Held while it waits for its turn, too.
    long_turn: Option<OwnedSemaphorePermit>,
    /// What it has used in its turns.
    computed: Duration,
    guest: Pin<&'a mut F>,
}

impl<F: Future> Future for InTurn<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !TURN_NEEDED.get() {
            return self.guest.as_mut().poll(cx);
        }
        let lanes = self.lanes;
        if self.long_turn.is_none() && self.pressure.holds_on(lanes) {
            let turns =
                self.long_turns.get_or_insert_with(|| PollSemaphore::new(Arc::clone(&lanes.long_turns)));
            self.long_turn = ready!(turns.poll_acquire(cx));
        }
        let turns = self.turns.get_or_insert_with(|| PollSemaphore::new(Arc::clone(&lanes.turns)));
        // Given back when this ends: a turn is as long as the guest computes, a tick of the epoch at most.
        let turn = ready!(turns.poll_acquire(cx));
        if !lanes.turned.load(Ordering::Relaxed) {
            lanes.turned.store(true, Ordering::Relaxed);
        }
        let begun = Begun::now();
        let polled = {
            // What the guest calls over links runs in its turn.
            let _within = Within::enter();
            self.guest.as_mut().poll(cx)
        };
        let used = begun.used();
        self.pressure.add(used, lanes);
        self.computed += used;
        if self.computed >= QUICK {
            self.pressure.raise(lanes);
        }
        drop(turn);
        self.long_turn = None;
        offer_processor(used);
        polled
    }
}

/// Lets others have this thread's processor when guests have `used` enough of it by now.
fn offer_processor(used: Duration) {
    let since = SINCE_OFFER.get() + used;
    SINCE_OFFER.set(if since < OFFER {
        since
    } else {
        thread::yield_now();
        Duration::ZERO
    });
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
    use std::sync::atomic::AtomicUsize;

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
        let (lanes, pressure) = (Lanes::new(), Pressure::default());
        let here = thread::current().name().unwrap_or_default().to_owned();
        assert_eq!(lanes.run(&pressure, Box::pin(compute(0))).await.unwrap(), here);
        assert!(lanes.apart.get().is_none(), "threads were started for nothing");
        assert_eq!(lanes.run(&pressure, Box::pin(compute(3))).await.unwrap(), "lath-guests");
    }

    #[tokio::test]
    async fn h5_what_is_known_to_compute_begins_apart_until_it_is_quick_again() {
        let (lanes, pressure) = (Lanes::new(), Pressure::default());
        let _moved = lanes.run(&pressure, Box::pin(compute(3))).await.unwrap();
        // The machine may stand still for as long as it counts.
        let known = |_| {
            pressure.raise(&lanes);
            lanes.gives_way(&pressure)
        };
        assert!((0..1_000).any(known), "nobody else has to be called for that");
        tokio::time::sleep(4 * WINDOW).await;
        assert!(!lanes.gives_way(&pressure));
    }

    #[tokio::test]
    async fn h5_a_component_that_uses_most_of_the_machine_begins_apart_until_it_is_quiet() {
        let (lanes, pressure, other) = (Lanes::new(), Pressure::default(), Pressure::default());
        assert_ne!(lanes.run(&other, Box::pin(compute(0))).await.unwrap(), "lath-guests");
        pressure.add(WINDOW * u32::try_from(lanes.processors).unwrap(), &lanes);
        assert_eq!(lanes.run(&pressure, Box::pin(compute(0))).await.unwrap(), "lath-guests");
        tokio::time::sleep(3 * WINDOW).await;
        assert_ne!(lanes.run(&pressure, Box::pin(compute(0))).await.unwrap(), "lath-guests");
    }

    #[tokio::test]
    async fn h5_a_component_gives_way_while_another_one_is_called() {
        let (lanes, pressure, other) = (Lanes::new(), Pressure::default(), Pressure::default());
        let busy = || {
            pressure.add(WINDOW * u32::try_from(lanes.processors).unwrap(), &lanes);
            lanes.gives_way(&pressure)
        };
        assert!((0..3).all(|_| !busy()), "nobody else is there");
        assert!(!lanes.gives_way(&other), "it has used nothing");
        // The machine may stand still for as long as it counts.
        let both = || (0..1_000).any(|_| !lanes.gives_way(&other) && busy());
        assert!(both());
        // The other one has gone, which shows a second later.
        tokio::time::sleep((u32::try_from(SEVERAL).unwrap() + 2) * WINDOW).await;
        assert!((0..3).all(|_| !busy()), "it is alone again");
        assert!(both(), "and not any more");
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
                    let pressure = Pressure::default();
                    let guest = async {
                        for _ in 0..10 {
                            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            thread::sleep(Duration::from_millis(1));
                            inside.fetch_sub(1, Ordering::SeqCst);
                            tokio::task::yield_now().await;
                        }
                    };
                    // A call over a link, within the turn of its caller.
                    let linked = async { lanes.in_turn(&pressure, pin!(guest)).await };
                    lanes.in_turn(&pressure, pin!(linked)).await;
                })
            })
            .collect();
        for guest in guests {
            tokio::time::timeout(Duration::from_secs(20), guest).await.unwrap().unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= lanes.processors, "{most:?}");
    }

    #[tokio::test]
    async fn h5_those_that_hold_on_to_threads_leave_one_to_others() {
        let lanes = Arc::new(Lanes::new());
        let holding = Arc::new(Pressure::default());
        holding.add(HELD, &lanes);
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let threads = lanes.apart().unwrap().clone();
        let guests: Vec<_> = (0..10)
            .map(|_| {
                let (lanes, inside, most) = (Arc::clone(&lanes), Arc::clone(&inside), Arc::clone(&most));
                let holding = Arc::clone(&holding);
                threads.spawn(async move {
                    let guest = async {
                        for _ in 0..5 {
                            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            let begun = Begun::now();
                            while begun.used() < 2 * HELD {
                                std::hint::spin_loop();
                            }
                            inside.fetch_sub(1, Ordering::SeqCst);
                            tokio::task::yield_now().await;
                        }
                    };
                    lanes.in_turn(&holding, pin!(guest)).await;
                })
            })
            .collect();
        for guest in guests {
            tokio::time::timeout(Duration::from_secs(20), guest).await.unwrap().unwrap();
        }
        let allowed = lanes.processors.saturating_sub(1).max(1);
        assert!(most.load(Ordering::SeqCst) <= allowed, "{most:?} of {}", lanes.processors);
    }

    #[tokio::test]
    async fn whoever_is_dropped_ends_apart_as_well() {
        let (lanes, pressure) = (Lanes::new(), Pressure::default());
        let (gone, is_gone) = tokio::sync::oneshot::channel::<()>();
        let endless = Box::pin(async move {
            let _gone = gone;
            compute(u32::MAX).await
        });
        let ended = tokio::time::timeout(Duration::from_millis(100), lanes.run(&pressure, endless)).await;
        assert!(ended.is_err());
        let told = tokio::time::timeout(Duration::from_secs(20), is_gone).await;
        assert!(told.unwrap().is_err());
    }
}
