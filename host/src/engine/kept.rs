//! Instances that stay between calls, for components whose policy keeps them: each serves one call at a time, of one
//! prepared component and so of one revision.
//!
//! A component with a new instance for every call has no shelf and meets no lock here. A shelf's lock is held to put
//! or take one instance, never while one runs or is thrown away.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use lath_control_api::InstancePolicy;
use wasmtime::Store;
use wasmtime::component::Instance;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p3::bindings::Service;

use crate::engine::unit::CallState;
use crate::engine::{CallContext, Prepared};

/// Handlers of an instance: to find one again for each call takes as long as a few host calls.
#[derive(Default)]
pub(crate) struct Handler {
    /// Of WASI 0.2.
    pub(crate) incoming: Option<Proxy>,
    /// Of WASI 0.3.
    pub(crate) service: Option<Service>,
}

/// A store and what lives in it.
pub(crate) struct Live {
    pub(crate) store: Store<CallState>,
    /// The handler of HTTP requests in it, once it was looked for.
    pub(crate) handler: Handler,
    instance: Option<Instance>,
    /// Calls that it has begun.
    calls: u32,
    /// When its last call ended.
    idle_since: Instant,
}

impl Live {
    pub(crate) fn new(store: Store<CallState>) -> Self {
        Self { store, handler: Handler::default(), instance: None, calls: 1, idle_since: Instant::now() }
    }

    /// The instance of the store, made when it is not there yet.
    pub(crate) async fn instance(&mut self, prepared: &Prepared) -> wasmtime::Result<Instance> {
        if let Some(instance) = self.instance {
            return Ok(instance);
        }
        let instance = match prepared.pre.instantiate_async(&mut self.store).await {
            // Those that nothing calls make room. What was made of this one stays in its store, so it needs another.
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() && prepared.make_room() => {
                let ctx = self.store.data().ctx.clone();
                self.store = prepared.unit.store(prepared.pre.engine(), ctx);
                prepared.pre.instantiate_async(&mut self.store).await?
            }
            made => made?,
        };
        self.instance = Some(instance);
        Ok(instance)
    }

    /// Makes it ready for another call: nothing of the one before is left but what the guest keeps in its memory and
    /// handles.
    fn begin(mut self, ctx: CallContext) -> Self {
        self.store.data_mut().begin(ctx);
        self.store.set_epoch_deadline(1);
        self.calls = self.calls.saturating_add(1);
        self
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Whoever reads what the guest has not written to its end learns that it is lost.
        self.store.data().pipes.end();
    }
}

/// The instances of one prepared component that nothing calls.
pub(crate) struct Shelf {
    most_calls: u32,
    most_idle: usize,
    longest: Duration,
    kept: Arc<Kept>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The unit is closed: nothing is kept any more.
    closed: bool,
    /// The one that served last is the last, and the next to serve.
    idle: Vec<Live>,
}

impl Shelf {
    /// The shelf that a policy asks for, of a component with so many places; none when it keeps no instance.
    pub(crate) fn new(policy: InstancePolicy, places: u32, kept: &Arc<Kept>) -> Option<Arc<Self>> {
        let (most_calls, most_idle, idle_ms) = match policy {
            InstancePolicy::Fresh | InstancePolicy::Reuse { calls: 0 | 1 } => return None,
            InstancePolicy::Reuse { calls } => (calls, places, InstancePolicy::DEFAULT_IDLE_MS),
            InstancePolicy::Pooled { keep, idle_ms } => (u32::MAX, keep, idle_ms),
        };
        let shelf = Arc::new(Self {
            most_calls,
            most_idle: usize::try_from(most_idle).unwrap_or(usize::MAX),
            longest: Duration::from_millis(idle_ms),
            kept: Arc::clone(kept),
            state: Mutex::default(),
        });
        kept.add(&shelf);
        Some(shelf)
    }

    /// An instance for a call, if one is idle.
    pub(crate) fn take(&self, ctx: &CallContext) -> Option<Live> {
        let live = self.state().idle.pop()?;
        self.kept.idle.fetch_sub(1, Ordering::Relaxed);
        Some(live.begin(ctx.clone()))
    }

    /// Keeps an instance whose call has ended well, if it may serve another one.
    pub(crate) fn put(&self, mut live: Live) {
        if live.calls >= self.most_calls || !live.store.data_mut().end() || !self.kept.one_more() {
            return;
        }
        live.idle_since = Instant::now();
        let mut state = self.state();
        if state.closed || state.idle.len() >= self.most_idle {
            self.kept.idle.fetch_sub(1, Ordering::Relaxed);
            drop(state);
            // Thrown away without the lock.
            return drop(live);
        }
        state.idle.push(live);
    }

    /// Throws every idle instance away, and keeps none until [`Shelf::open`].
    pub(crate) fn close(&self) {
        let thrown = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        self.kept.thrown(&thrown);
    }

    /// Keeps instances again.
    pub(crate) fn open(&self) {
        self.state().closed = false;
    }

    /// Throws away what has been idle for too long at `now`, or all of it.
    fn sweep(&self, now: Option<Instant>) -> usize {
        let thrown: Vec<Live> = {
            let mut state = self.state();
            // The oldest are the first.
            let old = |live: &Live| {
                now.is_none_or(|now| now.saturating_duration_since(live.idle_since) >= self.longest)
            };
            let fresh = state.idle.iter().position(|live| !old(live)).unwrap_or(state.idle.len());
            state.idle.drain(..fresh).collect()
        };
        self.kept.thrown(&thrown);
        thrown.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.close();
    }
}

/// All shelves of one engine, and how many instances stand on them.
#[derive(Default)]
pub(crate) struct Kept {
    idle: AtomicU32,
    most: u32,
    shelves: Mutex<Vec<Weak<Shelf>>>,
}

impl Kept {
    /// Shelves for at most `most` instances.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, ..Self::default() }
    }

    /// Throws away what has been idle for too long. Called every now and then, by whoever has the time.
    pub(crate) fn sweep(&self) {
        if self.idle.load(Ordering::Relaxed) > 0 {
            let now = Instant::now();
            for shelf in self.each() {
                shelf.sweep(Some(now));
            }
        }
    }

    /// Throws every idle instance away, whoever it belongs to; false when there was none.
    pub(crate) fn make_room(&self) -> bool {
        self.each().iter().map(|shelf| shelf.sweep(None)).sum::<usize>() > 0
    }

    /// Instances that nothing calls.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> u32 {
        self.idle.load(Ordering::Relaxed)
    }

    fn add(&self, shelf: &Arc<Shelf>) {
        let mut shelves = self.shelves();
        shelves.retain(|shelf| shelf.strong_count() > 0);
        shelves.push(Arc::downgrade(shelf));
    }

    fn each(&self) -> Vec<Arc<Shelf>> {
        self.shelves().iter().filter_map(Weak::upgrade).collect()
    }

    /// Counts one more idle instance, if there may be one.
    fn one_more(&self) -> bool {
        let more = |idle: u32| (idle < self.most).then_some(idle + 1);
        self.idle.try_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn thrown(&self, instances: &[Live]) {
        self.idle.fetch_sub(u32::try_from(instances.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn shelves(&self) -> MutexGuard<'_, Vec<Weak<Shelf>>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
