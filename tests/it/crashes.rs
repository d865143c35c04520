//! A manager dies before and after each of its effects, in every kind of change. The moments are not written down here:
//! a change is made once without a fault and notes what it passes, and each of these passages is a moment to die at.
//! Afterwards the change is carried out or taken back, no call has failed, and nothing is left over: no unit, no link or
//! config (they belong to the units), no listener, no subscription.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lath_manager::Failpoint;
use lath_tests::cli::Running;
use lath_tests::{App, Lattice, Load, ToolV1, eventually, guest};
use serde_json::{Value, json};

use crate::order::{ORDER, one_revision_everywhere, settled};
use crate::words;

/// Longest time until a change comes to any of its moments.
const PASSED: Duration = Duration::from_secs(60);
/// Time that a manager has for what comes after the end of a command: the warm time of blue-green is one second, and then
/// it settles.
const AFTER: Duration = Duration::from_secs(4);
/// Lattices at the same time in one test.
const SIDE_BY_SIDE: usize = 3;

/// A way in which an app changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Rolling,
    Canary,
    BlueGreen,
    Recreate,
    Rollback,
}

impl Course {
    /// The next revision of the app by this course.
    fn app(self, lattice: &Lattice, number: u32) -> App {
        let word = number.to_string();
        let app = App::greeting("shop", lattice.address).rollout("min_healthy_time", "0s");
        let app = app.config("front", "change", &word).config("greeter", "word", &word);
        match self {
            Self::Rolling | Self::Rollback => app.rollout("strategy", "rolling"),
            Self::Canary => app.rollout("strategy", "canary").rollout("steps", "10%/0s, 50%/0s, 100%"),
            Self::BlueGreen => app
                .rollout("strategy", "blue-green")
                .rollout("auto_promote", "true")
                .rollout("keep_warm", "1s"),
            Self::Recreate => app.rollout("strategy", "recreate"),
        }
    }

    /// Begins the change.
    fn begin(self, lattice: &Lattice, number: u32) -> Running {
        match self {
            Self::Rollback => lattice.lath().start(["rollback", "shop"]),
            Self::Rolling | Self::Canary | Self::BlueGreen | Self::Recreate => {
                let file = self.app(lattice, number).write(lattice.folder());
                lattice.lath().start(["deploy".as_ref(), file.as_os_str()])
            }
        }
    }
}

/// Restarts the manager with a variable. With some it ends before it is ready.
async fn with(lattice: &mut Lattice, name: &'static str, value: &str) {
    lattice.manager_mut().stop().await;
    lattice.manager_mut().set(Some((name, value.to_owned())));
    lattice.manager_mut().launch();
    let _ = lattice.manager_mut().ready_or_ended().await;
}

