//! Bytes over links, which pass whole: what comes back, what fails, and what a call to another host is given.

use super::calls::GREETER;
use super::*;

const INTERFACE: &str = "lath:demo/bytes@0.1.0";

/// Memory that is only taken, and never given back: an instance serves one call.
const MEMORY: &str = r#"
  (core module $memory
    (memory (export "memory") 8)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $memory (instantiate $memory))"#;

/// Gives bytes back with every bit turned round; traps when there are none.
fn turner() -> Bytes {
    text(&format!(
        r#"(component {MEMORY}
  (core module $turn
    (import "host" "memory" (memory 1))
    (func (export "turn") (param $from i32) (param $length i32) (result i32)
      (local $at i32)
      (if (i32.eqz (local.get $length)) (then unreachable))
      (loop $each
        (i32.store8
          (i32.add (local.get $from) (local.get $at))
          (i32.xor (i32.load8_u (i32.add (local.get $from) (local.get $at))) (i32.const 255)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $each (i32.lt_u (local.get $at) (local.get $length))))
      (i32.store (i32.const 16) (local.get $from))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 16)))
  (core instance $turn (instantiate $turn (with "host" (instance (export "memory" (memory $memory "memory"))))))
  (func $turned (param "value" (list u8)) (result (list u8))
    (canon lift (core func $turn "turn") (memory $memory "memory") (realloc (func $memory "realloc"))))
  (instance (export "{INTERFACE}") (export "turn" (func $turned))))"#
    ))
}

/// Passes what it gets to the linked `turn`, and gives back what comes.
fn front() -> Bytes {
    text(&format!(
        r#"(component
  (import "{INTERFACE}" (instance $bytes
    (export "turn" (func (param "value" (list u8)) (result (list u8))))))
  {MEMORY}
  (core func $import (canon lower (func $bytes "turn")
    (memory $memory "memory") (realloc (func $memory "realloc"))))
  (core module $pass
    (import "host" "turn" (func $turn (param i32 i32 i32)))
    (func (export "turn") (param i32 i32) (result i32)
      (call $turn (local.get 0) (local.get 1) (i32.const 16))
      (i32.const 16)))
  (core instance $host (export "turn" (func $import)))
  (core instance $pass (instantiate $pass (with "host" (instance $host))))
  (func (export "turn") (param "value" (list u8)) (result (list u8))
    (canon lift (core func $pass "turn") (memory $memory "memory") (realloc (func $memory "realloc")))))"#
    ))
}

async fn front_and_turner(engine: &Engine, here: &Arc<Here>) -> (Arc<Prepared>, Arc<Prepared>) {
    let turner = prepare(engine, turner(), "turner", here, |_| {}).await.unwrap();
    here.add(&turner);
    let link = demo_link("bytes", "turner");
    let front = prepare(engine, front(), "front", here, |spec| spec.links.push(link)).await.unwrap();
    (front, turner)
}

async fn turn(front: &Arc<Prepared>, bytes: &[u8]) -> Result<Vec<u8>, CallError> {
    let function = front.exports().find(None, "turn").unwrap();
    let value = Val::List(bytes.iter().copied().map(Val::U8).collect());
    let results = front.begin().unwrap().call(function, vec![value], CallContext::default()).await?;
    let [Val::List(items)] = results.as_slice() else { panic!("{results:?}") };
    let byte = |item: &Val| if let Val::U8(byte) = item { *byte } else { panic!("{item:?}") };
    Ok(items.iter().map(byte).collect())
}

#[tokio::test]
async fn bytes_come_back_as_the_target_gave_them() {
    let (engine, here) = (engine(), Arc::default());
    let (front, turner) = front_and_turner(&engine, &here).await;
    for length in [1_usize, 255, 64 << 10] {
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        let turned: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        assert_eq!(turn(&front, &bytes).await.unwrap(), turned, "{length} bytes");
    }
    assert_eq!((turner.counts().succeeded, turner.in_flight()), (3, 0));
    assert!(typed_way(&front), "bytes go value by value");
}

