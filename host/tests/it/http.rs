//! Requests as no client library sends them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::lattice::{Host, Lattice, answered, eventually, get, http};
use crate::ports::free_address;
use crate::spec::{bundle, component, guest, http_server, request};

async fn serving(lattice: &Lattice, name: &str) -> (Host, SocketAddr) {
    lattice.push(&[name]).await;
    let (host, address) = (lattice.host().await, free_address());
    let app = bundle("app", component(&guest(name), 1), None);
    lattice
        .apply(&host, &request(1, 1, vec![app, bundle("web", http_server(address, "app", 1), None)]))
        .await;
    answered(address, "/healthz").await;
    (host, address)
}

/// What a connection answers to these bytes, until it is closed or silent for a while.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut piece)).await
    {
        answer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xh01_xh02_xh03_malformed_requests_are_refused() {
    let lattice = Lattice::start().await;
    let (host, address) = serving(&lattice, "http-hello-v1").await;
    let many = "X: y\r\n".repeat(10_000);
    let cases = [
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "431"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(1 << 20)), "4"),
        ("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), "400"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n".to_owned(), "400"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned(), "405"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "405"),
    ];
    for (bytes, status) in cases {
        let answer = raw(address, bytes.as_bytes()).await;
        let shown = &bytes[..bytes.len().min(60)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?} was answered with {answer:?}");
    }
    assert_eq!(get(&http(), address, "/").await.unwrap().0, 200);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xh08_less_common_requests_have_defined_answers() {
    let lattice = Lattice::start().await;
    let (host, address) = serving(&lattice, "http-hello-v1").await;
    let head = raw(address, b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let expecting =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\nping";
    let answer = raw(address, expecting).await;
    assert!(answer.contains("HTTP/1.1 200") && answer.contains("ping"), "{answer}");
    let old = raw(address, b"GET /x HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
    let upgrade =
        raw(address, b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await;
    assert!(upgrade.starts_with("HTTP/1.1 200"), "{upgrade}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_answered_on_the_same_address() {
    let lattice = Lattice::start().await;
    let (host, address) = serving(&lattice, "http-hello-v1").await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<http_body_util::Empty<bytes::Bytes>>();
    let response = client.get(format!("http://{address}/two").parse().unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xh07_a_client_that_goes_away_leaves_nothing_behind() {
    let lattice = Lattice::start().await;
    let (host, address) = serving(&lattice, "misbehave-v1").await;
    for path in ["/sleep?ms=4000", "/loop", "/body?kib=100000"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        eventually("the call to begin", async || {
            (lattice.units(&host, "app").await[0].calls.in_flight > 0).then_some(())
        })
        .await;
        drop(stream);
        let gone = std::time::Instant::now();
        eventually("the call to end", async || {
            (lattice.units(&host, "app").await[0].calls.in_flight == 0).then_some(())
        })
        .await;
        assert!(gone.elapsed() < Duration::from_secs(3), "{path} went on for {:?}", gone.elapsed());
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_are_chosen_by_host_and_path() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1", "http-hello-v2"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let mut web = http_server(address, "one", 1);
    let mut second = web.routes[0].clone();
    web.routes[0].path = Some("/one".into());
    second.target = crate::spec::id("two");
    second.host = Some("two.test".into());
    web.routes.push(second);
    let one = bundle("one", component(&guest("http-hello-v1"), 1), None);
    let two = bundle("two", component(&guest("http-hello-v2"), 1), None);
    lattice.apply(&host, &request(1, 1, vec![one, two, bundle("web", web, None)])).await;
    lattice.running(&host, "one", 1).await;
    lattice.running(&host, "two", 1).await;
    assert!(answered(address, "/one/more").await.contains("\"v1\""));
    assert_eq!(get(&http(), address, "/onerous").await.unwrap().0, 404);
    let other = raw(address, b"GET /any HTTP/1.1\r\nHost: Two.Test:81\r\nConnection: close\r\n\r\n").await;
    assert!(other.contains("\"v2\""), "{other}");
    host.stop().await;
}
