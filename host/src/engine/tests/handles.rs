//! Resources, streams and futures over links within a host: between components of 0.2 and 0.3 in every mix.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use lath_control_api::Reason;
use tokio::time::timeout;

use super::*;

/// Much longer than anything takes that is not stuck.
const SOON: Duration = Duration::from_secs(20);
const KEEPERS: [&str; 2] = ["tallies-v1", "flows-p3-v1"];
const USERS: [&str; 2] = ["tally-user-v1", "flow-user-p3-v1"];

/// A link of `lath:handles` with both interfaces.
fn handles_link(target: &str) -> LinkSpec {
    let interfaces = vec!["tallies".into(), "flows".into()];
    LinkSpec { package: "handles".into(), interfaces, ..demo_link("tallies", target) }
}

struct Pair {
    here: Arc<Here>,
    keeper: Arc<Prepared>,
    user: Arc<Prepared>,
}

impl Pair {
    async fn new(engine: &Engine, keeper: &str, user: &str) -> Self {
        Self::with(engine, (keeper, |_| {}), (user, |_| {})).await
    }

    async fn with(
        engine: &Engine,
        (keeper, change): (&str, impl FnOnce(&mut ComponentSpec)),
        (user, change_user): (&str, impl FnOnce(&mut ComponentSpec)),
    ) -> Self {
        let here = Arc::new(Here::default());
        let keeper = prepare(engine, guest(keeper), "keeper", &here, change).await.unwrap();
        here.add(&keeper);
        let user = prepare(engine, guest(user), "user", &here, |spec| {
            spec.links.push(handles_link("keeper"));
            change_user(spec);
        });
        Self { keeper, user: user.await.unwrap(), here }
    }

    async fn ask(&self, path: &str) -> Result<String, CallError> {
        let (status, text) = timeout(SOON, answer(&self.user, path)).await.unwrap()?;
        assert_eq!(status, 200, "{path}: {text}");
        Ok(text)
    }

    /// Waits until nothing of the keeper is in use.
    async fn rest(&self) {
        timeout(SOON, self.keeper.idle()).await.unwrap();
    }
}

#[tokio::test]
async fn resources_are_made_used_passed_and_dropped_in_every_mix() {
    let engine = engine();
    for keeper in KEEPERS {
        for user in USERS {
            let pair = Pair::new(&engine, keeper, user).await;
            for (path, expected) in [
                ("/add?n=3", "[2, 4, 7]"),
                ("/living", "0 2 1 0"),
                ("/merge", "42 42 1"),
                ("/largest?n=3", "3 Some(2) 1"),
                ("/largest?n=1", "0 None 0"),
                ("/largest?n=0", "there is none"),
            ] {
                assert_eq!(pair.ask(path).await.unwrap(), expected, "{user} > {keeper}: {path}");
            }
            pair.rest().await;
            let counts = pair.keeper.counts();
            // Each constructor, method and function is a call; what is dropped is none.
            assert_eq!((counts.started, counts.succeeded), (25, 25), "{user} > {keeper}: {counts:?}");
        }
    }
}

#[tokio::test]
async fn h5_a_trap_ends_the_instance_of_that_caller_alone() {
    let engine = engine();
    for keeper in KEEPERS {
        for user in USERS {
            let pair = Pair::with(&engine, (keeper, |spec| spec.max_instances = 1), (user, |_| {})).await;
            for traps in 1..=3 {
                let error = pair.ask("/trap").await.unwrap_err();
                let text = error.to_string();
                assert!(matches!(error, CallError::Target(_)), "{user} > {keeper}: {error:?}");
                for part in ["tally.fail", "shop-keeper", "unreachable"] {
                    assert!(text.contains(part), "{part} is not in: {text}");
                }
                pair.rest().await;
                assert_eq!(pair.keeper.counts().trapped, traps);
                // Its place is free again.
                assert_eq!(pair.ask("/add?n=1").await.unwrap(), "[2]", "{user} > {keeper}");
                pair.rest().await;
            }
        }
    }
}

#[tokio::test]
async fn h5_a_method_ends_at_its_deadline() {
    let engine = engine();
    for keeper in KEEPERS {
        let own = |spec: &mut ComponentSpec| spec.limits.invocation_deadline_ms = 300;
        let pair = Pair::with(&engine, (keeper, own), ("tally-user-v1", |_| {})).await;
        let error = pair.ask("/hang").await.unwrap_err();
        assert!(error.to_string().contains("deadline"), "{error:?}");
        pair.rest().await;
        assert_eq!(pair.keeper.counts().timed_out, 1, "{keeper}");
        // The caller's own deadline ends what it holds.
        let own = |spec: &mut ComponentSpec| spec.limits.invocation_deadline_ms = 300;
        let pair = Pair::with(&engine, (keeper, |_| {}), ("tally-user-v1", own)).await;
        assert_eq!(pair.ask("/hang").await.unwrap_err(), CallError::DeadlineExceeded);
        pair.rest().await;
        assert_eq!(pair.keeper.counts().in_flight, 0);
    }
}

