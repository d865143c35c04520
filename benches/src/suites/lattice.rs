//! A lattice of a thousand hosts with a real manager and a real nats-server. The hosts are stand-ins in this process that
//! speak the real API and do at once what they are told; no component runs.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::Message;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::SelectAll;
use lath_control_api::app::{AppRequest, AppState, Cause, DeployRequest};
use lath_control_api::{
    AppName, ApplyReply, ApplyRequest, Bucket, Digest, EventData, HostAlive, HostEventKind, HostGone, HostId,
    HostInventory, HostSummary, InventoryPage, Order, PingReply, Reply, Subjects, Timestamp,
};
use lath_control_api_client::{ComponentStore, ConnectOptions, Connection, ControlClient, connect, envelope};
use lath_manager_planner::example::{self, App};
use lath_tests::eventually;
use lath_tests::nats::Nats;
use lath_tests::process::Process;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::bundle::guest;
use crate::process::Memory;
use crate::row::{Aim, Row, Unit, Value};
use crate::run::Run;

const SUITE: &str = "lattice";
const COMPONENTS: usize = 10;
/// Connections that the stand-ins share.
const CONNECTIONS: usize = 20;
/// As real hosts do.
const HEARTBEAT: Duration = Duration::from_secs(5);
const WHOLE_HEARTBEAT: Duration = Duration::from_secs(60);
const BETWEEN_EVENTS: Duration = Duration::from_millis(100);
/// Deploys that are asked for at once.
const DEPLOYS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(900);

/// A host that is not there: what it was told, and what it says.
struct StandIn {
    summary: HostSummary,
    told: BTreeMap<AppName, ApplyRequest>,
    /// What was told to others and not yet in an event.
    news: bool,
    /// When it last said what it is.
    said: Option<Instant>,
    lost: bool,
}

impl StandIn {
    fn inventory(&self) -> HostInventory {
        let told: Vec<ApplyRequest> = self.told.values().cloned().collect();
        example::inventory(&self.summary, &told)
    }

    fn apply(&mut self, request: ApplyRequest) -> ApplyReply {
        let fence = request.fence;
        self.summary.epoch = self.summary.epoch.max(fence.epoch);
        let held = self.told.get(&request.app);
        let unchanged = held.is_some_and(|held| fence.order(&held.fence) != Order::Newer);
        if !unchanged {
            self.told.insert(request.app.clone(), request);
            self.summary.sequence += 1;
            self.news = true;
            self.said = None;
        }
        ApplyReply { fence, unchanged }
    }
}

/// Some of the hosts, over one connection.
struct Hosts {
    connection: Connection,
    subjects: Subjects,
    held: Mutex<BTreeMap<HostId, StandIn>>,
    /// Commands that were taken on, over all connections.
    taken: Arc<AtomicU64>,
}

