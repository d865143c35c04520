//! A canary takes the share of calls that its step says, whichever way they come, and one that is bad is found out by
//! what its own share of calls shows.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use lath_tests::{App, Ended, Lattice, Load, Setup, eventually};
use lath_wrpc::{Client, HeaderMap, Limits, Target};
use serde_json::Value;
use tokio::time::Instant;

use crate::words;

const OLD: &str = "v1 > v1 Hello, Ada";
const NEW: &str = "v2 > v2 Welcome, Ada";
/// Calls of each way at each weight.
const CALLS: u64 = 10_000;
/// Calls that are out at the same time: enough to keep a small machine busy, few enough for short answers.
const AT_ONCE: usize = 24;
/// Weights in percent of the steps that wait for a word.
const WEIGHTS: [u64; 3] = [5, 25, 50];

/// The step with that weight, waited for.
async fn at_weight(lattice: &Lattice, weight: u64) {
    let lath = lattice.lath();
    eventually(Duration::from_secs(30), "the step", async || {
        let status = lath.run(["status", "shop", "-o", "json"]).await.exits(0).json();
        let there = status["state"] == "Paused" && status["rollout"]["weight"] == weight;
        let strategy = status["rollout"]["strategy"] == "canary";
        if there && strategy { Ok(()) } else { Err(format!("{status:#}")) }
    })
    .await;
}

async fn promote(lattice: &Lattice) -> Ended {
    lattice.lath().run(["rollout", "promote", "shop"]).await
}

/// Deploys the app and then its canary, up to the first step.
async fn canary(lattice: &Lattice, app: &App) {
    let app = app.clone().rollout("min_healthy_time", "0s");
    let _ = lattice.deploy(&app).await.exits(0);
    let new = app.image("front", "http-front-v2").image("greeter", "greeter-v2");
    let new = new.config("greeter", "word", "Welcome").rollout("strategy", "canary");
    let new = new.rollout("steps", "5%/promote, 25%/promote, 50%/promote");
    lattice.deploy(&new).await.exits(0).says(&["promote"]);
}

/// Within one point of the weight.
fn assert_share(way: &str, new: u64, weight: u64) {
    println!("{way}: {new} of {CALLS} at {weight} %");
    assert!(new.abs_diff(CALLS * weight / 100) <= CALLS / 100, "{way}: {new} of {CALLS} at {weight} %");
}

