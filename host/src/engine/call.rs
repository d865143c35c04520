//! A call of one function with values, each time in a store of its own.
//!
//! The values are dynamic, or those of a signature that `typed` knows: what the two have in common is
//! [`Prepared::invoke`], the one place that lowers and lifts.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use lath_control_api::ComponentId;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::Store;
use wasmtime::component::{Func, Val};

use crate::engine::base::Tasks;
use crate::engine::counts::Recorder;
use crate::engine::exports::{ExportedFunction, ExportedFunctionId};
use crate::engine::pipes;
use crate::engine::prepared::host_failed;
use crate::engine::targets::MAX_HOPS;
use crate::engine::typed::Values;
use crate::engine::unit::CallState;
use crate::engine::{CallContext, CallError, InFlight, Outcome, Prepared};

/// What a function is called with, and what it gives.
trait Call: Send {
    /// Its results.
    type Results: Send;

    /// Calls `callee`, which is in `store`, and stays until the call is over.
    fn make(
        self,
        store: &mut Store<CallState>,
        callee: Func,
        tasks: Tasks,
    ) -> impl Future<Output = wasmtime::Result<Self::Results>> + Send;
}

/// Dynamic values, which stay where they are.
struct Dynamic<'a> {
    params: &'a [Val],
    results: &'a mut [Val],
}

/// Dynamic values that go along with the call.
struct Owned {
    params: Vec<Val>,
    results: Vec<Val>,
}

impl Call for Owned {
    type Results = Vec<Val>;

    async fn make(
        mut self,
        store: &mut Store<CallState>,
        callee: Func,
        tasks: Tasks,
    ) -> wasmtime::Result<Vec<Val>> {
        let call = Dynamic { params: &self.params, results: &mut self.results };
        call.make(store, callee, tasks).await?;
        Ok(self.results)
    }
}

impl Call for Dynamic<'_> {
    type Results = ();

    async fn make(self, store: &mut Store<CallState>, callee: Func, tasks: Tasks) -> wasmtime::Result<()> {
        match tasks {
            Tasks::One => callee.call_async(store, self.params, self.results).await,
            // What the guest goes on with after its result belongs to this call, not to the next one.
            Tasks::Many => {
                store
                    .run_concurrent(async |accessor| {
                        callee.call_concurrent(accessor, self.params, self.results).await?;
                        pipes::settled(accessor).await;
                        Ok(())
                    })
                    .await?
            }
        }
    }
}

/// Values of a known signature.
struct Typed<P, R> {
    params: P,
    results: PhantomData<fn() -> R>,
}

impl<P: Values, R: Values> Call for Typed<P, R> {
    type Results = R;

    async fn make(self, store: &mut Store<CallState>, callee: Func, tasks: Tasks) -> wasmtime::Result<R> {
        let callee = callee.typed::<P, R>(&*store)?;
        match tasks {
            Tasks::One => callee.call_async(store, self.params).await,
            Tasks::Many => {
                store
                    .run_concurrent(async |accessor| {
                        let results = callee.call_concurrent(accessor, self.params).await?;
                        pipes::settled(accessor).await;
                        Ok(results)
                    })
                    .await?
            }
        }
    }
}

impl InFlight {
    /// Calls a function and gives its results: none or one value.
    ///
    /// # Errors
    /// As [`CallError`] tells. A function that returns an error of its own has not failed: that is a value.
    pub async fn call(
        self,
        function: ExportedFunctionId,
        params: Vec<Val>,
        ctx: CallContext,
    ) -> Result<Vec<Val>, CallError> {
        let mut results = match self.prepared.exports().get(function) {
            Some(function) => vec![Val::Bool(false); function.types.results.len()],
            None => Vec::new(),
        };
        let prepared = Arc::clone(&self.prepared);
        let call = Box::pin(async move {
            self.call_in_place(function, &params, &mut results, ctx).await?;
            Ok(results)
        });
        prepared.run(call).await.unwrap_or_else(|| Err(host_failed()))
    }

    /// As [`InFlight::call`] with values that stay where they are, and on the caller's thread. `results` has a place for each result.
    pub(crate) async fn call_in_place(
        self,
        function: ExportedFunctionId,
        params: &[Val],
        results: &mut [Val],
        ctx: CallContext,
    ) -> Result<(), CallError> {
        if !self.prepared.runs_apart(&ctx) {
            return self.here(function, Dynamic { params, results }, ctx).await;
        }
        let call = Owned { params: params.to_vec(), results: vec![Val::Bool(false); results.len()] };
        let answer = self.apart(function, call, ctx).await?;
        results.iter_mut().zip(answer).for_each(|(place, value)| *place = value);
        Ok(())
    }

