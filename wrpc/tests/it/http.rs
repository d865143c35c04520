//! HTTP over invocations: heads, bodies both ways at once, failures, slow readers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use lath_wrpc::http::{
    ErrorCode, HttpError, INCOMING, IncomingBody, Responder, handle, incoming_export, receive, try_handle,
};
use lath_wrpc::{
    Call, Client, Failure, FailureCode, HeaderMap, InvokeError, Limits, ServeOptions, Serving, StreamError,
    Target, serve,
};
use tokio::time::Instant;

use crate::greeter::{greeter, lattice, service, soon};
use crate::nats::Nats;

fn incoming() -> Target {
    lath_wrpc::http::target(&lattice(), &greeter(), INCOMING).unwrap()
}

async fn serve_http<F, Fut>(client: &Client, handler: F) -> Serving
where
    F: Fn(Request<IncomingBody>, Responder) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let service = service(8, move |call: Call| {
        let handler = handler.clone();
        async move {
            if let Ok((request, responder)) = receive(call).await {
                handler(request, responder).await;
            }
        }
    });
    serve(client, &lattice(), &greeter(), &[incoming_export()], service, ServeOptions::default())
        .await
        .unwrap()
}

async fn send<B>(client: &Client, request: Request<B>) -> Result<Response<IncomingBody>, HttpError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    handle(client, &incoming(), HeaderMap::new(), request, None, soon()).await
}

/// Answers with the request's own method, path and body, as it comes.
async fn mirror(request: Request<IncomingBody>, responder: Responder) {
    let response = Response::builder()
        .status(201)
        .header("x-method", request.method().as_str())
        .header("x-uri", request.uri().to_string())
        .body(request.into_body())
        .unwrap();
    let _ = responder.respond(response).await;
}

type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, StreamError>>;

