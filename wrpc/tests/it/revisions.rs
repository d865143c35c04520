//! Calls that prefer a revision of an app: who takes them, and what becomes of them where nobody does.

use bytes::Bytes;
use lath_control_api::Revision;
use lath_wrpc::serve::Drained;
use lath_wrpc::{
    AppRevision, Call, Client, Export, Failure, FailureCode, HeaderMap, InvokeError, ServeOptions, Service,
    Serving, Target, serve,
};
use tokio::time::Instant;

use crate::calls::eventually;
use crate::greeter::{INSTANCE, greeter, lattice, serve_greeter, service, soon, target};
use crate::nats::Nats;

fn revision(number: u64) -> AppRevision {
    AppRevision { app: "shop".parse().unwrap(), revision: Revision(number) }
}

fn preferring(number: u64) -> Target {
    target("greet").preferring(&revision(number))
}

/// Answers every call with `answer`, as `revision` or for anyone.
async fn answering(
    client: &Client,
    answer: Result<&'static str, FailureCode>,
    revision: Option<AppRevision>,
) -> Serving {
    let answering = service(8, move |call: Call| async move {
        let answer = answer.map(Bytes::from).map_err(|code| Failure::new(code, "no"));
        let _ = call.finish(answer).await;
    });
    serve_as(client, answering, revision).await
}

async fn serve_as(client: &Client, service: Service, revision: impl Into<Option<AppRevision>>) -> Serving {
    let options = ServeOptions { revision: revision.into(), ..ServeOptions::default() };
    let exports = [Export::plain(Some(INSTANCE), "greet")];
    serve(client, &lattice(), &greeter(), &exports, service, options).await.unwrap()
}

async fn call(client: &Client, target: &Target) -> Result<Bytes, InvokeError> {
    client.invoke(target, HeaderMap::new(), "Ada".into(), soon()).await.map(|outcome| outcome.results)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_to_their_revision_and_without_it_to_anyone() {
    let nats = Nats::start();
    let (one, two, caller) = (nats.client().await, nats.client().await, nats.client().await);
    let _anyone = answering(&one, Ok("anyone"), None).await;
    let third = answering(&two, Ok("third"), Some(revision(3))).await;
    for _ in 0..50 {
        assert_eq!(call(&caller, &preferring(3)).await.unwrap(), "third");
        assert_eq!(call(&caller, &preferring(2)).await.unwrap(), "anyone");
        assert_eq!(call(&caller, &target("greet")).await.unwrap(), "anyone");
    }
    assert_eq!(third.drain(soon()).await, Drained::default());
    assert_eq!(call(&caller, &preferring(3)).await.unwrap(), "anyone");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_begun_is_the_one_who_answers() {
    let nats = Nats::start();
    let (one, two, caller) = (nats.client().await, nats.client().await, nats.client().await);
    let _anyone = answering(&one, Ok("anyone"), None).await;
    for code in [FailureCode::Trapped, FailureCode::Stopping] {
        let fails = answering(&two, Err(code), Some(revision(2))).await;
        let error = call(&caller, &preferring(2)).await.unwrap_err();
        assert!(!error.may_retry(), "{error:?}");
        fails.drain(soon()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_before_it_began_goes_to_anyone() {
    let nats = Nats::start();
    let (one, two, caller) = (nats.client().await, nats.client().await, nats.client().await);
    let _anyone = answering(&one, Ok("anyone"), None).await;
    let held = serve_as(&two, service(1, |_call| std::future::pending()), revision(1)).await;
    let first = tokio::spawn({
        let caller = caller.clone();
        async move { call(&caller, &preferring(1)).await }
    });
    eventually("the first call is taken", || async { held.load().running == 1 }).await;
    let second = tokio::spawn(async move { call(&caller, &preferring(1)).await });
    eventually("the second call waits", || async { held.load().queued == 1 }).await;
    let drained = held.drain(Instant::now()).await;
    assert_eq!(drained, Drained { aborted: 1, refused: 1 });
    assert_eq!(second.await.unwrap().unwrap(), "anyone");
    assert!(!first.await.unwrap().unwrap_err().may_retry());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_all_is_nobody() {
    let nats = Nats::start();
    let caller = nats.client().await;
    let error = call(&caller, &preferring(1)).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotConnected(_)), "{error:?}");
}

/// What does not fit in the first message follows once, to whoever takes the call.
#[tokio::test(flavor = "multi_thread")]
async fn large_parameters_reach_whoever_takes_the_call() {
    let nats = Nats::with_config("max_payload: 65536");
    let (host, caller) = (nats.client().await, nats.client().await);
    let _anyone = serve_greeter(&host, &["greet"], service(4, crate::greeter::echo)).await;
    let large = Bytes::from(vec![7_u8; 300_000]);
    let outcome = caller.invoke(&preferring(9), HeaderMap::new(), large.clone(), soon()).await.unwrap();
    assert_eq!(outcome.results, large);
}
