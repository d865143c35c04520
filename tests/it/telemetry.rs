//! Spans as a collector gets them: one trace for a request, whichever hosts and links it passes.

use std::time::Duration;

use lath_tests::collector::{Collector, Span};
use lath_tests::{App, Lattice, Load, Setup, eventually, ports};

/// Hosts send every five seconds, and when they stop.
const SENT: Duration = Duration::from_secs(30);

async fn two_hosts(collector: &str) -> Lattice {
    Setup::default().host(&["zone=a"]).host(&["zone=b"]).collector(collector).start().await
}

/// The spans of a trace, once there are `wanted`.
async fn trace(collector: &Collector, trace: &str, wanted: usize) -> Vec<Span> {
    eventually(SENT, &format!("{wanted} spans of {trace}"), async || {
        let spans = collector.trace(trace);
        if spans.len() == wanted { Ok(spans) } else { Err(format!("{spans:#?}")) }
    })
    .await
}

fn named<'a>(spans: &'a [Span], name: &str, kind: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name && span.kind == kind).collect();
    assert_eq!(found.len(), 1, "{name} {kind}: {spans:#?}");
    found[0]
}

#[track_caller]
fn says(span: &Span, wanted: &[(&str, &str)]) {
    for (key, value) in wanted {
        assert_eq!(span.attributes.get(*key).map(String::as_str), Some(*value), "{key} of {span:#?}");
    }
}

const OURS: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

