//! What requests wait while their app is changed: a new image of the component, rolled out by a real manager, under an even
//! load. A request that fails ends the measurement.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lath_tests::process::Process;
use lath_tests::{App, eventually, ports};

use crate::load::{Ask, Load, fixed};
use crate::process::{Host, answered};
use crate::row::{Row, Value};
use crate::run::{Run, middle};

const SUITE: &str = "rollout";
const CONNECTIONS: usize = 50;
const RATE: f64 = 1_000.0;
/// Longest that an upgrade may take.
const UPGRADE: Duration = Duration::from_secs(60);
/// The load is sent in pieces of this length, and an upgrade begins after the first one.
const PIECE: Duration = Duration::from_millis(500);

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
    let host = Host::start(&run.lath, None).await;
    let mut manager = Command::new(&run.lath);
    manager.args(["manager", "--allow-file-load", "--nats-url", &host.nats_url(), "--data-dir"]);
    manager.arg(folder.path().join("manager")).args(["--http", &ports::free_address().to_string()]);
    let _manager = Process::start("manager", manager, &folder.path().join("manager.log"));
    let app = App::hello("shop", host.address).host("shop.test");
    eventually(UPGRADE, "a first deploy", async || deploy(run, &host, &app, folder.path())).await;
    answered(&host, "shop.test").await;
    let ask = Ask::root(host.address, "shop.test");
    let (mut idle, mut during, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..run.rounds() {
        let begun = Instant::now();
        idle.push(p99(&load_while(&ask, || begun.elapsed() < run.time())));
        let new = app.clone().image("hello", ["http-hello-v2", "http-hello-v1"][round % 2]);
        let (load, time) = upgrade(run, &host, &ask, &new, folder.path());
        during.push(p99(&load));
        took.push(time.as_secs_f64());
    }
    let value = |times: Vec<f64>| Value::us(Duration::from_secs_f64(middle(times)));
    vec![
        Row::new(SUITE, "hello, 1,000 requests a second during upgrades, p99", value(during))
            .beside("the same without", value(idle)),
        Row::new(SUITE, "an upgrade under that load, no request failed", {
            Value::ms(Duration::from_secs_f64(middle(took)))
        }),
    ]
}

/// The load from shortly before an upgrade until shortly after it, and how long the upgrade took.
fn upgrade(run: &Run, host: &Host, ask: &Ask, app: &App, folder: &Path) -> (Load, Duration) {
    let begun = Instant::now();
    thread::scope(|scope| {
        let deployed = scope.spawn(|| {
            thread::sleep(PIECE);
            let asked = Instant::now();
            deploy(run, host, app, folder).expect("the upgrade is done");
            asked.elapsed()
        });
        let load = load_while(ask, || {
            assert!(begun.elapsed() < UPGRADE, "the upgrade does not end");
            !deployed.is_finished()
        });
        (load, deployed.join().expect("it was deployed"))
    })
}

/// The load, piece by piece: it cannot be told to end.
fn load_while(ask: &Ask, goes_on: impl Fn() -> bool) -> Load {
    let mut all = Load::default();
    while goes_on() {
        let load = fixed(ask, CONNECTIONS, RATE, PIECE);
        all.times.extend(load.times);
        all.failures += load.failures;
    }
    all.times.sort_unstable();
    all
}

fn p99(load: &Load) -> f64 {
    assert!(load.failures == 0, "{} requests failed", load.failures);
    load.within(99.0).as_secs_f64()
}

fn deploy(run: &Run, host: &Host, app: &App, folder: &Path) -> Result<(), String> {
    let mut command = Command::new(&run.lath);
    command.args(["--server", &host.nats_url(), "deploy"]).arg(app.write(folder));
    let done = command.output().expect("lath runs");
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
