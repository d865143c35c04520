//! A manager: the real planner, and a model of the loop around it.
//!
//! The model keeps to what the real manager does: it plans on news and at `wake_at`, commits before it sends, sends
//! again until the inventory shows a command, acts only under a lease that it believes to hold, and hears anew after
//! it stood still. Each of its steps is a message, so a run may kill it between any two of them.

mod gates;
mod hearing;
mod knowing;
mod lease;
mod ready;
mod sending;
mod visit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{AppName, Epoch, Fence, Generation, HostId, Step, Timestamp};
use lath_manager_planner::{DesiredRecord, ObservedState, PlanLimits};

use crate::apps::Webhook;
use crate::message::{Ask, Event, ManagerRun, Message, RequestId};
use crate::network::Node;
use crate::profile::Moment;
use crate::store::{Apps, Number, Store};
use lease::Lease;
use sending::Sent;
use visit::Memo;

/// Time between two looks at what is due.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// A tick that is later than this means that the process stood still.
const STOOD_STILL: Duration = Duration::from_secs(3);
/// How often everything is asked for although nothing calls for it.
const RESYNC: Duration = Duration::from_secs(30);
/// Time to the next try when something is not at hand.
const SOON: Duration = Duration::from_millis(500);
/// Time to the next try when only people can help.
const SELDOM: Duration = Duration::from_secs(15);
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
    pub(crate) plans: u64,
    /// Somebody is to be asked, and what about.
    pub(crate) webhooks: Vec<(AppName, Generation, Step)>,
}

/// What a manager knows that speaks against going on, by code that shares nothing with the planner's; for the checks.
#[derive(Debug, Clone, Copy, Default)]
struct Opinion {
    gate_failed: bool,
    unready: bool,
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

impl View<'_> {
    fn node(&self, host: &HostId) -> Option<Node> {
        self.hosts.iter().position(|known| known == host).map(Node::Host)
    }
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
    Restore,
    Apply { app: AppName, host: HostId, fence: Fence },
}

#[derive(Debug, Clone, Default)]
struct Agenda {
    due: Option<Timestamp>,
    /// A write or a read for this app is on its way.
    visiting: bool,
    /// What the webhook is being asked.
    asking: Option<(Generation, Step)>,
    memo: Option<Memo>,
}

/// One manager.
#[derive(Debug)]
pub(crate) struct Manager {
    pub(crate) at: ManagerRun,
    pub(crate) up: bool,
    pub(crate) frozen_until: Timestamp,
    /// Where it is to die.
    pub(crate) dies_at: Option<Moment>,
    pub(crate) observed: ObservedState,
    /// Grows with what is observed, but not with the mere word that a host lives.
    seen_so_far: u64,
    limits: PlanLimits,
    last_tick: Timestamp,
    last_resync: Timestamp,
    lease: Lease,
    /// What is known of the store, which is listed before it is believed to be empty.
    listed: bool,
    era: u64,
    apps: Apps,
    /// The newest write of each app that was heard of, deletions among them.
    seen: BTreeMap<AppName, Number>,
    /// Apps that were deleted: a store that goes back in time must not bring them back.
    deleted: BTreeMap<AppName, Arc<DesiredRecord>>,
    agenda: BTreeMap<AppName, Agenda>,
    sent: BTreeMap<(AppName, HostId), Sent>,
    waiting: BTreeMap<RequestId, Waiting>,
    last_id: RequestId,
    visits: u64,
}

impl Manager {
    pub(crate) fn new(manager: usize) -> Self {
        Self {
            at: ManagerRun { manager, run: 0 },
            up: false,
            frozen_until: Timestamp(0),
            dies_at: None,
            observed: ObservedState::default(),
            seen_so_far: 0,
            limits: PlanLimits::default(),
            last_tick: Timestamp(0),
            last_resync: Timestamp(0),
            lease: Lease::default(),
            listed: false,
            era: 0,
            apps: Apps::new(),
            seen: BTreeMap::new(),
            deleted: BTreeMap::new(),
            agenda: BTreeMap::new(),
            sent: BTreeMap::new(),
            waiting: BTreeMap::new(),
            last_id: 0,
            visits: 0,
        }
    }

