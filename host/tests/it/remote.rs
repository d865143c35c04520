//! Calls from one host to another, over NATS.

use std::time::Duration;

use crate::lattice::{Lattice, answered, eventually, get, http};
use crate::load::Load;
use crate::ports::free_address;
use crate::spec::{Change as _, bundle, component, guest, http_server, id, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_leads_to_another_host_and_stays_in_its_revision() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-front-v1", "http-front-v2", "greeter-v1", "greeter-v2"]).await;
    let (here, there, address) = (lattice.host().await, lattice.host().await, free_address());
    let front = bundle("front", component(&guest("http-front-v1"), 1).greeter_link(), None);
    let web = bundle("web", http_server(address, "front", 1), None);
    let greeter = |version: &str, revision| bundle("greeter", component(&guest(version), revision), None);
    lattice.apply(&here, &request(1, 1, vec![front, web])).await;
    lattice.apply(&there, &request(1, 1, vec![greeter("greeter-v1", 1)])).await;
    let body = answered(address, "/?name=ann").await;
    assert!(body.contains("Hello, ann") && body.contains("\"greeter\":\"v1\""), "{body}");
    let refused = get(&http(), address, "/greet?name=").await.unwrap();
    assert_eq!(refused.0, 400, "an error of the interface is a value: {}", refused.1);

    let load = Load::start(address, "/?name=ann");
    lattice.apply(&there, &request(2, 1, vec![greeter("greeter-v2", 2)])).await;
    eventually("the new one to serve", async || {
        let units = lattice.units(&there, "greeter").await;
        units.iter().any(|unit| unit.revision.0 == 2 && unit.serving).then_some(())
    })
    .await;
    // A host that hears of the change late goes on in its revision, for much longer than any host is told apart.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let front = bundle("front", component(&guest("http-front-v2"), 2).greeter_link(), None);
    let web = bundle("web", http_server(address, "front", 2), None);
    lattice.apply(&here, &request(2, 1, vec![front, web])).await;
    let versions = |body: &str| (body.contains("\"version\":\"v2\""), body.contains("\"greeter\":\"v2\""));
    eventually("the flip", async || {
        (versions(&answered(address, "/?name=ann").await) == (true, true)).then_some(())
    })
    .await;
    for body in load.end().await {
        assert!([(false, false), (true, true)].contains(&versions(&body)), "two revisions: {body}");
    }
    here.stop().await;
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_passed_to_the_host_that_serves_its_component() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1"]).await;
    let (here, there, address) = (lattice.host().await, lattice.host().await, free_address());
    lattice.apply(&here, &request(1, 1, vec![bundle("web", http_server(address, "hello", 1), None)])).await;
    let hello = bundle("hello", component(&guest("http-hello-v1"), 1), None);
    lattice.apply(&there, &request(1, 1, vec![hello])).await;
    assert!(answered(address, "/there").await.contains("/there"));
    lattice.running(&there, "hello", 1).await;
    assert!(lattice.units(&there, "hello").await[0].calls.started >= 1);
    here.stop().await;
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r6_a_component_that_moves_to_another_host_loses_no_call() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-front-v1", "greeter-v1"]).await;
    let (here, there, address) = (lattice.host().await, lattice.host().await, free_address());
    let front = || bundle("front", component(&guest("http-front-v1"), 1).greeter_link(), None);
    let web = || bundle("web", http_server(address, "front", 1), None);
    let greeter = || bundle("greeter", component(&guest("greeter-v1"), 1), None);
    lattice.apply(&here, &request(1, 1, vec![front(), web(), greeter()])).await;
    answered(address, "/?name=ann").await;
    let load = Load::start(address, "/?name=ann");
    for generation in 2..6 {
        let (gets, loses) = if generation % 2 == 0 { (&there, &here) } else { (&here, &there) };
        let with = |mut bundles: Vec<_>, host: &crate::lattice::Host| {
            if host.id() == here.id() {
                bundles.extend([front(), web()]);
            }
            bundles
        };
        lattice.apply(gets, &request(generation, 1, with(vec![greeter()], gets))).await;
        lattice.running(gets, "greeter", 1).await;
        lattice.apply(loses, &request(generation, 1, with(Vec::new(), loses))).await;
        eventually("the other to lose it", async || {
            lattice.units(loses, "greeter").await.is_empty().then_some(())
        })
        .await;
    }
    load.end().await;
    assert!(lattice.units(&here, "front").await[0].calls.started > 20);
    here.stop().await;
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_link_to_nobody_fails_at_once_and_is_named() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-front-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let front = bundle("front", component(&guest("http-front-v1"), 1).greeter_link(), None);
    lattice
        .apply(&host, &request(1, 1, vec![front, bundle("web", http_server(address, "front", 1), None)]))
        .await;
    answered(address, "/healthz").await;
    let begun = std::time::Instant::now();
    assert_eq!(get(&http(), address, "/?name=ann").await.unwrap().0, 502);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?} for {}", begun.elapsed(), id("greeter"));
    host.stop().await;
}
