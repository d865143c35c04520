//! Hosts that come back, with and without NATS.

use lath_control_api::ErrorCode;

use crate::lattice::{Host, Lattice, answered, eventually, get, http};
use crate::ports::free_address;
use crate::spec::{bundle, component, guest, http_server, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_a_host_serves_from_its_journal_with_nats_down_and_waits_for_confirmation() {
    let mut lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let hello = bundle("hello", component(&guest("http-hello-v1"), 1), None);
    let app = request(3, 1, vec![hello, bundle("web", http_server(address, "hello", 1), None)]);
    lattice.apply(&host, &app).await;
    answered(address, "/").await;
    let id = host.id();
    let folder = host.stop().await.unwrap();
    assert!(get(&http(), address, "/").await.is_err());

    lattice.nats.stop();
    let mut host = Host::begin(&lattice.nats.url, folder.path(), None);
    assert!(answered(address, "/").await.contains("\"v1\""), "served with NATS down");
    lattice.nats.restart();
    host.wait_ready().await;
    assert_eq!(host.id(), id);
    let shown = eventually("an inventory", async || {
        lattice.control.inventory(&id, std::time::Duration::from_secs(1)).await.ok()
    })
    .await;
    assert!(!shown.apps[0].confirmed);
    assert_eq!(shown.apps[0].fence, app.fence);
    assert_eq!(lattice.refused(&host, &request(2, 9, Vec::new())).await, ErrorCode::Stale);
    assert!(lattice.apply(&host, &app).await.unchanged);
    assert!(lattice.inventory(&host).await.apps[0].confirmed);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h1_local_calls_go_on_while_nats_is_away() {
    let mut lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let hello = bundle("hello", component(&guest("http-hello-v1"), 1), None);
    lattice
        .apply(&host, &request(1, 1, vec![hello, bundle("web", http_server(address, "hello", 1), None)]))
        .await;
    answered(address, "/").await;
    lattice.nats.stop();
    let http = http();
    for _ in 0..50 {
        assert_eq!(get(&http, address, "/").await.unwrap().0, 200);
    }
    lattice.nats.restart();
    let shown = eventually("the host's inventory again", async || {
        lattice.control.inventory(&host.id(), std::time::Duration::from_secs(1)).await.ok()
    })
    .await;
    assert!(shown.apps[0].confirmed);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_has_one_host() {
    let lattice = Lattice::start().await;
    let host = lattice.host().await;
    let data = host.folder().join("data");
    let args = ["lath-host", "--nats-url", &lattice.nats.url, "--data-dir", data.to_str().unwrap()];
    let error = crate::lattice::start_with(&args).await.unwrap_err().to_string();
    assert!(error.contains("used by another host"), "{error}");
    host.stop().await;
}
