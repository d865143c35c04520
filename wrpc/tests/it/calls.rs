//! Single invocations: what comes back, in every way that a call can end.

use std::time::Duration;

use bytes::Bytes;
use lath_wrpc::{Call, Client, Failure, FailureCode, HeaderMap, InvokeError, Limits};
use tokio::time::Instant;

use crate::greeter::{echo, serve_greeter, service, soon, target};
use crate::nats::Nats;
use crate::settled;

async fn invoke(client: &Client, params: impl Into<Bytes>) -> Result<Bytes, InvokeError> {
    let outcome = client.invoke(&target("greet"), HeaderMap::new(), params.into(), soon()).await;
    outcome.map(|outcome| outcome.results)
}

fn bytes_of(len: usize) -> Bytes {
    (0_u8..251).cycle().take(len).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_back_whatever_their_size() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let _serving = serve_greeter(&host, &["greet"], service(4, echo)).await;
    for len in [0, 1, 1000, 1 << 20, (1 << 20) + 1, 10 << 20] {
        let params = bytes_of(len);
        assert_eq!(invoke(&caller, params.clone()).await.unwrap(), params, "{len} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cut_at_the_largest_message_is_exact() {
    let nats = Nats::with_config("max_payload: 4096");
    let (host, caller) = (nats.client().await, nats.client().await);
    let _serving = serve_greeter(&host, &["greet"], service(4, echo)).await;
    for len in (3800..=4300).chain(8100..=8300) {
        let params = bytes_of(len);
        assert_eq!(invoke(&caller, params.clone()).await.unwrap(), params, "{len} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_at_once_and_may_be_retried() {
    let nats = Nats::start();
    let caller = nats.client().await;
    let error = invoke(&caller, "x").await.unwrap_err();
    assert!(matches!(error, InvokeError::NotConnected(_)), "{error:?}");
    assert!(error.may_retry());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_callee_keeps_its_code_and_text() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let failing = |call: Call| async {
        let _ = call.finish(Err(Failure::new(FailureCode::Trapped, "wasm `unreachable`"))).await;
    };
    let _serving = serve_greeter(&host, &["greet"], service(4, failing)).await;
    let error = invoke(&caller, "x").await.unwrap_err();
    let InvokeError::Failed(failure) = &error else { panic!("{error:?}") };
    assert_eq!((failure.code, failure.text.as_str()), (FailureCode::Trapped, "wasm `unreachable`"));
    assert!(!error.may_retry());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_forgets_or_panics_fails_its_call_only() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let handler = |mut call: Call| async move {
        match call.params().await.unwrap().as_ref() {
            b"forget" => drop(call),
            b"panic" => panic!("as asked"),
            _ => echo(call).await,
        }
    };
    let _serving = serve_greeter(&host, &["greet"], service(4, handler)).await;
    for bad in ["forget", "panic"] {
        let error = invoke(&caller, bad).await.unwrap_err();
        assert!(matches!(&error, InvokeError::Failed(f) if f.code == FailureCode::Aborted), "{error:?}");
    }
    assert!(invoke(&caller, "fine").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_the_wait_and_says_whether_the_call_was_taken() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let never = |call: Call| async move {
        std::future::pending::<()>().await;
        drop(call);
    };
    let _serving = serve_greeter(&host, &["greet"], service(4, never)).await;
    // Long enough for a busy machine to have taken the call.
    let deadline = Instant::now() + Duration::from_secs(2);
    let started = Instant::now();
    let error = caller.invoke(&target("greet"), HeaderMap::new(), Bytes::new(), deadline).await.unwrap_err();
    assert!(matches!(error, InvokeError::TimedOut { accepted: true }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    // A subscriber that takes messages and never answers.
    let deaf = nats.connect().await;
    let _subscription = deaf.subscribe(target("deaf").as_str().to_owned()).await.unwrap();
    settled(&deaf).await;
    let deadline = Instant::now() + Duration::from_millis(300);
    let error = caller.invoke(&target("deaf"), HeaderMap::new(), Bytes::new(), deadline).await.unwrap_err();
    assert!(matches!(error, InvokeError::TimedOut { accepted: false }), "{error:?}");
    assert!(!error.may_retry());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_deadline_reach_the_handler() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let handler = |call: Call| async move {
        assert!(call.deadline().unwrap() > Instant::now());
        let source = call.headers().get(lath_wrpc::SOURCE_ID).unwrap().as_str().to_owned();
        assert_eq!(call.export().func, "greet");
        let _ = call.finish(Ok(source.into())).await;
    };
    let _serving = serve_greeter(&host, &["greet"], service(4, handler)).await;
    let mut headers = HeaderMap::new();
    headers.insert(lath_wrpc::SOURCE_ID, "front");
    let outcome = caller.invoke(&target("greet"), headers, Bytes::new(), soon()).await.unwrap();
    assert_eq!(&*outcome.results, b"front");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_kept_on_both_sides() {
    let nats = Nats::start();
    let limits = Limits { max_params: 1000, max_results: 1000, ..Limits::default() };
    let (host, small) = (nats.client().await, nats.client_with(limits).await);
    let large = |call: Call| async move {
        let _ = call.finish(Ok(bytes_of(5_000_000))).await;
    };
    let _serving = serve_greeter(&host, &["greet"], service(4, large)).await;
    let error = invoke(&small, bytes_of(1001)).await.unwrap_err();
    assert!(matches!(error, InvokeError::TooLarge { what: "parameters", limit: 1000 }), "{error:?}");
    let error = invoke(&small, "x").await.unwrap_err();
    assert!(
        matches!(error, InvokeError::TooLarge { what: "results", .. } | InvokeError::Stream(_)),
        "{error:?}"
    );
    // A callee with a lower limit says so.
    let _small = serve_greeter(&small, &["small"], service(4, echo)).await;
    let large = bytes_of(5_000_000);
    let error = host.invoke(&target("small"), HeaderMap::new(), large, soon()).await.unwrap_err();
    let InvokeError::Failed(failure) = &error else { panic!("{error:?}") };
    assert!(matches!(failure.code, FailureCode::TooLarge | FailureCode::BadParams), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_a_call_fails_at_once_and_works_again_later() {
    let mut nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let _serving = serve_greeter(&host, &["greet"], service(4, echo)).await;
    assert!(invoke(&caller, "x").await.is_ok());
    nats.stop();
    eventually("the loss is noticed", || async { !caller.is_connected() && !host.is_connected() }).await;
    let error = invoke(&caller, "x").await.unwrap_err();
    assert!(matches!(error, InvokeError::Offline), "{error:?}");
    assert!(error.may_retry());
    nats.restart();
    eventually("calls work again", || async { invoke(&caller, "x").await.is_ok() }).await;
}

/// Waits for a state, with a deadline.
pub(crate) async fn eventually<F, Fut>(what: &str, mut state: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = soon();
    while !state().await {
        assert!(Instant::now() < deadline, "not reached: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