/// Every request is answered by one whole revision, and so many of the calls behind it as of the requests themselves.
async fn assert_shares_of_requests(lattice: &Lattice, way: &str, weight: u64) {
    let accounts = Load::new(lattice.address, "/?name=Ada").batch(CALLS, AT_ONCE).await;
    println!("{way}: {}", accounts.summary(words::greeting));
    accounts.none_failed();
    let by = accounts.by(words::greeting);
    assert!(by.keys().all(|name| name == OLD || name == NEW), "old and new in one answer: {by:?}");
    assert_share(way, u64::try_from(by[NEW]).unwrap(), weight);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_takes_its_share_of_10000_requests_and_of_calls_in_process() {
    let lattice = Lattice::of_two_hosts().await;
    canary(&lattice, &App::greeting("shop", lattice.address)).await;
    for weight in WEIGHTS {
        at_weight(&lattice, weight).await;
        assert_shares_of_requests(&lattice, "requests and calls in process", weight).await;
        let _ = promote(&lattice).await.exits(0);
    }
    eventually(Duration::from_secs(30), "the end", async || {
        let answer = Load::new(lattice.address, "/?name=Ada").once().await?;
        let status = lattice.lath().run(["status", "shop", "-o", "json"]).await.exits(0).json();
        let over = status["rollout"].is_null() && words::greeting(&answer) == NEW;
        if over { Ok(()) } else { Err(format!("{status:#}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_takes_its_share_of_10000_calls_between_hosts() {
    let lattice = Setup::default().host(&["zone=a"]).host(&["zone=b"]).start().await;
    let app = App::greeting("shop", lattice.address);
    let app = app.place("http", "zone", "a").place("front", "zone", "a").place("greeter", "zone", "b");
    canary(&lattice, &app).await;
    for weight in WEIGHTS {
        at_weight(&lattice, weight).await;
        assert_shares_of_requests(&lattice, "requests and calls between hosts", weight).await;
        let _ = promote(&lattice).await.exits(0);
    }
}

/// Calls of others carry no revision of the app, as those of 1.x peers: they are dealt where they arrive.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_takes_its_share_of_10000_calls_of_others() {
    let lattice = Lattice::of_two_hosts().await;
    canary(&lattice, &App::greeting("shop", lattice.address)).await;
    let greeter = greeter(&lattice).await;
    let caller = Client::new(async_nats::connect(lattice.nats.url()).await.unwrap(), Limits::default());
    let caller = caller.await.unwrap();
    for weight in WEIGHTS {
        at_weight(&lattice, weight).await;
        let calls = futures::stream::iter(0..CALLS).map(|_| greet(&caller, &greeter));
        let versions: Vec<String> = calls.buffer_unordered(AT_ONCE).collect().await;
        let new = versions.iter().filter(|version| *version == "v2").count();
        assert_eq!(versions.iter().filter(|version| *version == "v1").count() + new, versions.len());
        assert_share("calls of others", u64::try_from(new).unwrap(), weight);
        let _ = promote(&lattice).await.exits(0);
    }
}

/// Where the greeter takes calls: its id on the lattice is not its name in the manifest.
async fn greeter(lattice: &Lattice) -> Target {
    let units = lattice.units().await;
    let unit = units.iter().find(|unit| unit["component"] == "greeter").unwrap();
    let id = unit["id"].as_str().unwrap_or_else(|| panic!("{unit:#}")).parse().unwrap();
    Target::new(&"default".parse().unwrap(), &id, Some("lath:demo/greeter@0.1.0"), "greet").unwrap()
}

/// The version that answers. The text and the version stand in the results as strings behind a zero for "well".
async fn greet(caller: &Client, greeter: &Target) -> String {
    let params = Bytes::from_static(b"\x03Ada");
    let deadline = Instant::now() + Duration::from_secs(10);
    let outcome = caller.invoke(greeter, HeaderMap::new(), params, deadline).await.unwrap();
    let results = outcome.results;
    assert_eq!(results.first(), Some(&0), "{results:?}");
    let text = usize::from(results[1]);
    String::from_utf8(results[text + 3..].to_vec()).unwrap()
}

/// The first step's gate sees it: nothing is left to the steps with larger shares, and only calls of the candidate's
/// share have failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_fails_4_percent_of_its_calls_is_taken_back_at_the_first_gate() {
    const SHARE: usize = 10;
    // At the way in it answers 500; behind a link it traps, and its caller with it.
    for component in ["hello", "greeter"] {
        let lattice = Lattice::of_two_hosts().await;
        let app = || match component {
            "hello" => App::hello("shop", lattice.address),
            _ => App::greeting("shop", lattice.address),
        };
        let _ = lattice.deploy(&app()).await.exits(0);
        let ledger = Load::new(lattice.address, "/?name=Ada").rate(400).start();
        words::more(&ledger, 200).await;
        let bad = app().config(component, "fail-percent", "4").config(component, mark(component), "Bad");
        let bad = bad.rollout("strategy", "canary").rollout("gates", "errors<=1%, samples>=100");
        let bad = bad.rollout("steps", "10%/60s, 50%/60s");
        let file = bad.write(lattice.folder());
        let began = std::time::Instant::now();
        let lath = lattice.lath();
        let ended = lath.run(["deploy".as_ref(), file.as_os_str(), "-o".as_ref(), "json".as_ref()]).await;
        let ended = ended.exits(9);
        words::more(&ledger, 200).await;
        let accounts = ledger.finish().await;
        println!("{component} in {:.2?}: {:?} of {}", ended.took(), accounts.causes(), accounts.sent());

        let result: Value = ended.json();
        assert_eq!(result["reason"], "gate-failed", "{result:#}");
        assert_eq!(result["failedAt"], "step 2/5", "{result:#}");
        let problem = result["problem"]["message"].as_str().unwrap();
        assert!(problem.contains("errors"), "{problem}");
        // Only answers of the candidate itself have failed, and none after it was taken back.
        let causes = accounts.causes();
        let of_it = |cause: &String| cause.contains("a fault, as the config says") || cause.contains("502");
        assert!(!causes.is_empty() && causes.keys().all(of_it), "{causes:?}");
        assert_eq!(accounts.sent_after(ended.at).failed().count(), 0);
        // What the candidate got is its share of what was sent in the meantime, and one in 25 of that has failed.
        let meanwhile = accounts.sent_after(began);
        let sent = meanwhile.sent() - meanwhile.sent_after(ended.at).sent();
        let failed = accounts.failed().count();
        let well = accounts.answered().filter(|(_, answer)| answer.body.to_string().contains("Bad")).count();
        let its = failed + well;
        assert!(its * 100 <= sent * SHARE + 100 * AT_ONCE, "{its} of {sent} calls were its own");
        assert!(failed * 100 <= its * 15, "{failed} of its {its} calls failed");
        let status = lattice.lath().run(["status", "shop", "-o", "json"]).await.exits(0).json();
        assert_eq!((&status["state"], &status["revision"]), (&"Serving".into(), &1.into()), "{status:#}");
    }
}

/// The key of the config by which a component's answers are known.
fn mark(component: &str) -> &'static str {
    if component == "hello" { "greeting" } else { "word" }
}
