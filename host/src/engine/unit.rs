//! What all calls of one spec of a component share, and the store of one call.
//!
//! A store is made for a call and thrown away with it, but where the policy of a component keeps instances: then what
//! belongs to a call is set anew by [`CallState::begin`] for each.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use lath_control_api::{
    AppName, ComponentId, ComponentName, ComponentSpec, LatticeId, Limits, LinkName, Revision,
};
use lath_host_core::egress::Egress;
use lath_telemetry::{Open, SpanKind, Spans};
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_config::WasiConfigVariables;
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostOutgoingResponse, HostResponseOutparam};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView, p3};

use crate::capability::blobstore;
use crate::capability::bound::Bindings;
use crate::capability::bus::{self, Choices};
use crate::capability::http_client::{GuestHttp, HttpClient};
use crate::capability::output::{GuestLog, GuestStream, Source};
use crate::capability::outside::Outside;
use crate::capability::preopens::Folders;
use crate::capability::sockets::{SocketUse, Sockets};
use crate::engine::choice::OneOf;
use crate::engine::crossing::Held;
use crate::engine::http_link::HttpLink;
use crate::engine::limits::{HEADER_BYTES, MemoryLimit, RANDOM_BYTES};
use crate::engine::pipes::Pipes;
use crate::engine::session::Session;
use crate::engine::{CallContext, Caller, Targets};

/// Who a prepared component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitIdentity {
    /// Its lattice.
    pub lattice: LatticeId,
    /// Its app.
    pub app: AppName,
    /// Its name in the manifest.
    pub component: ComponentName,
    /// Its lattice-wide id.
    pub id: ComponentId,
    /// Its revision of the app.
    pub revision: Revision,
}

/// What all calls of one spec share.
pub(crate) struct Unit {
    pub(crate) identity: UnitIdentity,
    pub(crate) limits: Limits,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) log: Arc<GuestLog>,
    /// What it got of capabilities.
    pub(crate) bound: Bindings,
    variables: WasiConfigVariables,
    env: Vec<(String, String)>,
    arguments: Vec<String>,
    folders: Folders,
    http: Arc<HttpClient>,
    sockets: Sockets,
    /// Where its outgoing requests go, when that is another component.
    http_links: Option<OneOf<Arc<HttpLink>>>,
    caller: Caller,
    pub(crate) spans: Spans,
}

/// The ways out of a component, and who records what goes there.
pub(crate) struct Ways<'a> {
    pub(crate) outside: &'a Outside,
    pub(crate) targets: &'a Arc<dyn Targets>,
    pub(crate) spans: &'a Spans,
}

impl Unit {
    pub(crate) fn new(
        identity: UnitIdentity,
        spec: &ComponentSpec,
        (bound, folders): (Bindings, Folders),
        Ways { outside, targets, spans }: &Ways<'_>,
    ) -> Self {
        let caller =
            Caller { app: identity.app.clone(), id: identity.id.clone(), revision: identity.revision };
        let log = Arc::new(GuestLog::new(&identity, &spec.limits));
        let egress = Arc::new(Egress::new(spec.grants.allowed_hosts.clone()));
        Self {
            limits: spec.limits,
            variables: spec.config.clone().into_iter().collect(),
            config: spec.config.clone(),
            env: spec.grants.env.clone().into_iter().collect(),
            arguments: spec.grants.arguments.clone(),
            folders,
            http: Arc::new(HttpClient::new(Arc::clone(&egress), (*outside).clone(), Arc::clone(&log))),
            sockets: Sockets { egress, outside: (*outside).clone(), log: Arc::clone(&log) },
            http_links: HttpLink::outgoing(&spec.links, targets),
            log,
            bound,
            caller,
            spans: (*spans).clone(),
            identity,
        }
    }

    /// The unit as a caller.
    pub(crate) const fn caller(&self) -> &Caller {
        &self.caller
    }

    fn handles(&self) -> usize {
        usize::try_from(self.limits.handles).unwrap_or(usize::MAX)
    }

    /// A store for one call.
    pub(crate) fn store(self: &Arc<Self>, engine: &wasmtime::Engine, ctx: CallContext) -> Store<CallState> {
        let mut store = Store::new(engine, CallState::new(Arc::clone(self), ctx));
        store.limiter(|state| &mut state.memory);
        // Gives the thread back at every tick of the epoch, so that a guest that computes holds up nobody and
        // the deadline beside it is looked at.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_hostcall_fuel(usize::try_from(self.limits.host_call_bytes).unwrap_or(usize::MAX));
        // Both in the engine's tables and in the host's.
        store.set_max_component_handles(self.handles());
        store
    }
}

/// What host functions see of the call that they are made in.
pub(crate) struct CallState {
    pub(crate) unit: Arc<Unit>,
    pub(crate) ctx: CallContext,
    pub(crate) memory: MemoryLimit,
    /// The links that calls of it go over, where it has chosen.
    pub(crate) choices: Choices,
    wasi: WasiCtx,
    /// Standard output and error, of which a line may be unfinished when a call ends.
    output: [GuestStream; 2],
    table: ResourceTable,
    /// The instances of other components that it holds resources of.
    sessions: Vec<Weak<Session>>,
    /// Streams and futures that lead out of the store and into it.
    pub(crate) pipes: Arc<Pipes>,
    http: WasiHttpCtx,
    outgoing: GuestHttp,
    pub(crate) socket_use: SocketUse,
}

