//! The API of wadm: every request of the recorded conversation in its order, one record of the truth with Lath's own
//! API, and what cannot be read.

use std::time::Duration;

use futures::StreamExt;
use lath_control_api::app::AppState;
use lath_control_api_client::async_nats::HeaderMap;
use lath_wasmcloud::wadm::Status;
use serde_json::{Value, json};

use crate::lattice::{Lattice, app_request, eventually, manifest};

/// The smallest component there is.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

impl Lattice {
    /// Asks as a client of wadm does.
    async fn wadm(&self, verb: &str, body: impl Into<Vec<u8>>) -> Value {
        self.wadm_with(verb, HeaderMap::new(), body).await
    }

    async fn wadm_with(&self, verb: &str, headers: HeaderMap, body: impl Into<Vec<u8>>) -> Value {
        let subject = format!("wadm.api.test.model.{verb}");
        let nats = self.client.connection().nats();
        let asked = nats.request_with_headers(subject, headers, body.into().into());
        let reply = tokio::time::timeout(Duration::from_secs(10), asked).await.expect(verb).unwrap();
        serde_json::from_slice(&reply.payload).unwrap()
    }

    /// Waits until wadm's clients read this of an app.
    async fn told(&self, app: &str, kind: &str) -> Value {
        eventually("wadm's status", async || {
            let status = self.wadm(&format!("status.{app}"), "").await;
            if status["status"]["status"]["type"] == kind { Ok(status) } else { Err(status.to_string()) }
        })
        .await
    }
}

/// A manifest with files of this folder and a version.
fn versioned(folder: &str, version: &str) -> String {
    manifest("shop", &[("version", version)])
        .replace("file://hello.wasm", &format!("file://{folder}/hello.wasm"))
        .replace("  name: shop\n", &format!("  name: shop\n  annotations: {{ version: {version} }}\n"))
}

/// The lattice, and a folder that has `hello.wasm`.
async fn lattice_with_file() -> (Lattice, String) {
    let lattice = Lattice::with_hosts(1).await;
    let folder = lattice.folder.path().to_str().unwrap().to_owned();
    std::fs::write(format!("{folder}/hello.wasm"), COMPONENT).unwrap();
    (lattice, folder)
}

/// Makes comparable what may differ: the order of scalers, and their ids, which name the files of this machine.
fn settled(mut answer: Value) -> Value {
    let Some(Value::Array(scalers)) = answer.pointer_mut("/status/scalers") else { return answer };
    for scaler in scalers.iter_mut() {
        assert_eq!(scaler["id"].as_str().unwrap().len(), 64);
        scaler["id"] = json!("…");
    }
    scalers.sort_by_key(|scaler| scaler["name"].as_str().unwrap().to_owned());
    answer
}

/// What we answer on purpose in place of what was recorded.
fn difference(verb: &str, recorded: Value) -> Value {
    let first = recorded.get(0).cloned().unwrap_or_default();
    if verb == "list" && first["deployed_version"].is_null() && first["version"] == "v0.0.1" {
        // wadm says that there are no hosts, which it has not looked for: nothing was deployed.
        let mut summary = first;
        summary["detailed_status"]["status"] = json!({"type": "undeployed"});
        summary["status_message"] = Value::Null;
        return json!([summary]);
    }
    if verb == "put" && recorded["message"].as_str().is_some_and(|said| said.contains("nosuch")) {
        // The same refusal, with its place.
        let said = "6:1: error[E0312] link target `nosuch` does not exist";
        return json!({"result": "error", "message": said});
    }
    recorded
}

