//! Several apps on one address: told apart by path or host, and a taken route stays its owner's.

use lath_tests::{App, Lattice, Load, ports};

use crate::words;

#[tokio::test(flavor = "multi_thread")]
async fn apps_share_an_address_by_path_and_by_host_and_a_taken_route_is_refused() {
    let lattice = Lattice::of_two_hosts().await;
    let (paths, hosts) = (lattice.address, ports::free_address());
    let named = |name: &str, address| App::hello(name, address).config("hello", "greeting", name);
    let apps = [
        named("cart", paths).below("/cart"),
        named("search", paths).below("/search"),
        named("red", hosts).host("red.test"),
        named("blue", hosts).host("blue.test"),
    ];
    for app in &apps {
        let _ = lattice.deploy(app).await.exits(0);
    }
    for (load, owner) in [
        (Load::new(paths, "/cart"), "cart"),
        (Load::new(paths, "/cart/7?x=1"), "cart"),
        (Load::new(paths, "/search/a"), "search"),
        (Load::new(hosts, "/").host("red.test"), "red"),
        (Load::new(hosts, "/any").host("BLUE.test:80"), "blue"),
    ] {
        let answer = load.once().await.unwrap_or_else(|error| panic!("{load:?}: {error}"));
        assert_eq!(words::hello(&answer), format!("v1 {owner}"), "{load:?}");
    }
    for load in
        [Load::new(paths, "/"), Load::new(paths, "/cartoon"), Load::new(hosts, "/").host("green.test")]
    {
        let error = load.once().await.expect_err("nobody has this route");
        assert!(error.contains("status 404"), "{load:?}: {error}");
    }

    let store = lattice.store().await;
    let before = store.keys().await;
    for (thief, owner) in
        [(named("thief", paths).below("/cart"), "cart"), (named("thief", hosts).host("red.test"), "red")]
    {
        lattice.deploy(&thief).await.exits(5).says(&[&format!("`{owner}`"), "E0401"]);
    }
    assert_eq!(store.keys().await, before, "a refused app was stored");
    let answer = Load::new(paths, "/cart").once().await.unwrap();
    assert_eq!(words::hello(&answer), "v1 cart");
}
