//! Small calls over NATS: ours, a raw request and reply, and the last wRPC of the 1.x world, each between two processes
//! that share one nats-server.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use lath_control_api::{ComponentId, LatticeId};
use lath_tests::eventually;
use lath_tests::nats::Nats;
use lath_tests::process::Process;
use lath_wrpc::serve::Call;
use lath_wrpc::{Client, Export, HeaderMap, Limits, ServeOptions, Service, Target};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::row::{Aim, Row, Value};
use crate::run::{Run, middle};
use crate::suites::messaging;

const SUITE: &str = "wrpc";
const IN_FLIGHT: usize = 64;
const INSTANCE: &str = "lath:bench/echo@0.1.0";
const FUNCTION: &str = "text";
const RAW: &str = "bench.raw";
const PATIENCE: Duration = Duration::from_secs(30);
/// A text of 16 bytes as parameters are encoded.
const PARAMS: &[u8] = b"\x10xxxxxxxxxxxxxxxx";

/// Who answers calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    Raw,
    Upstream,
}

const KINDS: [Kind; 3] = [Kind::Ours, Kind::Raw, Kind::Upstream];

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Raw => "raw",
            Self::Upstream => "upstream",
        }
    }
}

fn lattice() -> LatticeId {
    "bench".parse().expect("a name")
}

fn id() -> ComponentId {
    "echo".parse().expect("an id")
}

fn target() -> Target {
    Target::new(&lattice(), &id(), Some(INSTANCE), FUNCTION).expect("a subject")
}

/// Answers calls until it is killed: the other process of a measurement.
///
/// # Panics
/// When there is no server at `url`, or `kind` is none.
pub async fn serve(kind: &str, url: &str) {
    let nats = async_nats::connect(url).await.expect("a connection");
    if kind == messaging::PEER {
        messaging::serve(nats).await;
    } else if kind == Kind::Raw.name() {
        let mut calls = nats.subscribe(RAW).await.expect("a subscription");
        while let Some(call) = calls.next().await {
            let Some(reply) = call.reply else { continue };
            let nats = nats.clone();
            // A task for each, as a server has that does more than this one.
            tokio::spawn(async move { nats.publish(reply, call.payload).await });
        }
    } else {
        let client = Client::new(nats, Limits::default()).await.expect("an inbox");
        let answer = |mut call: Call| async move {
            let params = call.params().await;
            let _caller_gone = call.finish(params).await;
        };
        let service = Service { handler: Arc::new(answer), permits: Arc::new(Semaphore::new(1_000)) };
        let exports = [Export::plain(Some(INSTANCE), FUNCTION)];
        let serving =
            lath_wrpc::serve(&client, &lattice(), &id(), &exports, service, ServeOptions::default()).await;
        let _serving = serving.expect("it is served");
        std::future::pending::<()>().await;
    }
}

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
    let nats = Nats::start(&folder.path().join("nats")).await;
    let url = nats.url();
    let kinds: Vec<Kind> =
        KINDS.into_iter().filter(|kind| *kind != Kind::Upstream || run.upstream.is_some()).collect();
    let mut callers = Vec::new();
    for kind in &kinds {
        callers.push(Caller::start(*kind, run, &url, folder.path()).await);
    }
    let mut sequential = vec![Vec::new(); kinds.len()];
    let mut parallel = vec![Vec::new(); kinds.len()];
    for _ in 0..run.rounds() {
        for (at, caller) in callers.iter().enumerate() {
            sequential[at].push(1e6 / caller.rate(1, run.time() / 2).await);
            parallel[at].push(caller.rate(IN_FLIGHT, run.time() / 2).await);
        }
    }
    let sequential: Vec<f64> = sequential.into_iter().map(middle).collect();
    let parallel: Vec<f64> = parallel.into_iter().map(middle).collect();
    let us = |amount: f64| Value { amount, unit: crate::row::Unit::Us };
    let mut rows = vec![
        Row::new(SUITE, "a small call, one after another", us(sequential[0]))
            .beside("raw request and reply", us(sequential[1]))
            .aim(Aim::TimesAtMost(1.15)),
        Row::new(SUITE, "small calls, 64 in flight", Value::per_second(parallel[0]))
            .beside("raw request and reply", Value::per_second(parallel[1]))
            .aim(Aim::TimesAtLeast(0.6)),
    ];
    if let (Some(alone), Some(many)) = (sequential.get(2), parallel.get(2)) {
        rows.push(
            Row::new(SUITE, "a small call, one after another", us(sequential[0]))
                .beside("wrpc-transport-nats 0.31", us(*alone)),
        );
        rows.push(
            Row::new(SUITE, "small calls, 64 in flight", Value::per_second(parallel[0]))
                .beside("wrpc-transport-nats 0.31", Value::per_second(*many)),
        );
    }
    rows
}

