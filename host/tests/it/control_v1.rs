//! What a host answers to tools of wasmCloud 1.x, and what it tells them by itself.

use std::time::Duration;

use futures::StreamExt as _;
use lath_wasmcloud::{
    AuctionAck, Event, EventData, HostDescription, HostInventory, ProviderAuctionAck, Reply,
};
use serde_json::{Value, json};

use crate::lattice::{Host, Lattice, answered, eventually};
use crate::ports::free_address;
use crate::spec::{bundle, component, guest, http_server, request};

const PREFIX: &str = "wasmbus.ctl.v1.default";
/// Time in which a silent host would have answered.
const SILENCE: Duration = Duration::from_millis(300);

struct Tool(async_nats::Client);

impl Tool {
    async fn of(lattice: &Lattice) -> Self {
        Self(lattice.nats.connect().await)
    }

    async fn ask_raw(&self, subject: &str, payload: Vec<u8>) -> Option<Value> {
        let asked = self.0.request(format!("{PREFIX}.{subject}"), payload.into());
        let answer = tokio::time::timeout(SILENCE * 10, asked).await.expect("no answer").ok()?;
        Some(serde_json::from_slice(&answer.payload).unwrap())
    }

    async fn ask(&self, subject: &str, payload: &Value) -> Value {
        let payload = if payload.is_null() { Vec::new() } else { payload.to_string().into_bytes() };
        self.ask_raw(subject, payload).await.expect("nobody answers")
    }

    async fn is_silent(&self, subject: &str, payload: &Value) -> bool {
        let asked = self.0.request(format!("{PREFIX}.{subject}"), payload.to_string().into());
        tokio::time::timeout(SILENCE, asked).await.is_err()
    }
}

fn word(success: bool, message: &str) -> Value {
    json!({ "success": success, "message": message })
}

