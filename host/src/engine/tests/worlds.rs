//! Components of WASI 0.3: requests answered as those of 0.2 are, and calls between both in every mix.

use std::time::Duration;

use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use lath_control_api::Reason;
use tokio::time::timeout;

use super::*;

/// Much longer than anything takes that is not stuck.
const SOON: Duration = Duration::from_secs(20);

/// A body of 64 pieces of 16 KiB, with a trailer after them.
fn large() -> (Body, Vec<u8>) {
    let pieces = (0..64_u8).map(|n| Ok(Frame::data(Bytes::from(vec![b'a' + n % 26; 16 << 10]))));
    let mut trailers = ::http::HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let frames = pieces.chain([Ok(Frame::trailers(trailers))]);
    let expected = (0..64_u8).flat_map(|n| vec![b'a' + n % 26; 16 << 10]).collect();
    (StreamBody::new(stream::iter(frames.collect::<Vec<_>>())).boxed_unsync(), expected)
}

async fn post(prepared: &Arc<Prepared>, path: &str, body: Body) -> Response<Body> {
    let post = Request::post(path).header("host", "test.example").body(body).unwrap();
    timeout(SOON, request(prepared, post)).await.unwrap().unwrap()
}

/// The whole body of an answer, and its trailers.
async fn whole(response: Response<Body>) -> (Vec<u8>, Option<::http::HeaderMap>) {
    let body = timeout(SOON, response.into_body().collect()).await.unwrap().unwrap();
    let trailers = body.trailers().cloned();
    (body.to_bytes().into(), trailers)
}

/// A link of `wasi:http` to another component.
fn http_link(interface: &str, target: &str) -> LinkSpec {
    LinkSpec { namespace: "wasi".into(), package: "http".into(), ..demo_link(interface, target) }
}

#[tokio::test]
async fn a_component_of_03_answers_with_its_config() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-p3-v1", |spec| {
        spec.config.insert("greeting".into(), "good day".into());
    })
    .await;
    assert!(hello.exports().handles_http);
    hello.try_start().await.unwrap();
    let (status, text) = answer(&hello, "/some/path?x=1").await.unwrap();
    assert_eq!(status, 200);
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["greeting"], &answer["path"]), (&"good day".into(), &"/some/path".into()));
    timeout(SOON, hello.idle()).await.unwrap();
    let counts = hello.counts();
    assert_eq!((counts.started, counts.succeeded), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn bodies_and_trailers_stream_both_ways() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-p3-v1", |_| {}).await;
    for path in ["/echo", "/upper"] {
        let (body, mut expected) = large();
        let (echoed, trailers) = whole(post(&hello, path, body).await).await;
        let trailers = trailers.unwrap_or_default();
        assert_eq!(trailers.get("x-sum").unwrap(), "42", "{path} {trailers:?}");
        if path == "/upper" {
            expected.make_ascii_uppercase();
            assert!(trailers.contains_key("x-pieces"), "{trailers:?}");
        }
        assert!(echoed == expected, "{path}: {} bytes came back of {}", echoed.len(), expected.len());
    }
    timeout(SOON, hello.idle()).await.unwrap();
    assert_eq!(hello.counts().succeeded, 2);
}

