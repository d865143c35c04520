//! Which component a request reaches.

use lath_control_api::{HttpRoute, Revision};
use lath_host_core::Choice;

use crate::model::{Fate, Model, bundle, http_server, id, request, spec};

fn route(address: Option<&str>, host: Option<&str>, path: Option<&str>, target: &str) -> HttpRoute {
    HttpRoute {
        address: address.map(|address| address.parse().unwrap()),
        host: host.map(Into::into),
        path: path.map(Into::into),
        target: id(target),
        timeout_ms: None,
    }
}

#[test]
fn the_most_particular_route_wins() {
    let routes = vec![
        route(None, None, None, "any"),
        route(None, None, Some("/cart"), "cart"),
        route(None, None, Some("/cart/pay/"), "pay"),
        route(None, Some("shop.test"), None, "shop"),
        route(None, Some("shop.test"), Some("/cart"), "shop-cart"),
        route(Some("127.0.0.1:9000"), None, Some("/only"), "only"),
    ];
    let mut host = Model::new();
    host.accept(&request(1, 1, vec![bundle("web", Some(http_server(routes, 1)), None)]));
    host.prepare_all();
    let table = host.core.routes();
    let find = |address: &str, name: Option<&str>, path: &str| {
        let via = table.find(address.parse().unwrap(), name, path, Choice::Dice(50));
        via.map(|via| via.route.target.as_str().trim_start_matches("shop-").to_owned())
    };
    let default = "127.0.0.1:8000";
    for (name, path, target) in [
        (None, "/", "any"),
        (None, "", "any"),
        (None, "*", "any"),
        (None, "/cart", "cart"),
        (None, "/cart/", "cart"),
        (None, "/cartoon", "any"),
        (None, "//cart", "any"),
        (None, "/cart%2fpay", "any"),
        (None, "/cart/pay/now", "pay"),
        (None, "/cart/payment", "cart"),
        (Some("other.test"), "/cart", "cart"),
        (Some("shop.test"), "/x", "shop"),
        (Some("shop.test"), "/cart/pay", "cart"),
    ] {
        let wanted = if (name, path) == (Some("shop.test"), "/cart/pay") { "cart" } else { target };
        assert_eq!(find(default, name, path).as_deref(), Some(wanted), "{name:?} {path}");
    }
    assert_eq!(find("127.0.0.1:9000", None, "/only/x").as_deref(), Some("only"));
    assert_eq!(find("127.0.0.1:9000", None, "/other"), None);
    assert_eq!(find("127.0.0.1:9001", None, "/"), None);
}

#[test]
fn an_address_that_is_left_finishes_what_arrived() {
    let mut host = Model::new();
    let web = |address, revision| {
        bundle("web", Some(http_server(vec![route(address, None, None, "a")], revision)), None)
    };
    let a = |revision| bundle("a", Some(spec(1, revision)), None);
    host.accept(&request(1, 1, vec![web(None, 1), a(1)]));
    host.prepare_all();
    host.accept(&request(2, 1, vec![web(Some("127.0.0.1:9000"), 2), a(2)]));
    host.prepare_all();
    let open = |host: &Model| {
        let table = host.core.routes();
        table.listeners().map(|(address, listener)| (address.port(), listener.open)).collect::<Vec<_>>()
    };
    assert_eq!(open(&host), [(8000, false), (9000, true)]);
    let table = host.core.routes();
    assert!(table.find("127.0.0.1:8000".parse().unwrap(), None, "/", Choice::Dice(50)).is_some());
    assert_eq!(host.core.listeners().len(), 1);
    host.idle_all();
    assert_eq!(open(&host), [(9000, true)]);
}

