//! Bundles of the demo apps, as a manager would send them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use lath_control_api::{
    ApplyRequest, Builtin, Candidate, ComponentBundle, ComponentId, ComponentSpec, Digest, DrainPolicy,
    Epoch, Fence, Generation, Grants, HoldPolicy, HttpRoute, Image, InstancePolicy, Limits, LinkName,
    LinkSpec, Revision, Step, Transport, UnverifiedLinks, Weight, Workload,
};

/// The bytes of a guest that `cargo xtask components` builds.
pub(crate) fn guest(name: &str) -> Bytes {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/components");
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|_| panic!("{} is missing: run `cargo xtask components`", path.display()))
        .into()
}

pub(crate) fn id(name: &str) -> ComponentId {
    format!("shop-{name}").parse().unwrap()
}

pub(crate) fn component(bytes: &[u8], revision: u64) -> ComponentSpec {
    let image = Image { reference: "file://guest.wasm".into(), digest: Digest::of(bytes) };
    spec(Workload::Component { image }, revision)
}

pub(crate) fn http_server(address: SocketAddr, target: &str, revision: u64) -> ComponentSpec {
    let builtin = Builtin::HttpServer;
    let mut server = spec(Workload::Builtin { builtin, reference: builtin.to_string() }, revision);
    let address = Some(address);
    server.routes = vec![HttpRoute { address, host: None, path: None, target: id(target), timeout_ms: None }];
    server
}

fn spec(workload: Workload, revision: u64) -> ComponentSpec {
    ComponentSpec {
        revision: Revision(revision),
        workload,
        max_instances: 50,
        instance_policy: InstancePolicy::default(),
        limits: Limits { memory_bytes: 64 << 20, invocation_deadline_ms: 5_000, ..Limits::default() },
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

pub(crate) trait Change {
    fn config(self, key: &str, value: &str) -> Self;
    fn greeter_link(self) -> Self;
    fn probe(self, path: &str) -> Self;
}

impl Change for ComponentSpec {
    fn config(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }

    fn greeter_link(mut self) -> Self {
        self.links.push(LinkSpec {
            name: LinkName::default(),
            namespace: "lath".into(),
            package: "demo".into(),
            interfaces: vec!["greeter".into()],
            target: id("greeter"),
            target_name: "greeter".parse().unwrap(),
            source_config: BTreeMap::new(),
            target_config: BTreeMap::new(),
            builtin: None,
            provider: None,
            source_secrets: Vec::new(),
            target_secrets: Vec::new(),
            transport: Transport::default(),
        });
        self
    }

    fn probe(mut self, path: &str) -> Self {
        self.probe = Some(lath_control_api::Probe {
            path: path.into(),
            timeout_ms: 2_000,
            attempts: 1,
            function: None,
            period_ms: None,
            failures: None,
        });
        self
    }
}

pub(crate) fn bundle(
    name: &str,
    stable: ComponentSpec,
    candidate: Option<(ComponentSpec, u8)>,
) -> ComponentBundle {
    let candidate = candidate
        .map(|(spec, weight)| Candidate { spec: Arc::new(spec), weight: Weight::try_from(weight).unwrap() });
    ComponentBundle {
        component: name.parse().unwrap(),
        id: id(name),
        stable: Some(Arc::new(stable)),
        candidate,
        drain: DrainPolicy { deadline_ms: 10_000 },
        hold: HoldPolicy::default(),
        unverified_links: UnverifiedLinks::default(),
    }
}

pub(crate) fn request(generation: u64, step: u64, bundles: Vec<ComponentBundle>) -> ApplyRequest {
    let fence = Fence { epoch: Epoch(1), generation: Generation(generation), step: Step(step) };
    ApplyRequest { fence, app: "shop".parse().unwrap(), bundles }
}
