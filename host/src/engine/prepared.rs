//! One spec of one component, ready to be called, and the guard of a call on it.
//!
//! Who may call is not decided here. The rule kept: a call that has begun keeps its unit until it has ended,
//! and once a unit is closed and idle, no call can begin on it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use lath_control_api::{CallCounts, ComponentSpec, Reason};
use tokio::sync::Notify;
use wasmtime::component::InstancePre;

use crate::engine::base::Tasks;
use crate::engine::code::Code;
use crate::engine::counts::Counters;
use crate::engine::exports::Exports;
use crate::engine::gate::{Gate, Place};
use crate::engine::kept::{Kept, Live, Shelf};
use crate::engine::lanes::{Lanes, Pressure};
use crate::engine::link::{Beside, Connected};
use crate::engine::linked::LinkedFunction;
use crate::engine::room::Room;
use crate::engine::unit::{CallState, Unit, UnitIdentity};
use crate::engine::watch::Watch;
use crate::engine::{CallContext, CallError, Caller, PrepareError};

/// The unit takes no calls any more; look the target up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the component takes no more calls")]
pub struct Closed;

/// One spec of one component, ready to be called.
pub struct Prepared {
    pub(crate) unit: Arc<Unit>,
    pub(crate) pre: InstancePre<CallState>,
    /// Components that must serve on the same host.
    pub(crate) beside: Vec<Beside>,
    /// What it calls of other components.
    pub(crate) linked: Vec<Arc<LinkedFunction>>,
    pub(crate) counters: Counters,
    /// What is wrong by the probe that is asked again and again.
    pub(crate) probed: ArcSwapOption<String>,
    /// Tells prepared components apart within this process.
    pub(crate) serial: u64,
    exports: Arc<Exports>,
    code: Arc<Code>,
    /// Places for the instances of this unit.
    instances: Gate,
    /// What all units of the host share.
    places: Places,
    pub(crate) pressure: Pressure,
    /// Instances that stay between calls, where the policy asks for that.
    shelf: Option<Arc<Shelf>>,
    in_flight: AtomicU64,
    closed: AtomicBool,
    aborted: AtomicBool,
    idle_waiters: AtomicU64,
    idle: Notify,
}

/// What the instances of all units of one engine share.
#[derive(Clone)]
pub(crate) struct Places {
    /// How many there may be.
    pub(crate) room: Arc<Room>,
    /// The threads that they run on.
    pub(crate) lanes: Arc<Lanes>,
    /// Those that nothing calls.
    pub(crate) kept: Arc<Kept>,
}

/// A call that has begun. Dropped, it counts as ended.
pub struct InFlight {
    pub(crate) prepared: Arc<Prepared>,
}

