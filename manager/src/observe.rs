//! What hosts say: the only writer of the observed state, and the only place that listens to hosts.
//!
//! Events are hints. A heartbeat that announces more than is known, a new connection, a lost message and the mere
//! passing of time all lead to the same thing: the host is asked for its inventory. While there is no connection, or
//! while this process itself stood still, nothing can be heard, so nobody's silence means anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::FutureExt;
use lath_control_api::{
    AppName, Epoch, EventData, HostAlive, HostCalls, HostEventKind, HostId, HostInventory, HostSummary,
    PingReply, Timestamp,
};
use lath_control_api_client::{Alive, ControlClient, Events, Heard, Link, RequestError};
use lath_manager_planner::ObservedState;
use lath_manager_planner::observed::News;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::wake::Wake;

/// Time for hosts to answer a ping; those that are later are heard by their heartbeats.
const PING_WINDOW: Duration = Duration::from_millis(400);
/// Time for one page of an inventory.
const INVENTORY_DEADLINE: Duration = Duration::from_secs(3);
/// How often it is looked at whether this process runs.
const TICK: Duration = Duration::from_millis(500);
/// A tick that is later than this means that the process, or its machine, stood still.
const STOOD_STILL: Duration = Duration::from_secs(3);
/// How often every host is asked for its inventory although nothing calls for it.
const RESYNC: Duration = Duration::from_secs(60);
/// Shortest time between two rounds of asking because messages were dropped.
const AFTER_LOSS: Duration = Duration::from_secs(2);
/// Silence after which a host is not even listed as lost.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3_600);
/// Inventories that are asked for at once.
const CONCURRENCY: usize = 32;
/// Events that are taken in before the state is shown to others.
const BATCH: usize = 256;

/// What others see.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Everything heard from hosts.
    pub(crate) state: Arc<ObservedState>,
    /// When the connection was lost, while it is: time stands still for judging silence.
    frozen: Option<Timestamp>,
    /// When this was last known to be so.
    ticked: Instant,
}

impl Snapshot {
    /// The time by which the state may be judged; `None` when the process has just woken and must hear first.
    pub(crate) fn now(&self, clock: &Clock) -> Option<Timestamp> {
        if self.ticked.elapsed() > STOOD_STILL {
            return None;
        }
        Some(self.frozen.unwrap_or_else(|| clock.now()))
    }
}

/// Reads what hosts have said. A clone reads the same.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    shown: Arc<ArcSwap<Snapshot>>,
    refresh: mpsc::Sender<HostId>,
    asked_around: watch::Receiver<bool>,
}

impl Observed {
    /// Waits until all hosts have been asked once who is there.
    pub(crate) async fn asked_around(&self) {
        let mut asked = self.asked_around.clone();
        // An error means that the observer has ended, and the process with it.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// The state now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.shown.load_full()
    }

    /// Asks a host for its inventory, because what is known of it seems to be old.
    pub(crate) fn refresh(&self, host: &HostId) {
        // When the queue is full, so many hosts are asked already that the next heartbeat will do.
        let _ = self.refresh.try_send(host.clone());
    }
}

/// Listens to hosts.
#[derive(Debug)]
pub(crate) struct Observer {
    client: ControlClient,
    clock: Clock,
    wake: Wake,
    state: Arc<ObservedState>,
    frozen: Option<Timestamp>,
    shown: Arc<ArcSwap<Snapshot>>,
    refresh: mpsc::Receiver<HostId>,
    found: mpsc::Sender<HostId>,
    asked_around: watch::Sender<bool>,
    obeyed: watch::Sender<Epoch>,
    link: watch::Receiver<Link>,
    /// Connections and dropped messages that have been dealt with.
    dealt_with: (u64, u64),
    asked: JoinSet<Answer>,
    /// Hosts that are being asked, and whether they must be asked once more after that.
    asking: BTreeMap<HostId, bool>,
    last_tick: Instant,
    last_resync: Instant,
}

#[derive(Debug)]
enum Answer {
    Pinged(Result<(), RequestError>),
    Inventory(HostId, Box<Result<HostInventory, RequestError>>),
}