async fn ask(lattice: &Lattice, path: &str, flags: &str) {
    let traceparent = format!("00-{OURS}-{CALLER}-{flags}");
    let load = Load::new(lattice.address, path).header("traceparent", &traceparent);
    let _answer = load.once().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_trace_across_hosts_and_links() {
    let collector = Collector::start().await;
    let lattice = two_hosts(&collector.url()).await;
    let app = App::greeting("shop", lattice.address);
    let app = app.place("http", "zone", "a").place("front", "zone", "a").place("greeter", "zone", "b");
    let _ = lattice.deploy(&app).await.exits(0);
    ask(&lattice, "/greet?name=Ada", "01").await;
    let spans = trace(&collector, OURS, 3).await;
    let request = named(&spans, "GET /", "SPAN_KIND_SERVER");
    assert_eq!(request.parent, CALLER);
    says(
        request,
        &[
            ("http.request.method", "GET"),
            ("url.path", "/greet"),
            ("http.response.status_code", "200"),
            ("lath.app", "shop"),
            ("lath.component", "shop-front"),
            ("lath.revision", "1"),
            ("lath.lattice", "default"),
            ("service.name", "lath-host"),
        ],
    );
    let call = named(&spans, "lath:demo/greeter.greet", "SPAN_KIND_CLIENT");
    assert_eq!(call.parent, request.id);
    says(call, &[("rpc.system", "wrpc"), ("lath.target", "shop-greeter"), ("lath.transport", "wrpc")]);
    let answer = named(&spans, "lath:demo/greeter.greet", "SPAN_KIND_SERVER");
    assert_eq!(answer.parent, call.id);
    says(answer, &[("rpc.method", "greet"), ("lath.component", "greeter"), ("lath.revision", "1")]);
    assert_ne!(answer.attributes["service.instance.id"], call.attributes["service.instance.id"]);
    assert!(spans.iter().all(|span| span.failure.is_none()), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_within_a_host_is_seen_and_so_is_a_failure() {
    let collector = Collector::start().await;
    let lattice = Setup::default().host(&[]).collector(&collector.url()).start().await;
    let _ = lattice.deploy(&App::greeting("shop", lattice.address).host("shop.test")).await.exits(0);
    let misbehave = App::misbehave("misbehave", lattice.address).host("misbehave.test");
    let _ = lattice.deploy(&misbehave).await.exits(0);
    let shop = Load::new(lattice.address, "/greet?name=Ada").host("shop.test");
    let _answer = shop.header("traceparent", &format!("00-{OURS}-{CALLER}-01")).once().await.unwrap();
    let spans = trace(&collector, OURS, 2).await;
    let call = named(&spans, "lath:demo/greeter.greet", "SPAN_KIND_CLIENT");
    says(call, &[("lath.transport", "inprocess"), ("lath.component", "greeter"), ("lath.link", "default")]);
    // What a trace does not want recorded is not, and is answered all the same.
    let unwanted = "1".repeat(32);
    let asked = format!("00-{unwanted}-{CALLER}-00");
    let shop = Load::new(lattice.address, "/greet?name=Ada").host("shop.test");
    let _answer = shop.header("traceparent", &asked).once().await.unwrap();
    let failing = "2".repeat(32);
    let load = Load::new(lattice.address, "/trap").host("misbehave.test");
    let load = load.header("traceparent", &format!("00-{failing}-{CALLER}-01"));
    let _failed = load.once().await.unwrap_err();
    let spans = trace(&collector, &failing, 1).await;
    let request = named(&spans, "GET /", "SPAN_KIND_SERVER");
    says(request, &[("http.response.status_code", "502"), ("error.type", "trapped")]);
    assert!(request.failure.as_deref().is_some_and(|said| said.contains("trap")), "{request:#?}");
    assert!(collector.trace(&unwanted).is_empty());
    // Whoever reads the log finds the trace again.
    let log = std::fs::read_to_string(lattice.folder().join("host-1/log")).unwrap();
    let line = log.lines().find(|line| line.contains("a call failed")).expect("the trap is in the log");
    assert!(line.contains(&failing), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_goes_as_its_transport_says() {
    let collector = Collector::start().await;
    let lattice = two_hosts(&collector.url()).await;
    let app = App::greeting("shop", lattice.address);
    let app = app.place("http", "zone", "a").place("front", "zone", "a").place("greeter", "zone", "a");
    let _ = lattice.deploy(&app.clone().transport("front", "wrpc")).await.exits(0);
    ask(&lattice, "/greet?name=Ada", "01").await;
    let spans = trace(&collector, OURS, 3).await;
    let call = named(&spans, "lath:demo/greeter.greet", "SPAN_KIND_CLIENT");
    says(call, &[("lath.transport", "wrpc")]);
    let answer = named(&spans, "lath:demo/greeter.greet", "SPAN_KIND_SERVER");
    assert_eq!(answer.parent, call.id);
    assert_eq!(answer.attributes["service.instance.id"], call.attributes["service.instance.id"]);
    // Where it cannot be within a host, the change is refused while what served goes on.
    let apart = app.clone().transport("front", "inprocess").place("greeter", "zone", "b");
    let failed = lattice.deploy(&apart).await.exits(9);
    assert!(
        failed.told().contains("has `transport: inprocess`, and `shop-greeter` is not on this one"),
        "{}",
        failed.told()
    );
    ask(&lattice, "/greet?name=Ada", "00").await;
    let _ = lattice.deploy(&app.transport("front", "inprocess")).await.exits(0);
    ask(&lattice, "/greet?name=Ada", "00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_collector_is_away_serves_and_stops_in_order() {
    let nowhere = format!("http://{}", ports::free_address());
    let mut lattice = Setup::default().host(&[]).collector(&nowhere).start().await;
    let _ = lattice.deploy(&App::hello("shop", lattice.address)).await.exits(0);
    for _ in 0..100 {
        let _answer = Load::new(lattice.address, "/").once().await.unwrap();
    }
    lattice.host_mut(1).stop().await;
}

#[tokio::test]
async fn xo_a_collector_that_cannot_be_one_is_refused_with_what_would_be() {
    let folder = tempfile::tempdir().unwrap();
    let lath = lath_tests::Lath::new("nats://127.0.0.1:1", folder.path());
    let data = folder.path().join("data").display().to_string();
    let ended = lath.run(["host", "--data-dir", &data, "--otlp-endpoint", "collector:4318"]).await.exits(1);
    assert!(ended.stderr.contains("--otlp-endpoint `collector:4318` cannot be used"), "{}", ended.told());
    assert!(ended.stderr.contains("write http://HOST:PORT"), "{}", ended.told());
}
