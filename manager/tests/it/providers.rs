//! Providers, secrets, configs of the lattice and capabilities of other apps: what hosts are told of them.

use std::collections::BTreeMap;

use lath_control_api::app::AppState;
use lath_control_api::{
    Bucket, Builtin, ComponentId, Digest, ErrorCode, ProviderTarget, UnverifiedLinks, Workload,
};
use lath_control_api_client::{ComponentStore, RequestError};
use serde_json::{Value, json};

use crate::lattice::{Lattice, deploy_request, eventually};

const ARCHIVE: &[u8] = b"\x1f\x8b\x08\0an archive, as far as its beginning tells";

/// What else than a manifest the store has: the code of a component and the archive of a provider.
async fn pushed(lattice: &Lattice) -> BTreeMap<String, Digest> {
    let name = lattice.client.subjects().bucket(Bucket::Components);
    let store = ComponentStore::open(lattice.client.connection(), &name).await.unwrap();
    let mut pushed = lattice.push().await;
    for (file, bytes) in [("file://kv.par.gz", ARCHIVE), ("file://wasm.wasm", b"\0asm\x0d\0\x01\0")] {
        let digest = Digest::of(bytes);
        store.put(&digest, bytes.into()).await.unwrap();
        pushed.insert(file.to_owned(), digest);
    }
    pushed
}

async fn deploy(
    lattice: &Lattice,
    manifest: &str,
) -> Result<lath_control_api::app::ChangeReply, RequestError> {
    lattice.client.deploy(&deploy_request(manifest, pushed(lattice).await)).await
}

async fn serve(lattice: &Lattice, manifest: &str) -> lath_control_api::app::AppStatus {
    let reply = deploy(lattice, manifest).await.unwrap();
    lattice.settled(&reply, AppState::Serving).await
}

fn refused(result: Result<lath_control_api::app::ChangeReply, RequestError>) -> lath_control_api::ApiError {
    match result {
        Err(RequestError::Refused(error)) => *error,
        other => panic!("{other:?}"),
    }
}

/// A request of the control interface of 1.x, and its answer.
async fn v1(lattice: &Lattice, rest: &str, payload: Value) -> Value {
    let subject = format!("wasmbus.ctl.v1.test.{rest}");
    let reply =
        lattice.client.connection().nats().request(subject, payload.to_string().into()).await.unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

/// A component with a link to a provider; `config` is that of the provider.
fn shop(image: &str, config: &str, policy: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: shop }}
spec:
  policies:
    - {{ name: rollout, type: policy.rollout.lath/v1, properties: {{ min_healthy_time: 0s{policy} }} }}
    - {{ name: vault, type: policy.secret.wasmcloud.dev/v1alpha1, properties: {{ backend: vault, role: shop }} }}
  components:
    - name: api
      type: component
      properties: {{ image: 'file://hello.wasm' }}
      traits:
        - {{ type: spreadscaler, properties: {{ instances: 1 }} }}
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target:
              name: kv
              config: [{{ name: carts, properties: {{ bucket: carts }} }}]
              secrets: [{{ name: token, properties: {{ policy: vault, key: kv/token, field: t }} }}]
    - name: kv
      type: capability
      properties: {{ image: '{image}', config: [{config}] }}
"
    )
}

#[tokio::test]
async fn a_provider_is_told_what_it_starts_with_and_its_caller_which_process_it_is() {
    let lattice = Lattice::with_hosts(1).await;
    let _manager = lattice.manager("m1").await;
    let host = &lattice.hosts[0];
    let own = "{ name: own, properties: { url: one } }";
    serve(&lattice, &shop("file://kv.par.gz", own, ", unverified_links: fail")).await;
    let id: ComponentId = "shop-kv".parse().unwrap();
    let (api, kv) = (host.spec("shop", "api").unwrap(), host.spec("shop", "kv").unwrap());
    let Workload::Provider { image } = &kv.workload else { panic!("{kv:?}") };
    assert_eq!(image.digest, Digest::of(ARCHIVE));
    assert_eq!((kv.config["url"].as_str(), kv.incoming.len()), ("one", 1));
    let link = &kv.incoming[0];
    assert_eq!((link.source.as_str(), link.target_config["bucket"].as_str()), ("shop-api", "carts"));
    let secret = &link.target_secrets[0];
    assert_eq!(
        (secret.backend.as_str(), secret.key.as_str(), secret.properties["role"].as_str()),
        ("vault", "kv/token", "shop")
    );
    let first = kv.wire_id(&id).unwrap();
    assert_eq!(api.links[0].provider, Some(ProviderTarget::Process { wire_id: first.clone() }));
    let told = host.commands().into_iter().flat_map(|command| command.bundles);
    assert!(told.into_iter().all(|bundle| bundle.unverified_links == UnverifiedLinks::Fail));

    // Another config is another process, and a rollback leads to the first one again.
    let own = "{ name: own, properties: { url: two } }";
    serve(&lattice, &shop("file://kv.par.gz", own, "")).await;
    let second = host.spec("shop", "kv").unwrap().wire_id(&id).unwrap();
    assert_ne!(first, second);
    let back = lattice.rollback("shop").await.unwrap();
    lattice.settled(&back, AppState::Serving).await;
    assert_eq!(host.spec("shop", "kv").unwrap().wire_id(&id).unwrap(), first);
}

