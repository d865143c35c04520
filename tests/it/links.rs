//! Links between hosts: no component knows where the one that it calls runs, and a change of the app is as whole as
//! where all runs in one process.

use lath_tests::{App, Lattice, Load, Setup};

use crate::words;

/// Requests go from `http` on one host to `front` on another, and from there to `greeter` on a third.
async fn spread_over_three_hosts() -> (Lattice, App) {
    let setup = Setup::default().host(&["zone=a"]).host(&["zone=b"]).host(&["zone=c"]);
    let lattice = setup.start().await;
    let app = App::greeting("shop", lattice.address);
    let app = app.place("http", "zone", "a").place("front", "zone", "b").place("greeter", "zone", "c");
    let _ = lattice.deploy(&app).await.exits(0);
    (lattice, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_find_components_on_other_hosts() {
    let (lattice, _) = spread_over_three_hosts().await;
    for unit in lattice.units().await {
        let host = match unit["component"].as_str() {
            Some("http") => "host-1",
            Some("front") => "host-2",
            _ => "host-3",
        };
        assert_eq!(unit["hostName"], host, "{unit:#}");
    }
    let answer = Load::new(lattice.address, "/greet?name=Ada").once().await.unwrap();
    assert_eq!(words::greeting(&answer), "v1 > v1 Hello, Ada");
    // What a component refuses goes back over both links as its own answer.
    let refused = Load::new(lattice.address, "/greet?name=").once().await.unwrap_err();
    assert!(refused.contains("status 400") && refused.contains("the name is empty"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_an_upgrade_over_three_hosts_loses_no_request_and_mixes_no_revisions() {
    let (lattice, app) = spread_over_three_hosts().await;
    let new = app
        .image("front", "http-front-v2")
        .image("greeter", "greeter-v2")
        .config("greeter", "word", "Welcome");
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    words::more(&ledger, 100).await;
    let done = lattice.deploy(&new).await.exits(0);
    words::more(&ledger, 100).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
    let by = accounts.by(words::greeting);
    assert_eq!(by.keys().collect::<Vec<_>>(), ["v1 > v1 Hello, Ada", "v2 > v2 Welcome, Ada"], "{by:?}");
    let late = accounts.sent_after(done.at).by(words::greeting);
    assert_eq!(late.keys().collect::<Vec<_>>(), ["v2 > v2 Welcome, Ada"]);
}

/// The new greeter is on a host that never had the old one, and the old one goes from its own: no host has both.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_moves_with_its_revision_mixes_no_revisions() {
    let (lattice, app) = spread_over_three_hosts().await;
    let new = app
        .clone()
        .image("front", "http-front-v2")
        .image("greeter", "greeter-v2")
        .config("greeter", "word", "Welcome")
        .place("greeter", "zone", "a");
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(200).start();
    words::more(&ledger, 100).await;
    for next in [&new, &app, &new] {
        let _ = lattice.deploy(next).await.exits(0);
        words::more(&ledger, 200).await;
    }
    let _ = lattice.lath().run(["rollback", "shop"]).await.exits(0);
    words::more(&ledger, 200).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
    let by = accounts.by(words::greeting);
    assert_eq!(by.keys().collect::<Vec<_>>(), ["v1 > v1 Hello, Ada", "v2 > v2 Welcome, Ada"], "{by:?}");
}
