//! One function that a component imports over a link: from the call in the guest to whoever answers it.
//!
//! On this host values go straight from one store to the other, without encoding. A failed call traps the
//! caller, as in 1.x: the interface has no place for the platform's failures.
//!
//! A call has three steps, because its caller's store must not be held while the callee runs: [`LinkedFunction::begin`],
//! [`LinkedFunction::wait`], [`LinkedFunction::finish`].

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use lath_control_api::{ComponentId, LinkSpec, Transport};
use lath_telemetry::{KeyValue, Open, SpanKind, Spans};
use lath_wrpc::codec;
use wasmtime::component::Val;
use wasmtime::{AsContextMut, StoreContextMut};

use crate::engine::crossing::{self, Given, Passed};
use crate::engine::encoded::{unread, unsent};
use crate::engine::exports::ExportedFunctionId;
use crate::engine::failure::LinkedCallFailed;
use crate::engine::handles::{Resources, same_types};
use crate::engine::session::{Answer, Session};
use crate::engine::typed::Values;
use crate::engine::unit::{CallState, Unit};
use crate::engine::{CallContext, CallError, Caller, FunctionTypes, InFlight, Prepared, RemoteCall, Targets};
use crate::trace;

/// An imported function and its link.
pub(crate) struct LinkedFunction {
    targets: Arc<dyn Targets>,
    link: Arc<LinkSpec>,
    instance: String,
    name: String,
    types: FunctionTypes,
    /// The resources that the component imports.
    resources: Arc<Resources>,
    /// Where the function was found in the callee of the last call on this host.
    bound: ArcSwapOption<Binding>,
}

/// The function in one prepared component, looked up and compared once.
struct Binding {
    callee: u64,
    function: Result<ExportedFunctionId, String>,
    /// The number that the caller has for each resource of the callee.
    numbers: Vec<Option<u32>>,
}

/// A call that was begun.
pub(crate) enum Begun {
    /// Of values alone, to whichever instance suits.
    Plain(Arc<Unit>, CallContext),
    /// To the instance that the caller has of its callee.
    InSession(Box<Asking>),
}

/// A call to an instance that stays.
pub(crate) struct Asking {
    session: Arc<Session>,
    binding: Arc<Binding>,
    function: ExportedFunctionId,
    params: Vec<Val>,
    passed: Vec<Passed>,
    ctx: CallContext,
}

/// Handles among the results of a call, which are yet to be put into the caller's store.
pub(crate) struct Received {
    session: Arc<Session>,
    binding: Arc<Binding>,
    given: Vec<Given>,
}

impl LinkedFunction {
    pub(crate) fn new(
        targets: Arc<dyn Targets>,
        link: Arc<LinkSpec>,
        instance: String,
        (name, types): (String, FunctionTypes),
        resources: Arc<Resources>,
    ) -> Self {
        Self { targets, link, instance, name, types, resources, bound: ArcSwapOption::empty() }
    }

    /// What it takes and gives.
    pub(crate) const fn types(&self) -> &FunctionTypes {
        &self.types
    }

    /// The component that it leads to.
    pub(crate) fn target(&self) -> &ComponentId {
        &self.link.target
    }

    /// Whether `callee`, its target, answers it.
    ///
    /// # Errors
    /// What stands in the way, for whoever wrote both.
    pub(crate) fn fits(&self, callee: &Prepared) -> Result<(), String> {
        self.look_up(callee).map(drop)
    }

    /// Whether its caller may go on while it runs.
    pub(crate) const fn is_async(&self) -> bool {
        self.types.is_async
    }

    /// Takes out of the caller's store what the call needs of it. Its failure, as that of the other steps, is an error
    /// with [`LinkedCallFailed`], which traps the caller.
    pub(crate) fn begin(
        &self,
        mut store: StoreContextMut<'_, CallState>,
        params: &[Val],
    ) -> wasmtime::Result<Begun> {
        let state = store.data_mut();
        let session = state.session_of(&self.link.target);
        let mut ctx = state.ctx.clone();
        ctx.hops = ctx.hops.saturating_add(1);
        if session.is_none() && !self.types.handles.any() {
            return Ok(Begun::Plain(Arc::clone(&state.unit), ctx));
        }
        let session = match session {
            Some(session) => session,
            None => self.start_session(state, ctx.clone())?,
        };
        let binding = self.binding_in(session.callee());
        let function =
            binding.function.clone().map_err(|cause| self.failed(CallError::NoSuchFunction(cause)))?;
        let mut params = params.to_vec();
        let passed = crossing::pass(store, &session, &mut params)?;
        Ok(Begun::InSession(Box::new(Asking { session, binding, function, params, passed, ctx })))
    }

