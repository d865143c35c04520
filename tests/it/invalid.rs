//! Bad manifests: each is refused with exit code 4, with the place, the cause and a next step, and nothing is stored.
//! The texts are recorded in `snapshots`, because people have to work with them.

use std::fmt::Write;
use std::time::Duration;

use lath_control_api::app::DeployRequest;
use lath_control_api_client::RequestError;
use lath_tests::{App, Lattice};

/// A name and the bad manifest made from a good one.
fn bad_manifests(good: &str) -> Vec<(&'static str, String)> {
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from), "the good manifest lacks `{from}`:\n{good}");
        good.replacen(from, to, 1)
    };
    let instances = |count: &str| replaced("instances: 50", &format!("instances: {count}"));
    let name = |name: &str| replaced("name: \"shop\"", &format!("name: \"{name}\""));
    vec![
        ("kind", replaced("kind: Application", "kind: Applicaton")),
        ("tab", replaced("  components:", "\tcomponents:")),
        ("duplicate-key", replaced("kind: Application", "kind: Application\nkind: Application")),
        ("unknown-field", replaced("instances: 50", "instances: 50, instnaces: 50")),
        ("dangling-link", replaced("target: { name: \"greeter\" }", "target: { name: \"greter\" }")),
        ("10-mib", format!("{good}#{}\n", "x".repeat((10 << 20) - good.len() - 2))),
        ("billion-laughs", format!("{}\n{good}", laughs())),
        ("minus-one-instances", instances("-1")),
        ("far-too-many-instances", instances("1000000000000")),
        ("name-with-star", name("sh*p")),
        ("name-with-dot", name("sh.op")),
    ]
}

/// Nine anchors, each ten times the one before.
fn laughs() -> String {
    let mut text = "x-laughs:\n  - &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(text, "  - &a{level} [{aliases}]");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_every_bad_manifest_is_refused_with_place_and_hint_and_stores_nothing() {
    let lattice = Lattice::of_two_hosts().await;
    let lath = lattice.lath();
    let good = App::greeting("shop", lattice.address);
    // Something is deployed, so that "nothing changed" is about more than an empty lattice.
    let _ = lattice.deploy(&good).await.exits(0);
    let store = lattice.store().await;
    let before = store.writes().await;
    for (name, manifest) in bad_manifests(&good.yaml()) {
        let file = lattice.folder().join(format!("{name}.yaml"));
        std::fs::write(&file, manifest).unwrap();
        for command in ["validate", "deploy"] {
            let ended = lath.run([command.as_ref(), file.as_os_str()]).await.exits(4);
            assert!(ended.took() < Duration::from_secs(5), "it took too long\n{}", ended.told());
            ended.says(&["help"]);
            if command == "deploy" {
                // Paths and ports differ from run to run.
                let seen = ended.seen().replace(&lattice.folder().display().to_string(), "FOLDER");
                let seen = seen.replace(&lattice.address.to_string(), "ADDRESS");
                insta::assert_snapshot!(name, seen);
            }
        }
        let json = lath.run(["deploy".as_ref(), file.as_os_str(), "-o".as_ref(), "json".as_ref()]).await;
        let error = json.exits(4).json();
        assert_eq!((&error["kind"], &error["error"]["exit"]), (&"Error".into(), &4.into()), "{error:#}");
    }
    assert_eq!(store.writes().await, before, "something was stored");
}

/// Not every tool checks a manifest before it sends it.
#[tokio::test(flavor = "multi_thread")]
async fn i1_the_manager_itself_refuses_every_bad_manifest_and_stores_nothing() {
    let lattice = Lattice::of_two_hosts().await;
    let good = App::greeting("shop", lattice.address);
    let _ = lattice.deploy(&good).await.exits(0);
    let (store, client) = (lattice.store().await, lattice.client().await);
    let before = store.writes().await;
    for (name, manifest) in bad_manifests(&good.yaml()) {
        let ask = DeployRequest {
            manifest,
            pushed: std::collections::BTreeMap::new(),
            cause: lath_control_api::app::Cause::default(),
            if_revision: None,
            dry_run: false,
            rollout: std::collections::BTreeMap::new(),
            plan: None,
        };
        let refused = client.deploy(&ask).await.expect_err(name);
        match refused {
            RequestError::Refused(error) => assert_eq!(error.code.exit(), 4, "{name}: {error:?}"),
            // Refused before it was sent: no server takes a message of this size.
            RequestError::TooLarge { .. } if name == "10-mib" => {}
            other => panic!("{name}: {other}"),
        }
    }
    assert_eq!(store.writes().await, before, "something was stored");
}
