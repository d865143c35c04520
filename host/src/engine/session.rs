//! An instance of a callee that stays for its caller: while the caller holds resources that it has made, or while
//! streams go on after the result of a call.
//!
//! It is one of the callee's instances: it has a place among them, its store has the callee's limits, and the unit
//! that it is of is not idle while it is there, so that a resource stays with the revision that made it. It runs in a
//! task of its own, which ends when the caller holds nothing of it any more and what it was asked has ended, at the
//! deadline of the caller's call, and when its unit is aborted. A trap ends it, and all handles of it fail from then
//! on.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, Shared};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use lath_control_api::ComponentId;
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, Instance, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::engine::base::Tasks;
use crate::engine::call::{check_hops, log_trap};
use crate::engine::crossing::{Given, Passed, each_handle};
use crate::engine::exports::ExportedFunctionId;
use crate::engine::kept::Live;
use crate::engine::pipes;
use crate::engine::prepared::host_failed;
use crate::engine::under_way::Calls;
use crate::engine::unit::CallState;
use crate::engine::{CallContext, CallError, InFlight, Prepared};

/// A callee's instance as its caller has it. The last of it that goes ends the instance.
pub(crate) struct Session {
    target: ComponentId,
    callee: Arc<Prepared>,
    /// Bounded by what the caller may hold: each call in it is one of the caller's tasks, and each drop was a handle.
    commands: mpsc::UnboundedSender<Command>,
    /// How it has ended.
    ended: Shared<BoxFuture<'static, Result<(), CallError>>>,
}

/// What an instance is told, in order.
enum Command {
    Call(Box<Asked>),
    Drop(u32),
}

/// One call.
struct Asked {
    function: ExportedFunctionId,
    params: Vec<Val>,
    passed: Vec<Passed>,
    ctx: CallContext,
    answer: oneshot::Sender<Result<Answer, CallError>>,
}

/// The results of a call, and what stands for the handles in them.
pub(crate) struct Answer {
    pub(crate) results: Vec<Val>,
    pub(crate) given: Vec<Given>,
}

impl Session {
    /// Begins one for a call of `target`; the instance is made in its own time. `ctx` is that of the call, hence the
    /// deadline in it that of the caller's own call.
    pub(crate) fn start(call: InFlight, target: ComponentId, ctx: CallContext) -> Arc<Self> {
        let (commands, told) = mpsc::unbounded_channel();
        let callee = Arc::clone(call.prepared());
        let unit = Arc::clone(&callee);
        let task = tokio::spawn(async move {
            // The unit is in use as long as this runs.
            let call = call;
            let served = Arc::clone(&unit);
            let serve = Box::pin(async move { serve(&served, ctx, told).await });
            let ended = unit.run(serve).await.unwrap_or_else(|| Err(host_failed()));
            drop(call);
            ended
        });
        // A panic of the host is this session's alone (I2).
        let ended = task.map(|ended| ended.unwrap_or_else(|_| Err(host_failed()))).boxed().shared();
        Arc::new(Self { target, callee, commands, ended })
    }

    /// Whose instance it is.
    pub(crate) const fn target(&self) -> &ComponentId {
        &self.target
    }

    /// The unit that it is an instance of.
    pub(crate) const fn callee(&self) -> &Arc<Prepared> {
        &self.callee
    }

    /// Calls a function of it.
    ///
    /// # Errors
    /// As [`CallError`] tells; also when the instance has ended before, with its reason.
    pub(crate) async fn call(
        &self,
        function: ExportedFunctionId,
        params: Vec<Val>,
        passed: Vec<Passed>,
        ctx: CallContext,
    ) -> Result<Answer, CallError> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { function, params, passed, ctx, answer };
        let is_told = self.commands.send(Command::Call(Box::new(asked))).is_ok();
        if is_told && let Ok(answer) = answered.await {
            return answer;
        }
        match self.ended.clone().await {
            Ok(()) => Err(CallError::Failed("the instance has ended before the call".into())),
            Err(cause @ (CallError::Trap(_) | CallError::Target(_))) => Err(CallError::Failed(after(&cause))),
            Err(cause) => Err(cause),
        }
    }

    /// The caller has dropped a resource of it.
    pub(crate) fn drop_resource(&self, key: u32) {
        // Of an instance that has ended nothing is left to drop.
        let _ended = self.commands.send(Command::Drop(key));
    }
}

/// What a call learns of an instance that another one has ended.
pub(crate) fn after(cause: &CallError) -> String {
    format!("the instance that its resources are of has ended: {cause}")
}

