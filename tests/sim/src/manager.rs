//! A manager: the real planner, and a model of the loop around it.
//!
//! The model keeps to what the real manager does: it plans on news and at `wake_at`, commits before it sends, sends
//! again until the inventory shows a command, acts only under a lease that it believes to hold, and hears anew after
//! it stood still. Each of its steps is a message, so a run may kill it between any two of them.

mod lease;
mod sending;
mod visit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{AppName, Epoch, Fence, HostId, HostInventory, HostSummary, Timestamp};
use lath_manager_planner::observed::News;
use lath_manager_planner::{DesiredRecord, ObservedState, PlanLimits};

use crate::message::{Answer, Ask, Event, ManagerRun, Message, RequestId};
use crate::network::Node;
use crate::store::{Held, Number, Store, Written};
use lease::Lease;
use sending::Sent;

/// Time between two looks at what is due.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// A tick that is later than this means that the process stood still.
const STOOD_STILL: Duration = Duration::from_secs(3);
/// How often everything is asked for although nothing calls for it.
const RESYNC: Duration = Duration::from_secs(30);
/// Time to the next try when something is not at hand.
const SOON: Duration = Duration::from_millis(500);
/// Time for an answer of the store.
const STORE_DEADLINE: Duration = Duration::from_secs(2);

/// What a step of a manager leads to.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) sends: Vec<(Node, Message)>,
    pub(crate) later: Vec<(Duration, Event)>,
    pub(crate) lines: Vec<String>,
    pub(crate) broken: Vec<String>,
    /// An epoch that this manager has begun to act in.
    pub(crate) begins: Option<Epoch>,
}

/// What a manager's step may look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) now: Timestamp,
    /// Revisions are read here without a message: they never change.
    pub(crate) store: &'a Store,
    /// Every host that there is, to ask around.
    pub(crate) hosts: &'a [HostId],
}

/// What an answer is for.
#[derive(Debug, Clone)]
enum Waiting {
    Lease { look_again: bool },
    TakeLease { epoch: Epoch, begun: Timestamp },
    Apps,
    App(AppName),
    Write { era: u64, record: Arc<DesiredRecord> },
    Delete(AppName),
    Apply { app: AppName, host: HostId, fence: Fence },
}

#[derive(Debug, Clone, Default)]
struct Agenda {
    due: Option<Timestamp>,
    /// A write or a read for this app is on its way.
    visiting: bool,
}

/// One manager.
#[derive(Debug)]
pub(crate) struct Manager {
    pub(crate) at: ManagerRun,
    pub(crate) up: bool,
    pub(crate) frozen_until: Timestamp,
    pub(crate) observed: ObservedState,
    limits: PlanLimits,
    last_tick: Timestamp,
    last_resync: Timestamp,
    lease: Lease,
    /// What is known of the store, which is listed before it is believed to be empty.
    listed: bool,
    era: u64,
    apps: BTreeMap<AppName, Held>,
    /// The newest write of each app that was heard of, deletions among them.
    seen: BTreeMap<AppName, Number>,
    agenda: BTreeMap<AppName, Agenda>,
    sent: BTreeMap<(AppName, HostId), Sent>,
    waiting: BTreeMap<RequestId, Waiting>,
    last_id: RequestId,
    #[cfg(feature = "sabotage")]
    pub(crate) sabotage: Option<crate::Sabotage>,
}

