//! Components and provider archives that the published tools have signed: what is told of them, and who they are to a
//! backend of secrets.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt as _;
use nkeys::KeyPair;
use provider_archive::ProviderArchive;
use secrets_nats_kv::PutSecretRequest;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::app::App;
use crate::lattice::{Lattice, eventually, guest};
use crate::secrets;

/// Longest wait for an event.
const PATIENCE: Duration = Duration::from_secs(20);

/// A copy of a component, signed as `wash claims sign` does it.
fn signed(lattice: &Lattice, component: &str, subject: &KeyPair, account: &KeyPair) -> String {
    let plain = std::fs::read(guest(component).strip_prefix("file://").unwrap()).unwrap();
    let (name, tags) = ("the front".to_owned(), vec!["shop".to_owned(), "test".to_owned()]);
    let (revision, version) = (Some(7), Some("1.2.3".to_owned()));
    let bytes = wascap::wasm::sign_buffer_with_claims(
        name,
        plain,
        subject,
        account,
        Some(30),
        None,
        tags,
        false,
        revision,
        version,
        None,
    );
    let file = lattice.folder.path().join("signed.wasm");
    std::fs::write(&file, bytes.unwrap()).unwrap();
    format!("file://{}", file.display())
}

/// The provider in an archive, signed as `wash par create` does it.
async fn archive(lattice: &Lattice, subject: &KeyPair, account: &KeyPair) -> String {
    let mut archive = ProviderArchive::new("greetings", "nobody", Some(3), Some("0.5.0".to_owned()));
    let executable = std::fs::read(env!("CARGO_BIN_EXE_lath-compat-provider")).unwrap();
    let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    archive.add_library(&platform, &executable).unwrap();
    let file = lattice.folder.path().join("provider.par");
    archive.write(&file, account, subject, false).await.unwrap();
    format!("file://{}", file.display())
}

async fn ask(client: &client_nats::Client, subject: &str) -> Value {
    let answer = client.request(format!("wasmbus.ctl.v1.default.{subject}"), "".into()).await.unwrap();
    serde_json::from_slice::<Value>(&answer.payload).unwrap()["response"].take()
}

