//! Requests to components: answers, streams, failures before and after the head, counts, queue, drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, stream};
use http_body::Body as _;
use http_body_util::{BodyExt, StreamBody};
use lath_control_api::{InstancePolicy, Probe, Reason};
use tokio::time::timeout;

use super::*;

/// Much longer than anything takes that is not stuck.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_component_answers_with_its_config() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-v1", |spec| {
        spec.config.insert("greeting".into(), "good day".into());
    })
    .await;
    assert!(hello.exports().handles_http);
    let (status, text) = answer(&hello, "/some/path").await.unwrap();
    assert_eq!(status, 200);
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["greeting"], "good day");
    assert_eq!(answer["path"], "/some/path");
    let counts = hello.counts();
    assert_eq!((counts.started, counts.succeeded), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-v1", |_| {}).await;
    let pieces =
        stream::iter((0..64).map(|n: u8| Ok(http_body::Frame::data(Bytes::from(vec![n; 16 << 10])))));
    let body = StreamBody::new(pieces).boxed_unsync();
    let post = Request::post("/echo").header("host", "test.example").body(body).unwrap();
    let response = request(&hello, post).await.unwrap();
    let echoed = timeout(SOON, body::beginning(response.into_body(), usize::MAX)).await.unwrap().unwrap();
    let expected: Vec<u8> = (0..64_u8).flat_map(|n| vec![n; 16 << 10]).collect();
    assert!(echoed == expected, "{} bytes came back of {}", echoed.len(), expected.len());
}

/// What comes of a body without waiting for anything; none when it breaks off.
fn there(body: &mut Body) -> Option<usize> {
    let mut bytes = 0;
    while let Some(Some(frame)) = body.frame().now_or_never() {
        bytes += frame.ok()?.data_ref().map_or(0, Bytes::len);
    }
    Some(bytes)
}

#[tokio::test]
async fn a_short_answer_is_there_with_its_head() {
    let engine = engine();
    let policies = [InstancePolicy::Fresh, InstancePolicy::Reuse { calls: 10 }];
    let codes = ["http-least-v1", "http-least-p3-v1", "http-hello-v1", "http-hello-p3-v1"];
    for (code, policy) in codes.iter().flat_map(|code| policies.map(|policy| (code, policy))) {
        let least = alone(&engine, code, |spec| spec.instance_policy = policy).await;
        // A tick of the epoch may fall into any call, and has its guest go on in a task.
        let mut whole = 0;
        for _ in 0..50 {
            let mut body = request(&least, get("/")).await.unwrap().into_body();
            // No task can run until the next await: whatever is there needed none.
            let length = body.size_hint().exact();
            let bytes = there(&mut body).unwrap();
            assert!(bytes > 0 || length.is_none(), "{code}, {policy:?}");
            let ended = body.is_end_stream();
            drop(body);
            whole += u32::from(ended && length == Some(bytes as u64) && least.in_flight() == 0);
            timeout(SOON, least.idle()).await.unwrap();
        }
        assert!(whole > 0, "{code}, {policy:?}: no answer was whole with its head");
    }
}

#[tokio::test]
async fn of_a_long_answer_only_the_beginning_is_there_with_its_head() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let mut body = request(&misbehave, get("/body?kib=1000000")).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), None);
    let bytes = there(&mut body).unwrap();
    assert!((1..=256 << 10).contains(&bytes), "{bytes} bytes");
}

#[tokio::test]
async fn what_breaks_off_after_its_head_has_no_length_and_no_end() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-p3-v1", |_| {}).await;
    let body = request(&hello, get("/late-trap")).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), None);
    let broken = timeout(SOON, body.collect()).await.unwrap().unwrap_err();
    assert!(matches!(broken, BodyError::Call(CallError::Trap(_))), "{broken:?}");
}

#[tokio::test]
async fn a_fresh_instance_serves_each_call() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    for _ in 0..3 {
        assert_eq!(answer(&misbehave, "/count").await.unwrap(), (200, "1".into()));
    }
}

#[tokio::test]
async fn h5_a_trap_is_an_error_of_that_call_only() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let trapped = answer(&misbehave, "/trap").await.unwrap_err();
    assert!(matches!(&trapped, CallError::Trap(text) if text.contains("unreachable")), "{trapped:?}");
    assert_eq!(answer(&misbehave, "/ok").await.unwrap(), (200, "ok".into()));
    assert_eq!(answer(&misbehave, "/status/503").await.unwrap().0, 503);
    let counts = misbehave.counts();
    let kinds = (counts.started, counts.succeeded, counts.trapped, counts.answered_5xx);
    assert_eq!(kinds, (3, 1, 1, 1), "{counts:?}");
}