#[test]
fn h2_a_restarted_host_opens_an_address_when_what_is_behind_it_is_ready() {
    let mut host = Model::new();
    let web = http_server(vec![route(None, None, None, "a")], 1);
    host.accept(&request(1, 1, vec![bundle("web", Some(web), None), bundle("a", Some(spec(1, 1)), None)]));
    host.prepare_all();
    let open = |host: &Model| host.core.routes().listeners().any(|(_, listener)| listener.open);
    assert!(open(&host));
    host.restart();
    host.prepare(|unit| (unit.id == id("web")).then_some(Fate::Ready));
    assert!(!open(&host), "another host on the same address answers meanwhile");
    host.prepare_all();
    assert!(open(&host));
    host.restart();
    host.prepare(|unit| Some(if unit.id == id("a") { Fate::Trap } else { Fate::Ready }));
    assert!(open(&host), "what has failed keeps no address closed");
}

#[test]
fn requests_enter_the_revision_that_their_dice_choose_and_find_its_routes() {
    let web = |revision, paths: &[&str]| {
        let routes = paths.iter().map(|path| route(None, None, Some(path), "a")).collect();
        http_server(routes, revision)
    };
    let step = |k, weight| {
        let web = bundle("web", Some(web(1, &["/", "/old"])), Some((web(2, &["/", "/new"]), weight)));
        request(2, k, vec![web, bundle("a", Some(spec(1, 1)), Some((spec(1, 2), weight)))])
    };
    let mut host = Model::new();
    let first = vec![bundle("web", Some(web(1, &["/", "/old"])), None), bundle("a", Some(spec(1, 1)), None)];
    host.accept(&request(1, 1, first));
    host.prepare_all();
    let entered = |host: &Model, path: &str, choice| {
        let table = host.core.routes();
        table.find("127.0.0.1:8000".parse().unwrap(), None, path, choice).map(|via| via.revision.0)
    };
    let by_weight = |host: &Model, path: &str| {
        (0..100).filter(|dice| entered(host, path, Choice::Dice(*dice)) == Some(2)).count()
    };
    host.accept(&step(1, 0));
    host.prepare_all();
    assert_eq!(by_weight(&host, "/"), 0);
    assert_eq!(entered(&host, "/x", Choice::Revision(Revision(2))), Some(2), "it can be looked at");
    assert_eq!(entered(&host, "/x", Choice::Revision(Revision(3))), None);
    host.accept(&step(2, 5));
    assert_eq!(by_weight(&host, "/"), 5);
    assert_eq!(by_weight(&host, "/new/x"), 5, "the others enter by the wider route of the old one");
    host.accept(&step(3, 100));
    assert_eq!(by_weight(&host, "/old"), 100, "nothing of the old one is left on an address that stays");
}

#[test]
fn an_address_that_moves_is_kept_until_the_rollout_settles() {
    let web = |port: u16, revision| {
        let address = format!("127.0.0.1:{port}");
        http_server(vec![route(Some(&address), None, None, "a")], revision)
    };
    let mut host = Model::new();
    host.accept(&request(
        1,
        1,
        vec![bundle("web", Some(web(9000, 1)), None), bundle("a", Some(spec(1, 1)), None)],
    ));
    host.prepare_all();
    let step = |k, weight| {
        let web = bundle("web", Some(web(9000, 1)), Some((web(9001, 2), weight)));
        request(2, k, vec![web, bundle("a", Some(spec(1, 1)), Some((spec(2, 2), weight)))])
    };
    let open = |host: &Model| {
        let table = host.core.routes();
        let open = table.listeners().filter(|(_, listener)| listener.open);
        open.map(|(address, _)| address.port()).collect::<Vec<_>>()
    };
    host.accept(&step(1, 0));
    host.prepare_all();
    assert_eq!(open(&host), [9000], "the new address is held, and nobody is let in yet");
    host.accept(&step(2, 100));
    assert_eq!(open(&host), [9000, 9001], "the new one is open before the old one closes");
    let old = host.core.routes();
    let via = old.find("127.0.0.1:9000".parse().unwrap(), None, "/", Choice::Dice(0)).unwrap();
    assert_eq!(via.revision, Revision(1));
    host.accept(&request(
        2,
        3,
        vec![bundle("web", Some(web(9001, 2)), None), bundle("a", Some(spec(2, 2)), None)],
    ));
    assert_eq!(open(&host), [9001]);
}
