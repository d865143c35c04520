//! What a guest sees of the outside: nothing that was not granted.

use super::*;

/// Gives its environment, how many arguments and directories it was given, and ends itself on request.
const CURIOUS: &str = r#"(component
    (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
    (import "wasi:cli/environment@0.2.0" (instance $environment
        (export "get-environment" (func (result (list (tuple string string)))))
        (export "get-arguments" (func (result (list string))))))
    (import "wasi:filesystem/types@0.2.0" (instance $files (export "descriptor" (type (sub resource)))))
    (alias export $files "descriptor" (type $descriptor))
    (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
        (alias outer 1 $descriptor (type $outer))
        (export "descriptor" (type $d (eq $outer)))
        (export "get-directories" (func (result (list (tuple (own $d) string)))))))
    (core module $memory
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (core func $exit (canon lower (func $exit "exit")))
    (core func $env (canon lower (func $environment "get-environment")
        (memory $memory "memory") (realloc (func $memory "realloc"))))
    (core func $args (canon lower (func $environment "get-arguments")
        (memory $memory "memory") (realloc (func $memory "realloc"))))
    (core func $dirs (canon lower (func $preopens "get-directories")
        (memory $memory "memory") (realloc (func $memory "realloc"))))
    (core module $m
        (import "host" "memory" (memory 1))
        (import "host" "exit" (func $exit (param i32)))
        (import "host" "env" (func $env (param i32)))
        (import "host" "args" (func $args (param i32)))
        (import "host" "dirs" (func $dirs (param i32)))
        (func (export "leave") (param i32) (call $exit (local.get 0)))
        (func (export "environment") (result i32) (call $env (i32.const 16)) (i32.const 16))
        (func (export "count") (result i32)
            (call $args (i32.const 16))
            (call $dirs (i32.const 32))
            (i32.add (i32.load (i32.const 20)) (i32.load (i32.const 36)))))
    (core instance $host
        (export "memory" (memory $memory "memory"))
        (export "exit" (func $exit))
        (export "env" (func $env))
        (export "args" (func $args))
        (export "dirs" (func $dirs)))
    (core instance $i (instantiate $m (with "host" (instance $host))))
    (func (export "leave") (param "status" u32) (canon lift (core func $i "leave")))
    (func (export "environment") (result (list (tuple string string)))
        (canon lift (core func $i "environment") (memory $memory "memory")))
    (func (export "arguments-and-directories") (result u32) (canon lift (core func $i "count"))))"#;

async fn curious(change: impl FnOnce(&mut ComponentSpec)) -> Arc<Prepared> {
    let engine = engine_with(Pooling::Off);
    prepare(&engine, text(CURIOUS), "curious", &Arc::default(), change).await.unwrap()
}

async fn ask(prepared: &Arc<Prepared>, function: &str, params: Vec<Val>) -> Result<Vec<Val>, CallError> {
    let function = prepared.exports().find(None, function).unwrap();
    prepared.begin().unwrap().call(function, params, CallContext::default()).await
}

#[tokio::test]
async fn k4_a_guest_sees_the_granted_environment_and_nothing_else() {
    let bare = curious(|_| {}).await;
    assert_eq!(ask(&bare, "environment", vec![]).await.unwrap(), vec![Val::List(vec![])]);
    assert_eq!(ask(&bare, "arguments-and-directories", vec![]).await.unwrap(), vec![Val::U32(0)]);
    let granted = curious(|spec| {
        spec.grants.env.insert("COLOUR".into(), "green".into());
    })
    .await;
    let pair = Val::Tuple(vec![Val::String("COLOUR".into()), Val::String("green".into())]);
    assert_eq!(ask(&granted, "environment", vec![]).await.unwrap(), vec![Val::List(vec![pair])]);
}

#[tokio::test]
async fn xw22_exit_ends_the_call_and_nothing_else() {
    let curious = curious(|_| {}).await;
    for status in [0, 1] {
        let ended = ask(&curious, "leave", vec![Val::U32(status)]).await.unwrap_err();
        assert!(matches!(&ended, CallError::Trap(text) if text.contains("exit")), "{ended:?}");
    }
    ask(&curious, "environment", vec![]).await.unwrap();
}
