//! What the host says of itself: snapshots for readers, and the events that tell others of them.
//!
//! A snapshot is made by the supervisor and never changed. Counts of calls are read when somebody asks, since
//! they change all the time and are no reason for news; but while a candidate takes calls they are told every second.

mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lath_control_api::{
    ApiError, AppInventory, AppName, BuiltinAliases, CallCounts, CloudEvent, ComponentSpec, Epoch, ErrorCode,
    EventData, HostAlive, HostCalls, HostEventKind, HostGone, HostId, HostInventory, HostState, HostSummary,
    InventoryPage, Labels, ListenerInventory, Subjects, Timestamp, UnitInventory,
};
use lath_control_api_client::Connection;
use lath_host_core::SpecKey;
use lath_host_core::UnitKey;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::engine::Prepared;
use crate::provider::{Callers, Process};
use crate::settings::Settings;

/// How often a host says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often it says with that what it is, although nothing of it has changed: for those who have begun to listen since.
const WHOLE_HEARTBEAT: Duration = Duration::from_secs(60);
/// Shortest time between two inventory events: a burst of changes is told once.
const BETWEEN_EVENTS: Duration = Duration::from_millis(100);
/// How often it is told how calls of candidates go.
const CALLS: Duration = Duration::from_secs(1);
/// Longest wait for the connection to take an event.
const PUBLISH_WITHIN: Duration = Duration::from_secs(1);
/// Largest page of an inventory, in bytes of JSON. Half of what NATS takes by default.
const PAGE: usize = 512 << 10;

/// What of a host never changes while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) host: HostId,
    pub(crate) name: String,
    pub(crate) boot: String,
    pub(crate) started: Timestamp,
    pub(crate) http_default: SocketAddr,
    pub(crate) builtins: BuiltinAliases,
}

/// The time by which the host decides: it runs on evenly from the start of the process, whatever is done to the
/// wall clock, so that no drain is cut short or drawn out by it.
pub(crate) fn now() -> Timestamp {
    static START: OnceLock<(Timestamp, std::time::Instant)> = OnceLock::new();
    let (wall, begun) = START.get_or_init(|| (wall_clock(), std::time::Instant::now()));
    wall.plus(begun.elapsed())
}

/// The time by the wall clock, for what is sent to others.
pub(crate) fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One state of the host.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) state: HostState,
    pub(crate) labels: Labels,
    pub(crate) epoch: Epoch,
    pub(crate) sequence: u64,
    pub(crate) listeners: Vec<ListenerInventory>,
    /// In order of their names. Those that have not changed are shared with the snapshot before.
    pub(crate) apps: Vec<Arc<AppShown>>,
    /// Links to providers of other apps.
    pub(crate) callers: Option<Callers>,
}

/// One app in a snapshot.
#[derive(Debug)]
pub(crate) struct AppShown {
    /// Without counts.
    pub(crate) inventory: AppInventory,
    /// Units that can have calls.
    pub(crate) units: BTreeMap<UnitKey, Arc<Prepared>>,
    /// Processes of providers.
    pub(crate) processes: BTreeMap<UnitKey, Arc<Process>>,
    /// What each unit was asked to be.
    pub(crate) specs: BTreeMap<UnitKey, Arc<ComponentSpec>>,
    /// Bytes of JSON of the inventory, when somebody has asked for them.
    bytes: OnceLock<usize>,
}

impl AppShown {
    pub(crate) fn new(
        inventory: AppInventory,
        units: BTreeMap<UnitKey, Arc<Prepared>>,
        processes: BTreeMap<UnitKey, Arc<Process>>,
        specs: BTreeMap<UnitKey, Arc<ComponentSpec>>,
    ) -> Self {
        let mut shown = Self { inventory, units, processes, specs, bytes: OnceLock::new() };
        let (units, processes) = (&shown.units, &shown.processes);
        for_each_unit(&mut shown.inventory, |key, unit| {
            let component = || Some(units.get(key)?.code().signed()?.claims.clone());
            unit.claims = component().or_else(|| Some(processes.get(key)?.signed.as_deref()?.claims.clone()));
        });
        shown
    }

    /// The least that the inventory takes as JSON: counts come on top.
    fn least_bytes(&self) -> usize {
        *self.bytes.get_or_init(|| serde_json::to_vec(&self.inventory).map_or(usize::MAX, |json| json.len()))
    }

    fn counted(&self, callers: Option<&Callers>) -> AppInventory {
        let mut app = self.inventory.clone();
        for_each_unit(&mut app, |key, unit| {
            unit.calls = self.units.get(key).map_or_else(CallCounts::default, |unit| unit.counts());
            unit.links = match self.processes.get(key) {
                Some(process) => process.links(),
                None => callers.map_or_else(Vec::new, |callers| callers.links(key)),
            };
        });
        app
    }
}

