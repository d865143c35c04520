//! What hosts of 1.x have left in their buckets is taken over, and left there as it is.

use std::time::Duration;

use async_nats::jetstream::kv;
use lath_tests::{Setup, ToolV1};
use serde_json::{Value, json};

fn link(source: &str, target: &str, config: &[&str]) -> Value {
    json!({
        "source_id": source, "target": target, "name": "default", "wit_namespace": "wasi", "wit_package": "keyvalue",
        "interfaces": ["store"], "source_config": config, "target_config": [],
    })
}

/// An app whose link and config wadm has put into the buckets.
fn manifest() -> Value {
    json!({"apiVersion": "core.oam.dev/v1beta1", "kind": "Application",
        "metadata": {"name": "shop", "annotations": {"version": "v1"}},
        "spec": {"components": [
            {"name": "http", "type": "capability", "properties": {"image": "wasmcloud+builtin://http-server"},
             "traits": [{"type": "link", "properties": {"namespace": "wasi", "package": "http",
                "interfaces": ["incoming-handler"], "target": {"name": "front"},
                "source": {"config": [{"name": "address", "properties": {"address": "127.0.0.1:1"}}]}}}]},
            {"name": "front", "type": "component", "properties": {"image": "ghcr.io/acme/front:1"}}]}})
}

/// What came of the config `redis`.
fn redis(report: &Value) -> &Value {
    let configs = report["configs"].as_array().unwrap();
    &configs.iter().find(|config| config["name"] == "redis").unwrap()["result"]
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_configs_of_1x_are_taken_over_and_left_as_they_are() {
    let mut lattice = Setup::default().host(&[]).start().await;
    let lath = lattice.lath();
    lath.run(["migrate", "--from-1x"]).await.exits(3).says(&["have kept nothing"]);

    let client = lattice.client().await;
    let jetstream = client.connection().jetstream(Duration::from_secs(5));
    let made = async |bucket: &str| {
        let config = kv::Config { bucket: bucket.to_owned(), history: 1, ..kv::Config::default() };
        jetstream.create_key_value(config).await.unwrap()
    };
    let (data, configs) = (made("LATTICEDATA_default").await, made("CONFIGDATA_default").await);
    let put = async |bucket: &kv::Store, key: &str, value: Value| {
        bucket.put(key, value.to_string().into()).await.unwrap();
    };
    let image = "ghcr.io/acme/front:1";
    let first = link("front", "kv", &["redis"]);
    let mut second = link("front", "other", &[]);
    second["name"] = "second".into();
    put(&data, "COMPONENT_front", json!({ "url": image, "links": [first, second] })).await;
    put(&data, "COMPONENT_kv", json!({ "url": "ghcr.io/acme/kv:1", "links": [] })).await;
    put(&data, "COMPONENT_bad", json!({ "url": "", "links": [link("bad", "kv", &["nowhere"])] })).await;
    put(&data, "COMPONENT_shop-http", json!({ "url": "", "links": [link("shop-http", "shop-front", &[])] }))
        .await;
    data.put("COMPONENT_broken", "{".into()).await.unwrap();
    put(&data, "CLAIMS_MABC", json!({ "call_alias": "" })).await;
    put(&configs, "redis", json!({ "url": "redis://127.0.0.1" })).await;
    put(&configs, "shop-address", json!({ "address": "127.0.0.1:1" })).await;
    put(&configs, "numbers", json!({ "a": 1 })).await;
    put(&configs, "SECRET_token", json!({ "name": "token" })).await;
    let state = async || {
        let of = async |bucket: &kv::Store| {
            let state = bucket.status().await.unwrap().info.state;
            (state.messages, state.last_sequence)
        };
        (of(&data).await, of(&configs).await)
    };
    let before = state().await;
    // What wadm has put into the buckets belongs to its manifest.
    let file = lattice.folder().join("shop.json");
    std::fs::write(&file, manifest().to_string()).unwrap();
    let _ = lath.run(["app", "put", file.to_str().unwrap()]).await.exits(0);

    let report = lath.run(["migrate", "--from-1x", "-o", "json"]).await.exits(1).json();
    let came_of = |kind: &str, part: &str| {
        let all = report[kind].as_array().unwrap();
        let found = all.iter().find(|one| one["name"].as_str().unwrap().contains(part));
        let found = found.unwrap_or_else(|| panic!("no {part} in {report:#}"));
        (
            found["result"].as_str().unwrap().to_owned(),
            found["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    for (kind, part, result, words) in [
        ("configs", "redis", "done", ""),
        ("configs", "shop-address", "left", "of a manifest"),
        ("configs", "numbers", "refused", "cannot be read"),
        ("configs", "SECRET_token", "left", "secret"),
        ("links", "front -> kv wasi:keyvalue/store (default)", "done", ""),
        ("links", "front -> other wasi:keyvalue/store (second)", "done", ""),
        ("links", "bad -> kv", "refused", "Configuration nowhere not found"),
        ("links", "shop-http", "left", "of a manifest"),
        ("links", "COMPONENT_broken", "refused", "cannot be read"),
    ] {
        let (found, message) = came_of(kind, part);
        assert!(found == result && message.contains(words), "{part}: {found} {message}");
    }
    assert_eq!(state().await, before);
    let tool = ToolV1::of(&lattice).await;
    assert_eq!(tool.get("link.get", &Value::Null).await, json!([first, second]));
    assert_eq!(tool.get("config.get.redis", &Value::Null).await, json!({ "url": "redis://127.0.0.1" }));

    // Again, and with a config that has changed since; a manager that starts writes nothing that stands there.
    let again = lath.run(["migrate", "--from-1x", "-o", "json"]).await.exits(1).json();
    assert_eq!(redis(&again), "unchanged", "{again:#}");
    assert!(again["links"].to_string().contains("unchanged"), "{again:#}");
    lath.run(["migrate", "--from-1x"]).await.exits(1).says(&["unchanged", "refused", "left"]);
    lattice.manager_mut().stop().await;
    lattice.manager_mut().restart().await;
    let _ = lath.run(["config", "put", "redis", "url=redis://127.0.0.2"]).await.exits(0);
    let kept = data.get("COMPONENT_front").await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap()["url"], image);
    let other = lath.run(["migrate", "--from-1x", "-o", "json"]).await.exits(1).json();
    assert_eq!(redis(&other), "unchanged", "the copy of 1.x was not changed with ours: {other:#}");
}
