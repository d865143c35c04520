//! The control interface of wasmCloud 1.x against real hosts and a real manager: links, configs, starts by hand. What is
//! said is that of 1.x; what happens is a rollout.

use std::net::SocketAddr;
use std::time::Duration;

use lath_tests::{Answer, Lattice, Load, Setup, ToolV1, eventually, guest, ports};
use serde_json::{Value, json};

use crate::words;

const SOON: Duration = Duration::from_secs(30);

fn file(name: &str) -> String {
    format!("file://{}", guest(name).display())
}

fn scale(id: &str, image: &str, count: u32, config: &[&str]) -> Value {
    json!({ "component_id": id, "component_ref": image, "count": count, "config": config })
}

fn link(source: &str, target: &str, package: &str, interface: &str, config: &[&str]) -> Value {
    let (namespace, package) = package.split_once(':').unwrap();
    json!({
        "source_id": source, "target": target, "name": target, "wit_namespace": namespace, "wit_package": package,
        "interfaces": [interface], "source_config": config, "target_config": [],
    })
}

/// Starts a web server by hand, which leads to `target` on an address of its own.
async fn serve(tool: &ToolV1, host: &str, target: &str) -> SocketAddr {
    let address = ports::free_address();
    let name = format!("address-of-{target}");
    tool.does(&format!("config.put.{name}"), &json!({ "address": address.to_string() })).await;
    tool.does("link.put", &link("web", target, "wasi:http", "incoming-handler", &[&name])).await;
    let start = json!({ "provider_id": "web", "provider_ref": "wasmcloud+builtin://http-server" });
    let answer = tool.ask(&format!("provider.start.{host}"), &start).await;
    let again = "provider with that ID is already running";
    assert!(answer["success"] == true || answer["message"] == again, "{answer}");
    address
}

async fn answered(address: SocketAddr, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    eventually(SOON, "the answer that is wanted", async || {
        let answer = Load::new(address, path).once().await?;
        if wanted(&answer) { Ok(answer) } else { Err(answer.body.to_string()) }
    })
    .await
}

