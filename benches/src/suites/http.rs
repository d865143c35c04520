//! The smallest web app over HTTP, beside `wasmtime serve` with the same component and a bare server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lath_control_api::InstancePolicy;
use lath_tests::process::Process;
use lath_tests::{eventually, ports};
use tempfile::TempDir;

use crate::bundle::{component, guest, keeping, request, server};
use crate::load::{Ask, closed, fixed};
use crate::process::{Host, Memory, processor_time};
use crate::row::{Aim, Row, Unit, Value};
use crate::run::{Run, middle};

const SUITE: &str = "http";
const CONNECTIONS: usize = 50;
/// Calls of one instance, of those that are reused.
const REUSED: u32 = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of a run, and how it is asked.
pub(super) struct Server {
    name: &'static str,
    ask: Ask,
    /// The number of its process.
    process: u32,
    _own: Option<Process>,
}

impl Server {
    fn of_lath(name: &'static str, host: &Host, app: &str) -> Self {
        let ask = Ask::root(host.address, &format!("{app}.test"));
        Self { name, ask, process: host.process(), _own: None }
    }
}

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
    let host = Host::start(&run.lath, None).await;
    let reuse = InstancePolicy::Reuse { calls: REUSED };
    let apps = [
        ("fresh", "http-least-v1", InstancePolicy::Fresh),
        ("reuse", "http-least-v1", reuse),
        ("fresh3", "http-least-p3-v1", InstancePolicy::Fresh),
        ("reuse3", "http-least-p3-v1", reuse),
    ];
    for (app, code, policy) in apps {
        let digest = host.push(&guest(code)).await;
        let hello = keeping(component(app, "hello", &digest), policy);
        let web = server(app, host.address, &format!("{app}.test"), "hello");
        host.apply(&request(app, 1, vec![hello, web])).await;
    }
    host.running(2 * apps.len()).await;
    let mut servers = vec![
        Server::of_lath("lath fresh", &host, "fresh"),
        Server::of_lath("lath reuse", &host, "reuse"),
        Server::of_lath("lath 0.3 fresh", &host, "fresh3"),
        Server::of_lath("lath 0.3 reuse", &host, "reuse3"),
        bare(&run.hyper, &folder).await,
    ];
    if let Some(wasmtime) = &run.wasmtime {
        let p2 = ["-Scli,config"];
        let reuse = format!("--max-instance-reuse-count={REUSED}");
        let p3 = ["-Scli,config,p3", "-Wcomponent-model-async"];
        servers.push(wasmtime_serve("wasmtime fresh", wasmtime, &p2, "http-least-v1", &folder).await);
        servers.push(
            wasmtime_serve("wasmtime reuse", wasmtime, &[p2[0], &reuse], "http-least-v1", &folder).await,
        );
        servers.push(wasmtime_serve("wasmtime 0.3", wasmtime, &p3, "http-least-p3-v1", &folder).await);
    }
    for server in &servers {
        let warm = closed(&server.ask, CONNECTIONS, Duration::from_millis(500));
        assert!(warm.failures == 0, "{}: {} requests failed", server.name, warm.failures);
    }
    let (rates, costs) = load_in_turn(run, &servers);
    let rates: Vec<(&str, f64)> = servers.iter().map(|server| server.name).zip(rates).collect();
    let rate = |name: &str| rates.iter().find(|(found, _)| *found == name).map(|(_, rate)| *rate);
    let mut rows = Vec::new();
    let mut row = |work: &str, ours: &str, other: (&str, &str), aim: Aim| {
        let ours = Value::per_second(rate(ours).expect("it was measured"));
        let row = Row::new(SUITE, work, ours).aim(aim);
        rows.push(match rate(other.0) {
            Some(rate) => row.beside(other.1, Value::per_second(rate)),
            None => row,
        });
    };
    let fresh = "hello, fresh instances, 50 connections";
    row(fresh, "lath fresh", ("wasmtime fresh", "wasmtime serve"), Aim::TimesAtLeast(2.0));
    let reuse = "hello, instances reused 1,000 times";
    row(reuse, "lath reuse", ("wasmtime reuse", "wasmtime serve, reused as often"), Aim::TimesAtLeast(1.0));
    row("the same beside a bare server", "lath reuse", ("bare hyper", "hyper alone"), Aim::TimesAtLeast(0.5));
    let default = "hello of WASI 0.3, fresh (default)";
    row(
        default,
        "lath 0.3 fresh",
        ("wasmtime 0.3", "wasmtime serve (default: reused)"),
        Aim::TimesAtLeast(1.0),
    );
    let reuse3 = "hello of WASI 0.3, reused";
    row(
        reuse3,
        "lath 0.3 reuse",
        ("wasmtime 0.3", "wasmtime serve (default: reused)"),
        Aim::TimesAtLeast(1.0),
    );
    rows.extend(costs_of(&servers, &costs));
    rows.extend(at_a_rate(run, &servers));
    rows
}