/// While a caller holds a resource, all that it asks of the component goes to the instance that made it.
#[tokio::test]
async fn k2_what_a_caller_holds_is_one_instance_and_counts_as_one() {
    let engine = engine();
    for keeper in KEEPERS {
        let only = |spec: &mut ComponentSpec| {
            spec.max_instances = 1;
            spec.limits.max_waiting = 0;
        };
        let pair = Pair::with(&engine, (keeper, only), ("tally-user-v1", |_| {})).await;
        assert_eq!(pair.ask("/calls").await.unwrap(), "1 1", "{keeper}");
        assert_eq!(pair.ask("/calls-of-one").await.unwrap(), "1 2", "{keeper}");
        pair.rest().await;
        // It is held: nobody else gets in, not even for a moment.
        let holding = tokio::spawn({
            let user = Arc::clone(&pair.user);
            async move { answer(&user, "/hang").await }
        });
        while pair.keeper.counts().started < 6 {
            assert!(!holding.is_finished());
            tokio::task::yield_now().await;
        }
        let error = pair.ask("/add").await.unwrap_err();
        assert!(error.to_string().contains("no instance is free"), "{error:?}");
        // When its caller leaves it is free.
        holding.abort();
        pair.rest().await;
        assert_eq!(pair.ask("/add?n=1").await.unwrap(), "[2]");
    }
}

#[tokio::test]
async fn k4_a_caller_holds_no_more_handles_than_it_may() {
    let engine = engine();
    let few = |spec: &mut ComponentSpec| spec.limits.handles = 100;
    let pair = Pair::with(&engine, ("tallies-v1", |_| {}), ("tally-user-v1", few)).await;
    // The request and what belongs to it are handles too.
    let mut most = 0;
    for n in 80..=101 {
        match pair.ask(&format!("/many?n={n}")).await {
            Ok(text) => {
                assert_eq!(text, format!("{n} {n}"));
                most = n;
            }
            Err(error) => {
                assert!(matches!(error, CallError::Trap(_)), "{error:?}");
                break;
            }
        }
    }
    assert!((80..=100).contains(&most), "{most}");
    let error = pair.ask(&format!("/many?n={}", most + 1)).await.unwrap_err();
    assert!(matches!(error, CallError::Trap(_)), "{error:?}");
    pair.rest().await;
}

/// A caller that keeps its instance gives back what it held of others.
#[tokio::test]
async fn k2_nothing_is_held_from_one_call_to_the_next() {
    let engine = engine();
    let keep = |spec: &mut ComponentSpec| {
        spec.instance_policy = InstancePolicy::Pooled { keep: 1, idle_ms: 60_000 };
    };
    let pair = Pair::with(&engine, ("tallies-v1", |_| {}), ("tally-user-v1", keep)).await;
    for _ in 0..3 {
        assert_eq!(pair.ask("/keep").await.unwrap(), "1");
        pair.rest().await;
    }
    // One that holds nothing is kept, and so is that of the keeper.
    let pair = Pair::with(&engine, ("tallies-v1", keep), ("tally-user-v1", keep)).await;
    for sum in 1..=3 {
        assert_eq!(pair.ask("/calls-of-one").await.unwrap(), format!("{} {}", sum * 2 - 1, sum * 2));
        pair.rest().await;
    }
}

/// A resource stays with the unit that made it, also when new calls go to another one.
#[tokio::test]
async fn h3_a_resource_stays_with_its_revision() {
    let engine = engine();
    let pair = Pair::new(&engine, "flows-p3-v1", "flow-user-p3-v1").await;
    let waiting = tokio::spawn({
        let user = Arc::clone(&pair.user);
        async move { answer(&user, "/beside?n=3").await }
    });
    while pair.keeper.counts().started < 4 {
        assert!(!waiting.is_finished());
        tokio::task::yield_now().await;
    }
    let next = prepare(&engine, guest("flows-p3-v1"), "keeper", &pair.here, |spec| {
        spec.revision = Revision(2);
    });
    let next = next.await.unwrap();
    pair.here.add(&next);
    pair.keeper.close();
    assert_eq!(pair.keeper.in_flight(), 1);
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap().unwrap(), (200, "[0, 1, 2]".into()));
    pair.rest().await;
    assert_eq!((pair.keeper.counts().succeeded, next.counts().started), (4, 0));
    assert_eq!(pair.ask("/add?n=1").await.unwrap(), "[2]");
    assert_eq!(next.counts().succeeded, 2);
    // What is aborted takes the calls of those who hold something of it along.
    let waiting = tokio::spawn({
        let user = Arc::clone(&pair.user);
        async move { answer(&user, "/beside?n=3").await }
    });
    while next.counts().started < 6 {
        assert!(!waiting.is_finished());
        tokio::task::yield_now().await;
    }
    next.abort();
    let error = timeout(SOON, waiting).await.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error:?}");
    timeout(SOON, next.idle()).await.unwrap();
}

