//! What one invocation costs on one host: a fresh instance for each, with the limits that every call has.
//!
//! Needs the guests of `cargo xtask components`. Run with `cargo bench -p lath-benches --bench local`.
#![expect(clippy::expect_used, reason = "a measurement without its guest must stop at once")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use lath_control_api::{
    ComponentId, ComponentSpec, Digest, Grants, Image, InstancePolicy, Limits, LinkName, LinkSpec, Revision,
    Transport, Workload,
};
use lath_host::engine::{
    Body, CallContext, CallError, Caller, Engine, EngineConfig, InFlight, Prepared, RemoteCall,
    RemoteRequest, RequestError, Targets, UnitIdentity, body,
};
use wasmtime::component::Val;

/// Gives every linked call to one component of this process.
struct Here(Option<Arc<Prepared>>);

impl Targets for Here {
    fn local(&self, _caller: &Caller, _target: &ComponentId) -> Option<InFlight> {
        self.0.as_ref()?.begin().ok()
    }

    fn remote<'a>(&'a self, _call: RemoteCall<'a>) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(async { Err(CallError::Target("there is no other host here".into())) })
    }

    fn remote_http<'a>(
        &'a self,
        _request: RemoteRequest<'a>,
    ) -> BoxFuture<'a, Result<http::Response<Body>, RequestError>> {
        Box::pin(async { Err(CallError::Target("there is no other host here".into()).into()) })
    }
}

fn prepare(
    runtime: &tokio::runtime::Runtime,
    engine: &Engine,
    name: &str,
    links: Vec<LinkSpec>,
    target: Option<Arc<Prepared>>,
) -> Arc<Prepared> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/components/{name}-v1.wasm"));
    let bytes = Bytes::from(std::fs::read(&file).expect("guests: run cargo xtask components first"));
    let digest = Digest::of(&bytes);
    let image = Image { reference: format!("file://{name}"), digest: digest.clone() };
    let spec = ComponentSpec {
        revision: Revision(1),
        workload: Workload::Component { image },
        max_instances: 1_000,
        instance_policy: InstancePolicy::Fresh,
        limits: Limits::default(),
        config: [].into(),
        links,
        secrets: Vec::new(),
        incoming: Vec::new(),
        grants: Grants::default(),
        routes: Vec::new(),
        probe: None,
        annotations: [].into(),
    };
    let identity = UnitIdentity {
        lattice: "bench".parse().expect("a name"),
        app: "bench".parse().expect("a name"),
        component: name.parse().expect("a name"),
        id: name.parse().expect("a name"),
        revision: Revision(1),
    };
    let code = runtime.block_on(engine.compile(&digest, bytes)).expect("the guest compiles");
    let targets: Arc<dyn Targets> = Arc::new(Here(target));
    engine.link(code, identity, &spec, &targets).expect("the guest links")
}

async fn get(unit: &Arc<Prepared>, path: &str) -> usize {
    let request =
        http::Request::get(path).header("host", "bench.test").body(body::empty()).expect("a request");
    let call = unit.begin().expect("the unit is open");
    let answer = call.http(request, CallContext::within(Duration::from_secs(5))).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.expect("a body").to_bytes().len()
}

fn local(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let engine = Engine::new(EngineConfig::default()).expect("an engine");
    let hello = prepare(&runtime, &engine, "http-hello", Vec::new(), None);
    let greeter = prepare(&runtime, &engine, "greeter", Vec::new(), None);
    let link = LinkSpec {
        name: LinkName::default(),
        namespace: "lath".into(),
        package: "demo".into(),
        interfaces: vec!["greeter".into()],
        target: "greeter".parse().expect("a name"),
        target_name: "greeter".parse().expect("a name"),
        source_config: [].into(),
        target_config: [].into(),
        builtin: None,
        provider: None,
        source_secrets: Vec::new(),
        target_secrets: Vec::new(),
        transport: Transport::default(),
    };
    let front = prepare(&runtime, &engine, "http-front", vec![link], Some(Arc::clone(&greeter)));
    let greet = greeter.exports().find(Some("lath:demo/greeter@0.1.0"), "greet").expect("the export");

    let mut group = criterion.benchmark_group("local");
    group.bench_function("instantiate", |bench| bench.to_async(&runtime).iter(|| hello.try_start()));
    group.bench_function("call", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let call = greeter.begin().expect("the unit is open");
            let name = vec![Val::String("bench".into())];
            black_box(call.call(greet, name, CallContext::default()).await.expect("a greeting"))
        });
    });
    group.bench_function("http", |bench| {
        bench.to_async(&runtime).iter(|| async { black_box(get(&hello, "/").await) })
    });
    group.bench_function("http and a linked call", |bench| {
        bench.to_async(&runtime).iter(|| async { black_box(get(&front, "/greet?name=bench").await) });
    });
    group.finish();
}

criterion_group!(benches, local);
criterion_main!(benches);