    /// The process begins, knowing nothing.
    pub(crate) fn start(&mut self, view: View<'_>, out: &mut Out) {
        let at = ManagerRun { run: self.at.run + 1, ..self.at };
        *self = Self { at, up: true, ..Self::new(self.at.manager) };
        self.observed = ObservedState::new(view.now);
        self.last_tick = view.now;
        self.resync(view, out);
        out.later.push((TICK, Event::ManagerTick(at)));
    }

    pub(crate) fn tick(&mut self, view: View<'_>, out: &mut Out) {
        if view.now.since(self.last_tick) > STOOD_STILL {
            self.observed.listening_again(view.now);
            self.seen_so_far += 1;
            self.resync(view, out);
        }
        self.last_tick = view.now;
        if view.now.since(self.last_resync) > RESYNC && !planted!("no-relist") {
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
        for host in 0..view.hosts.len() {
            self.ask_host(Some(Node::Host(host)), out);
        }
        self.all_due(view.now);
    }

    fn ask_host(&self, host: Option<Node>, out: &mut Out) {
        out.sends.extend(host.map(|host| (host, Message::AskInventory { from: self.at })));
    }

    fn ask(&mut self, ask: Ask, waiting: Waiting, out: &mut Out) {
        self.last_id += 1;
        let id = self.last_id;
        self.waiting.insert(id, waiting);
        out.sends.push((Node::Store, Message::Ask { from: self.at, id, ask }));
        out.later.push((STORE_DEADLINE, Event::GiveUp(self.at, id)));
    }

    fn due(&mut self, app: &AppName, at: Timestamp) {
        match self.agenda.get_mut(app) {
            Some(agenda) => agenda.due = Some(agenda.due.map_or(at, |due| due.min(at))),
            None => {
                self.agenda.insert(app.clone(), Agenda { due: Some(at), ..Agenda::default() });
            }
        }
    }

    fn all_due(&mut self, now: Timestamp) {
        let apps: Vec<AppName> = self.apps.keys().cloned().collect();
        apps.iter().for_each(|app| self.due(app, now));
    }

    /// An answer did not come in time. Whether it was done is not known.
    pub(crate) fn give_up(&mut self, id: RequestId, view: View<'_>, out: &mut Out) {
        match self.waiting.remove(&id) {
            None => return,
            Some(Waiting::Lease { .. }) => self.lease.asking = false,
            Some(Waiting::TakeLease { .. }) => self.look_again(out),
            Some(Waiting::Apps) => self.ask(Ask::Apps, Waiting::Apps, out),
            Some(Waiting::App(app)) => {
                self.visited(&app, view.now);
                self.due(&app, view.now.plus(SOON));
            }
            Some(Waiting::Write { record, .. }) => self.read_again(&record.app.clone(), out),
            Some(Waiting::Delete(app)) => self.read_again(&app, out),
            // Whatever is lost and was not restored is lost: the list tells.
            Some(Waiting::Restore) => {}
            Some(Waiting::Apply { app, host, fence }) => {
                self.answered((&app, &host, fence), None, view, out);
            }
        }
        self.visit_due(view, out);
    }
}

/// How long a webhook takes to say what; none when it says nothing at all.
pub(crate) fn answer_of(webhook: Webhook, rng: &mut crate::rng::Rng) -> Option<bool> {
    match webhook {
        Webhook::Agrees => Some(true),
        Webhook::Refuses => Some(false),
        Webhook::Hangs => None,
        Webhook::Wavers => match rng.below(4) {
            0 => Some(false),
            1 => None,
            _ => Some(true),
        },
    }
}
