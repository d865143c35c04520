//! Garbage on every subject of 1.x that hosts and managers listen to: a refusal or nothing, as 1.x has it; nobody
//! falls, and nothing changes. Each kind of garbage goes to each subject, and more is made up.

use std::time::Duration;

use futures::future::join_all;
use lath_tests::{Lattice, Setup, ToolV1, guest};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::{BoxedStrategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// Times that each kind of garbage goes to each subject.
const ROUNDS: usize = 3;
/// Longest wait for an answer that may not come.
const SILENCE: Duration = Duration::from_secs(3);
/// Bytes that are on their way at the same time: a server cuts off who is 64 MB behind.
const UNDER_WAY: usize = 20 << 20;
/// What calls of the component that runs are sent to.
const CALLS: &str = "default.hello.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle";

/// Who is asked, and so what an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Answers with `success`.
    Control,
    /// The same; its payload is not read, or what is not there can be asked for.
    Question,
    /// Answers with `result`, or with a list.
    Wadm,
    /// Answers by accepting a call, which then gives no results.
    Call,
}

/// What may stand in the place of a host id.
fn ids(host: &str) -> Vec<String> {
    let others = ["*", ">", "N", "nobody", "N*", "ＮＡ", "..", "host.host"].map(str::to_owned);
    others.into_iter().chain([host.to_owned(), host.to_lowercase(), format!("N{}", "A".repeat(55))]).collect()
}

