//! The published client of wadm, unmodified, against `lath up`: every method that it has.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../../src/ports.rs"]
#[expect(unreachable_pub, reason = "it is part of a library")]
mod ports;
#[path = "lath/up.rs"]
mod up;

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wadm_client::error::ClientError;
use wadm_client::{Client, ClientConnectOptions};
use wadm_types::Manifest;
use wadm_types::api::{Status, StatusType};

use up::{Up, guest};

const PATIENCE: Duration = Duration::from_secs(60);

async fn client(up: &Up) -> Client {
    let options = ClientConnectOptions { url: Some(up.nats.clone()), ..Default::default() };
    Client::new("default", None, options).await.unwrap()
}

/// As `wash` sends it: components by the absolute paths of files.
fn manifest(version: &str, component: &str, http: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: hello
  annotations:
    version: {version}
    description: says hello
spec:
  components:
    - name: http
      type: component
      properties:
        image: file://{}
      traits:
        - type: spreadscaler
          properties:
            instances: 10
            spread: [{{ name: anywhere, requirements: {{}} }}]
    - name: httpserver
      type: capability
      properties:
        image: wasmcloud+builtin://http-server
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source: {{ config: [{{ name: default-http, properties: {{ address: {http} }} }}] }}
            target: {{ name: http }}
",
        guest(component).display()
    )
}

async fn until(client: &Client, wanted: StatusType) -> Status {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = client.get_manifest_status("hello").await.unwrap();
        if status.info.status_type == wanted {
            return status;
        }
        assert!(Instant::now() < deadline, "{status:?} and not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the app answers to a GET.
async fn answer(http: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(http).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_of_the_published_client_does_what_it_says() {
    let up = Up::start();
    let client = client(&up).await;
    assert!(client.list_manifests().await.unwrap().is_empty());
    for missing in [
        client.get_manifest("hello", None).await.map(drop),
        client.list_versions("hello").await.map(drop),
        client.deploy_manifest("hello", None).await.map(drop),
        client.undeploy_manifest("hello").await.map(drop),
    ] {
        assert!(matches!(missing, Err(ClientError::NotFound(name)) if name == "hello"));
    }
    assert!(!client.delete_manifest("hello", None).await.unwrap());
    assert_eq!(client.get_manifest_status("hello").await.unwrap().info.status_type, StatusType::Undeployed);

    // put, get, list, versions
    let first = manifest("v1", "http-hello-v1", &up.http);
    let put = client.put_manifest(first.clone().into_bytes()).await.unwrap();
    assert_eq!(put, ("hello".to_owned(), "v1".to_owned()));
    let again = client.put_manifest(first.clone().into_bytes()).await;
    assert!(matches!(again, Err(ClientError::ApiError(why)) if why.contains("already exists")));
    let wrong = first
        .replace("target: { name: http }", "target: { name: nosuch }")
        .replace("version: v1", "version: v9");
    let wrong = client.put_manifest(wrong.into_bytes()).await;
    assert!(matches!(wrong, Err(ClientError::ApiError(why)) if why.contains("nosuch")));
    let mine: Manifest = serde_yaml::from_str(&first).unwrap();
    for version in [None, Some("v1")] {
        let got = client.get_manifest("hello", version).await.unwrap();
        assert_eq!(serde_json::to_value(&got).unwrap(), serde_json::to_value(&mine).unwrap());
    }
    let listed = client.list_manifests().await.unwrap();
    let summary = &listed[0];
    assert_eq!((listed.len(), summary.name.as_str(), summary.version.as_str()), (1, "hello", "v1"));
    assert_eq!((summary.description.as_deref(), &summary.deployed_version), (Some("says hello"), &None));

    // deploy, status, its stream
    let mut statuses = client.subscribe_to_status("hello").await.unwrap();
    let deployed = client.deploy_manifest("hello", Some("v1")).await.unwrap();
    assert_eq!(deployed, ("hello".to_owned(), Some("v1".to_owned())));
    let status = until(&client, StatusType::Deployed).await;
    assert!(answer(&up.http).await.contains("v1"), "{}", answer(&up.http).await);
    let mut scalers: Vec<(&str, &str)> =
        status.scalers.iter().map(|scaler| (scaler.kind.as_str(), scaler.name.as_str())).collect();
    scalers.sort_unstable();
    assert_eq!(
        scalers,
        [
            ("LinkScaler", "hello-httpserver -(wasi:http)-> hello-http"),
            ("SpreadScaler", "hello-http"),
            ("SpreadScaler", "hello-httpserver"),
        ]
    );
    assert!(status.scalers.iter().all(|scaler| scaler.info.status_type == StatusType::Deployed));
    let last = async {
        loop {
            let message = statuses.next().await.unwrap();
            let status: Status = serde_json::from_slice(&message.payload).unwrap();
            if status.info.status_type == StatusType::Deployed {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, last).await.unwrap();

    // another version, and the way back
    let second = manifest("v2", "http-hello-v2", &up.http);
    let put = client.put_and_deploy_manifest(second.into_bytes()).await.unwrap();
    assert_eq!(put, ("hello".to_owned(), "v2".to_owned()));
    until_answered(&up.http, "v2").await;
    until(&client, StatusType::Deployed).await;
    let versions = client.list_versions("hello").await.unwrap();
    let versions: Vec<(&str, bool)> =
        versions.iter().map(|info| (info.version.as_str(), info.deployed)).collect();
    assert_eq!(versions, [("v1", false), ("v2", true)]);
    client.deploy_manifest("hello", Some("v1")).await.unwrap();
    until_answered(&up.http, "v1").await;
    let unknown = client.deploy_manifest("hello", Some("v7")).await;
    assert!(matches!(unknown, Err(ClientError::ApiError(why)) if why.contains("'v7'")));

    // undeploy, delete
    assert_eq!(client.undeploy_manifest("hello").await.unwrap(), "hello");
    until(&client, StatusType::Undeployed).await;
    assert_eq!(client.list_manifests().await.unwrap()[0].deployed_version, None);
    assert!(client.delete_manifest("hello", Some("v1")).await.unwrap());
    assert!(!client.delete_manifest("hello", Some("v1")).await.unwrap());
    assert!(client.delete_manifest("hello", None).await.unwrap());
    assert!(client.list_manifests().await.unwrap().is_empty());
}

async fn until_answered(http: &str, word: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answered = answer(http).await;
        if answered.contains(word) {
            return;
        }
        assert!(Instant::now() < deadline, "{answered} and not {word}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