/// What a manager passes, from its start to the end of a change, and how often.
async fn passages(lattice: &mut Lattice, course: Course, number: u32) -> BTreeMap<String, u32> {
    let log = lattice.folder().join(format!("passages-{number}"));
    with(lattice, "LATH_FAILPOINT_LOG", &log.display().to_string()).await;
    let _ = course.begin(lattice, number).ended().await.exits(0);
    let _ = settled(lattice, "shop").await;
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Which passages to die at. Each write of the record is a stage of the change. What is done for each host or person goes
/// by their number and by the clock, so one passage in the middle stands for all.
fn moments(passages: &BTreeMap<String, u32>) -> Vec<String> {
    let mut moments = Vec::new();
    for (point, count) in passages {
        let chosen = match point.as_str() {
            "record-commit" => 1..=*count,
            "lease-take" | "lease-renew" | "answer-send" => 1..=1,
            _ => count.div_ceil(2)..=count.div_ceil(2),
        };
        for nth in chosen {
            moments.extend(["before", "after"].map(|side| format!("{point}:{side}:abort:{nth}")));
        }
    }
    moments
}

/// Waits until the manager has died, or what it was to die in is over without; tells whether it died.
async fn died(lattice: &mut Lattice, change: &mut Running) -> bool {
    let mut over = None;
    eventually(PASSED, "the manager to die, or the change to be over", async || {
        if lattice.manager_mut().has_ended() {
            return Ok(true);
        }
        if !change.runs() && over.get_or_insert_with(Instant::now).elapsed() > AFTER {
            return Ok(false);
        }
        Err("it runs".to_owned())
    })
    .await
}

/// Subscriptions without the numbers of revisions.
fn subscriptions(lattice: &Lattice) -> Result<Vec<String>, String> {
    let unnumbered = |subject: String| match subject.rsplit_once('@') {
        Some((whose, number)) if number.parse::<u64>().is_ok() => format!("{whose}@N"),
        _ => subject,
    };
    Ok(lattice.nats.subscriptions()?.into_iter().map(unnumbered).collect())
}

/// Waits until only the units of one revision are there, and the subscriptions of a lattice at rest.
async fn nothing_left(lattice: &Lattice, at_rest: &[String]) {
    eventually(ORDER, "nothing to be left over", async || {
        let units = lattice.units().await;
        if units.len() != 2 * 3 {
            return Err(format!("{units:#?}"));
        }
        let now = subscriptions(lattice)?;
        if now == at_rest { Ok(()) } else { Err(format!("{now:#?} instead of {at_rest:#?}")) }
    })
    .await;
}

/// Dies at some of the moments, one after another, on a lattice of its own.
async fn dies_at(course: Course, moments: &[String]) -> usize {
    let mut lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&course.app(&lattice, 0)).await.exits(0);
    let _ = lattice.deploy(&course.app(&lattice, 1)).await.exits(0);
    let _ = settled(&lattice, "shop").await;
    eventually(ORDER, "the units of one revision", async || {
        let units = lattice.units().await.len();
        if units == 2 * 3 { Ok(()) } else { Err(units.to_string()) }
    })
    .await;
    let at_rest = subscriptions(&lattice).unwrap();
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(50).start();
    let mut deaths = 0;
    for (moment, number) in moments.iter().zip(3..) {
        with(&mut lattice, "LATH_FAILPOINT", moment).await;
        let mut change = course.begin(&lattice, number);
        let dead = died(&mut lattice, &mut change).await;
        deaths += usize::from(dead);
        lattice.manager_mut().kill();
        lattice.manager_mut().set(None);
        lattice.manager_mut().restart().await;
        let ended = change.ended().await;
        // Carried out, or taken back, or never accepted: nothing in between.
        assert!(matches!(ended.code, Some(0 | 9 | 6)), "{moment}: {}", ended.told());
        let revision = settled(&lattice, "shop").await;
        nothing_left(&lattice, &at_rest).await;
        one_revision_everywhere(&lattice, revision).await;
        println!("killed at {moment}: {dead}, exit {:?}, revision {revision}", ended.code);
    }
    words::more(&ledger, 20).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(|_| "some revision".to_owned()));
    // Between stop and start of recreate nobody answers, as its name says.
    if course != Course::Recreate {
        accounts.none_failed();
    }
    deaths
}

