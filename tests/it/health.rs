//! Health as users meet it: what they are told of a component that does not answer well or cannot be started, what its
//! callers get meanwhile, and that it comes back by itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lath_control_api::Timestamp;
use lath_tests::{App, Lattice, Load, Setup, eventually};
use serde_json::Value;

/// A time as the guest reads it.
fn in_ms(after: Duration) -> u128 {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + after).as_millis()
}

fn between(from: u64, until: u64) -> String {
    format!("{}-{}", in_ms(Duration::from_secs(from)), in_ms(Duration::from_secs(until)))
}

/// The unit of `misbehave` that was made last.
async fn unit(lattice: &Lattice) -> Value {
    let units = lattice.units().await;
    let newest = units.into_iter().filter(|unit| unit["component"] == "misbehave");
    newest.max_by_key(|unit| unit["revision"].as_u64()).unwrap_or_default()
}

async fn until_phase(lattice: &Lattice, phase: &str) -> Value {
    eventually(Duration::from_secs(60), &format!("the component to be {phase}"), async || {
        let unit = unit(lattice).await;
        if unit["phase"] == phase { Ok(unit) } else { Err(format!("{unit:#}")) }
    })
    .await
}

async fn status(lattice: &Lattice) -> Value {
    lattice.lath().run(["status", "bad", "-o", "json"]).await.exits(0).json()
}

/// How many places of `misbehave` are ready, by the app's status.
fn ready(status: &Value) -> u64 {
    let components = status["components"].as_array().unwrap();
    let found = components.iter().find(|component| component["component"] == "misbehave").unwrap();
    found["ready"].as_u64().unwrap()
}

async fn until_state(lattice: &Lattice, state: &str) -> Value {
    eventually(Duration::from_secs(30), &format!("the app to be {state}"), async || {
        let status = status(lattice).await;
        if status["state"] == state { Ok(status) } else { Err(format!("{status:#}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_fails_its_probe_is_unhealthy_until_it_answers_well() {
    let lattice = Setup::default().host(&[]).start().await;
    let app = App::misbehave("bad", lattice.address)
        .probe("misbehave", &format!("/ill?between={}", between(12, 22)))
        .probe_setting("misbehave", "period", "1s")
        .probe_setting("misbehave", "failures", 2);
    let _ = lattice.deploy(&app).await.exits(0);
    assert_eq!(status(&lattice).await["state"], "Serving");

    let ill = until_phase(&lattice, "unhealthy").await;
    assert_eq!((&ill["reason"], &ill["serving"]), (&"probe-failed".into(), &true.into()), "{ill:#}");
    assert!(ill["message"].as_str().is_some_and(|message| message.contains("status 500: ill")), "{ill:#}");
    let told = until_state(&lattice, "Degraded").await;
    assert_eq!(ready(&told), 0, "{told:#}");
    lattice.lath().run(["status", "bad"]).await.exits(0).says(&[
        "unhealthy",
        "probe-failed",
        "status 500: ill",
    ]);
    // Nothing better is here, so it goes on to take calls.
    assert_eq!(Load::new(lattice.address, "/ok").once().await.unwrap().body, "ok");

    until_phase(&lattice, "running").await;
    let told = until_state(&lattice, "Serving").await;
    assert_eq!((ready(&told), &told["problems"]), (1, &Value::Null), "{told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_component_that_can_not_be_started_crash_loops_less_and_less_often_and_comes_back() {
    let lattice = Setup::default().host(&[]).start().await;
    let times = between(10, 26);
    let app = App::misbehave("bad", lattice.address).env("misbehave", "TRAPS_AT_START_BETWEEN", &times);
    let good = App::hello("good", lattice.address).host("good.test");
    let app = app.host("bad.test");
    for app in [&app, &good] {
        let _ = lattice.deploy(app).await.exits(0);
    }
    let (calls, neighbour) =
        (Load::new(lattice.address, "/ok").host("bad.test"), Load::new(lattice.address, "/"));
    let neighbour = neighbour.host("good.test").rate(20).start();
    assert!(calls.once().await.is_ok());

    // It is found out by its calls, and then has none: whoever calls is told at once that nothing is there.
    let looping = eventually(Duration::from_secs(60), "the component to crash-loop", async || {
        let _ = calls.once().await;
        let unit = unit(&lattice).await;
        if unit["phase"] == "crash-looping" { Ok(unit) } else { Err(format!("{unit:#}")) }
    })
    .await;
    assert_eq!(
        (&looping["reason"], &looping["serving"]),
        (&"start-failed".into(), &false.into()),
        "{looping:#}"
    );
    let refused = calls.once().await.unwrap_err();
    assert!(refused.contains("503"), "{refused}");
    until_state(&lattice, "Degraded").await;
    lattice.lath().run(["status", "bad"]).await.exits(0).says(&[
        "crash-looping",
        "start-failed",
        "unreachable",
    ]);

    // Each time it is tried, and fails, it waits longer.
    let mut tries: Vec<Timestamp> = Vec::new();
    eventually(Duration::from_secs(60), "the component to come back", async || {
        let unit = unit(&lattice).await;
        let next = serde_json::from_value(unit["nextTry"].clone()).ok();
        tries.extend(next.filter(|next| !tries.contains(next)));
        if unit["phase"] == "running" { Ok(()) } else { Err(format!("{unit:#}")) }
    })
    .await;
    let waits: Vec<Duration> = tries.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(waits.len() >= 2 && waits.is_sorted_by(|a, b| a < b), "{tries:?}");
    assert!(calls.once().await.is_ok());
    until_state(&lattice, "Serving").await;
    neighbour.finish().await.none_failed();
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_revision_that_turns_unhealthy_under_traffic_is_taken_back() {
    let lattice = Setup::default().host(&[]).start().await;
    let app = App::misbehave("bad", lattice.address);
    let _ = lattice.deploy(&app).await.exits(0);
    let worse = app
        .probe("misbehave", &format!("/ill?between={}", between(8, 600)))
        .probe_setting("misbehave", "period", "1s")
        .rollout("min_healthy_time", "30s");
    let ended = lattice.deploy(&worse).await.exits(9);
    ended.says(&["probe-failed", "status 500: ill"]);
    let told = until_state(&lattice, "Serving").await;
    assert_eq!(told["last"]["outcome"], "RolledBack", "{told:#}");
    assert!(Load::new(lattice.address, "/ok").once().await.is_ok());
}
