//! What may be imported, and what a refusal says.

use lath_control_api::Reason;

use super::*;

async fn refused(bytes: Bytes, change: impl FnOnce(&mut ComponentSpec)) -> String {
    let engine = engine_with(Pooling::Off);
    let error = prepare(&engine, bytes, "refused", &Arc::default(), change).await.unwrap_err();
    assert_eq!(error.reason, Reason::ImportUnsatisfied, "{error}");
    error.message
}

#[tokio::test]
async fn xw11_a_missing_import_is_named_with_what_would_provide_it() {
    let message = refused(guest("needs-missing-v1"), |_| {}).await;
    for part in ["lath:demo/absent@0.1.0", "`link`", "namespace `lath`", "package `demo`", "`absent`"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

/// What would provide an import: a builtin where there is one, and an interface that a link leaves out.
#[tokio::test]
async fn xw11_a_missing_import_is_told_what_provides_it() {
    let import =
        |name: &str| text(&format!(r#"(component (import "{name}" (instance (export "f" (func)))))"#));
    for (name, parts) in [
        ("wasi:keyvalue/watcher@0.2.0-draft", ["builtin://keyvalue-nats", "package `keyvalue`"]),
        ("wasi:blobstore/container@0.2.0-draft", ["is a provider of objects", "package `blobstore`"]),
        ("acme:shop/cart@1.2.3", ["acme:shop/cart@1.2.3", "namespace `acme`"]),
        ("wasi:http/handler@0.3.0", ["wasi:http/handler@0.3.0", "interfaces [`handler`]"]),
    ] {
        let message = refused(import(name), |_| {}).await;
        for part in parts {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }
    let message = refused(import("lath:demo/oracle@0.1.0"), |spec| spec.links.push(greeter_link())).await;
    for part in ["lath:demo/oracle@0.1.0", "the `link` to `greeter` carries [greeter]", "add `oracle`"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[tokio::test]
async fn a_link_satisfies_the_import() {
    let engine = engine_with(Pooling::Off);
    let bytes = guest("needs-missing-v1");
    prepare(&engine, bytes, "linked", &Arc::default(), |spec| spec.links.push(demo_link("absent", "oracle")))
        .await
        .unwrap();
}

#[tokio::test]
async fn xw11_a_version_that_the_host_does_not_have_is_named_with_the_one_it_has() {
    let other = text(
        r#"(component (import "wasi:random/random@0.4.0" (instance (export "get" (func (result u64))))))"#,
    );
    let message = refused(other, |_| {}).await;
    assert!(message.contains("wasi:random/random@0.4.0") && message.contains("0.2.x and 0.3.x"), "{message}");
}

#[tokio::test]
async fn xw11_an_import_of_another_type_is_refused() {
    let other = text(
        r#"(component (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (param "n" u8))))))"#,
    );
    let message = refused(other, |_| {}).await;
    assert!(message.contains("get-random-u64"), "{message}");
}

#[tokio::test]
async fn every_missing_import_is_named_at_once() {
    let many: String =
        (0..13).map(|n| format!(r#"(import "a:b/i{n}@0.1.0" (instance (export "f" (func))))"#)).collect();
    let message = refused(text(&format!("(component {many})")), |_| {}).await;
    assert!(message.contains("a:b/i0@") && message.contains("a:b/i9@"), "{message}");
    assert!(!message.contains("a:b/i10@") && message.contains("and 3 more"), "{message}");
}

#[tokio::test]
async fn an_interface_of_types_needs_nobody() {
    let engine = engine_with(Pooling::Off);
    let types = text(
        r#"(component (import "lath:demo/types@0.1.0" (instance
            (type $p (record (field "x" u32)))
            (export "point" (type (eq $p))))))"#,
    );
    let prepared = prepare(&engine, types, "types", &Arc::default(), |_| {}).await.unwrap();
    prepared.try_start().await.unwrap();
}

/// Asks the 1.x interface for a setting, and logs.
const LEGACY: &str = r#"(component
    (import "wasi:config/runtime@0.2.0-draft" (instance $config
        (type $error (variant (case "upstream" string) (case "io" string)))
        (export "config-error" (type $e (eq $error)))
        (export "get" (func (param "key" string) (result (result (option string) (error $e)))))
        (type $entries (list (tuple string string)))
        (export "get-all" (func (result (result $entries (error $e)))))))
    (import "wasi:logging/logging" (instance $logging
        (type $levels (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $levels)))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
    (core module $memory
        (memory (export "memory") 1)
        (data (i32.const 16) "word")
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (core func $get (canon lower (func $config "get")
        (memory $memory "memory") (realloc (func $memory "realloc"))))
    (core func $log (canon lower (func $logging "log") (memory $memory "memory")))
    (core module $m
        (import "host" "memory" (memory 1))
        (import "host" "get" (func $get (param i32 i32 i32)))
        (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
        (func (export "ask") (result i32)
            (call $log (i32.const 3) (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4))
            (call $get (i32.const 16) (i32.const 4) (i32.const 64))
            i32.const 64))
    (core instance $host
        (export "memory" (memory $memory "memory"))
        (export "get" (func $get))
        (export "log" (func $log)))
    (core instance $i (instantiate $m (with "host" (instance $host))))
    (type $error (variant (case "upstream" string) (case "io" string)))
    (export $e "config-error" (type $error))
    (func $ask (result (result (option string) (error $e)))
        (canon lift (core func $i "ask") (memory $memory "memory")))
    (export "ask" (func $ask)))"#;

#[tokio::test]
async fn interfaces_of_the_1x_world_are_there() {
    let engine = engine_with(Pooling::Off);
    let legacy = prepare(&engine, text(LEGACY), "legacy", &Arc::default(), |spec| {
        spec.config.insert("word".into(), "kept".into());
    })
    .await
    .unwrap();
    let ask = legacy.exports().find(None, "ask").unwrap();
    let results = legacy.begin().unwrap().call(ask, vec![], CallContext::default()).await.unwrap();
    let found = Val::Option(Some(Box::new(Val::String("kept".into()))));
    assert_eq!(results, vec![Val::Result(Ok(Some(Box::new(found))))]);
}
