//! Instances that serve more than one call: how many, which, and when they are thrown away, with every way of
//! allocation. `misbehave` counts the calls that its instance has answered.

use std::time::Duration;

use futures::future::join_all;

use super::*;

const WAYS: [Pooling; 2] = [Pooling::On { instances: 8 }, Pooling::Off];

async fn counting(engine: &Engine, policy: InstancePolicy) -> Arc<Prepared> {
    alone(engine, "misbehave-v1", |spec| {
        spec.instance_policy = policy;
        spec.limits.invocation_deadline_ms = 500;
        spec.limits.memory_bytes = 64 << 20;
    })
    .await
}

/// Waits until every call has ended: a guest may end a moment after its answer.
async fn quiet(unit: &Arc<Prepared>) {
    tokio::time::timeout(Duration::from_secs(20), unit.idle()).await.unwrap();
}

/// Which call of its instance this is.
async fn count(unit: &Arc<Prepared>) -> u64 {
    let (status, text) = answer(unit, "/count").await.unwrap();
    assert_eq!(status, 200);
    quiet(unit).await;
    text.parse().unwrap()
}

async fn counts(unit: &Arc<Prepared>, calls: usize) -> Vec<u64> {
    let mut counts = Vec::new();
    for _ in 0..calls {
        counts.push(count(unit).await);
    }
    counts
}

#[tokio::test]
async fn i3_an_instance_serves_as_many_calls_as_it_may() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let fresh = counting(&engine, InstancePolicy::Fresh).await;
        assert_eq!(counts(&fresh, 3).await, [1, 1, 1]);
        for (calls, expected) in
            [(1, [1, 1, 1, 1, 1]), (2, [1, 2, 1, 2, 1]), (3, [1, 2, 3, 1, 2]), (9, [1, 2, 3, 4, 5])]
        {
            let unit = counting(&engine, InstancePolicy::Reuse { calls }).await;
            assert_eq!(counts(&unit, 5).await, expected, "reuse {calls}");
        }
        let pooled = counting(&engine, InstancePolicy::Pooled { keep: 1, idle_ms: 60_000 }).await;
        assert_eq!(counts(&pooled, 5).await, [1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn whatever_ends_badly_throws_its_instance_away() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let unit = counting(&engine, InstancePolicy::Reuse { calls: 100 }).await;
        for harm in ["/trap", "/loop", "/eat?mib=100", "/sleep?ms=60000"] {
            assert_eq!(counts(&unit, 2).await, [1, 2], "before {harm}");
            answer(&unit, harm).await.unwrap_err();
            quiet(&unit).await;
        }
        assert_eq!(count(&unit).await, 1);
        // An answer with a bad status is an answer.
        assert_eq!(answer(&unit, "/status/500").await.unwrap().0, 500);
        quiet(&unit).await;
        assert_eq!(count(&unit).await, 3);
        // What a caller leaves half read, or asks for and does not wait for, has not ended well either.
        let never_asked = tokio::time::timeout(Duration::from_millis(50), answer(&unit, "/sleep?ms=400"));
        never_asked.await.unwrap_err();
        quiet(&unit).await;
        assert_eq!(count(&unit).await, 1);
    }
}

#[tokio::test]
async fn i3_as_many_instances_are_kept_as_may() {
    for pooling in WAYS {
        for (calls, kept) in [(1, 1), (2, 2), (3, 2)] {
            let engine = engine_with(pooling);
            let unit = counting(&engine, InstancePolicy::Pooled { keep: 2, idle_ms: 60_000 }).await;
            // Calls at the same time have an instance each.
            let all = join_all((0..calls).map(|_| answer(&unit, "/sleep?ms=50"))).await;
            assert!(all.iter().all(Result::is_ok), "{all:?}");
            quiet(&unit).await;
            assert_eq!(engine.inner.kept.idle(), kept, "after {calls} calls at once");
            assert_eq!(count(&unit).await, 2);
        }
    }
}

#[tokio::test]
async fn nothing_is_shared_between_components_and_revisions() {
    let engine = engine();
    let policy = InstancePolicy::Pooled { keep: 4, idle_ms: 60_000 };
    // The same code, twice, as two components or two revisions of one have it.
    let (one, other) = (counting(&engine, policy).await, counting(&engine, policy).await);
    assert_eq!(counts(&one, 3).await, [1, 2, 3]);
    assert_eq!(counts(&other, 2).await, [1, 2]);
    assert_eq!(counts(&one, 1).await, [4]);
}

#[tokio::test]
async fn what_is_idle_for_long_is_thrown_away_and_what_is_closed_at_once() {
    let engine = engine();
    let unit = counting(&engine, InstancePolicy::Pooled { keep: 4, idle_ms: 1_000 }).await;
    assert_eq!(counts(&unit, 2).await, [1, 2]);
    let idle = || engine.inner.kept.idle();
    assert_eq!(idle(), 1);
    let gone = async {
        while idle() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    assert_eq!(counts(&unit, 2).await, [1, 2]);
    unit.close();
    assert_eq!(idle(), 0);
    unit.reopen();
    assert_eq!(counts(&unit, 2).await, [1, 2]);
    drop(unit);
    assert_eq!(idle(), 0);
}

#[tokio::test]
async fn idle_instances_make_room_for_calls() {
    let engine = engine_with(Pooling::On { instances: 8 });
    let policy = InstancePolicy::Pooled { keep: 8, idle_ms: 60_000 };
    let kept = counting(&engine, policy).await;
    let all = join_all((0..4).map(|_| answer(&kept, "/sleep?ms=50"))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    quiet(&kept).await;
    assert_eq!(engine.inner.kept.idle(), 4, "half of the room at most");
    let fresh: Vec<_> = join_all((0..3).map(|_| counting(&engine, InstancePolicy::Fresh))).await;
    let busy = fresh.iter().flat_map(|unit| (0..4).map(move |_| answer(unit, "/sleep?ms=50")));
    let all = join_all(busy).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

/// Counts its calls in a function, and hands the name of the trace on to nobody.
const COUNTS: &str = r#"(component
    (core module $m
        (global $calls (mut i32) (i32.const 0))
        (func (export "count") (result i32)
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (global.get $calls)))
    (core instance $i (instantiate $m))
    (func (export "count") (result u32) (canon lift (core func $i "count"))))"#;

#[tokio::test]
async fn functions_are_called_on_kept_instances_too() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let here = Arc::default();
        let unit = prepare(&engine, text(COUNTS), "counts", &here, |spec| {
            spec.instance_policy = InstancePolicy::Reuse { calls: 3 };
        });
        let unit = unit.await.unwrap();
        let count = unit.exports().find(None, "count").unwrap();
        let mut counts = Vec::new();
        for _ in 0..5 {
            let called = unit.begin().unwrap().call(count, Vec::new(), CallContext::default()).await;
            counts.extend(called.unwrap());
        }
        assert_eq!(counts, [1, 2, 3, 1, 2].map(Val::U32));
    }
}
