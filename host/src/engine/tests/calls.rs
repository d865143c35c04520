//! Functions called with values, directly and over links.

use std::time::Duration;

use lath_control_api::Limits;

use super::*;

pub(super) const GREETER: &str = "lath:demo/greeter@0.1.0";

fn word(word: &str) -> Val {
    Val::String(word.into())
}

async fn front_and_greeter(engine: &Engine, here: &Arc<Here>) -> (Arc<Prepared>, Arc<Prepared>) {
    let greeter = prepare(engine, guest("greeter-v1"), "greeter", here, |spec| {
        spec.config.insert("word".into(), "Welcome".into());
    })
    .await
    .unwrap();
    here.add(&greeter);
    let front =
        prepare(engine, guest("http-front-v1"), "front", here, |spec| spec.links.push(greeter_link()))
            .await
            .unwrap();
    (front, greeter)
}

#[tokio::test]
async fn a_function_is_found_and_called() {
    let engine = engine();
    let greeter = alone(&engine, "greeter-v1", |_| {}).await;
    let greet = greeter.exports().find(Some(GREETER), "greet").unwrap();
    let results =
        greeter.begin().unwrap().call(greet, vec![word("Ada")], CallContext::default()).await.unwrap();
    let [Val::Result(Ok(Some(greeting)))] = results.as_slice() else { panic!("{results:?}") };
    let Val::Record(fields) = &**greeting else { panic!("{greeting:?}") };
    assert_eq!(fields[0], ("text".into(), word("Hello, Ada")));
    // An error of the function's own is a value, not a failure.
    let results = greeter.begin().unwrap().call(greet, vec![word("")], CallContext::default()).await.unwrap();
    assert!(matches!(results.as_slice(), [Val::Result(Err(Some(_)))]), "{results:?}");
    assert_eq!(greeter.counts().succeeded, 2);
}

#[tokio::test]
async fn a_compatible_version_of_an_interface_is_found() {
    let engine = engine();
    let greeter = alone(&engine, "greeter-v1", |_| {}).await;
    let exports = greeter.exports();
    assert_eq!(exports.find(Some("lath:demo/greeter@0.1.9"), "greet"), exports.find(Some(GREETER), "greet"));
    assert_eq!(exports.find(Some("lath:demo/greeter@0.2.0"), "greet"), None);
    assert_eq!(exports.find(Some(GREETER), "nothing"), None);
}

