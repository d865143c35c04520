//! Capability providers as users of a lattice see them: from a manifest to a process that answers, through every change of
//! it, and every way in which one can come to nothing. The provider here has no SDK and answers what those on the published
//! one leave unanswered; that one is tested in `tests/compat/provider`.

use std::time::Duration;

use lath_tests::provider::{Greeting, Journal, is_gone, runs};
use lath_tests::{Lattice, Load, Setup, eventually};
use serde_json::Value;

use crate::words;

/// Longest wait for a state of the lattice.
const PATIENCE: Duration = Duration::from_secs(40);

async fn deploy(lattice: &Lattice, app: &Greeting) -> lath_tests::Ended {
    let manifest = app.write(lattice);
    lattice.lath().run(["deploy".as_ref(), manifest.as_os_str()]).await
}

pub(crate) async fn one_host() -> (Lattice, Journal) {
    let lattice = Setup::default().host(&[]).start().await;
    let journal = Journal::new(lattice.folder());
    (lattice, journal)
}

pub(crate) fn greeting(journal: &Journal) -> Greeting {
    Greeting::new("shop").config("journal", &journal.path())
}

pub(crate) async fn says(lattice: &Lattice, wanted: &str) {
    eventually(PATIENCE, &format!("the answer `{wanted}`"), async || {
        let answer = Load::new(lattice.address, "/?name=Ada").once().await?;
        let said = words::greeting(&answer);
        if said == wanted { Ok(()) } else { Err(said) }
    })
    .await;
}

