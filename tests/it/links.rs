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
    // As much as three hosts of a debug build answer beside other tests: a request that waits for longer than half a second
    // may meet another revision (decision 0002).
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
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

/// One greeter is on the host of the one that asks, the other is not; requests of its own go the same two ways.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_chooses_among_its_links_within_one_call() {
    let lattice = Setup::default().host(&["zone=a"]).host(&["zone=b"]).start().await;
    let components = [
        ("chooser", "chooser-v1"),
        ("near", "greeter-v1"),
        ("far", "greeter-v1"),
        ("page", "http-hello-v1"),
        ("other", "http-hello-v1"),
    ];
    let app = App::of("shop", lattice.address, &components);
    let app = ["http", "chooser", "near", "page"].iter().fold(app, |app, name| app.place(name, "zone", "a"));
    let app = ["far", "other"].iter().fold(app, |app, name| app.place(name, "zone", "b"));
    let (greeter, requests) = (["lath", "demo", "greeter"], ["wasi", "http", "outgoing-handler"]);
    let app = app
        .config("far", "word", "Bonjour")
        .config("page", "greeting", "here")
        .config("other", "greeting", "there")
        .link_named("french", "chooser", greeter, "far")
        .link("chooser", greeter, "near")
        .link_named("french", "chooser", requests, "other")
        .link("chooser", requests, "page");
    let _ = lattice.deploy(&app).await.exits(0);
    let ask = async |path: &str| Load::new(lattice.address, path).once().await.unwrap().body.to_string();
    let heard = ask("/greet?name=Ada&by=,french,default,german").await;
    for part in
        ["\"Hello, Ada\",\"Bonjour, Ada\",\"Hello, Ada\"", "no link `german` carries `lath:demo/greeter`"]
    {
        assert!(heard.contains(part), "{part} is not in: {heard}");
    }
    // What was chosen in one call is not there in the next.
    assert_eq!(ask("/greet?name=Ada&by=").await, "[\"Hello, Ada\"]");
    let heard = ask("/fetch?path=/x&by=,french,default").await;
    let places: Vec<_> = ["here", "there"].iter().map(|place| heard.find(place)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{heard}");
    let wrong = ask("/greet?name=Ada&by=french&interface=lath:demo/oracle").await;
    assert!(
        wrong.contains("no link carries `lath:demo/oracle`: the component has links of `lath:demo/greeter`"),
        "{wrong}"
    );
}
