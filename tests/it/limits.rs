//! Limits as users meet them: what a request is answered when one is reached, and that nobody else notices. Each limit
//! just below, at and above it is in the host's own tests; how long anything takes is measured in `benches`.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lath_tests::{App, Lattice, Load, Setup, eventually};

/// Calls that do harm at the same time; the app has as many places.
const CALLS: usize = 50;

type Http = Client<HttpConnector, Full<Bytes>>;

/// Every request has a connection of its own: an answer that breaks off takes its connection with it, and nobody else's.
fn http() -> Http {
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(HttpConnector::new())
}

/// Status and text of an answer, and whether it says when to come again.
async fn ask(client: &Http, address: SocketAddr, path: &str, body: usize) -> (u16, String, bool) {
    let request = http::Request::post(format!("http://{address}{path}")).header("host", "bad.test");
    let request = request.body(Full::new(vec![b'x'; body].into())).unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let again = head.headers.contains_key(http::header::RETRY_AFTER);
    let text = body.collect().await.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    (head.status.as_u16(), text.unwrap_or_else(|_| "broke off".to_owned()), again)
}

/// A lattice with a component that may not compute for longer than `deadline`, and one beside it.
async fn with_a_bad_neighbour(deadline: &str) -> Lattice {
    let lattice = Setup::default().host(&[]).start().await;
    let good = App::hello("good", lattice.address).host("good.test");
    let bad = App::misbehave("bad", lattice.address)
        .host("bad.test")
        .limit("misbehave", "memory", "64Mi")
        .limit("misbehave", "invocation_deadline", deadline)
        .limit("misbehave", "max_waiting", 0)
        .limit("misbehave", "request_body", "1Ki")
        .limit("misbehave", "response_body", "2Ki");
    for app in [&good, &bad] {
        let _ = lattice.deploy(app).await.exits(0);
    }
    lattice
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_users_are_told_which_limit_was_reached() {
    let lattice = with_a_bad_neighbour("5s").await;
    let (client, address) = (http(), lattice.address);
    for (path, body, status, says) in [
        ("/upload", 1_024, 200, "got 1024 bytes"),
        ("/upload", 1_025, 413, "larger than the component takes"),
        ("/body?kib=2", 0, 200, "xxx"),
        ("/eat?mib=32", 0, 200, "ate 32 MiB"),
        ("/eat?mib=1000", 0, 502, "gave no answer"),
        ("/leak?handles=100000", 0, 502, "gave no answer"),
        ("/loop", 0, 504, "no answer in time"),
    ] {
        let (found, text, _) = ask(&client, address, path, body).await;
        assert_eq!(found, status, "{path}: {text}");
        assert!(text.contains(says), "{path}: {text}");
    }
    // The head was there before the limit was met, so nothing is left but to break off.
    assert_eq!(ask(&client, address, "/body?kib=3", 0).await.1, "broke off");
    // A guest whose answer broke off may still be ending.
    eventually(Duration::from_secs(20), "all calls to be over", async || {
        let units = lattice.units().await;
        let calls = units.iter().map(|unit| &unit["calls"]["inFlight"]);
        let open: Vec<_> = calls.filter(|calls| calls.as_u64().is_some_and(|calls| calls > 0)).collect();
        if open.is_empty() { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
    // Every place is taken, and nobody may wait.
    let calls = (0..=CALLS).map(|_| ask(&client, address, "/sleep?ms=1500", 0));
    let answers = join_all(calls).await;
    let refused: Vec<_> = answers.iter().filter(|(status, ..)| *status != 200).collect();
    assert!(matches!(refused.as_slice(), [(503, _, true)]), "{refused:?}");
    let units = lattice.units().await;
    let bad = units.iter().find(|unit| unit["component"] == "misbehave").unwrap();
    let calls = &bad["calls"];
    assert_eq!((&calls["overloaded"], &calls["timedOut"]), (&1.into(), &1.into()), "{bad:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h5_a_neighbour_and_the_host_answer_whatever_fifty_calls_do() {
    let lattice = with_a_bad_neighbour("2s").await;
    let (client, address) = (http(), lattice.address);
    let good = Load::new(address, "/").host("good.test");
    for path in
        ["/loop", "/eat?mib=20", "/eat?mib=1000", "/trap", "/flood?lines=20000", "/leak?handles=1000000"]
    {
        let harm = join_all((0..CALLS).map(|_| ask(&client, address, path, 0)));
        let neighbour = async {
            for _ in 0..20 {
                good.once().await.unwrap_or_else(|problem| panic!("beside {path}: {problem}"));
                let _ = lattice.units().await;
            }
        };
        let (answers, ()) = tokio::join!(harm, neighbour);
        assert!(
            answers.iter().all(|(status, ..)| [200, 502, 503, 504].contains(status)),
            "{path}: {answers:?}"
        );
        assert_eq!(ask(&client, address, "/ok", 0).await.0, 200, "after {path}");
    }
}
