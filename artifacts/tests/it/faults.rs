//! A registry that is slow, lies, refuses, fails or stops half way: each has its own fault, and nothing is believed.

use std::time::{Duration, Instant};

use lath_artifacts::{Fault, Pushed, Reference, Registries};
use lath_control_api::Reason;

use crate::registry::{Kind, Registry};
use crate::registry_proxy::{self as proxy, Proxy};
use crate::{component, fetched, reference, registries};

/// A registry with one image, behind a proxy.
struct Place {
    _folder: tempfile::TempDir,
    _registry: Registry,
    proxy: Proxy,
    registries: Registries,
    image: Reference,
    pushed: Pushed,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start(folder.path(), Kind::default());
        let proxy = Proxy::before(registry.address()).await;
        let registries = registries(&[&proxy.name()]);
        let image = reference(&proxy.name(), "shop/api:1");
        let pushed = registries.push(&image, component("faults")).await.unwrap();
        proxy.mend();
        Self { _folder: folder, _registry: registry, proxy, registries, image, pushed }
    }

    /// What a fetch gives while `fault` happens to blobs.
    async fn fetch_with(&self, fault: proxy::Fault) -> Fault {
        self.proxy.mend();
        self.proxy.break_with("/blobs/", fault);
        let error = fetched(&self.registries, &self.image, &self.pushed.code).await.unwrap_err();
        assert!(error.message.contains(&self.proxy.name()), "{error}");
        error.fault
    }

    async fn works(&self) {
        let code = fetched(&self.registries, &self.image, &self.pushed.code).await.unwrap();
        assert_eq!(code, component("faults"));
    }
}

fn answer(status: &str, headers: &str, body: &str) -> proxy::Fault {
    proxy::Fault::Answer(status.to_owned(), headers.to_owned(), body.to_owned())
}

#[tokio::test]
async fn f57_f58_every_fault_has_its_own_reason() {
    let place = Place::new().await;
    for (fault, reason) in [
        (proxy::Fault::Silence, Reason::FetchTooSlow),
        (proxy::Fault::StopHalfWay, Reason::FetchCutShort),
        (proxy::Fault::Lie, Reason::DigestMismatch),
        (answer("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n", ""), Reason::RegistryDenied),
        (answer("403 No", "", ""), Reason::RegistryDenied),
        (answer("404 No", "", ""), Reason::ImageNotFound),
        (answer("429 Slow", "", ""), Reason::RegistryBusy),
        (answer("500 Broken", "", ""), Reason::RegistryFailed),
        (answer("200 OK", "", "<html>please log in</html>"), Reason::DigestMismatch),
    ] {
        assert_eq!(place.fetch_with(fault.clone()).await.reason(), reason, "{fault:?}");
    }
    place.proxy.mend();
    place.works().await;
}

#[tokio::test]
async fn a_hiccup_is_tried_again_and_what_lasts_is_not() {
    let place = Place::new().await;
    for fault in
        [answer("503 Later", "", ""), answer("429 Slow", "Retry-After: 0\r\n", ""), proxy::Fault::StopHalfWay]
    {
        place.proxy.mend();
        place.proxy.break_times(2, "/blobs/", fault);
        place.works().await;
        assert_eq!(place.proxy.seen("/blobs/").len(), 3);
    }
    for fault in [answer("404 No", "", ""), proxy::Fault::Lie, answer("403 No", "", "")] {
        place.fetch_with(fault).await;
        assert_eq!(place.proxy.seen("/blobs/").len(), 1);
    }
    place.fetch_with(answer("500 Broken", "", "")).await;
    assert_eq!(place.proxy.seen("/blobs/").len(), 3);
}

#[tokio::test]
async fn xo03_a_registry_is_left_alone_as_long_as_it_asks_within_bounds() {
    let place = Place::new().await;
    place.proxy.break_times(1, "/blobs/", answer("429 Slow", "Retry-After: 1\r\n", ""));
    let started = Instant::now();
    place.works().await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    // Longer than anybody waits here: told at once, with the time.
    let asked = Some(Duration::from_secs(3_600));
    assert_eq!(
        place.fetch_with(answer("429 Slow", "Retry-After: 3600\r\n", "")).await,
        Fault::Busy { retry_after: asked }
    );
    assert_eq!(place.proxy.seen("/blobs/").len(), 1);
}