impl Hosts {
    fn held(&self) -> MutexGuard<'_, BTreeMap<HostId, StandIn>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: Arc<Self>) {
        let mut requests = SelectAll::new();
        let hosts: Vec<HostId> = self.held().keys().cloned().collect();
        for host in hosts {
            let told = self.connection.nats().subscribe(self.subjects.host_requests(&host)).await;
            requests.push(
                told.expect("a subscription").map(move |message| (Some(host.clone()), message)).boxed(),
            );
        }
        let everyone = self.connection.nats().subscribe(self.subjects.ping_hosts()).await;
        requests.push(everyone.expect("a subscription").map(|message| (None, message)).boxed());
        while let Some((host, message)) = requests.next().await {
            match host {
                Some(host) => self.answer(&host, message).await,
                None => self.answer_ping(&message).await,
            }
        }
    }

    async fn answer(&self, host: &HostId, message: Message) {
        let Some(reply) = message.reply else { return };
        let json = {
            let mut held = self.held();
            let Some(stand_in) = held.get_mut(host).filter(|stand_in| !stand_in.lost) else { return };
            match Subjects::verb(&message.subject) {
                "apply" => {
                    let request: ApplyRequest = serde_json::from_slice(&message.payload).expect("a command");
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    json(&Reply::Result(stand_in.apply(request)))
                }
                "inventory" => {
                    json(&Reply::Result(InventoryPage { inventory: stand_in.inventory(), next: None }))
                }
                _ => json(&Reply::Result(pong(&stand_in.summary))),
            }
        };
        self.publish(reply.into_string(), json).await;
    }

    async fn answer_ping(&self, message: &Message) {
        let Some(reply) = &message.reply else { return };
        let pongs: Vec<Bytes> =
            self.held().values().map(|held| json(&Reply::Result(pong(&held.summary)))).collect();
        for pong in pongs {
            self.publish(reply.to_string(), pong).await;
        }
    }

    /// Heartbeats at even times, and news soon after they are there.
    async fn tell(self: Arc<Self>) {
        let (mut ticks, mut number) = (tokio::time::interval(BETWEEN_EVENTS), 0_usize);
        let turns = usize::try_from(HEARTBEAT.as_millis() / BETWEEN_EVENTS.as_millis()).expect("few");
        loop {
            ticks.tick().await;
            number += 1;
            let (mut events, mut alive) = (Vec::new(), Vec::new());
            for (at, stand_in) in self.held().values_mut().filter(|stand_in| !stand_in.lost).enumerate() {
                let host = stand_in.summary.host.clone();
                if std::mem::take(&mut stand_in.news) {
                    let inventory = EventData::Inventory(Box::new(stand_in.inventory()));
                    events.push((host.clone(), HostEventKind::Inventory, inventory));
                }
                if at % turns == number % turns {
                    // As a real host: in few words while nothing has changed.
                    if stand_in.said.is_some_and(|said| said.elapsed() < WHOLE_HEARTBEAT) {
                        let HostSummary { boot, sequence, epoch, .. } = stand_in.summary.clone();
                        alive.push((host, HostAlive { boot, sequence, epoch }));
                        continue;
                    }
                    stand_in.said = Some(Instant::now());
                    let summary = EventData::Heartbeat(Box::new(stand_in.summary.clone()));
                    events.push((host, HostEventKind::Heartbeat, summary));
                }
            }
            for (host, kind, data) in events {
                self.event(&host, kind, data).await;
            }
            for (host, alive) in alive {
                self.publish(self.subjects.host_alive(&host), json(&alive)).await;
            }
        }
    }

    async fn event(&self, host: &HostId, kind: HostEventKind, data: EventData) {
        let event = envelope(host.as_str(), host.as_str(), now(), data);
        self.publish(self.subjects.host_event(host, kind), json(&event)).await;
    }

    async fn publish(&self, subject: String, json: Bytes) {
        self.connection.nats().publish(subject, json).await.expect("the connection lasts");
    }
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("it has a JSON form").into()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn pong(summary: &HostSummary) -> PingReply {
    let (host, name, version) = (summary.host.clone(), summary.name.clone(), summary.version.clone());
    PingReply { host, name, version, apis: vec![Subjects::API.to_owned()], time: now() }
}

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let (count, apps) = (run.count(1_000, 200), run.count(1_000, 100));
    let size = format!("{count} hosts, {apps} apps of {COMPONENTS}");
    let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
    let nats = Nats::start(&folder.path().join("nats")).await;
    let connection =
        || async { connect(ConnectOptions::new(&nats.url(), "bench")).await.expect("a connection") };
    let subjects = Subjects::new("default".parse().expect("a name"));
    let names: Vec<String> = (0..count).map(|number| format!("h{number}")).collect();
    let fleet = example::fleet(&names.join(" "));
    let (taken, mut groups, mut tasks) = (Arc::new(AtomicU64::new(0)), Vec::new(), JoinSet::new());
    for some in fleet.chunks(count.div_ceil(CONNECTIONS)) {
        let stand_in = |summary: &HostSummary| StandIn {
            summary: summary.clone(),
            told: BTreeMap::new(),
            news: true,
            said: None,
            lost: false,
        };
        let held = some.iter().map(|summary| (summary.host.clone(), stand_in(summary))).collect();
        let hosts = Arc::new(Hosts {
            connection: connection().await,
            subjects: subjects.clone(),
            held: Mutex::new(held),
            taken: Arc::clone(&taken),
        });
        tasks.spawn(Arc::clone(&hosts).serve());
        tasks.spawn(Arc::clone(&hosts).tell());
        groups.push(hosts);
    }
    let mut manager = Command::new(&run.lath);
    manager.args(["manager", "--nats-url", &nats.url()]);
    manager.args(["--http", &lath_tests::ports::free_address().to_string()]);
    manager.arg("--data-dir").arg(folder.path().join("manager"));
    let manager = Process::start("manager", manager, &folder.path().join("manager.log"));
    let client = ControlClient::new(connection().await, "default".parse().expect("a name"));
    eventually(PATIENCE, "the manager to know every host", async || {
        let known = client.hosts().await.map_err(|error| error.to_string())?;
        if known.hosts.len() == count { Ok(()) } else { Err(format!("{} of {count}", known.hosts.len())) }
    })
    .await;

    let deployed = deploy_all(&client, apps).await;
    let memory = Memory::of(manager.id());
    let idle = idle_traffic(run, &nats).await;
    let replaced = lose(&groups, &client, apps).await;
    let after = Memory::of(manager.id());
    tasks.shutdown().await;
    let mebibytes = |bytes: u64| Value { amount: bytes as f64 / f64::from(1 << 20), unit: Unit::MiB };
    vec![
        Row::new(SUITE, format!("all apps deployed and running, {size}"), Value::ms(deployed)),
        Row::new(SUITE, format!("idle control traffic in all, {size}"), idle).aim(Aim::AtMost(200.0)),
        Row::new(SUITE, format!("the manager's memory then, {size}"), mebibytes(memory.resident))
            .aim(Aim::AtMost(256.0)),
        Row::new(SUITE, format!("the most that it was, {size}"), mebibytes(after.most)),
        Row::new(
            SUITE,
            format!("a host is lost, until others were told of all that was on it, {size}"),
            Value::ms(replaced),
        )
        .aim(Aim::AtMost(2_000.0)),
    ]
}

