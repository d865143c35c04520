//! The callee's side under load: permits, queue, replacement, drain. A ledger accounts for every call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lath_wrpc::serve::Drained;
use lath_wrpc::{
    Call, Client, Export, Failure, FailureCode, HeaderMap, InvokeError, ServeOptions, Service, Serving, serve,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::calls::eventually;
use crate::greeter::{INSTANCE, echo, greeter, lattice, serve_greeter, service, soon, target};
use crate::nats::Nats;

/// What the callers of a test got: how many of each answer, and every error.
#[derive(Debug, Default)]
struct Ledger {
    answers: BTreeMap<Bytes, usize>,
    errors: Vec<String>,
}

/// Callers that call without pause until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Ledger>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    fn start(client: &Client, callers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for _ in 0..callers {
            let (client, stop, answered) = (client.clone(), Arc::clone(&stop), Arc::clone(&answered));
            set.spawn(async move {
                let mut ledger = Ledger::default();
                while !stop.load(Ordering::Relaxed) {
                    match client.invoke(&target("greet"), HeaderMap::new(), "x".into(), soon()).await {
                        Ok(outcome) => *ledger.answers.entry(outcome.results).or_default() += 1,
                        Err(error) => ledger.errors.push(format!("{error:?}")),
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                ledger
            });
        }
        Self { stop, callers: set, answered }
    }

    async fn reach(&self, more: usize) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        eventually("calls are answered", || async { self.answered.load(Ordering::Relaxed) >= goal }).await;
    }

    async fn finish(mut self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        while let Some(ledger) = self.callers.join_next().await {
            let ledger = ledger.unwrap();
            for (answer, count) in ledger.answers {
                *all.answers.entry(answer).or_default() += count;
            }
            all.errors.extend(ledger.errors);
        }
        all
    }
}