#[tokio::test]
async fn wrong_values_are_an_error_and_no_panic() {
    let engine = engine();
    let greeter = alone(&engine, "greeter-v1", |_| {}).await;
    let greet = greeter.exports().find(Some(GREETER), "greet").unwrap();
    for params in [vec![], vec![Val::U8(1)], vec![word("a"), word("b")]] {
        greeter.begin().unwrap().call(greet, params, CallContext::default()).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_linked_call_is_answered_in_process() {
    let (engine, here) = (engine(), Arc::default());
    let (front, greeter) = front_and_greeter(&engine, &here).await;
    let (status, text) = answer(&front, "/greet?name=Ada").await.unwrap();
    assert_eq!(status, 200, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["text"], "Welcome, Ada");
    assert_eq!(greeter.counts().succeeded, 1);
    assert_eq!(greeter.in_flight(), 0);
}

#[tokio::test]
async fn a_linked_call_goes_elsewhere_when_the_target_is_not_here() {
    let (engine, here) = (engine(), Arc::<Here>::default());
    let (front, greeter) = front_and_greeter(&engine, &here).await;
    greeter.close();
    // `ok({ text: "from afar", version: "9" })`.
    *here.elsewhere.lock().unwrap() = Some(Ok(Bytes::from_static(b"\x00\x09from afar\x019")));
    let (status, text) = answer(&front, "/greet?name=Ada").await.unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("from afar"), "{text}");
    assert_eq!(*here.asked.lock().unwrap(), ["shop-greeter lath:demo/greeter@0.1.0.greet for shop@1"]);
}

#[tokio::test]
async fn a_failed_linked_call_traps_the_caller_and_names_the_cause() {
    let (engine, here) = (engine(), Arc::<Here>::default());
    let (front, greeter) = front_and_greeter(&engine, &here).await;
    greeter.close();
    let failed = answer(&front, "/greet?name=Ada").await.unwrap_err();
    let CallError::Target(text) = &failed else { panic!("{failed:?}") };
    assert!(
        text.contains("shop-greeter") && text.contains("greet") && text.contains("nobody is there"),
        "{text}"
    );
    // An answer without results does no harm either.
    *here.elsewhere.lock().unwrap() = Some(Ok(Bytes::new()));
    assert!(matches!(answer(&front, "/greet?name=Ada").await, Err(CallError::Target(_))));
    // Nor do results of another type.
    *here.elsewhere.lock().unwrap() = Some(Ok(Bytes::from_static(&[7])));
    answer(&front, "/greet?name=Ada").await.unwrap_err();
    assert_eq!(answer(&front, "/healthz").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_target_with_other_types_is_an_error_and_no_panic() {
    let (engine, here) = (engine(), Arc::<Here>::default());
    let (front, _) = front_and_greeter(&engine, &here).await;
    let other = text(
        r#"(component
            (core module $m (func (export "greet") (param i32) (result i32) local.get 0))
            (core instance $i (instantiate $m))
            (func $greet (param "name" u32) (result u32) (canon lift (core func $i "greet")))
            (instance $greeter (export "greet" (func $greet)))
            (export "lath:demo/greeter@0.1.0" (instance $greeter)))"#,
    );
    let other = prepare(&engine, other, "greeter", &here, |_| {}).await.unwrap();
    here.add(&other);
    let failed = answer(&front, "/greet?name=Ada").await.unwrap_err();
    assert!(matches!(&failed, CallError::Target(text) if text.contains("other types")), "{failed:?}");
}

/// Calls itself through a link without end.
pub(super) const CIRCLE: &str = r#"(component
    (import "lath:demo/circle@0.1.0" (instance $next (export "turn" (func (param "n" u32) (result u32)))))
    (core func $turn (canon lower (func $next "turn")))
    (core module $m
        (import "next" "turn" (func $turn (param i32) (result i32)))
        (func (export "turn") (param i32) (result i32)
            local.get 0 i32.const 1 i32.add call $turn))
    (core instance $next (export "turn" (func $turn)))
    (core instance $i (instantiate $m (with "next" (instance $next))))
    (func $around (param "n" u32) (result u32) (canon lift (core func $i "turn")))
    (instance $circle (export "turn" (func $around)))
    (export "lath:demo/circle@0.1.0" (instance $circle)))"#;

#[tokio::test]
async fn a_circle_of_links_ends_in_an_error() {
    for pooling in [Pooling::On { instances: 512 }, Pooling::Off] {
        let (engine, here) = (engine_with(pooling), Arc::<Here>::default());
        let circle = prepare(&engine, text(CIRCLE), "circle", &here, |spec| {
            spec.max_instances = 100;
            spec.links.push(demo_link("circle", "circle"));
        })
        .await
        .unwrap();
        here.add(&circle);
        let turn = circle.exports().find(Some("lath:demo/circle@0.1.0"), "turn").unwrap();
        let failed =
            circle.begin().unwrap().call(turn, vec![Val::U32(0)], CallContext::default()).await.unwrap_err();
        assert!(matches!(&failed, CallError::Target(text) if text.contains("circle")), "{failed:?}");
        assert_eq!(circle.counts().started, u64::from(MAX_HOPS) + 1);
        here.components.lock().unwrap().clear();
    }
}

/// Answers the circle's calls by never answering.
pub(super) const ENDLESS: &str = r#"(component
    (core module $m (func (export "turn") (param i32) (result i32) (loop (br 0)) unreachable))
    (core instance $i (instantiate $m))
    (func $turn (param "n" u32) (result u32) (canon lift (core func $i "turn")))
    (instance $circle (export "turn" (func $turn)))
    (export "lath:demo/circle@0.1.0" (instance $circle)))"#;

async fn caller_and_endless(engine: &Engine) -> (Arc<Prepared>, Arc<Prepared>, ExportedFunctionId) {
    let here = Arc::<Here>::default();
    let endless = prepare(engine, text(ENDLESS), "endless", &here, |_| {}).await.unwrap();
    here.add(&endless);
    let link = demo_link("circle", "endless");
    let caller = prepare(engine, text(CIRCLE), "caller", &here, |spec| spec.links.push(link)).await.unwrap();
    let turn = caller.exports().find(Some("lath:demo/circle@0.1.0"), "turn").unwrap();
    (caller, endless, turn)
}

