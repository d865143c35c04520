//! What a host tells of its health to whoever watches over it.

use serde_json::Value;

use crate::lattice::{Host, eventually, get, http};
use crate::nats::Nats;
use crate::ports::free_address;

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_nats_and_life_does_not() {
    let mut nats = Nats::start();
    let folder = tempfile::tempdir().unwrap();
    let (client, address) = (http(), free_address());
    let admin = address.to_string();
    let mut host = Host::begin_with(&nats.url, folder.path(), None, &["--http-admin", &admin]);
    host.wait_ready().await;
    let ready = async |wanted: u16| {
        eventually("the readiness", async || {
            let (status, body) = get(&client, address, "/readyz").await.unwrap();
            (status == wanted).then(|| serde_json::from_str::<Value>(&body).unwrap())
        })
        .await
    };
    let told = ready(200).await;
    assert_eq!((&told["nats"], &told["host"]), (&true.into(), &host.id().to_string().into()));
    nats.stop();
    let told = ready(503).await;
    assert_eq!((&told["ready"], &told["nats"]), (&false.into(), &false.into()));
    for path in ["/healthz", "/livez"] {
        assert_eq!(get(&client, address, path).await.unwrap(), (200, "ok\n".to_owned()));
    }
    nats.restart();
    ready(200).await;
    host.stop().await;
    assert!(get(&client, address, "/healthz").await.is_err(), "nobody answers for a host that is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_ends_the_start_with_a_word() {
    let nats = Nats::start();
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let line = ["host", "--nats-url", &nats.url, "--data-dir", data, "--http-admin", &address];
    let error = crate::lattice::start_with(&line).await.unwrap_err();
    assert!(format!("{error:#}").contains(&format!("cannot listen on {address} for health")), "{error:#}");
}