/// The answer begins while the request is still open.
#[tokio::test]
async fn an_answer_begins_before_its_request_has_ended() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-p3-v1", |_| {}).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, BodyError>>(1);
    let pieces = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    let response = post(&hello, "/upper", StreamBody::new(pieces).boxed_unsync()).await;
    let mut frames = response.into_body().into_data_stream();
    for word in ["one", "two"] {
        sender.send(Ok(Frame::data(Bytes::from(word)))).await.unwrap();
        let heard = timeout(SOON, frames.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(heard, word.to_uppercase());
    }
    drop(sender);
    assert!(timeout(SOON, frames.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn events_come_one_by_one() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-p3-v1", |_| {}).await;
    // The second event is an hour away: nobody waits for it to see the first.
    let response = request(&hello, get("/events?count=2&ms=3600000")).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut frames = response.into_body().into_data_stream();
    let first = timeout(SOON, frames.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first, "id: 1\ndata: event 1\n\n");
    drop(frames);
    // Its reader is gone, and so is the guest soon.
    timeout(SOON, hello.idle()).await.unwrap();
    assert_eq!(hello.counts().abandoned, 1);
}

#[tokio::test]
async fn h5_failures_of_03_are_those_of_02() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-p3-v1", |spec| spec.limits.invocation_deadline_ms = 1_000).await;
    let trapped = answer(&hello, "/trap").await.unwrap_err();
    assert!(matches!(&trapped, CallError::Trap(text) if text.contains("unreachable")), "{trapped:?}");
    let late = answer(&hello, "/late-trap").await.unwrap_err();
    assert!(matches!(&late, CallError::Trap(text) if text.contains("unreachable")), "{late:?}");
    let error = answer(&hello, "/error").await.unwrap_err();
    assert!(matches!(&error, CallError::Failed(text) if text.contains("LoopDetected")), "{error:?}");
    for endless in ["/loop", "/leak", "/events?count=2&ms=3600000"] {
        let ended = timeout(SOON, answer(&hello, endless)).await.unwrap();
        assert_eq!(ended.unwrap_err(), CallError::DeadlineExceeded, "{endless}");
    }
    assert_eq!(answer(&hello, "/healthz").await.unwrap(), (200, "ok".into()));
    timeout(SOON, hello.idle()).await.unwrap();
    let counts = hello.counts();
    let kinds = (counts.started, counts.succeeded, counts.trapped, counts.failed, counts.timed_out);
    assert_eq!(kinds, (7, 1, 2, 1, 3), "{counts:?}");
}

#[tokio::test]
async fn k3_requests_of_03_are_denied_without_a_grant() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-p3-v1", |_| {}).await;
    let (status, text) = answer(&hello, "/fetch?url=http://127.0.0.1:1/").await.unwrap();
    assert_eq!((status, text.as_str()), (502, "ErrorCode::HttpRequestDenied"));
}

#[tokio::test]
async fn functions_are_called_between_02_and_03_in_every_mix() {
    let engine = engine();
    for greeter in ["greeter-v1", "greeter-p3-v1"] {
        for front in ["http-front-v1", "http-front-p3-v1"] {
            let here = Arc::new(Here::default());
            let callee = prepare(&engine, guest(greeter), "greeter", &here, |spec| {
                spec.config.insert("word".into(), "Welcome".into());
            });
            let callee = callee.await.unwrap();
            here.add(&callee);
            let caller =
                prepare(&engine, guest(front), "front", &here, |spec| spec.links.push(greeter_link()));
            let caller = caller.await.unwrap();
            let (status, text) = answer(&caller, "/?name=Ada").await.unwrap();
            assert!(status == 200 && text.contains("Welcome, Ada"), "{front} > {greeter}: {text}");
            let (status, text) = answer(&caller, "/greet?name=").await.unwrap();
            assert_eq!((status, text.as_str()), (400, "whom to greet? the name is empty"));
            assert_eq!(callee.counts().succeeded, 2, "{front} > {greeter}");
        }
    }
}

