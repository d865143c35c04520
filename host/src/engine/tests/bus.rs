//! Components that choose among their links by `wasmcloud:bus`: two targets under two names.

use lath_control_api::{ProviderTarget, Reason};

use super::*;

const PRICE: &str = "acme:shop/price";

/// Has a call go over the link of a name. Its function `price` gives what the target of `acme:shop/price` says then;
/// `told` only what came of the choice.
fn asker(version: &str) -> Bytes {
    // In 1.x nothing is told.
    let [ty, core, more] = if version.starts_with('1') {
        ["", "", ""]
    } else {
        ["(result (result (error string)))", "i32", "(i32.const 128)"]
    };
    text(&format!(
        r#"(component
    (import "wasmcloud:bus/lattice@{version}" (instance $bus
        (export "call-target-interface" (type $target (sub resource)))
        (export "[constructor]call-target-interface" (func
            (param "namespace" string) (param "package" string) (param "interface" string)
            (result (own $target))))
        (export "set-link-name" (func
            (param "name" string) (param "interfaces" (list (own $target))) {ty}))))
    (import "{PRICE}@0.1.0" (instance $price (export "of" (func (result u32)))))
    (core module $memory
        (memory (export "memory") 1)
        (data (i32.const 16) "acmeshop")
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (core func $new (canon lower (func $bus "[constructor]call-target-interface")
        (memory $memory "memory")))
    (core func $set (canon lower (func $bus "set-link-name")
        (memory $memory "memory") (realloc (func $memory "realloc"))))
    (core func $of (canon lower (func $price "of")))
    (core module $m
        (import "host" "memory" (memory 1))
        (import "host" "new" (func $new (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "host" "set" (func $set (param i32 i32 i32 i32 {core})))
        (import "host" "of" (func $of (result i32)))
        (func $told (export "told") (param i32 i32 i32 i32) (result i32)
            (i32.store (i32.const 64)
                (call $new (i32.const 16) (i32.const 4) (i32.const 20) (i32.const 4)
                    (local.get 0) (local.get 1)))
            (call $set (local.get 2) (local.get 3) (i32.const 64) (i32.const 1) {more})
            (i32.const 128))
        (func (export "price") (param i32 i32 i32 i32) (result i32)
            (drop (call $told (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
            (call $of)))
    (core instance $host
        (export "memory" (memory $memory "memory"))
        (export "new" (func $new))
        (export "set" (func $set))
        (export "of" (func $of)))
    (core instance $i (instantiate $m (with "host" (instance $host))))
    (func (export "told") (param "interface" string) (param "link" string) (result (result (error string)))
        (canon lift (core func $i "told") (memory $memory "memory") (realloc (func $memory "realloc"))))
    (func (export "price") (param "interface" string) (param "link" string) (result u32)
        (canon lift (core func $i "price") (memory $memory "memory") (realloc (func $memory "realloc"))))
    (func (export "usual") (result u32)
        (canon lift (core func $of))))"#
    ))
}

fn seller(price: u32) -> Bytes {
    text(&format!(
        r#"(component
    (core module $m (func (export "of") (result i32) (i32.const {price})))
    (core instance $i (instantiate $m))
    (func $of (result u32) (canon lift (core func $i "of")))
    (instance $price (export "of" (func $of)))
    (export "{PRICE}@0.1.0" (instance $price)))"#
    ))
}

fn named(name: &str, link: LinkSpec) -> LinkSpec {
    LinkSpec { name: LinkName(name.into()), ..link }
}

fn price_link(name: &str, target: &str) -> LinkSpec {
    named(name, LinkSpec { namespace: "acme".into(), package: "shop".into(), ..demo_link("price", target) })
}

/// The links of the asker, of which the default one is not the first.
fn links(spec: &mut ComponentSpec) {
    spec.links = vec![price_link("dear", "dear"), price_link("default", "cheap")];
}

async fn call(prepared: &Arc<Prepared>, function: &str, params: &[&str]) -> Result<Vec<Val>, CallError> {
    let function = prepared.exports().find(None, function).unwrap();
    let params = params.iter().map(|param| Val::String((*param).into())).collect();
    prepared.begin().unwrap().call(function, params, CallContext::default()).await
}

async fn two_sellers(engine: &Engine) -> Arc<Here> {
    let here = Arc::new(Here::default());
    for (name, price) in [("cheap", 1), ("dear", 9)] {
        here.add(&prepare(engine, seller(price), name, &here, |_| {}).await.unwrap());
    }
    here
}

fn told(results: &[Val]) -> String {
    match results {
        [Val::Result(Ok(None))] => String::new(),
        [Val::Result(Err(Some(error)))] => match &**error {
            Val::String(text) => text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn calls_go_over_the_link_that_was_chosen_and_else_over_the_usual_one() {
    let engine = engine();
    let here = two_sellers(&engine).await;
    for version in ["1.0.0", "2.0.0", "2.0.1"] {
        for policy in [InstancePolicy::Fresh, InstancePolicy::Pooled { keep: 1, idle_ms: 60_000 }] {
            let asker = prepare(&engine, asker(version), "asker", &here, |spec| {
                links(spec);
                spec.instance_policy = policy;
            });
            let asker = asker.await.unwrap();
            for (link, price) in [("dear", 9), ("default", 1), ("dear", 9), ("nowhere", 1)] {
                let results = call(&asker, "price", &["price", link]).await.unwrap();
                assert_eq!(results, [Val::U32(price)], "{version}: {link}");
                // The choice was that call's.
                assert_eq!(call(&asker, "usual", &[]).await.unwrap(), [Val::U32(1)], "{version}: {link}");
            }
        }
    }
}

#[tokio::test]
async fn a_choice_that_cannot_be_is_told_with_what_could() {
    let engine = engine();
    let here = two_sellers(&engine).await;
    let asker = prepare(&engine, asker("2.0.0"), "asker", &here, links).await.unwrap();
    for (interface, link, problem) in [
        ("price", "dear", ""),
        ("price", "nowhere", "no link `nowhere` carries `acme:shop/price`: its links are `dear`, `default`"),
        ("cart", "dear", "no link carries `acme:shop/cart`: the component has links of `acme:shop/price`"),
    ] {
        let results = call(&asker, "told", &[interface, link]).await.unwrap();
        assert_eq!(told(&results), problem, "{interface} by {link}");
    }
}

#[tokio::test]
async fn a_call_to_another_host_is_made_over_the_link_that_was_chosen() {
    let engine = engine_with(Pooling::Off);
    let here = Arc::<Here>::default();
    *here.elsewhere.lock().unwrap() = Some(Ok(Bytes::from_static(&[5])));
    let asker = prepare(&engine, asker("2.0.0"), "asker", &here, |spec| {
        links(spec);
        // A provider has the interface as it is.
        spec.links
            .push(LinkSpec { provider: Some(ProviderTarget::Elsewhere), ..price_link("market", "market") });
    })
    .await
    .unwrap();
    for (link, target) in [("dear", "dear"), ("default", "cheap"), ("market", "market")] {
        assert_eq!(call(&asker, "price", &["price", link]).await.unwrap(), [Val::U32(5)]);
        let asked = here.asked.lock().unwrap().pop().unwrap();
        assert_eq!(asked, format!("shop-{target} {PRICE}@0.1.0.of for shop@1"), "{link}");
    }
}

/// What is compared at readiness are both ends of every link that can be chosen, and of no other.
#[tokio::test]
async fn every_link_that_can_be_chosen_is_among_those_that_are_compared() {
    let engine = engine_with(Pooling::Off);
    let here = Arc::default();
    let asker = prepare(&engine, asker("1.0.0"), "asker", &here, links).await.unwrap();
    let targets = asker.linked.iter().map(|linked| linked.target().to_string()).collect::<Vec<_>>();
    assert_eq!(targets, ["shop-cheap", "shop-dear"]);
    let front = prepare(&engine, guest("http-front-v1"), "front", &here, |spec| {
        spec.links = vec![named("other", demo_link("greeter", "other")), greeter_link()];
    });
    let front = front.await.unwrap();
    assert!(front.linked.iter().all(|linked| linked.target().to_string() == "shop-greeter"));
}

#[tokio::test]
async fn a_version_of_the_bus_that_never_was_is_refused() {
    let engine = engine_with(Pooling::Off);
    let error = prepare(&engine, asker("3.0.0"), "asker", &Arc::default(), links).await.unwrap_err();
    assert_eq!(error.reason, Reason::ImportUnsatisfied);
    for part in ["wasmcloud:bus/lattice@3.0.0", "1.x and 2.x"] {
        assert!(error.message.contains(part), "{part} is not in: {error}");
    }
}

#[tokio::test]
async fn a_guest_chooses_again_and_again_in_one_call() {
    let (engine, here) = (engine(), Arc::new(Here::default()));
    for (name, word) in [("english", "Hello"), ("french", "Bonjour")] {
        let greeter = prepare(&engine, guest("greeter-v1"), name, &here, |spec| {
            spec.config.insert("word".into(), word.into());
        });
        here.add(&greeter.await.unwrap());
        let page_name = format!("{name}-page");
        let page = prepare(&engine, guest("http-hello-v1"), &page_name, &here, |spec| {
            spec.config.insert("greeting".into(), word.into());
        });
        here.add(&page.await.unwrap());
    }
    let http = |name: &str, target: &str| {
        let link = demo_link("outgoing-handler", target);
        named(name, LinkSpec { namespace: "wasi".into(), package: "http".into(), ..link })
    };
    let chooser = prepare(&engine, guest("chooser-v1"), "chooser", &here, |spec| {
        spec.links = vec![
            named("french", demo_link("greeter", "french")),
            demo_link("greeter", "english"),
            http("french", "french-page"),
            http("default", "english-page"),
        ];
        spec.instance_policy = InstancePolicy::Pooled { keep: 1, idle_ms: 60_000 };
    })
    .await
    .unwrap();
    let ask = async |path: &str| {
        let (status, text) = answer(&chooser, path).await.unwrap();
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Vec<String>>(&text).unwrap()
    };
    let heard = ask("/greet?name=Ada&by=,french,default,french").await;
    assert_eq!(heard, ["Hello, Ada", "Bonjour, Ada", "Hello, Ada", "Bonjour, Ada"]);
    // A link that is not there changes nothing.
    let heard = ask("/greet?name=Ada&by=french,german,").await;
    assert_eq!(heard[0], heard[2]);
    assert!(heard[1].contains("no link `german`") && heard[1].contains("`french`, `default`"), "{heard:?}");
    for (by, words) in [(",french,default", ["Hello", "Bonjour", "Hello"]), (",,", ["Hello"; 3])] {
        let heard = ask(&format!("/fetch?path=/x&by={by}")).await;
        let said = heard.iter().zip(words).all(|(page, word)| page.contains(word));
        assert!(said && heard.len() == words.len(), "{by}: {heard:?}");
    }
}
