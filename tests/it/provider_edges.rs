//! Providers at the edges of their protocol: one that says nothing, falls ill, gets secrets with a link, comes as an archive,
//! or loses one of two links of a caller. The plain life of one is in `provider.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures::StreamExt as _;
use lath_control_api::Digest;
use lath_tests::provider::{Greeting, is_gone, program, runs};
use lath_tests::{Ended, Lattice, Load, ToolV1, eventually};
use lath_wasmcloud::ProviderLink;
use serde_json::Value;

use crate::provider::{greeting, one_host, says, tools, units};
use crate::words;

/// Longest wait for a state of the lattice: one that is well is asked every 30 s how it is.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is answered before something is deployed that must fail, and after.
const GOOD: &str = "v1 > v1 Hello, Ada";
/// How silence about a link is told where it does not do.
const SILENCE: [&str; 2] = ["link-unverified", "has said nothing about the link"];
const SECRET: &str = "correct horse, sealed in an envelope";
const VAULT: &str = "    - name: vault
      type: policy.secret.wasmcloud.dev/v1alpha1
      properties: { backend: file }
";

async fn put(lattice: &Lattice, yaml: &str) -> Ended {
    let file = lattice.folder().join("app.yaml");
    fs::write(&file, yaml).unwrap();
    lattice.lath().run(["deploy".as_ref(), file.as_os_str()]).await
}

/// Deploys what must fail with these words, and change nothing that serves.
async fn refused(lattice: &Lattice, yaml: &str, why: &[&str]) {
    let ledger = Load::new(lattice.address, "/?name=Ada").start();
    words::more(&ledger, 50).await;
    put(lattice, yaml).await.exits(9).says(why);
    words::more(&ledger, 50).await;
    let accounts = ledger.finish().await;
    accounts.none_failed();
    assert_eq!(accounts.by(words::greeting).keys().collect::<Vec<_>>(), [GOOD]);
}

/// The app with the provider of the app `tools` in place of its own.
fn elsewhere(yaml: &str) -> String {
    let (before, _own) = yaml.split_once("    - name: greeter\n").unwrap();
    let there = "application: { name: tools, component: greeter }";
    format!("{before}    - name: greeter\n      type: capability\n      properties: {{ {there} }}\n")
}

/// The app, asking for an answer to every link.
fn strict(yaml: &str) -> String {
    yaml.replace("\"min_healthy_time\"", "\"unverified_links\": \"fail\", \"min_healthy_time\"")
}