#[tokio::test]
async fn requests_pass_between_02_and_03_in_every_mix() {
    let engine = engine();
    for target in ["http-hello-v1", "http-hello-p3-v1"] {
        let here = Arc::new(Here::default());
        let hello = prepare(&engine, guest(target), "hello", &here, |_| {}).await.unwrap();
        here.add(&hello);
        let relay = prepare(&engine, guest("http-relay-p3-v1"), "relay", &here, |spec| {
            spec.links.push(http_link("handler", "hello"));
        });
        let relay = relay.await.unwrap();
        here.add(&relay);
        let (body, expected) = large();
        let response = post(&relay, "/echo", body).await;
        assert_eq!(
            (response.status(), &response.headers()["x-relayed"]),
            (::http::StatusCode::OK, &::http::HeaderValue::from_static("http-relay-p3"))
        );
        let (echoed, trailers) = whole(response).await;
        assert!(echoed == expected, "{target}: {} bytes came back of {}", echoed.len(), expected.len());
        if target == "http-hello-p3-v1" {
            assert_eq!(trailers.unwrap()["x-sum"], "42");
        }
        // Through two of them.
        let outer = prepare(&engine, guest("http-relay-p3-v1"), "outer", &here, |spec| {
            spec.links.push(http_link("handler", "relay"));
        });
        let outer = outer.await.unwrap();
        let response = request(&outer, get("/some/path")).await.unwrap();
        assert_eq!(response.headers().get_all("x-relayed").iter().count(), 2);
        let (text, _) = whole(response).await;
        assert!(String::from_utf8_lossy(&text).contains("/some/path"));
        // From what sends by itself: a link takes its requests in place of the way out, without a grant.
        let sender = prepare(&engine, guest("http-caller-v1"), "sender", &here, |spec| {
            spec.links.push(http_link("outgoing-handler", "hello"));
        });
        let (status, text) = answer(&sender.await.unwrap(), "/?url=http://any.test/over").await.unwrap();
        assert!(status == 200 && text.contains("/over"), "{target}: {text}");
        let sender = prepare(&engine, guest("http-hello-p3-v1"), "sender", &here, |spec| {
            spec.links.push(http_link("client", "hello"));
        });
        let (status, text) = answer(&sender.await.unwrap(), "/fetch?url=http://any.test/over").await.unwrap();
        assert!(status == 200 && text.contains("/over"), "{target}: {text}");
    }
}

#[tokio::test]
async fn a_circle_of_handlers_ends_in_an_error() {
    let engine = engine();
    let here = Arc::new(Here::default());
    let relay = prepare(&engine, guest("http-relay-p3-v1"), "relay", &here, |spec| {
        spec.links.push(http_link("handler", "relay"));
        spec.max_instances = 100;
        spec.limits.invocation_deadline_ms = 5_000;
    });
    let relay = relay.await.unwrap();
    here.add(&relay);
    let ended = timeout(SOON, answer(&relay, "/")).await.unwrap();
    assert!(ended.is_err(), "{ended:?}");
    timeout(SOON, relay.idle()).await.unwrap();
}

#[tokio::test]
async fn async_functions_run_beside_each_other() {
    let engine = engine();
    let here = Arc::new(Here::default());
    let oracle = prepare(&engine, guest("greeter-p3-v1"), "oracle", &here, |spec| spec.max_instances = 10);
    let oracle = oracle.await.unwrap();
    here.add(&oracle);
    let asker = prepare(&engine, guest("asker-p3-v1"), "asker", &here, |spec| {
        spec.links.push(demo_link("oracle", "oracle"));
    });
    let asker = asker.await.unwrap();
    let (status, text) = answer(&asker, "/?times=5&ms=2000").await.unwrap();
    assert_eq!(status, 200, "{text}");
    let (answers, took) = text.split_once(" in ").unwrap();
    assert!(answers.starts_with("Is it 1? Yes. Is it 2? Yes."), "{text}");
    let took: u64 = took.trim_end_matches(" ms").parse().unwrap();
    assert!((2_000..10_000).contains(&took), "one after the other would take 10 s: {text}");
    assert_eq!(oracle.counts().succeeded, 5);
    let (status, text) = answer(&asker, "/silence").await.unwrap();
    assert!(status == 400 && text.contains("there is no question"), "{text}");
}

#[tokio::test]
async fn an_import_of_a_handler_without_a_link_is_refused() {
    let engine = engine();
    let refused = prepare(&engine, guest("http-relay-p3-v1"), "relay", &Arc::default(), |_| {}).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.reason, Reason::ImportUnsatisfied);
    for part in ["wasi:http/handler@0.3.", "package `http`", "[`handler`]"] {
        assert!(refused.message.contains(part), "{refused}");
    }
}
