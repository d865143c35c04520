//! What leaves the host: requests, connections and datagrams of a guest, against servers of this machine.
//!
//! Names are answered by a resolver of the test, as its answers are what attackers choose. Each test fails when the
//! check that it is about is taken out: whatever is denied must have reached neither the resolver nor a server.

mod servers;
mod tricks;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use lath_control_api::ProviderTarget;
use servers::{Names, Web, answer_tls, echo_tcp, echo_udp};

use super::*;
use crate::capability::outside::Outside;

/// What the guest says came of it.
#[derive(Debug, Default, serde::Deserialize)]
struct Came {
    status: Option<u16>,
    location: Option<String>,
    heard: Option<String>,
    error: Option<String>,
}

impl Came {
    fn error(&self) -> &str {
        self.error.as_deref().unwrap_or("none")
    }
}

/// An engine whose names are answered by `names`.
fn outside(names: &Arc<Names>) -> Engine {
    outside_trusting(names, rustls::RootCertStore::empty())
}

fn outside_trusting(names: &Arc<Names>, roots: rustls::RootCertStore) -> Engine {
    let outside = Outside::with(Arc::clone(names) as _, roots).unwrap();
    let pooling = Pooling::On { instances: 16 };
    Engine::new(EngineConfig { pooling, outside: Some(outside), ..EngineConfig::default() }).unwrap()
}

async fn caller(engine: &Engine, entries: &[&str]) -> Arc<Prepared> {
    alone(engine, "http-caller-v1", |spec| {
        spec.grants.allowed_hosts = entries.iter().map(|entry| entry.parse().unwrap()).collect();
    })
    .await
}