#[tokio::test]
async fn a_config_of_the_lattice_is_pinned_rolled_out_when_it_changes_and_taken_back() {
    let lattice = Lattice::with_hosts(1).await;
    let _manager = lattice.manager("m1").await;
    let host = &lattice.hosts[0];
    let manifest = shop("file://kv.par.gz", "{ name: global }", "");
    let error = refused(deploy(&lattice, &manifest).await);
    assert_eq!(error.code, ErrorCode::InvalidManifest);
    assert!(error.message.contains("`global`") && error.help.unwrap().contains("lath config put global"));

    assert_eq!(v1(&lattice, "config.put.global", json!({ "url": "one" })).await["success"], true);
    let first = serve(&lattice, &manifest).await;
    assert_eq!(host.spec("shop", "kv").unwrap().config["url"], "one");
    assert!(deploy(&lattice, &manifest).await.unwrap().unchanged);

    v1(&lattice, "config.put.global", json!({ "url": "two" })).await;
    let status = eventually("the config to be rolled out", async || {
        let status = lattice.status("shop").await.map_err(|error| error.to_string())?;
        let done = status.revision > first.revision && status.rollout.is_none();
        if done { Ok(status) } else { Err(format!("{status:#?}")) }
    })
    .await;
    assert_eq!(host.spec("shop", "kv").unwrap().config["url"], "two");
    assert!(status.last.unwrap().cause.message.unwrap().contains("`global`"));

    let back = lattice.rollback("shop").await.unwrap();
    lattice.settled(&back, AppState::Serving).await;
    assert_eq!(host.spec("shop", "kv").unwrap().config["url"], "one", "what was is pinned");
    // Deleting it leaves its users as they are.
    v1(&lattice, "config.del.global", json!({})).await;
    assert_eq!(host.spec("shop", "kv").unwrap().config["url"], "one");
}

#[tokio::test]
async fn images_of_the_other_kind_are_refused_by_what_they_are() {
    let lattice = Lattice::with_hosts(1).await;
    let _manager = lattice.manager("m1").await;
    let error = refused(deploy(&lattice, &shop("file://wasm.wasm", "", "")).await);
    assert_eq!(error.code, ErrorCode::ImageUnsupported);
    assert!(
        error.message.contains("`kv` is a capability, and its image `file://wasm.wasm` is WebAssembly"),
        "{error}"
    );
    let component = shop("file://kv.par.gz", "", "").replace("file://hello.wasm", "file://kv.par.gz");
    let error = refused(deploy(&lattice, &component).await);
    assert!(
        error.message.contains("`api` is a component") && error.message.contains("a provider archive"),
        "{error}"
    );
    let unknown = refused(deploy(&lattice, &shop("builtin://messaging", "", "")).await);
    assert!(unknown.help.unwrap().contains("keyvalue-nats"));
}