fn for_each_unit(app: &mut AppInventory, mut change: impl FnMut(&UnitKey, &mut UnitInventory)) {
    for component in &mut app.components {
        for unit in &mut component.units {
            let spec = SpecKey { revision: unit.revision, content: unit.content.clone() };
            change(&UnitKey { app: app.app.clone(), id: component.id.clone(), spec }, unit);
        }
    }
}

impl Snapshot {
    /// A host on which nothing is.
    pub(crate) fn empty(settings: &Settings, callers: Callers) -> Self {
        Self {
            state: settings.state(),
            labels: settings.labels(),
            epoch: Epoch(0),
            sequence: 0,
            listeners: Vec::new(),
            apps: Vec::new(),
            callers: Some(callers),
        }
    }

    /// Whether calls from outside are taken by anything here.
    pub(crate) fn serves(&self) -> bool {
        let components = self.apps.iter().flat_map(|app| &app.inventory.components);
        components.flat_map(|component| &component.units).any(|unit| unit.serving)
    }

    /// Every unit that can have calls.
    pub(crate) fn units(&self) -> impl Iterator<Item = &Arc<Prepared>> {
        self.apps.iter().flat_map(|app| app.units.values())
    }

    pub(crate) fn summary(&self, facts: &Facts) -> HostSummary {
        HostSummary {
            host: facts.host.clone(),
            name: facts.name.clone(),
            labels: self.labels.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: facts.boot.clone(),
            sequence: self.sequence,
            started: facts.started,
            state: self.state,
            epoch: self.epoch,
            http_default: Some(facts.http_default),
            builtins: facts.builtins.clone(),
        }
    }

    /// The whole inventory.
    pub(crate) fn inventory(&self, facts: &Facts) -> HostInventory {
        let apps = self.apps.iter().map(|app| self.counted(app)).collect();
        HostInventory { summary: self.summary(facts), listeners: self.listeners.clone(), apps }
    }

    /// Whether the whole inventory certainly has more bytes of JSON.
    fn is_larger_than(&self, limit: usize) -> bool {
        let mut left = limit;
        self.apps.iter().any(|app| match left.checked_sub(app.least_bytes()) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }

    /// The apps after `after` that fit on one page; always at least one, so that pages come to an end.
    ///
    /// # Errors
    /// When one app alone is larger than `limit` bytes.
    pub(crate) fn page(
        &self,
        facts: &Facts,
        after: Option<&AppName>,
        limit: usize,
    ) -> Result<InventoryPage, ApiError> {
        let rest = self.apps.iter().filter(|app| after.is_none_or(|after| app.inventory.app > *after));
        let (mut apps, mut size, mut next) = (Vec::new(), 0, None);
        for app in rest {
            let app = self.counted(app);
            let bytes = serde_json::to_vec(&app).map_or(usize::MAX, |json| json.len());
            if bytes > limit {
                let message = format!(
                    "the inventory of app {} has {bytes} bytes, and a message may have {limit}",
                    app.app
                );
                let help = "raise max_payload of the NATS servers";
                return Err(ApiError::new(ErrorCode::TooLarge, message).with_help(help));
            }
            if !apps.is_empty() && size + bytes > PAGE {
                next = apps.last().map(|last: &AppInventory| last.app.clone());
                break;
            }
            size += bytes;
            apps.push(app);
        }
        let inventory =
            HostInventory { summary: self.summary(facts), listeners: self.listeners.clone(), apps };
        Ok(InventoryPage { inventory, next })
    }

    /// The apps that have a candidate with traffic, with their counts.
    fn tried(&self) -> Vec<AppInventory> {
        let tried = self.apps.iter().filter(|app| calls::is_tried(&app.inventory));
        tried.map(|app| self.counted(app)).collect()
    }

    fn counted(&self, app: &AppShown) -> AppInventory {
        app.counted(self.callers.as_ref())
    }
}

/// Tells the lattice of this host: heartbeats, and an inventory whenever something has changed.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) facts: Arc<Facts>,
    pub(crate) connection: Connection,
    pub(crate) subjects: Subjects,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What the host has last said that it is, and when.
    said: Option<(HostSummary, Instant)>,
}