#[tokio::test]
async fn streams_and_futures_pass_both_ways() {
    let engine = engine();
    let pair = Pair::new(&engine, "flows-p3-v1", "flow-user-p3-v1").await;
    for (path, expected) in [
        ("/sum?n=0", "0"),
        ("/sum?n=100000", "5000050000"),
        ("/count?n=0", "0 0"),
        ("/count?n=100000", "100000 5000050000"),
        // The writer would go on for ever.
        ("/few?n=3", "[1, 2, 3]"),
        ("/few?n=0", "[]"),
        // Each word comes back before the next is written.
        ("/shout?n=3", "W0 W1 W2 true"),
        ("/reverse", "[[3, 2, 1], []]"),
        ("/later?n=100", "word"),
        ("/length", "4"),
        ("/some?n=10", "45 true"),
        ("/source?n=3", "[10, 11, 12] 13 [14]"),
    ] {
        assert_eq!(pair.ask(path).await.unwrap(), expected, "{path}");
        pair.rest().await;
    }
    let counts = pair.keeper.counts();
    assert_eq!((counts.started, counts.succeeded), (15, 15), "{counts:?}");
}

#[tokio::test]
async fn async_methods_of_one_resource_run_beside_each_other() {
    let engine = engine();
    let pair = Pair::new(&engine, "flows-p3-v1", "flow-user-p3-v1").await;
    let begun = Instant::now();
    assert_eq!(pair.ask("/beside?n=20").await.unwrap().split(' ').count(), 20);
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "one after the other takes 10 s: {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn bodies_of_requests_stream_through_a_linked_component() {
    let engine = engine();
    let pair = Pair::new(&engine, "flows-p3-v1", "flow-user-p3-v1").await;
    let sent: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).take(5_000_000).collect();
    for path in ["/echo", "/pass"] {
        let body = Full::new(Bytes::from(sent.clone())).map_err(|never| match never {}).boxed_unsync();
        let post = Request::post(path).header("host", "test.example").body(body).unwrap();
        let response = timeout(SOON, request(&pair.user, post)).await.unwrap().unwrap();
        let echoed = timeout(SOON, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
        assert!(echoed == sent, "{path}: {} bytes came back", echoed.len());
        pair.rest().await;
    }
}

/// A part is never taken for the whole.
#[tokio::test]
async fn h6_a_writer_that_is_lost_makes_its_reader_fail() {
    let engine = engine();
    let pair = Pair::new(&engine, "flows-p3-v1", "flow-user-p3-v1").await;
    for n in [10, 5_000] {
        let error = pair.ask(&format!("/break-off?n={n}")).await.unwrap_err();
        assert!(error.to_string().contains("has ended before it"), "{n}: {error:?}");
        pair.rest().await;
    }
    let late = |spec: &mut ComponentSpec| spec.limits.invocation_deadline_ms = 300;
    let pair = Pair::with(&engine, ("flows-p3-v1", late), ("flow-user-p3-v1", |_| {})).await;
    let error = pair.ask("/later?n=60000").await.unwrap_err();
    assert!(error.to_string().contains("has ended before it"), "{error:?}");
    pair.rest().await;
}

#[tokio::test]
async fn what_does_not_leave_a_host_fails_where_nobody_is_on_it() {
    let engine = engine();
    let here = Arc::new(Here::default());
    for user in USERS {
        let user = prepare(&engine, guest(user), "user", &here, |spec| spec.links.push(handles_link("away")));
        let user = user.await.unwrap();
        assert_eq!(user.beside.len(), 1, "{:?}", user.beside);
        let error = answer(&user, "/add").await.unwrap_err();
        assert!(error.to_string().contains("resources do not leave a host"), "{error:?}");
        assert!(here.asked.lock().unwrap().is_empty());
    }
}