/// Every subject, with what may stand in its last place.
fn subjects(host: &str) -> Vec<(Door, String, Vec<String>)> {
    let control = |rest: &str| format!("wasmbus.ctl.v1.default.{rest}");
    let none = || vec![String::new()];
    let names = || ["*", ">", "a.b", "a*", "x y", "ü", "."].map(str::to_owned).to_vec();
    let mut all = Vec::new();
    for whole in ["registry.put", "link.put", "link.del", "component.auction", "provider.auction", "nonsense"]
    {
        all.push((Door::Control, control(whole), none()));
    }
    for question in ["host.ping", "claims.get", "link.get"] {
        all.push((Door::Question, control(question), none()));
    }
    for named in ["config.nonsense.", "link.nonsense.", "component.nonsense.", "config.del."] {
        all.push((Door::Control, control(named), names()));
    }
    // A config that is there: what is no map of texts does not replace it.
    all.push((Door::Control, control("config.put."), [names(), vec!["known".to_owned()]].concat()));
    all.push((Door::Question, control("config.get."), [names(), vec!["known".to_owned()]].concat()));
    for to_host in [
        "component.scale.",
        "component.update.",
        "provider.start.",
        "provider.stop.",
        "label.put.",
        "label.del.",
        "host.stop.",
        "host.nonsense.",
    ] {
        all.push((Door::Control, control(to_host), ids(host)));
    }
    all.push((Door::Question, control("host.get."), ids(host)));
    let wadm = |rest: &str| format!("wadm.api.default.model.{rest}");
    for whole in ["list", "get", "put", "nonsense", ""] {
        all.push((Door::Wadm, wadm(whole), none()));
    }
    for named in ["get.", "versions.", "status.", "deploy.", "undeploy.", "del.", "history.", "nonsense."] {
        all.push((Door::Wadm, wadm(named), names()));
    }
    all.push((Door::Call, CALLS.to_owned(), none()));
    all
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
        select(texts.map(str::to_owned).to_vec()),
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

/// Each kind of garbage. What is a request by itself is left out: an empty one is a question, or asks a host to stop.
fn kinds() -> Vec<(&'static str, BoxedStrategy<Vec<u8>>)> {
    let text = |value: Value| value.to_string().into_bytes();
    let field = [b"{\"count\":1,\"component_id\":\"".as_slice(), &vec![b'a'; 5 << 20], b"\"}"].concat();
    vec![
        ("empty", Just(Vec::new()).boxed()),
        (
            "bytes",
            prop::collection::vec(any::<u8>(), 1..200).prop_filter("no JSON", |it| it[0] != b'{').boxed(),
        ),
        ("no JSON", select(vec![b"{".to_vec(), vec![0xff; 64], b"{]}".to_vec(), b"\0".to_vec()]).boxed()),
        (
            "no object",
            select(vec![b"[]".to_vec(), b"null".to_vec(), b"\"a\"".to_vec(), b"[[1]]".to_vec()]).boxed(),
        ),
        ("deep lists", Just("[".repeat(100_000).into_bytes()).boxed()),
        ("deep objects", Just("{\"a\":".repeat(100_000).into_bytes()).boxed()),
        ("5 MiB of nothing", Just(vec![b' '; 5 << 20]).boxed()),
        ("5 MiB of a field", Just(field).boxed()),
        ("wrong types", wrong().prop_filter("no object", |value| !value.is_object()).prop_map(text).boxed()),
        (
            "nearly right",
            (hostile(), wrong(), any::<usize>())
                .prop_map(move |(hostile, wrong, which)| text(nearly(&hostile, wrong, which)))
                .boxed(),
        ),
    ]
}

/// Whether a request would be one, garbage or not.
fn is_request(door: Door, subject: &str, kind: &str) -> bool {
    let is_empty = kind == "empty" || kind == "5 MiB of nothing";
    match door {
        Door::Control => is_empty && (subject.contains(".host.stop.N") || subject.contains(".config.del.")),
        Door::Wadm | Door::Question | Door::Call => false,
    }
}

/// Whether this is an answer to garbage.
fn is_refusal(door: Door, answer: &Value) -> bool {
    match door {
        Door::Control => answer["success"] == false && answer["message"].is_string(),
        Door::Question => answer["success"].is_boolean() && answer["message"].is_string(),
        // Questions by names that nobody has are answered.
        Door::Wadm => {
            answer.is_array()
                || (answer["result"].is_string()
                    && answer["result"] != "created"
                    && answer["result"] != "acknowledged")
        }
        Door::Call => false,
    }
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
    let mut cases = Vec::new();
    for (door, subject, places) in subjects(&host) {
        for (kind, garbage) in kinds() {
            for _ in 0..ROUNDS {
                let made_up = (any::<Index>(), &garbage).new_tree(&mut runner).unwrap().current();
                let subject = format!("{subject}{}", made_up.0.get(&places));
                if !is_request(door, &subject, kind) {
                    cases.push((door, subject, kind, made_up.1));
                }
            }
        }
    }
    let (mut batch, mut bytes, mut answered) = (Vec::new(), 0, 0);
    let count = cases.len();
    for (index, case) in cases.into_iter().enumerate() {
        bytes += case.3.len();
        batch.push(case);
        if batch.len() == 40 || bytes > UNDER_WAY || index + 1 == count {
            answered += send(&tool, std::mem::take(&mut batch)).await;
            bytes = 0;
        }
    }
    println!("{answered} of {count} were answered");
    assert!(answered > count / 4, "only {answered} of {count} were answered");
    let call = ["call", "hello", "wasi:http/incoming-handler.handle", "--rpc-timeout-ms", "20000"];
    let _ = lattice.lath().run(call).await.exits(0);
    assert_eq!(state(&lattice, &tool, &host).await, before);
    assert_eq!(lattice.process_ids(), processes);
    assert_eq!(tool.hosts().await, [host]);
}

/// Sends them at once; how many were answered.
async fn send(tool: &ToolV1, batch: Vec<(Door, String, &'static str, Vec<u8>)>) -> usize {
    let asked = batch.into_iter().map(|(door, subject, kind, payload)| async move {
        let request = tool.nats().request(subject.clone(), payload.into());
        // Silence, nobody there, or a subject that no client sends.
        let Ok(Ok(answer)) = tokio::time::timeout(SILENCE, request).await else { return false };
        if door == Door::Call {
            // The call was taken: nothing follows.
            if let Some(callee) = answer.reply {
                for channel in ["params", "params.0.0", "params.0.1"] {
                    tool.nats().publish(format!("{callee}.{channel}"), "".into()).await.unwrap();
                }
            }
            return true;
        }
        let text = String::from_utf8_lossy(&answer.payload);
        let said: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{subject} {kind}: {error}: {text}"));
        assert!(is_refusal(door, &said), "{subject} {kind}: {said}");
        true
    });
    join_all(asked).await.into_iter().filter(|was_answered| *was_answered).count()
}