async fn deploy_all(client: &ControlClient, apps: usize) -> Duration {
    let code = guest("echoer-v1");
    let bucket = client.subjects().bucket(Bucket::Components);
    let store = ComponentStore::open(client.connection(), &bucket).await.expect("a store");
    let digest = Digest::of(&code);
    store.put(&digest, code).await.expect("the store takes code");
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..apps {
        if tasks.len() >= DEPLOYS {
            tasks.join_next().await.expect("a deploy").expect("it ends well");
        }
        let (client, digest) = (client.clone(), digest.clone());
        tasks.spawn(async move {
            let words: Vec<String> = (0..COMPONENTS).map(|number| format!("c{number}=v1")).collect();
            let app = App::new(&app_name(number), &format!("{} policy.min_healthy_time=0s", words.join(" ")));
            let pushed = app.images().into_keys().map(|image| (image, digest.clone())).collect();
            let ask = DeployRequest {
                manifest: app.manifest(),
                pushed,
                cause: Cause::default(),
                if_revision: None,
                dry_run: false,
                rollout: BTreeMap::new(),
                plan: None,
            };
            client.deploy(&ask).await.unwrap_or_else(|error| panic!("app {number}: {error}"));
        });
    }
    tasks.join_all().await;
    for number in 0..apps {
        running(client, number).await;
    }
    begun.elapsed()
}

fn app_name(number: usize) -> String {
    format!("app{number}")
}

async fn running(client: &ControlClient, number: usize) {
    let app: AppName = app_name(number).parse().expect("a name");
    eventually(PATIENCE, &format!("{app} to run"), async || {
        let ask = AppRequest { app: app.clone(), cause: Cause::default(), dry_run: false };
        let status = client.status(&ask).await.map_err(|error| error.to_string())?;
        if status.state == AppState::Serving { Ok(()) } else { Err(format!("{:?}", status.state)) }
    })
    .await;
}

/// Bytes a second into and out of the server while nothing happens.
async fn idle_traffic(run: &Run, nats: &Nats) -> Value {
    // What the start has set off comes to rest: two heartbeats of every host.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let time = Duration::from_secs(run.count(60, 15) as u64);
    let (before, begun) = (nats.traffic().expect("the server tells"), Instant::now());
    tokio::time::sleep(time).await;
    let after = nats.traffic().expect("the server tells");
    let bytes = (after.0 - before.0) + (after.1 - before.1);
    Value { amount: bytes as f64 / 1024.0 / begun.elapsed().as_secs_f64(), unit: Unit::KiBPerSecond }
}

/// The host with the most on it says that it is gone; until every component that was on it is on another one.
async fn lose(groups: &[Arc<Hosts>], client: &ControlClient, apps: usize) -> Duration {
    let busiest = groups.iter().flat_map(|group| {
        let held = group.held();
        held.iter()
            .map(|(host, held)| (placed(held).len(), host.clone(), Arc::clone(group)))
            .collect::<Vec<_>>()
    });
    let (_, lost, group) = busiest.max_by_key(|(count, ..)| *count).expect("there are hosts");
    let (wanted, boot) = {
        let mut held = group.held();
        let stand_in = held.get_mut(&lost).expect("it is held");
        stand_in.lost = true;
        (placed(stand_in), stand_in.summary.boot.clone())
    };
    assert!(!wanted.is_empty(), "nothing is on any host");
    let begun = Instant::now();
    let gone = HostGone { host: lost.clone(), boot };
    group.event(&lost, HostEventKind::Stopped, EventData::HostStopped(gone)).await;
    eventually(PATIENCE, "all that was lost to be elsewhere", async || {
        let held: Vec<String> = groups
            .iter()
            .flat_map(|group| {
                let held = group.held();
                held.values().filter(|held| !held.lost).flat_map(placed).collect::<Vec<_>>()
            })
            .collect();
        let missing = wanted.iter().filter(|id| !held.contains(id)).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are not", wanted.len())) }
    })
    .await;
    let took = begun.elapsed();
    running(client, apps - 1).await;
    took
}

/// Ids of the components that a stand-in was told to run.
fn placed(stand_in: &StandIn) -> Vec<String> {
    let bundles = stand_in.told.values().flat_map(|request| &request.bundles);
    bundles.map(|bundle| bundle.id.to_string()).collect()
}
