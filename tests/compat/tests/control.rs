//! The published client of the 1.x control interface, unmodified, against a whole lattice as `lath up` starts it: every
//! method that the client has, and what it makes of the answers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nkeys::KeyPair;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use wasmcloud_control_interface::{Client, ClientBuilder, CtlResponse, Link, RegistryCredential};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A lattice that ends with the test.
struct Lattice {
    folder: tempfile::TempDir,
    nats: String,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The `lath` that `LATH_BIN` names, else the one that was built last in the workspace.
fn lath(arguments: &[&str]) -> Value {
    let built = workspace().join("target/debug/lath");
    let binary = std::env::var_os("LATH_BIN").map_or(built, PathBuf::from);
    let mut command = Command::new(&binary);
    command.args(arguments).args(["-o", "json"]).env_remove("LATH_NATS_URL").env_remove("LATH_LATTICE");
    let ended = command.output().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{arguments:?}: {told}");
    serde_json::from_slice(&ended.stdout).unwrap_or(Value::Null)
}

impl Lattice {
    fn up() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let any = ["--nats-port", "0", "--http", "127.0.0.1:0", "--manager-http", "127.0.0.1:0"];
        let up = lath(&[&["up", "--detach", "--data", data.to_str().unwrap()], any.as_slice()].concat());
        let text = up.to_string();
        let at = text.find("nats://").unwrap_or_else(|| panic!("no address in {text}"));
        let nats = text[at..].split('"').next().unwrap().to_owned();
        Self { folder, nats }
    }

    async fn client(&self) -> Client {
        let nats = client_nats::connect(&self.nats).await.unwrap();
        ClientBuilder::new(nats)
            .timeout(Duration::from_secs(10))
            .auction_timeout(Duration::from_secs(1))
            .build()
    }
}

impl Drop for Lattice {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let down = || lath(&["down", "--data", data.to_str().unwrap()]);
        if std::thread::panicking() {
            let _ = std::panic::catch_unwind(down);
        } else {
            down();
        }
    }
}

fn guest(name: &str) -> String {
    format!("file://{}", workspace().join("target/components").join(name).canonicalize().unwrap().display())
}

/// A copy of a component in `folder`, signed by an account as `wash claims sign` does it.
fn signed(name: &str, folder: &Path, (account, subject): (&KeyPair, &KeyPair)) -> String {
    let plain = std::fs::read(guest(name).strip_prefix("file://").unwrap()).unwrap();
    let (short, revision, version) = ("hello".to_owned(), Some(3), Some("0.1.0".to_owned()));
    let bytes = wascap::wasm::sign_buffer_with_claims(
        short,
        plain,
        subject,
        account,
        None,
        None,
        Vec::new(),
        false,
        revision,
        version,
        None,
    );
    let file = folder.join(name);
    std::fs::write(&file, bytes.unwrap()).unwrap();
    format!("file://{}", file.display())
}

/// The data of an answer.
fn data<T: std::fmt::Debug>(answer: CtlResponse<T>) -> T {
    assert!(answer.succeeded(), "{answer:?}");
    answer.into_data().unwrap()
}

/// The words of an answer that says yes.
fn yes(answer: CtlResponse<()>) -> String {
    assert!(answer.succeeded(), "{answer:?}");
    answer.message().to_owned()
}

