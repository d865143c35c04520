//! What a component suffers from a neighbour that misbehaves, and how soon its host answers commands meanwhile.
//!
//! A host with a component that answers at once and one that does what a host must survive. Fifty clients ask the second
//! for one kind of harm after another, and for all kinds at once, while one client asks the first, a hundred times in a
//! second. Clients are in this process; those that have harm done give way to
//! everything else, as if they were on another machine. One of them does not: its times are those that are told of harmful
//! calls, as the others wait for a processor themselves before they see an answer.
//!
//! Needs the guests of `cargo xtask components` and nats-server. Run with
//! `cargo bench --workspace --profile dev --bench neighbours`, or name a `lath` of your own in `LATH_BIN`. After `--`, parts of
//! the names of some kinds of harm choose those.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement without its lattice must stop at once, and its numbers are what it is for"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lath_tests::{App, Lattice, Setup};
use tokio::runtime::{Builder, Runtime};

/// Clients that have harm done.
const CLIENTS: usize = 50;
/// How long each kind of harm goes on, and how long the neighbour is measured alone.
const TIME: Duration = Duration::from_secs(10);
/// Time between two requests to the neighbour.
const PAUSE: Duration = Duration::from_millis(10);
/// Time between two questions to the host.
const CONTROL_PAUSE: Duration = Duration::from_millis(50);
/// Deadline of the calls that do harm.
const DEADLINE: Duration = Duration::from_secs(1);

/// Each kind of harm: what it is called, and the paths that the clients ask for in turn.
const HARM: [(&str, &[&str]); 9] = [
    ("nothing (answers at once)", &["/ok"]),
    ("waiting", &["/sleep?ms=60000"]),
    ("looping", &["/loop"]),
    ("eating memory, up to the limit", &["/eat?mib=60"]),
    ("eating memory, over the limit", &["/eat?mib=1000"]),
    ("trapping", &["/trap"]),
    ("flooding logs", &["/flood?lines=100000"]),
    ("leaking handles", &["/leak?handles=1000000"]),
    (
        "all of it at once",
        &["/loop", "/eat?mib=60", "/eat?mib=1000", "/trap", "/flood?lines=100000", "/leak?handles=1000000"],
    ),
];

type Http = Client<HttpConnector, Empty<Bytes>>;

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let lattice = Setup::default().host(&[]).start().await;
    let neighbour = App::hello("neighbour", lattice.address).host("neighbour.test");
    let deadline = format!("{}ms", DEADLINE.as_millis());
    let misbehave = App::misbehave("misbehave", lattice.address)
        .host("misbehave.test")
        .limit("misbehave", "memory", "64Mi")
        .limit("misbehave", "invocation_deadline", deadline);
    for app in [&neighbour, &misbehave] {
        let _ = lattice.deploy(app).await.exits(0);
    }
    println!("{:<34} {:>21}   {:>21}   {:>21}   harm", "", "neighbour", "control", "harmful calls");
    println!(
        "{:<34} {:>6} {:>7} {:>6}   {:>6} {:>7} {:>6}   {:>6} {:>7} {:>6}   calls",
        "times in ms", "p50", "p99", "most", "p50", "p99", "most", "p50", "p99", "most"
    );
    let _warm = beside(&lattice, &[], Duration::from_secs(2)).await;
    print("alone", beside(&lattice, &[], TIME).await);
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| name.contains(asked.as_str()));
    for (name, paths) in HARM.into_iter().filter(|(name, _)| is_asked(name)) {
        print(name, beside(&lattice, paths, TIME).await);
        tokio::time::sleep(DEADLINE).await;
    }
    print("alone again", beside(&lattice, &[], TIME).await);
}

/// How long answers took.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    /// The time within which `percent` of a hundred answers came, in milliseconds.
    fn within(&self, percent: usize) -> f64 {
        let mut times = self.0.clone();
        times.sort_unstable();
        let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
    }
}

struct Measured {
    neighbour: Times,
    control: Times,
    /// Of one client.
    harm: Times,
    /// Harmful calls of all clients.
    calls: usize,
}

fn print(name: &str, Measured { neighbour, control, harm, calls }: Measured) {
    let show = |times: &Times| {
        format!("{:>6.2} {:>7.2} {:>6.1}", times.within(50), times.within(99), times.within(100))
    };
    let harmful = if harm.0.is_empty() { String::new() } else { show(&harm) };
    println!("{name:<34} {}   {}   {harmful:>21}   {calls}", show(&neighbour), show(&control));
}

/// Measures for some time, while the clients ask for these paths.
async fn beside(lattice: &Lattice, paths: &'static [&'static str], time: Duration) -> Measured {
    let (address, stop) = (lattice.address, Arc::new(AtomicBool::new(false)));
    let others = elsewhere();
    let clients: Vec<_> = (0..if paths.is_empty() { 0 } else { CLIENTS - 1 })
        .filter_map(|client| paths.get(client % paths.len()))
        .map(|path| others.spawn(harm(address, path, Arc::clone(&stop))))
        .collect();
    let witness = paths.first().map(|path| {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(harm(address, path, stop))
        })
    });
    // On a thread of its own, so that it waits for none of the others.
    let neighbour = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(ask_neighbour(address, &stop))
        })
    };
    let client = lattice.client().await;
    let hosts = client.ping_hosts(Duration::from_millis(500)).await.expect("the hosts answer");
    let host = hosts.first().expect("there is a host").host.clone();
    let (begun, mut control) = (Instant::now(), Times::default());
    while begun.elapsed() < time {
        let asked = Instant::now();
        let _inventory = client.inventory(&host, Duration::from_secs(10)).await.expect("an inventory");
        control.0.push(asked.elapsed());
        tokio::time::sleep(CONTROL_PAUSE).await;
    }
    stop.store(true, Ordering::Relaxed);
    let neighbour = neighbour.join().expect("the neighbour was measured");
    let mut calls = 0;
    for client in clients {
        calls += client.await.expect("a client").0.len();
    }
    others.shutdown_background();
    let harm = witness.map(|witness| witness.join().expect("a client")).unwrap_or_default();
    calls += harm.0.len();
    Measured { neighbour, control, harm, calls }
}

/// Threads for the clients that have harm done. Where those are on other machines they take no processor of the host's:
/// here they give way to everything else.
fn elsewhere() -> Runtime {
    let give_way = || rustix::process::setpriority_process(None, 19).expect("a low priority");
    let runtime =
        Builder::new_multi_thread().worker_threads(2).on_thread_start(give_way).enable_all().build();
    runtime.expect("a runtime")
}

async fn ask_neighbour(address: SocketAddr, stop: &AtomicBool) -> Times {
    let (client, mut times) = (http(), Times::default());
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let status = get(&client, address, "neighbour.test", "/").await;
        assert_eq!(status, Some(200), "the neighbour must not suffer failures");
        times.0.push(asked.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    times
}

async fn harm(address: SocketAddr, path: &str, stop: Arc<AtomicBool>) -> Times {
    let (client, mut times) = (http(), Times::default());
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        // Most of these fail, which is what they are for.
        let _status = get(&client, address, "misbehave.test", path).await;
        times.0.push(asked.elapsed());
    }
    times
}

fn http() -> Http {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// The status of the answer, once its body has come; none when there is no answer.
async fn get(client: &Http, address: SocketAddr, host: &str, path: &str) -> Option<u16> {
    let request = http::Request::get(format!("http://{address}{path}")).header(http::header::HOST, host);
    let response = client.request(request.body(Empty::new()).expect("a request")).await.ok()?;
    let status = response.status().as_u16();
    response.into_body().collect().await.ok()?;
    Some(status)
}
