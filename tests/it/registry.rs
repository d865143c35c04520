//! Code from a registry: a tag is looked at once, a digest runs, and what a registry does wrong touches nothing that
//! serves. Every registry here is Debian's; what makes it false or slow stands before it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lath_control_api::Digest;
use lath_tests::registry::{Kind, PASSWORD, Registry, USER};
use lath_tests::registry_proxy::{Fault, Proxy};
use lath_tests::{App, Ended, Lath, Lattice, Load, Setup, binary, eventually, guest};
use tokio::io::AsyncWriteExt as _;

use crate::words;

/// A lattice of two hosts and the registry that it may use.
struct Place {
    lattice: Lattice,
    proxy: Proxy,
    registry: Registry,
    _folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start(folder.path(), Kind::default());
        let proxy = Proxy::before(registry.address()).await;
        let lattice = Setup::default().host(&[]).host(&[]).registry(&proxy.name()).start().await;
        Self { lattice, proxy, registry, _folder: folder }
    }

    fn image(&self, tag: &str) -> String {
        format!("{}/shop/hello:{tag}", self.proxy.name())
    }

    /// Puts a guest under a tag; gives the digest of its code.
    async fn push(&self, tag: &str, guest_name: &str) -> Digest {
        let file = guest(guest_name);
        let arguments =
            ["push", &self.image(tag), file.to_str().unwrap(), "--registry-insecure", &self.proxy.name()];
        let _ = self.lattice.lath().run(arguments).await.exits(0);
        Digest::of(&fs::read(file).unwrap())
    }

    fn app(&self, tag: &str) -> App {
        App::hello("shop", self.lattice.address).reference("hello", &self.image(tag))
    }

    async fn answers(&self, wanted: &str) {
        let load = Load::new(self.lattice.address, "/");
        eventually(Duration::from_secs(10), "the app to answer", async || {
            let answer = words::hello(&load.once().await?);
            if answer == wanted { Ok(()) } else { Err(answer) }
        })
        .await;
    }

    /// The digests that hosts say they run.
    async fn digests(&self) -> Vec<String> {
        let units = self.lattice.units().await;
        let code = units.iter().filter_map(|unit| unit["digest"].as_str()).map(str::to_owned);
        let mut code: Vec<_> = code.collect();
        code.sort();
        code.dedup();
        code
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k7_a_tag_counts_when_a_revision_is_made_and_never_again() {
    let mut place = Place::new().await;
    let first = place.push("stable", "http-hello-v1").await;
    let _ = place.lattice.deploy(&place.app("stable")).await.exits(0);
    place.answers("v1 hello").await;
    assert_eq!(place.digests().await, [first.as_str()]);

    // The tag moves, and a host loses all that it had: it gets the code of the revision all the same.
    let second = place.push("stable", "http-hello-v2").await;
    place.lattice.host_mut(1).stop().await;
    for folder in ["components", "compiled"] {
        fs::remove_dir_all(place.lattice.host(1).data().join(folder)).unwrap();
    }
    place.lattice.host_mut(1).restart().await;
    eventually(Duration::from_secs(30), "the host to run it again", async || {
        let running = place
            .lattice
            .units()
            .await
            .iter()
            .filter(|unit| unit["digest"] == first.as_str() && unit["phase"] == "running")
            .count();
        if running == 2 { Ok(()) } else { Err(format!("{running} of 2")) }
    })
    .await;
    place.answers("v1 hello").await;

    // The next revision is what the tag stands for now.
    let _ = place.lattice.deploy(&place.app("stable")).await.exits(0);
    place.answers("v2 hello").await;
    assert_eq!(place.digests().await, [second.as_str()]);

    // R8: without any registry, back to what the hosts have.
    place.registry.stop();
    let ledger = Load::new(place.lattice.address, "/").rate(100).start();
    words::more(&ledger, 20).await;
    let _ = place.lattice.lath().run(["rollback", "shop"]).await.exits(0);
    words::more(&ledger, 20).await;
    ledger.finish().await.none_failed();
    place.answers("v1 hello").await;
    // So does a revision that is deployed again: what its tags stood for is known.
    let _ = place.lattice.lath().run(["deploy", "shop@2"]).await.exits(0);
    place.answers("v2 hello").await;
    let refused = place.lattice.deploy(&place.app("stable")).await.exits(6);
    // What stands before the registry still takes connections, and ends them.
    refused.says(&["E0508", "`hello`", &place.proxy.name()]);
}

fn answer(status: &str, headers: &str) -> Fault {
    Fault::Answer(status.to_owned(), headers.to_owned(), String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn f57_f58_what_a_registry_does_wrong_has_its_reason_and_touches_nothing() {
    let place = Place::new().await;
    place.push("1", "http-hello-v1").await;
    let bad = place.push("2", "http-hello-v2").await;
    let _ = place.lattice.deploy(&place.app("1")).await.exits(0);
    let ledger = Load::new(place.lattice.address, "/").rate(100).start();
    let blob = format!("/blobs/{bad}");
    for (number, (fault, reason, says)) in [
        (Fault::Lie, "digest-mismatch", "sent other bytes"),
        (Fault::StopHalfWay, "fetch-cut-short", "ended before its end"),
        (Fault::Silence, "fetch-too-slow", "did not answer within 15 s"),
        (answer("401 Who", "WWW-Authenticate: Basic realm=\"x\"\r\n"), "registry-denied", "lath login"),
        (answer("429 Slow", "Retry-After: 3600\r\n"), "registry-busy", "wait 3600 s"),
        (answer("500 Broken", ""), "registry-failed", "answered 500"),
        (answer("404 No", ""), "image-not-found", "answered 404"),
    ]
    .into_iter()
    .enumerate()
    {
        place.proxy.mend();
        place.proxy.break_with(&blob, fault);
        let app = place.app("2").config("hello", "number", &number.to_string());
        refused(&place, &app, reason, &[says, &place.proxy.name()]).await;
    }
    words::more(&ledger, 20).await;
    let accounts = ledger.finish().await;
    accounts.none_failed();
    assert_eq!(accounts.by(words::hello).into_keys().collect::<Vec<_>>(), ["v1 hello"]);
    // With the registry mended, the same code is taken.
    place.proxy.mend();
    let _ = place.lattice.deploy(&place.app("2")).await.exits(0);
    place.answers("v2 hello").await;
}

/// Deploys an app that cannot be fetched, and checks what command and history say of it.
async fn refused(place: &Place, app: &App, reason: &str, says: &[&str]) {
    let ended: Ended = place.lattice.deploy(app).await.exits(9);
    ended.says(says);
    ended.says(&[reason, "hello on host-"]);
    let status = place.lattice.lath().run(["status", "shop", "-o", "json"]).await.exits(0).json();
    assert_eq!(status["last"]["problem"]["reason"], reason, "{status:#}");
    assert_eq!((&status["state"], &status["revision"]), (&"Serving".into(), &1.into()), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_has_its_reason_in_the_inventory_and_touches_nothing() {
    let place = Place::new().await;
    place.push("1", "http-hello-v1").await;
    let bad = place.push("2", "http-hello-v2").await;
    let _ = place.lattice.deploy(&place.app("1")).await.exits(0);
    let ledger = Load::new(place.lattice.address, "/").rate(100).start();
    // Where the code is written stands a device that is always full.
    for number in [1, 2] {
        let part = place.lattice.host(number).data().join(format!("components/.unfinished-{}", bad.hex()));
        symlink("/dev/full", part).unwrap();
    }
    refused(&place, &place.app("2"), "disk-full", &["No space left"]).await;
    words::more(&ledger, 20).await;
    ledger.finish().await.none_failed();
    // The links are gone with the failed tries: there is room again.
    let _ = place.lattice.deploy(&place.app("2")).await.exits(0);
    place.answers("v2 hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_when_a_revision_is_made_refuses_the_deploy() {
    let place = Place::new().await;
    place.push("1", "http-hello-v1").await;
    place.push("2", "http-hello-v2").await;
    let _ = place.lattice.deploy(&place.app("1")).await.exits(0);
    for (fault, exit, code) in [
        (answer("401 Who", "WWW-Authenticate: Basic realm=\"x\"\r\n"), 7, "E0505"),
        (answer("429 Slow", "Retry-After: 3600\r\n"), 6, "E0506"),
        (answer("500 Broken", ""), 6, "E0507"),
        (Fault::Silence, 6, "E0508"),
        (Fault::Lie, 4, "E0503"),
        (answer("404 No", ""), 4, "E0501"),
    ] {
        place.proxy.mend();
        place.proxy.break_with("/manifests/2", fault);
        let app = place.app("2");
        place.lattice.deploy(&app).await.exits(exit).says(&[code, "`hello`", &place.proxy.name()]);
        let manifest = app.write(place.lattice.folder());
        let plan = place.lattice.lath().run(["plan".as_ref(), manifest.as_os_str()]).await.exits(exit);
        plan.says(&[code]);
    }
    let history = place.lattice.lath().run(["history", "shop", "-o", "json"]).await.exits(0).json();
    assert_eq!(history["entries"].as_array().map(Vec::len), Some(1), "{history:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn components_go_to_a_registry_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(&folder.path().join("registry"), Kind::default());
    let (lath, name) = (Lath::nowhere(folder.path()), registry.name());
    let (image, file) = (format!("{name}/shop/hello:1"), guest("http-hello-v1"));
    let file = file.to_str().unwrap();
    let digest = Digest::of(&fs::read(file).unwrap());
    let run =
        async |arguments: &[&str]| lath.run(arguments.iter().chain(&["--registry-insecure", &name])).await;

    run(&["push", &image, file]).await.exits(0).says(&["Pushed", &image, "@sha256:"]);
    run(&["push", &image, file]).await.exits(0).says(&["Unchanged"]);
    let json = run(&["inspect", &image, "-o", "json"]).await.exits(0).json();
    assert_eq!((&json["kind"], &json["code"]), (&"Artifact".into(), &digest.as_str().into()), "{json:#}");
    assert_eq!(json["mediaType"], "application/wasm");
    let of_file = run(&["inspect", file, "-o", "json"]).await.exits(0).json();
    assert_eq!((&json["exports"], &json["imports"]), (&of_file["exports"], &of_file["imports"]));
    assert!(json["exports"].to_string().contains("wasi:http/incoming-handler@0.2"), "{json:#}");
    run(&["inspect", &image]).await.exits(0).says(&["code", digest.as_str(), "wasi:http/incoming-handler"]);

    run(&["pull", &image]).await.exits(0).says(&["Pulled", "hello.wasm"]);
    assert_eq!(Digest::of(&fs::read(folder.path().join("hello.wasm")).unwrap()), digest);
    run(&["pull", &image]).await.exits(0).says(&["Unchanged"]);
    fs::write(folder.path().join("hello.wasm"), "mine").unwrap();
    run(&["pull", &image]).await.exits(5).says(&["--force"]);
    let _ = run(&["pull", &image, "--force"]).await.exits(0);
    assert_eq!(Digest::of(&fs::read(folder.path().join("hello.wasm")).unwrap()), digest);

    run(&["inspect", &format!("{name}/nothing:1")]).await.exits(4).says(&["E0501", &name]);
    run(&["inspect", "no such file"]).await.exits(3).says(&["there is no file"]);
    lath.run(["inspect", &image]).await.exits(6).says(&["E0504", "--registry-insecure"]);
    fs::write(folder.path().join("text.wasm"), "text").unwrap();
    run(&["push", &image, "text.wasm"]).await.exits(4).says(&["E0502", "neither a component nor a provider"]);
}

/// Runs `lath login` with a password.
async fn login(home: &Path, registry: &str, password: &str) -> std::process::Output {
    let mut command = tokio::process::Command::new(binary::lath());
    command.args(["login", registry, "--user", USER, "--password-stdin", "--registry-insecure", registry]);
    command.env("HOME", home).env_remove("DOCKER_CONFIG").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{password}\n").as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_kept_as_docker_keeps_it_and_no_password_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(&folder.path().join("registry"), Kind { login: true, tls: None });
    let (lath, name) = (Lath::nowhere(folder.path()), registry.name());
    let (image, file) = (format!("{name}/private:1"), guest("http-hello-v1"));
    let push = ["push", &image, file.to_str().unwrap(), "--registry-insecure", &name];
    lath.run(push).await.exits(7).says(&["E0505", &format!("lath login {name}")]);

    let wrong = login(folder.path(), &name, "wrong-password").await;
    assert_eq!(wrong.status.code(), Some(7), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("wrong-password"));
    assert!(!folder.path().join(".docker").exists());
    let good = login(folder.path(), &name, PASSWORD).await;
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert!(!format!("{good:?}").contains(PASSWORD));
    let _ = lath.run(push).await.exits(0);
    let asked = lath.run(["login", &name, "--no-input"]).await.exits(2);
    asked.says(&["--user", "--password-stdin"]);
}

/// Puts a credential helper into a folder, and the word for it into Docker's configuration.
fn helper(home: &Path, name: &str, script: &str) {
    let (program, config) = (home.join("bin/docker-credential-tests"), home.join(".docker/config.json"));
    for file in [&program, &config] {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
    }
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(config, format!("{{\"credHelpers\":{{\"{name}\":\"tests\"}}}}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_come_from_a_helper_which_may_not_take_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(&folder.path().join("registry"), Kind { login: true, tls: None });
    let (name, file) = (registry.name(), guest("http-hello-v1"));
    let push = async || {
        let mut command = tokio::process::Command::new(binary::lath());
        let image = format!("{name}/private:1");
        command.args(["push", &image, file.to_str().unwrap(), "--registry-insecure", &name]);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", folder.path().join("bin").display()));
        command
            .env("HOME", folder.path())
            .env_remove("DOCKER_CONFIG")
            .kill_on_drop(true)
            .output()
            .await
            .unwrap()
    };
    let said = format!("cat >/dev/null; echo '{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'");
    helper(folder.path(), &name, &said);
    let good = push().await;
    assert_eq!(good.status.code(), Some(0), "{good:?}");

    // One that fails may have written anything, and one that hangs is not waited for.
    for (script, says) in [
        (format!("echo 'the secret is {PASSWORD}'; exit 1"), "docker-credential-tests failed"),
        (format!("echo '{PASSWORD}'"), "something else than credentials"),
        ("exec sleep 60".to_owned(), "did not end within 10 s"),
    ] {
        helper(folder.path(), &name, &script);
        let ended = push().await;
        let seen =
            format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert_eq!(ended.status.code(), Some(7), "{seen}");
        assert!(seen.contains(says) && !seen.contains(PASSWORD), "{seen}");
    }
}