/// One of the ways to call, with the processes that answer and, of the last one, call.
struct Caller {
    way: Way,
    _processes: Vec<Process>,
}

/// With a connection of its own.
enum Way {
    Ours(Client),
    Raw(async_nats::Client),
    /// A process that measures when it is asked: a line in, a line out.
    Upstream(SocketAddr),
}

impl Caller {
    async fn start(kind: Kind, run: &Run, url: &str, folder: &std::path::Path) -> Self {
        let log = |name: &str| folder.join(format!("{}-{name}.log", kind.name()));
        let connect = async || async_nats::connect(url).await.expect("a connection");
        match (kind, &run.upstream) {
            (Kind::Upstream, Some(upstream)) => {
                let mut server = Command::new(upstream);
                server.args(["serve", url]);
                let server = Process::start("upstream", server, &log("serve"));
                let address = lath_tests::ports::free_address();
                let mut caller = Command::new(upstream);
                caller.args(["call", url, &address.to_string()]);
                let caller = Process::start("upstream", caller, &log("call"));
                let caller = Self { way: Way::Upstream(address), _processes: vec![server, caller] };
                caller.ready().await;
                caller
            }
            _ => {
                let program = std::env::current_exe().expect("this program");
                let mut server = Command::new(program);
                server.args(["peer", kind.name(), url]);
                let server = Process::start(kind.name(), server, &log("serve"));
                let way = if kind == Kind::Raw {
                    Way::Raw(connect().await)
                } else {
                    let client = Client::new(connect().await, Limits::default()).await;
                    Way::Ours(client.expect("an inbox"))
                };
                let caller = Self { way, _processes: vec![server] };
                caller.ready().await;
                caller
            }
        }
    }

    async fn ready(&self) {
        eventually(PATIENCE, "a peer to answer", async || match &self.way {
            Way::Upstream(address) => ask(*address, "1 1").await.map(drop).map_err(|error| error.to_string()),
            Way::Ours(_) | Way::Raw(_) => self.call().await,
        })
        .await;
    }

    async fn call(&self) -> Result<(), String> {
        match &self.way {
            Way::Ours(client) => {
                let deadline = (Instant::now() + PATIENCE).into();
                let params = Bytes::from_static(PARAMS);
                let called = client.invoke(&target(), HeaderMap::new(), params, deadline).await;
                let answer = called.map_err(|error| error.to_string())?;
                if answer.results == PARAMS { Ok(()) } else { Err("another answer".to_owned()) }
            }
            Way::Raw(nats) => {
                let answer = nats.request(RAW, Bytes::from_static(PARAMS)).await;
                answer.map(drop).map_err(|error| error.to_string())
            }
            Way::Upstream(_) => Err("it calls by itself".to_owned()),
        }
    }

    /// Calls in a second, with so many at the same time.
    async fn rate(&self, in_flight: usize, time: Duration) -> f64 {
        let caller: Arc<dyn Fn() -> futures::future::BoxFuture<'static, ()> + Send + Sync> = match &self.way {
            Way::Upstream(address) => {
                let said = ask(*address, &format!("{in_flight} {}", time.as_millis())).await;
                return said.expect("it answers").trim().parse().expect("a rate");
            }
            Way::Ours(client) => {
                let (client, target) = (client.clone(), target());
                Arc::new(move || {
                    let (client, target) = (client.clone(), target.clone());
                    Box::pin(async move {
                        let deadline = (Instant::now() + PATIENCE).into();
                        let params = Bytes::from_static(PARAMS);
                        let called = client.invoke(&target, HeaderMap::new(), params, deadline).await;
                        called.expect("an answer");
                    })
                })
            }
            Way::Raw(nats) => {
                let nats = nats.clone();
                Arc::new(move || {
                    let nats = nats.clone();
                    Box::pin(async move {
                        nats.request(RAW, Bytes::from_static(PARAMS)).await.expect("an answer");
                    })
                })
            }
        };
        let (begun, mut tasks) = (Instant::now(), JoinSet::new());
        for _ in 0..in_flight {
            let caller = Arc::clone(&caller);
            tasks.spawn(async move {
                let mut calls = 0_u32;
                while begun.elapsed() < time {
                    caller().await;
                    calls += 1;
                }
                calls
            });
        }
        let calls: u32 = tasks.join_all().await.into_iter().sum();
        f64::from(calls) / begun.elapsed().as_secs_f64()
    }
}

/// Sends a line, gives the line that comes back.
async fn ask(address: SocketAddr, line: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}