#[tokio::test]
async fn capabilities_of_another_app_are_linked_to_as_that_app_says() {
    let lattice = Lattice::with_hosts(1).await;
    let _manager = lattice.manager("m1").await;
    let host = &lattice.hosts[0];
    let user = "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: user }
spec:
  policies: [{ name: rollout, type: policy.rollout.lath/v1, properties: { min_healthy_time: 0s } }]
  components:
    - name: api
      type: component
      properties: { image: 'file://hello.wasm' }
      traits:
        - { type: spreadscaler, properties: { instances: 1 } }
        - { type: link, properties: { namespace: wasi, package: keyvalue, interfaces: [store], target: { name: kv } } }
        - { type: link, properties: { name: memory, namespace: wasi, package: keyvalue, interfaces: [store], target: { name: mem } } }
    - { name: kv, type: capability, properties: { application: { name: tools, component: kv } } }
    - { name: mem, type: capability, properties: { application: { name: tools, component: memory } } }
";
    let error = refused(deploy(&lattice, user).await);
    assert!(error.message.contains("there is no app `tools`"), "{error}");
    let tools = |shared: &str| {
        format!(
            "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: tools, annotations: {{ experimental.wasmcloud.dev/shared: '{shared}' }} }}
spec:
  policies: [{{ name: rollout, type: policy.rollout.lath/v1, properties: {{ min_healthy_time: 0s }} }}]
  components:
    - {{ name: kv, type: capability, properties: {{ image: 'file://kv.par.gz', id: their-kv }} }}
    - name: memory
      type: capability
      properties: {{ image: 'builtin://keyvalue-memory', config: [{{ name: own, properties: {{ max_bytes: '4096' }} }}] }}
"
        )
    };
    serve(&lattice, &tools("false")).await;
    let error = refused(deploy(&lattice, user).await);
    assert!(error.message.contains("does not share its components"), "{error}");
    serve(&lattice, &tools("true")).await;
    serve(&lattice, user).await;
    let links = host.spec("user", "api").unwrap().links;
    assert_eq!(
        (links[0].target.as_str(), &links[0].provider),
        ("their-kv", &Some(ProviderTarget::Elsewhere))
    );
    assert_eq!(
        (links[1].builtin, links[1].target_config["max_bytes"].as_str()),
        (Some(Builtin::KeyvalueMemory), "4096")
    );

    let wrong = user.replace("name: mem, type: capability", "name: mem, type: component");
    assert!(refused(deploy(&lattice, &wrong).await).message.contains("it is a capability"));
    let wrong = user.replace("component: memory", "component: nothing");
    assert!(refused(deploy(&lattice, &wrong).await).message.contains("`tools` has no component `nothing`"));
}

/// Links of app `user` from `web` of app `tools`, and what the configs are that they name.
fn way(config: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: user }}
spec:
  policies: [{{ name: rollout, type: policy.rollout.lath/v1, properties: {{ min_healthy_time: 0s }} }}]
  components:
    - name: api
      type: component
      properties: {{ image: 'file://hello.wasm' }}
      traits:
        - {{ type: spreadscaler, properties: {{ instances: 1 }} }}
    - name: web
      type: capability
      properties: {{ application: {{ name: tools, component: http }} }}
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: {{ name: api }}
            source: {{ config: [{config}] }}
"
    )
}

#[tokio::test]
async fn a_link_from_the_http_server_of_another_app_is_a_route_that_goes_with_its_own() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    let tools = "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: tools, annotations: { experimental.wasmcloud.dev/shared: 'true' } }
spec:
  policies: [{ name: rollout, type: policy.rollout.lath/v1, properties: { min_healthy_time: 0s } }]
  components:
    - name: http
      type: capability
      properties:
        image: builtin://http-server
        config: [{ name: server, properties: { default_address: '127.0.0.1:8081' } }]
    - { name: kv, type: capability, properties: { image: 'file://kv.par.gz' } }
";
    serve(&lattice, tools).await;
    let error = refused(deploy(&lattice, &way("{ name: global }")).await);
    assert!(error.message.contains("`global`"), "{error}");
    v1(&lattice, "config.put.global", json!({ "path": "/user" })).await;
    serve(&lattice, &way("{ name: global }")).await;
    let routes = || {
        let specs = lattice.hosts.iter().filter_map(|host| host.spec("user", "web"));
        specs.flat_map(|spec| spec.routes).map(|route| route.describe()).collect::<Vec<_>>()
    };
    // On both hosts, though the other app has its own on one of them.
    assert_eq!(routes(), ["127.0.0.1:8081/user", "127.0.0.1:8081/user"]);

    serve(&lattice, &way("{ name: own, properties: { path: /other } }")).await;
    assert_eq!(routes(), ["127.0.0.1:8081/other", "127.0.0.1:8081/other"]);
    let back = lattice.rollback("user").await.unwrap();
    lattice.settled(&back, AppState::Serving).await;
    assert_eq!(routes(), ["127.0.0.1:8081/user", "127.0.0.1:8081/user"]);

    let same = way("{ name: own, properties: { path: /user } }").replace("name: user", "name: thief");
    let error = refused(deploy(&lattice, &same).await);
    assert_eq!(error.code, ErrorCode::RouteTaken, "{error}");
    let provider =
        way("{ name: own, properties: { path: /user } }").replace("component: http", "component: kv");
    let error = refused(deploy(&lattice, &provider).await);
    assert!(error.message.contains("is a provider of app `tools`"), "{error}");
}

