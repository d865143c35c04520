//! Upgrades and rollbacks under load from outside: no request fails, each is answered by one whole revision, and
//! once "done" was said, the old one answers nothing that was sent later.

use lath_tests::{App, Ended, Lattice, Load};

use crate::words;

/// Requests a second.
const RATE: u32 = 200;
const OLD: &str = "v1 > v1 Hello, Ada";

fn old(lattice: &Lattice) -> App {
    App::greeting("shop", lattice.address)
}

fn load(lattice: &Lattice) -> Load {
    Load::new(lattice.address, "/?name=Ada").rate(RATE)
}

/// Carries out `change` under load, from answers called `before` to answers called `after`.
async fn under_load(lattice: &Lattice, before: &str, after: &str, change: impl Future<Output = Ended>) {
    let ledger = load(lattice).start();
    words::more(&ledger, 100).await;
    let done = change.await;
    words::more(&ledger, 200).await;
    let accounts = ledger.finish().await;
    println!("{} in {:.2?}: {}", done.command, done.took(), accounts.summary(words::greeting));

    let done = done.exits(0);
    accounts.none_failed();
    let by = accounts.by(words::greeting);
    assert!(
        by.keys().all(|name| name == before || name == after),
        "neither old nor new, or a mixture: {by:?}"
    );
    assert!(by.contains_key(before), "the load began too late to show anything: {by:?}");
    let late = accounts.sent_after(done.at).by(words::greeting);
    assert_eq!(late.keys().collect::<Vec<_>>(), [after], "answers to requests sent after it was done");
}

async fn upgrade(change: impl FnOnce(App) -> App, after: &str) {
    let lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&old(&lattice)).await.exits(0);
    let new = change(old(&lattice));
    under_load(&lattice, OLD, after, lattice.deploy(&new)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_an_upgrade_of_images_loses_no_request() {
    let images = |app: App| app.image("front", "http-front-v2").image("greeter", "greeter-v2");
    upgrade(images, "v2 > v2 Hello, Ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_an_upgrade_of_config_loses_no_request() {
    upgrade(|app| app.config("greeter", "word", "Welcome"), "v1 > v1 Welcome, Ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_an_upgrade_of_images_and_config_together_loses_no_request() {
    let both = |app: App| {
        let images = app.image("front", "http-front-v2").image("greeter", "greeter-v2");
        images.config("greeter", "word", "Welcome")
    };
    upgrade(both, "v2 > v2 Welcome, Ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_a_rollback_loses_no_request() {
    let lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&old(&lattice)).await.exits(0);
    let new = old(&lattice).image("front", "http-front-v2").config("greeter", "word", "Welcome");
    let _ = lattice.deploy(&new).await.exits(0);
    let lath = lattice.lath();
    under_load(&lattice, "v2 > v1 Welcome, Ada", OLD, lath.run(["rollback", "shop"])).await;
}