/// Whether the import of the component is one whose values pass whole.
fn typed_way(front: &Prepared) -> bool {
    let function = front.exports().find(None, "turn").unwrap();
    typed::way(&front.exports().get(function).unwrap().types).is_some()
}

#[tokio::test]
async fn a_target_that_traps_is_named() {
    let (engine, here) = (engine(), Arc::default());
    let (front, turner) = front_and_turner(&engine, &here).await;
    let error = turn(&front, &[]).await.unwrap_err().to_string();
    assert!(error.contains("shop-turner") && error.contains("unreachable"), "{error}");
    assert_eq!(turner.counts().trapped, 1);
}

#[tokio::test]
async fn a_target_of_another_type_is_refused() {
    let (engine, here) = (engine(), Arc::<Here>::default());
    let (front, _) = front_and_turner(&engine, &here).await;
    let other = text(&format!(
        r#"(component
  (core module $code (func (export "turn") (param i32) (result i32) (local.get 0)))
  (core instance $code (instantiate $code))
  (func $turned (param "value" u32) (result u32) (canon lift (core func $code "turn")))
  (instance (export "{INTERFACE}") (export "turn" (func $turned))))"#
    ));
    here.add(&prepare(&engine, other, "turner", &here, |_| {}).await.unwrap());
    let error = turn(&front, &[1]).await.unwrap_err().to_string();
    assert!(error.contains("with other types than its caller"), "{error}");
}

#[tokio::test]
async fn another_host_is_given_the_bytes() {
    let (engine, here) = (engine(), Arc::<Here>::default());
    let (front, turner) = front_and_turner(&engine, &here).await;
    turner.close();
    *here.elsewhere.lock().unwrap() = Some(Ok(Bytes::from_static(&[2, 9, 8])));
    assert_eq!(turn(&front, &[1, 2, 3]).await.unwrap(), [9, 8]);
    assert_eq!(*here.asked.lock().unwrap(), [format!("shop-turner {INTERFACE}.turn for shop@1")]);
    *here.elsewhere.lock().unwrap() = Some(Ok(Bytes::from_static(&[2, 9, 8, 7])));
    let error = turn(&front, &[1]).await.unwrap_err().to_string();
    assert!(error.contains("other types"), "{error}");
}

#[tokio::test]
async fn a_call_from_another_host_is_answered_with_bytes() {
    let engine = engine();
    let turner = prepare(&engine, turner(), "turner", &Arc::default(), |_| {}).await.unwrap();
    let turn = turner.exports().find(Some(INTERFACE), "turn").unwrap();
    let call = async |params: &[u8]| {
        turner.begin().unwrap().call_encoded(turn, params, CallContext::default()).await
    };
    assert_eq!(call(&[3, 0, 1, 255]).await.unwrap(), [3, 255, 254, 0].as_slice());
    let bytes: Vec<u8> = (0..=250).cycle().take(64 << 10).collect();
    let types = &turner.exports().get(turn).unwrap().types;
    let value = |bytes: &[u8]| [Val::List(bytes.iter().copied().map(Val::U8).collect())];
    let params = lath_wrpc::codec::encode(&value(&bytes), &types.params).unwrap();
    let turned: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    let results = lath_wrpc::codec::encode(&value(&turned), &types.results).unwrap();
    assert!(call(&params).await.unwrap() == results, "another answer than value by value");
    for wrong in [&[3, 0, 1][..], &[], &[1, 1, 1]] {
        assert!(matches!(call(wrong).await, Err(Unanswered::Params(_))), "{wrong:?}");
    }
    assert!(matches!(call(&[0]).await, Err(Unanswered::Call(CallError::Trap(_)))));
    assert_eq!((turner.counts().succeeded, turner.counts().trapped, turner.in_flight()), (2, 1, 0));
}

#[tokio::test]
async fn signatures_without_bytes_go_by_values() {
    let engine = engine();
    let greeter = alone(&engine, "greeter-v1", |_| {}).await;
    let greet = greeter.exports().find(Some(GREETER), "greet").unwrap();
    assert!(typed::way(&greeter.exports().get(greet).unwrap().types).is_none());
}