impl Prepared {
    pub(crate) fn new(
        code: Arc<Code>,
        unit: Arc<Unit>,
        spec: &ComponentSpec,
        Connected { pre, beside, linked }: Connected,
        places: Places,
    ) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let shelf = Shelf::new(spec.instance_policy, spec.max_instances.max(1), &places.kept);
        let exports = code.exports(&pre);
        Self {
            unit,
            pre,
            beside,
            linked,
            exports,
            code,
            counters: Counters::default(),
            probed: ArcSwapOption::empty(),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            instances: Gate::new(spec.max_instances.max(1), spec.limits.max_waiting),
            places,
            shelf,
            pressure: Pressure::default(),
            in_flight: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            idle_waiters: AtomicU64::new(0),
            idle: Notify::new(),
        }
    }

    /// Makes one instance under the limits of a call and throws it away.
    ///
    /// # Errors
    /// [`Reason::StartFailed`] when it traps, goes over a limit, or takes longer than a call may.
    pub async fn try_start(self: &Arc<Self>) -> Result<(), PrepareError> {
        let unit = Arc::clone(self);
        let first = Box::pin(async move { unit.first_instance().await });
        self.run(first).await.unwrap_or_else(|| Err(host_failed())).map_err(|error| {
            PrepareError::new(Reason::StartFailed, format!("the first instance could not be made: {error}"))
        })
    }

    /// Tries whether an instance can still be made of a component that runs.
    ///
    /// # Errors
    /// [`Reason::StartFailed`] when the component itself does not let it. A host without room or time proves nothing
    /// against the component.
    pub(crate) async fn still_starts(self: &Arc<Self>) -> Result<(), PrepareError> {
        let unit = Arc::clone(self);
        let made = self.run(Box::pin(async move { unit.first_instance().await })).await;
        match made {
            Some(Err(error @ CallError::Trap(_))) => {
                Err(PrepareError::new(Reason::StartFailed, format!("no instance can be made: {error}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn first_instance(&self) -> Result<(), CallError> {
        let ctx = CallContext::default();
        let watch = self.watch(self.deadline(&ctx));
        let _instance = self.admit(&ctx, &watch).await?;
        let mut store = self.unit.store(self.pre.engine(), ctx);
        let made = {
            let made = pin!(self.pre.instantiate_async(&mut store));
            watch.over(self.in_turn(made)).await?
        };
        made.map(drop).map_err(|error| CallError::of_guest(&error, store.data().memory.refusal()))
    }

    /// Begins a call.
    ///
    /// # Errors
    /// When the unit is closed.
    pub fn begin(self: &Arc<Self>) -> Result<InFlight, Closed> {
        // Counted before the flag is read: `close` sets the flag before the count is read, so of a call and a
        // close at the same moment one sees the other.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let call = InFlight { prepared: Arc::clone(self) };
        if self.closed.load(Ordering::SeqCst) { Err(Closed) } else { Ok(call) }
    }

    /// Takes no more calls. Those that have begun go on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Some(shelf) = &self.shelf {
            shelf.close();
        }
    }

    /// Takes calls again, as when a drained spec is wanted after all.
    pub fn reopen(&self) {
        self.aborted.store(false, Ordering::SeqCst);
        self.closed.store(false, Ordering::SeqCst);
        if let Some(shelf) = &self.shelf {
            shelf.open();
        }
    }

    /// Closes the unit and ends every call in flight with [`CallError::Stopped`], within a quarter of a second.
    pub fn abort(&self) {
        self.close();
        self.aborted.store(true, Ordering::SeqCst);
    }

    /// Calls that have begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Calls that have begun since the spec was prepared.
    pub(crate) fn begun(&self) -> u64 {
        self.counters.started()
    }

    /// Resolves when no call is in flight. On a closed unit none will follow.
    pub async fn idle(&self) {
        self.idle_waiters.fetch_add(1, Ordering::SeqCst);
        let _waiting = Leave(&self.idle_waiters);
        loop {
            let notified = self.idle.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Gives back what the component got of capabilities, when no call needs it any more. To be called once, on a
    /// closed unit.
    pub(crate) async fn unbind(&self) {
        self.idle().await;
        self.unit.bound.unbind(&self.unit.identity).await;
    }

    /// What the component can be asked.
    pub fn exports(&self) -> &Exports {
        &self.exports
    }

    /// The compiled code, which other units may share.
    pub fn code(&self) -> &Arc<Code> {
        &self.code
    }

    /// Whether a call of it must run in a task of its own: its store may not be run inside the future of another
    /// store, and a call that came through a component may well be made there.
    pub(crate) fn runs_apart(&self, ctx: &CallContext) -> bool {
        self.code.tasks() == Tasks::Many && ctx.hops > 0
    }

    /// Calls since the spec was prepared; probes are not among them.
    pub fn counts(&self) -> CallCounts {
        self.counters.snapshot(self.in_flight())
    }

    /// Who it is.
    pub fn identity(&self) -> &UnitIdentity {
        &self.unit.identity
    }

    /// It as one who calls others.
    pub(crate) fn caller(&self) -> &Caller {
        self.unit.caller()
    }

    /// Runs a call to its end, on the threads that suit it. None when the host has failed in it.
    pub(crate) async fn run<F>(&self, call: Pin<Box<F>>) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.places.lanes.run(&self.pressure, call).await
    }

    /// The part of a call in which the guest runs.
    pub(crate) fn in_turn<'a, F: Future>(
        &'a self,
        guest: Pin<&'a mut F>,
    ) -> impl Future<Output = F::Output> + use<'a, F> {
        self.places.lanes.in_turn(&self.pressure, guest)
    }

    /// The store of a call, with an instance in it when one was kept.
    pub(crate) fn live(&self, ctx: CallContext) -> Live {
        match self.shelf.as_ref().and_then(|shelf| shelf.take(&ctx)) {
            Some(live) => live,
            None => Live::new(self.unit.store(self.pre.engine(), ctx)),
        }
    }

    /// Keeps what a call has left that ended well, where the policy asks for that, or throws it away.
    pub(crate) fn keep(&self, live: Live) {
        if let Some(shelf) = &self.shelf {
            shelf.put(live);
        }
    }

    /// Throws away instances that nothing calls, whichever component they are of; false when there was none.
    pub(crate) fn make_room(&self) -> bool {
        self.places.kept.make_room()
    }

    /// When a call that begins now must have ended.
    pub(crate) fn deadline(&self, ctx: &CallContext) -> Instant {
        self.deadline_from(Instant::now(), ctx)
    }

    /// When a call that has begun at that time must have ended.
    pub(crate) fn deadline_from(&self, begun: Instant, ctx: &CallContext) -> Instant {
        let own = begun + Duration::from_millis(self.unit.limits.invocation_deadline_ms);
        ctx.deadline.map_or(own, |deadline| deadline.min(own))
    }

    pub(crate) fn watch(&self, deadline: Instant) -> Watch<'_> {
        Watch::new(deadline, &self.aborted)
    }

    /// Waits until the unit and the host have room for another instance.
    pub(crate) async fn admit(
        &self,
        ctx: &CallContext,
        watch: &Watch<'_>,
    ) -> Result<Admitted<'_>, CallError> {
        let instance = self.instances.enter(watch).await?;
        Ok(Admitted { _host: self.places.room.enter(ctx.hops, watch).await?, _unit: instance })
    }
}

/// The places of one call's instance, given back when the store is gone: declare it before the store.
pub(crate) struct Admitted<'a> {
    _host: Place<'a>,
    _unit: Place<'a>,
}

/// What a caller learns of a panic of the host in its call.
pub(crate) fn host_failed() -> CallError {
    CallError::Failed("the host failed in the call".into())
}

/// Takes one from a count when a waiting future ends, however it ends.
struct Leave<'a>(&'a AtomicU64);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("identity", &self.unit.identity)
            .field("revision", &self.unit.identity.revision)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

impl InFlight {
    /// The component that is called.
    #[must_use]
    pub fn prepared(&self) -> &Arc<Prepared> {
        &self.prepared
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let prepared = &self.prepared;
        if prepared.in_flight.fetch_sub(1, Ordering::SeqCst) == 1
            && prepared.idle_waiters.load(Ordering::SeqCst) > 0
        {
            prepared.idle.notify_waiters();
        }
    }
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("InFlight").field(&self.prepared).finish()
    }
}