#[tokio::test]
async fn the_recorded_conversation_is_answered_as_it_was() {
    let (lattice, folder) = lattice_with_file().await;
    let _manager = lattice.manager("m1").await;
    for name in ["hello-v1.wasm", "hello-v2.wasm"] {
        std::fs::write(format!("{folder}/{name}"), COMPONENT).unwrap();
    }
    let statuses = lattice.client.connection().nats().subscribe("wadm.status.test.hello").await.unwrap();

    let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasmcloud/tests/recordings/wire.jsonl");
    let text = std::fs::read_to_string(recording).unwrap().replace("/srv/components", &folder);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut asked = 0;
    for line in &lines {
        let Some(verb) = line["subject"].as_str().unwrap().strip_prefix("wadm.api.default.model.") else {
            continue;
        };
        asked += 1;
        let answer = lines.iter().find(|answer| answer["subject"] == line["reply"]).unwrap();
        let recorded = serde_json::from_str(answer["text"].as_str().unwrap()).unwrap();
        let expected = settled(difference(verb, recorded));
        let mut headers = HeaderMap::new();
        for (key, value) in line["headers"].as_object().into_iter().flatten() {
            headers.insert(key.as_str(), value.as_str().unwrap());
        }
        let body = line["text"].as_str().unwrap();
        let changes = ["put", "deploy", "undeploy", "del"].iter().any(|change| verb.starts_with(change));
        if changes {
            let ours = lattice.wadm_with(verb, headers, body).await;
            let same = expected["message"].as_str().is_some_and(|said| said.contains("nosuch` does not"))
                && ours["message"].as_str().unwrap().contains("`nosuch` does not exist");
            assert!(same || ours == expected, "{verb}: {ours}\nrecorded {expected}");
        } else {
            // wadm's words are of after it was done; ours may still be of the way there.
            eventually(verb, async || {
                let ours = settled(lattice.wadm_with(verb, headers.clone(), body).await);
                if ours == expected { Ok(()) } else { Err(format!("{ours}\nrecorded {expected}")) }
            })
            .await;
        }
    }
    assert_eq!(asked, 21);

    let told: Vec<Status> = statuses
        .take_until(tokio::time::sleep(Duration::from_millis(200)))
        .map(|message| serde_json::from_slice(&message.payload).unwrap())
        .collect()
        .await;
    let kinds: Vec<String> =
        told.iter().map(|status| serde_json::to_value(status.status.kind).unwrap().to_string()).collect();
    assert!(kinds.contains(&"\"reconciling\"".to_owned()) && kinds.contains(&"\"deployed\"".to_owned()));
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "only what differs is told: {told:#?}");
    let context = lattice.client.connection().jetstream(Duration::from_secs(3));
    let stream = context.get_stream("wadm_status").await.unwrap();
    let last = stream.get_last_raw_message_by_subject("wadm.status.test.hello").await.unwrap();
    let last: Value = serde_json::from_slice(&last.payload).unwrap();
    let undeployed = json!({"type": "undeployed", "message": "Manifest has been undeployed"});
    assert_eq!(last, json!({"status": undeployed, "version": "", "components": []}));
}

