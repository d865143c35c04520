//! Resources and streams over links: within a host they work, also while the app changes; a component whose calls cannot
//! leave its host is refused where its target is not, when it is applied.

use lath_tests::{Answer, App, Lattice, Load, Setup};

use crate::words;

const TALLIES: [&str; 3] = ["lath", "handles", "tallies"];
const FLOWS: [&str; 3] = ["lath", "handles", "flows"];

fn counting(lattice: &Lattice, user: &str, keeper: &str) -> App {
    let app = App::of("shop", lattice.address, &[("user", user), ("keeper", keeper)]);
    app.link("user", TALLIES, "keeper")
}

fn pouring(lattice: &Lattice) -> App {
    counting(lattice, "flow-user-p3-v1", "flows-p3-v1").link("user", FLOWS, "keeper")
}

/// The line that the component wrote, without spaces where it happens to be JSON.
fn line(answer: &Answer) -> String {
    answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_and_streams_are_used_over_links_on_every_host() {
    let lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&pouring(&lattice)).await.exits(0);
    for (path, expected) in [
        ("/add?n=3", "[2,4,7]"),
        ("/largest?n=3", "3 Some(2) 1"),
        ("/sum?n=100000", "5000050000"),
        ("/count?n=100000", "100000 5000050000"),
        ("/source?n=3", "[10, 11, 12] 13 [14]"),
    ] {
        let answer = Load::new(lattice.address, path).once().await.unwrap();
        assert_eq!(line(&answer), expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_a_rollout_loses_no_call_of_a_resource() {
    let lattice = Lattice::of_two_hosts().await;
    let old = counting(&lattice, "tally-user-v1", "tallies-v1");
    let new = counting(&lattice, "tally-user-v1", "flows-p3-v1");
    let _ = lattice.deploy(&old).await.exits(0);
    let ledger = Load::new(lattice.address, "/merge").rate(100).start();
    words::more(&ledger, 50).await;
    for next in [&new, &old] {
        let _ = lattice.deploy(next).await.exits(0);
        words::more(&ledger, 100).await;
    }
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(line));
    accounts.none_failed();
    assert_eq!(accounts.by(line).into_keys().collect::<Vec<_>>(), ["42 42 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn xw11_a_target_on_another_host_is_refused_when_it_is_applied() {
    let lattice = Setup::default().host(&["zone=a"]).host(&["zone=b"]).start().await;
    let together = counting(&lattice, "tally-user-v1", "tallies-v1");
    let together =
        ["http", "user", "keeper"].iter().fold(together, |app, component| app.place(component, "zone", "a"));
    let _ = lattice.deploy(&together).await.exits(0);
    let ledger = Load::new(lattice.address, "/merge").rate(100).start();
    words::more(&ledger, 20).await;
    let apart = together.clone().place("keeper", "zone", "b");
    lattice.deploy(&apart).await.exits(9).says(&[
        "import-unsatisfied",
        "lath:handles/tallies@0.1.0",
        "[constructor]tally",
        "resources",
        "shop-keeper",
        "on the same hosts",
    ]);
    words::more(&ledger, 50).await;
    let accounts = ledger.finish().await;
    accounts.none_failed();
    assert_eq!(accounts.by(line).into_keys().collect::<Vec<_>>(), ["42 42 1"]);
}
