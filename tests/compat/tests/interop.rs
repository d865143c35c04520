//! Against the last published transport of the 1.x world, unmodified, in both roles: it calls us, and we call it.
//! What only concerns two Lath peers is tested in `wrpc`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../../../wrpc/tests/it/greeter.rs"]
mod greeter;
#[expect(dead_code, reason = "nothing here stops its server or configures it")]
#[path = "../../../wrpc/tests/it/nats.rs"]
mod nats;
#[path = "../../src/ports.rs"]
#[expect(unreachable_pub, reason = "it is part of a library")]
mod ports;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use lath_wrpc::http::{INCOMING, handle, incoming_export, receive};
use lath_wrpc::{
    Call, Export, Failure, FailureCode, HeaderMap, InvokeError, SOURCE_ID, ServeOptions, StreamError, serve,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wrpc_transport::{Index as _, Invoke as _, InvokeExt as _, Serve as _, ServeExt as _};
use wrpc_transport_nats::Client as Upstream;

use greeter::{INSTANCE, echo, greeter, lattice, serve_greeter, service, soon, target};
use nats::Nats;

const PREFIX: &str = "default.greeter";
const NO_PATHS: [&[Option<usize>]; 0] = [];
const HTTP_PATHS: [&[Option<usize>]; 2] = [&[Some(0), Some(0)], &[Some(0), Some(1)]];
/// `GET /`, scheme http, authority `localhost:8080`, no headers; body and trailers pending.
const REQUEST: &[u8] = b"\x00\x00\x00\x01\x01/\x01\x00\x01\x0elocalhost:8080\x00";

async fn upstream(nats: &Nats) -> Upstream {
    let client = upstream_nats::connect(&nats.url).await.unwrap();
    Upstream::new(client, PREFIX, Some(PREFIX.into())).await.unwrap()
}

/// A call of `greet(string) -> string` by the upstream client.
async fn greet(caller: &Upstream, name: String) -> anyhow::Result<String> {
    let call = caller.invoke_values_blocking(None, INSTANCE, "greet", (name,), NO_PATHS);
    let (answer,): (String,) = timeout(Duration::from_secs(20), call).await.unwrap()?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_calls_lath() {
    let nats = Nats::start();
    let host = nats.client().await;
    let _serving = serve_greeter(&host, &["greet"], service(4, echo)).await;
    let caller = upstream(&nats).await;
    for len in [0, 1, 1 << 20, 10 << 20] {
        let name = "x".repeat(len);
        assert_eq!(greet(&caller, name.clone()).await.unwrap(), name, "{len} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_callers_learn_at_once_of_failures_and_refusals() {
    let nats = Nats::start();
    let host = nats.client().await;
    let caller = upstream(&nats).await;
    assert!(greet(&caller, "nobody".to_owned()).await.is_err());
    let failing = |call: Call| async {
        let _ = call.finish(Err(Failure::new(FailureCode::Trapped, "unreachable"))).await;
    };
    let serving = serve_greeter(&host, &["greet"], service(4, failing)).await;
    assert!(greet(&caller, "trap".to_owned()).await.is_err());
    // In order: what is sent to subscriptions that were only dropped is lost.
    serving.drain(soon()).await;
    let exports = [Export::plain(Some(INSTANCE), "greet")];
    let full = ServeOptions { max_queue: 0, ..ServeOptions::default() };
    let _full = serve(&host, &lattice(), &greeter(), &exports, service(4, echo), full).await.unwrap();
    assert!(greet(&caller, "overloaded".to_owned()).await.is_err());
}

/// Serves `greet` by the upstream server, which answers with its parameter.
async fn upstream_greeter(nats: &Nats) -> JoinHandle<()> {
    let server = upstream(nats).await;
    let calls = server.serve_values::<(String,), (String,)>(INSTANCE, "greet", Arc::from([])).await.unwrap();
    tokio::spawn(async move {
        let _server = server;
        let mut calls = std::pin::pin!(calls);
        while let Some(call) = calls.next().await {
            let Ok((context, (name,), _, answer)) = call else { continue };
            let source = context.headers.and_then(|headers| headers.get(SOURCE_ID).map(ToString::to_string));
            match name.as_str() {
                "drop" => drop(answer),
                "source" => answer((source.unwrap_or_default(),)).await.unwrap(),
                _ => answer((name,)).await.unwrap(),
            }
        }
    })
}

fn encoded(text: &str) -> Bytes {
    let string = [wasmtime::component::Type::String];
    lath_wrpc::codec::encode(&[wasmtime::component::Val::String(text.to_owned())], &string).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lath_calls_upstream() {
    let nats = Nats::start();
    let _server = upstream_greeter(&nats).await;
    let caller = nats.client().await;
    for len in [0, 1, 1000, (1 << 20) - 100, 1 << 20, 10 << 20] {
        let params = encoded(&"x".repeat(len));
        let outcome =
            caller.invoke(&target("greet"), HeaderMap::new(), params.clone(), soon()).await.unwrap();
        assert_eq!(outcome.results, params, "{len} bytes");
    }
    let mut headers = HeaderMap::new();
    headers.insert(SOURCE_ID, "front");
    let outcome = caller.invoke(&target("greet"), headers, encoded("source"), soon()).await.unwrap();
    assert_eq!(outcome.results, encoded("front"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_callee_that_drops_its_call_interrupts_it() {
    let nats = Nats::start();
    let _server = upstream_greeter(&nats).await;
    let caller = nats.client().await;
    let string = [wasmtime::component::Type::String];
    let values = [wasmtime::component::Val::String("drop".to_owned())];
    let (target, params) = (target("greet"), (&values[..], &string[..]));
    let error = caller.call(&target, HeaderMap::new(), params, &string, soon()).await.unwrap_err();
    assert!(matches!(error, InvokeError::Interrupted), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_requests_are_answered_by_lath() {
    let nats = Nats::start();
    let host = nats.client().await;
    let handler = |call: Call| async move {
        let (request, responder) = receive(call).await.unwrap();
        assert_eq!(request.uri().to_string(), "http://localhost:8080/");
        let body = request.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["a"], "b");
        let _ = responder.respond(Response::new(Full::new(body.to_bytes()))).await;
    };
    let exports = [incoming_export()];
    let _serving =
        serve(&host, &lattice(), &greeter(), &exports, service(4, handler), ServeOptions::default())
            .await
            .unwrap();
    let caller = upstream(&nats).await;
    let params = Bytes::from_static(REQUEST);
    let (mut outgoing, mut incoming) =
        caller.invoke(None, INCOMING, "handle", params, HTTP_PATHS).await.unwrap();
    let (mut body, mut trailers) = (outgoing.index(&[0, 0]).unwrap(), outgoing.index(&[0, 1]).unwrap());
    let (mut answer, mut rest) = (incoming.index(&[0, 0]).unwrap(), incoming.index(&[0, 1]).unwrap());
    let exchange = async {
        outgoing.shutdown().await.unwrap();
        body.write_all(b"\x05hel").await.unwrap();
        body.write_all(b"lo\x00").await.unwrap();
        body.shutdown().await.unwrap();
        trailers.write_all(b"\x01\x01\x01a\x01\x01b").await.unwrap();
        trailers.shutdown().await.unwrap();
        let mut received = [Vec::new(), Vec::new(), Vec::new()];
        incoming.read_to_end(&mut received[0]).await.unwrap();
        answer.read_to_end(&mut received[1]).await.unwrap();
        rest.read_to_end(&mut received[2]).await.unwrap();
        received
    };
    let received = timeout(Duration::from_secs(20), exchange).await.unwrap();
    assert_eq!(received, [b"\x00\x00\x00\xc8\x01\x00".to_vec(), b"\x05hello\x00".to_vec(), b"\x00".to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lath_requests_are_answered_by_upstream() {
    let nats = Nats::start();
    let server = upstream(&nats).await;
    let paths: Arc<[Box<[Option<usize>]>]> = HTTP_PATHS.iter().map(|path| Box::from(*path)).collect();
    let calls = server.serve(INCOMING, "handle", paths).await.unwrap();
    let _server = tokio::spawn(async move {
        let _server = server;
        let mut calls = std::pin::pin!(calls);
        while let Some(Ok((_, mut outgoing, mut incoming))) = calls.next().await {
            let (mut body, mut trailers) =
                (incoming.index(&[0, 0]).unwrap(), incoming.index(&[0, 1]).unwrap());
            let mut received = [Vec::new(), Vec::new(), Vec::new()];
            incoming.read_to_end(&mut received[0]).await.unwrap();
            body.read_to_end(&mut received[1]).await.unwrap();
            trailers.read_to_end(&mut received[2]).await.unwrap();
            assert_eq!(received[0], REQUEST);
            assert_eq!(received[2], b"\x00");
            outgoing.write_all(b"\x00\x00\x00\xc9\x01\x00").await.unwrap();
            outgoing.shutdown().await.unwrap();
            let mut answer = outgoing.index(&[0, 0]).unwrap();
            if received[1] == b"\x00" {
                // Ends in the middle of a chunk, as a callee that traps does.
                answer.write_all(b"\x05he").await.unwrap();
            } else {
                answer.write_all(&received[1]).await.unwrap();
                let mut rest = outgoing.index(&[0, 1]).unwrap();
                rest.write_all(b"\x01\x01\x01c\x01\x01d").await.unwrap();
                rest.shutdown().await.unwrap();
                answer.shutdown().await.unwrap();
            }
        }
    });
    let caller = nats.client().await;
    let get = |body: &'static str| {
        let body = Full::new(Bytes::from(body));
        let request = Request::get("http://localhost:8080/").body(body).unwrap();
        let target = lath_wrpc::http::target(&lattice(), &greeter(), INCOMING).unwrap();
        let caller = caller.clone();
        timeout(Duration::from_secs(20), async move {
            let response = handle(&caller, &target, HeaderMap::new(), request, None, soon()).await.unwrap();
            assert_eq!(response.status(), 201);
            response.into_body().collect().await
        })
    };
    let body = get("hello world").await.unwrap().unwrap();
    assert_eq!(body.trailers().unwrap()["c"], "d");
    assert_eq!(body.to_bytes(), "hello world");
    let cut = get("").await.unwrap();
    assert!(matches!(cut, Err(StreamError::Truncated)), "{cut:?}");
}