#[tokio::test]
async fn both_apis_tell_of_one_record() {
    let (lattice, folder) = lattice_with_file().await;
    let _managers = (lattice.manager("m1").await, lattice.manager("m2").await);

    // By Lath first: a manifest without a version has one of its own.
    lattice.serve(&manifest("shop", &[])).await;
    let versions = lattice.wadm("versions.shop", "").await["versions"].clone();
    let made = versions[0]["version"].as_str().unwrap().to_owned();
    assert_eq!((versions.as_array().unwrap().len(), made.len()), (1, 26));
    assert_eq!(versions[0]["deployed"], true);
    let got = lattice.wadm("get.shop", "").await;
    assert_eq!(got["manifest"]["metadata"]["annotations"]["version"], made.as_str());
    let listed = lattice.wadm("get", "").await;
    assert_eq!(
        (&listed["result"], &listed["models"][0]["deployed_version"]),
        (&json!("success"), &json!(made))
    );

    // By wadm on top of it, as YAML without a header, and by another manager perhaps.
    let put = lattice.wadm("put", versioned(&folder, "v2")).await;
    assert_eq!((&put["result"], &put["total_versions"]), (&json!("newversion"), &json!(2)), "{put}");
    assert_eq!(lattice.status("shop").await.unwrap().revision.unwrap().0, 1, "a put deploys nothing");
    let deployed = lattice.wadm("deploy.shop", r#"{"version":"latest"}"#).await;
    assert_eq!(deployed["version"], "v2", "{deployed}");
    lattice.told("shop", "deployed").await;
    let history = lattice.client.history(&app_request("shop")).await.unwrap();
    assert_eq!(history.entries.len(), 2);
    assert_eq!(history.entries[0].cause.by, "wadm API");
    assert_eq!(lattice.status("shop").await.unwrap().revision.unwrap().0, 3, "2 is what was put");

    // The version of before is what it was, from whichever side.
    let back = lattice.wadm("deploy.shop", json!({"version": made}).to_string()).await;
    assert_eq!(back["result"], "acknowledged", "{back}");
    lattice.told("shop", "deployed").await;
    let listed = lattice.wadm("list", "").await;
    assert_eq!((&listed[0]["version"], &listed[0]["deployed_version"]), (&json!("v2"), &json!(made)));
    lattice.serve(&versioned(&folder, "v3").replace(&format!("file://{folder}/"), "file://")).await;
    let versions = lattice.wadm("versions.shop", "").await["versions"].clone();
    assert_eq!(versions[2], json!({"version": "v3", "deployed": true}), "{versions}");

    // What a version is worth: it cannot be put again, and deleting the one that runs stops the app.
    let again = lattice.wadm("put", versioned(&folder, "v3")).await;
    assert_eq!(again, json!({"result": "error", "message": "Manifest version v3 already exists"}));
    let noop = lattice.wadm("del.shop", r#"{"version":"v9"}"#).await;
    assert_eq!((&noop["result"], &noop["undeploy"]), (&json!("noop"), &json!(false)));
    assert_eq!(lattice.status("shop").await.unwrap().state, AppState::Serving);
    let deleted = lattice.wadm("del.shop", r#"{"version":"v3"}"#).await;
    assert_eq!((&deleted["result"], &deleted["undeploy"]), (&json!("deleted"), &json!(true)));
    lattice.told("shop", "undeployed").await;
    let deleted = lattice.wadm("del.shop", "").await;
    assert_eq!(deleted["message"], "Successfully deleted application shop");
    assert_eq!(lattice.wadm("list", "").await, json!([]), "at once");
    assert_eq!(lattice.wadm("get.shop", "").await["result"], "notfound", "at once");
    assert_eq!(lattice.wadm("put", versioned(&folder, "v3")).await["result"], "created", "and is free");
}

#[tokio::test]
async fn a_deploy_that_fails_is_told_by_the_words_of_wadm() {
    let (lattice, folder) = lattice_with_file().await;
    let _manager = lattice.manager("m1").await;
    lattice.wadm("put", versioned(&folder, "v1")).await;
    lattice.wadm("deploy.shop", "").await;
    lattice.told("shop", "deployed").await;
    let broken = versioned(&folder, "v2").replace("made-for: test", "broken: \"yes\"");
    lattice.wadm("put", broken).await;
    lattice.wadm("deploy.shop", "").await;
    let status = eventually("the rollback", async || {
        let status = lattice.wadm("status.shop", "").await["status"]["status"].clone();
        let over = status["message"].as_str().is_some_and(|said| said.contains("was taken back"));
        if over { Ok(status) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(status["type"], "deployed", "{status}");
    assert_eq!(lattice.wadm("list", "").await[0]["deployed_version"], "v1");

    let taken = versioned(&folder, "v1").replace("name: shop", "name: other");
    lattice.wadm("put", taken).await;
    let refused = lattice.wadm("deploy.other", "").await;
    assert_eq!(refused["result"], "error");
    assert!(refused["message"].as_str().unwrap().contains("taken by app `shop`"), "{refused}");
    // Nowhere to run is not the same as failed.
    let nowhere = versioned(&folder, "v1").replace("shop", "far").replace(
        "instances: 10",
        "instances: 10\n            spread: [{name: x, requirements: {zone: moon}}]",
    );
    assert_eq!(lattice.wadm("put", nowhere).await["result"], "created");
    assert_eq!(lattice.wadm("deploy.far", "").await["result"], "acknowledged");
    let waiting = lattice.told("far", "waiting").await;
    assert!(waiting["status"]["status"]["message"].as_str().unwrap().contains("hello"), "{waiting}");
    let listed = lattice.wadm("list", "").await;
    let far = listed.as_array().unwrap().iter().find(|model| model["name"] == "far").unwrap();
    assert_eq!(
        (&far["status"], &far["detailed_status"]["status"]["type"]),
        (&json!("undeployed"), &json!("waiting"))
    );
}

#[tokio::test]
async fn what_cannot_be_read_gets_an_error_or_nothing_and_changes_nothing() {
    let (lattice, folder) = lattice_with_file().await;
    let _manager = lattice.manager("m1").await;
    assert_eq!(lattice.wadm("put", versioned(&folder, "v1")).await["result"], "created");
    let before = lattice.wadm("list", "").await;

    let (deep, large) = ("[".repeat(100_000), "#".repeat(600 << 10));
    let verbs = ["put", "get.shop", "del.shop", "deploy.shop", "undeploy.shop"];
    for body in ["{", "[]", "1", "{\"version\":7}", "\u{0}", "\"", deep.as_str(), large.as_str()] {
        for verb in verbs {
            if verb == "undeploy.shop" && body == "{\"version\":7}" {
                continue;
            }
            let answer = lattice.wadm(verb, body).await;
            assert_eq!(answer["result"], "error", "{verb} {body:.30}: {answer}");
            assert!(answer["message"].as_str().is_some_and(|said| !said.is_empty()));
        }
    }
    for verb in ["put", "get.*", "del.>", "deploy.*", "undeploy. ", "versions.*"] {
        if !verb.contains(' ') {
            let answer = lattice.wadm(verb, "").await;
            let result = answer["result"].as_str().unwrap().to_owned();
            assert!(["error", "notfound", "noop"].contains(&result.as_str()), "{verb}: {answer}");
        }
    }
    let named = |name: &str| versioned(&folder, "v1").replace("name: shop", &format!("name: \"{name}\""));
    for name in ["*", "a.b", ">", "", "a b", "ä"] {
        assert_eq!(lattice.wadm("put", named(name)).await["result"], "error", "{name}");
    }
    for (kind, expected) in
        [("application/json", "expected"), ("text/plain", "Unsupported content type text/plain")]
    {
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", kind);
        let answer = lattice.wadm_with("put", headers, versioned(&folder, "v2")).await;
        assert!(answer["message"].as_str().unwrap().contains(expected), "{answer}");
    }
    for verb in ["explode", "list.shop", "put.shop", "deploy", "get.a.b", "history"] {
        let answer = lattice.wadm(verb, "").await;
        assert_eq!(answer["message"], format!("Unsupported subject: wadm.api.test.model.{verb}"));
    }
    assert_eq!(lattice.wadm("history.shop", "").await["result"], "error");

    // Answers go to inboxes only, and what wants one elsewhere is not done.
    let nats = lattice.client.connection().nats();
    let mut trap = nats.subscribe("trap.>").await.unwrap();
    nats.publish_with_reply("wadm.api.test.model.deploy.shop", "trap.here", "".into()).await.unwrap();
    assert_eq!(lattice.wadm("list", "").await, before);
    assert!(futures::FutureExt::now_or_never(trap.next()).is_none());
    // What wants none is done.
    nats.publish("wadm.api.test.model.deploy.shop", "".into()).await.unwrap();
    lattice.told("shop", "deployed").await;
}
