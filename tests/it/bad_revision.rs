//! A new revision that cannot run: nothing that serves is touched, the command ends with exit code 9, and both the
//! command and `status` name the host, the component and the cause. One test for each way to be bad.

use std::fs;
use std::time::Duration;

use lath_control_api::Digest;
use lath_tests::{App, Ended, Lattice, Load, eventually, guest};

use crate::words;

const GOOD: &str = "v1 hello";

/// What must be said of a bad revision.
struct Said<'a> {
    /// The stable reason of the host.
    reason: &'a str,
    /// Texts that tell the cause in words.
    cause: &'a [&'a str],
}

fn good(lattice: &Lattice) -> App {
    App::hello("shop", lattice.address)
}

async fn serving() -> Lattice {
    let lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&good(&lattice)).await.exits(0);
    lattice
}

/// Deploys a bad revision under load and checks what must hold for each of them.
async fn refused(lattice: &Lattice, deploy: impl Future<Output = Ended>, said: Said<'_>) {
    refused_as(lattice, deploy, said, 2).await;
}

/// The same for one that is not the first: which number it has.
async fn refused_as(lattice: &Lattice, deploy: impl Future<Output = Ended>, said: Said<'_>, revision: usize) {
    let ledger = Load::new(lattice.address, "/").rate(100).start();
    words::more(&ledger, 50).await;
    let deploy = deploy.await;
    words::more(&ledger, 50).await;
    let accounts = ledger.finish().await;
    println!("{} in {:.2?}: {}", said.reason, deploy.took(), accounts.summary(words::hello));

    let deploy = deploy.exits(9);
    accounts.none_failed();
    assert_eq!(accounts.by(words::hello).into_keys().collect::<Vec<_>>(), [GOOD]);

    let expected = [&[said.reason, "hello on host-"], said.cause].concat();
    deploy.says(&expected);
    let status = lattice.lath().run(["status", "shop"]).await.exits(0);
    status.says(&expected);
    let status = lattice.lath().run(["status", "shop", "-o", "json"]).await.exits(0).json();
    assert_eq!((&status["state"], &status["revision"]), (&"Serving".into(), &1.into()), "{status:#}");
    let last = &status["last"];
    assert_eq!((&last["outcome"], &last["revision"]), (&"RolledBack".into(), &revision.into()), "{last:#}");
    assert_eq!(last["problem"]["reason"], said.reason, "{last:#}");
    assert_eq!(last["problem"]["component"], "hello", "{last:#}");
    lattice.lath().run(["history", "shop"]).await.exits(0).says(&["RolledBack", said.reason]);
}

/// What happens to the object that holds the code of a revision.
enum Damage {
    Removed,
    Replaced,
}