/// Requests in a second of each server, and the processor time of one of them in seconds.
fn load_in_turn(run: &Run, servers: &[Server]) -> (Vec<f64>, Vec<f64>) {
    let mut rates = vec![Vec::new(); servers.len()];
    let mut costs = vec![Vec::new(); servers.len()];
    for _ in 0..run.rounds() {
        for ((server, rates), costs) in servers.iter().zip(&mut rates).zip(&mut costs) {
            let before = processor_time(server.process);
            let load = closed(&server.ask, CONNECTIONS, run.time());
            let spent = processor_time(server.process) - before;
            costs.push(spent.as_secs_f64() / load.times.len().max(1) as f64);
            rates.push(load.rate());
        }
    }
    let middles = |values: Vec<Vec<f64>>| values.into_iter().map(middle).collect();
    (middles(rates), middles(costs))
}

/// What the servers took meanwhile, of processors and of memory. All apps of Lath are in one process.
fn costs_of(servers: &[Server], costs: &[f64]) -> Vec<Row> {
    let at = |name: &str| servers.iter().position(|server| server.name == name);
    let row = |work: &str, (ours, other): (&str, &str), value: &dyn Fn(usize) -> Value| {
        let row = Row::new(SUITE, work, value(at(ours)?));
        Some(match at(other) {
            Some(other) => row.beside("wasmtime serve", value(other)),
            None => row,
        })
    };
    let time = |at: usize| Value { amount: costs[at] * 1e6, unit: Unit::Us };
    let memory = |at: usize| {
        let most = Memory::of(servers[at].process).most;
        Value { amount: most as f64 / f64::from(1 << 20), unit: Unit::MiB }
    };
    [
        row("hello, fresh: processor time of a request", ("lath fresh", "wasmtime fresh"), &time),
        row("hello, reused: processor time of a request", ("lath reuse", "wasmtime reuse"), &time),
        row("most resident memory, all four apps beside one", ("lath fresh", "wasmtime fresh"), &memory),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Half of what the slower of two takes, at even times: what requests wait when nobody is at the limit.
fn at_a_rate(run: &Run, servers: &[Server]) -> Vec<Row> {
    const RATE: f64 = 2_000.0;
    let of = |name: &str| servers.iter().find(|server| server.name == name);
    let Some(ours) = of("lath fresh") else { return Vec::new() };
    let measure = |server: &Server| fixed(&server.ask, CONNECTIONS, RATE, run.time()).within(99.0);
    let row = Row::new(SUITE, "hello, fresh, 2,000 requests a second, p99", Value::us(measure(ours)));
    vec![match of("wasmtime fresh") {
        Some(other) => row.beside("wasmtime serve", Value::us(measure(other))),
        None => row,
    }]
}

pub(super) async fn bare(program: &Path, folder: &TempDir) -> Server {
    let address = ports::free_address();
    let mut command = Command::new(program);
    command.arg(address.to_string());
    started("bare hyper", command, address, folder).await
}

pub(super) async fn wasmtime_serve(
    name: &'static str,
    wasmtime: &Path,
    flags: &[&str],
    code: &str,
    folder: &TempDir,
) -> Server {
    let address = ports::free_address();
    let mut command = Command::new(wasmtime);
    command.arg("serve").args(flags).args(["--addr", &address.to_string()]).arg(lath_tests::guest(code));
    started(name, command, address, folder).await
}

async fn started(name: &'static str, command: Command, address: SocketAddr, folder: &TempDir) -> Server {
    let log = folder.path().join(format!("{}.log", name.replace([' ', '.'], "-")));
    let mut process = Process::start(name, command, &log);
    eventually(PATIENCE, &format!("{name} to listen"), async || {
        assert!(process.ended().is_none(), "it ended\n{}", process.last_words());
        std::net::TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
    })
    .await;
    let number = process.id();
    Server { name, ask: Ask::root(address, "bench.test"), process: number, _own: Some(process) }
}

impl Server {
    /// How it is asked.
    pub(super) const fn ask(&self) -> &Ask {
        &self.ask
    }

    /// The number of its process.
    pub(super) const fn process(&self) -> u32 {
        self.process
    }
}
