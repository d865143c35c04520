//! Every limit of a call, just below, at and just above it, and faults at start, with every way of allocation.

use std::time::Duration;

use futures::future::join_all;
use http_body_util::{BodyExt, StreamBody};
use lath_control_api::Reason;

use super::*;
use crate::engine::base::Tasks;
use crate::engine::pool::{self, Allocation};

const WAYS: [Pooling; 2] = [Pooling::On { instances: 8 }, Pooling::Off];
const MIB: u64 = 1 << 20;
/// Longer than all but an endless call needs.
const LOOK: Duration = Duration::from_millis(500);

#[tokio::test]
async fn k1_memory_is_limited_whatever_the_allocator() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let misbehave = alone(&engine, "misbehave-v1", |spec| spec.limits.memory_bytes = 64 * MIB).await;
        assert_eq!(answer(&misbehave, "/eat?mib=60").await.unwrap(), (200, "ate 60 MiB".into()));
        let refused = answer(&misbehave, "/eat?mib=64").await.unwrap_err();
        assert!(matches!(&refused, CallError::Trap(text) if text.contains("limit is 64 MiB")), "{refused:?}");
        assert_eq!(answer(&misbehave, "/ok").await.unwrap().0, 200);
    }
}

/// Grows to the given number of pages, one memory of one page included; gives -1 when it may not.
const GROWS: &str = r#"(component
    (core module $m
        (memory 1)
        (func (export "grow") (param i32) (result i32)
            (memory.grow (i32.sub (local.get 0) (i32.const 1)))))
    (core instance $i (instantiate $m))
    (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $i "grow"))))"#;

#[tokio::test]
async fn i3_the_limit_itself_is_allowed_and_one_page_more_is_not() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let grows = prepare(&engine, text(GROWS), "grows", &Arc::default(), |spec| {
            spec.limits.memory_bytes = 2 * MIB
        })
        .await
        .unwrap();
        let grow = grows.exports().find(None, "grow").unwrap();
        for (pages, expected) in [(31, 1), (32, 1), (33, -1)] {
            let results =
                grows.begin().unwrap().call(grow, vec![Val::U32(pages)], CallContext::default()).await;
            assert_eq!(results.unwrap(), vec![Val::S32(expected)], "{pages} pages");
        }
    }
}

/// Grows its memory by pages and its table by elements, two core instances each of both; gives what the last growth
/// gave.
const GROWS_ALL: &str = r#"(component
    (core module $m
        (memory 1)
        (table $t 0 funcref)
        (func (export "grow") (param i32 i32) (result i32)
            (drop (memory.grow (local.get 0)))
            (table.grow $t (ref.null func) (local.get 1))))
    (core instance $other (instantiate $m))
    (core instance $i (instantiate $m))
    (func (export "grow") (param "pages" u32) (param "elements" u32) (result s32)
        (canon lift (core func $i "grow"))))"#;

#[tokio::test]
async fn k1_all_memories_and_tables_of_an_instance_count_together() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let grows = prepare(&engine, text(GROWS_ALL), "grows", &Arc::default(), |spec| {
            spec.limits.memory_bytes = MIB
        })
        .await
        .unwrap();
        let grow = grows.exports().find(None, "grow").unwrap();
        // Sixteen pages are the limit. Fifteen are taken, and what is left is for 8,192 elements.
        for (elements, expected) in [(8_191, 0), (8_192, 0), (8_193, -1)] {
            let params = vec![Val::U32(13), Val::U32(elements)];
            let results = grows.begin().unwrap().call(grow, params, CallContext::default()).await;
            assert_eq!(results.unwrap(), vec![Val::S32(expected)], "{elements} elements");
        }
    }
}

#[tokio::test]
async fn k2_a_loop_ends_at_its_deadline_and_its_instance_with_it() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let misbehave = alone(&engine, "misbehave-v1", |spec| spec.limits.invocation_deadline_ms = 300).await;
        let loops = tokio::time::timeout(Duration::from_secs(20), answer(&misbehave, "/loop"));
        let (looped, neighbour) = tokio::join!(loops, answer(&misbehave, "/count"));
        assert_eq!(looped.unwrap().unwrap_err(), CallError::DeadlineExceeded);
        assert_eq!(neighbour.unwrap(), (200, "1".into()));
        assert_eq!(answer(&misbehave, "/count").await.unwrap(), (200, "1".into()));
        // Host calls that wait end there as well.
        assert_eq!(answer(&misbehave, "/sleep?ms=1").await.unwrap().0, 200);
        assert_eq!(answer(&misbehave, "/sleep?ms=60000").await.unwrap_err(), CallError::DeadlineExceeded);
        tokio::time::timeout(Duration::from_secs(20), misbehave.idle()).await.unwrap();
        assert_eq!(misbehave.counts().timed_out, 2);
    }
}