    /// As [`InFlight::call_in_place`] with values of a signature that is known, and is that of the function.
    pub(crate) async fn call_typed<P: Values, R: Values>(
        self,
        function: ExportedFunctionId,
        params: P,
        ctx: CallContext,
    ) -> Result<R, CallError> {
        let call = Typed { params, results: PhantomData };
        if self.prepared.runs_apart(&ctx) {
            self.apart(function, call, ctx).await
        } else {
            self.here(function, call, ctx).await
        }
    }

    /// Calls a function without parameters, for a question that no user asked: it does not show in the counts.
    pub(crate) async fn call_uncounted(
        self,
        function: ExportedFunctionId,
        results: &mut [Val],
        mut ctx: CallContext,
    ) -> Result<(), CallError> {
        let due = self.prepared.deadline(&ctx);
        ctx.deadline = Some(due);
        self.prepared.invoke(function, Dynamic { params: &[], results }, ctx, due).await
    }

    async fn here<C: Call>(
        self,
        function: ExportedFunctionId,
        call: C,
        mut ctx: CallContext,
    ) -> Result<C::Results, CallError> {
        let due = self.prepared.deadline(&ctx);
        ctx.deadline = Some(due);
        let recorder = Recorder::start(&self.prepared.counters, due);
        let ended = self.prepared.invoke(function, call, ctx, due).await;
        recorder.end(outcome(&ended));
        ended
    }

    /// As [`InFlight::here`] in a task of its own, which ends when its caller leaves.
    async fn apart<C: Call + 'static>(
        self,
        function: ExportedFunctionId,
        call: C,
        mut ctx: CallContext,
    ) -> Result<C::Results, CallError> {
        let due = self.prepared.deadline(&ctx);
        ctx.deadline = Some(due);
        let recorder = Recorder::start(&self.prepared.counters, due);
        let (unit, prepared) = (Arc::clone(&self.prepared), Arc::clone(&self.prepared));
        let call = Box::pin(async move { unit.invoke(function, call, ctx, due).await });
        let task =
            tokio::spawn(async move { prepared.run(call).await.unwrap_or_else(|| Err(host_failed())) });
        // A panic of the host is that call's alone (I2).
        let ended = AbortOnDropHandle::new(task).await.unwrap_or_else(|_| Err(host_failed()));
        recorder.end(outcome(&ended));
        ended
    }
}

fn outcome<T>(ended: &Result<T, CallError>) -> Outcome {
    ended.as_ref().map_or_else(CallError::outcome, |_| Outcome::Succeeded)
}

impl Prepared {
    async fn invoke<C: Call>(
        &self,
        function: ExportedFunctionId,
        call: C,
        ctx: CallContext,
        due: Instant,
    ) -> Result<C::Results, CallError> {
        let Some(function) = self.exports().get(function) else {
            return Err(CallError::NoSuchFunction("it belongs to another component".into()));
        };
        if function.types.handles.any() {
            return Err(within_links_only(function));
        }
        check_hops(&ctx, &self.unit.identity.id)?;
        let watch = self.watch(due);
        let _instance = self.admit(&ctx, &watch).await?;
        let mut live = self.live(ctx);
        let ended = {
            let guest = pin!(async {
                let instance = live.instance(self).await?;
                let Some(callee) = instance.get_func(&mut live.store, function.index) else {
                    wasmtime::bail!("the export `{}` is no function", function.name);
                };
                call.make(&mut live.store, callee, self.code().tasks()).await
            });
            watch.over(self.in_turn(guest)).await?
        };
        match ended {
            Ok(results) => {
                self.keep(live);
                Ok(results)
            }
            Err(error) => {
                log_trap(self, live.store.data(), &error);
                Err(watch.verdict(CallError::of_guest(&error, live.store.data().memory.refusal())))
            }
        }
    }
}

/// Refuses a call from outside of components.
fn within_links_only(function: &ExportedFunction) -> CallError {
    let (name, handles) = (&function.name, function.types.handles.name());
    CallError::NoSuchFunction(format!(
        "`{name}` takes or gives {handles}: only components on its host can call it"
    ))
}

/// Refuses a call that has come through too many components.
pub(crate) fn check_hops(ctx: &CallContext, id: &ComponentId) -> Result<(), CallError> {
    if ctx.hops < MAX_HOPS {
        return Ok(());
    }
    Err(CallError::Failed(format!(
        "the call reached `{id}` through {MAX_HOPS} components: the links make a circle"
    )))
}

/// Leaves the guest's stack where whoever mends it will look. The caller only learns the cause.
pub(crate) fn log_trap(prepared: &Prepared, state: &CallState, error: &wasmtime::Error) {
    prepared.unit.log.failed_in(state.ctx.trace.as_deref(), &format!("a call failed: {error:?}"));
}
