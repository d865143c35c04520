//! The inventory says the truth: every part is listed with all that it should say, and the digest is that of the
//! code that answers.

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::Digest;
use lath_tests::{App, Lattice, Load, guest};
use serde_json::Value;

use crate::words;

/// Requests that are sent before the counts are looked at.
const REQUESTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn wc1829_r14_the_inventory_has_every_part_and_its_digest_equals_the_running_bytes() {
    let lattice = Lattice::of_two_hosts().await;
    let load = Load::new(lattice.address, "/?name=Ada");
    let app = App::greeting("shop", lattice.address);
    for (revision, app, version) in [(1, app.clone(), "v1"), (2, app.image("front", "http-front-v2"), "v2")] {
        let _ = lattice.deploy(&app).await.exits(0);
        let versions: BTreeSet<String> = answers(&load).await;
        assert_eq!(versions, BTreeSet::from([format!("{version} > v1 Hello, Ada")]));

        let units = lattice.units().await;
        assert_eq!(units.len(), 2 * 3, "two hosts with three parts each: {units:#?}");
        for host in ["host-1", "host-2"] {
            let of_host: Vec<_> = units.iter().filter(|unit| unit["hostName"] == host).collect();
            check_host(&of_host, revision, version);
        }
        let least = u64::try_from(REQUESTS).unwrap();
        for component in ["front", "greeter"] {
            let calls = calls(&units, component);
            assert!(calls >= least, "{calls} calls of {component} are counted, {least} were made at least");
        }
    }
}

async fn answers(load: &Load) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for _ in 0..REQUESTS {
        found.insert(words::greeting(&load.once().await.unwrap()));
    }
    found
}

fn check_host(units: &[&Value], revision: u64, version: &str) {
    let digest = |name: &str| Value::from(Digest::of(&std::fs::read(guest(name)).unwrap()).to_string());
    let expected = BTreeMap::from([
        ("front", ("component", digest(&format!("http-front-{version}")))),
        ("greeter", ("component", digest("greeter-v1"))),
        ("http", ("capability", Value::Null)),
    ]);
    let names: Vec<_> = units.iter().filter_map(|unit| unit["component"].as_str()).collect();
    assert_eq!(names, expected.keys().copied().collect::<Vec<_>>());
    for unit in units {
        let name = unit["component"].as_str().unwrap();
        let (kind, digest) = &expected[name];
        assert_eq!(unit["digest"], *digest, "{unit:#}");
        for (field, value) in [
            ("app", Value::from("shop")),
            ("id", format!("shop-{name}").into()),
            ("kind", (*kind).into()),
            ("revision", revision.into()),
            ("phase", "running".into()),
            ("reason", "as-asked".into()),
            ("serving", true.into()),
            ("confirmed", true.into()),
        ] {
            assert_eq!(unit[field], value, "`{field}` of {unit:#}");
        }
        for field in ["image", "since", "content", "host"] {
            assert!(unit[field].as_str().is_some_and(|text| !text.is_empty()), "no `{field}`: {unit:#}");
        }
        for field in ["generation", "maxInstances"] {
            assert!(unit[field].as_u64().is_some_and(|number| number > 0), "no `{field}`: {unit:#}");
        }
    }
}

/// Calls of a component that ended well, on all hosts.
fn calls(units: &[Value], component: &str) -> u64 {
    let units = units.iter().filter(|unit| unit["component"] == component);
    units.map(|unit| unit["calls"]["succeeded"].as_u64().unwrap()).sum()
}
