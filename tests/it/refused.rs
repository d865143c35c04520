//! A new config of a link that the ingress refuses: nothing that serves is touched, the command ends with 9 where only a
//! host could tell and with 4 where anybody could, and people read the ingress's own words.

use std::net::SocketAddr;

use lath_tests::{App, Ended, Lattice, Load, ports};

use crate::words;

const OLD: &str = "v1 > v1 Hello, Ada";

fn new(lattice: &Lattice) -> App {
    let app = App::greeting("shop", lattice.address);
    let app = app.image("front", "http-front-v2").image("greeter", "greeter-v2");
    app.config("greeter", "word", "Welcome")
}

/// Deploys something under load; none of the requests may fail or meet anything new.
async fn changes_nothing(lattice: &Lattice, app: &App) -> Ended {
    let units = |lattice: &Lattice| {
        let lath = lattice.lath();
        async move {
            let inventory = lath.run(["inventory", "-o", "json"]).await.exits(0).json();
            let units = inventory["units"].as_array().unwrap().clone();
            let of = |unit: &serde_json::Value| {
                ["hostName", "component", "revision", "role", "phase", "serving", "content", "since"]
                    .map(|key| unit[key].to_string())
            };
            let mut units: Vec<_> = units.iter().map(of).collect();
            units.sort();
            units
        }
    };
    let before = units(lattice).await;
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    words::more(&ledger, 20).await;
    let ended = lattice.deploy(app).await;
    words::more(&ledger, 50).await;
    let accounts = ledger.finish().await;
    println!("{}\n{}", ended.told(), accounts.summary(words::greeting));
    accounts.none_failed();
    assert_eq!(accounts.by(words::greeting).into_keys().collect::<Vec<_>>(), [OLD]);
    // The very units that served before serve now: none was made anew.
    lath_tests::eventually(crate::order::ORDER, "the refused revision to be gone", async || {
        let now = units(lattice).await;
        if now == before { Ok(()) } else { Err(format!("{now:#?} instead of {before:#?}")) }
    })
    .await;
    let status = lattice.lath().run(["status", "shop", "-o", "json"]).await.exits(0).json();
    assert_eq!((&status["state"], &status["revision"]), (&"Serving".into(), &1.into()), "{status:#}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn wc3845_an_address_that_the_ingress_cannot_open_fails_the_step_and_nothing_moves() {
    let lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&App::greeting("shop", lattice.address)).await.exits(0);
    let stranger = std::net::TcpListener::bind(ports::free_address()).unwrap();
    let taken = stranger.local_addr().unwrap();
    // Of a block of addresses for documentation: no machine has it.
    let elsewhere: SocketAddr = "203.0.113.1:8080".parse().unwrap();
    for (address, words) in [(taken, "in use"), (elsewhere, "assign requested address")] {
        let ended = changes_nothing(&lattice, &new(&lattice).address(address)).await.exits(9);
        ended.says(&["address-unavailable", &address.to_string(), "http on host-", words]);
    }
    lattice.lath().run(["history", "shop"]).await.exits(0).says(&["address-unavailable", "203.0.113.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_means_nothing_or_is_taken_is_refused_before_anything_is_stored() {
    let lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&App::greeting("shop", lattice.address)).await.exits(0);
    let other = App::hello("other", ports::free_address());
    let taken = ports::free_address();
    let _ = lattice.deploy(&other.address(taken)).await.exits(0);
    let store = lattice.store().await;
    let before = store.keys().await;
    for (key, value, words) in [
        ("address", "nowhere", "nowhere"),
        ("address", "127.0.0.1:99999", "127.0.0.1:99999"),
        ("adress", "127.0.0.1:9000", "adress"),
        ("path", "no-slash", "no-slash"),
    ] {
        let ended = changes_nothing(&lattice, &new(&lattice).route(key, value)).await.exits(4);
        ended.says(&[words, "help"]);
    }
    changes_nothing(&lattice, &new(&lattice).address(taken)).await.exits(5).says(&["other"]);
    assert_eq!(store.keys().await, before, "a revision or a record was stored");
}