/// The units of the provider.
pub(crate) async fn units(lattice: &Lattice) -> Vec<Value> {
    let units = lattice.units().await.into_iter();
    units.filter(|unit| unit["component"] == "greeter").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_answers_through_its_link_and_ends_with_its_host_and_its_app() {
    let (mut lattice, journal) = one_host().await;
    let app = greeting(&journal).config("version", "v1").link("word", "Hi").config("child", "1");
    let _ = deploy(&lattice, &app).await.exits(0);
    says(&lattice, "v1 > v1 Hi, Ada").await;
    let [unit] = units(&lattice).await.try_into().unwrap();
    let wire = unit["process"].as_str().unwrap();
    assert!(wire.starts_with("shop-greeter-") && unit["phase"] == "running", "{unit:#}");
    let [link] = unit["links"].as_array().unwrap().as_slice() else { panic!("{unit:#}") };
    assert_eq!((&link["source"], &link["state"]), (&"shop-front".into(), &"accepted".into()), "{unit:#}");
    let first = journal.all("start").pop().unwrap();

    // A host that is killed takes its providers along, and starts them again when it is back.
    lattice.host_mut(1).kill();
    is_gone(&first).await;
    lattice.host_mut(1).restart().await;
    says(&lattice, "v1 > v1 Hi, Ada").await;
    let second = journal.all("start").pop().unwrap();
    assert_ne!(first, second);

    // A process that is killed is started again, and its links are there.
    let id = nix::unistd::Pid::from_raw(second.parse().unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually(PATIENCE, "another process", async || {
        if journal.all("start").len() == 3 { Ok(()) } else { Err(format!("{:?}", journal.lines())) }
    })
    .await;
    says(&lattice, "v1 > v1 Hi, Ada").await;

    // It ends in order, and what it has started with it.
    let (third, child) = (journal.all("start").pop().unwrap(), journal.all("child").pop().unwrap());
    let _ = lattice.lath().run(["undeploy", "shop"]).await.exits(0);
    is_gone(&third).await;
    is_gone(&child).await;
    journal.has(&format!("shutdown {third}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_another_config_or_link_of_a_provider_loses_no_call_and_mixes_no_revisions() {
    let lattice = Lattice::of_two_hosts().await;
    let journal = Journal::new(lattice.folder());
    let app = greeting(&journal).config("version", "v1").config("word", "Hello");
    let _ = deploy(&lattice, &app).await.exits(0);
    says(&lattice, "v1 > v1 Hello, Ada").await;
    let before = journal.all("start");
    assert_eq!(before.len(), 2, "one process on each host");
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    words::more(&ledger, 100).await;
    let new = Greeting { front: "http-front-v2".to_owned(), ..app.clone() }.config("version", "v2");
    let _ = deploy(&lattice, &new).await.exits(0);
    let third = new.clone().link("word", "Welcome");
    let done = deploy(&lattice, &third).await.exits(0);
    let _ = lattice.lath().run(["rollback", "shop"]).await.exits(0);
    words::more(&ledger, 100).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
    let by = accounts.by(words::greeting);
    let wanted = ["v1 > v1 Hello, Ada", "v2 > v2 Hello, Ada", "v2 > v2 Welcome, Ada"];
    assert_eq!(by.keys().collect::<Vec<_>>(), wanted, "{by:?}");
    assert!(done.took() < Duration::from_secs(60));
    for gone in before {
        is_gone(&gone).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_callers_changes_without_another_process() {
    let (lattice, journal) = one_host().await;
    let app = greeting(&journal).config("version", "v1");
    let _ = deploy(&lattice, &app).await.exits(0);
    let new = Greeting { front: "http-front-v2".to_owned(), ..app };
    let _ = deploy(&lattice, &new).await.exits(0);
    says(&lattice, "v2 > v1 Hello, Ada").await;
    assert_eq!(journal.all("start").len(), 1);
    assert!(journal.all("shutdown").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_the_provider_refuses_fails_the_rollout_with_its_words() {
    let (lattice, journal) = one_host().await;
    let app = greeting(&journal).config("version", "v1");
    let _ = deploy(&lattice, &app).await.exits(0);
    says(&lattice, "v1 > v1 Hello, Ada").await;
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(50).start();
    let bad = app.clone().link("refuse", "the bucket is full");
    let ended = deploy(&lattice, &bad).await.exits(9);
    ended.says(&["the bucket is full"]);
    words::more(&ledger, 50).await;
    let accounts = ledger.finish().await;
    accounts.none_failed();
    assert_eq!(accounts.by(words::greeting).keys().collect::<Vec<_>>(), ["v1 > v1 Hello, Ada"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_from_the_provider_changes_hands_with_the_traffic_and_goes_back_when_it_is_refused() {
    let (lattice, journal) = one_host().await;
    let source = |key: &str, value: &str| {
        Some(("front".to_owned(), [(key.to_owned(), value.to_owned())].into_iter().collect()))
    };
    let app = Greeting { source: source("word", "one"), ..greeting(&journal).config("version", "v1") };
    let _ = deploy(&lattice, &app).await.exits(0);
    journal.has("link shop-front default one").await;

    // The same process, another form of the link.
    let _ = deploy(&lattice, &Greeting { source: source("word", "two"), ..app.clone() }).await.exits(0);
    journal.has("link shop-front default two").await;
    assert_eq!(journal.all("start").len(), 1);

    // Another process refuses it: the one that served has it again.
    let refused =
        Greeting { source: source("refuse", "the port is taken"), ..app.clone().config("version", "v2") };
    let ended = deploy(&lattice, &refused).await.exits(9);
    ended.says(&["the port is taken"]);
    says(&lattice, "v1 > v1 Hello, Ada").await;
    let lines = journal.lines();
    let last = |words: &str| lines.iter().rposition(|line| line.starts_with(words));
    assert!(last("link shop-front default two") > last("refused shop-front"), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_provider_or_does_not_become_ready_fails_with_its_reason() {
    let (lattice, journal) = one_host().await;
    let write = |name: &str, bytes: &[u8]| {
        let file = lattice.folder().join(name);
        std::fs::write(&file, bytes).unwrap();
        format!("file://{}", file.display())
    };
    let elf = |machine: u8| {
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(64, 0);
        elf[18] = machine;
        elf
    };
    let other = if std::env::consts::ARCH == "aarch64" { 62 } else { 183 };
    let good = greeting(&journal).config("version", "v1");
    let _ = deploy(&lattice, &good).await.exits(0);
    let bad = [
        (
            Greeting { image: write("foreign", &elf(other)), ..good.clone() },
            ["wrong-platform", "this host is"],
        ),
        (good.clone().config("end", "no database today"), ["provider-exited", "no database today"]),
        (good.clone().config("unhealthy", "the disk is full"), ["probe-failed", "the disk is full"]),
    ];
    for (app, words) in bad {
        let ended = deploy(&lattice, &app).await.exits(9);
        ended.says(&words);
        says(&lattice, "v1 > v1 Hello, Ada").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m12_a_provider_that_ends_again_and_again_is_crash_looping() {
    let (lattice, journal) = one_host().await;
    let app = greeting(&journal).config("version", "v1").config("end-after-ms", "1500");
    let _deployed_or_not = deploy(&lattice, &app).await;
    eventually(PATIENCE, "a crash-looping provider", async || {
        let units = units(&lattice).await;
        let looping = units.iter().find(|unit| unit["phase"] == "crash-looping");
        let told = looping.is_some_and(|unit| {
            let message = unit["message"].as_str().unwrap_or_default();
            message.contains("it has been long enough") && unit["reason"] == "provider-exited"
        });
        if told { Ok(()) } else { Err(format!("{units:#?}")) }
    })
    .await;
    let ended = lattice.lath().run(["undeploy", "shop"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    eventually(PATIENCE, "no process", async || {
        let left: Vec<String> = journal.all("start").into_iter().filter(|id| runs(id)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

/// A provider that stands in an app of its own, for others.
pub(crate) fn tools(journal: &Journal, version: &str) -> String {
    let image = lath_tests::provider::program();
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: tools, annotations: {{ experimental.wasmcloud.dev/shared: 'true' }} }}
spec:
  policies:
    - name: rollout
      type: policy.rollout.lath/v1
      properties: {{ min_healthy_time: 500ms }}
  components:
    - name: greeter
      type: capability
      properties:
        image: 'file://{}'
        config: [{{ name: own, properties: {{ journal: '{}', version: {version} }} }}]
      traits:
        - type: daemonscaler
          properties: {{ instances: 1 }}
",
        image.display(),
        journal.path()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_of_another_app_has_the_links_of_its_callers_whoever_starts_anew() {
    let mut lattice = Lattice::of_two_hosts().await;
    let journal = Journal::new(lattice.folder());
    let deploy = async |lattice: &Lattice, name: &str, yaml: String| {
        let file = lattice.folder().join(name);
        std::fs::write(&file, yaml).unwrap();
        lattice.lath().run(["deploy".as_ref(), file.as_os_str()]).await
    };
    let shop = |lattice: &Lattice, app: Greeting| {
        let yaml = app.yaml(lattice);
        let own = yaml.find("    - name: greeter\n").unwrap();
        let elsewhere = "      type: capability\n      properties: { application: { name: tools, component: greeter } }\n";
        format!("{}    - name: greeter\n{elsewhere}", &yaml[..own])
    };
    let _ = deploy(&lattice, "tools.yaml", tools(&journal, "v1")).await.exits(0);
    let app = Greeting::new("shop");
    let _ = deploy(&lattice, "shop.yaml", shop(&lattice, app.clone().link("word", "Hi"))).await.exits(0);
    says(&lattice, "v1 > v1 Hi, Ada").await;

    // Another process of the provider has the link before it has calls.
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    words::more(&ledger, 100).await;
    let _ = deploy(&lattice, "tools.yaml", tools(&journal, "v2")).await.exits(0);
    words::more(&ledger, 100).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
    says(&lattice, "v1 > v2 Hi, Ada").await;

    // Another form of the link takes the place of the first one, and calls wait for that moment; one that is refused fails
    // its own app alone.
    let welcome = app.clone().link("word", "Welcome");
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    words::more(&ledger, 100).await;
    let _ = deploy(&lattice, "shop.yaml", shop(&lattice, welcome.clone())).await.exits(0);
    words::more(&ledger, 100).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
    says(&lattice, "v1 > v2 Welcome, Ada").await;
    let refused = shop(&lattice, app.clone().link("refuse", "no room for you"));
    let ended = deploy(&lattice, "shop.yaml", refused).await.exits(9);
    ended.says(&["no room for you"]);
    says(&lattice, "v1 > v2 Welcome, Ada").await;

    // Either side starts anew.
    lattice.host_mut(1).kill();
    lattice.host_mut(1).restart().await;
    for _ in 0..20 {
        says(&lattice, "v1 > v2 Welcome, Ada").await;
    }
    let unlinked = journal.all("unlink shop-front default").len();
    let _ = lattice.lath().run(["undeploy", "shop"]).await.exits(0);
    eventually(PATIENCE, "the link to go", async || {
        let now = journal.all("unlink shop-front default").len();
        if now >= unlinked + 2 { Ok(()) } else { Err(format!("{:#?}", journal.lines())) }
    })
    .await;
}
