//! The inventory says the truth: every part is listed with all that it should say, and the digest is that of the
//! code that answers.

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::Digest;
use lath_tests::lattice::items;
use lath_tests::{App, Lattice, Load, guest};
use serde_json::Value;

use crate::words;

/// Requests that are sent before the counts are looked at.
const REQUESTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn r14_the_inventory_has_every_part_and_the_digest_of_the_code_that_answers() {
    let lattice = Lattice::of_two_hosts().await;
    let load = Load::new(lattice.address, "/?name=Ada");
    let app = App::greeting("shop", lattice.address);
    for (revision, app, version) in [(1, app.clone(), "v1"), (2, app.image("front", "http-front-v2"), "v2")] {
        let _ = lattice.deploy(&app).await.exits(0);
        let versions: BTreeSet<String> = answers(&load).await;
        assert_eq!(versions, BTreeSet::from([format!("{version} > v1 Hello, Ada")]));

        let inventory = lattice.lath().run(["inventory", "-o", "json"]).await.exits(0).json();
        let hosts = items(&inventory, "hosts");
        assert_eq!(hosts.len(), 2, "{inventory:#}");
        for host in hosts {
            check_host(host, revision, version);
        }
        let front = hosts.iter().map(|host| calls(host, "front")).sum::<u64>();
        let greeter = hosts.iter().map(|host| calls(host, "greeter")).sum::<u64>();
        let least = u64::try_from(REQUESTS).unwrap();
        assert!(front >= least && greeter >= least, "calls are not counted: {front} and {greeter}");
    }
}

async fn answers(load: &Load) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for _ in 0..REQUESTS {
        found.insert(words::greeting(&load.once().await.unwrap()));
    }
    found
}

fn check_host(host: &Value, revision: u64, version: &str) {
    let digest = |name: &str| Value::from(Digest::of(&std::fs::read(guest(name)).unwrap()).to_string());
    let expected = BTreeMap::from([
        ("front", digest(&format!("http-front-{version}"))),
        ("greeter", digest("greeter-v1")),
        ("http", Value::Null),
    ]);
    let app = &items(host, "apps")[0];
    assert_eq!((&app["app"], &app["confirmed"]), (&"shop".into(), &true.into()), "{app:#}");
    assert!(app["fence"]["generation"].as_u64().is_some(), "no generation: {app:#}");
    let components = items(app, "components");
    let names: Vec<_> = components.iter().filter_map(|component| component["component"].as_str()).collect();
    assert_eq!(names, expected.keys().copied().collect::<Vec<_>>(), "{app:#}");
    for component in components {
        let name = component["component"].as_str().unwrap();
        assert_eq!(component["id"], format!("shop-{name}"));
        let unit = serving(component);
        assert_eq!(unit["digest"], expected[name], "{unit:#}");
        assert_eq!((&unit["revision"], &unit["phase"]), (&revision.into(), &"running".into()), "{unit:#}");
        assert_eq!(unit["reason"], "as-asked", "{unit:#}");
        for text in ["image", "since", "content"] {
            assert!(unit[text].as_str().is_some_and(|text| !text.is_empty()), "no `{text}`: {unit:#}");
        }
        assert!(unit["calls"]["started"].is_u64() && unit["maxInstances"].is_u64(), "no counts: {unit:#}");
    }
}

fn serving(component: &Value) -> &Value {
    let mut units = items(component, "units").iter().filter(|unit| unit["serving"] == true);
    match (units.next(), units.next()) {
        (Some(unit), None) => unit,
        _ => panic!("not exactly one unit serves: {component:#}"),
    }
}

fn calls(host: &Value, name: &str) -> u64 {
    let components = items(host, "apps").iter().flat_map(|app| items(app, "components"));
    let component = components.into_iter().find(|component| component["component"] == name).unwrap();
    serving(component)["calls"]["succeeded"].as_u64().unwrap()
}