/// The value of a key in a bucket of 1.x; none when it is not there.
async fn bucket(tool: &ToolV1, bucket: &str, key: &str) -> Option<Value> {
    let context = async_nats::jetstream::new(tool.nats().clone());
    let store = context.get_key_value(bucket).await.ok()?;
    let value = store.get(key).await.unwrap()?;
    Some(serde_json::from_slice(&value).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_and_links_are_kept_and_can_be_read_where_1x_keeps_them() {
    let mut lattice = Setup::default().host(&[]).start().await;
    let mut tool = ToolV1::of(&lattice).await;
    let values = json!({ "address": "127.0.0.1:8000" });
    assert_eq!(tool.does("config.get.web", &Value::Null).await, "Configuration not found");
    assert_eq!(tool.does("config.put.web", &values).await, "successfully put config");
    tool.event("config_set", |data| data["config_name"] == "web").await;
    assert_eq!(tool.get("config.get.web", &Value::Null).await, values);
    assert_eq!(bucket(&tool, "CONFIGDATA_default", "web").await, Some(values));
    let refused = tool.refused("config.put.web", &json!({ "a": 1 })).await;
    assert_eq!(refused, "config data should be a map of string -> string");

    let first = link("web", "hello", "wasi:http", "incoming-handler", &["web"]);
    assert_eq!(tool.does("link.put", &first).await, "successfully set link");
    let told = tool.event("linkdef_set", |_| true).await;
    assert_eq!(told, first);
    let stored = bucket(&tool, "LATTICEDATA_default", "COMPONENT_web").await;
    assert_eq!(stored, Some(json!({ "url": "", "links": [first] })));
    let missing = link("web", "other", "wasi:http", "incoming-handler", &["nowhere"]);
    let refused = tool.refused("link.put", &missing).await;
    assert!(refused.contains("Configuration nowhere not found in config store."), "{refused}");
    tool.event("linkdef_set_failed", |data| data["target"] == "other").await;
    let mut taken = link("web", "other", "wasi:http", "incoming-handler", &[]);
    taken["name"] = "hello".into();
    assert!(tool.refused("link.put", &taken).await.starts_with("link already exists with different target"));

    // What is kept outlives the manager, and so does the copy, which is made again when somebody has removed it.
    let context = async_nats::jetstream::new(tool.nats().clone());
    context.delete_key_value("LATTICEDATA_default").await.unwrap();
    lattice.manager_mut().stop().await;
    assert_eq!(tool.ask_any("link.get", Vec::new()).await, None, "nobody manages");
    lattice.manager_mut().restart().await;
    assert_eq!(tool.get("link.get", &Value::Null).await, json!([first]));
    eventually(SOON, "the copy", async || {
        bucket(&tool, "LATTICEDATA_default", "COMPONENT_web").await.ok_or_else(|| "no copy".to_owned())
    })
    .await;

    let which =
        json!({ "source_id": "web", "name": "hello", "wit_namespace": "wasi", "wit_package": "http" });
    assert_eq!(tool.does("link.del", &which).await, "successfully deleted link");
    let told = tool.event("linkdef_deleted", |_| true).await;
    assert_eq!((&told["target"], &told["interfaces"]), (&json!("hello"), &json!(["incoming-handler"])));
    assert_eq!(tool.does("link.del", &which).await, "successfully deleted link");
    let mut nobodys = which.clone();
    nobodys["source_id"] = "nobody".into();
    assert_eq!(tool.does("link.del", &nobodys).await, "successfully deleted link (spec doesn't exist)");
    assert_eq!(tool.get("link.get", &Value::Null).await, json!([]));
    assert_eq!(tool.does("config.del.web", &Value::Null).await, "successfully deleted config");
    tool.event("config_deleted", |data| data["config_name"] == "web").await;
    assert_eq!(bucket(&tool, "CONFIGDATA_default", "web").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_started_by_hand_is_rolled_out_and_changes_without_losing_a_call() {
    let lattice = Setup::default().host(&[]).start().await;
    let mut tool = ToolV1::of(&lattice).await;
    let host = tool.hosts().await.remove(0);
    let (scaled, updated) = (format!("component.scale.{host}"), format!("component.update.{host}"));
    tool.does("config.put.words", &json!({ "greeting": "hi" })).await;
    let (v1, v2) = (file("http-hello-v1"), file("http-hello-v2"));
    assert_eq!(tool.does(&scaled, &scale("hello", &v1, 10, &["words"])).await, "");
    let told = tool.event("component_scaled", |data| data["component_id"] == "hello").await;
    assert_eq!(
        (&told["max_instances"], &told["image_ref"], &told["annotations"]),
        (&json!(10), &json!(v1), &json!({}))
    );
    assert_eq!(told["host_id"], host.as_str());
    // Asked again, the same is said again, since whoever asks waits for it.
    tool.does(&scaled, &scale("hello", &v1, 10, &["words"])).await;
    tool.event("component_scaled", |data| data["max_instances"] == 10).await;
    let address = serve(&tool, &host, "hello").await;
    tool.event("provider_started", |data| data["image_ref"] == "http-server").await;
    answered(address, "/", |answer| words::hello(answer) == "v1 hi").await;

    let inventory = tool.get(&format!("host.get.{host}"), &Value::Null).await;
    let of = |kind: &str| inventory[kind][0]["id"].clone();
    assert_eq!((of("components"), of("providers")), (json!("hello"), json!("web")), "{inventory:#}");

    let load = Load::new(address, "/").rate(100).start();
    words::more(&load, 50).await;
    let message = tool.does(&scaled, &scale("hello", &v2, 10, &["words"])).await;
    assert!(message.contains("the image reference will not be updated"), "{message}");
    let update = json!({ "component_id": "hello", "new_component_ref": v2 });
    let message = tool.does(&updated, &update).await;
    assert_eq!(message, format!("component hello updating from {v1} to {v2}"));
    tool.event("component_scaled", |data| data["image_ref"] == v2.as_str()).await;
    answered(address, "/", |answer| words::hello(answer) == "v2 hi").await;
    assert_eq!(tool.does(&updated, &update).await, format!("component hello already updated to {v2}"));
    // A changed config is a change of what uses it.
    tool.does("config.put.words", &json!({ "greeting": "hello2" })).await;
    answered(address, "/", |answer| words::hello(answer) == "v2 hello2").await;
    // A change that cannot be: it is told, and what runs goes on.
    let broken = json!({ "component_id": "hello", "new_component_ref": "file:///srv/missing.wasm" });
    tool.does(&updated, &broken).await;
    let told = tool.event("component_scale_failed", |data| data["component_id"] == "hello").await;
    assert!(told["error"].as_str().unwrap().contains("No such file or directory"), "{told}");
    let trap = json!({ "component_id": "hello", "new_component_ref": file("misbehave-trap-at-start-v1") });
    tool.does(&updated, &trap).await;
    let told = tool.event("component_scale_failed", |data| data["component_id"] == "hello").await;
    assert!(told["error"].as_str().unwrap().starts_with("start-failed: "), "{told}");
    words::more(&load, 100).await;
    let accounts = load.finish().await;
    accounts.none_failed();
    let by = accounts.by(words::hello);
    assert_eq!(by.keys().collect::<Vec<_>>(), ["v1 hi", "v2 hello2", "v2 hi"], "{by:?}");

    assert_eq!(
        tool.refused(&updated, &json!({ "component_id": "nosuch", "new_component_ref": v2 })).await,
        "component nosuch not found"
    );
    assert_eq!(tool.does(&scaled, &scale("hello", &v2, 0, &[])).await, "");
    tool.event("component_scaled", |data| data["max_instances"] == 0).await;
    let stop = json!({ "provider_id": "web" });
    assert_eq!(tool.does(&format!("provider.stop.{host}"), &stop).await, "successfully stopped provider");
    tool.event("provider_stopped", |data| data["provider_id"] == "web").await;
    let again = tool.refused(&format!("provider.stop.{host}"), &stop).await;
    assert_eq!(again, "provider with that ID is not running");
    eventually(SOON, "no app to be left", async || {
        let apps = lattice.lath().run(["apps", "-o", "json"]).await.exits(0).json();
        if lath_tests::lattice::items(&apps, "apps").is_empty() { Ok(()) } else { Err(apps.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_from_one_start_to_another_and_into_capabilities() {
    let lattice = Lattice::of_two_hosts().await;
    let mut tool = ToolV1::of(&lattice).await;
    let hosts = tool.hosts().await;
    tool.does("link.put", &link("front", "greeter", "lath:demo", "greeter", &[])).await;
    tool.does(&format!("component.scale.{}", hosts[0]), &scale("front", &file("http-front-v1"), 5, &[]))
        .await;
    tool.does(&format!("component.scale.{}", hosts[1]), &scale("greeter", &file("greeter-v1"), 5, &[])).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let event = tool.event("component_scaled", |_| true).await;
        told.push((event["component_id"].clone(), event["host_id"].clone()));
    }
    assert!(
        told.contains(&(json!("front"), json!(hosts[0])))
            && told.contains(&(json!("greeter"), json!(hosts[1]))),
        "{told:?}"
    );
    let front = serve(&tool, &hosts[0], "front").await;
    let greets = |answer: &Answer| words::greeting(answer) == "v1 > v1 Hello, Ada";
    answered(front, "/?name=Ada", greets).await;

    // A capability that is part of its callers: started before or after the link, it is there.
    tool.does("config.put.settings", &json!({ "bucket": "counts" })).await;
    let kv =
        json!({ "provider_id": "kv", "provider_ref": "builtin://keyvalue-nats", "config": ["settings"] });
    tool.does(&format!("provider.start.{}", hosts[0]), &kv).await;
    tool.event("provider_started", |data| data["provider_id"] == "kv").await;
    let mut to_kv = link("keeper", "kv", "wasi:keyvalue", "store", &[]);
    (to_kv["interfaces"], to_kv["name"]) = (json!(["store", "atomics", "batch"]), json!("default"));
    tool.does("link.put", &to_kv).await;
    tool.does(&format!("component.scale.{}", hosts[0]), &scale("keeper", &file("keeper-v1"), 5, &[])).await;
    let address = serve(&tool, &hosts[0], "keeper").await;
    let answer = answered(address, "/add?key=hits&delta=2", |answer| answer.body["ok"] == 2).await;
    assert_eq!(answer.body, json!({ "ok": 2 }));
    let links = tool.get("link.get", &Value::Null).await;
    assert_eq!(links.as_array().unwrap().len(), 4, "{links:#}");

    // One component on two hosts, and then on one.
    let (here, there) = (format!("component.scale.{}", hosts[0]), format!("component.scale.{}", hosts[1]));
    let on = |host: &str, count: u32| {
        let host = host.to_owned();
        move |data: &Value| {
            data["component_id"] == "greeter"
                && data["host_id"] == host.as_str()
                && data["max_instances"] == count
        }
    };
    tool.does(&here, &scale("greeter", "", 2, &[])).await;
    tool.event("component_scaled", on(&hosts[0], 2)).await;
    tool.does(&there, &scale("greeter", "", 0, &[])).await;
    tool.event("component_scaled", on(&hosts[1], 0)).await;
    answered(front, "/?name=Ada", greets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_takes_over_what_was_started_by_hand_and_is_not_overruled() {
    let lattice = Setup::default().host(&[]).start().await;
    let mut tool = ToolV1::of(&lattice).await;
    let host = tool.hosts().await.remove(0);
    let scaled = format!("component.scale.{host}");
    tool.does(&scaled, &scale("shop", &file("http-hello-v1"), 5, &[])).await;
    tool.event("component_scaled", |data| data["component_id"] == "shop").await;
    let address = serve(&tool, &host, "shop").await;
    answered(address, "/", |answer| answer.text("version") == "v1").await;
    let load = Load::new(address, "/").rate(50).start();
    words::more(&load, 20).await;
    let yaml = format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: shop }}
spec:
  components:
    - name: shop
      type: component
      properties: {{ image: '{}', id: shop }}
      traits:
        - type: spreadscaler
          properties: {{ instances: 5 }}
",
        file("http-hello-v2")
    );
    let path = lattice.folder().join("shop.yaml");
    std::fs::write(&path, &yaml).unwrap();
    let deployed = lattice.lath().run(["deploy".as_ref(), path.as_os_str()]).await;
    assert_eq!(deployed.code, Some(0), "{}\n{yaml}", deployed.told());
    answered(address, "/", |answer| answer.text("version") == "v2").await;
    let accounts = load.finish().await;
    accounts.none_failed();
    for (subject, ask) in [
        (scaled.clone(), scale("shop", &file("http-hello-v1"), 1, &[])),
        (scaled, scale("shop", "", 0, &[])),
        (format!("component.update.{host}"), json!({ "component_id": "shop", "new_component_ref": "r" })),
        ("link.put".to_owned(), link("shop", "kv", "wasi:keyvalue", "store", &[])),
    ] {
        let refused = tool.refused(&subject, &ask).await;
        assert!(refused.contains("belongs to the app shop"), "{subject}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_so_in_words() {
    let lattice = Setup::default().host(&[]).start().await;
    let mut tool = ToolV1::of(&lattice).await;
    let host = tool.hosts().await.remove(0);
    let (scaled, provider) = (format!("component.scale.{host}"), format!("provider.start.{host}"));
    let missing = "file:///srv/components/missing.wasm";
    assert_eq!(tool.does(&scaled, &scale("missing", missing, 1, &[])).await, "");
    let told = tool.event("component_scale_failed", |data| data["component_id"] == "missing").await;
    let error = told["error"].as_str().unwrap();
    assert_eq!(
        error,
        "failed to fetch component: failed to read component: No such file or directory (os error 2)"
    );
    assert_eq!((&told["image_ref"], &told["max_instances"]), (&json!(missing), &json!(1)));
    // A host's own files are not read out.
    tool.does(&scaled, &scale("passwd", "file:///etc/passwd", 1, &[])).await;
    let told = tool.event("component_scale_failed", |data| data["component_id"] == "passwd").await;
    assert!(told["error"].as_str().unwrap().contains("not WebAssembly"), "{told}");
    tool.does(&scaled, &scale("hello", &file("http-hello-v1"), 1, &["nowhere"])).await;
    let told = tool.event("component_scale_failed", |data| data["component_id"] == "hello").await;
    assert_eq!(told["error"], "Configuration nowhere not found in config store");
    // What a host finds out stands in its inventory, too.
    tool.does(&scaled, &scale("needs", &file("needs-missing-v1"), 1, &[])).await;
    let told = tool.event("component_scale_failed", |data| data["component_id"] == "needs").await;
    assert!(told["error"].as_str().unwrap().starts_with("import-unsatisfied: "), "{told}");
    // Taken on, as in 1.x; that it did not start is an event.
    let missing = "file:///srv/components/missing.par.gz";
    tool.does(&provider, &json!({ "provider_id": "ext", "provider_ref": missing })).await;
    let told = tool.event("provider_start_failed", |data| data["provider_id"] == "ext").await;
    assert_eq!(told["provider_ref"], missing);
    // Hosts that nobody knows are nobody's.
    let nobody = format!("component.scale.N{}", "A".repeat(55));
    let asked = tool
        .nats()
        .request(format!("wasmbus.ctl.v1.default.{nobody}"), scale("a", "r", 1, &[]).to_string().into());
    assert!(tokio::time::timeout(Duration::from_millis(500), asked).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_start_for_want_of_a_link_starts_when_the_link_is_put() {
    let lattice = Setup::default().host(&[]).start().await;
    let mut tool = ToolV1::of(&lattice).await;
    let host = tool.hosts().await.remove(0);
    let scaled = format!("component.scale.{host}");
    tool.does(&scaled, &scale("greeter", &file("greeter-v1"), 5, &[])).await;
    tool.event("component_scaled", |data| data["component_id"] == "greeter").await;
    tool.does(&scaled, &scale("front", &file("http-front-v1"), 5, &[])).await;
    let told = tool.event("component_scale_failed", |data| data["component_id"] == "front").await;
    assert!(told["error"].as_str().unwrap().contains("no link carries it"), "{told}");
    eventually(SOON, "the start to be over", async || {
        let history = lattice.lath().run(["history", "front", "-o", "json"]).await.exits(0).json();
        if history["entries"][0]["outcome"] == "Failed" { Ok(()) } else { Err(history.to_string()) }
    })
    .await;
    tool.does("link.put", &link("front", "greeter", "lath:demo", "greeter", &[])).await;
    let address = serve(&tool, &host, "front").await;
    answered(address, "/?name=Ada", |answer| answer.body.to_string().contains("Ada")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_may_go_back_and_delete_what_was_started_by_hand() {
    let mut lattice = Setup::default().host(&[]).start().await;
    let mut tool = ToolV1::of(&lattice).await;
    let host = tool.hosts().await.remove(0);
    let (scaled, updated) = (format!("component.scale.{host}"), format!("component.update.{host}"));
    let (v1, v2) = (file("http-hello-v1"), file("http-hello-v2"));
    tool.does(&scaled, &scale("hello", &v1, 5, &[])).await;
    tool.event("component_scaled", |data| data["image_ref"] == v1.as_str()).await;
    let address = serve(&tool, &host, "hello").await;
    tool.does(&updated, &json!({ "component_id": "hello", "new_component_ref": v2 })).await;
    answered(address, "/", |answer| answer.text("version") == "v2").await;
    let _ = lattice.lath().run(["rollback", "hello"]).await.exits(0);
    answered(address, "/", |answer| answer.text("version") == "v1").await;
    // Nothing is left to do of what was asked for before, so a manager that starts changes nothing.
    lattice.manager_mut().stop().await;
    lattice.manager_mut().restart().await;
    let history = lattice.lath().run(["history", "hello", "-o", "json"]).await.exits(0).json();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let later = lattice.lath().run(["history", "hello", "-o", "json"]).await.exits(0).json();
    assert_eq!(later["entries"], history["entries"]);
    answered(address, "/", |answer| answer.text("version") == "v1").await;

    let _ = lattice.lath().run(["delete", "hello", "--yes"]).await.exits(0);
    let update = json!({ "component_id": "hello", "new_component_ref": v1 });
    assert_eq!(tool.refused(&updated, &update).await, "component hello not found");
    tool.does(&scaled, &scale("hello", &v2, 5, &[])).await;
    answered(address, "/", |answer| answer.text("version") == "v2").await;
}
