//! Coming from 1.x: the verbs of `wash app` and their JSON, manifests in old forms, and the apps that wadm keeps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lath_control_api_client::async_nats::jetstream::kv;
use lath_tests::{App, Lath, Lattice, Load, eventually};
use serde_json::{Value, json};

use crate::words;

const SOON: Duration = Duration::from_secs(30);

/// The app as `wash` users write it: with a version.
fn versioned(lattice: &Lattice, version: &str, image: &str) -> PathBuf {
    let app = App::hello("shop", lattice.address).image("hello", image);
    let yaml = app.yaml();
    let (head, tail) = yaml.split_once("spec:\n").unwrap();
    let path = lattice.folder().join(format!("shop-{version}.yaml"));
    let annotations = format!("  annotations: {{ version: {version}, description: says hello }}\n");
    std::fs::write(&path, format!("{head}{annotations}spec:\n{tail}")).unwrap();
    path
}

async fn app(lath: &Lath, arguments: &[&str]) -> Value {
    let all: Vec<&str> = ["app"].iter().chain(arguments).chain(&["--output", "json"]).copied().collect();
    let json = lath.run(all).await.exits(0).json();
    assert_eq!(json["success"], true, "{json:#}");
    json
}

async fn until(lath: &Lath, kind: &str) -> Value {
    eventually(SOON, "the status", async || {
        let status = app(lath, &["status", "shop"]).await;
        if status["status"]["status"]["type"] == kind { Ok(status) } else { Err(format!("{status:#}")) }
    })
    .await
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nine_verbs_answer_as_those_of_wash() {
    let lattice = Lattice::of_two_hosts().await;
    let lath = lattice.lath();
    let load = Load::new(lattice.address, "/");
    let (first, second) =
        (versioned(&lattice, "v1", "http-hello-v1"), versioned(&lattice, "v2", "http-hello-v2"));

    assert_eq!(app(&lath, &["list"]).await, json!({"applications": [], "success": true}));
    let valid = app(&lath, &["validate", text(&first)]).await;
    assert_eq!(valid, json!({"valid": true, "errors": [], "warnings": [], "success": true}));
    let put = json!({"deployed": true, "model_name": "shop", "model_version": "v1", "success": true});
    assert_eq!(app(&lath, &["put", text(&first)]).await, put);
    let again = lath.run(["app", "put", text(&first), "--output", "json"]).await.exits(5).json();
    let why = "Invalid request: Manifest version v1 already exists";
    assert_eq!(again, json!({"success": false, "error": why}));
    let listed = app(&lath, &["list"]).await;
    let undeployed = json!({"status": {"type": "undeployed"}, "version": "", "components": []});
    assert_eq!(
        listed["applications"],
        json!([{"name": "shop", "version": "v1", "description": "says hello", "deployed_version": null,
                "detailed_status": undeployed, "status": "undeployed", "status_message": null}])
    );
    assert_eq!(app(&lath, &["get"]).await, listed);

    // The manager has never seen the file: the component came with the put.
    assert_eq!(app(&lath, &["deploy", "shop", "v1"]).await, put);
    until(&lath, "deployed").await;
    assert_eq!(words::hello(&load.once().await.unwrap()), "v1 hello");
    let deployed = app(&lath, &["deploy", text(&second)]).await;
    assert_eq!(deployed["model_version"], "v2");
    eventually(SOON, "the new version", async || {
        let answer = words::hello(&load.once().await?);
        if answer == "v2 hello" { Ok(()) } else { Err(answer) }
    })
    .await;
    let status = until(&lath, "deployed").await;
    assert!(status["status"]["scalers"].as_array().unwrap().iter().all(|scaler| scaler["id"].is_string()));
    let revisions = app(&lath, &["history", "shop"]).await["revisions"].clone();
    assert_eq!(revisions, json!([{"version": "v1", "deployed": false}, {"version": "v2", "deployed": true}]));
    let got = app(&lath, &["get", "shop", "v1"]).await["application"].clone();
    assert_eq!(got["metadata"]["annotations"]["version"], "v1");
    lath.run(["app", "status", "shop"]).await.exits(0).says(&["shop@v2 - Deployed", "DaemonScaler"]);
    // The same by the commands of Lath.
    lath.run(["history", "shop"]).await.exits(0).says(&["deploy"]);

    let undeployed = app(&lath, &["undeploy", "shop"]).await;
    assert_eq!(undeployed["undeployed_application_names"], json!(["shop"]));
    assert_eq!(undeployed["results"], "Undeployed application: shop");
    until(&lath, "undeployed").await;
    let deleted = json!({"deleted": true, "success": true});
    assert_eq!(app(&lath, &["delete", "shop", "v1"]).await, deleted);
    assert_eq!(app(&lath, &["del", text(&second)]).await, deleted);
    for gone in [["get", "shop"], ["deploy", "shop"], ["history", "shop"], ["undeploy", "shop"]] {
        let ended = lath.run([&["app"], &gone[..], &["-o", "json"]].concat()).await.exits(3).json();
        assert_eq!(ended, json!({"success": false, "error": "Model not found: shop"}));
    }
    let _ = lath.run(["app", "put", text(&first)]).await.exits(0);
    let all = app(&lath, &["delete", "--all-undeployed"]).await;
    assert_eq!(all["deleted_application_names"], json!(["shop"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wadm_keeps_is_taken_over_and_left_as_it_is() {
    let lattice = Lattice::of_two_hosts().await;
    let lath = lattice.lath();
    lath.run(["migrate", "--from-wadm"]).await.exits(3).says(&["wadm_manifests"]);

    let client = lattice.client().await;
    let jetstream = client.connection().jetstream(Duration::from_secs(5));
    let mut buckets = Vec::new();
    for name in ["wadm_manifests", "wadm_state"] {
        let config = kv::Config { bucket: name.to_owned(), ..kv::Config::default() };
        buckets.push(jetstream.create_key_value(config).await.unwrap());
    }
    let put = async |bucket: usize, key: &str, value: Value| {
        buckets[bucket].put(key, value.to_string().into()).await.unwrap();
    };
    let manifest = |name: &str, version: &str| {
        json!({"apiVersion": "core.oam.dev/v1beta1", "kind": "Application",
               "metadata": {"name": name, "annotations": {"version": version}},
               "spec": {"components": [{"name": "http", "type": "capability",
                                        "properties": {"image": "wasmcloud+builtin://http-server"}}]}})
    };
    put(0, "default", json!(["shop", "bank", "gone", "other"])).await;
    // The order of versions is the order of the text: the last is the newest.
    let stored = format!(
        r#"{{"manifests":{{"v2":{},"v10":{},"v1":{}}},"deployed_version":"v10"}}"#,
        manifest("shop", "v2"),
        manifest("shop", "v10"),
        manifest("shop", "v1")
    );
    buckets[0].put("default-shop", stored.into()).await.unwrap();
    let broken = json!({"apiVersion": "x", "kind": "Application", "metadata": {"name": "bank"}});
    put(0, "default-bank", json!({"manifests": {"v1": broken}, "deployed_version": null})).await;
    let elsewhere = json!({"manifests": {"v1": manifest("b-other", "v1")}, "deployed_version": null});
    put(0, "default-other", elsewhere).await;
    put(1, "component_default", json!({})).await;
    let before =
        [buckets[0].status().await.unwrap().info.state, buckets[1].status().await.unwrap().info.state];

    let report = lath.run(["migrate", "--from-wadm", "--deploy", "-o", "json"]).await.exits(1).json();
    let apps = report["apps"].as_array().unwrap();
    let of = |name: &str| apps.iter().find(|app| app["app"] == name).unwrap();
    assert_eq!(
        of("shop")["versions"],
        json!([{"version": "v2", "result": "done"}, {"version": "v10", "result": "done"},
               {"version": "v1", "result": "done"}])
    );
    assert_eq!((&of("shop")["deployed"], &of("shop")["deploy"]["result"]), (&json!("v10"), &json!("done")));
    assert_eq!(of("bank")["versions"][0]["result"], "refused");
    assert!(
        of("gone")["problem"].is_string() && of("other")["problem"].as_str().unwrap().contains("b-other")
    );
    let history = app(&lath, &["history", "shop"]).await["revisions"].clone();
    let versions: Vec<(&str, bool)> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|known| (known["version"].as_str().unwrap(), known["deployed"].as_bool().unwrap()))
        .collect();
    assert_eq!(versions, [("v2", false), ("v10", true), ("v1", false)]);
    let again = lath.run(["migrate", "--from-wadm", "-o", "json"]).await.exits(1).json();
    assert!(again.to_string().contains(r#""result":"unchanged","version":"v10""#), "{again:#}");
    lath.run(["migrate", "--from-wadm"]).await.exits(1).says(&["deployed by wadm", "unchanged"]);
    for (bucket, before) in buckets.iter().zip(before) {
        let after = bucket.status().await.unwrap().info.state;
        assert_eq!((after.messages, after.last_sequence), (before.messages, before.last_sequence));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_in_old_forms_is_rewritten_where_it_stands() {
    let home = tempfile::tempdir().unwrap();
    let lath = Lath::nowhere(home.path());
    let path = home.path().join("old.yaml");
    let old = "# ours\napiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: { name: old }\nspec:\n  components:\n    - name: c # one\n      type: actor\n      properties: { image: 'ghcr.io/a/c:1' }\n      traits:\n        - type: spreadscaler\n          properties: { replicas: 2 }\n        - type: autoscaler\n          properties: { minReplicas: 2 }\n";
    let new = old.replace("actor", "component").replace("{ replicas", "{ instances");
    std::fs::write(&path, old).unwrap();
    let shown = lath.run(["migrate", text(&path)]).await.exits(0);
    assert_eq!(shown.stdout, new);
    shown.says(&["old.yaml:8", "`type: component`", "`instances`", "`autoscaler` are kept"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), old);
    let _ = lath.run(["migrate", text(&path), "--write"]).await.exits(0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), new);
    lath.run(["migrate", text(&path), "--write"]).await.exits(0).says(&["no old forms"]);
    std::fs::write(&path, "kind: Nothing\n").unwrap();
    let _ = lath.run(["migrate", text(&path)]).await.exits(4);
}
