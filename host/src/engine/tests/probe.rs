//! What a component says of itself when it is asked, and what its calls say of it.

use std::time::Duration;

use lath_control_api::{Probe, Reason};

use super::*;
use crate::engine::probe::BAD_CALLS;

/// Gives true, three times false, and true again, as long as its instance is kept; and every other kind of answer.
const ANSWERS: &str = r#"(component
    (core module $m
        (global $calls (mut i32) (i32.const 0))
        (func (export "turns") (result i32)
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (i32.or (i32.lt_u (global.get $calls) (i32.const 2)) (i32.gt_u (global.get $calls) (i32.const 4))))
        (func (export "nothing"))
        (func (export "zero") (result i32) (i32.const 0))
        (func (export "one") (result i32) (i32.const 1))
        (func (export "takes") (param i32))
        (func (export "traps") (unreachable)))
    (core instance $i (instantiate $m))
    (func (export "turns") (result bool) (canon lift (core func $i "turns")))
    (func (export "nothing") (canon lift (core func $i "nothing")))
    (func (export "good") (result (result)) (canon lift (core func $i "zero")))
    (func (export "bad") (result (result)) (canon lift (core func $i "one")))
    (func (export "false") (result bool) (canon lift (core func $i "zero")))
    (func (export "number") (result u32) (canon lift (core func $i "one")))
    (func (export "takes") (param "n" u32) (canon lift (core func $i "takes")))
    (func (export "traps") (canon lift (core func $i "traps"))))"#;

fn call_of(function: &str) -> Probe {
    Probe {
        path: String::new(),
        timeout_ms: 5_000,
        attempts: 1,
        function: Some(function.into()),
        period_ms: Some(20),
        failures: Some(2),
    }
}

async fn answering() -> (Engine, Arc<Prepared>) {
    let (engine, here) = (engine(), Arc::default());
    let unit = prepare(&engine, text(ANSWERS), "answers", &here, |spec| {
        spec.instance_policy = InstancePolicy::Reuse { calls: 1_000 };
    });
    let unit = unit.await.unwrap();
    (engine, unit)
}

#[tokio::test]
async fn a_function_is_asked_and_its_answer_judged() {
    let (_engine, unit) = answering().await;
    for good in ["nothing", "good", "turns"] {
        unit.probe(&call_of(good)).await.unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for (bad, says) in [
        ("bad", "gives an error"),
        ("false", "gives false"),
        ("number", "neither a truth value nor a result"),
        ("takes", "takes parameters"),
        ("traps", "unreachable"),
        ("missing", "no such function"),
        ("demo:app/health@0.1.0.check", "no such function"),
    ] {
        let failed = unit.probe(&call_of(bad)).await.unwrap_err();
        assert_eq!(failed.reason, Reason::ProbeFailed);
        assert!(failed.message.contains(says) && failed.message.contains(bad), "{bad}: {failed}");
    }
    assert_eq!(unit.counts().started, 0);
}

#[tokio::test]
async fn bad_answers_in_a_row_make_it_ail_until_a_good_one() {
    let (_engine, unit) = answering().await;
    let asking = {
        let unit = Arc::clone(&unit);
        tokio::spawn(async move { unit.keep_asking(&call_of("turns")).await })
    };
    let until = async |ails: bool| {
        let wait = async {
            while unit.ails().is_some() != ails {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    };
    until(true).await;
    let (reason, message) = unit.ails().unwrap_or((Reason::AsAsked, String::new()));
    // It may be well again by now: what counts is that it ailed and for what.
    assert!(reason == Reason::AsAsked || message.contains("turns"), "{message}");
    until(false).await;
    asking.abort();
}

#[tokio::test]
async fn xw21_traps_in_a_row_make_it_ail_until_a_call_is_answered() {
    let engine = engine();
    let misbehave = alone(&engine, "misbehave-v1", |_| {}).await;
    for _ in 1..BAD_CALLS {
        answer(&misbehave, "/trap").await.unwrap_err();
        assert_eq!(misbehave.ails(), None);
    }
    answer(&misbehave, "/trap").await.unwrap_err();
    assert_eq!(misbehave.ails().unwrap().0, Reason::CallsFail);
    assert_eq!(answer(&misbehave, "/status/500").await.unwrap().0, 500);
    assert_eq!(misbehave.ails(), None);
}
