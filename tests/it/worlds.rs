//! Components of WASI 0.3 beside those of 0.2: served alike, linked in every mix, on one host and on several.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Request, Response, Version};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use lath_tests::{App, Lattice, Load, Setup};

use crate::words;

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;
type Incoming = Response<UnsyncBoxBody<Bytes, String>>;

/// Longest time for one exchange on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const HANDLER: [&str; 3] = ["wasi", "http", "handler"];
const GREETER: [&str; 3] = ["lath", "demo", "greeter"];
const MIB: u64 = 1 << 20;

/// One request over a connection of its own, in HTTP/1.1 or HTTP/2.
async fn send(version: Version, request: Request<Body>) -> Incoming {
    let mut client = Client::builder(TokioExecutor::new());
    client.http2_only(version == Version::HTTP_2);
    let client = client.build_http::<Body>();
    let answered = tokio::time::timeout(PATIENCE, client.request(request)).await;
    let response = answered.expect("no answer in time").expect("no answer");
    assert_eq!(response.version(), version);
    response.map(|body| body.map_err(|error| format!("{error:?}")).boxed_unsync())
}

fn post(address: SocketAddr, path: &str, body: Body) -> Request<Body> {
    Request::post(format!("http://{address}{path}")).body(body).unwrap()
}

fn get(address: SocketAddr, path: &str) -> Request<Body> {
    Request::get(format!("http://{address}{path}")).body(Empty::new().boxed_unsync()).unwrap()
}