/// Deploys another image and damages the object that holds it before any host looks for it. The hosts are frozen
/// meanwhile, for a moment that no client notices but by a late answer.
async fn damaged(lattice: &Lattice, damage: Damage) -> Ended {
    let (lath, store) = (lattice.lath(), lattice.store().await);
    let code = Digest::of(&fs::read(guest("http-hello-v2")).unwrap());
    let manifest = good(lattice).image("hello", "http-hello-v2").write(lattice.folder());
    for number in [1, 2] {
        lattice.host(number).freeze();
    }
    let deploy = lath.start(["deploy".as_ref(), manifest.as_os_str()]);
    eventually(Duration::from_secs(5), "the manager to have the new revision", async || {
        let status = lath.run(["status", "shop", "-o", "json"]).await.exits(0).json();
        if status["revision"] == 2 { Ok(()) } else { Err(format!("{status:#}")) }
    })
    .await;
    match damage {
        Damage::Removed => store.remove_object(code.hex()).await,
        Damage::Replaced => store.replace_object(code.hex(), b"other bytes").await,
    }
    for number in [1, 2] {
        lattice.host(number).thaw();
    }
    deploy.ended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_code_that_is_not_in_the_store_changes_nothing() {
    let lattice = serving().await;
    let said = Said { reason: "fetch-failed", cause: &[] };
    refused(&lattice, Box::pin(damaged(&lattice, Damage::Removed)), said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k7_code_of_another_digest_never_runs() {
    let lattice = serving().await;
    let digest = Digest::of(&fs::read(guest("http-hello-v2")).unwrap());
    let said = Said { reason: "digest-mismatch", cause: &[digest.short()] };
    refused(&lattice, Box::pin(damaged(&lattice, Damage::Replaced)), said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_file_that_is_no_component_changes_nothing() {
    let lattice = serving().await;
    let file = lattice.folder().join("module.wasm");
    fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    let bad = good(&lattice).file("hello", &file);
    let said = Said { reason: "not-a-component", cause: &["module"] };
    refused(&lattice, lattice.deploy(&bad), said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn xw_damaged_files_have_their_reasons_and_change_nothing() {
    let lattice = serving().await;
    let whole = fs::read(guest("http-hello-v2")).unwrap();
    let mut rng = 0x5eed_u64;
    let random = std::iter::repeat_with(|| {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        rng.to_be_bytes()[0]
    });
    let mut later = whole.clone();
    later.splice(4..8, [0x0e, 0, 1, 0]);
    let cases: [(&str, Vec<u8>, &str, &str); 4] = [
        ("truncated", whole[..whole.len() / 2].to_vec(), "compile-failed", "out of bounds"),
        ("random", random.take(100_000).collect(), "not-a-component", "unknown"),
        ("empty", Vec::new(), "not-a-component", "empty"),
        ("of-a-later-version", later, "not-a-component", "version"),
    ];
    for (number, (name, bytes, reason, cause)) in cases.into_iter().enumerate() {
        let file = lattice.folder().join(format!("{name}.wasm"));
        fs::write(&file, bytes).unwrap();
        let bad = good(&lattice).file("hello", &file);
        let revision = number + 2;
        refused_as(&lattice, lattice.deploy(&bad), Said { reason, cause: &[cause] }, revision).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn xw08_a_file_over_the_limit_is_refused_and_changes_nothing() {
    let lattice = serving().await;
    let file = lattice.folder().join("large.wasm");
    let large = fs::File::create(&file).unwrap();
    large.set_len((256 << 20) + 1).unwrap();
    let bad = good(&lattice).file("hello", &file);
    lattice.deploy(&bad).await.exits(4).says(&["large.wasm", "E0501", "at most 256 MiB"]);
    let history = lattice.lath().run(["history", "shop", "-o", "json"]).await.exits(0).json();
    assert_eq!(history["entries"].as_array().map(Vec::len), Some(1), "{history:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_an_import_without_a_link_changes_nothing() {
    let lattice = serving().await;
    let bad = good(&lattice).image("hello", "needs-missing-v1");
    let said = Said { reason: "import-unsatisfied", cause: &["lath:demo/absent"] };
    refused(&lattice, lattice.deploy(&bad), said).await;
}

/// Both ends of a link are compared when they are made ready: it is not left to the first call.
#[tokio::test(flavor = "multi_thread")]
async fn r5_a_link_between_versions_that_do_not_fit_changes_nothing() {
    let lattice = Lattice::of_two_hosts().await;
    let app = App::greeting("shop", lattice.address);
    let _ = lattice.deploy(&app).await.exits(0);
    // What was built against the next version has that in its names, which are no longer.
    let mut later = fs::read(guest("greeter-v1")).unwrap();
    let (name, next) = (b"lath:demo/greeter@0.1.0", b"lath:demo/greeter@0.2.0");
    for at in 0..later.len() - name.len() {
        if later[at..].starts_with(name) {
            later[at..at + next.len()].copy_from_slice(next);
        }
    }
    let file = lattice.folder().join("later.wasm");
    fs::write(&file, later).unwrap();
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    lattice.deploy(&app.file("greeter", &file)).await.exits(9).says(&[
        "import-unsatisfied",
        "the link of `shop-front` to `shop-greeter` does not fit",
        "`shop-greeter` has `lath:demo/greeter@0.2.0`, and its caller wants `lath:demo/greeter@0.1.0`",
    ]);
    words::more(&ledger, 50).await;
    let accounts = ledger.finish().await;
    accounts.none_failed();
    assert_eq!(accounts.by(words::greeting).into_keys().collect::<Vec<_>>(), ["v1 > v1 Hello, Ada"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_component_that_traps_at_start_changes_nothing() {
    let lattice = serving().await;
    let bad = good(&lattice).image("hello", "misbehave-trap-at-start-v1");
    let said = Said { reason: "start-failed", cause: &["unreachable"] };
    refused(&lattice, lattice.deploy(&bad), said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_config_that_breaks_a_component_changes_nothing() {
    let lattice = serving().await;
    let bad = good(&lattice).config("hello", "mode", "bad").probe("hello", "/healthz");
    let said = Said { reason: "probe-failed", cause: &["500", "config key `mode` is `bad`"] };
    refused(&lattice, lattice.deploy(&bad), said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_deploy_that_cannot_run_fails_and_can_be_mended_by_another() {
    let lattice = Lattice::of_two_hosts().await;
    let bad = good(&lattice).image("hello", "needs-missing-v1");
    lattice.deploy(&bad).await.exits(1).says(&["import-unsatisfied", "hello on host-", "lath:demo/absent"]);
    lattice.lath().run(["rollback", "shop"]).await.exits(3).says(&["shop"]);
    let _ = lattice.deploy(&good(&lattice)).await.exits(0);
    assert_eq!(words::hello(&Load::new(lattice.address, "/").once().await.unwrap()), GOOD);
}
