//! Memory limits and faults at start, with every way of allocation.

use lath_control_api::Reason;

use super::*;

const WAYS: [Pooling; 2] = [Pooling::On { instances: 8 }, Pooling::Off];
const MIB: u64 = 1 << 20;

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
        wasmtime::Engine::new(&pool::config(allocation))
            .unwrap_or_else(|error| panic!("{allocation}: {error:#}"));
    }
}

#[tokio::test]
async fn the_machine_decides_when_nothing_else_does() {
    let engine = engine_with(Pooling::Auto);
    let hello = alone(&engine, "http-hello-v1", |_| {}).await;
    assert_eq!(answer(&hello, "/").await.unwrap().0, 200, "{}", engine.allocation());
}