/// The instance, and what of it others hold.
struct Serving<'s, 'a> {
    prepared: &'a Prepared,
    instance: Instance,
    /// Types of the resources that it exports, by their number.
    types: Vec<Option<ResourceType>>,
    table: Mutex<Table>,
    calls: &'s Calls<'a>,
}

/// Resources that the caller holds, by key.
#[derive(Default)]
struct Table {
    last: u32,
    resources: HashMap<u32, ResourceAny>,
}

async fn serve(
    prepared: &Prepared,
    ctx: CallContext,
    told: mpsc::UnboundedReceiver<Command>,
) -> Result<(), CallError> {
    check_hops(&ctx, &prepared.identity().id)?;
    let due = ctx.deadline.unwrap_or_else(|| prepared.deadline(&ctx));
    let watch = prepared.watch(due);
    let calls = Calls::new(prepared, due);
    let _instance = match prepared.admit(&ctx, &watch).await {
        Ok(instance) => instance,
        Err(refused) => {
            calls.refused(&refused);
            return Err(refused);
        }
    };
    let mut live = prepared.live(ctx);
    let ended = {
        let guest = pin!(async {
            let serving = Serving::new(prepared, &calls, &mut live).await?;
            match prepared.code().tasks() {
                Tasks::One => serving.one_by_one(&mut live, told).await?,
                Tasks::Many => serving.side_by_side(&mut live, told).await?,
            }
            wasmtime::Result::Ok(serving.table().resources.is_empty())
        });
        // Looked at from outside of the engine, which has no eye for it while a guest computes.
        tokio::select! {
            biased;
            ended = watch.over(prepared.in_turn(guest)) => ended,
            cause = calls.over() => Err(cause),
        }
    };
    let cause = match ended {
        Ok(Ok(is_clean)) => {
            if is_clean {
                prepared.keep(live);
            }
            return Ok(());
        }
        Ok(Err(error)) => {
            log_trap(prepared, live.store.data(), &error);
            watch.verdict(CallError::of_guest(&error, live.store.data().memory.refusal()))
        }
        Err(cause) => cause,
    };
    calls.end(&cause);
    Err(cause)
}

impl<'s, 'a> Serving<'s, 'a> {
    async fn new(prepared: &'a Prepared, calls: &'s Calls<'a>, live: &mut Live) -> wasmtime::Result<Self> {
        let instance = live.instance(prepared).await?;
        let exported = prepared.exports().resources.iter();
        let types = exported
            .map(|resource| instance.get_resource(&mut live.store, resource.index.as_ref()?))
            .collect();
        Ok(Self { prepared, instance, types, table: Mutex::default(), calls })
    }

    /// Does what it is told in order: an instance with one task at a time.
    async fn one_by_one(
        &self,
        live: &mut Live,
        mut told: mpsc::UnboundedReceiver<Command>,
    ) -> wasmtime::Result<()> {
        while let Some(command) = told.recv().await {
            match command {
                Command::Drop(key) => self.drop_resource(live, key).await?,
                Command::Call(asked) => {
                    let Asked { function, mut params, passed, ctx, answer } = *asked;
                    let due = self.prepared.deadline(&ctx);
                    let call = self.calls.begin(answer, due);
                    live.store.data_mut().begin(CallContext { deadline: Some(due), ..ctx });
                    let mut results = self.places(function);
                    self.take(&mut live.store.as_context_mut(), &mut params, passed)?;
                    let callee = self.function(&mut live.store, function)?;
                    callee.call_async(&mut live.store, &params, &mut results).await?;
                    let given = self.give(&mut live.store.as_context_mut(), &mut results)?;
                    self.calls.answer(call, Answer { results, given });
                }
            }
        }
        Ok(())
    }

    /// Does what it is told as it comes: an instance with any number of tasks. Resources are dropped when no call runs.
    async fn side_by_side(
        &self,
        live: &mut Live,
        mut told: mpsc::UnboundedReceiver<Command>,
    ) -> wasmtime::Result<()> {
        loop {
            let told = &mut told;
            let next = live.store.run_concurrent(async |accessor| self.until_drop(accessor, told).await);
            match next.await?? {
                Some(dropped) => {
                    for key in dropped {
                        self.drop_resource(live, key).await?;
                    }
                }
                None => return Ok(()),
            }
        }
    }