impl Observer {
    /// An observer, its reader, and the highest epoch that any host has obeyed.
    pub(crate) fn new(
        client: ControlClient,
        clock: Clock,
        wake: Wake,
    ) -> (Self, Observed, watch::Receiver<Epoch>) {
        let now = Instant::now();
        let state = Arc::new(ObservedState::new(clock.now()));
        let snapshot = Snapshot { state: Arc::clone(&state), frozen: None, ticked: now };
        let shown = Arc::new(ArcSwap::from_pointee(snapshot));
        let (refresh_sender, refresh) = mpsc::channel(BATCH);
        let (obeyed, obeyed_reader) = watch::channel(Epoch(0));
        let (asked_around_sender, asked_around) = watch::channel(false);
        let found = refresh_sender.clone();
        let observed = Observed { shown: Arc::clone(&shown), refresh: refresh_sender, asked_around };
        let observer = Self {
            link: client.connection().link(),
            client,
            clock,
            wake,
            state,
            frozen: None,
            shown,
            refresh,
            found,
            asked_around: asked_around_sender,
            obeyed,
            dealt_with: (0, 0),
            asked: JoinSet::new(),
            asking: BTreeMap::new(),
            last_tick: now,
            last_resync: now,
        };
        (observer, observed, obeyed_reader)
    }

