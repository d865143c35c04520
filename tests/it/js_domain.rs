//! A lattice whose NATS server has a JetStream domain, named as 1.x names it: everything works, and who does not know
//! the domain finds nothing by it.

use lath_tests::{App, Load, Setup, ToolV1};
use serde_json::Value;

use crate::words;

#[tokio::test(flavor = "multi_thread")]
async fn a_lattice_keeps_everything_in_its_domain() {
    let mut lattice = Setup::default().host(&[]).nats("jetstream: { domain: hub }").start().await;
    let domain = || Some(("WASMCLOUD_JS_DOMAIN", "hub".to_owned()));
    lattice.host_mut(1).stop().await;
    lattice.host_mut(1).set(domain());
    lattice.host_mut(1).restart().await;
    lattice.manager_mut().stop().await;
    lattice.manager_mut().set(domain());
    lattice.manager_mut().restart().await;
    let lath = lattice.lath().with("WASMCLOUD_JS_DOMAIN", "hub");
    let app = App::greeting("shop", lattice.address);
    let manifest = app.write(lattice.folder());
    let _ = lath.run(["deploy".as_ref(), manifest.as_os_str()]).await.exits(0);
    let answer = Load::new(lattice.address, "/greet?name=Ada").once().await.unwrap();
    assert_eq!(words::greeting(&answer), "v1 > v1 Hello, Ada");
    let tool = ToolV1::of(&lattice).await;
    let hosts = lath.run(["get", "hosts", "-o", "json"]).await.exits(0).json();
    assert_eq!(hosts["hosts"][0]["js_domain"], "hub");
    assert_eq!(tool.get("link.get", &Value::Null).await, Value::Array(Vec::new()));
    let wrong = lattice.lath().with("WASMCLOUD_JS_DOMAIN", "a.b");
    wrong.run(["apps"]).await.exits(2).says(&["`a.b` cannot be a JetStream domain", "WASMCLOUD_JS_DOMAIN"]);
    let other = lattice.lath().with("WASMCLOUD_JS_DOMAIN", "elsewhere");
    assert_ne!(other.run(["deploy".as_ref(), manifest.as_os_str()]).await.code(), Some(0));
}