/// The link of `component` is told as one that the provider has said nothing about.
async fn is_unverified(lattice: &Lattice, component: &str) {
    let units = lattice.units().await;
    let unit = units.iter().find(|unit| unit["component"] == component).unwrap();
    assert_eq!(unit["links"][0]["state"], "unverified", "{unit:#}");
    lattice.lath().run(["inventory", "--by", "component"]).await.exits(0).says(&["1 link unverified"]);
    eventually(PATIENCE, "the link in the status", async || {
        let told = lattice.lath().run(["status", "shop"]).await.exits(0).seen();
        if told.contains("unverified: the provider has said nothing about it") { Ok(()) } else { Err(told) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_about_a_link_is_told_and_fails_an_app_that_asks_for_an_answer() {
    let (lattice, journal) = one_host().await;
    let app = greeting(&journal).config("version", "v1");
    let mute = app.clone().config("mute", "yes");
    let _ = put(&lattice, &mute.yaml(&lattice)).await.exits(0);
    is_unverified(&lattice, "greeter").await;
    let next = |app: Greeting| Greeting { front: "http-front-v2".to_owned(), ..app };
    refused(&lattice, &strict(&next(mute).yaml(&lattice)), &SILENCE).await;
    // The process is the one that served before, and goes on to.
    assert_eq!((journal.all("start").len(), journal.all("shutdown").len()), (1, 0));
    // The same policy takes one that answers.
    let _ = put(&lattice, &strict(&next(app).yaml(&lattice))).await.exits(0);
    says(&lattice, "v2 > v1 Hello, Ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_about_a_link_from_another_app_fails_that_app_alone() {
    let (lattice, journal) = one_host().await;
    let mute = tools(&journal, "v1").replace("version: v1", "version: v1, mute: 'yes'");
    let _ = put(&lattice, &mute).await.exits(0);
    let app = Greeting::new("shop");
    let _ = put(&lattice, &elsewhere(&app.yaml(&lattice))).await.exits(0);
    is_unverified(&lattice, "front").await;
    let next = Greeting { front: "http-front-v2".to_owned(), ..app };
    refused(&lattice, &strict(&elsewhere(&next.yaml(&lattice))), &SILENCE).await;
    // The link is held by what serves, too.
    assert_eq!((journal.all("start").len(), journal.all("unlink").len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_never_answers_fails_its_rollout_and_does_not_stay() {
    let (lattice, journal) = one_host().await;
    let app = greeting(&journal).config("version", "v1");
    let _ = put(&lattice, &app.yaml(&lattice)).await.exits(0);
    let served = journal.all("start").pop().unwrap();
    let why = ["probe-failed", "it has not answered requests for its health"];
    refused(&lattice, &app.config("deaf", "yes").yaml(&lattice), &why).await;
    let deaf = journal.all("start").pop().unwrap();
    assert_ne!(served, deaf);
    is_gone(&deaf).await;
    assert!(runs(&served));
}

async fn until(lattice: &Lattice, phase: &str, state: &str) -> Value {
    eventually(PATIENCE, &format!("a provider that is {phase} and an app that is {state}"), async || {
        let status = lattice.lath().run(["status", "shop", "-o", "json"]).await.exits(0).json();
        let units = units(lattice).await;
        match units.iter().find(|unit| unit["phase"] == phase) {
            Some(unit) if status["state"] == state => Ok(unit.clone()),
            _ => Err(format!("{status:#}, {units:#?}")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_falls_ill_is_told_everywhere_serves_on_and_recovers() {
    let (lattice, journal) = one_host().await;
    let mut tool = ToolV1::of(&lattice).await;
    let reason = lattice.folder().join("reason");
    let app = greeting(&journal).config("version", "v1").config("unhealthy-by", reason.to_str().unwrap());
    let _ = put(&lattice, &app.yaml(&lattice)).await.exits(0);
    let is_ours = |data: &Value| data["provider_id"] == "shop-greeter";
    tool.event("health_check_passed", is_ours).await;

    fs::write(&reason, "the disk is full").unwrap();
    let ill = until(&lattice, "unhealthy", "Degraded").await;
    assert_eq!((&ill["reason"], &ill["serving"]), (&"probe-failed".into(), &true.into()), "{ill:#}");
    let told = ["unhealthy", "probe-failed", "the disk is full"];
    lattice.lath().run(["status", "shop"]).await.exits(0).says(&told);
    lattice.lath().run(["inventory", "--by", "component"]).await.exits(0).says(&told);
    tool.event("health_check_failed", is_ours).await;
    // Nothing better is here, so it goes on to take calls.
    says(&lattice, GOOD).await;

    fs::remove_file(&reason).unwrap();
    until(&lattice, "running", "Serving").await;
    tool.event("health_check_passed", is_ours).await;
    assert_eq!(journal.all("start").len(), 1);
}

/// Gives a secret to both links of the provider: `token` to the one that leads to it, `pin` to the one that begins at it.
fn with_secrets(yaml: &str, key: &str) -> String {
    let secret =
        |name: &str| format!("secrets: [{{ name: {name}, properties: {{ policy: vault, key: {key} }} }}]");
    let (to, from) = ("              name: greeter\n", "source: { config: [{ name: from-provider");
    let (token, pin) = (secret("token"), secret("pin"));
    let yaml = yaml.replace(to, &format!("{to}              {token}\n"));
    yaml.replace(from, &from.replace("{ config", &format!("{{ {pin}, config")))
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_links_are_sealed_on_their_way_and_open_at_the_provider_alone() {
    let (mut lattice, journal) = one_host().await;
    let folder = lattice.folder().join("secrets");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("envelope");
    fs::write(&file, SECRET).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    lattice.host_mut(1).set(Some(("LATH_SECRETS_DIR", folder.display().to_string())));
    lattice.host_mut(1).stop().await;
    lattice.host_mut(1).restart().await;
    let nats = lattice.client().await.connection().nats().clone();
    let mut puts = nats.subscribe("wasmbus.rpc.default.*.linkdefs.put").await.unwrap();
    nats.flush().await.unwrap();
    let source = Some(("front".to_owned(), BTreeMap::from([("word".to_owned(), "one".to_owned())])));
    let app = Greeting { source, policies: VAULT.to_owned(), ..greeting(&journal).config("version", "v1") };
    let yaml = |key: &str| with_secrets(&app.yaml(&lattice), key);
    let _ = put(&lattice, &yaml("envelope")).await.exits(0);
    for name in ["token", "pin"] {
        journal.has(&format!("secret shop-front {name} {}", Digest::of(SECRET.as_bytes()))).await;
        let message = tokio::time::timeout(PATIENCE, puts.next()).await.unwrap().unwrap();
        let link: ProviderLink = serde_json::from_slice(&message.payload).unwrap();
        assert!(link.target_secrets.or(link.source_secrets).unwrap().starts_with(b"xkv1"));
    }
    // In clear it stands in its own file and nowhere else: no log, no record, no journal, no store.
    let found = Command::new("grep").args(["-rlF", SECRET]).arg(lattice.folder()).output().unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap().trim_end(), file.display().to_string());
    let inventory = lattice.lath().run(["inventory", "-o", "json"]).await.exits(0);
    assert!(!inventory.seen().contains(SECRET));
    // A reference that leads to nothing changes nothing.
    refused(&lattice, &yaml("elsewhere"), &["secret-unavailable", "`token`", "No such file"]).await;
}

/// Packs files of `folder` as archives of 1.x are packed.
fn pack(folder: &Path, archive: &str, members: &[&str]) {
    let tar = Command::new("tar").arg("-czf").arg(archive).args(members).current_dir(folder).status();
    assert!(tar.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_archive_a_host_runs_its_own_platform_and_a_bad_one_changes_nothing() {
    let (mut lattice, journal) = one_host().await;
    let (folder, other) = (lattice.folder().to_owned(), "vax-vms.bin");
    let here = format!("{}-{}.bin", std::env::consts::ARCH, std::env::consts::OS);
    fs::copy(program(), folder.join(&here)).unwrap();
    fs::write(folder.join(other), "#!/bin/sh\nexit 1\n").unwrap();
    pack(&folder, "whole.par.gz", &[other, &here]);
    pack(&folder, "foreign.par.gz", &[other]);
    let whole = fs::read(folder.join("whole.par.gz")).unwrap();
    fs::write(folder.join("damaged.par.gz"), &whole[..whole.len() / 2]).unwrap();
    let app = |archive: &str| {
        let image = format!("file://{archive}.par.gz");
        Greeting { image, ..greeting(&journal).config("version", "v1") }
    };
    let _ = put(&lattice, &app("whole").yaml(&lattice)).await.exits(0);
    says(&lattice, GOOD).await;
    let [unit] = units(&lattice).await.try_into().unwrap();
    assert_eq!(unit["digest"], Digest::of(&whole).to_string(), "{unit:#}");
    let foreign = ["wrong-platform", "it has vax-vms"];
    refused(&lattice, &app("foreign").yaml(&lattice), &foreign).await;
    refused(&lattice, &app("damaged").yaml(&lattice), &["archive-invalid", "is damaged"]).await;
    // What was unpacked is not believed by another process of the host.
    lattice.host_mut(1).kill();
    lattice.host_mut(1).restart().await;
    says(&lattice, GOOD).await;
}

/// An app whose component keeps keys and values at the provider, by its default link and, if so, by another one.
fn keeper(lattice: &Lattice, app: &Greeting, has_other: bool) -> String {
    let app = Greeting { front: "keeper-v1".to_owned(), ..app.clone() }.link("word", "first");
    let yaml = app.yaml(lattice).replace("namespace: lath", "namespace: wasi");
    let yaml = yaml.replace("package: demo", "package: keyvalue");
    let yaml = yaml.replace("interfaces: [greeter]", "interfaces: [store, atomics, batch]");
    let (traits, settings) = ("      traits:\n", "config: [{ name: other, properties: { word: second } }]");
    let link = "name: other, namespace: wasi, package: keyvalue, interfaces: [store, atomics, batch]";
    let other = format!("{link}, target: {{ name: greeter, {settings} }}");
    let other = format!("{traits}        - type: link\n          properties: {{ {other} }}\n");
    if has_other { yaml.replacen(traits, &other, 1) } else { yaml }
}

/// Takes the other link away while both are called.
async fn lose_the_other(lattice: &Lattice, form: impl Fn(bool) -> String) {
    let _ = put(lattice, &form(true)).await.exits(0);
    let load = |path: &str| Load::new(lattice.address, path).start();
    let (first, other) = (load("/get?key=a"), load("/get?bucket=other&key=a"));
    words::more(&other, 50).await;
    let done = put(lattice, &form(false)).await.exits(0);
    words::more(&other, 50).await;
    let (first, other) = (first.finish().await, other.finish().await);
    println!("{}", first.summary(|answer| answer.text("ok").to_owned()));
    first.none_failed();
    let by = [&first, &other].map(|accounts| accounts.by(|answer| answer.text("ok").to_owned()));
    assert!(by[0].keys().eq(["first"]) && by[1].keys().eq(["second"]), "{by:?}");
    let early = other.failed().find(|(record, _)| record.ended < done.began);
    assert!(early.is_none(), "{early:?}");
    let late = other.sent_after(done.at);
    let refused = late.failed().filter(|(_, why)| why.contains("no such store")).count();
    assert!(refused > 0 && refused == late.sent(), "{:?}", late.causes());
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_a_second_link_that_is_removed_fails_its_own_calls_and_no_other() {
    let (lattice, journal) = one_host().await;
    let app = greeting(&journal).config("version", "v1");
    lose_the_other(&lattice, |has_other| keeper(&lattice, &app, has_other)).await;
    // Other links are another process, which has never had the second one.
    let [before, after]: [String; 2] = journal.all("start").try_into().unwrap();
    is_gone(&before).await;
    assert!(runs(&after));
    assert_eq!(journal.all("link shop-front other").len(), 2, "at its start, and to be answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_a_second_link_to_another_apps_provider_is_taken_away_and_the_first_stays() {
    let (lattice, journal) = one_host().await;
    let _ = put(&lattice, &tools(&journal, "v1")).await.exits(0);
    let app = Greeting::new("shop");
    lose_the_other(&lattice, |has_other| elsewhere(&keeper(&lattice, &app, has_other))).await;
    journal.has("unlink shop-front other").await;
    assert_eq!((journal.all("start").len(), journal.all("unlink").len()), (1, 1));
}