/// Has the guest do something; parameters are encoded so that it gets them as they are.
async fn ask(guest: &Arc<Prepared>, path: &str, params: &[(&str, &str)]) -> Came {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let query: Vec<String> = params.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    let (status, text) = answer(guest, &format!("{path}?{}", query.join("&"))).await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn fetch(guest: &Arc<Prepared>, url: &str) -> Came {
    ask(guest, "/", &[("url", url)]).await
}

#[tokio::test]
async fn k3_e06_a_guest_reaches_what_it_was_granted_over_kept_connections() {
    let (web, names) = (Web::start().await, Names::leading(&["127.0.0.1"]));
    let (engine, port) = (outside(&names), web.port());
    let grants = [format!("http://api.example.com:{port}"), format!("http://127.0.0.1:{port}")];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let guest = caller(&engine, &grants).await;
    for url in
        [format!("http://api.example.com:{port}/a?b=c"), format!("http://API.Example.COM.:{port}/a?b=c")]
    {
        let came = fetch(&guest, &url).await;
        assert_eq!(came.status, Some(200), "{came:?}");
        let heard = came.heard.unwrap();
        assert!(heard.starts_with("GET /a?b=c HTTP/1.1"), "{heard}");
        assert!(heard.contains(&format!("host: api.example.com:{port}\r\n")), "{heard}");
    }
    // One lookup for one connection, which served both.
    assert_eq!((web.connections(), names.asked()), (1, vec!["api.example.com".to_owned()]));
    // Another component has connections of its own, and only with a grant of its own.
    let other = caller(&engine, &grants).await;
    assert_eq!(fetch(&other, &format!("http://api.example.com:{port}/")).await.status, Some(200));
    assert_eq!(web.connections(), 2);
    let third = caller(&engine, &[]).await;
    let denied = fetch(&third, &format!("http://api.example.com:{port}/")).await;
    assert!(denied.error().contains("HttpRequestDenied"), "{denied:?}");
}

#[tokio::test]
async fn k3_what_leaves_by_way_of_a_provider_is_judged_before_it_leaves() {
    let (names, here) = (Names::leading(&["127.0.0.1"]), Arc::<Here>::default());
    let guest = prepare(&outside(&names), guest("http-caller-v1"), "caller", &here, |spec| {
        let entries = ["http://api.example.com:8080", "http://0.0.0.0/0", "https://any"];
        spec.grants.allowed_hosts = entries.iter().map(|entry| entry.parse().unwrap()).collect();
        spec.links.push(LinkSpec {
            namespace: "wasi".into(),
            package: "http".into(),
            provider: Some(ProviderTarget::Elsewhere),
            ..demo_link("outgoing-handler", "client")
        });
    })
    .await
    .unwrap();
    for (url, told) in [
        ("http://other.example.com/", "HttpRequestDenied"),
        ("http://127.1/", "HttpRequestDenied"),
        ("http://169.254.169.254/latest/meta-data/", "DestinationIpProhibited"),
        ("http://10.1.2.3/", "DestinationIpProhibited"),
        ("https://localhost/", "DestinationIpProhibited"),
        ("https://[::1]/", "DestinationIpProhibited"),
    ] {
        let came = fetch(&guest, url).await;
        assert!(came.error().contains(told), "{url}: {came:?}");
    }
    let tunnel = ask(&guest, "/", &[("url", "http://api.example.com:8080/"), ("method", "CONNECT")]).await;
    assert!(tunnel.error().contains("HttpRequestDenied"), "{tunnel:?}");
    assert_eq!(*here.asked.lock().unwrap(), Vec::<String>::new());

    let gone = fetch(&guest, "http://API.Example.COM.:8080/a?b=c").await;
    assert!(gone.error().contains("DestinationUnavailable"), "{gone:?}");
    let asked = here.asked.lock().unwrap().clone();
    assert_eq!(asked, ["out by shop-client http://api.example.com:8080/a?b=c"]);
    *here.status.lock().unwrap() = Some(::http::StatusCode::SWITCHING_PROTOCOLS);
    let changed = fetch(&guest, "http://api.example.com:8080/").await;
    assert!(changed.error().contains("HttpUpgradeFailed"), "{changed:?}");
    // The provider looks names up.
    assert!(names.asked().is_empty());
}

#[tokio::test]
async fn e06_a_redirect_is_an_answer_and_the_next_request_is_judged() {
    let (web, names) = (Web::start().await, Names::leading(&["127.0.0.1"]));
    let (engine, port) = (outside(&names), web.port());
    web.redirect_to("http://169.254.169.254/latest/meta-data/");
    let guest = caller(&engine, &[&format!("http://localhost:{port}")]).await;
    let came = fetch(&guest, &format!("http://localhost:{port}/")).await;
    assert_eq!((came.status, web.requests()), (Some(302), 1), "{came:?}");
    let next = fetch(&guest, &came.location.unwrap()).await;
    assert!(next.error().contains("HttpRequestDenied"), "{next:?}");
    assert!(names.asked().is_empty());
}

#[tokio::test]
async fn e06_the_answer_of_the_name_server_is_judged_whole_and_asked_for_once() {
    let web = Web::start().await;
    let port = web.port();
    let url = format!("http://api.example.com:{port}/");
    let entry = format!("http://api.example.com:{port}");
    for addresses in
        [&["127.0.0.1"][..], &["93.184.215.14", "127.0.0.1"], &["::ffff:127.0.0.1"], &["0.0.0.0"]]
    {
        let names = Names::leading(addresses);
        let guest = caller(&outside(&names), &[&entry, "any"]).await;
        let came = fetch(&guest, &url).await;
        let told = ["DestinationIpProhibited", "HttpRequestDenied"];
        assert!(told.iter().any(|told| came.error().contains(told)), "{addresses:?}: {came:?}");
    }
    assert_eq!(web.connections(), 0);
    // The second answer would be another one; nobody asks for it.
    let names = Names::changing(&["127.0.0.1"], &["127.0.0.2"]);
    let guest = caller(&outside(&names), &[&entry, &format!("http://127.0.0.1:{port}")]).await;
    assert_eq!(fetch(&guest, &url).await.status, Some(200));
    assert_eq!((names.asked().len(), web.connections()), (1, 1));
}

#[tokio::test]
async fn e06_tls_holds_the_name_against_the_certificate() {
    let address = answer_tls().await;
    let names = Names::leading(&["127.0.0.1"]);
    let grants = |host: &str| [format!("{host}:{}", address.port()), format!("127.0.0.1:{}", address.port())];
    let trusting = Outside::new(Some(&servers::tls_file("ca.pem"))).unwrap();
    assert!(format!("{trusting:?}").contains("Outside"));
    for (host, trusted, wanted) in [
        ("api.example.com", true, None),
        ("other.example.com", true, Some("TlsCertificateError")),
        ("api.example.com", false, Some("TlsCertificateError")),
    ] {
        let roots = if trusted { servers::test_roots() } else { rustls::RootCertStore::empty() };
        let entries = grants(host);
        let guest = caller(&outside_trusting(&names, roots), &[&entries[0], &entries[1]]).await;
        let came = fetch(&guest, &format!("https://{host}:{}/", address.port())).await;
        match wanted {
            None => assert_eq!((came.status, came.heard.as_deref()), (Some(200), Some("over TLS"))),
            Some(wanted) => assert!(came.error().contains(wanted), "{host}: {came:?}"),
        }
    }
}

#[tokio::test]
async fn e06_certificates_that_cannot_be_used_are_named() {
    for (file, cause) in [("missing.pem", "missing.pem"), ("server.key", "there is none in it")] {
        let error = Outside::new(Some(&servers::tls_file(file))).unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
    }
}

#[tokio::test]
async fn k3_e07_sockets_need_a_grant_of_their_own() {
    let (tcp, udp) = (echo_tcp().await, echo_udp().await);
    let names = Names::leading(&["127.0.0.1"]);
    let engine = outside(&names);
    let to = |address: SocketAddr| address.to_string();
    // The engine's own lookups would find this name, and the test's resolver is not asked either.
    let bare = caller(&engine, &["any", &format!("http://{tcp}")]).await;
    for (path, key, value) in [
        ("/tcp", "to", to(tcp)),
        ("/udp", "to", to(udp)),
        ("/lookup", "name", "localhost".to_owned()),
        ("/lookup", "name", "secret.evil.test".to_owned()),
        ("/listen", "to", String::new()),
    ] {
        let came = ask(&bare, path, &[(key, &value)]).await;
        assert!(came.error.is_some(), "{path} {value}: {came:?}");
    }
    let entries =
        [format!("tcp://{tcp}"), format!("udp://{udp}"), format!("tcp://db.example.com:{}", tcp.port())];
    let granted = caller(&engine, &[&entries[0], &entries[1], &entries[2]]).await;
    assert_eq!(ask(&granted, "/tcp", &[("to", &to(tcp))]).await.heard.as_deref(), Some("ping"));
    assert_eq!(ask(&granted, "/udp", &[("to", &to(udp))]).await.heard.as_deref(), Some("ping"));
    let by_name = ask(&granted, "/tcp", &[("to", &format!("db.example.com:{}", tcp.port()))]).await;
    assert_eq!(by_name.heard.as_deref(), Some("ping"), "{by_name:?}");
    assert_eq!(names.asked(), ["db.example.com"]);
    for (path, key, value) in [
        ("/tcp", "to", to(udp)),
        ("/udp", "to", to(tcp)),
        ("/lookup", "name", "secret.evil.test".to_owned()),
        ("/listen", "to", String::new()),
    ] {
        let came = ask(&granted, path, &[(key, &value)]).await;
        assert!(came.error.is_some(), "{path} {value}: {came:?}");
    }
    assert_eq!(names.asked(), ["db.example.com"]);
}

/// The first address of a name may be one where nobody listens: a guest gets them all, once each, in their order.
#[tokio::test]
async fn a_lookup_gives_every_address_of_a_name() {
    let tcp = echo_tcp().await;
    let names = Names::leading(&["127.0.0.2", "127.0.0.1", "::1", "::ffff:127.0.0.1"]);
    let (engine, port) = (outside(&names), tcp.port());
    let entries = [format!("tcp://db.example.com:{port}"), format!("tcp://127.0.0.0/8:{port}")];
    let guest = caller(&engine, &[&entries[0], &entries[1]]).await;
    for _ in 0..2 {
        let found = ask(&guest, "/lookup", &[("name", "db.example.com")]).await;
        assert_eq!(found.heard.as_deref(), Some("[127.0.0.2, 127.0.0.1, ::1]"), "{found:?}");
    }
    let came = ask(&guest, "/tcp", &[("to", &format!("db.example.com:{port}"))]).await;
    assert_eq!(came.heard.as_deref(), Some("ping"), "{came:?}");
    let guest = alone(&engine, "http-hello-p3-v1", |spec| {
        spec.grants.allowed_hosts = entries.iter().map(|entry| entry.parse().unwrap()).collect();
    })
    .await;
    let found = answer(&guest, "/lookup?name=db.example.com").await.unwrap();
    assert_eq!(found, (200, "127.0.0.2 127.0.0.1 ::1".into()));
    // No more than a host wants to keep of one answer.
    let many: Vec<String> = (1..=33).map(|last| format!("127.0.1.{last}")).collect();
    let engine = outside(&Names::leading(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    let guest = caller(&engine, &[&entries[0]]).await;
    let found = ask(&guest, "/lookup", &[("name", "db.example.com")]).await.heard.unwrap();
    assert_eq!(found.split(", ").count(), 32, "{found}");
}

#[tokio::test]
async fn e07_a_name_opens_no_address_that_is_not_public_to_sockets() {
    let tcp = echo_tcp().await;
    let engine = outside(&Names::leading(&["127.0.0.1"]));
    let guest = caller(&engine, &[&format!("tcp://db.example.com:{}", tcp.port())]).await;
    let came = ask(&guest, "/tcp", &[("to", &format!("db.example.com:{}", tcp.port()))]).await;
    assert!(came.error.is_some(), "{came:?}");
}

#[tokio::test]
async fn k4_e08_e09_surroundings_are_empty_but_for_grants() {
    let engine = outside(&Names::leading(&[]));
    let bare = caller(&engine, &[]).await;
    let seen = ask(&bare, "/see", &[]).await.heard.unwrap();
    assert_eq!(seen, "arguments [], variables [], folders [false, false, false, false]");
    let granted = alone(&engine, "http-caller-v1", |spec| {
        spec.grants.env = BTreeMap::from([("COLOUR".to_owned(), "green".to_owned())]);
        spec.grants.arguments = vec!["caller".to_owned(), "--loud".to_owned()];
    })
    .await;
    let seen = ask(&granted, "/see", &[]).await.heard.unwrap();
    assert!(seen.contains(r#"arguments ["caller", "--loud"], variables [("COLOUR", "green")]"#), "{seen}");
    assert!(seen.ends_with("folders [false, false, false, false]"), "{seen}");
}

/// An address of this machine that nobody else has.
fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What `sockets_p3.rs` stands in front of: without it the engine's own lookup and sockets would answer.
#[tokio::test]
async fn e06_sockets_of_03_are_judged_as_those_of_02() {
    let (tcp, names) = (echo_tcp().await, Names::leading(&["127.0.0.1"]));
    let (engine, port) = (outside(&names), tcp.port());
    let guest = async |entries: &[&str]| {
        alone(&engine, "http-hello-p3-v1", |spec| {
            spec.grants.allowed_hosts = entries.iter().map(|entry| entry.parse().unwrap()).collect();
        })
        .await
    };
    let to = |host: &str| format!("/tcp?to={host}:{port}");
    let bare = guest(&["any", &format!("http://{tcp}")]).await;
    for (path, told) in [
        (to("127.0.0.1"), "create: ErrorCode::AccessDenied"),
        (to("db.example.com"), "lookup: ErrorCode::AccessDenied"),
        ("/listen".to_owned(), "create: ErrorCode::AccessDenied"),
    ] {
        assert_eq!(answer(&bare, &path).await.unwrap(), (502, told.to_owned()), "{path}");
    }
    let granted = guest(&[&format!("tcp://{tcp}"), &format!("tcp://db.example.com:{port}")]).await;
    for host in ["127.0.0.1", "db.example.com"] {
        assert_eq!(answer(&granted, &to(host)).await.unwrap(), (200, "ping".into()), "{host}");
    }
    assert_eq!(names.asked(), ["db.example.com"]);
    for (path, told) in [
        (format!("/tcp?to=127.0.0.1:{}", port ^ 1), "connect: ErrorCode::AccessDenied"),
        (to("other.example.com"), "lookup: ErrorCode::AccessDenied"),
        ("/listen".to_owned(), "bind: ErrorCode::AccessDenied"),
    ] {
        assert_eq!(answer(&granted, &path).await.unwrap(), (502, told.to_owned()), "{path}");
    }
    // A name's address is granted for that name, and only where its own entry allows it.
    let by_name = guest(&[&format!("tcp://db.example.com:{port}")]).await;
    let denied = answer(&by_name, &to("127.0.0.1")).await.unwrap();
    assert_eq!(denied, (502, "connect: ErrorCode::AccessDenied".into()));
}

#[tokio::test]
async fn k3_e06_requests_of_03_reach_what_was_granted_and_nothing_else() {
    let (web, names) = (Web::start().await, Names::leading(&["127.0.0.1"]));
    let (engine, port) = (outside(&names), web.port());
    let entries = [format!("http://api.example.com:{port}"), format!("http://127.0.0.1:{port}")];
    let hello = alone(&engine, "http-hello-p3-v1", |spec| {
        spec.grants.allowed_hosts = entries.iter().map(|entry| entry.parse().unwrap()).collect();
    })
    .await;
    for path in ["a", "b"] {
        let url = format!("/fetch?url=http://api.example.com:{port}/{path}");
        let (status, heard) = answer(&hello, &url).await.unwrap();
        assert!(status == 200 && heard.starts_with(&format!("GET /{path} HTTP/1.1")), "{heard}");
        assert!(heard.contains(&format!("host: api.example.com:{port}")), "{heard}");
    }
    // One connection served both.
    assert_eq!((web.connections(), names.asked().len()), (1, 1));
    for url in
        [format!("http://other.example.com:{port}/"), format!("http://localhost:{port}/"), "ftp://a/".into()]
    {
        let (status, heard) = answer(&hello, &format!("/fetch?url={url}")).await.unwrap();
        assert_eq!(status, 502, "{url}: {heard}");
    }
    assert_eq!((web.connections(), names.asked().len()), (1, 1));
}