    /// Serves calls until there is something to drop and no call runs, or nothing more will be told: then None.
    async fn until_drop(
        &self,
        accessor: &Accessor<CallState>,
        told: &mut mpsc::UnboundedReceiver<Command>,
    ) -> wasmtime::Result<Option<Vec<u32>>> {
        let (mut calls, mut dropped) = (FuturesUnordered::new(), Vec::new());
        let mut is_open = true;
        while is_open || !calls.is_empty() {
            if calls.is_empty() && !dropped.is_empty() {
                return Ok(Some(dropped));
            }
            tokio::select! {
                command = told.recv(), if is_open => match command {
                    Some(Command::Call(asked)) => calls.push(self.called(accessor, *asked)),
                    Some(Command::Drop(key)) => dropped.push(key),
                    None => is_open = false,
                },
                Some(ended) = calls.next(), if !calls.is_empty() => ended?,
            }
        }
        if !dropped.is_empty() {
            return Ok(Some(dropped));
        }
        // What the guest goes on with after its results belongs to its calls.
        self.calls.run_out();
        pipes::settled(accessor).await;
        Ok(None)
    }

    async fn called(&self, accessor: &Accessor<CallState>, asked: Asked) -> wasmtime::Result<()> {
        let Asked { function, mut params, passed, ctx, answer } = asked;
        let due = self.prepared.deadline(&ctx);
        let call = self.calls.begin(answer, due);
        let mut results = self.places(function);
        let callee = accessor.with(|mut store| {
            store.get().begin(CallContext { deadline: Some(due), ..ctx });
            let mut store = store.as_context_mut();
            self.take(&mut store, &mut params, passed)?;
            self.function(&mut store, function)
        })?;
        callee.call_concurrent(accessor, &params, &mut results).await?;
        let given = accessor.with(|mut store| self.give(&mut store.as_context_mut(), &mut results))?;
        self.calls.answer(call, Answer { results, given });
        Ok(())
    }

    async fn drop_resource(&self, live: &mut Live, key: u32) -> wasmtime::Result<()> {
        let resource = self.table().resources.remove(&key);
        match resource {
            Some(resource) => resource.resource_drop_async(&mut live.store).await,
            None => Ok(()),
        }
    }

    /// A place for each result of a function.
    fn places(&self, function: ExportedFunctionId) -> Vec<Val> {
        let results = self.prepared.exports().get(function).map_or(0, |found| found.types.results.len());
        vec![Val::Bool(false); results]
    }

    fn function(
        &self,
        store: impl AsContextMut,
        function: ExportedFunctionId,
    ) -> wasmtime::Result<wasmtime::component::Func> {
        let found = self.prepared.exports().get(function);
        let found = found.and_then(|found| self.instance.get_func(store, found.index));
        found.ok_or_else(|| wasmtime::Error::msg("an export is no function"))
    }

    /// Puts what was passed into its places in `params`.
    fn take(
        &self,
        store: &mut StoreContextMut<'_, CallState>,
        params: &mut [Val],
        passed: Vec<Passed>,
    ) -> wasmtime::Result<()> {
        let mut passed = passed.into_iter();
        let unknown = || wasmtime::Error::msg("the caller has passed a resource that it does not hold");
        each_handle(params, &mut |place| {
            *place = match passed.next().ok_or_else(unknown)? {
                Passed::Own(key) => Val::Resource(self.table().resources.remove(&key).ok_or_else(unknown)?),
                Passed::Borrow(key) => {
                    Val::Resource(self.table().resources.get(&key).copied().ok_or_else(unknown)?)
                }
                Passed::Pipe(pipe) => pipe.put(store.as_context_mut())?,
            };
            Ok(())
        })
    }

    /// Takes the handles out of `results`.
    fn give(
        &self,
        store: &mut StoreContextMut<'_, CallState>,
        results: &mut [Val],
    ) -> wasmtime::Result<Vec<Given>> {
        let mut given = Vec::new();
        each_handle(results, &mut |value| {
            let store = store.as_context_mut();
            given.push(match value {
                Val::Resource(resource) => {
                    let number = self.types.iter().position(|ty| *ty == Some(resource.ty()));
                    let number = number
                        .ok_or_else(|| wasmtime::Error::msg("it has given a resource that is not its own"))?;
                    Given::Own { key: self.table().add(*resource), number }
                }
                Val::Stream(stream) => Given::Pipe(pipes::take_stream(stream, store)?),
                Val::Future(future) => Given::Pipe(pipes::take_future(future, store)?),
                _ => wasmtime::bail!("a handle that no link carries"),
            });
            Ok::<_, wasmtime::Error>(())
        })?;
        Ok(given)
    }

    /// Held for a moment only, never while a guest runs.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, resource: ResourceAny) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if let std::collections::hash_map::Entry::Vacant(free) = self.resources.entry(self.last) {
                free.insert(resource);
                return self.last;
            }
        }
    }
}
