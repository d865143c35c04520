//! Upgrades and rollbacks under load from outside: no request fails, each is answered by one whole revision, and
//! once "done" was said, the old one answers nothing that was sent later.

use std::time::Duration;

use lath_tests::{App, Ended, Lattice, Load, eventually};

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

#[tokio::test(flavor = "multi_thread")]
async fn r6_calls_in_flight_finish_on_the_revision_that_took_them() {
    let lattice = Lattice::of_two_hosts().await;
    let app = App::misbehave("shop", lattice.address);
    let _ = lattice.deploy(&app).await.exits(0);
    // Each call lasts longer than a host needs to go from one revision to the next.
    let ledger = Load::new(lattice.address, "/sleep?ms=1500").rate(20).start();
    words::more(&ledger, 10).await;
    for change in ["a", "b"] {
        let _ = lattice.deploy(&app.clone().config("misbehave", "change", change)).await.exits(0);
    }
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(|answer| answer.body.to_string()));
    accounts.none_failed();
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_newer_deploy_takes_over_from_one_that_is_on_its_way() {
    let lattice = Lattice::of_two_hosts().await;
    // Both components change: the one that takes the requests decides which revision answers them.
    let app = |word: &str| old(&lattice).config("front", "change", word).config("greeter", "word", word);
    let _ = lattice.deploy(&app("one")).await.exits(0);
    let ledger = load(&lattice).start();
    let (lath, second) = (lattice.lath(), app("two").write(lattice.folder()));
    let second = lath.start(["deploy".as_ref(), second.as_os_str()]);
    eventually(Duration::from_secs(10), "the second revision to take over one of the hosts", async || {
        let by = ledger.so_far().by(words::greeting);
        if by.contains_key("v1 > v1 two, Ada") { Ok(()) } else { Err(format!("{by:?}")) }
    })
    .await;
    let third = lattice.deploy(&app("three")).await.exits(0);
    second.ended().await.exits(5).says(&["uperseded"]);
    words::more(&ledger, 100).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
    let late = accounts.sent_after(third.at).by(words::greeting);
    assert_eq!(late.keys().collect::<Vec<_>>(), ["v1 > v1 three, Ada"]);
}