/// Only components on the same host call such functions: neither NATS nor a probe does.
#[tokio::test]
async fn functions_with_handles_are_not_served_to_others() {
    let engine = engine();
    let keeper = alone(&engine, "flows-p3-v1", |_| {}).await;
    let names: Vec<_> = keeper.exports().names.iter().map(|export| export.func.as_str()).collect();
    assert_eq!(names, ["[static]tally.living", "calls"], "plain values alone");
    let flows = Some("lath:handles/flows@0.1.0");
    let count = keeper.exports().find(flows, "count").unwrap();
    let called = keeper.begin().unwrap().call(count, vec![Val::U32(1)], CallContext::default()).await;
    assert!(matches!(called, Err(CallError::NoSuchFunction(_))), "{called:?}");
}

async fn refused(wat: &str, change: impl FnOnce(&mut ComponentSpec)) -> String {
    let engine = engine_with(Pooling::Off);
    let error = prepare(&engine, text(wat), "refused", &Arc::default(), change).await.unwrap_err();
    assert_eq!(error.reason, Reason::ImportUnsatisfied, "{error}");
    error.message
}

/// Refused when it is linked, hence when it is applied, and not at the first call.
#[tokio::test]
async fn xw11_streams_of_what_no_link_carries_are_refused_by_interface_function_and_type() {
    for (ty, kind) in [
        ("(stream (tuple u8 u8))", "a stream of tuples"),
        ("(future (option string))", "a future of options"),
        ("(list (stream (list (list u8))))", "a stream of such lists"),
        ("(future (list (option u8)))", "a future of such lists"),
    ] {
        let import = format!(
            r#"(component (import "lath:demo/flow@0.1.0" (instance (export "pour" (func async (param "s" {ty}))))))"#
        );
        let message = refused(&import, |spec| spec.links.push(demo_link("flow", "flow"))).await;
        for part in ["lath:demo/flow@0.1.0", "`pour`", kind, "links carry"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }
}

#[tokio::test]
async fn xw11_resources_of_the_host_are_refused_over_a_link() {
    let import = r#"(component
        (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
        (alias export $poll "pollable" (type $pollable))
        (import "lath:demo/waits@0.1.0" (instance
            (alias outer 1 $pollable (type $outer))
            (export "pollable" (type $p (eq $outer)))
            (export "wait" (func (param "on" (borrow $p)))))))"#;
    let message = refused(import, |spec| spec.links.push(demo_link("waits", "waits"))).await;
    for part in ["`lath:demo/waits@0.1.0`", "`wait`", "`pollable`", "wasi:io/poll@0.2.0", "the host's own"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[tokio::test]
async fn xw11_a_resource_of_another_target_is_refused() {
    let import = r#"(component
        (import "lath:demo/box@0.1.0" (instance $box (export "thing" (type (sub resource)))))
        (alias export $box "thing" (type $thing))
        (import "lath:demo/opener@0.1.0" (instance
            (alias outer 1 $thing (type $outer))
            (export "thing" (type $t (eq $outer)))
            (export "open" (func (param "it" (own $t)))))))"#;
    let apart = |spec: &mut ComponentSpec| {
        spec.links.extend([demo_link("box", "box"), demo_link("opener", "opener")]);
    };
    let message = refused(import, apart).await;
    for part in ["`open`", "`thing`", "shop-box", "shop-opener", "one component"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    let engine = engine_with(Pooling::Off);
    let together = |spec: &mut ComponentSpec| {
        spec.links.extend([demo_link("box", "box"), demo_link("opener", "box")]);
    };
    prepare(&engine, text(import), "linked", &Arc::default(), together).await.unwrap();
}

/// The types of both ends are compared with their resources.
#[tokio::test]
async fn a_function_with_other_resources_is_not_called() {
    let engine = engine_with(Pooling::Off);
    let here = Arc::new(Here::default());
    let keeper = prepare(&engine, guest("tallies-v1"), "keeper", &here, |_| {}).await.unwrap();
    here.add(&keeper);
    let caller = r#"(component
        (import "lath:handles/tallies@0.1.0" (instance $tallies
            (export "tally" (type $t (sub resource)))
            (export "[constructor]tally" (func (param "start" u64) (result (own $t))))))
        (core func $make (canon lower (func $tallies "[constructor]tally")))
        (core module $m
            (import "host" "make" (func $make (param i64) (result i32)))
            (func (export "run") (drop (call $make (i64.const 1)))))
        (core instance $i (instantiate $m (with "host" (instance (export "make" (func $make))))))
        (func $run (canon lift (core func $i "run")))
        (export "run" (func $run)))"#;
    let caller =
        prepare(&engine, text(caller), "caller", &here, |spec| spec.links.push(handles_link("keeper")));
    let caller = caller.await.unwrap();
    let run = caller.exports().find(None, "run").unwrap();
    let error = caller.begin().unwrap().call(run, vec![], CallContext::default()).await.unwrap_err();
    assert!(error.to_string().contains("with other types than its caller"), "{error:?}");
}
