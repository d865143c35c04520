//! From a command to an answered request, and every way in which a command can come to nothing.

use lath_control_api::{ApplyRequest, ComponentSpec, Digest, ErrorCode, Phase, Reason, Role};

use crate::lattice::{Host, Lattice, answered, eventually, get, http};
use crate::ports::free_address;
use crate::spec::{Change as _, bundle, component, guest, http_server, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_becomes_an_answered_request() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1", "http-hello-v2"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let hello = component(&guest("http-hello-v1"), 1).config("greeting", "good day");
    let first = request(
        1,
        1,
        vec![bundle("hello", hello.clone(), None), bundle("web", http_server(address, "hello", 1), None)],
    );
    assert!(!lattice.apply(&host, &first).await.unchanged);
    let shown = lattice.inventory(&host).await;
    assert_eq!(shown.apps[0].components.len(), 2, "accepted work shows at once");
    let body = answered(address, "/cart?x=1").await;
    assert!(body.contains("good day") && body.contains("\"v1\"") && body.contains("/cart"), "{body}");

    // Calls go there before readers see that.
    lattice.running(&host, "hello", 1).await;
    let unit = &lattice.units(&host, "hello").await[0];
    assert_eq!((unit.role, unit.serving, unit.phase), (Role::Stable, true, Phase::Running));
    assert_eq!(unit.digest, Some(Digest::of(&guest("http-hello-v1"))));
    assert_eq!(unit.content, hello.content());
    assert!(unit.calls.started >= 1);
    assert_eq!(lattice.inventory(&host).await.listeners[0].address, address);

    assert!(lattice.apply(&host, &first).await.unchanged);
    assert_eq!(lattice.refused(&host, &request(1, 0, Vec::new())).await, ErrorCode::Stale);
    assert_eq!(lattice.refused(&host, &request(1, 1, Vec::new())).await, ErrorCode::FenceReused);
    let mut over = request(2, 1, Vec::new());
    over.fence.epoch = lath_control_api::Epoch(0);
    assert_eq!(lattice.refused(&host, &over).await, ErrorCode::Stale);

    lattice.apply(&host, &request(2, 1, Vec::new())).await;
    eventually("an empty host", async || lattice.units(&host, "hello").await.is_empty().then_some(())).await;
    eventually("a closed port", async || get(&http(), address, "/").await.is_err().then_some(())).await;
    host.stop().await;
}