/// So many MiB in pieces of 64 KiB, with a trailer after them.
fn body(mebibytes: u64) -> Body {
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    let pieces = (0..mebibytes * 16).map(move |_| Ok(Frame::data(piece.clone())));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let frames = pieces.chain([Ok(Frame::trailers(trailers))]);
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// Reads an answer to its end: how many bytes it has, whether all are `byte`, and its trailers.
async fn read(response: Incoming, byte: u8) -> (u64, bool, HeaderMap) {
    let (mut bytes, mut same, mut trailers) = (0, true, HeaderMap::new());
    let mut body = response.into_body();
    while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.expect("the answer is stuck") {
        match frame.expect("the answer broke off").into_data() {
            Ok(data) => {
                bytes += data.len() as u64;
                same &= data.iter().all(|found| *found == byte);
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap()),
        }
    }
    (bytes, same, trailers)
}

async fn text(response: Incoming) -> String {
    let collected = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
    String::from_utf8(collected.to_bytes().into()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_03_is_served_as_one_of_02_is() {
    let lattice = Setup::default().host(&[]).start().await;
    let app =
        App::hello("shop", lattice.address).image("hello", "http-hello-p3-v1").probe("hello", "/healthz");
    let _ = lattice.deploy(&app).await.exits(0);
    let answer = Load::new(lattice.address, "/some/path").once().await.unwrap();
    assert_eq!((answer.text("component"), answer.text("path")), ("http-hello-p3", "/some/path"));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let request = || {
            let mut request = post(lattice.address, "/upper", body(2));
            request.headers_mut().insert("te", "trailers".parse().unwrap());
            request
        };
        let (bytes, same, trailers) = read(send(version, request()).await, b'X').await;
        assert_eq!((bytes, same), (2 * MIB, true), "{version:?}");
        if version == Version::HTTP_2 {
            assert_eq!(trailers.get("x-sum").unwrap(), "42", "{trailers:?}");
            assert!(trailers.contains_key("x-pieces"), "{trailers:?}");
        }
        // The second event is an hour away.
        let events = send(version, get(lattice.address, "/events?count=2&ms=3600000")).await;
        assert_eq!(events.headers()["content-type"], "text/event-stream");
        let first =
            tokio::time::timeout(PATIENCE, events.into_body().frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "id: 1\ndata: event 1\n\n");
        let lost = send(version, get(lattice.address, "/trap")).await;
        assert_eq!(lost.status(), 502);
    }
    let counts = lattice.units().await;
    let counts = counts.iter().find(|unit| unit["component"] == "hello").unwrap();
    assert!(counts.to_string().contains("trapped"), "{counts:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_an_upgrade_from_02_to_03_and_on_loses_no_request() {
    let lattice = Lattice::of_two_hosts().await;
    let old = App::hello("shop", lattice.address);
    let _ = lattice.deploy(&old).await.exits(0);
    let ledger = Load::new(lattice.address, "/").rate(100).start();
    words::more(&ledger, 50).await;
    for image in ["http-hello-p3-v1", "http-hello-p3-v2"] {
        let _ = lattice.deploy(&old.clone().image("hello", image)).await.exits(0);
        words::more(&ledger, 50).await;
    }
    let accounts = ledger.finish().await;
    accounts.none_failed();
    let by = accounts.by(|answer| format!("{} {}", answer.text("component"), answer.text("version")));
    let expected = ["http-hello v1", "http-hello-p3 v1", "http-hello-p3 v2"];
    assert_eq!(by.keys().collect::<Vec<_>>(), expected, "{by:?}");
}

/// Two hosts, and an app whose first component runs on the first and whose second on `zone`.
async fn linked(zone: &str, front: &str, interface: [&str; 3], target: &str) -> Lattice {
    let lattice = Setup::default().host(&["zone=a"]).host(&["zone=b"]).start().await;
    let _ = lattice.deploy(&linked_app(&lattice, zone, front, interface, target)).await.exits(0);
    lattice
}

fn linked_app(lattice: &Lattice, zone: &str, front: &str, interface: [&str; 3], target: &str) -> App {
    let app = App::of("shop", lattice.address, &[("front", front), ("back", target)]);
    let app = app.link("front", interface, "back");
    app.place("http", "zone", "a").place("front", "zone", "a").place("back", "zone", zone)
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_called_between_02_and_03_on_one_host_and_on_two() {
    let lattice = linked("b", "http-front-v1", GREETER, "greeter-p3-v1").await;
    for (zone, front, greeter) in [
        ("b", "http-front-v1", "greeter-p3-v1"),
        ("b", "http-front-p3-v1", "greeter-v1"),
        ("b", "http-front-p3-v1", "greeter-p3-v1"),
        ("a", "http-front-v1", "greeter-p3-v1"),
        ("a", "http-front-p3-v1", "greeter-v1"),
    ] {
        let _ = lattice.deploy(&linked_app(&lattice, zone, front, GREETER, greeter)).await.exits(0);
        let answer = Load::new(lattice.address, "/greet?name=Ada").once().await.unwrap();
        assert_eq!(words::greeting(&answer), "v1 > v1 Hello, Ada", "{zone} {front} > {greeter}");
        let refused = Load::new(lattice.address, "/greet?name=").once().await.unwrap_err();
        assert!(refused.contains("status 400") && refused.contains("the name is empty"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn async_functions_are_called_on_another_host() {
    let lattice = linked("b", "asker-p3-v1", ["lath", "demo", "oracle"], "greeter-p3-v1").await;
    let answer = text(send(Version::HTTP_11, get(lattice.address, "/?times=3&ms=10")).await).await;
    assert!(answer.starts_with("Is it 1? Yes. Is it 2? Yes. Is it 3? Yes. in "), "{answer}");
    let refused = text(send(Version::HTTP_11, get(lattice.address, "/silence")).await).await;
    assert!(refused.contains("there is no question"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_between_02_and_03_on_two_hosts() {
    let lattice = linked("b", "http-relay-p3-v1", HANDLER, "http-hello-v1").await;
    for target in ["http-hello-v1", "http-hello-p3-v1"] {
        let _ =
            lattice.deploy(&linked_app(&lattice, "b", "http-relay-p3-v1", HANDLER, target)).await.exits(0);
        let answer = send(Version::HTTP_11, get(lattice.address, "/over")).await;
        assert_eq!(answer.headers()["x-relayed"], "http-relay-p3");
        assert!(text(answer).await.contains("/over"), "{target}");
    }
    let sender =
        linked_app(&lattice, "b", "http-caller-v1", ["wasi", "http", "outgoing-handler"], "http-hello-p3-v1");
    let _ = lattice.deploy(&sender).await.exits(0);
    let answer = send(Version::HTTP_11, get(lattice.address, "/?url=http://any.test/over")).await;
    let answer = text(answer).await;
    assert!(answer.contains("/over") && answer.contains("http-hello-p3"), "{answer}");
}

/// Memory of a process that is in use now, and the most that was, in MiB.
fn resident(process: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_100_mib_streams_through_two_components_on_two_hosts() {
    let lattice = linked("b", "http-relay-p3-v1", HANDLER, "http-hello-p3-v1").await;
    for (target, path, byte) in [
        ("http-hello-p3-v1", "/upper", b'X'),
        ("http-hello-p3-v1", "/echo", b'x'),
        ("http-hello-v1", "/echo", b'x'),
    ] {
        let _ =
            lattice.deploy(&linked_app(&lattice, "b", "http-relay-p3-v1", HANDLER, target)).await.exits(0);
        let begun = std::time::Instant::now();
        let response = send(Version::HTTP_11, post(lattice.address, path, body(100))).await;
        let (bytes, same, _) = read(response, byte).await;
        assert_eq!((bytes, same), (100 * MIB, true), "{target}{path}");
        for (name, process) in lattice.process_ids() {
            if name.starts_with("host") {
                let (now, most) = resident(process);
                println!(
                    "{name}: 100 MiB through relay and {target}{path} in {:.2?}: {now} MiB resident, {most} MiB at most",
                    begun.elapsed()
                );
                assert!(most < 200, "{name} had {most} MiB");
            }
        }
    }
}