#[test]
fn what_is_signed_is_told_in_claims_inventories_events_and_the_bucket() {
    let lattice = Lattice::start(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Subscriptions end in it, also when the test fails.
    let _within = runtime.enter();
    let client = runtime.block_on(client_nats::connect(&lattice.nats)).unwrap();
    let mut events = runtime.block_on(client.subscribe("wasmbus.evt.default.>")).unwrap();
    assert_eq!(runtime.block_on(ask(&client, "claims.get")), json!([]));

    let (account, component, provider) =
        (KeyPair::new_account(), KeyPair::new_module(), KeyPair::new_service());
    let app = App {
        link: "word: Hi".to_owned(),
        front_image: Some(signed(&lattice, "http-front-v1", &component, &account)),
        image: Some(runtime.block_on(archive(&lattice, &provider, &account))),
        ..App::default()
    };
    app.deploy(&lattice);
    lattice.says("/?name=Ada", &["Hi, Ada"]);

    let (issuer, m, v) = (account.public_key(), component.public_key(), provider.public_key());
    let of_component = json!({
        "call_alias": "", "iss": issuer, "issuer": issuer, "name": "the front", "rev": "7", "revision": "7",
        "sub": m, "subject": m, "tags": "shop,test", "version": "1.2.3",
    });
    let of_provider = json!({
        "config_schema": "", "iss": issuer, "issuer": issuer, "name": "greetings", "rev": "3", "revision": "3",
        "sub": v, "subject": v, "version": "0.5.0",
    });
    assert_eq!(runtime.block_on(ask(&client, "claims.get")), json!([of_component, of_provider]));
    let told = lattice.does(&["get", "claims", "--output", "json"]);
    assert!(told.contains("the front") && told.contains(&v), "{told}");

    let host = runtime.block_on(async {
        let answer = client.request("wasmbus.ctl.v1.default.host.ping", "".into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        answer["response"]["id"].as_str().unwrap().to_owned()
    });
    let inventory = runtime.block_on(ask(&client, &format!("host.get.{host}")));
    let entry = |list: &str, id: &str| {
        let all = inventory[list].as_array().unwrap();
        all.iter().find(|it| it["id"] == id).unwrap_or_else(|| panic!("{inventory:#}")).clone()
    };
    let (front, greeter) = (entry("components", "shop-front"), entry("providers", "shop-greeter"));
    assert_eq!((&front["name"], &front["revision"]), (&json!("the front"), &json!(7)));
    assert_eq!((&greeter["name"], &greeter["revision"]), (&json!("greetings"), &json!(3)));
    // One that is not signed has neither.
    let called = entry("components", "shop-called");
    assert_eq!((called.get("name"), &called["revision"]), (None, &json!(0)));

    let mut seen: Vec<Value> = Vec::new();
    let mut event = |kind: &str, id: (&str, &str)| {
        let wanted = |event: &&Value| {
            event["type"] == format!("com.wasmcloud.lattice.{kind}") && event["data"][id.0] == id.1
        };
        while !seen.iter().any(|event| wanted(&event)) {
            let message = runtime.block_on(async { timeout(PATIENCE, events.next()).await });
            seen.push(serde_json::from_slice(&message.unwrap().unwrap().payload).unwrap());
        }
        seen.iter().find(wanted).unwrap()["data"].clone()
    };
    let started = event("provider_started", ("provider_id", "shop-greeter"));
    assert_eq!(started["public_key"], "shop-greeter", "{started:#}");
    assert_eq!(
        (&started["claims"]["issuer"], &started["claims"]["name"]),
        (&json!(issuer), &json!("greetings"))
    );
    assert_eq!(
        (&started["claims"]["tags"], &started["claims"]["expires_human"]),
        (&Value::Null, &json!("never"))
    );
    let scaled = event("component_scaled", ("component_id", "shop-front"));
    assert_eq!(
        (&scaled["public_key"], &scaled["claims"]["version"]),
        (&json!(m), &json!("1.2.3")),
        "{scaled:#}"
    );
    assert!(scaled["claims"]["expires_human"].as_str().unwrap().parse::<u64>().is_ok(), "{scaled:#}");
    assert_eq!(scaled["claims"]["tags"], json!(["shop", "test"]));

    let stored = eventually("claims in the bucket", || {
        let context = client_nats::jetstream::new(client.clone());
        let bucket = runtime.block_on(context.get_key_value("LATTICEDATA_default"));
        let bucket = bucket.map_err(|error| error.to_string())?;
        let entry = |key: &str| runtime.block_on(bucket.get(format!("CLAIMS_{key}"))).unwrap();
        let (Some(component), Some(provider)) = (entry(&m), entry(&v)) else { return Err("none".to_owned()) };
        Ok([component, provider].map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap()))
    });
    assert_eq!(stored[0]["tags"], json!(["shop", "test"]));
    assert_eq!((&stored[1]["name"], &stored[1]["revision"]), (&json!("greetings"), &json!("3")));
}

/// A backend gives a secret to the key of what is signed, as in 1.x.
#[test]
fn a_signed_provider_is_known_to_a_backend_of_secrets_by_its_own_key() {
    let lattice = Lattice::start(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(client_nats::connect(&lattice.nats)).unwrap();
    let public = secrets::backend(&runtime, client.clone());
    let (account, provider) = (KeyPair::new_account(), KeyPair::new_service());
    let put = PutSecretRequest {
        key: "db-password".to_owned(),
        string_secret: Some("hush".to_owned()),
        ..PutSecretRequest::default()
    };
    let (topic, allowed) = ("wasmcloud.secrets", HashSet::from(["db-password".to_owned()]));
    runtime.block_on(secrets_nats_kv::client::put_secret(&client, topic, &public, put)).unwrap();
    let key = provider.public_key();
    let mapped = secrets_nats_kv::client::add_mapping(&client, topic, &key, allowed);
    runtime.block_on(mapped).unwrap();
    let image = Some(runtime.block_on(archive(&lattice, &provider, &account)));
    App { image, ..secrets::app("nats-kv") }.deploy(&lattice);
    lattice.says("/?name=Ada", &["Hi, Ada (4 letters)"]);
}
