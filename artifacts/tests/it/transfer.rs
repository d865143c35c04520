//! Push, inspect, resolve, fetch: what a registry that behaves gives.

use std::path::Path;

use lath_artifacts::{Fault, Format, RegistryArgs};
use lath_control_api::Digest;

use crate::registry::{Kind, Registry};
use crate::registry_proxy::{self, Proxy};
use crate::{component, fetched, reference, registries, with};

fn tls() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls")
}

#[tokio::test]
async fn what_is_pushed_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path(), Kind::default());
    let registries = registries(&[&registry.name()]);
    let image = reference(&registry.name(), "shop/api:1");
    let code = component("a");

    let pushed = registries.push(&image, code.clone()).await.unwrap();
    assert!(!pushed.unchanged);
    assert_eq!(pushed.code, Digest::of(&code));
    let again = registries.push(&image, code.clone()).await.unwrap();
    assert!(again.unchanged && again.manifest == pushed.manifest);

    let resolved = registries.resolve(&image).await.unwrap();
    assert_eq!((resolved.manifest, resolved.format), (pushed.manifest.clone(), Format::Component));
    assert_eq!((&resolved.code.digest, resolved.code.size), (&pushed.code, code.len() as u64));
    assert_eq!(fetched(&registries, &image, &pushed.code).await.unwrap(), code);

    let inspected = registries.inspect(&image).await.unwrap();
    assert_eq!(inspected.digest, pushed.manifest);
    let config = inspected.config.unwrap();
    assert_eq!(config["os"], "wasip2");
    assert_eq!(config["component"]["imports"][0], "a");
    assert_eq!(inspected.manifest.config.media_type, "application/vnd.wasm.config.v0+json");
}

#[tokio::test]
async fn a_provider_is_pushed_as_wash_does() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path(), Kind::default());
    let registries = registries(&[&registry.name()]);
    let image = reference(&registry.name(), "shop/kv:1");
    for code in
        [bytes::Bytes::from_static(b"\x1f\x8b\x08\0archive"), bytes::Bytes::from_static(b"\x7fELF program")]
    {
        let pushed = registries.push(&image, code.clone()).await.unwrap();
        assert!(!pushed.unchanged && registries.push(&image, code.clone()).await.unwrap().unchanged);
        let resolved = registries.resolve(&image).await.unwrap();
        assert_eq!((resolved.format, &resolved.code.digest), (Format::ProviderArchive, &Digest::of(&code)));
        assert_eq!(fetched(&registries, &image, &pushed.code).await.unwrap(), code);
        let manifest = registries.inspect(&image).await.unwrap().manifest;
        assert_eq!(manifest.config.media_type, "application/vnd.wasmcloud.provider.archive.config");
        assert_eq!(
            manifest.code().unwrap().0.media_type,
            "application/vnd.wasmcloud.provider.archive.layer.v1+par"
        );
    }
}

#[tokio::test]
async fn xo12_a_moved_tag_changes_nothing_that_was_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path(), Kind::default());
    let registries = registries(&[&registry.name()]);
    let image = reference(&registry.name(), "api:stable");
    let first = registries.push(&image, component("first")).await.unwrap();
    let second = registries.push(&image, component("second")).await.unwrap();
    assert!(!second.unchanged && first.manifest != second.manifest);

    assert_eq!(registries.resolve(&image).await.unwrap().code.digest, second.code);
    assert_eq!(fetched(&registries, &image, &first.code).await.unwrap(), component("first"));
    // A digest wins over the tag beside it.
    let pinned = image.pinned(first.manifest.clone());
    assert_eq!(registries.resolve(&pinned).await.unwrap().code.digest, first.code);
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path(), Kind::default());
    let registries = registries(&[&registry.name()]);
    let image = reference(&registry.name(), "nobody/nothing:1");
    let error = registries.resolve(&image).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound, "{error}");
    assert!(
        error.message.contains("nobody/nothing/1") && error.message.contains("MANIFEST_UNKNOWN"),
        "{error}"
    );
    let error = fetched(&registries, &image, &Digest::of(b"x")).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound, "{error}");
    let error = registries.push(&image, "no component".into()).await.unwrap_err();
    assert_eq!(error.fault, Fault::Unsupported, "{error}");
}

#[tokio::test]
async fn xo01_a_registry_that_cannot_be_reached_is_told_from_one_that_cannot_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let tls = tls();
    let mut registry = Registry::start(folder.path(), Kind { tls: Some(&tls), login: false });
    let name = registry.name();
    let image = reference(&name, "api:1");
    let ca = vec![tls.join("authority.pem")];
    let trusting = with(&[], RegistryArgs { ca, ..RegistryArgs::default() });
    let pushed = trusting.push(&image, component("tls")).await.unwrap();
    assert_eq!(fetched(&trusting, &image, &pushed.code).await.unwrap(), component("tls"));

    let error = registries(&[]).resolve(&image).await.unwrap_err();
    assert_eq!(error.fault, Fault::Untrusted, "{error}");
    assert!(error.help.contains("--registry-ca"), "{}", error.help);
    // The certificate is for another name.
    let other = reference(&format!("127.0.0.1:{}", registry.address().port()), "api:1");
    let error = trusting.resolve(&other).await.unwrap_err();
    assert_eq!(error.fault, Fault::Untrusted, "{error}");

    registry.stop();
    let error = trusting.resolve(&image).await.unwrap_err();
    assert_eq!(error.fault, Fault::Unreachable, "{error}");
    assert!(error.message.contains("refused"), "{error}");
    let error = trusting.resolve(&reference("registry.invalid", "api:1")).await.unwrap_err();
    assert_eq!(error.fault, Fault::Unreachable, "{error}");
}

#[tokio::test]
async fn a_registry_without_tls_is_used_only_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path(), Kind::default());
    let error = registries(&["localhost:1"]).resolve(&reference(&registry.name(), "a:1")).await.unwrap_err();
    assert_eq!(error.fault, Fault::Untrusted, "{error}");
    assert!(error.help.contains(&format!("--registry-insecure {}", registry.name())), "{}", error.help);
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_its_absence_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Registry::start(&folder.path().join("mirror"), Kind::default());
    let origin = Registry::start(&folder.path().join("origin"), Kind::default());
    let counted = Proxy::before(origin.address()).await;
    let (at, of) = (mirror.name(), counted.name());
    let plain = registries(&[&at, &of]);
    let image = reference(&of, "api:1");
    let pushed = plain.push(&image, component("m")).await.unwrap();
    plain.push(&reference(&at, "cache/api:1"), component("m")).await.unwrap();
    counted.mend();

    let mirrors = vec![format!("{of}={at}/cache").parse().unwrap()];
    let mirrored = with(&[&at, &of], RegistryArgs { mirrors, ..RegistryArgs::default() });
    assert_eq!(mirrored.resolve(&image).await.unwrap().code.digest, pushed.code);
    assert_eq!(fetched(&mirrored, &image, &pushed.code).await.unwrap(), component("m"));
    assert_eq!(counted.seen("").len(), 0);

    mirror.stop();
    assert_eq!(fetched(&mirrored, &image, &pushed.code).await.unwrap(), component("m"));
    assert_eq!(counted.seen("GET /v2/api/blobs/").len(), 1);
    // When both fail, both are told.
    let silent = registry_proxy::Fault::Answer("500 No".into(), String::new(), String::new());
    counted.break_with("GET", silent);
    let error = fetched(&mirrored, &image, &pushed.code).await.unwrap_err();
    assert!(error.message.contains(&format!("registry {of}")), "{error}");
    assert!(error.message.contains(&format!("mirror {at} of {of}")), "{error}");
}
