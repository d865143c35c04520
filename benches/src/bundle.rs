//! Bundles as a manager would send them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use lath_control_api::{
    ApplyRequest, Builtin, ComponentBundle, ComponentSpec, Digest, DrainPolicy, Epoch, Fence, Generation,
    Grants, HoldPolicy, HttpRoute, Image, InstancePolicy, Limits, LinkName, LinkSpec, Revision, Step,
    Transport, UnverifiedLinks, Workload,
};

/// The bytes of a guest that `cargo xtask components` builds.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn guest(name: &str) -> Bytes {
    std::fs::read(lath_tests::guest(name)).expect("the guest can be read").into()
}

/// The same component with other bytes: a custom section with `number` at its end. It has a digest and compiled code of
/// its own.
#[must_use]
pub fn variant(guest: &Bytes, number: u32) -> Bytes {
    const NAME: &[u8] = b"variant";
    let mut bytes = guest.to_vec();
    let length = 1 + NAME.len() + size_of::<u32>();
    bytes.extend([0, u8::try_from(length).expect("a short section")]);
    bytes.extend([u8::try_from(NAME.len()).expect("a short name")]);
    bytes.extend(NAME);
    bytes.extend(number.to_le_bytes());
    bytes.into()
}

/// The whole of an app on a host.
#[must_use]
pub fn request(app: &str, generation: u64, bundles: Vec<ComponentBundle>) -> ApplyRequest {
    let fence = Fence { epoch: Epoch(1), generation: Generation(generation), step: Step(1) };
    ApplyRequest { fence, app: app.parse().expect("a name"), bundles }
}

/// A component of an app, from the bytes with this digest.
#[must_use]
pub fn component(app: &str, name: &str, digest: &Digest) -> ComponentBundle {
    let image = Image { reference: "file://guest.wasm".into(), digest: digest.clone() };
    bundle(app, name, Workload::Component { image }, Vec::new())
}

/// A server that leads requests for `host` to the component `target` of its app.
#[must_use]
pub fn server(app: &str, address: SocketAddr, host: &str, target: &str) -> ComponentBundle {
    let builtin = Builtin::HttpServer;
    let route = HttpRoute {
        address: Some(address),
        host: Some(host.into()),
        path: None,
        target: format!("{app}-{target}").parse().expect("an id"),
        timeout_ms: None,
    };
    bundle(app, "web", Workload::Builtin { builtin, reference: builtin.to_string() }, vec![route])
}

/// The same bundle with another rule for instances.
#[must_use]
pub fn keeping(mut bundle: ComponentBundle, policy: InstancePolicy) -> ComponentBundle {
    if let Some(spec) = &mut bundle.stable {
        Arc::make_mut(spec).instance_policy = policy;
    }
    bundle
}

/// The same bundle with a link to `target` of its app for an interface of package `lath:bench`.
#[must_use]
pub fn linked(mut bundle: ComponentBundle, app: &str, target: &str, interface: &str) -> ComponentBundle {
    if let Some(spec) = &mut bundle.stable {
        Arc::make_mut(spec).links.push(link(app, target, ("lath", "bench"), &[interface], None));
    }
    bundle
}

/// The same bundle with a link to a store of keys and values.
#[must_use]
pub fn keeping_values(mut bundle: ComponentBundle, app: &str, store: Builtin) -> ComponentBundle {
    if let Some(spec) = &mut bundle.stable {
        let interfaces = ["store", "atomics", "batch"];
        Arc::make_mut(spec).links.push(link(app, "store", ("wasi", "keyvalue"), &interfaces, Some(store)));
    }
    bundle
}

/// The same bundle with a link to what sends messages, which is `broker` of its app.
#[must_use]
pub fn sending_messages(mut bundle: ComponentBundle, app: &str, broker: &str) -> ComponentBundle {
    if let Some(spec) = &mut bundle.stable {
        Arc::make_mut(spec).links.push(link(app, broker, ("wasmcloud", "messaging"), &["consumer"], None));
    }
    bundle
}

fn link(
    app: &str,
    target: &str,
    (namespace, package): (&str, &str),
    interfaces: &[&str],
    builtin: Option<Builtin>,
) -> LinkSpec {
    LinkSpec {
        name: LinkName::default(),
        namespace: namespace.into(),
        package: package.into(),
        interfaces: interfaces.iter().map(|interface| (*interface).into()).collect(),
        target: format!("{app}-{target}").parse().expect("an id"),
        target_name: target.parse().expect("a name"),
        source_config: BTreeMap::new(),
        target_config: BTreeMap::new(),
        builtin,
        provider: None,
        source_secrets: Vec::new(),
        target_secrets: Vec::new(),
        transport: Transport::default(),
    }
}

fn bundle(app: &str, name: &str, workload: Workload, routes: Vec<HttpRoute>) -> ComponentBundle {
    let spec = ComponentSpec {
        revision: Revision(1),
        workload,
        max_instances: 100,
        instance_policy: InstancePolicy::default(),
        limits: Limits::default(),
        config: BTreeMap::new(),
        links: Vec::new(),
        secrets: Vec::new(),
        incoming: Vec::new(),
        grants: Grants::default(),
        routes,
        probe: None,
        annotations: BTreeMap::new(),
    };
    ComponentBundle {
        component: name.parse().expect("a name"),
        id: format!("{app}-{name}").parse().expect("an id"),
        stable: Some(Arc::new(spec)),
        candidate: None,
        drain: DrainPolicy::default(),
        hold: HoldPolicy::default(),
        unverified_links: UnverifiedLinks::default(),
    }
}