impl Manager {
    pub(crate) fn new(manager: usize) -> Self {
        Self {
            at: ManagerRun { manager, run: 0 },
            up: false,
            frozen_until: Timestamp(0),
            observed: ObservedState::default(),
            limits: PlanLimits::default(),
            last_tick: Timestamp(0),
            last_resync: Timestamp(0),
            lease: Lease::default(),
            listed: false,
            era: 0,
            apps: BTreeMap::new(),
            seen: BTreeMap::new(),
            agenda: BTreeMap::new(),
            sent: BTreeMap::new(),
            waiting: BTreeMap::new(),
            last_id: 0,
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    /// The process begins, knowing nothing.
    pub(crate) fn start(&mut self, view: View<'_>, out: &mut Out) {
        let at = ManagerRun { run: self.at.run + 1, ..self.at };
        #[cfg(feature = "sabotage")]
        let sabotage = self.sabotage;
        *self = Self { at, up: true, ..Self::new(self.at.manager) };
        #[cfg(feature = "sabotage")]
        {
            self.sabotage = sabotage;
        }
        self.observed = ObservedState::new(view.now);
        self.last_tick = view.now;
        self.resync(view, out);
        out.later.push((TICK, Event::ManagerTick(at)));
    }

    pub(crate) fn tick(&mut self, view: View<'_>, out: &mut Out) {
        if view.now.since(self.last_tick) > STOOD_STILL {
            self.observed.listening_again(view.now);
            self.resync(view, out);
        }
        self.last_tick = view.now;
        if view.now.since(self.last_resync) > RESYNC {
            self.resync(view, out);
        }
        self.lease_turn(view, out);
        self.visit_due(view, out);
        out.later.push((TICK, Event::ManagerTick(self.at)));
    }

    /// Asks for everything: the store's records, and every host's inventory.
    fn resync(&mut self, view: View<'_>, out: &mut Out) {
        self.last_resync = view.now;
        self.ask(Ask::Apps, Waiting::Apps, out);
        for host in view.hosts {
            self.ask_host(host, out);
        }
        self.all_due(view.now);
    }

    fn ask_host(&self, host: &HostId, out: &mut Out) {
        out.sends.push((Node::Host(host.clone()), Message::AskInventory { from: self.at }));
    }

    fn ask(&mut self, ask: Ask, waiting: Waiting, out: &mut Out) {
        self.last_id += 1;
        let id = self.last_id;
        self.waiting.insert(id, waiting);
        out.sends.push((Node::Store, Message::Ask { from: self.at, id, ask }));
        out.later.push((STORE_DEADLINE, Event::GiveUp(self.at, id)));
    }

    fn due(&mut self, app: &AppName, at: Timestamp) {
        let agenda = self.agenda.entry(app.clone()).or_default();
        agenda.due = Some(agenda.due.map_or(at, |due| due.min(at)));
    }

    fn all_due(&mut self, now: Timestamp) {
        let apps: Vec<AppName> = self.apps.keys().cloned().collect();
        apps.iter().for_each(|app| self.due(app, now));
    }

    pub(crate) fn hear(&mut self, message: Message, view: View<'_>, out: &mut Out) {
        match message {
            Message::Beat { summary } => self.hear_beat(*summary, view, out),
            Message::Inventory { inventory } => self.hear_inventory(&inventory, view, out),
            Message::Stopped { host, boot } => {
                if self.observed.stopped(&host, &boot) == News::Host {
                    self.all_due(view.now);
                }
            }
            Message::Applied { to, id, answer } if to == self.at => {
                if let Some(Waiting::Apply { app, host, fence }) = self.waiting.remove(&id) {
                    self.answered((&app, &host, fence), Some(*answer), view, out);
                }
            }
            Message::Answer { to, id, answer } if to == self.at => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    self.hear_store(waiting, answer, view, out);
                }
            }
            Message::Changed { era, number, app, record } => {
                if era == self.era && self.seen.get(&app).is_none_or(|seen| *seen < number) {
                    self.know(&app, record.map(|record| Held { number, record }), number, view.now);
                }
            }
            Message::LostWrites { era, apps } => self.know_all(era, apps, view.now),
            // Of an earlier run of this process, or not for managers.
            Message::Applied { .. }
            | Message::Answer { .. }
            | Message::Apply { .. }
            | Message::AskInventory { .. }
            | Message::Ask { .. } => {}
        }
        self.visit_due(view, out);
    }

    fn hear_beat(&mut self, summary: HostSummary, view: View<'_>, out: &mut Out) {
        let host = summary.host.clone();
        self.lease.obeyed = self.lease.obeyed.max(summary.epoch);
        let news = self.observed.heard(summary, view.now);
        self.report(news, &[], view.now);
        let known = self.observed.host(&host);
        if news != News::None && known.is_some_and(|known| !known.is_current()) {
            self.ask_host(&host, out);
        }
    }

    fn hear_inventory(&mut self, inventory: &HostInventory, view: View<'_>, out: &mut Out) {
        let host = &inventory.summary.host;
        self.lease.obeyed = self.lease.obeyed.max(inventory.summary.epoch);
        self.take_unknown_for_deleted(inventory, out);
        let before = self.observed.host(host).and_then(|known| known.inventory.clone());
        let entry = |of: Option<&HostInventory>, app: &AppName| {
            of.and_then(|inventory| inventory.apps.iter().find(|entry| entry.app == *app)).cloned()
        };
        let differs = |app: &&AppName| entry(before.as_ref(), app) != entry(Some(inventory), app);
        let changed: Vec<AppName> = self.apps.keys().filter(differs).cloned().collect();
        let news = self.observed.inventory(inventory.clone(), view.now);
        self.report(news, &changed, view.now);
    }

    fn report(&mut self, news: News, changed: &[AppName], now: Timestamp) {
        match news {
            News::None | News::Alive => {}
            News::Inventory => changed.iter().for_each(|app| self.due(app, now)),
            News::Host => self.all_due(now),
        }
    }