async fn a_manager_dies_at_every_moment_of(course: Course) {
    let mut lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&course.app(&lattice, 0)).await.exits(0);
    let _ = lattice.deploy(&course.app(&lattice, 1)).await.exits(0);
    let passages = passages(&mut lattice, course, 2).await;
    drop(lattice);
    let moments = moments(&passages);
    println!("{course:?} passes {passages:?}");
    // A lattice waits most of the time, for the lease of the killed manager to end: several do that side by side.
    let parts = moments.chunks(moments.len().div_ceil(SIDE_BY_SIDE));
    let deaths = futures::future::join_all(parts.map(|part| dies_at(course, part))).await;
    let deaths: usize = deaths.into_iter().sum();
    // How often hosts answer and people are told differs by one or two from run to run.
    assert!(deaths * 10 >= moments.len() * 9, "it died at {deaths} of {} moments only", moments.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn m1_a_manager_dies_at_every_moment_of_a_rolling_update() {
    a_manager_dies_at_every_moment_of(Course::Rolling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m1_a_manager_dies_at_every_moment_of_a_canary() {
    a_manager_dies_at_every_moment_of(Course::Canary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m1_a_manager_dies_at_every_moment_of_blue_green() {
    a_manager_dies_at_every_moment_of(Course::BlueGreen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m1_a_manager_dies_at_every_moment_of_recreate() {
    a_manager_dies_at_every_moment_of(Course::Recreate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m1_a_manager_dies_at_every_moment_of_a_rollback() {
    a_manager_dies_at_every_moment_of(Course::Rollback).await;
}

/// A manager that dies while it forgets an app: its successor forgets the rest, and the name is free again.
#[tokio::test(flavor = "multi_thread")]
async fn m13_a_manager_dies_at_every_moment_of_a_delete() {
    let mut lattice = Lattice::of_two_hosts().await;
    let app = App::greeting("shop", lattice.address);
    let at_rest = subscriptions(&lattice).unwrap();
    for point in
        [Failpoint::RecordCommit, Failpoint::CommandSend, Failpoint::RevisionDelete, Failpoint::AppForget]
    {
        for side in ["before", "after"] {
            let _ = lattice.deploy(&app).await.exits(0);
            let moment = format!("{}:{side}:abort", point.name());
            with(&mut lattice, "LATH_FAILPOINT", &moment).await;
            let mut delete = lattice.lath().start(["delete", "shop", "--yes"]);
            assert!(died(&mut lattice, &mut delete).await, "it did not die at {moment}");
            lattice.manager_mut().set(None);
            lattice.manager_mut().restart().await;
            let ended = delete.ended().await;
            assert!(matches!(ended.code, Some(0 | 6)), "{moment}: {}", ended.told());
            // Whatever was heard, asking again is harmless.
            let _ = lattice.lath().run(["delete", "shop", "--yes"]).await.exits(0);
            assert_eq!(lattice.store().await.keys().await, Vec::<String>::new(), "{moment}");
            eventually(ORDER, "nothing to be left over", async || {
                let (units, now) = (lattice.units().await, subscriptions(&lattice)?);
                if units.is_empty() && now == at_rest { Ok(()) } else { Err(format!("{units:#?}\n{now:#?}")) }
            })
            .await;
        }
    }
}

/// A manager that dies while it takes a start by hand on, deploys it, or stops it: its successor finishes what was taken
/// on, and whoever has heard nothing may ask again.
#[tokio::test(flavor = "multi_thread")]
async fn m1_a_manager_dies_at_every_moment_of_a_start_by_hand() {
    let mut lattice = Lattice::of_two_hosts().await;
    let tool = ToolV1::of(&lattice).await;
    let host = tool.hosts().await.remove(0);
    let image = format!("file://{}", guest("http-hello-v1").display());
    let runs = async || {
        let units = lattice_units(&tool, &host).await;
        units.iter().any(|unit| unit["id"] == "hello" && unit["max_instances"] == 3)
    };
    let started = [("lattice-write", 1), ("revision-write", 1), ("record-commit", 1), ("lattice-write", 2)];
    let moments =
        started.into_iter().flat_map(|(point, nth)| ["before", "after"].map(|side| (point, side, nth)));
    for (point, side, nth) in moments {
        let moment = format!("{point}:{side}:abort:{nth}");
        with(&mut lattice, "LATH_FAILPOINT", &moment).await;
        let start = [
            "start",
            "component",
            image.as_str(),
            "hello",
            "--max-instances",
            "3",
            "--skip-wait",
            "--host-id",
            host.as_str(),
        ];
        let mut start = lattice.lath().start(start);
        assert!(died(&mut lattice, &mut start).await, "it did not die at {moment}");
        lattice.manager_mut().set(None);
        lattice.manager_mut().restart().await;
        let heard = start.ended().await;
        let taken = heard.code == Some(0);
        if !taken {
            let ask = json!({ "component_id": "hello", "component_ref": image, "count": 3 });
            tool.does(&format!("component.scale.{host}"), &ask).await;
        }
        eventually(ORDER, "the component to run", async || {
            if runs().await {
                Ok(())
            } else {
                Err(format!("{moment}: {:#?}", lattice_units(&tool, &host).await))
            }
        })
        .await;
        println!("killed at {moment}, taken on: {taken}");
        tool.does(&format!("component.scale.{host}"), &json!({ "component_id": "hello", "count": 0 })).await;
        eventually(ORDER, "nothing to be left over", async || {
            let keys = lattice.store().await.keys().await;
            if keys.is_empty() { Ok(()) } else { Err(format!("{moment}: {keys:?}")) }
        })
        .await;
    }
}

/// What a host says to tools of 1.x that it runs.
async fn lattice_units(tool: &ToolV1, host: &str) -> Vec<Value> {
    let inventory = tool.get(&format!("host.get.{host}"), &Value::Null).await;
    inventory["components"].as_array().cloned().unwrap_or_default()
}

/// Every point of the manager's list is passed by one of the changes above, or is named here with who shows it.
#[tokio::test(flavor = "multi_thread")]
async fn no_effect_of_the_manager_is_left_out() {
    let mut lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&Course::Rolling.app(&lattice, 0)).await.exits(0);
    let log = lattice.folder().join("passages");
    with(&mut lattice, "LATH_FAILPOINT_LOG", &log.display().to_string()).await;
    let _ = lattice.deploy(&Course::Rolling.app(&lattice, 1)).await.exits(0);
    let _ = lattice.lath().run(["delete", "shop", "--yes"]).await.exits(0);
    let _ = lattice.lath().run(["config", "put", "words", "greeting=hi"]).await.exits(0);
    let wanted = Failpoint::ALL.iter().map(|point| point.name().to_owned());
    // A question to a webhook is asked again until it is answered, which `manager/tests/it/rollouts.rs` shows.
    let wanted: BTreeSet<String> = wanted.filter(|name| name != Failpoint::WebhookAsk.name()).collect();
    eventually(ORDER, "every point to be passed", async || {
        let passed = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let passed: BTreeSet<String> = passed.lines().map(str::to_owned).collect();
        if wanted == passed { Ok(()) } else { Err(format!("{passed:?} instead of {wanted:?}")) }
    })
    .await;
}
