//! Garbage on every subject of the control interface of 1.x: a refusal or nothing, as 1.x has it; nobody falls, and
//! nothing changes.

use std::time::Duration;

use futures::future::join_all;
use lath_tests::{Lattice, Setup, ToolV1, guest};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// Requests that are made up.
const CASES: usize = 400;
/// Longest wait for an answer that may not come.
const SILENCE: Duration = Duration::from_secs(3);

/// What may stand in the place of a host id.
fn ids(host: &str) -> Vec<String> {
    let others = ["*", ">", "N", "nobody", "N*", "ＮＡ", "..", "host.host"].map(str::to_owned);
    others.into_iter().chain([host.to_owned(), host.to_lowercase(), format!("N{}", "A".repeat(55))]).collect()
}

fn subject(host: &str) -> impl Strategy<Value = String> + use<> {
    let whole = ["registry.put", "link.put", "link.del", "component.auction", "provider.auction"];
    let named = ["config.put", "config.get", "config.nonsense", "link.nonsense", "component.nonsense"];
    let to_hosts = [
        "component.scale",
        "component.update",
        "provider.start",
        "provider.stop",
        "label.put",
        "label.del",
        "host.get",
        "host.stop",
        "host.nonsense",
    ];
    let names = prop::sample::select(vec!["*", ">", "a.b", "a*", "x y", "ü", "known"]);
    prop_oneof![
        prop::sample::select(whole.to_vec()).prop_map(str::to_owned),
        (prop::sample::select(named.to_vec()), names).prop_map(|(verb, name)| format!("{verb}.{name}")),
        (prop::sample::select(to_hosts.to_vec()), prop::sample::select(ids(host)))
            .prop_map(|(verb, id)| format!("{verb}.{id}")),
    ]
}

/// A value that is in its wrong place: no text, no number that counts, no list of texts.
fn wrong() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(1e300)),
        Just(json!(u64::MAX)),
        Just(json!({ "a": { "b": [1] } })),
        Just(json!([[]])),
    ]
}

/// Texts that are no ids, names or references.
fn hostile() -> impl Strategy<Value = String> {
    let texts = ["", " ", "*", ">", "a.b", "a b", "$SYS", "a\u{0}b", "../../etc", "é", "${x}", "{{x}}"];
    prop_oneof![
        prop::sample::select(texts.map(str::to_owned).to_vec()),
        Just("x".repeat(200_000)),
        Just("\u{1f4a5}".repeat(100)),
    ]
}

/// A request with the fields of all, one of which is wrong in a way that no request takes.
fn nearly(hostile: &str, wrong: Value, which: usize) -> Value {
    let mut request = json!({
        "component_id": "made-up", "component_ref": "registry.invalid/a:1", "count": 1, "config": [], "allow_update": true,
        "new_component_ref": "registry.invalid/b:1", "provider_id": "made-up", "provider_ref": "registry.invalid/p:1",
        "host_id": "x", "constraints": { "no": "where" }, "key": "hostcore.os", "value": "v",
        "source_id": "made-up", "target": "other", "name": "n", "wit_namespace": "a", "wit_package": "b",
        "interfaces": ["c"], "source_config": ["nowhere"], "target_config": [], "timeout": "soon",
    });
    // These are wrong for every request that has them; the others are at best refused for something else.
    let ids = ["component_id", "provider_id", "source_id", "key"];
    for id in ids {
        request[id] = match which % 3 {
            0 => json!(hostile),
            1 => wrong.clone(),
            _ => json!("a.b"),
        };
    }
    request["key"] = if which.is_multiple_of(2) { json!("hostcore.os") } else { wrong };
    request
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let text = |value: Value| value.to_string().into_bytes();
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..200),
        Just(b"{".to_vec()),
        Just(b"[]".to_vec()),
        Just(b"null".to_vec()),
        Just(vec![0xff; 64]),
        Just("[".repeat(100_000).into_bytes()),
        Just("{\"a\":".repeat(100_000).into_bytes()),
        Just(vec![b' '; 5 << 20]),
        Just([b"{\"count\":1,\"component_id\":\"".as_slice(), &vec![b'a'; 5 << 20], b"\"}"].concat()),
        wrong().prop_map(text),
        (hostile(), wrong(), any::<usize>())
            .prop_map(move |(hostile, wrong, which)| text(nearly(&hostile, wrong, which))),
    ]
}

/// What is not to change.
async fn state(lattice: &Lattice, tool: &ToolV1, host: &str) -> Value {
    let mut inventory = tool.get(&format!("host.get.{host}"), &Value::Null).await;
    for moving in ["uptime_human", "uptime_seconds"] {
        inventory[moving] = Value::Null;
    }
    let apps = lattice.lath().run(["apps", "-o", "json"]).await.exits(0).json();
    json!({
        "inventory": inventory,
        "links": tool.get("link.get", &Value::Null).await,
        "config": tool.get("config.get.known", &Value::Null).await,
        "apps": lath_tests::lattice::items(&apps, "apps").iter().map(|app| json!([app["app"], app["generation"]])).collect::<Vec<_>>(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_or_left_alone_and_changes_nothing() {
    let lattice = Setup::default().host(&[]).nats("max_payload: 8MB").start().await;
    let mut tool = ToolV1::of(&lattice).await;
    let host = tool.hosts().await.remove(0);
    tool.does("config.put.known", &json!({ "a": "1" })).await;
    let link = json!({
        "source_id": "web", "target": "hello", "wit_namespace": "wasi", "wit_package": "http",
        "interfaces": ["incoming-handler"], "source_config": ["known"],
    });
    tool.does("link.put", &link).await;
    let image = format!("file://{}", guest("http-hello-v1").display());
    let scale = json!({ "component_id": "hello", "component_ref": image, "count": 3 });
    tool.does(&format!("component.scale.{host}"), &scale).await;
    tool.event("component_scaled", |data| data["component_id"] == "hello").await;
    let before = state(&lattice, &tool, &host).await;
    let processes = lattice.process_ids();

    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let made_up = (subject(&host), payload());
    let cases: Vec<(String, Vec<u8>)> =
        (0..CASES).map(|_| made_up.new_tree(&mut runner).unwrap().current()).collect();
    for batch in cases.chunks(40) {
        let asked = batch.iter().map(|(subject, payload)| {
            let request =
                tool.nats().request(format!("wasmbus.ctl.v1.default.{subject}"), payload.clone().into());
            async move { (subject, payload, tokio::time::timeout(SILENCE, request).await) }
        });
        for (subject, payload, answer) in join_all(asked).await {
            // Silence, nobody there, or a subject that no client sends.
            let Ok(Ok(answer)) = answer else { continue };
            let shown = String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned();
            let answer: Value = serde_json::from_slice(&answer.payload)
                .unwrap_or_else(|error| panic!("{subject} {shown}: {error}"));
            assert!(answer["message"].is_string(), "{subject} {shown}: {answer}");
            // Questions have no payload to be wrong about, and what is not there can be asked for.
            let question = subject.starts_with("host.get.") || subject.starts_with("config.get.");
            assert!(answer["success"] == false || question, "{subject} {shown}: {answer}");
        }
    }
    assert_eq!(state(&lattice, &tool, &host).await, before);
    assert_eq!(lattice.process_ids(), processes);
    assert_eq!(tool.hosts().await, [host]);
}