/// A host on which hello v1 serves, and the address.
async fn serving(lattice: &Lattice) -> (Host, std::net::SocketAddr, ComponentSpec) {
    lattice.push(&["http-hello-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let hello = component(&guest("http-hello-v1"), 1);
    let web = http_server(address, "hello", 1);
    lattice
        .apply(&host, &request(1, 1, vec![bundle("hello", hello.clone(), None), bundle("web", web, None)]))
        .await;
    answered(address, "/").await;
    (host, address, hello)
}

/// Each candidate fails with its reason, and what serves is not touched.
async fn fails(lattice: &Lattice, candidate: ComponentSpec) -> (Reason, String) {
    let (host, address, hello) = serving(lattice).await;
    let web = http_server(address, "hello", 1);
    let wave: ApplyRequest = request(
        2,
        1,
        vec![bundle("hello", hello.clone(), Some((candidate, 100))), bundle("web", web.clone(), None)],
    );
    lattice.apply(&host, &wave).await;
    let told = lattice.failed(&host, "hello").await;
    assert!(answered(address, "/").await.contains("\"v1\""));
    assert!(
        lattice.units(&host, "hello").await.iter().any(|unit| unit.serving && unit.weight.percent() == 100)
    );
    lattice.apply(&host, &request(3, 1, vec![bundle("hello", hello, None), bundle("web", web, None)])).await;
    eventually("the candidate to go", async || {
        (lattice.units(&host, "hello").await.len() == 1).then_some(())
    })
    .await;
    host.stop().await;
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_code_that_is_nowhere() {
    let lattice = Lattice::start().await;
    let (reason, message) = fails(&lattice, component(b"nowhere", 2)).await;
    assert_eq!(reason, Reason::FetchFailed, "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_other_bytes_than_those_of_the_digest() {
    let lattice = Lattice::start().await;
    lattice.push_wrong(&Digest::of(b"promised"), b"delivered").await;
    let (reason, message) = fails(&lattice, component(b"promised", 2)).await;
    assert_eq!(reason, Reason::DigestMismatch, "{message}");
    assert!(message.contains(Digest::of(b"delivered").as_str()), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_bytes_that_are_no_component() {
    let lattice = Lattice::start().await;
    lattice.push_wrong(&Digest::of(b"plain text"), b"plain text").await;
    let (reason, message) = fails(&lattice, component(b"plain text", 2)).await;
    assert_eq!(reason, Reason::NotAComponent, "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_an_import_that_nothing_answers() {
    let lattice = Lattice::start().await;
    lattice.push(&["needs-missing-v1"]).await;
    let (reason, message) = fails(&lattice, component(&guest("needs-missing-v1"), 2)).await;
    assert_eq!(reason, Reason::ImportUnsatisfied, "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_a_component_that_traps_at_start() {
    let lattice = Lattice::start().await;
    lattice.push(&["misbehave-trap-at-start-v1"]).await;
    let (reason, message) = fails(&lattice, component(&guest("misbehave-trap-at-start-v1"), 2)).await;
    assert_eq!(reason, Reason::StartFailed, "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_a_config_that_breaks_the_component() {
    let lattice = Lattice::start().await;
    let broken = component(&guest("http-hello-v1"), 2).config("mode", "whisper").probe("/");
    let (reason, message) = fails(&lattice, broken).await;
    assert_eq!(reason, Reason::ProbeFailed);
    assert!(message.contains("500") && message.contains("whisper"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_a_component_without_the_export_that_its_route_needs() {
    let lattice = Lattice::start().await;
    lattice.push(&["greeter-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let (greeter, web) = (component(&guest("greeter-v1"), 1), http_server(address, "greeter", 1));
    lattice
        .apply(&host, &request(1, 1, vec![bundle("greeter", greeter, None), bundle("web", web, None)]))
        .await;
    let (reason, message) = lattice.failed(&host, "greeter").await;
    assert_eq!(reason, Reason::ExportMissing, "{message}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_another_program_has_is_tried_again() {
    let lattice = Lattice::start().await;
    let stranger = std::net::TcpListener::bind(free_address()).unwrap();
    let host = lattice.host().await;
    let web = http_server(stranger.local_addr().unwrap(), "hello", 1);
    lattice.apply(&host, &request(1, 1, vec![bundle("web", web, None)])).await;
    let (reason, message) = lattice.failed(&host, "web").await;
    assert_eq!(reason, Reason::AddressUnavailable);
    assert!(message.contains(&stranger.local_addr().unwrap().to_string()), "{message}");
    // It may be free a moment later: a host that starts again must not stay without its address.
    drop(stranger);
    eventually("a server at the address", async || {
        let units = lattice.units(&host, "web").await;
        units.iter().any(|unit| unit.phase == Phase::Running).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xh10_nothing_that_answers_is_said_at_once() {
    let lattice = Lattice::start().await;
    let (host, address) = (lattice.host().await, free_address());
    lattice.apply(&host, &request(1, 1, vec![bundle("web", http_server(address, "nobody", 1), None)])).await;
    lattice.running(&host, "web", 1).await;
    let http = http();
    let answer = eventually("an answer", async || get(&http, address, "/").await.ok()).await;
    assert_eq!(answer.0, 503);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h5_a_guest_that_misbehaves_harms_only_its_own_calls() {
    let lattice = Lattice::start().await;
    lattice.push(&["misbehave-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let mut bad = component(&guest("misbehave-v1"), 1);
    bad.limits.invocation_deadline_ms = 500;
    let web = http_server(address, "bad", 1);
    lattice.apply(&host, &request(1, 1, vec![bundle("bad", bad, None), bundle("web", web, None)])).await;
    answered(address, "/ok").await;
    let http = http();
    for (path, status) in [
        ("/trap", 502),
        ("/loop", 504),
        ("/sleep?ms=60000", 504),
        ("/eat?mib=1000", 502),
        ("/status/418", 418),
        ("/count", 200),
    ] {
        assert_eq!(get(&http, address, path).await.unwrap().0, status, "{path}");
    }
    let calls = &lattice.units(&host, "bad").await[0].calls;
    assert!(calls.trapped >= 2 && calls.timed_out >= 2, "{calls:?}");
    host.stop().await;
}
