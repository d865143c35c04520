//! What each end of a call counts as: what of it is the component's, and what its caller's.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use lath_control_api::CallCounts;
use tokio::time::timeout;

use super::*;

/// Much longer than anything takes that is not stuck.
const SOON: Duration = Duration::from_secs(20);

/// The counts once nothing is in flight; each call that was begun is in one of them.
async fn at_rest(prepared: &Prepared) -> CallCounts {
    timeout(SOON, prepared.idle()).await.unwrap();
    let counts = prepared.counts();
    assert_eq!((counts.in_flight, counts.ended()), (0, counts.started), "{counts:?}");
    assert_eq!(counts.latency_us.values().sum::<u64>(), counts.started, "{counts:?}");
    // What remains are the kinds.
    CallCounts { started: 0, latency_us: BTreeMap::new(), ..counts }
}

/// A request whose body breaks off after a piece.
fn breaking(path: &str, error: BodyError) -> Request<Body> {
    let pieces = stream::iter([Ok(http_body::Frame::data(Bytes::from_static(b"some"))), Err(error)]);
    let body = StreamBody::new(pieces).boxed_unsync();
    Request::post(path).header("host", "test.example").body(body).unwrap()
}

fn hung_up() -> BodyError {
    BodyError::Connection("the client has hung up".into())
}

#[tokio::test]
async fn every_kind_of_end_has_its_count() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |spec| {
        spec.max_instances = 1;
        spec.limits.invocation_deadline_ms = 1_000;
    })
    .await;
    for status in [200, 404, 499, 500, 503, 599] {
        assert_eq!(answer(&misbehave, &format!("/status/{status}")).await.unwrap().0, status);
    }
    answer(&misbehave, "/trap").await.unwrap_err();
    // The second one waits behind the first until its own time is over.
    let (looped, refused) = tokio::join!(answer(&misbehave, "/loop"), async {
        let soon = CallContext::within(Duration::from_millis(200));
        misbehave.begin().unwrap().http(get("/ok"), soon).await.map(|_| ())
    });
    assert_eq!(looped.unwrap_err(), CallError::DeadlineExceeded);
    assert!(matches!(refused.unwrap_err(), CallError::Overloaded(_)));
    let kinds = CallCounts {
        succeeded: 3,
        answered_5xx: 3,
        trapped: 1,
        timed_out: 1,
        overloaded: 1,
        ..CallCounts::default()
    };
    assert_eq!(at_rest(&misbehave).await, kinds);
    assert_eq!(kinds.failures(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_run_are_in_flight_and_in_no_other_count() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let running: Vec<_> = (0..3)
        .map(|_| {
            let misbehave = Arc::clone(&misbehave);
            tokio::spawn(async move { answer(&misbehave, "/sleep?ms=3600000").await })
        })
        .collect();
    timeout(SOON, async {
        while misbehave.counts().started < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let counts = misbehave.counts();
    assert_eq!((counts.started, counts.ended(), counts.in_flight), (3, 0, 3), "{counts:?}");
    misbehave.abort();
    for call in running {
        assert_eq!(timeout(SOON, call).await.unwrap().unwrap().unwrap_err(), CallError::Stopped);
    }
    assert_eq!(at_rest(&misbehave).await, CallCounts { failed: 3, ..CallCounts::default() });
}

#[tokio::test]
async fn a_caller_that_goes_away_is_no_failure() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    // Before the head.
    let asked = timeout(Duration::from_millis(100), request(&misbehave, get("/sleep?ms=3600000"))).await;
    assert!(asked.is_err());
    // While it waits for the body, which never ends by itself.
    drop(request(&misbehave, get("/body?kib=1000000")).await.unwrap());
    // Leaving after a bad answer does not make it a good one.
    drop(request(&misbehave, get("/status/500")).await.unwrap());
    let kinds = CallCounts { abandoned: 2, answered_5xx: 1, ..CallCounts::default() };
    assert_eq!(at_rest(&misbehave).await, kinds);

    let hello = alone(&engine, "http-hello-v1", |_| {}).await;
    // While it sends the request's body: the guest cannot give it back whole.
    let response = request(&hello, breaking("/echo", hung_up())).await.unwrap();
    body::beginning(response.into_body(), usize::MAX).await.unwrap_err();
    assert_eq!(at_rest(&hello).await, CallCounts { abandoned: 1, ..CallCounts::default() });
}

#[tokio::test]
async fn an_answer_whose_body_nobody_needs_is_a_good_one() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let head = Request::head("/ok").header("host", "test.example").body(body::empty()).unwrap();
    drop(request(&misbehave, head).await.unwrap());
    drop(request(&misbehave, get("/status/204")).await.unwrap());
    assert_eq!(at_rest(&misbehave).await, CallCounts { succeeded: 2, ..CallCounts::default() });
}

#[tokio::test]
async fn an_answer_that_the_component_leaves_unfinished_is_a_failure() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-v1", |_| {}).await;
    // The guest cuts its answer short, and not because its caller is gone.
    let elsewhere = BodyError::Call(CallError::Failed("a source of the body has failed".into()));
    let response = request(&hello, breaking("/echo", elsewhere)).await.unwrap();
    assert_eq!(response.status(), 200);
    body::beginning(response.into_body(), usize::MAX).await.unwrap_err();
    assert_eq!(at_rest(&hello).await, CallCounts { failed: 1, ..CallCounts::default() });
}

#[tokio::test]
async fn a_head_that_is_late_ends_the_call_and_a_body_may_take_longer() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let soon = || CallContext {
        answer_by: Some(Instant::now() + Duration::from_millis(300)),
        ..CallContext::default()
    };
    let late = misbehave.begin().unwrap().http(get("/sleep?ms=3600000"), soon());
    assert_eq!(timeout(SOON, late).await.unwrap().unwrap_err(), CallError::DeadlineExceeded);
    let response = misbehave.begin().unwrap().http(get("/body?kib=2000"), soon()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let body = timeout(SOON, body::beginning(response.into_body(), usize::MAX)).await.unwrap().unwrap();
    assert_eq!(body.len(), 2_000 << 10);
    assert_eq!(at_rest(&misbehave).await, CallCounts { succeeded: 1, timed_out: 1, ..CallCounts::default() });
}