fn channel_body() -> (Sender, impl Body<Data = Bytes, Error = StreamError> + Send + 'static) {
    let (sender, frames) = mpsc::unbounded();
    (sender, StreamBody::new(frames))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_response() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let _serving = serve_http(&host, mirror).await;
    let request = Request::post("http://shop.example/a?b").body(Full::new(Bytes::from("hello"))).unwrap();
    let response = send(&caller, request).await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["x-method"], "POST");
    assert_eq!(response.headers()["x-uri"], "http://shop.example/a?b");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    let empty = send(&caller, Request::get("/").body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert!(empty.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_flow_both_ways_while_both_are_open() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let _serving = serve_http(&host, mirror).await;
    let (sender, body) = channel_body();
    let mut response = send(&caller, Request::post("/").body(body).unwrap()).await.unwrap();
    for word in ["one", "two", "three"] {
        sender.unbounded_send(Ok(Frame::data(word.into()))).unwrap();
        let echoed = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(echoed, word);
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("checksum", "abc".parse().unwrap());
    sender.unbounded_send(Ok(Frame::trailers(trailers))).unwrap();
    drop(sender);
    let rest = response.into_body().collect().await.unwrap();
    assert_eq!(rest.trailers().unwrap()["checksum"], "abc");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_arrive_whole() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let _serving = serve_http(&host, mirror).await;
    let large: Bytes = (0_u8..=250).cycle().take(24 << 20).collect();
    let response = send(&caller, Request::post("/").body(Full::new(large.clone())).unwrap()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), large);
}

/// A body without end that counts what was taken of it.
struct Endless(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Body for Endless {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.0.fetch_add(64 << 10, std::sync::atomic::Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 64 << 10])))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_slows_its_writer_and_nobody_else() {
    let nats = Nats::start();
    let limits = Limits { stream_window: 256 << 10, ..Limits::default() };
    let (host, caller) = (nats.client_with(limits).await, nats.client_with(limits).await);
    let produced = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let handler = {
        let produced = std::sync::Arc::clone(&produced);
        move |request: Request<IncomingBody>, responder: Responder| {
            let produced = std::sync::Arc::clone(&produced);
            async move {
                if request.uri().path() == "/endless" {
                    let _ = responder.respond(Response::new(Endless(produced))).await;
                } else {
                    mirror(request, responder).await;
                }
            }
        }
    };
    let serving = serve_http(&host, handler).await;
    let get = |path: &str| Request::get(path).body(Empty::<Bytes>::new()).unwrap();
    let mut slow = send(&caller, get("/endless")).await.unwrap();
    // The slow one reads nothing; others go on.
    for _ in 0..50 {
        let response = send(&caller, get("/")).await.unwrap();
        assert!(response.into_body().collect().await.is_ok());
    }
    let ahead = produced.load(std::sync::atomic::Ordering::SeqCst);
    assert!(ahead <= 2 << 20, "the writer ran {ahead} bytes ahead");
    // What waited is there, in order, and more comes when there is room.
    let mut read = 0;
    while read < 4 << 20 {
        read += slow.body_mut().frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    // A reader that goes away stops its writer, and the call is over.
    drop(slow);
    crate::calls::eventually("the call ended", || async { serving.load().running == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_fails_is_never_a_short_body() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let handler = |_, responder: Responder| async move {
        let (sender, body) = channel_body();
        sender.unbounded_send(Ok(Frame::data("half".into()))).unwrap();
        sender.unbounded_send(Err(StreamError::Unwanted)).unwrap();
        let _ = responder.respond(Response::new(body)).await;
    };
    let _serving = serve_http(&host, handler).await;
    let response = send(&caller, Request::get("/").body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, StreamError::Failed(_)), "{error:?}");
    assert!(body.frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_that_dies_in_the_middle_of_a_body_is_an_error_at_the_reader() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let handler = |_, responder: Responder| async move {
        let (sender, body) = channel_body();
        sender.unbounded_send(Ok(Frame::data("half".into()))).unwrap();
        let _ = responder.respond(Response::new(body)).await;
        drop(sender);
    };
    let serving = serve_http(&host, handler).await;
    let response = send(&caller, Request::get("/").body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    drop(serving);
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(&error, StreamError::Failed(f) if f.code == FailureCode::Aborted), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_took_is_whole_and_can_be_made_again() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let mut request = Request::post("/").body(Some(Full::new(Bytes::from("hello")))).unwrap();
    let target = incoming();
    let missed =
        try_handle(&caller, &target, HeaderMap::new(), &mut request, None, soon()).await.unwrap_err();
    assert!(matches!(&missed, HttpError::Invoke(error) if error.may_retry()), "{missed:?}");
    assert!(request.body().is_some());
    let _serving = serve_http(&host, mirror).await;
    let response = try_handle(&caller, &target, HeaderMap::new(), &mut request, None, soon()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    assert!(request.body().is_none());
    let gone = try_handle(&caller, &target, HeaderMap::new(), &mut request, None, soon()).await.unwrap_err();
    assert!(matches!(gone, HttpError::Invoke(InvokeError::Protocol(_))), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_no_response_is_told_apart() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let get = |path: &str| Request::get(path).body(Empty::<Bytes>::new()).unwrap();
    let error = send(&caller, get("/")).await.unwrap_err();
    assert!(matches!(error, HttpError::Invoke(InvokeError::NotConnected(_))), "{error:?}");
    let handler = |request: Request<IncomingBody>, responder: Responder| async move {
        match request.uri().path() {
            "/code" => drop(responder.error(&ErrorCode::HttpRequestBodySize(Some(7))).await),
            "/trap" => drop(responder.fail(Failure::new(FailureCode::Trapped, "unreachable")).await),
            "/drop" => drop(responder),
            _ => std::future::pending().await,
        }
    };
    let _serving = serve_http(&host, handler).await;
    let error = send(&caller, get("/code")).await.unwrap_err();
    assert!(matches!(error, HttpError::Code(ErrorCode::HttpRequestBodySize(Some(7)))), "{error:?}");
    let error = send(&caller, get("/trap")).await.unwrap_err();
    assert!(matches!(error, HttpError::Invoke(InvokeError::Failed(_))), "{error:?}");
    let error = send(&caller, get("/drop")).await.unwrap_err();
    assert!(matches!(error, HttpError::Invoke(InvokeError::Failed(_))), "{error:?}");
    let deadline = Instant::now() + Duration::from_millis(200);
    let hung =
        handle(&caller, &incoming(), HeaderMap::new(), get("/hang"), None, deadline).await.unwrap_err();
    assert!(matches!(hung, HttpError::Invoke(InvokeError::TimedOut { accepted: true })), "{hung:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_is_refused_with_a_reason() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let _serving = serve_http(&host, mirror).await;
    let bad = Bytes::from_static(&[0, 0, 99]);
    let error = caller.invoke(&incoming(), HeaderMap::new(), bad, soon()).await.unwrap_err();
    let InvokeError::Failed(failure) = &error else { panic!("{error:?}") };
    assert_eq!(failure.code, FailureCode::BadParams);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_answer_before_it_has_read_the_request() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let handler = |_request, responder: Responder| async move {
        let _ = responder
            .respond(Response::builder().status(413).body(Full::new(Bytes::from("no"))).unwrap())
            .await;
    };
    let serving = serve_http(&host, handler).await;
    let (sender, body) = channel_body();
    let response = send(&caller, Request::post("/").body(body).unwrap()).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "no");
    crate::calls::eventually("the call ended", || async { serving.load().running == 0 }).await;
    crate::calls::eventually("the upload ended", || async { sender.is_closed() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_keep_their_bytes_apart() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let _serving = serve_http(&host, mirror).await;
    let exchanges = (0_u16..200).map(|i| {
        let caller = caller.clone();
        async move {
            let body = Bytes::from(i.to_string().repeat(usize::from(i) * 50));
            let request = Request::post(format!("/{i}")).body(Full::new(body.clone())).unwrap();
            let response = send(&caller, request).await.unwrap();
            assert_eq!(response.headers()["x-uri"], format!("/{i}"));
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
        }
    });
    futures::stream::iter(exchanges).buffer_unordered(32).collect::<Vec<_>>().await;
}
