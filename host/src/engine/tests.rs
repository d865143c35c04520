//! Real components in the real engine: the guests of `components/`, and small ones written as text.
//!
//! Here stands what all tests share. No test says how long anything takes, except that a stop comes in seconds
//! where the guest would go on for ever.

mod bus;
mod calls;
mod code;
mod counts;
mod egress;
mod files;
mod grants;
mod handles;
mod http;
mod imports;
mod kept;
mod languages;
mod limits;
mod probe;
mod whole;
mod worlds;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ::http::{Request, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use lath_control_api::{
    ComponentId, ComponentSpec, Digest, Grants, Image, InstancePolicy, LinkName, LinkSpec, Revision,
    Transport, Workload,
};
use wasmtime::component::Val;

use super::*;

/// A guest built by `cargo xtask components`.
pub(super) fn guest(name: &str) -> Bytes {
    let directory = std::env::var_os("LATH_COMPONENTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/components")),
        PathBuf::from,
    );
    let path = directory.join(format!("{name}.wasm"));
    match std::fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("{}: {error}; build the guests with `cargo xtask components`", path.display()),
    }
}

/// A component written as text.
pub(super) fn text(wat: &str) -> Bytes {
    wat::parse_str(wat).unwrap().into()
}

pub(super) fn engine() -> Engine {
    engine_with(Pooling::On { instances: 16 })
}

pub(super) fn engine_with(pooling: Pooling) -> Engine {
    Engine::new(EngineConfig { pooling, ..EngineConfig::default() }).unwrap()
}

/// A spec with defaults: tests change what they are about.
pub(crate) fn spec(bytes: &Bytes) -> ComponentSpec {
    ComponentSpec {
        revision: Revision(1),
        workload: Workload::Component {
            image: Image { reference: "file://test.wasm".into(), digest: Digest::of(bytes) },
        },
        max_instances: 4,
        instance_policy: InstancePolicy::Fresh,
        limits: lath_control_api::Limits::default(),
        config: BTreeMap::new(),
        links: Vec::new(),
        secrets: Vec::new(),
        incoming: Vec::new(),
        grants: Grants::default(),
        routes: Vec::new(),
        probe: None,
        annotations: BTreeMap::new(),
    }
}

pub(super) fn identity(component: &str) -> UnitIdentity {
    UnitIdentity {
        lattice: "default".parse().unwrap(),
        app: "shop".parse().unwrap(),
        component: component.parse().unwrap(),
        id: format!("shop-{component}").parse().unwrap(),
        revision: Revision(1),
    }
}

/// A link of `lath:demo` to the greeter.
pub(super) fn greeter_link() -> LinkSpec {
    demo_link("greeter", "greeter")
}

pub(crate) fn demo_link(interface: &str, target: &str) -> LinkSpec {
    LinkSpec {
        name: LinkName::default(),
        namespace: "lath".into(),
        package: "demo".into(),
        interfaces: vec![interface.into()],
        target: format!("shop-{target}").parse().unwrap(),
        target_name: target.parse().unwrap(),
        source_config: BTreeMap::new(),
        target_config: BTreeMap::new(),
        builtin: None,
        provider: None,
        source_secrets: Vec::new(),
        target_secrets: Vec::new(),
        transport: Transport::default(),
    }
}

/// Components of this host by id; whatever is not among them is answered by `elsewhere`.
#[derive(Default)]
pub(super) struct Here {
    pub(super) components: Mutex<BTreeMap<ComponentId, Arc<Prepared>>>,
    pub(super) elsewhere: Mutex<Option<Result<Bytes, CallError>>>,
    /// The status of answers to requests; nobody is there while there is none.
    pub(super) status: Mutex<Option<::http::StatusCode>>,
    pub(super) asked: Mutex<Vec<String>>,
}

impl Here {
    pub(super) fn add(&self, prepared: &Arc<Prepared>) {
        self.components.lock().unwrap().insert(prepared.identity().id.clone(), Arc::clone(prepared));
    }
}

impl Targets for Here {
    fn local(&self, _: &Caller, target: &ComponentId) -> Option<InFlight> {
        self.components.lock().unwrap().get(target)?.begin().ok()
    }

    fn remote<'a>(&'a self, call: RemoteCall<'a>) -> BoxFuture<'a, Result<Bytes, CallError>> {
        let asked = format!(
            "{} {}.{} for {}@{}",
            call.link.target, call.instance, call.function, call.caller.app, call.caller.revision
        );
        self.asked.lock().unwrap().push(asked);
        let answer = self.elsewhere.lock().unwrap().clone();
        Box::pin(async move { answer.unwrap_or_else(|| Err(CallError::Failed("nobody is there".into()))) })
    }

    fn remote_http<'a>(
        &'a self,
        request: RemoteRequest<'a>,
    ) -> BoxFuture<'a, Result<Response<Body>, RequestError>> {
        let out = if request.outward.is_some() { "out by " } else { "" };
        let asked = format!("{out}{} {}", request.link.target, request.request.uri());
        self.asked.lock().unwrap().push(asked);
        let answer = self.status.lock().unwrap().map(|status| {
            let mut response = Response::new(body::empty());
            *response.status_mut() = status;
            response
        });
        Box::pin(async { answer.ok_or_else(|| CallError::Failed("nobody is there".into()).into()) })
    }
}

/// Makes a component ready, with what `change` does to its spec.
pub(super) async fn prepare(
    engine: &Engine,
    bytes: Bytes,
    component: &str,
    targets: &Arc<Here>,
    change: impl FnOnce(&mut ComponentSpec),
) -> Result<Arc<Prepared>, PrepareError> {
    let mut spec = spec(&bytes);
    change(&mut spec);
    let code = engine.compile(&Digest::of(&bytes), bytes).await?;
    let targets: Arc<dyn Targets> = Arc::clone(targets) as _;
    engine.link(code, identity(component), &spec, &targets)
}

/// A guest of its own, without links.
pub(super) async fn alone(
    engine: &Engine,
    name: &str,
    change: impl FnOnce(&mut ComponentSpec),
) -> Arc<Prepared> {
    prepare(engine, guest(name), "alone", &Arc::default(), change).await.unwrap()
}

pub(super) fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "test.example").body(body::empty()).unwrap()
}

pub(super) async fn request(
    prepared: &Arc<Prepared>,
    request: Request<Body>,
) -> Result<Response<Body>, CallError> {
    prepared.begin().unwrap().http(request, CallContext::default()).await
}

/// Status and whole text of an answer, without the line's end.
pub(super) async fn answer(prepared: &Arc<Prepared>, path: &str) -> Result<(u16, String), CallError> {
    let response = request(prepared, get(path)).await?;
    let status = response.status().as_u16();
    let text = body::beginning(response.into_body(), usize::MAX).await.map_err(|error| match error {
        BodyError::Call(error) => error,
        BodyError::Connection(message) => CallError::Failed(message),
        BodyError::TooLarge(_) => CallError::Failed(error.to_string()),
    })?;
    Ok((status, String::from_utf8(text).unwrap().trim_end().to_owned()))
}