fn answers(text: &'static str) -> Service {
    service(16, move |call: Call| async move {
        let _ = call.finish(Ok(Bytes::from_static(text.as_bytes()))).await;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_under_load_loses_no_call() {
    let nats = Nats::start();
    let caller = nats.client().await;
    let (left, right) = (nats.client().await, nats.client().await);
    let _stays = serve_greeter(&left, &["greet"], answers("left")).await;
    let load = Load::start(&caller, 32);
    for _ in 0..30 {
        let goes: Serving = serve_greeter(&right, &["greet"], answers("right")).await;
        load.reach(200).await;
        assert_eq!(goes.drain(soon()).await, Drained::default());
        load.reach(50).await;
    }
    let ledger = load.finish().await;
    assert_eq!(ledger.errors, Vec::<String>::new());
    assert!(ledger.answers[&Bytes::from_static(b"left")] > 0);
    assert!(ledger.answers[&Bytes::from_static(b"right")] > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_drain_the_server_sends_nothing_more() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let serving = serve_greeter(&host, &["greet"], service(4, echo)).await;
    assert_eq!(serving.drain(soon()).await, Drained::default());
    let error = caller.invoke(&target("greet"), HeaderMap::new(), Bytes::new(), soon()).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotConnected(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_handler_loses_no_call_and_the_old_one_is_not_heard_again() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let serving = serve_greeter(&host, &["greet"], answers("v0")).await;
    let load = Load::start(&caller, 16);
    for version in ["v1", "v2", "v3", "v4"] {
        load.reach(300).await;
        serving.replace(answers(version));
        // One call at least is taken after the replacement and before this one.
        let outcome = caller.invoke(&target("greet"), HeaderMap::new(), Bytes::new(), soon()).await.unwrap();
        assert_eq!(outcome.results, version);
    }
    let ledger = load.finish().await;
    assert_eq!(ledger.errors, Vec::<String>::new());
    assert_eq!(ledger.answers.len(), 5, "{:?}", ledger.answers);
}

#[tokio::test(flavor = "multi_thread")]
async fn permits_bound_what_runs_and_the_rest_waits_or_is_refused() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let go = Arc::new(Notify::new());
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (go, running, most) = (Arc::clone(&go), Arc::clone(&running), Arc::clone(&most));
        move |call: Call| {
            let (go, running, most) = (Arc::clone(&go), Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                go.notified().await;
                running.fetch_sub(1, Ordering::SeqCst);
                echo(call).await;
            }
        }
    };
    let exports = [Export::plain(Some(INSTANCE), "greet")];
    let options = ServeOptions { max_queue: 3, ..ServeOptions::default() };
    let serving = serve(&host, &lattice(), &greeter(), &exports, service(2, handler), options).await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..6 {
        let caller = caller.clone();
        calls.spawn(
            async move { caller.invoke(&target("greet"), HeaderMap::new(), Bytes::new(), soon()).await },
        );
    }
    // Two run, three wait, and the sixth is the first to have an answer.
    let refused = calls.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(&refused, InvokeError::Rejected(f) if f.code == FailureCode::Overloaded), "{refused:?}");
    assert!(refused.may_retry());
    assert_eq!((serving.load().running, serving.load().queued), (2, 3));
    for _ in 0..5 {
        eventually("a call runs", || async { running.load(Ordering::SeqCst) > 0 }).await;
        go.notify_one();
        calls.join_next().await.unwrap().unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

fn stuck() -> Service {
    service(1, |call: Call| async move {
        std::future::pending::<()>().await;
        drop(call);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_at_the_end_of_a_drain_is_told_so() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let serving = serve_greeter(&host, &["greet"], stuck()).await;
    let calls = start_two(&caller, &serving).await;
    let drained = serving.drain(Instant::now() + Duration::from_millis(200)).await;
    assert_eq!(drained, Drained { aborted: 1, refused: 1 });
    assert_eq!(codes(calls).await, ["failed aborted", "rejected stopping"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_serving_tells_its_callers() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let serving = serve_greeter(&host, &["greet"], stuck()).await;
    let calls = start_two(&caller, &serving).await;
    drop(serving);
    assert_eq!(codes(calls).await, ["failed aborted", "rejected stopping"]);
}

type Calls = JoinSet<Result<lath_wrpc::Outcome, InvokeError>>;

/// Two calls to a service with one permit: one runs, one waits.
async fn start_two(caller: &Client, serving: &Serving) -> Calls {
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let caller = caller.clone();
        calls.spawn(
            async move { caller.invoke(&target("greet"), HeaderMap::new(), Bytes::new(), soon()).await },
        );
    }
    eventually("one runs, one waits", || async {
        let load = serving.load();
        (load.running, load.queued) == (1, 1)
    })
    .await;
    calls
}

async fn codes(mut calls: Calls) -> Vec<String> {
    let mut codes = Vec::new();
    while let Some(call) = calls.join_next().await {
        let told = |how: &str, failure: &Failure| format!("{how} {}", failure.code);
        codes.push(match call.unwrap().unwrap_err() {
            InvokeError::Failed(failure) => told("failed", &failure),
            InvokeError::Rejected(failure) => told("rejected", &failure),
            other => format!("{other:?}"),
        });
    }
    codes.sort();
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_can_be_added_while_serving() {
    let nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let serving = serve_greeter(&host, &["greet"], service(4, echo)).await;
    serving
        .extend(vec![Export::plain(Some(INSTANCE), "greet"), Export::plain(Some(INSTANCE), "more")])
        .await
        .unwrap();
    for func in ["greet", "more"] {
        let outcome = caller.invoke(&target(func), HeaderMap::new(), "x".into(), soon()).await.unwrap();
        assert_eq!(&*outcome.results, b"x", "{func}");
    }
    let bad = serving.extend(vec![Export::plain(Some(INSTANCE), "a b")]).await;
    assert!(bad.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_in_a_drain_does_not_bring_the_subscription_back() {
    let mut nats = Nats::start();
    let (host, caller) = (nats.client().await, nats.client().await);
    let go = Arc::new(Notify::new());
    let handler = {
        let go = Arc::clone(&go);
        move |call: Call| {
            let go = Arc::clone(&go);
            async move {
                go.notified().await;
                echo(call).await;
            }
        }
    };
    let serving = serve_greeter(&host, &["greet"], service(4, handler)).await;
    let first = tokio::spawn({
        let caller = caller.clone();
        let deadline = Instant::now() + Duration::from_secs(3);
        async move { caller.invoke(&target("greet"), HeaderMap::new(), Bytes::new(), deadline).await }
    });
    eventually("the call runs", || async { serving.load().running == 1 }).await;
    let drain = tokio::spawn(serving.drain(soon()));
    nats.stop();
    eventually("the loss is noticed", || async { !caller.is_connected() && !host.is_connected() }).await;
    nats.restart();
    eventually("the connection is back", || async { caller.is_connected() && host.is_connected() }).await;
    eventually("nobody serves any more", || async {
        let deadline = Instant::now() + Duration::from_millis(500);
        let again = caller.invoke(&target("greet"), HeaderMap::new(), Bytes::new(), deadline).await;
        matches!(again, Err(InvokeError::NotConnected(_)))
    })
    .await;
    go.notify_waiters();
    assert_eq!(drain.await.unwrap(), Drained::default());
    let _ = first.await.unwrap();
}
