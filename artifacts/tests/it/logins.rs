//! Registries that want to know who asks.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lath_artifacts::{Credential, Fault, Registries, RegistryArgs};

use crate::registry::{Kind, PASSWORD, Registry, USER};
use crate::registry_proxy::{self as proxy, Proxy, Rule};
use crate::{component, fetched, reference, with};

fn logged_in(insecure: &[&str], config: &str) -> (tempfile::TempDir, Registries) {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("config.json");
    std::fs::write(&file, config).unwrap();
    let registries = with(insecure, RegistryArgs { auth: Some(file), ..RegistryArgs::default() });
    (folder, registries)
}

fn login(registry: &str, password: &str) -> String {
    let auth = STANDARD.encode(format!("{USER}:{password}"));
    format!(r#"{{"auths":{{"{registry}":{{"auth":"{auth}"}}}}}}"#)
}

#[tokio::test]
async fn a_login_of_docker_opens_a_registry_and_a_wrong_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path(), Kind { login: true, tls: None });
    let name = registry.name();
    let image = reference(&name, "private/api:1");
    let (_kept, good) = logged_in(&[&name], &login(&name, PASSWORD));
    let pushed = good.push(&image, component("private")).await.unwrap();
    assert_eq!(fetched(&good, &image, &pushed.code).await.unwrap(), component("private"));

    let (_kept, wrong) = logged_in(&[&name], &login(&name, "wrong"));
    let error = wrong.resolve(&image).await.unwrap_err();
    assert_eq!(error.fault, Fault::Denied, "{error}");
    assert!(error.help.contains(&format!("lath login {name}")), "{}", error.help);
    let (_kept, none) = logged_in(&[&name], "{}");
    let error = none.resolve(&image).await.unwrap_err();
    assert!(error.message.contains("none is configured"), "{error}");
    let (_kept, damaged) = logged_in(&[&name], "{");
    let error = damaged.resolve(&image).await.unwrap_err();
    assert_eq!(error.fault, Fault::Credentials, "{error}");
    assert!(error.message.contains("config.json"), "{error}");
}

#[tokio::test]
async fn a_login_is_tried_before_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(&folder.path().join("registry"), Kind { login: true, tls: None });
    let name = registry.name().parse().unwrap();
    let file = folder.path().join("docker/config.json");
    let registries = with(&[&registry.name()], RegistryArgs { auth: Some(file), ..RegistryArgs::default() });
    let wrong = registries.check_login(&name, &Credential::basic(USER, "wrong")).await.unwrap_err();
    assert_eq!(wrong.fault, Fault::Denied, "{wrong}");
    let good = Credential::basic(USER, PASSWORD);
    assert!(registries.check_login(&name, &good).await.unwrap());
    registries.keep_login(&name, &good).await.unwrap();
    registries.push(&reference(&registry.name(), "api:1"), component("kept")).await.unwrap();
}

/// A registry that wants a token which `realm` gives out.
async fn token_registry(folder: &tempfile::TempDir, realm: &str) -> (Registry, Proxy) {
    let registry = Registry::start(folder.path(), Kind::default());
    let proxy = Proxy::before(registry.address()).await;
    let realm = realm.replace("SELF", &proxy.name());
    proxy.add(Rule {
        part: "/v2/".to_owned(),
        times: None,
        unless_shown: Some("Bearer good".to_owned()),
        fault: proxy::Fault::Answer(
            "401 Who".to_owned(),
            format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"tests\"\r\n"),
            String::new(),
        ),
    });
    let token = r#"{"token":"good","expires_in":300}"#.to_owned();
    proxy.break_with("/token", proxy::Fault::Answer("200 OK".to_owned(), String::new(), token));
    (registry, proxy)
}

#[tokio::test]
async fn a_token_is_asked_for_once_for_a_repository_and_an_action() {
    let folder = tempfile::tempdir().unwrap();
    let (_registry, proxy) = token_registry(&folder, "http://SELF/token").await;
    let name = proxy.name();
    let (_kept, registries) = logged_in(&[&name], &login(&name, PASSWORD));
    let image = reference(&name, "shop/api:1");
    let pushed = registries.push(&image, component("token")).await.unwrap();
    for _ in 0..3 {
        fetched(&registries, &image, &pushed.code).await.unwrap();
    }
    let asked = proxy.seen("/token");
    let lines: Vec<_> = asked.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /token?service=tests&scope=repository%3Ashop%2Fapi%3Apull%2Cpush",
            "GET /token?service=tests&scope=repository%3Ashop%2Fapi%3Apull",
        ]
    );
    let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    assert!(asked.iter().all(|seen| seen.authorization.as_ref() == Some(&basic)));
    // The password is shown where tokens are given out, and the token everywhere else.
    let others = proxy.seen("/v2/");
    assert!(others.iter().all(|seen| seen.authorization.as_ref() != Some(&basic)));
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (_registry, proxy) = token_registry(&folder, "http://SELF/token").await;
    let name = proxy.name();
    let config = format!(r#"{{"auths":{{"{name}":{{"identitytoken":"long-lived"}}}}}}"#);
    let (_kept, registries) = logged_in(&[&name], &config);
    registries.push(&reference(&name, "api:1"), component("identity")).await.unwrap();
    assert_eq!(proxy.seen("POST /token").len(), 1);
}

#[tokio::test]
async fn xo02_credentials_are_not_shown_to_others() {
    let folder = tempfile::tempdir().unwrap();
    for (realm, part) in [
        ("https://evil.test/token", "evil.test"),
        ("http://evil.test/token", "evil.test"),
        ("https://169.254.169.254/token", "169.254.169.254"),
        ("no address", "no address"),
    ] {
        let (_registry, proxy) = token_registry(&folder, realm).await;
        let name = proxy.name();
        let (_kept, registries) = logged_in(&[&name], &login(&name, PASSWORD));
        let error = registries.resolve(&reference(&name, "api:1")).await.unwrap_err();
        assert_eq!(error.fault, Fault::Denied, "{error}");
        assert!(error.message.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_registry, proxy) = token_registry(&folder, "http://SELF/token").await;
    let name = proxy.name();
    let (_kept, registries) = logged_in(&[&name], "{}");
    let image = reference(&name, "api:1");
    registries.push(&image, component("again")).await.unwrap();
    registries.resolve(&image).await.unwrap();
    // The registry forgets its tokens once.
    let refuse = "WWW-Authenticate: Bearer realm=\"http://SELF/token\"\r\n".replace("SELF", &name);
    proxy.mend();
    proxy.break_times(1, "/manifests/", proxy::Fault::Answer("401 Who".into(), refuse, String::new()));
    let token = r#"{"access_token":"newer"}"#.to_owned();
    proxy.break_with("/token", proxy::Fault::Answer("200 OK".into(), String::new(), token));
    registries.resolve(&image).await.unwrap();
    let shown: Vec<_> = proxy.seen("/manifests/").into_iter().filter_map(|seen| seen.authorization).collect();
    assert_eq!(shown, ["Bearer good", "Bearer newer"]);
}