/// The data of the next event of this name.
async fn event(events: &mut Receiver<cloudevents::Event>, name: &str) -> Value {
    use cloudevents::AttributesReader as _;
    loop {
        let event = timeout(PATIENCE, events.recv()).await.unwrap_or_else(|_| panic!("no {name}")).unwrap();
        if event.ty().ends_with(&format!(".{name}")) {
            let Some(cloudevents::Data::Json(data)) = event.data() else { panic!("{event:?}") };
            return data.clone();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_client_does_all_it_can_do() {
    let lattice = Lattice::up();
    let client = lattice.client().await;
    let mut events = client.events_receiver(vec!["*".to_owned()]).await.unwrap();

    let [host] = client.get_hosts().await.unwrap().try_into().unwrap_or_else(|all| panic!("{all:?}"));
    let host = data(host);
    let id = host.id().to_owned();
    assert_eq!((host.lattice(), host.labels()["hostcore.os"].as_str()), ("default", "linux"));
    assert_eq!(host.ctl_host(), Some(lattice.nats.as_str()));
    let inventory = data(client.get_host_inventory(&id).await.unwrap());
    assert!(inventory.components().is_empty() && inventory.providers().is_empty());
    assert!(data(client.get_claims().await.unwrap()).is_empty());

    assert_eq!(yes(client.put_label(&id, "zone", "east").await.unwrap()), "successfully put label");
    assert_eq!(event(&mut events, "labels_changed").await["labels"]["zone"], "east");
    let in_the = |zone: &str| BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
    let (account, subject) = (KeyPair::new_account(), KeyPair::new_module());
    let hello = signed("http-hello-v1.wasm", lattice.folder.path(), (&account, &subject));
    let bids = client.perform_component_auction(&hello, "hello", in_the("east")).await.unwrap();
    assert_eq!(bids.into_iter().map(|bid| data(bid).host_id().to_owned()).collect::<Vec<_>>(), [id.as_str()]);
    assert!(client.perform_component_auction(&hello, "hello", in_the("west")).await.unwrap().is_empty());
    let bids = client.perform_provider_auction("r", "web", in_the("east")).await.unwrap();
    assert_eq!(data(bids.into_iter().next().unwrap()).provider_id(), "web");
    assert_eq!(yes(client.delete_label(&id, "zone").await.unwrap()), "successfully deleted label");

    let words = HashMap::from([("greeting".to_owned(), "hi".to_owned())]);
    assert_eq!(yes(client.put_config("words", words.clone()).await.unwrap()), "successfully put config");
    assert_eq!(data(client.get_config("words").await.unwrap()), words);
    let missing = client.get_config("nowhere").await.unwrap();
    assert!(missing.succeeded() && missing.data().is_none());

    let marks = BTreeMap::from([("by".to_owned(), "me".to_owned())]);
    let scaled =
        client.scale_component(&id, &hello, "hello", 7, Some(marks.clone()), vec!["words".into()], false);
    assert_eq!(yes(scaled.await.unwrap()), "");
    let told = event(&mut events, "component_scaled").await;
    assert_eq!(
        (&told["image_ref"], &told["max_instances"], &told["annotations"]["by"]),
        (&hello.clone().into(), &7.into(), &"me".into())
    );
    let inventory = data(client.get_host_inventory(&id).await.unwrap());
    let [component] = inventory.components().as_slice() else { panic!("{inventory:?}") };
    assert_eq!(
        (component.id(), component.image_ref(), component.max_instances()),
        ("hello", hello.as_str(), 7)
    );
    assert_eq!((component.annotations(), component.revision(), component.limits()), (Some(&marks), 3, None));

    assert_eq!((component.name(), told["claims"]["name"].as_str()), (Some("hello"), Some("hello")));
    let [claims] =
        data(client.get_claims().await.unwrap()).try_into().unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!((&claims["issuer"], &claims["sub"]), (&account.public_key(), &subject.public_key()));

    let provider = "wasmcloud+builtin://http-server";
    let started = client.start_provider(&id, provider, "web", None, Vec::new()).await.unwrap();
    assert_eq!(yes(started), "successfully started provider");
    assert_eq!(event(&mut events, "provider_started").await["provider_id"], "web");
    let again = client.start_provider(&id, provider, "web", None, Vec::new()).await.unwrap();
    assert!(!again.succeeded() && again.message() == "provider with that ID is already running");

    let link = Link::builder()
        .source_id("web")
        .target("hello")
        .name("default")
        .wit_namespace("wasi")
        .wit_package("http")
        .interfaces(vec!["incoming-handler".into()])
        .source_config(vec!["words".into()])
        .build()
        .unwrap();
    assert_eq!(yes(client.put_link(link.clone()).await.unwrap()), "successfully set link");
    event(&mut events, "linkdef_set").await;
    assert_eq!(data(client.get_links().await.unwrap()), [link]);
    let deleted = client.delete_link("web", "default", "wasi", "http").await.unwrap();
    assert_eq!(yes(deleted), "successfully deleted link");
    assert!(data(client.get_links().await.unwrap()).is_empty());

    let new = guest("http-hello-v2.wasm");
    let updated = client.update_component(&id, "hello", &new, None).await.unwrap();
    assert_eq!(yes(updated), format!("component hello updating from {hello} to {new}"));
    while event(&mut events, "component_scaled").await["image_ref"] != new.as_str() {}

    let login = RegistryCredential::from_username_password("me", "secret", "oci");
    let registries = HashMap::from([("registry.test".to_owned(), login)]);
    assert_eq!(yes(client.put_registries(registries).await.unwrap()), "successfully added registries");

    assert_eq!(yes(client.stop_provider(&id, "web").await.unwrap()), "successfully stopped provider");
    event(&mut events, "provider_stopped").await;
    let stopped = client.scale_component(&id, &new, "hello", 0, None, Vec::new(), false).await.unwrap();
    assert_eq!(yes(stopped), "");
    while event(&mut events, "component_scaled").await["max_instances"] != 0 {}
    assert_eq!(yes(client.delete_config("words").await.unwrap()), "successfully deleted config");
    let stop = client.stop_host(&id, Some(5_000)).await.unwrap();
    assert_eq!(yes(stop), "successfully handled stop host");
    event(&mut events, "host_stopped").await;
}
