//! One function that a component imports over a link: from the call in the guest to whoever answers it.
//!
//! On this host values go straight from one store to the other, without encoding. A failed call traps the
//! caller, as in 1.x: the interface has no place for the platform's failures.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use lath_control_api::LinkSpec;
use wasmtime::component::Val;

use crate::engine::exports::ExportedFunctionId;
use crate::engine::failure::LinkedCallFailed;
use crate::engine::typed::Values;
use crate::engine::{CallContext, CallError, Caller, FunctionTypes, InFlight, Prepared, RemoteCall, Targets};

/// An imported function and its link.
pub(crate) struct LinkedFunction {
    targets: Arc<dyn Targets>,
    link: Arc<LinkSpec>,
    instance: String,
    name: String,
    types: FunctionTypes,
    /// Where the function was found in the callee of the last call on this host.
    bound: ArcSwapOption<Binding>,
}

/// The function in one prepared component, looked up and compared once.
struct Binding {
    callee: u64,
    function: Result<ExportedFunctionId, String>,
}

impl LinkedFunction {
    pub(crate) fn new(
        targets: Arc<dyn Targets>,
        link: Arc<LinkSpec>,
        instance: String,
        name: String,
        types: FunctionTypes,
    ) -> Self {
        Self { targets, link, instance, name, types, bound: ArcSwapOption::empty() }
    }

    /// What it takes and gives.
    pub(crate) const fn types(&self) -> &FunctionTypes {
        &self.types
    }

    /// Whether its caller may go on while it runs.
    pub(crate) const fn is_async(&self) -> bool {
        self.types.is_async
    }

    /// Makes the call. Its failure is an error with [`LinkedCallFailed`], which traps the caller.
    pub(crate) async fn call(
        &self,
        caller: &Caller,
        mut ctx: CallContext,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        ctx.hops = ctx.hops.saturating_add(1);
        let answered = match self.targets.local(caller, &self.link.target) {
            Some(callee) => self.call_local(callee, ctx, params, results).await,
            None => self.call_remote(caller, ctx, params.to_vec(), results).await,
        };
        answered.map_err(|cause| self.failed(cause))
    }

    /// As [`LinkedFunction::call`] with values that pass whole.
    pub(crate) async fn call_typed<P: Values, R: Values>(
        &self,
        caller: &Caller,
        mut ctx: CallContext,
        params: P,
    ) -> wasmtime::Result<R> {
        ctx.hops = ctx.hops.saturating_add(1);
        let answered = match self.targets.local(caller, &self.link.target) {
            Some(callee) => match self.find_in(callee.prepared()) {
                Ok(function) => Box::pin(callee.call_typed(function, params, ctx)).await,
                Err(error) => Err(error),
            },
            None => self.call_remote_typed(caller, ctx, params).await,
        };
        answered.map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: CallError) -> wasmtime::Error {
        wasmtime::Error::new(LinkedCallFailed {
            function: format!("{}.{}", self.instance, self.name),
            target: self.link.target.to_string(),
            cause,
        })
    }

    async fn call_remote_typed<P: Values, R: Values>(
        &self,
        caller: &Caller,
        ctx: CallContext,
        params: P,
    ) -> Result<R, CallError> {
        let mut results = vec![Val::Bool(false); self.types.results.len()];
        self.call_remote(caller, ctx, params.into_vals(), &mut results).await?;
        R::of_vals(results)
            .ok_or_else(|| CallError::Failed("the target gave results of other types".to_owned()))
    }

    async fn call_local(
        &self,
        callee: InFlight,
        ctx: CallContext,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), CallError> {
        let function = self.find_in(callee.prepared())?;
        // On the heap: a chain of calls is as many of these futures inside one another.
        Box::pin(callee.call_in_place(function, params, results, ctx)).await
    }

    async fn call_remote(
        &self,
        caller: &Caller,
        ctx: CallContext,
        params: Vec<Val>,
        results: &mut [Val],
    ) -> Result<(), CallError> {
        let call = RemoteCall {
            caller,
            link: &self.link,
            instance: &self.instance,
            function: &self.name,
            params,
            types: &self.types,
            ctx,
        };
        let answer = self.targets.remote(call).await?;
        if answer.len() != results.len() {
            let message = format!("the target gave {} results instead of {}", answer.len(), results.len());
            return Err(CallError::Failed(message));
        }
        for (place, value) in results.iter_mut().zip(answer) {
            *place = value;
        }
        Ok(())
    }

    /// The function in `callee`, if it has it with the same types.
    fn find_in(&self, callee: &Prepared) -> Result<ExportedFunctionId, CallError> {
        let bound = self.bound.load();
        let found = match bound.as_deref() {
            Some(binding) if binding.callee == callee.serial => binding.function.clone(),
            _ => {
                let function = self.look_up(callee);
                self.bound
                    .store(Some(Arc::new(Binding { callee: callee.serial, function: function.clone() })));
                function
            }
        };
        found.map_err(CallError::NoSuchFunction)
    }

    fn look_up(&self, callee: &Prepared) -> Result<ExportedFunctionId, String> {
        let id = &callee.identity().id;
        let exports = callee.exports();
        let function = exports.find(Some(&self.instance), &self.name).ok_or_else(|| {
            format!("`{id}` does not export `{}` with a function `{}`", self.instance, self.name)
        })?;
        match exports.get(function) {
            Some(found) if found.types.same(&self.types) => Ok(function),
            _ => {
                Err(format!("`{id}` has `{}.{}` with other types than its caller", self.instance, self.name))
            }
        }
    }
}
