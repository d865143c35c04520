//! A stand-in for a host: speaks the real host API over NATS and makes everything ready at once. What it is told it
//! keeps, so that a test can see every command.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use lath_control_api::{
    ApiError, AppInventory, AppName, ApplyReply, ApplyRequest, BuiltinAliases, CallCounts, ComponentBundle,
    ComponentInventory, ComponentSpec, Epoch, ErrorCode, EventData, Fence, HostCalls, HostEventKind,
    HostGone, HostId, HostInventory, HostState, HostSummary, InventoryPage, Labels, Order, Phase, PingReply,
    Reason, Reply, Role, Subjects, Timestamp, UnitInventory, Weight,
};
use lath_control_api_client::async_nats::Message;
use lath_control_api_client::{ConnectOptions, ControlClient, connect, envelope};
use tokio::task::JoinSet;

/// A running stand-in. Dropping it is a kill.
pub(crate) struct FakeHost {
    pub(crate) id: HostId,
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

struct Inner {
    client: ControlClient,
    id: HostId,
    name: String,
    boot: String,
    state: Mutex<State>,
    quiet: AtomicBool,
}

#[derive(Default)]
struct State {
    sequence: u64,
    epoch: Epoch,
    apps: BTreeMap<AppName, ApplyRequest>,
    commands: Vec<ApplyRequest>,
    stale: usize,
}

impl FakeHost {
    /// Joins the lattice `test` as host number `number`, from 1 to 9.
    pub(crate) async fn start(url: &str, number: u8) -> Self {
        let options = ConnectOptions::new(url, &format!("host-{number}")).in_background();
        let connection = connect(options).await.unwrap();
        connection.ready().await.unwrap();
        let client = ControlClient::new(connection, "test".parse().unwrap());
        let letter = char::from(b'A' + number);
        let id: HostId = format!("N{}", String::from(letter).repeat(55)).parse().unwrap();
        let inner = Arc::new(Inner {
            client,
            id: id.clone(),
            name: format!("host-{number}"),
            boot: envelope("", "", Timestamp(0), gone(&id)).id,
            state: Mutex::default(),
            quiet: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        for subject in [inner.client.subjects().host_requests(&id), inner.client.subjects().ping_hosts()] {
            let mut requests = inner.client.connection().nats().subscribe(subject).await.unwrap();
            let inner = Arc::clone(&inner);
            tasks.spawn(async move {
                while let Some(request) = requests.next().await {
                    inner.answer(request).await;
                }
            });
        }
        let beating = Arc::clone(&inner);
        tasks.spawn(async move {
            loop {
                let summary = Box::new(beating.inventory().summary);
                beating.publish(HostEventKind::Heartbeat, EventData::Heartbeat(summary)).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self { id, inner, _tasks: tasks }
    }

    /// Every command that was obeyed, oldest first.
    pub(crate) fn commands(&self) -> Vec<ApplyRequest> {
        self.inner.state.lock().unwrap().commands.clone()
    }

    /// Commands that were refused for their fence.
    pub(crate) fn refused(&self) -> usize {
        self.inner.state.lock().unwrap().stale
    }

    /// What it runs of an app, stable specs only: component to revision.
    pub(crate) fn stable(&self, app: &str) -> BTreeMap<String, u64> {
        let state = self.inner.state.lock().unwrap();
        let bundles = state.apps.get(&app.parse::<AppName>().unwrap()).map(|request| &request.bundles);
        let stable = bundles.into_iter().flatten().filter(|bundle| bundle.candidate.is_none());
        stable
            .filter_map(|bundle| Some((bundle.component.to_string(), bundle.stable.as_ref()?.revision.0)))
            .collect()
    }

    /// The newest spec of a component that it was told to serve, stable or candidate.
    pub(crate) fn spec(&self, app: &str, component: &str) -> Option<ComponentSpec> {
        let state = self.inner.state.lock().unwrap();
        let request = state.apps.get(&app.parse::<AppName>().unwrap())?;
        let bundle = request.bundles.iter().find(|bundle| bundle.component.as_str() == component)?;
        let candidate = bundle.candidate.as_ref().map(|candidate| &candidate.spec);
        candidate.or(bundle.stable.as_ref()).map(|spec| ComponentSpec::clone(spec))
    }

    /// Sends no more events, whatever happens; requests are still answered.
    pub(crate) fn be_quiet(&self, quiet: bool) {
        self.inner.quiet.store(quiet, Ordering::SeqCst);
    }

    /// Has obeyed this epoch, from whomever.
    pub(crate) fn has_obeyed(&self, epoch: Epoch) {
        let mut state = self.inner.state.lock().unwrap();
        state.epoch = state.epoch.max(epoch);
        state.sequence += 1;
    }

    /// Tells how calls of an app go, without an inventory: `counts` gives those of a role.
    pub(crate) async fn tell_calls(&self, app: &str, counts: impl Fn(Role) -> CallCounts) {
        let HostInventory { summary, mut apps, .. } = self.inner.inventory();
        apps.retain(|entry| entry.app.as_str() == app);
        for unit in apps.iter_mut().flat_map(|entry| &mut entry.components).flat_map(|held| &mut held.units) {
            unit.calls = counts(unit.role);
        }
        let (host, boot, sequence) = (summary.host, summary.boot, summary.sequence);
        let calls = HostCalls { host, boot, sequence, apps };
        self.inner.publish(HostEventKind::Calls, EventData::Calls(Box::new(calls))).await;
    }

    /// Leaves in order.
    pub(crate) async fn stop(self) {
        self.inner
            .publish(
                HostEventKind::Stopped,
                EventData::HostStopped(HostGone { host: self.id.clone(), boot: self.inner.boot.clone() }),
            )
            .await;
        self.inner.client.connection().nats().flush().await.unwrap();
    }
}

fn gone(id: &HostId) -> EventData {
    EventData::HostStopped(HostGone { host: id.clone(), boot: String::new() })
}

impl Inner {
    async fn answer(&self, request: Message) {
        let payload = match Subjects::verb(&request.subject) {
            "apply" => {
                let ask: ApplyRequest = serde_json::from_slice(&request.payload).unwrap();
                let reply = self.apply(&ask);
                let changed = reply.as_ref().is_ok_and(|reply| !reply.unchanged);
                let payload = serde_json::to_vec(&Reply::from(reply)).unwrap();
                if changed {
                    let inventory = Box::new(self.inventory());
                    self.publish(HostEventKind::Inventory, EventData::Inventory(inventory)).await;
                }
                payload
            }
            "inventory" => {
                let page = InventoryPage { inventory: self.inventory(), next: None };
                serde_json::to_vec(&Reply::Result(page)).unwrap()
            }
            _ => serde_json::to_vec(&Reply::Result(PingReply {
                host: self.id.clone(),
                name: self.name.clone(),
                version: "0".into(),
                apis: vec![Subjects::API.into()],
                time: Timestamp(0),
            }))
            .unwrap(),
        };
        self.client.connection().nats().publish(request.reply.unwrap(), payload.into()).await.unwrap();
    }

    fn apply(&self, ask: &ApplyRequest) -> Result<ApplyReply, ApiError> {
        let mut state = self.state.lock().unwrap();
        let held = state.apps.get(&ask.app).map(|held| held.fence);
        let older = held.is_some_and(|held| ask.fence.order(&held) == Order::Older);
        if ask.fence.epoch < state.epoch || older {
            state.stale += 1;
            return Err(ApiError::new(ErrorCode::Stale, format!("{} is older", ask.fence)));
        }
        state.epoch = ask.fence.epoch;
        if held.is_some_and(|held| ask.fence.order(&held) == Order::Same) {
            return Ok(ApplyReply { fence: ask.fence, unchanged: true });
        }
        state.sequence += 1;
        state.commands.push(ask.clone());
        state.apps.insert(ask.app.clone(), ask.clone());
        Ok(ApplyReply { fence: ask.fence, unchanged: false })
    }

    fn inventory(&self) -> HostInventory {
        let state = self.state.lock().unwrap();
        let summary = serde_json::json!({
            "host": self.id, "name": self.name, "labels": Labels::default(), "version": "0.0.0",
            "boot": self.boot, "sequence": state.sequence, "started": Timestamp(0), "state": HostState::Ready,
            "epoch": state.epoch, "builtins": BuiltinAliases::default(),
        });
        let summary: HostSummary = serde_json::from_value(summary).unwrap();
        // A host lists an app for as long as it holds its fence, with nothing of it left, too.
        let apps = state.apps.values();
        let apps = apps.map(|request| entry(request.app.clone(), request.fence, &request.bundles)).collect();
        HostInventory { summary, listeners: Vec::new(), apps }
    }

    async fn publish(&self, kind: HostEventKind, data: EventData) {
        if self.quiet.load(Ordering::SeqCst) {
            return;
        }
        let event = envelope(self.id.as_str(), self.id.as_str(), Timestamp(0), data);
        let subject = self.client.subjects().host_event(&self.id, kind);
        // While there is no server the event is lost, as events may be.
        if self.client.connection().is_up() {
            let _ = self.client.publish_event(subject, &event).await;
        }
    }
}

fn entry(app: AppName, fence: Fence, bundles: &[ComponentBundle]) -> AppInventory {
    let component = |bundle: &ComponentBundle| {
        let moved = bundle.candidate.as_ref().map_or(Weight::NONE, |candidate| candidate.weight);
        let stays = Weight::try_from(100 - moved.percent()).unwrap();
        let stable = bundle.stable.as_ref().map(|spec| unit(spec, Role::Stable, stays));
        let candidate = bundle.candidate.as_ref().map(|one| unit(&one.spec, Role::Candidate, one.weight));
        ComponentInventory {
            component: bundle.component.clone(),
            id: bundle.id.clone(),
            units: stable.into_iter().chain(candidate).collect(),
        }
    };
    AppInventory { app, fence, confirmed: true, components: bundles.iter().map(component).collect() }
}

/// A component whose config says `broken` cannot be prepared.
fn unit(spec: &ComponentSpec, role: Role, weight: Weight) -> UnitInventory {
    let broken = spec.config.contains_key("broken");
    UnitInventory {
        role,
        serving: !broken && weight > Weight::NONE,
        weight,
        revision: spec.revision,
        content: spec.content(),
        image: spec.workload.reference().to_owned(),
        digest: spec.workload.image().map(|image| image.digest.clone()),
        phase: if broken { Phase::Failed } else { Phase::Running },
        reason: if broken { Reason::StartFailed } else { Reason::AsAsked },
        message: if broken { "it says that it is broken".into() } else { String::new() },
        since: Timestamp(0),
        next_try: None,
        process: None,
        claims: None,
        links: Vec::new(),
        max_instances: spec.max_instances,
        calls: CallCounts::default(),
    }
}