#[tokio::test]
async fn xo11_a_drip_ends_with_the_time_for_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path(), Kind::default());
    let proxy = Proxy::before(registry.address()).await;
    let name = proxy.name();
    let args = lath_artifacts::RegistryArgs {
        insecure: vec![name.parse().unwrap()],
        auth: Some("/nowhere/config.json".into()),
        ..Default::default()
    };
    let patience = lath_artifacts::Patience { total: Duration::from_secs(2), ..crate::QUICK };
    let hasty = Registries::new(&args, patience).unwrap();
    let image = reference(&name, "api:1");
    let pushed = registries(&[&name]).push(&image, component("drip")).await.unwrap();
    proxy.break_with("/blobs/", proxy::Fault::Drip(Duration::from_millis(300)));
    let started = Instant::now();
    let error = fetched(&hasty, &image, &pushed.code).await.unwrap_err();
    assert_eq!(error.fault, Fault::TooSlow, "{error}");
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn xo07_a_false_manifest_is_refused_also_by_its_own_digest() {
    let place = Place::new().await;
    place.proxy.break_with("/manifests/", proxy::Fault::Lie);
    // The registry's header tells the digest of the true one; a pin tells it too.
    for image in [place.image.clone(), place.image.pinned(place.pushed.manifest.clone())] {
        let error = place.registries.resolve(&image).await.unwrap_err();
        assert_eq!(error.fault, Fault::DigestMismatch, "{error}");
    }
}

#[tokio::test]
async fn xo03_xo05_what_is_no_manifest_is_refused() {
    let place = Place::new().await;
    let manifest = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
    let huge = format!("{{\"schemaVersion\":2,\"layers\":[{}", "0,".repeat(3 << 20));
    for (body, headers, fault) in [
        ("<html></html>", "Content-Type: text/html\r\n", Fault::Failed),
        ("<html></html>", manifest, Fault::Unsupported),
        ("{\"schemaVersion\":1}", manifest, Fault::Unsupported),
        (huge.as_str(), manifest, Fault::TooLarge),
    ] {
        place.proxy.mend();
        place.proxy.break_with("/manifests/", answer("200 OK", headers, body));
        let error = place.registries.resolve(&place.image).await.unwrap_err();
        assert_eq!(error.fault, fault, "{error}");
    }
}

#[tokio::test]
async fn xo04_redirects_are_few_and_lead_nowhere_inside() {
    let place = Place::new().await;
    let to = |url: &str| answer("307 There", &format!("Location: {url}\r\n"), "");
    // To the same registry: followed.
    let blob = format!("/v2/shop/api/blobs/{}", place.pushed.code);
    place.proxy.break_times(3, "/blobs/", to(&blob));
    place.works().await;
    for target in [
        &blob,
        "http://127.0.0.1:1/",
        "https://169.254.169.254/",
        "http://example.com/",
        "https://localhost.:1/",
    ] {
        place.proxy.mend();
        place.proxy.break_with("/blobs/", to(target));
        let error = fetched(&place.registries, &place.image, &place.pushed.code).await.unwrap_err();
        assert!(matches!(error.fault, Fault::Failed | Fault::Unreachable), "{target}: {error}");
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_is_nobody_elses_fault() {
    let place = Place::new().await;
    // A device that is always full.
    let mut full = tokio::fs::File::options().write(true).open("/dev/full").await.unwrap();
    let error = place.registries.fetch(&place.image, &place.pushed.code, &mut full).await.unwrap_err();
    assert_eq!(error.fault.reason(), Reason::DiskFull, "{error}");
    assert_eq!(place.proxy.seen("/blobs/").len(), 1);
}

#[tokio::test]
async fn a_registry_that_refuses_the_form_of_an_image_is_named_with_the_form() {
    let place = Place::new().await;
    let body = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"config"}]}"#;
    place.proxy.break_with("PUT /v2/shop/api/manifests/", answer("400 Bad", "", body));
    let error = place.registries.push(&place.image, component("other")).await.unwrap_err();
    assert!(error.message.contains("MANIFEST_INVALID"), "{error}");
    assert!(error.help.contains("application/vnd.wasm.config.v0+json"), "{}", error.help);
}
