//! Ten thousand idle components of one digest on one host: how long each takes until it can be called, and how much
//! memory it keeps.

use std::time::{Duration, Instant};

use crate::bundle::{component, guest, request, server};
use crate::process::{Host, answered};
use crate::row::{Aim, Row, Unit, Value};
use crate::run::Run;

const SUITE: &str = "density";
/// Components of one app; several apps fit in one message each.
const OF_AN_APP: usize = 100;
/// How long the host has nothing to do before it is looked at.
const REST: Duration = Duration::from_secs(5);
/// Longest wait for what a host was asked for: there is no figure then.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let components = run.count(10_000, 2_000);
    let host = Host::start(&run.lath, None).await;
    let digest = host.push(&guest("http-hello-v1")).await;
    // The code is compiled and everything has been there once before anything is measured.
    let first =
        vec![component("first", "hello", &digest), server("first", host.address, "first.test", "hello")];
    host.apply(&request("first", 1, first)).await;
    host.running(2).await;
    answered(&host, "first.test").await;
    tokio::time::sleep(REST).await;
    let (before, nats_before, ready_before) = (host.memory(), host.memory_of_nats(), host.logged(" ready"));

    let begun = Instant::now();
    let mut accepted = Duration::ZERO;
    for app in 0..components.div_ceil(OF_AN_APP) {
        let name = format!("app{app}");
        let of_this = OF_AN_APP.min(components - app * OF_AN_APP);
        let bundles = (0..of_this).map(|number| component(&name, &format!("c{number}"), &digest)).collect();
        let sent = Instant::now();
        host.apply(&request(&name, 1, bundles)).await;
        accepted += sent.elapsed();
    }
    while host.logged(" ready") - ready_before < components {
        assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} not all components are ready");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ready = begun.elapsed();
    host.running(components + 2).await;
    tokio::time::sleep(REST).await;
    let (after, nats_after) = (host.memory(), host.memory_of_nats());
    answered(&host, "first.test").await;

    let each = |all: Duration| Value { amount: all.as_secs_f64() * 1e3 / components as f64, unit: Unit::Ms };
    let kibibytes = |after: u64, before: u64| Value {
        amount: after.saturating_sub(before) as f64 / 1024.0 / components as f64,
        unit: Unit::KiB,
    };
    let what = |text: &str| format!("{text}, each of {components} of one digest");
    vec![
        Row::new(SUITE, what("until it can be called"), each(ready)).aim(Aim::AtMost(0.5)),
        Row::new(SUITE, what("of it until its command is accepted"), each(accepted)),
        Row::new(SUITE, what("resident memory of the host"), kibibytes(after.resident, before.resident))
            .aim(Aim::AtMost(20.0)),
        Row::new(
            SUITE,
            what("beside it in the nats-server"),
            kibibytes(nats_after.resident, nats_before.resident),
        ),
    ]
}