#[tokio::test]
async fn k2_the_callers_deadline_ends_the_callee() {
    let engine = engine();
    let (caller, endless, turn) = caller_and_endless(&engine).await;
    let ctx = CallContext::within(Duration::from_millis(200));
    let call = caller.begin().unwrap().call(turn, vec![Val::U32(0)], ctx);
    let ended = tokio::time::timeout(Duration::from_secs(20), call).await.unwrap();
    assert_eq!(ended.unwrap_err(), CallError::DeadlineExceeded);
    assert_eq!((caller.in_flight(), endless.in_flight()), (0, 0));
    assert_eq!((caller.counts().timed_out, endless.counts().timed_out), (1, 1));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_abandoned_and_its_linked_call_too() {
    let engine = engine();
    let (caller, endless, turn) = caller_and_endless(&engine).await;
    let call = caller.begin().unwrap().call(turn, vec![Val::U32(0)], CallContext::default());
    tokio::time::timeout(Duration::from_millis(200), call).await.unwrap_err();
    for prepared in [&caller, &endless] {
        // It computes, so it may be on another thread, which learns of it a moment later.
        tokio::time::timeout(Duration::from_secs(20), prepared.idle()).await.unwrap();
        let counts = prepared.counts();
        assert_eq!((counts.started, counts.abandoned, counts.in_flight), (1, 1, 0), "{counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_is_stopped_fails_its_callers() {
    let engine = engine();
    let (caller, endless, turn) = caller_and_endless(&engine).await;
    let call = caller.begin().unwrap().call(turn, vec![Val::U32(0)], CallContext::default());
    let call = tokio::spawn(call);
    while endless.counts().started == 0 {
        tokio::task::yield_now().await;
    }
    endless.abort();
    let ended = tokio::time::timeout(Duration::from_secs(20), call).await.unwrap().unwrap();
    assert!(matches!(&ended, Err(CallError::Target(text)) if text.contains("stopped")), "{ended:?}");
}

/// Takes and gives what the greeter's `shapes` does, so that every type goes over a link once.
pub(super) fn shapes_front() -> Bytes {
    text(include_str!("shapes.wat"))
}

#[tokio::test]
async fn every_type_of_value_is_carried_over_a_link() {
    let (engine, here) = (engine(), Arc::<Here>::default());
    let (_, greeter) = front_and_greeter(&engine, &here).await;
    let front = prepare(&engine, shapes_front(), "shapes", &here, |spec| {
        spec.links.push(greeter_link());
        spec.limits = Limits { memory_bytes: 2 << 20, ..Limits::default() };
    })
    .await
    .unwrap();
    let direct = greeter.exports().find(Some(GREETER), "shapes").unwrap();
    let linked = front.exports().find(None, "shapes").unwrap();
    let params = values::params();
    let straight =
        greeter.begin().unwrap().call(direct, params.clone(), CallContext::default()).await.unwrap();
    let through = front.begin().unwrap().call(linked, params.clone(), CallContext::default()).await.unwrap();
    assert_eq!(straight, through);
    assert_ne!(through, vec![Val::Tuple(params)], "everything was changed on the way");
}

pub(super) mod values {
    //! One value of each type of the greeter's `shapes`.

    use super::*;

    fn some(value: Val) -> Option<Box<Val>> {
        Some(Box::new(value))
    }

    fn record(fields: &[(&str, Val)]) -> Val {
        Val::Record(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn point(x: i32, y: i32) -> Val {
        record(&[("x", Val::S32(x)), ("y", Val::S32(y))])
    }

    fn numbers() -> Val {
        record(&[
            ("tiny", Val::U8(u8::MAX)),
            ("small", Val::U16(2)),
            ("medium", Val::U32(u32::MAX)),
            ("large", Val::U64(4)),
            ("signed-tiny", Val::S8(i8::MIN)),
            ("signed-small", Val::S16(-6)),
            ("signed-medium", Val::S32(i32::MAX)),
            ("signed-large", Val::S64(i64::MIN)),
            ("single", Val::Float32(1.5)),
            ("double", Val::Float64(-0.25)),
        ])
    }

    fn specimen() -> Val {
        let words = |words: &[&str]| Val::List(words.iter().map(|text| word(text)).collect());
        record(&[
            ("yes", Val::Bool(true)),
            ("numbers", numbers()),
            ("letter", Val::Char('é')),
            ("text", word("wörd")),
            ("bytes", Val::List([0, 1, 255].map(Val::U8).to_vec())),
            ("words", Val::List(vec![words(&["a", ""]), words(&[]), words(&["bc"])])),
            ("pair", Val::Tuple(vec![Val::U8(7), word("pair")])),
            ("maybe", Val::Option(some(Val::Option(None)))),
            ("colour", Val::Enum("blue".into())),
            ("marks", Val::Flags(vec!["bold".into(), "struck".into()])),
            ("shape", Val::Variant("polygon".into(), some(Val::List(vec![point(1, -1), point(2, 3)])))),
            ("outcome", Val::Result(Ok(some(Val::U32(9))))),
            ("verdict", Val::Result(Err(some(Val::Enum("red".into()))))),
            ("ended", Val::Result(Ok(None))),
        ])
    }

    pub(in super::super) fn params() -> Vec<Val> {
        let label = Val::Tuple(vec![word("l"), Val::Option(some(Val::Char('z')))]);
        let shapes = vec![
            Val::Variant("dot".into(), None),
            Val::Variant("circle".into(), some(Val::Float64(2.5))),
            Val::Variant("label".into(), some(label)),
        ];
        vec![specimen(), Val::List(shapes), Val::Option(some(word("note")))]
    }
}