#[tokio::test]
async fn i3_as_many_calls_wait_as_may_and_one_more_is_refused() {
    for pooling in WAYS {
        for most in [0, 2] {
            let engine = engine_with(pooling);
            let busy = alone(&engine, "misbehave-v1", |spec| {
                spec.max_instances = 1;
                spec.limits.max_waiting = most;
            })
            .await;
            for (calls, refused) in [(most, 0), (most + 1, 0), (most + 2, 1)] {
                let all = join_all((0..calls).map(|_| answer(&busy, "/sleep?ms=50"))).await;
                let overloaded = |result: &&Result<_, _>| matches!(result, Err(CallError::Overloaded(_)));
                assert_eq!(all.iter().filter(overloaded).count(), refused, "{calls} calls: {all:?}");
                assert_eq!(all.iter().filter(|result| result.is_ok()).count(), calls as usize - refused);
            }
            assert_eq!(busy.counts().overloaded, 1);
        }
    }
}

#[tokio::test]
async fn a_linked_call_learns_that_its_target_has_no_room() {
    let (engine, here) = (engine(), Arc::<Here>::default());
    let endless = prepare(&engine, text(calls::ENDLESS), "endless", &here, |spec| {
        spec.max_instances = 1;
        spec.limits.max_waiting = 0;
    })
    .await
    .unwrap();
    here.add(&endless);
    let link = demo_link("circle", "endless");
    let caller = prepare(&engine, text(calls::CIRCLE), "caller", &here, |spec| spec.links.push(link));
    let caller = caller.await.unwrap();
    let turn = caller.exports().find(Some("lath:demo/circle@0.1.0"), "turn").unwrap();
    let call = || caller.begin().unwrap().call(turn, vec![Val::U32(0)], CallContext::within(LOOK));
    let (first, second) = tokio::join!(call(), call());
    assert_eq!(first.unwrap_err(), CallError::DeadlineExceeded);
    let refused = second.unwrap_err();
    assert!(matches!(&refused, CallError::Target(text) if text.contains("overloaded")), "{refused:?}");
}

/// Takes handles and keeps them.
const HOLDS: &str = r#"(component
    (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource)))))
    (alias export $streams "output-stream" (type $stream))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
        (alias outer 1 $stream (type $outer))
        (export "output-stream" (type $inner (eq $outer)))
        (export "get-stdout" (func (result (own $inner))))))
    (core func $get (canon lower (func $stdout "get-stdout")))
    (core module $m
        (import "" "get" (func $get (result i32)))
        (func (export "hold") (param $n i32)
            (loop
                (drop (call $get))
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
    (core instance $imports (export "get" (func $get)))
    (core instance $i (instantiate $m (with "" (instance $imports))))
    (func (export "hold") (param "n" u32) (canon lift (core func $i "hold"))))"#;

#[tokio::test]
async fn i3_an_instance_holds_as_many_handles_as_it_may() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let here = Arc::default();
        let holds = prepare(&engine, text(HOLDS), "holds", &here, |spec| spec.limits.handles = 100);
        let holds = holds.await.unwrap();
        let hold = holds.exports().find(None, "hold").unwrap();
        for (handles, fits) in [(99, true), (100, true), (101, false)] {
            let held =
                holds.begin().unwrap().call(hold, vec![Val::U32(handles)], CallContext::default()).await;
            assert_eq!(held.is_ok(), fits, "{handles} handles: {held:?}");
        }
        assert_eq!(holds.counts().trapped, 1);
    }
}

/// Logs a message of a number of bytes.
const LOGS: &str = r#"(component
    (import "wasi:logging/logging@0.1.0-draft" (instance $logging
        (type $l (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $l)))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
    (core module $memory (memory (export "memory") 8))
    (core instance $memory (instantiate $memory))
    (core func $log (canon lower (func $logging "log") (memory $memory "memory")))
    (core module $m
        (import "" "log" (func $log (param i32 i32 i32 i32 i32)))
        (func (export "log") (param $n i32)
            (call $log (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (local.get $n))))
    (core instance $imports (export "log" (func $log)))
    (core instance $i (instantiate $m (with "" (instance $imports))))
    (func (export "log") (param "n" u32) (canon lift (core func $i "log"))))"#;

#[tokio::test]
async fn i3_a_host_call_copies_as_many_bytes_as_it_may() {
    const KIB: u32 = 1 << 10;
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let here = Arc::default();
        let logs = prepare(&engine, text(LOGS), "logs", &here, |spec| {
            spec.limits.host_call_bytes = u64::from(64 * KIB);
        });
        let logs = logs.await.unwrap();
        let log = logs.exports().find(None, "log").unwrap();
        for (bytes, fits) in [(64 * KIB - 1, true), (64 * KIB, true), (64 * KIB + 1, false)] {
            let logged = logs.begin().unwrap().call(log, vec![Val::U32(bytes)], CallContext::default()).await;
            assert_eq!(logged.is_ok(), fits, "{bytes} bytes: {logged:?}");
        }
    }
}

fn upload(bytes: usize, announced: bool) -> Request<Body> {
    let body = if announced {
        body::full(vec![b'x'; bytes])
    } else {
        let frames = (0..bytes).map(|_| Ok(http_body::Frame::data(Bytes::from_static(b"x"))));
        StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
    };
    Request::post("/upload").header("host", "test.example").body(body).unwrap()
}