impl Reporter {
    pub(crate) fn new(
        facts: Arc<Facts>,
        connection: Connection,
        subjects: Subjects,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> Self {
        Self { facts, connection, subjects, snapshots, said: None }
    }

    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = interval(CALLS);
        calls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut left_out = BTreeSet::new();
        let (mut link, mut was_up, mut last_event) = (self.connection.link(), false, None);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = heartbeat.tick() => self.beat().await,
                _ = calls.tick() => self.calls(&mut left_out).await,
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    wait_since(last_event).await;
                    last_event = Some(Instant::now());
                    self.inventory().await;
                }
                changed = link.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let up = link.borrow_and_update().up;
                    if std::mem::replace(&mut was_up, up) != up {
                        self.link_changed(up).await;
                    }
                }
            }
        }
        if self.snapshots.has_changed().unwrap_or(true) {
            self.inventory().await;
        }
        self.say_goodbye().await;
    }

    async fn link_changed(&mut self, up: bool) {
        if !up {
            tracing::warn!("the connection to NATS is lost; local calls go on");
            return;
        }
        tracing::info!(server = self.connection.server(), "connected to NATS");
        // Others may have counted us as lost: they hear at once that we are here, and as what.
        self.heartbeat().await;
        self.inventory().await;
    }

    /// Says that the host lives: in few words as long as it is what it has said last.
    async fn beat(&mut self) {
        let summary = self.snapshots.borrow().summary(&self.facts);
        let is_said =
            self.said.as_ref().is_some_and(|(said, at)| *said == summary && at.elapsed() < WHOLE_HEARTBEAT);
        if !is_said {
            return self.heartbeat().await;
        }
        let HostSummary { boot, sequence, epoch, .. } = summary;
        match serde_json::to_vec(&HostAlive { boot, sequence, epoch }) {
            Ok(json) => self.send(self.subjects.host_alive(&self.facts.host), json).await,
            Err(error) => tracing::error!(%error, "a sign of life has no JSON form"),
        }
    }

    async fn heartbeat(&mut self) {
        let summary = self.snapshots.borrow().summary(&self.facts);
        self.publish(HostEventKind::Heartbeat, EventData::Heartbeat(Box::new(summary.clone()))).await;
        // What was not sent was not said.
        self.said = self.connection.is_up().then(|| (summary, Instant::now()));
    }

    async fn inventory(&mut self) {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let limit = self.connection.max_payload() / 2;
        if snapshot.is_larger_than(limit) {
            // As below, without writing it first.
            return self.heartbeat().await;
        }
        let event = self.event(EventData::Inventory(Box::new(snapshot.inventory(&self.facts))));
        match serde_json::to_vec(&event) {
            // The heartbeat shows a newer sequence, and whoever wants to know asks for the pages.
            Ok(json) if json.len() > limit => self.heartbeat().await,
            Ok(json) => {
                self.send(self.subjects.host_event(&self.facts.host, HostEventKind::Inventory), json).await;
            }
            Err(error) => tracing::error!(%error, "the inventory has no JSON form"),
        }
    }

    /// Tells how calls go of the apps that have a candidate with traffic. `left_out` are those that were too large for
    /// a message the last time.
    async fn calls(&self, left_out: &mut BTreeSet<AppName>) {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let batches = calls::batches(snapshot.tried(), self.connection.max_payload() / 2);
        for apps in batches.fitting {
            let (host, boot) = (self.facts.host.clone(), self.facts.boot.clone());
            let calls = HostCalls { host, boot, sequence: snapshot.sequence, apps };
            self.publish(HostEventKind::Calls, EventData::Calls(Box::new(calls))).await;
        }
        for (app, bytes) in batches.too_large.iter().filter(|(app, _)| !left_out.contains(*app)) {
            tracing::warn!(%app, bytes, "counts of calls do not fit into a message and are not told; raise max_payload of the NATS servers");
        }
        *left_out = batches.too_large.into_keys().collect();
    }

    async fn say_goodbye(&self) {
        let gone = HostGone { host: self.facts.host.clone(), boot: self.facts.boot.clone() };
        self.publish(HostEventKind::Stopped, EventData::HostStopped(gone)).await;
    }

    fn event(&self, event: EventData) -> CloudEvent {
        CloudEvent {
            specversion: "1.0".to_owned(),
            id: ulid::Ulid::generate().to_string(),
            source: self.facts.host.to_string(),
            subject: self.facts.host.to_string(),
            time: wall_clock(),
            datacontenttype: "application/json".to_owned(),
            event,
        }
    }

    async fn publish(&self, kind: HostEventKind, event: EventData) {
        match serde_json::to_vec(&self.event(event)) {
            Ok(json) => self.send(self.subjects.host_event(&self.facts.host, kind), json).await,
            Err(error) => tracing::error!(%error, "an event has no JSON form"),
        }
    }

    async fn send(&self, subject: String, json: Vec<u8>) {
        // Without a connection nothing is kept for later: later there is newer news.
        if !self.connection.is_up() {
            return;
        }
        let sent = timeout(PUBLISH_WITHIN, self.connection.nats().publish(subject, json.into())).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::warn!("an event could not be sent");
        }
    }
}

async fn wait_since(last: Option<Instant>) {
    if let Some(last) = last {
        tokio::time::sleep_until(last + BETWEEN_EVENTS).await;
    }
}