    fn hear_store(&mut self, waiting: Waiting, answer: Answer, view: View<'_>, out: &mut Out) {
        match (waiting, answer) {
            (Waiting::Lease { look_again }, Answer::Lease(found)) => {
                self.lease_found(look_again, found, view, out);
            }
            (Waiting::TakeLease { epoch, begun }, Answer::Written(written)) => {
                self.lease_written(epoch, begun, &written, view, out);
            }
            (Waiting::Apps, Answer::Apps { era, apps }) => self.hear_list(era, apps, view.now),
            (Waiting::App(app), Answer::App(found)) => {
                let number = found.as_ref().map_or(0, |held| held.number);
                self.visited(&app, view.now);
                self.know(&app, found, number, view.now);
            }
            (Waiting::Write { era, record }, Answer::Written(Written::Done(number))) if era == self.era => {
                let app = record.app.clone();
                self.visited(&app, view.now);
                if self.seen.get(&app).is_none_or(|seen| *seen < number) {
                    self.know(&app, Some(Held { number, record }), number, view.now);
                }
            }
            (Waiting::Write { record, .. }, Answer::Written(_)) => self.read_again(&record.app.clone(), out),
            (Waiting::Delete(app), Answer::Written(Written::Done(number))) => {
                self.visited(&app, view.now);
                self.know(&app, None, number, view.now);
            }
            (Waiting::Delete(app), Answer::Written(Written::Conflict)) => self.read_again(&app, out),
            // The store answers what it was asked.
            (_, _) => {}
        }
    }

    /// A list is complete or it is none: what is not in it is gone, unless it was written after.
    fn hear_list(&mut self, era: u64, apps: BTreeMap<AppName, Held>, now: Timestamp) {
        if era != self.era {
            self.know_all(era, apps, now);
            return;
        }
        self.listed = true;
        for (app, held) in apps {
            if self.seen.get(&app).is_none_or(|seen| *seen < held.number) {
                let number = held.number;
                self.know(&app, Some(held), number, now);
            }
        }
    }

    fn know_all(&mut self, era: u64, apps: BTreeMap<AppName, Held>, now: Timestamp) {
        if era < self.era {
            return;
        }
        self.era = era;
        self.listed = true;
        self.seen = apps.iter().map(|(app, held)| (app.clone(), held.number)).collect();
        self.apps = apps;
        self.all_due(now);
    }

    fn know(&mut self, app: &AppName, held: Option<Held>, number: Number, now: Timestamp) {
        self.seen.insert(app.clone(), number);
        match held {
            Some(held) => {
                self.apps.insert(app.clone(), held);
                self.due(app, now);
            }
            None => {
                self.apps.remove(app);
                self.agenda.remove(app);
            }
        }
    }

    /// An answer did not come in time. Whether it was done is not known.
    pub(crate) fn give_up(&mut self, id: RequestId, view: View<'_>, out: &mut Out) {
        match self.waiting.remove(&id) {
            None => {}
            Some(Waiting::Lease { .. }) => self.lease.asking = false,
            Some(Waiting::TakeLease { .. }) => self.look_again(out),
            Some(Waiting::Apps) => self.ask(Ask::Apps, Waiting::Apps, out),
            Some(Waiting::App(app)) => {
                self.visited(&app, view.now);
                self.due(&app, view.now.plus(SOON));
            }
            Some(Waiting::Write { record, .. }) => self.read_again(&record.app.clone(), out),
            Some(Waiting::Delete(app)) => self.read_again(&app, out),
            Some(Waiting::Apply { app, host, fence }) => {
                self.answered((&app, &host, fence), None, view, out);
            }
        }
        self.visit_due(view, out);
    }

    #[cfg(not(feature = "sabotage"))]
    #[expect(clippy::unused_self, reason = "the sound manager does nothing here")]
    fn take_unknown_for_deleted(&self, _: &HostInventory, _: &mut Out) {}

    /// The bug: before the store was listed, nothing is there, so everything that hosts run is left over.
    #[cfg(feature = "sabotage")]
    fn take_unknown_for_deleted(&self, inventory: &HostInventory, out: &mut Out) {
        if self.listed || self.sabotage != Some(crate::Sabotage::EmptyListIsDelete) {
            return;
        }
        for entry in &inventory.apps {
            let fence = Fence {
                epoch: inventory.summary.epoch,
                generation: entry.fence.generation.next(),
                step: lath_control_api::Step(1),
            };
            let app = entry.app.clone();
            let request = Arc::new(lath_control_api::ApplyRequest { fence, app, bundles: Vec::new() });
            let message = Message::Apply { from: self.at, id: 0, request };
            out.sends.push((Node::Host(inventory.summary.host.clone()), message));
        }
    }
}