impl CallState {
    fn new(unit: Arc<Unit>, ctx: CallContext) -> Self {
        // Whatever is not set here is denied: files, standard input, and what the sockets are not set up for.
        let mut wasi = WasiCtxBuilder::new();
        let output =
            [Source::Stdout, Source::Stderr].map(|source| GuestStream::new(Arc::clone(&unit.log), source));
        output.iter().for_each(|stream| stream.begin(ctx.trace.as_ref()));
        let [stdout, stderr] = output.clone();
        wasi.envs(&unit.env)
            .args(&unit.arguments)
            .stdout(stdout)
            .stderr(stderr)
            .max_random_size(RANDOM_BYTES);
        if let Err(error) = unit.folders.give(&mut wasi) {
            // The component reads that there is no such folder.
            unit.log.failed(&format!("a granted folder cannot be opened: {error:#}"));
        }
        let socket_use = unit.sockets.configure(&mut wasi);
        let wasi = wasi.build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(unit.handles());
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HEADER_BYTES);
        Self {
            memory: MemoryLimit::new(&unit.limits),
            choices: Choices::default(),
            outgoing: GuestHttp {
                outside: Arc::clone(&unit.http),
                linked: unit
                    .http_links
                    .as_ref()
                    .map(|links| (Arc::clone(&links.usual), Arc::clone(&unit), ctx.clone())),
                spans: unit.spans.clone(),
                trace: ctx.trace.clone(),
            },
            socket_use,
            unit,
            ctx,
            wasi,
            output,
            table,
            sessions: Vec::new(),
            pipes: Arc::default(),
            http,
        }
    }

    /// The span of a host function that does something outside of the host; none when the call is not recorded.
    pub(crate) fn open_span(&self, name: &'static str) -> Option<Open> {
        self.unit.spans.within(self.ctx.trace.as_deref(), SpanKind::Client, || name.to_owned())
    }

    /// The instance of `target` that the guest holds resources of.
    pub(crate) fn session_of(&self, target: &ComponentId) -> Option<Arc<Session>> {
        self.sessions.iter().filter_map(Weak::upgrade).find(|session| session.target() == target)
    }

    /// Finds the instance again as long as the guest holds a resource of it.
    pub(crate) fn keep_session(&mut self, session: &Arc<Session>) {
        self.sessions.retain(|kept| kept.strong_count() > 0);
        self.sessions.push(Arc::downgrade(session));
    }

    /// Has what goes by `subject` go over the link of this name from now on, or over the usual one.
    pub(crate) fn choose(&mut self, subject: &Arc<str>, name: Option<&LinkName>) {
        self.choices.set(subject, name.cloned());
        if **subject == *bus::REQUESTS {
            self.choose_http();
        }
    }

    /// Has requests go over the link that is chosen.
    fn choose_http(&mut self) {
        if let Some(links) = &self.unit.http_links {
            self.outgoing.choose(links.chosen(self.choices.of(bus::REQUESTS)));
        }
    }

    /// The handles that the guest holds of what is the host's.
    pub(crate) const fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Begins another call on an instance that is kept.
    pub(crate) fn begin(&mut self, ctx: CallContext) {
        if self.choices.forget() {
            self.choose_http();
        }
        self.outgoing.begin(&ctx);
        self.output.iter().for_each(|stream| stream.begin(ctx.trace.as_ref()));
        self.ctx = ctx;
        self.socket_use.begin();
    }

    /// Ends a call on an instance that may be kept; false when it must not be: it ran into a limit, or holds on to
    /// what belongs to the request that it has answered.
    pub(crate) fn end(&mut self) -> bool {
        self.output.iter().for_each(GuestStream::end_line);
        self.memory.refusal().is_none()
            && !self.pipes.is_open()
            && !self.table.iter_mut().any(|entry| is_of_a_request(entry))
    }

    /// What sockets of the component may reach.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.unit.sockets
    }

    /// The settings of the component, in the form that `wasi:config/store` reads.
    pub(crate) fn variables(&self) -> &WasiConfigVariables {
        &self.unit.variables
    }
}

/// Whether a resource belongs to one call: to a request and its answer, to an instance that stays for this call, or to
/// data on their way.
fn is_of_a_request(entry: &(dyn Any + Send)) -> bool {
    entry.is::<p3::Request>()
        || entry.is::<p3::Response>()
        || entry.is::<HostIncomingRequest>()
        || entry.is::<HostIncomingBody>()
        || entry.is::<HostFutureTrailers>()
        || entry.is::<HostResponseOutparam>()
        || entry.is::<HostOutgoingResponse>()
        || entry.is::<HostOutgoingBody>()
        || entry.is::<Held>()
        || blobstore::is_of_a_call(entry)
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outgoing }
    }
}