#[tokio::test]
async fn i3_the_body_of_a_request_may_have_as_many_bytes_as_its_limit() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let misbehave = alone(&engine, "misbehave-v1", |spec| spec.limits.request_body_bytes = 1_024).await;
        for announced in [true, false] {
            for bytes in [1_023, 1_024] {
                let response = request(&misbehave, upload(bytes, announced)).await.unwrap();
                let text = body::beginning(response.into_body(), 100).await.unwrap();
                assert_eq!(String::from_utf8(text).unwrap(), format!("got {bytes} bytes\n"));
            }
            let refused = request(&misbehave, upload(1_025, announced)).await.unwrap_err();
            assert!(matches!(&refused, CallError::TooLarge(text) if text.contains("1024")), "{refused:?}");
        }
        misbehave.idle().await;
        let counts = misbehave.counts();
        assert_eq!((counts.succeeded, counts.abandoned, counts.ended()), (4, 2, 6), "{counts:?}");
    }
}

#[tokio::test]
async fn i3_the_body_of_an_answer_may_have_as_many_bytes_as_its_limit() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let misbehave = alone(&engine, "misbehave-v1", |spec| spec.limits.response_body_bytes = 2_048).await;
        for more in [1_023, 1_024] {
            let (status, text) = answer(&misbehave, &format!("/body?kib=1&more={more}")).await.unwrap();
            assert_eq!((status, text.len()), (200, 1_024 + more));
        }
        let refused = answer(&misbehave, "/body?kib=1&more=1025").await.unwrap_err();
        assert!(matches!(&refused, CallError::Failed(text) if text.contains("2048")), "{refused:?}");
        misbehave.idle().await;
        let counts = misbehave.counts();
        assert_eq!((counts.succeeded, counts.ended() - counts.succeeded), (2, 1), "{counts:?}");
    }
}

#[tokio::test]
async fn xw09_more_memory_than_the_limit_at_start_is_refused() {
    for pooling in WAYS {
        let engine = engine_with(pooling);
        let hungry = text("(component (core module $m (memory 100)) (core instance (instantiate $m)))");
        let hungry =
            prepare(&engine, hungry, "hungry", &Arc::default(), |spec| spec.limits.memory_bytes = 2 * MIB)
                .await
                .unwrap();
        let error = hungry.try_start().await.unwrap_err();
        assert_eq!(error.reason, Reason::StartFailed);
        assert!(error.message.contains("2 MiB"), "{error}");
    }
}

#[tokio::test]
async fn xw09_too_many_memories_are_refused() {
    let engine = engine();
    let memories: String = (0..300).map(|_| "(core instance (instantiate $m))").collect();
    let many = text(&format!("(component (core module $m (memory 0)) {memories})"));
    let refused = match prepare(&engine, many, "many", &Arc::default(), |_| {}).await {
        Ok(prepared) => prepared.try_start().await.unwrap_err().reason,
        Err(error) => error.reason,
    };
    assert!(matches!(refused, Reason::StartFailed | Reason::CompileFailed), "{refused:?}");
}

#[tokio::test]
async fn xw10_a_trap_at_start_is_refused() {
    let engine = engine();
    let traps = alone(&engine, "misbehave-trap-at-start-v1", |_| {}).await;
    let error = traps.try_start().await.unwrap_err();
    assert_eq!(error.reason, Reason::StartFailed);
    assert!(error.message.contains("unreachable"), "{error}");
    alone(&engine, "misbehave-v1", |_| {}).await.try_start().await.unwrap();
}

#[tokio::test]
async fn xw10_a_loop_at_start_and_endless_recursion_are_stopped() {
    let engine = engine();
    let starts = |body: &str| {
        text(&format!(
            "(component (core module $m (func $f {body}) (start $f)) (core instance (instantiate $m)))"
        ))
    };
    for (body, told) in [("(loop (br 0))", "deadline"), ("call $f", "stack")] {
        let prepared = prepare(&engine, starts(body), "start", &Arc::default(), |spec| {
            spec.limits.invocation_deadline_ms = 100;
        })
        .await
        .unwrap();
        let error = prepared.try_start().await.unwrap_err();
        assert_eq!(error.reason, Reason::StartFailed);
        assert!(error.message.contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_host_with_little_memory_or_address_space_gets_an_engine_too() {
    for allocation in [Allocation::OnDemandSmall, Allocation::OnDemand, Allocation::Pool { instances: 16 }] {
        for tasks in [Tasks::One, Tasks::Many] {
            wasmtime::Engine::new(&pool::config(allocation, tasks))
                .unwrap_or_else(|error| panic!("{allocation} for {tasks:?}: {error:#}"));
        }
    }
}

#[tokio::test]
async fn the_machine_decides_when_nothing_else_does() {
    let engine = engine_with(Pooling::Auto);
    let hello = alone(&engine, "http-hello-v1", |_| {}).await;
    assert_eq!(answer(&hello, "/").await.unwrap().0, 200, "{}", engine.allocation());
}