    /// Waits for the answer. Plain results are in their places then; others come with what [`Self::finish`] needs.
    pub(crate) async fn wait(
        &self,
        begun: Begun,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<Option<Received>> {
        match begun {
            Begun::Plain(unit, ctx) => {
                self.call(&unit, ctx, params, results).await?;
                Ok(None)
            }
            Begun::InSession(asking) => {
                let Asking { session, binding, function, params, passed, mut ctx } = *asking;
                let open = self.open(&session.callee().unit.spans, &mut ctx);
                let answered = session.call(function, params, passed, ctx).await;
                close(open, Some(session.callee()), &answered);
                let Answer { results: answer, given } = answered.map_err(|cause| self.failed(cause))?;
                place(answer, results).map_err(|cause| self.failed(cause))?;
                Ok(Some(Received { session, binding, given }))
            }
        }
    }

    /// Puts the handles among the results into the caller's store.
    pub(crate) fn finish(
        store: StoreContextMut<'_, CallState>,
        received: Option<Received>,
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        match received {
            Some(Received { session, binding, given }) => {
                crossing::receive(store, &session, &binding.numbers, results, given)
            }
            None => Ok(()),
        }
    }

    fn start_session(&self, state: &mut CallState, ctx: CallContext) -> wasmtime::Result<Arc<Session>> {
        let target = &self.link.target;
        let Some(callee) = self.targets.beside(state.unit.caller(), target) else {
            return Err(self.failed(CallError::Failed(format!(
                "`{target}` does not serve on this host, and {} do not leave a host",
                self.types.handles.name()
            ))));
        };
        let session = Session::start(callee, target.clone(), ctx);
        if self.types.handles.resources {
            state.keep_session(&session);
        }
        Ok(session)
    }

    fn failed(&self, cause: CallError) -> wasmtime::Error {
        wasmtime::Error::new(LinkedCallFailed {
            function: format!("{}.{}", self.instance, self.name),
            target: self.link.target.to_string(),
            cause,
        })
    }

    async fn call(
        &self,
        unit: &Unit,
        mut ctx: CallContext,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let open = self.open(&unit.spans, &mut ctx);
        let callee = self.callee(unit)?;
        let local = open.as_ref().and_then(|_| callee.as_ref().map(|callee| Arc::clone(callee.prepared())));
        let answered = match callee {
            Some(callee) => self.call_local(callee, ctx, params, results).await,
            None => self.call_elsewhere(unit.caller(), ctx, params, results).await,
        };
        close(open, local.as_ref(), &answered);
        answered.map_err(|cause| self.failed(cause))
    }

    /// Who answers on this host; none when the call goes over the lattice.
    fn callee(&self, unit: &Unit) -> wasmtime::Result<Option<InFlight>> {
        let LinkSpec { target, transport, .. } = &*self.link;
        if *transport == Transport::Wrpc {
            return Ok(None);
        }
        let callee = self.targets.local(unit.caller(), target);
        if callee.is_none() && *transport == Transport::Inprocess {
            return Err(self.failed(CallError::Failed(not_beside(target))));
        }
        Ok(callee)
    }

    /// The span of a call, which its callee is called within; none when the call is not recorded.
    fn open(&self, spans: &Spans, ctx: &mut CallContext) -> Option<Open> {
        let name = || trace::name_of(&self.instance, &self.name);
        let mut open = spans.within(ctx.trace.as_deref(), SpanKind::Client, name)?;
        trace::note_function(&mut open, &self.instance, &self.name);
        open.note(|| {
            [
                KeyValue::new("lath.target", self.link.target.to_string()),
                KeyValue::new("lath.link", self.link.name.0.to_string()),
            ]
        });
        ctx.trace = Some(Arc::new(open.context().clone()));
        Some(open)
    }

    /// As the three steps with values that pass whole.
    pub(crate) async fn call_typed<P: Values, R: Values>(
        &self,
        mut store: StoreContextMut<'_, CallState>,
        params: P,
    ) -> wasmtime::Result<R> {
        let state = store.data_mut();
        if state.session_of(&self.link.target).is_some() {
            return self.call_in_session(store, params).await;
        }
        let (unit, mut ctx) = (Arc::clone(&state.unit), state.ctx.clone());
        ctx.hops = ctx.hops.saturating_add(1);
        let open = self.open(&unit.spans, &mut ctx);
        let callee = self.callee(&unit)?;
        let local = open.as_ref().and_then(|_| callee.as_ref().map(|callee| Arc::clone(callee.prepared())));
        let answered = match callee {
            Some(callee) => match self.find_in(callee.prepared()) {
                Ok(function) => Box::pin(callee.call_typed(function, params, ctx)).await,
                Err(error) => Err(error),
            },
            None => self.call_elsewhere_typed(unit.caller(), ctx, params).await,
        };
        close(open, local.as_ref(), &answered);
        answered.map_err(|cause| self.failed(cause))
    }

    /// To the instance that the caller has of its callee, value by value.
    async fn call_in_session<P: Values, R: Values>(
        &self,
        mut store: StoreContextMut<'_, CallState>,
        params: P,
    ) -> wasmtime::Result<R> {
        let unit = Arc::clone(&store.data_mut().unit);
        let (params, mut results) = (into_vals(&unit, params)?, self.places());
        let begun = self.begin(store.as_context_mut(), &params)?;
        let received = self.wait(begun, &params, &mut results).await?;
        Self::finish(store, received, &mut results)?;
        of_vals(results).map_err(|cause| self.failed(cause))
    }

    fn places(&self) -> Vec<Val> {
        vec![Val::Bool(false); self.types.results.len()]
    }

    async fn call_elsewhere_typed<P: Values, R: Values>(
        &self,
        caller: &Caller,
        ctx: CallContext,
        params: P,
    ) -> Result<R, CallError> {
        let encoded = codec::encode_whole(&params).map_err(|error| unsent(&error))?;
        // They may be large, and the call long.
        drop(params);
        let answer = self.call_remote(caller, ctx, encoded).await?;
        codec::decode_whole(&answer).map_err(|error| unread(&error))
    }

    async fn call_elsewhere(
        &self,
        caller: &Caller,
        ctx: CallContext,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), CallError> {
        let encoded = codec::encode(params, &self.types.params).map_err(|error| unsent(&error))?;
        let answer = self.call_remote(caller, ctx, encoded).await?;
        place(codec::decode(&answer, &self.types.results).map_err(|error| unread(&error))?, results)
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
        params: Bytes,
    ) -> Result<Bytes, CallError> {
        let call = RemoteCall {
            caller,
            link: &self.link,
            instance: &self.instance,
            function: &self.name,
            params,
            ctx,
        };
        self.targets.remote(call).await
    }

    /// The function in `callee`, if it has it with the same types.
    fn find_in(&self, callee: &Prepared) -> Result<ExportedFunctionId, CallError> {
        if let Some(binding) = self.bound.load().as_deref()
            && binding.callee == callee.serial
        {
            return binding.function.clone().map_err(CallError::NoSuchFunction);
        }
        self.binding_in(callee).function.clone().map_err(CallError::NoSuchFunction)
    }

    fn binding_in(&self, callee: &Prepared) -> Arc<Binding> {
        if let Some(binding) = self.bound.load_full()
            && binding.callee == callee.serial
        {
            return binding;
        }
        let binding = Arc::new(Binding {
            callee: callee.serial,
            function: self.look_up(callee),
            numbers: callee.exports().resources.numbers_in(&self.resources),
        });
        self.bound.store(Some(Arc::clone(&binding)));
        binding
    }

    fn look_up(&self, callee: &Prepared) -> Result<ExportedFunctionId, String> {
        let id = &callee.identity().id;
        let exports = callee.exports();
        let function = exports.find(Some(&self.instance), &self.name).ok_or_else(|| {
            match exports.other_version(&self.instance) {
                Some(found) => {
                    format!("`{id}` has `{found}`, and its caller wants `{}`", self.instance)
                }
                None => format!("`{id}` does not export `{}` with a function `{}`", self.instance, self.name),
            }
        })?;
        match exports.get(function) {
            Some(found) if same_types((&self.types, &self.resources), (&found.types, &exports.resources)) => {
                Ok(function)
            }
            _ => {
                Err(format!("`{id}` has `{}.{}` with other types than its caller", self.instance, self.name))
            }
        }
    }
}

/// What a caller learns of a target that its link does not leave the host for.
pub(crate) fn not_beside(target: &ComponentId) -> String {
    format!("`{target}` does not serve on this host, and its link has `transport: inprocess`")
}

/// Ends the span of a call with what came of it: who on this host has answered, or that it went over the lattice.
fn close<T>(open: Option<Open>, local: Option<&Arc<Prepared>>, answered: &Result<T, CallError>) {
    let Some(mut open) = open else { return };
    match local {
        Some(callee) => {
            trace::note_unit(&mut open, callee.identity());
            open.note(|| [KeyValue::new(trace::TRANSPORT, "inprocess")]);
        }
        None => open.note(|| [KeyValue::new(trace::TRANSPORT, "wrpc")]),
    }
    if let Err(error) = answered {
        trace::note_failure(&mut open, error);
    }
}

/// Parameters as dynamic values, within what the caller may have the host copy: it was asked for the bytes alone until now,
/// and a value is larger than its byte.
fn into_vals<P: Values>(unit: &Unit, params: P) -> wasmtime::Result<Vec<Val>> {
    let bytes = params.items().saturating_mul(size_of::<Val>());
    if u64::try_from(bytes).unwrap_or(u64::MAX) > unit.limits.host_call_bytes {
        // The engine's own words, where it counts itself.
        return Err(wasmtime::Error::msg("too much data is being copied between the host and the guest"));
    }
    Ok(params.into_vals())
}

/// The results of a signature that is known.
fn of_vals<R: Values>(results: Vec<Val>) -> Result<R, CallError> {
    R::of_vals(results).ok_or_else(|| CallError::Failed("the target gave results of other types".to_owned()))
}

/// Puts an answer into the places of the results.
fn place(answer: Vec<Val>, results: &mut [Val]) -> Result<(), CallError> {
    if answer.len() != results.len() {
        let message = format!("the target gave {} results instead of {}", answer.len(), results.len());
        return Err(CallError::Failed(message));
    }
    for (place, value) in results.iter_mut().zip(answer) {
        *place = value;
    }
    Ok(())
}