#[tokio::test]
async fn providers_and_links_by_hand_lead_to_one_another() {
    let lattice = Lattice::with_hosts(1).await;
    let _manager = lattice.manager("m1").await;
    let host = &lattice.hosts[0];
    let folder = lattice.folder.path().display();
    std::fs::write(lattice.folder.path().join("kv.par.gz"), ARCHIVE).unwrap();
    // A component without anything in it.
    std::fs::write(lattice.folder.path().join("api.wasm"), b"\0asm\x0d\0\x01\0").unwrap();

    v1(&lattice, "config.put.bucket", json!({ "bucket": "carts" })).await;
    let secret = json!({
        "name": "token", "type": "secret.wasmcloud.dev/v1alpha1", "backend": "vault", "key": "k",
        "policy": "{\"type\":\"properties.secret.wasmcloud.dev/v1alpha1\",\"properties\":{\"role\":\"shop\"}}",
    });
    v1(&lattice, "config.put.SECRET_token", secret).await;
    let link = |config: Value| {
        json!({
            "source_id": "api", "target": "kv", "name": "default", "wit_namespace": "wasi",
            "wit_package": "keyvalue", "interfaces": ["store"], "source_config": [], "target_config": config,
        })
    };
    let missing = v1(&lattice, "link.put", link(json!(["SECRET_none"]))).await;
    assert!(missing["message"].as_str().unwrap().contains("SECRET_none not found"), "{missing}");
    let put = v1(&lattice, "link.put", link(json!(["bucket", "SECRET_token"]))).await;
    assert_eq!(put["success"], true, "{put}");

    let scale = json!({
        "component_ref": format!("file://{folder}/api.wasm"), "component_id": "api", "count": 1,
        "host_id": host.id, "config": [], "allow_update": false,
    });
    v1(&lattice, &format!("component.scale.{}", host.id), scale).await;
    let api = async |wanted: Option<ProviderTarget>| {
        eventually("the caller to be told", async || match host.spec("api", "api") {
            Some(spec) if spec.links.len() == 1 && spec.links[0].provider == wanted => Ok(spec),
            other => Err(format!("{other:?}")),
        })
        .await
    };
    // Nobody knows yet what answers under that id.
    api(None).await;

    let start = |image: &str| json!({ "provider_id": "kv", "provider_ref": image, "host_id": host.id, "config": ["bucket", "SECRET_token"] });
    let refused = v1(&lattice, &format!("provider.start.{}", host.id), start("builtin://none")).await;
    assert!(refused["message"].as_str().unwrap().contains("unknown builtin name: none"), "{refused}");
    let started =
        v1(&lattice, &format!("provider.start.{}", host.id), start(&format!("file://{folder}/kv.par.gz")))
            .await;
    assert_eq!(started["success"], true, "{started}");
    let spec = api(Some(ProviderTarget::Elsewhere)).await;
    assert_eq!(spec.links[0].target_config["bucket"], "carts");
    assert_eq!(spec.links[0].target_secrets[0].properties["role"], "shop");
    let kv = eventually("the provider to be told", async || {
        host.spec("kv", "kv").ok_or_else(|| "nothing".to_owned())
    })
    .await;
    let Workload::Provider { image } = &kv.workload else { panic!("{kv:?}") };
    assert_eq!(image.digest, Digest::of(ARCHIVE));
    assert_eq!((kv.config["bucket"].as_str(), kv.secrets[0].backend.as_str()), ("carts", "vault"));
    assert!(kv.incoming.is_empty(), "links of other apps are put by their hosts");

    let stop = json!({ "provider_id": "kv", "host_id": host.id });
    assert_eq!(v1(&lattice, &format!("provider.stop.{}", host.id), stop).await["success"], true);
    api(None).await;
}