    /// Listens until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let (mut events, mut alive) = loop {
            match self.listen().await {
                Ok(listening) => break listening,
                Err(error) => tracing::warn!(%error, "cannot listen to hosts; trying again"),
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(TICK)).await.is_none() {
                return;
            }
        };
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.link_changed();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Ok(()) = self.link.changed() => self.link_changed(),
                Some(heard) = events.next() => self.hear_all(heard, &mut events),
                Some((host, sign)) = alive.next() => self.take_alive(&host, &sign),
                Some(host) = self.refresh.recv() => self.ask(&host),
                Some(Ok(answer)) = self.asked.join_next() => self.answered(answer),
                _ = ticks.tick() => self.tick(),
            }
            self.show();
        }
    }

    async fn listen(&self) -> Result<(Events, Alive), RequestError> {
        Ok((self.client.host_events().await?, self.client.hosts_alive().await?))
    }

    /// Asks everybody when a connection is new, or when messages were dropped.
    fn link_changed(&mut self) {
        let link = self.link.borrow_and_update().clone();
        let now = self.clock.now();
        if !link.up {
            self.frozen = self.frozen.or(Some(now));
            return;
        }
        let news = (link.connects, link.dropped);
        if news.0 == self.dealt_with.0 && self.last_resync.elapsed() < AFTER_LOSS {
            // Messages are being dropped by the thousand, perhaps; the next tick looks again.
            return;
        }
        if self.frozen.take().is_some() || news.0 != self.dealt_with.0 {
            Arc::make_mut(&mut self.state).listening_again(now);
        }
        if news != self.dealt_with {
            self.dealt_with = news;
            self.ask_everybody();
        }
    }

    fn ask_everybody(&mut self) {
        self.last_resync = Instant::now();
        let (client, found) = (self.client.clone(), self.found.clone());
        self.asked.spawn(async move {
            // A full queue loses the host until its next heartbeat.
            let each = |reply: PingReply| drop(found.try_send(reply.host));
            Answer::Pinged(client.ping_each_host(PING_WINDOW, each).await)
        });
        let known: Vec<HostId> = self.state.hosts().map(|(host, _)| host.clone()).collect();
        known.iter().for_each(|host| self.ask(host));
        self.wake.all();
    }

    fn ask(&mut self, host: &HostId) {
        if let Some(again) = self.asking.get_mut(host) {
            *again = true;
            return;
        }
        if self.asking.len() >= CONCURRENCY {
            // Its next heartbeat asks again.
            return;
        }
        self.asking.insert(host.clone(), false);
        let (client, host) = (self.client.clone(), host.clone());
        self.asked.spawn(async move {
            let answer = client.inventory(&host, INVENTORY_DEADLINE).await;
            Answer::Inventory(host, Box::new(answer))
        });
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Pinged(result) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "hosts could not be pinged");
                }
                self.asked_around.send_replace(true);
            }
            Answer::Inventory(host, answer) => {
                let again = self.asking.remove(&host).unwrap_or_default();
                match *answer {
                    Ok(inventory) => self.take_inventory(inventory),
                    Err(error) => tracing::debug!(%host, %error, "no inventory"),
                }
                if again {
                    self.ask(&host);
                }
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.last_tick) > STOOD_STILL {
            tracing::warn!(
                "this process stood still for a while; hosts are heard anew before anything is decided"
            );
            Arc::make_mut(&mut self.state).listening_again(self.clock.now());
            self.ask_everybody();
        }
        self.last_tick = now;
        self.link_changed();
        if now.duration_since(self.last_resync) > RESYNC {
            let time = self.clock.now();
            Arc::make_mut(&mut self.state).forget_silent(time, FORGOTTEN);
            self.ask_everybody();
        }
    }

    /// Takes in an event and those that wait behind it.
    fn hear_all(&mut self, first: Heard, events: &mut Events) {
        self.hear(first);
        for _ in 0..BATCH {
            let Some(Some(next)) = events.next().now_or_never() else { break };
            self.hear(next);
        }
    }

    fn hear(&mut self, heard: Heard) {
        let (host, kind) = match &heard.event.event {
            EventData::Heartbeat(summary) => (&summary.host, HostEventKind::Heartbeat),
            EventData::Inventory(inventory) => (&inventory.summary.host, HostEventKind::Inventory),
            EventData::Calls(calls) => (&calls.host, HostEventKind::Calls),
            EventData::HostStopped(gone) => (&gone.host, HostEventKind::Stopped),
            EventData::App(_) => return,
        };
        // A host may only publish below its own id, so the subject tells who speaks.
        if heard.subject != self.client.subjects().host_event(host, kind) {
            tracing::warn!(subject = %heard.subject, claims = %host, "an event is not by whom it claims");
            return;
        }
        match heard.event.event {
            EventData::Heartbeat(summary) => self.take_summary(*summary),
            EventData::Inventory(inventory) => self.take_inventory(*inventory),
            EventData::Calls(calls) => self.take_calls(&calls),
            EventData::HostStopped(gone) => {
                let news = Arc::make_mut(&mut self.state).stopped(&gone.host, &gone.boot);
                self.report(&news, BTreeSet::new());
            }
            EventData::App(_) => {}
        }
    }

    fn take_alive(&mut self, host: &HostId, alive: &HostAlive) {
        self.note_epoch(alive.epoch);
        let now = self.clock.now();
        let Some(news) = Arc::make_mut(&mut self.state).alive(host, alive, now) else {
            // A run that was not heard before: it says what it is when it is asked.
            return self.ask(host);
        };
        self.report(&news, BTreeSet::new());
        if news != News::None && self.state.host(host).is_some_and(|known| !known.is_current()) {
            self.ask(host);
        }
    }

    fn take_summary(&mut self, summary: HostSummary) {
        let host = summary.host.clone();
        self.note_epoch(summary.epoch);
        let now = self.clock.now();
        let news = Arc::make_mut(&mut self.state).heard(summary, now);
        self.report(&news, BTreeSet::new());
        if news != News::None && self.state.host(&host).is_some_and(|known| !known.is_current()) {
            self.ask(&host);
        }
    }

    fn take_inventory(&mut self, inventory: HostInventory) {
        self.note_epoch(inventory.summary.epoch);
        let before = self.state.host(&inventory.summary.host).and_then(|known| known.inventory.as_ref());
        let touched = changed_apps(before, &inventory);
        let now = self.clock.now();
        let news = Arc::make_mut(&mut self.state).inventory(inventory, now);
        self.report(&news, touched);
    }

    /// Counts are news to the apps that are judged by them, and to nobody else.
    fn take_calls(&mut self, calls: &HostCalls) {
        let touched = Arc::make_mut(&mut self.state).calls(calls);
        if !touched.is_empty() {
            self.report(&News::Inventory, touched);
        }
    }

    fn report(&self, news: &News, apps: BTreeSet<AppName>) {
        match news {
            News::None | News::Alive => {}
            News::Inventory => {
                self.show();
                self.wake.apps(apps);
            }
            News::Host => {
                self.show();
                self.wake.all();
            }
        }
    }

    fn note_epoch(&self, epoch: Epoch) {
        self.obeyed.send_if_modified(|highest| {
            let higher = epoch > *highest;
            *highest = epoch.max(*highest);
            higher
        });
    }

    fn show(&self) {
        let snapshot =
            Snapshot { state: Arc::clone(&self.state), frozen: self.frozen, ticked: self.last_tick };
        self.shown.store(Arc::new(snapshot));
    }
}

/// Apps whose entry differs between two inventories of a host.
fn changed_apps(before: Option<&HostInventory>, after: &HostInventory) -> BTreeSet<AppName> {
    let entries = |inventory: &'_ HostInventory| -> BTreeMap<AppName, usize> {
        inventory.apps.iter().enumerate().map(|(at, entry)| (entry.app.clone(), at)).collect()
    };
    let (old, new) = (before.map(entries).unwrap_or_default(), entries(after));
    let differs = |app: &AppName| {
        let was = old.get(app).and_then(|at| before?.apps.get(*at));
        let is = new.get(app).and_then(|at| after.apps.get(*at));
        was != is
    };
    old.keys().chain(new.keys()).filter(|app| differs(app)).cloned().collect()
}