#[tokio::test]
async fn k2_loops_and_sleeps_end_at_the_deadline() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |spec| spec.limits.invocation_deadline_ms = 200).await;
    for path in ["/loop", "/sleep?ms=3600000"] {
        let begun = Instant::now();
        let ended = timeout(SOON, answer(&misbehave, path)).await.unwrap();
        assert_eq!(ended.unwrap_err(), CallError::DeadlineExceeded, "{path}");
        assert!(begun.elapsed() >= Duration::from_millis(200), "{path}");
    }
    assert_eq!(answer(&misbehave, "/ok").await.unwrap(), (200, "ok".into()));
    assert_eq!(misbehave.counts().timed_out, 2);
}

#[tokio::test]
async fn the_earlier_deadline_wins() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let call = misbehave.begin().unwrap();
    let ctx = CallContext::within(Duration::from_millis(100));
    let ended = timeout(SOON, call.http(get("/loop"), ctx)).await.unwrap();
    assert_eq!(ended.unwrap_err(), CallError::DeadlineExceeded);
}

#[tokio::test]
async fn a_body_that_outlives_the_deadline_breaks_off_and_does_not_end() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |spec| spec.limits.invocation_deadline_ms = 400).await;
    // Nobody reads for longer than the call may take, so the guest is stuck in writing.
    let response = request(&misbehave, get("/body?kib=1000000")).await.unwrap();
    let mut frames = response.into_body().into_data_stream();
    assert!(frames.next().await.unwrap().is_ok());
    timeout(SOON, misbehave_ends(&misbehave)).await.unwrap();
    let last = timeout(SOON, async {
        loop {
            match frames.next().await {
                Some(Ok(_)) => {}
                other => break other,
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(last.unwrap().unwrap_err(), BodyError::Call(CallError::DeadlineExceeded));
    assert!(frames.next().await.is_none());
    drop(frames);
    timeout(SOON, misbehave.idle()).await.unwrap();
}

/// Resolves when the guest of the only call has ended, though its answer is still being read.
async fn misbehave_ends(prepared: &Prepared) {
    while prepared.counts().timed_out == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_the_call() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    drop(request(&misbehave, get("/body?kib=1000000")).await.unwrap());
    timeout(SOON, misbehave.idle()).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_dropped_ends_the_call() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let asked = timeout(Duration::from_millis(100), request(&misbehave, get("/sleep?ms=3600000"))).await;
    assert!(asked.is_err());
    timeout(SOON, misbehave.idle()).await.unwrap();
    let counts = misbehave.counts();
    assert_eq!((counts.started, counts.abandoned, counts.in_flight), (1, 1, 0), "{counts:?}");
}

#[tokio::test]
async fn calls_wait_for_an_instance_and_are_refused_at_their_deadline() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |spec| spec.max_instances = 1).await;
    let busy = tokio::spawn({
        let misbehave = Arc::clone(&misbehave);
        async move { answer(&misbehave, "/sleep?ms=600").await }
    });
    timeout(SOON, async {
        while misbehave.counts().started == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let call = misbehave.begin().unwrap();
    let refused = call.http(get("/ok"), CallContext::within(Duration::from_millis(100))).await.unwrap_err();
    assert!(matches!(refused, CallError::Overloaded(_)), "{refused:?}");
    // One that has the time gets its turn.
    assert_eq!(timeout(SOON, answer(&misbehave, "/ok")).await.unwrap().unwrap(), (200, "ok".into()));
    assert_eq!(busy.await.unwrap().unwrap().0, 200);
    let counts = misbehave.counts();
    assert_eq!((counts.overloaded, counts.succeeded), (1, 2), "{counts:?}");
}

#[tokio::test]
async fn a_full_host_makes_calls_wait_and_refuses_them_at_their_deadline() {
    let engine = engine_with(Pooling::On { instances: 1 });
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let held = request(&misbehave, get("/body?kib=1000000")).await.unwrap();
    let call = misbehave.begin().unwrap();
    let refused = call.http(get("/ok"), CallContext::within(Duration::from_millis(100))).await.unwrap_err();
    assert!(matches!(refused, CallError::Overloaded(_)), "{refused:?}");
    drop(held);
    assert_eq!(timeout(SOON, answer(&misbehave, "/ok")).await.unwrap().unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn linked_calls_have_room_when_calls_from_outside_take_all_of_theirs() {
    let (engine, here) = (engine_with(Pooling::On { instances: 4 }), Arc::<Here>::default());
    let greeter = prepare(&engine, guest("greeter-v1"), "greeter", &here, |_| {}).await.unwrap();
    here.add(&greeter);
    let front = prepare(&engine, guest("http-front-v1"), "front", &here, |spec| {
        spec.max_instances = 100;
        spec.links.push(greeter_link());
    })
    .await
    .unwrap();
    let asked = futures::future::join_all((0..50).map(|_| answer(&front, "/greet?name=Ada")));
    for answered in timeout(SOON, asked).await.unwrap() {
        assert_eq!(answered.unwrap().0, 200);
    }
}

#[tokio::test]
async fn a_closed_unit_finishes_what_it_took_and_takes_no_more() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let taken = misbehave.begin().unwrap();
    misbehave.close();
    assert_eq!(misbehave.begin().unwrap_err(), Closed);
    assert_eq!(misbehave.in_flight(), 1);
    let idle = tokio::spawn({
        let misbehave = Arc::clone(&misbehave);
        async move { misbehave.idle().await }
    });
    let response = taken.http(get("/ok"), CallContext::default()).await.unwrap();
    assert!(!idle.is_finished(), "the answer is not read yet");
    drop(response);
    timeout(SOON, idle).await.unwrap().unwrap();
    misbehave.reopen();
    assert_eq!(answer(&misbehave, "/ok").await.unwrap().0, 200);
}

#[tokio::test]
async fn an_aborted_unit_ends_its_calls_with_an_error() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    let call = misbehave.begin().unwrap();
    let running = tokio::spawn(call.http(get("/sleep?ms=3600000"), CallContext::default()));
    timeout(SOON, async {
        while misbehave.counts().started == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    misbehave.abort();
    assert_eq!(timeout(SOON, running).await.unwrap().unwrap().unwrap_err(), CallError::Stopped);
    timeout(SOON, misbehave.idle()).await.unwrap();
}

#[tokio::test]
async fn a_probe_tells_the_status_and_the_text_and_is_not_counted() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-v1", |spec| {
        spec.config.insert("mode".into(), "loud".into());
    })
    .await;
    let probe = |path: &str| Probe {
        path: path.into(),
        timeout_ms: 5_000,
        attempts: 2,
        function: None,
        period_ms: None,
        failures: None,
    };
    let failed = hello.probe(&probe("/healthz")).await.unwrap_err();
    assert_eq!(failed.reason, Reason::ProbeFailed);
    assert!(failed.message.contains("status 500") && failed.message.contains("`loud`"), "{failed}");
    let good = alone(&engine, "http-hello-v1", |_| {}).await;
    good.probe(&probe("/healthz")).await.unwrap();
    assert_eq!(good.counts().started, 0);
}

#[tokio::test]
async fn xw19_what_a_guest_prints_is_in_the_log_and_marked_as_its_own() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    // Of the whole process: a guest that computes goes on in another thread.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    answer(&misbehave, "/print?text=one%0AFORGED%1B%5B2Jtwo").await.unwrap();
    timeout(SOON, misbehave.idle()).await.unwrap();
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for part in [
        "app=\"shop\"",
        "component=\"alone\"",
        "revision=1",
        "stream=\"stdout\"",
        "stream=\"stderr\"",
        "guest: one",
    ] {
        assert!(log.contains(part), "{part} is not in: {log}");
    }
    assert!(log.contains("FORGED\\u{1b}[2Jtwo") && !log.contains('\u{1b}'), "{log}");
    assert!(log.lines().all(|line| !line.starts_with("FORGED")), "{log}");
}

/// What the log would have shown.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_component_without_a_handler_says_so() {
    let engine = engine();
    let greeter = alone(&engine, "greeter-v1", |_| {}).await;
    assert!(!greeter.exports().handles_http);
    let refused = answer(&greeter, "/").await.unwrap_err();
    assert!(matches!(refused, CallError::NoSuchFunction(_)), "{refused:?}");
}

#[tokio::test]
async fn a_request_without_an_authority_is_answered() {
    let engine = engine();
    let hello = alone(&engine, "http-hello-v1", |_| {}).await;
    let bare = Request::get("/").body(body::empty()).unwrap();
    assert_eq!(request(&hello, bare).await.unwrap().status(), 200);
}
