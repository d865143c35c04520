//! `wasi:keyvalue` as a component sees it: the same sequence of operations on every backend, then what makes the
//! backends different.

use std::fmt::Write as _;

use lath_tests::{App, Lattice, Load, Setup, guest};
use serde_json::{Value, json};

/// An app whose component does operations, with links to capabilities: name of the link, builtin, settings.
struct Keeper<'a> {
    links: &'a [(&'a str, &'a str, &'a str)],
}

impl Keeper<'_> {
    fn yaml(&self, lattice: &Lattice) -> String {
        let mut yaml = App::hello("shop", lattice.address).file("hello", &guest("keeper-v1")).yaml();
        let mut traits = String::new();
        for (link, builtin, settings) in self.links {
            let _ = write!(
                traits,
                "        - type: link
          properties:
            name: {link}
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics, batch]
            target: {{ name: kv-{link}, config: [{{ name: settings-{link}, properties: {settings} }}] }}
"
            );
            let _ = write!(
                yaml,
                "    - name: kv-{link}\n      type: capability\n      properties: {{ image: 'builtin://{builtin}' }}\n"
            );
        }
        let after = "      traits:\n";
        let at = yaml.find(after).expect("the component has traits") + after.len();
        yaml.insert_str(at, &traits);
        yaml
    }

    async fn deploy(&self, lattice: &Lattice) -> lath_tests::Ended {
        let file = lattice.folder().join("keeper.yaml");
        std::fs::write(&file, self.yaml(lattice)).unwrap();
        lattice.lath().run(["deploy", file.to_str().unwrap()]).await
    }
}

async fn ask(lattice: &Lattice, path: &str) -> Value {
    match Load::new(lattice.address, path).once().await {
        Ok(answer) => answer.body,
        Err(failed) => json!({ "failed": failed }),
    }
}

async fn does(lattice: &Lattice, path: &str, wanted: Value) {
    assert_eq!(ask(lattice, path).await, json!({ "ok": wanted }), "{path}");
}

async fn refuses(lattice: &Lattice, path: &str, named: &str) {
    let answer = ask(lattice, path).await.to_string();
    assert!(answer.contains("400") && answer.contains(named), "{path}: {answer}");
}

/// What every backend does alike.
async fn conforms(lattice: &Lattice) {
    does(lattice, "/get?key=a", Value::Null).await;
    does(lattice, "/exists?key=a", json!(false)).await;
    does(lattice, "/delete?key=a", Value::Null).await;
    does(lattice, "/keys", json!([])).await;
    does(lattice, "/set?key=a&value=one", Value::Null).await;
    does(lattice, "/set?key=a&value=two", Value::Null).await;
    does(lattice, "/get?key=a", json!("two")).await;
    does(lattice, "/exists?key=a", json!(true)).await;
    does(lattice, "/set?key=empty&value=", Value::Null).await;
    does(lattice, "/get?key=empty", json!("")).await;
    does(lattice, "/exists?key=empty", json!(true)).await;
    // Keys may be called anything.
    for key in ["user%3A7", "%2Edots%2E%2E", "%C3%A4+b%3Dc", "a/b*c%3E"] {
        does(lattice, &format!("/set?key={key}&value={key}"), Value::Null).await;
        does(lattice, &format!("/exists?key={key}"), json!(true)).await;
    }
    does(lattice, "/keys", json!([".dots..", "a", "a/b*c>", "empty", "user:7", "ä b=c"])).await;
    does(lattice, "/delete?key=empty", Value::Null).await;
    does(lattice, "/exists?key=empty", json!(false)).await;
    // Another bucket is another place.
    does(lattice, "/get?bucket=other&key=a", Value::Null).await;
    does(lattice, "/set?bucket=other&key=a&value=there", Value::Null).await;
    does(lattice, "/get?key=a", json!("two")).await;
    // Numbers.
    does(lattice, "/add?key=n&delta=5", json!(5)).await;
    does(lattice, "/add?key=n&delta=37", json!(42)).await;
    does(lattice, "/get?key=n", json!("42")).await;
    does(lattice, "/delete?key=n", Value::Null).await;
    does(lattice, "/add?key=n", json!(1)).await;
    refuses(lattice, "/add?key=a", "no number").await;
    does(lattice, "/get?key=a", json!("two")).await;
    // Many at once.
    does(lattice, "/set-many?key=x,y&value=same", Value::Null).await;
    does(lattice, "/get-many?key=x,none,y", json!([["x", "same"], null, ["y", "same"]])).await;
    does(lattice, "/delete-many?key=x,none", Value::Null).await;
    does(lattice, "/get-many?key=x,y", json!([null, ["y", "same"]])).await;
    // Bounds.
    refuses(lattice, "/get?key=", "at least one").await;
    refuses(lattice, &format!("/get?key={}", "k".repeat(1025)), "1024").await;
    does(lattice, "/set-large?key=large&size=1000000", Value::Null).await;
    refuses(lattice, "/set-large?key=large&size=1048577", "1048576").await;
    does(lattice, "/delete?key=large", Value::Null).await;
}

/// Two hosts answer at the same address and add at the same time: no two sums are the same.
async fn adds_are_never_lost(lattice: &Lattice) {
    let ledger = Load::new(lattice.address, "/add?bucket=sums&key=n").rate(200).start();
    crate::words::more(&ledger, 200).await;
    let accounts = ledger.finish().await;
    accounts.none_failed();
    does(lattice, "/get?bucket=sums&key=n", json!(accounts.sent().to_string())).await;
}