async fn inventory(tool: &Tool, host: &Host) -> HostInventory {
    let answer = tool.ask(&format!("host.get.{}", host.id()), &Value::Null).await;
    serde_json::from_value::<Reply<HostInventory>>(answer).unwrap().response.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_about_a_host_are_answered_as_1x_does() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let tool = Tool::of(&lattice).await;
    let answer = tool.ask("host.ping", &Value::Null).await;
    let ping = serde_json::from_value::<Reply<HostDescription>>(answer).unwrap().response.unwrap();
    assert_eq!((ping.id.as_str(), ping.lattice.as_str()), (host.id().as_str(), "default"));
    assert_eq!(ping.ctl_host.as_deref(), Some(lattice.nats.url.as_str()));
    assert_eq!((ping.labels["zone"].as_str(), ping.labels["hostcore.os"].as_str()), ("test", "linux"));
    let hello = component(&guest("http-hello-v1"), 1);
    let bundles = vec![bundle("hello", hello, None), bundle("web", http_server(address, "hello", 1), None)];
    lattice.apply(&host, &request(1, 1, bundles)).await;
    answered(address, "/").await;
    lattice.running(&host, "hello", 1).await;
    let shown = inventory(&tool, &host).await;
    let [component] = shown.components.as_slice() else { panic!("{shown:?}") };
    assert_eq!((component.id.as_str(), component.max_instances), ("shop-hello", 50));
    assert_eq!(component.image_ref, "file://guest.wasm");
    assert_eq!(component.annotations.as_ref().unwrap()["wasmcloud.dev/appspec"], "shop");
    assert_eq!((component.phase.as_ref(), component.limits.is_some()), (None, true));
    let [provider] = shown.providers.as_slice() else { panic!("{shown:?}") };
    assert_eq!((provider.id.as_str(), provider.image_ref.as_deref()), ("shop-web", Some("http-server")));

    // What fails is listed with no instances, and says why.
    lattice
        .apply(&host, &request(2, 1, vec![bundle("missing", crate::spec::component(b"nowhere", 2), None)]))
        .await;
    let missing = eventually("a failure", async || {
        let shown = inventory(&tool, &host).await;
        shown.components.into_iter().find(|it| it.phase.as_deref() == Some("failed"))
    })
    .await;
    assert_eq!((missing.id.as_str(), missing.max_instances), ("shop-missing", 0));
    assert!(missing.reason.is_some_and(|reason| !reason.is_empty()) && missing.message.is_some());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_and_auctions_go_as_in_1x() {
    let lattice = Lattice::start().await;
    let host = lattice.host().await;
    let (tool, id) = (Tool::of(&lattice).await, host.id());
    let (put, delete) = (format!("label.put.{id}"), format!("label.del.{id}"));
    let set = tool.ask(&put, &json!({"key": "rack", "value": "r1"})).await;
    assert_eq!(set, word(true, "successfully put label"));
    let refused = tool.ask(&put, &json!({"key": "HOSTCORE.os", "value": "plan9"})).await;
    assert_eq!(refused, word(false, "hostcore.* labels cannot be set dynamically"));

    let ask = |rack: &str, of: &str| json!({"component_ref": "r", "component_id": of, "constraints": {"rack": rack}});
    let bid = tool.ask("component.auction", &ask("r1", "new")).await;
    let bid = serde_json::from_value::<Reply<AuctionAck>>(bid).unwrap().response.unwrap();
    assert_eq!((bid.host_id.as_str(), bid.component_id.as_str()), (id.as_str(), "new"));
    assert!(tool.is_silent("component.auction", &ask("r2", "new")).await);
    let ask = json!({"provider_ref": "r", "provider_id": "p", "constraints": {}});
    let bid = tool.ask("provider.auction", &ask).await;
    serde_json::from_value::<Reply<ProviderAuctionAck>>(bid).unwrap().response.unwrap();

    // A component that is here already is bid for by nobody, nor is any by a host that is drained.
    lattice.apply(&host, &request(1, 1, vec![bundle("a", component(b"nowhere", 1), None)])).await;
    let known = json!({"component_ref": "r", "component_id": "shop-a", "constraints": {}});
    assert!(tool.is_silent("component.auction", &known).await);
    lattice.control.drain(&id, SILENCE * 10).await.unwrap();
    assert!(tool.is_silent("provider.auction", &ask).await);

    assert_eq!(tool.ask(&delete, &json!({"key": "rack"})).await, word(true, "successfully deleted label"));
    let gone = tool.ask(&delete, &json!({"key": "rack"})).await;
    assert_eq!(gone, word(true, "successfully deleted label (no such label)"));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_tells_of_its_life_as_1x_does() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1"]).await;
    let tool = Tool::of(&lattice).await;
    let mut events = tool.0.subscribe("wasmbus.evt.default.*").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let mut host = Host::begin_with(&lattice.nats.url, &path, Some(folder), &["--heartbeat-1x", "1s"]);
    host.wait_ready().await;
    let id = host.id();
    let mut next = async |name: &str| loop {
        let message =
            tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect(name).unwrap();
        let event: Event = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(message.subject.as_str(), format!("wasmbus.evt.default.{}", event.data.name()));
        assert_eq!((event.source.as_str(), event.id.len()), (id.as_str(), 36));
        if event.data.name() == name {
            break event.data;
        }
    };
    let EventData::HostStarted { labels, .. } = next("host_started").await else { unreachable!() };
    assert_eq!(labels["zone"], "test");
    let hello = component(&guest("http-hello-v1"), 1);
    lattice.apply(&host, &request(1, 1, vec![bundle("hello", hello.clone(), None)])).await;
    let scaled = next("component_scaled").await;
    let EventData::ComponentScaled { component_id, max_instances, image_ref, .. } = scaled else {
        unreachable!()
    };
    assert_eq!(
        (component_id.as_str(), max_instances, image_ref.as_str()),
        ("shop-hello", 50, "file://guest.wasm")
    );
    let EventData::HostHeartbeat(inventory) = next("host_heartbeat").await else { unreachable!() };
    assert_eq!(inventory.components.len(), 1);
    // Beside what serves a candidate fails: that is told, and what serves is not told to be gone.
    let broken = component(b"nowhere", 2);
    lattice.apply(&host, &request(2, 1, vec![bundle("hello", hello, Some((broken, 0)))])).await;
    let failed = next("component_scale_failed").await;
    let EventData::ComponentScaleFailed { component_id, error, .. } = failed else { unreachable!() };
    assert!(component_id == "shop-hello" && error.contains(": "), "{error}");
    lattice.apply(&host, &request(3, 1, Vec::new())).await;
    let scaled = next("component_scaled").await;
    assert!(matches!(scaled, EventData::ComponentScaled { max_instances: 0, .. }), "{scaled:?}");
    let put = tool.ask(&format!("label.put.{id}"), &json!({"key": "rack", "value": ""})).await;
    assert_eq!(put, word(true, "successfully put label"));
    let EventData::LabelsChanged { labels, .. } = next("labels_changed").await else { unreachable!() };
    assert_eq!(labels["rack"], "");

    let wrong = tool.ask(&format!("host.stop.{id}"), &json!({"host_id": "NOTHIS"})).await;
    assert_eq!(wrong, word(false, "invalid host_id [NOTHIS]"));
    let stop = tool.ask(&format!("host.stop.{id}"), &json!({"host_id": id.as_str()})).await;
    assert_eq!(stop, word(true, "successfully handled stop host"));
    next("host_stopped").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_and_what_no_host_knows() {
    let lattice = Lattice::start().await;
    let host = lattice.host().await;
    let (tool, id) = (Tool::of(&lattice).await, host.id());
    let logins = json!({"r.test": {"username": "me", "password": "p", "registryType": "oci"}, "s.test": {"token": "t"}});
    assert_eq!(tool.ask("registry.put", &logins).await, word(true, "successfully put registries"));
    let unknown = tool.ask(&format!("host.explode.{id}"), &Value::Null).await;
    assert_eq!(unknown, word(false, "unsupported subject"));
    host.stop().await;
}
