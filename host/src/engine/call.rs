//! A call of one function with values, each time in a store of its own.
//!
//! Values are dynamic here. A typed path for callees that are compiled together would begin at
//! [`Prepared::invoke`]: it is the one place that lowers and lifts.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use lath_control_api::ComponentId;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Val;

use crate::engine::base::Tasks;
use crate::engine::counts::Recorder;
use crate::engine::exports::{ExportedFunction, ExportedFunctionId};
use crate::engine::pipes;
use crate::engine::prepared::host_failed;
use crate::engine::targets::MAX_HOPS;
use crate::engine::{CallContext, CallError, InFlight, Outcome, Prepared};

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
        mut ctx: CallContext,
    ) -> Result<(), CallError> {
        let prepared = &*self.prepared;
        let due = prepared.deadline(&ctx);
        ctx.deadline = Some(due);
        let recorder = Recorder::start(&prepared.counters, due);
        let ended = match prepared.exports().get(function) {
            Some(function) if function.types.handles.any() => Err(within_links_only(function)),
            Some(_) if prepared.runs_apart(&ctx) => {
                invoke_apart(Arc::clone(&self.prepared), function, params, results, ctx, due).await
            }
            Some(function) => prepared.invoke(function, params, results, ctx, due).await,
            None => Err(CallError::NoSuchFunction("it belongs to another component".into())),
        };
        recorder.end(ended.as_ref().map_or_else(CallError::outcome, |()| Outcome::Succeeded));
        ended
    }
}

impl InFlight {
    /// Calls a function without parameters, for a question that no user asked: it does not show in the counts.
    pub(crate) async fn call_uncounted(
        self,
        function: ExportedFunctionId,
        results: &mut [Val],
        mut ctx: CallContext,
    ) -> Result<(), CallError> {
        let prepared = &*self.prepared;
        let due = prepared.deadline(&ctx);
        ctx.deadline = Some(due);
        match prepared.exports().get(function) {
            Some(function) if function.types.handles.any() => Err(within_links_only(function)),
            Some(function) => prepared.invoke(function, &[], results, ctx, due).await,
            None => Err(CallError::NoSuchFunction("it belongs to another component".into())),
        }
    }
}

impl Prepared {
    async fn invoke(
        &self,
        function: &ExportedFunction,
        params: &[Val],
        results: &mut [Val],
        ctx: CallContext,
        due: Instant,
    ) -> Result<(), CallError> {
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
                match self.code().tasks() {
                    Tasks::One => callee.call_async(&mut live.store, params, results).await,
                    // What the guest goes on with after its result belongs to this call, not to the next one.
                    Tasks::Many => {
                        live.store
                            .run_concurrent(async |accessor| {
                                callee.call_concurrent(accessor, params, results).await?;
                                pipes::settled(accessor).await;
                                Ok(())
                            })
                            .await?
                    }
                }
            });
            watch.over(self.in_turn(guest)).await?
        };
        match ended {
            Ok(()) => {
                self.keep(live);
                Ok(())
            }
            Err(error) => {
                log_trap(self, &error);
                Err(watch.verdict(CallError::of_guest(&error, live.store.data().memory.refusal())))
            }
        }
    }
}

/// As [`Prepared::invoke`] in a task of its own, which ends when its caller leaves.
async fn invoke_apart(
    prepared: Arc<Prepared>,
    function: ExportedFunctionId,
    params: &[Val],
    results: &mut [Val],
    ctx: CallContext,
    due: Instant,
) -> Result<(), CallError> {
    let (params, mut own) = (params.to_vec(), vec![Val::Bool(false); results.len()]);
    let unit = Arc::clone(&prepared);
    let call = Box::pin(async move {
        let Some(function) = unit.exports().get(function) else {
            return Err(CallError::NoSuchFunction("it belongs to another component".into()));
        };
        unit.invoke(function, &params, &mut own, ctx, due).await.map(|()| own)
    });
    let task = tokio::spawn(async move { prepared.run(call).await.unwrap_or_else(|| Err(host_failed())) });
    match AbortOnDropHandle::new(task).await {
        Ok(answered) => {
            results.iter_mut().zip(answered?).for_each(|(place, value)| *place = value);
            Ok(())
        }
        // A panic of the host is that call's alone (I2).
        Err(_) => Err(host_failed()),
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
pub(crate) fn log_trap(prepared: &Prepared, error: &wasmtime::Error) {
    prepared.unit.log.failed(&format!("a call failed: {error:?}"));
}