async fn pages_are_in_order(lattice: &Lattice) {
    for start in [0, 1_000] {
        let keys: Vec<String> = (start..start + 1_000).map(|number| format!("{number:04}")).collect();
        for keys in keys.chunks(500) {
            does(lattice, &format!("/set-many?bucket=pages&value=v&key={}", keys.join(",")), Value::Null)
                .await;
        }
    }
    does(lattice, "/set?bucket=pages&key=2000&value=v", Value::Null).await;
    let page = ask(lattice, "/keys?bucket=pages&cursor=0").await["ok"].clone();
    assert_eq!((page["keys"].as_array().unwrap().len(), &page["cursor"]), (1_000, &json!(1_000)));
    let last = ask(lattice, "/keys?bucket=pages&cursor=2000").await["ok"].clone();
    assert_eq!(last, json!({ "keys": ["2000"], "cursor": null }));
    let all = ask(lattice, "/keys?bucket=pages").await["ok"].clone();
    let all: Vec<&str> = all.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!((all.len(), all.is_sorted()), (2_001, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_in_memory_conform_and_go_with_their_host() {
    let mut lattice = Setup::default().host(&[]).start().await;
    let keeper = Keeper { links: &[("default", "keyvalue-memory", "{}")] };
    let _ = keeper.deploy(&lattice).await.exits(0);
    conforms(&lattice).await;
    adds_are_never_lost(&lattice).await;
    pages_are_in_order(&lattice).await;
    // Another revision finds what the one before wrote; another process does not.
    let bounded = Keeper { links: &[("default", "keyvalue-memory", "{ max_bytes: '4000000' }")] };
    let _ = bounded.deploy(&lattice).await.exits(0);
    does(&lattice, "/get?key=a", json!("two")).await;
    lattice.host_mut(1).kill();
    lattice.host_mut(1).restart().await;
    lath_tests::eventually(std::time::Duration::from_secs(30), "an answer", async || {
        let answer = ask(&lattice, "/get?key=a").await;
        if answer == json!({ "ok": null }) { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_of_nats_conform_and_are_those_of_all_hosts() {
    let mut lattice = Lattice::of_two_hosts().await;
    let keeper = Keeper { links: &[("default", "keyvalue-nats", "{}")] };
    let _ = keeper.deploy(&lattice).await.exits(0);
    conforms(&lattice).await;
    adds_are_never_lost(&lattice).await;
    pages_are_in_order(&lattice).await;
    for number in [1, 2] {
        lattice.host_mut(number).kill();
        lattice.host_mut(number).restart().await;
    }
    lath_tests::eventually(std::time::Duration::from_secs(30), "an answer", async || {
        let answer = ask(&lattice, "/get?key=a").await;
        if answer == json!({ "ok": "two" }) { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_has_two_backends_by_the_names_of_its_links() {
    let lattice = Setup::default().host(&[]).start().await;
    let links = [("default", "keyvalue-memory", "{}"), ("ledger", "keyvalue-nats", "{ bucket: shared }")];
    let _ = Keeper { links: &links }.deploy(&lattice).await.exits(0);
    does(&lattice, "/set?key=a&value=memory", Value::Null).await;
    does(&lattice, "/get?bucket=ledger&key=a", Value::Null).await;
    does(&lattice, "/set?bucket=ledger&key=a&value=nats", Value::Null).await;
    does(&lattice, "/get?key=a", json!("memory")).await;
    does(&lattice, "/get?bucket=ledger&key=a", json!("nats")).await;
    // By the name of a link that is chosen before, whatever bucket is opened then; and in no call after it.
    does(&lattice, "/get?link=ledger&key=a", json!("nats")).await;
    does(&lattice, "/get?link=ledger&bucket=any&key=a", json!("nats")).await;
    does(&lattice, "/get?link=default&key=a", json!("memory")).await;
    does(&lattice, "/get?key=a", json!("memory")).await;
    refuses(&lattice, "/get?link=vault&key=a", "its links are `default`, `ledger`").await;
    // Other programs find it in the bucket that the link names.
    let nats = async_nats::connect(lattice.nats.url()).await.unwrap();
    let store = async_nats::jetstream::new(nats).get_key_value("shared").await.unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap(), "nats");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_cannot_be_made_changes_nothing_that_serves() {
    let lattice = Setup::default().host(&[]).start().await;
    let _ = Keeper { links: &[("default", "keyvalue-memory", "{}")] }.deploy(&lattice).await.exits(0);
    does(&lattice, "/set?key=a&value=kept", Value::Null).await;
    let wrong = Keeper { links: &[("default", "keyvalue-nats", "{ replicas: many }")] };
    wrong.deploy(&lattice).await.exits(9).says(&["replicas", "`many`", "1 to 5"]);
    does(&lattice, "/get?key=a", json!("kept")).await;
    let nothing = Keeper { links: &[("default", "keyvalue-nowhere", "{}")] };
    nothing.deploy(&lattice).await.says(&["keyvalue-nowhere", "keyvalue-memory, keyvalue-nats"]);
    does(&lattice, "/get?key=a", json!("kept")).await;
}
