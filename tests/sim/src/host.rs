//! A host: the real decisions of `lath-host-core`, with a model of everything that they ask the edges to do.
//!
//! Modelled: a disk that keeps the journal, preparation that takes time and may fail, calls that are in flight, and
//! a process that may die between any two steps. What the model knows to be true (which unit is really ready, which
//! has calls in flight) is what the host's decisions are checked against.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::{
    ApiError, AppName, ApplyReply, ApplyRequest, CallCounts, ComponentId, HostInventory, HostSummary, Reason,
    Timestamp,
};
use lath_host_core::{Core, JournalEntry, News, Ticket, Transition, UnitKey};
use lath_manager_planner::example;

use crate::apps::{Behaviour, behaviour};
use crate::rng::Rng;

/// News of a unit that the edge will have.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) boot: u64,
    pub(crate) unit: UnitKey,
    pub(crate) ticket: Ticket,
    pub(crate) news: News,
}

/// What a host's edges are told by a run.
#[derive(Debug)]
pub(crate) struct Edge<'a> {
    pub(crate) now: Timestamp,
    pub(crate) behaviours: &'a BTreeMap<String, Behaviour>,
    /// Fetches that fail for now, in a thousand.
    pub(crate) flaky_fetch: u64,
    /// Transitions after which the process dies, if it does.
    pub(crate) dies_after: Option<usize>,
    pub(crate) rng: &'a mut Rng,
}

/// What came of some transitions.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What will be heard of units, and when.
    pub(crate) words: Vec<(Duration, Word)>,
    /// The inventory has changed.
    pub(crate) report: bool,
    /// The process died in the middle.
    pub(crate) died: bool,
    /// What must never be.
    pub(crate) broken: Vec<String>,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) summary: HostSummary,
    pub(crate) core: Core,
    pub(crate) up: bool,
    pub(crate) frozen_until: Timestamp,
    pub(crate) boot: u64,
    /// Component ids that take calls, as last published.
    pub(crate) serving: BTreeSet<ComponentId>,
    pub(crate) last_beat: Timestamp,
    disk: BTreeMap<AppName, Vec<u8>>,
    /// Units whose preparation has really ended well, in this boot.
    ready: BTreeSet<UnitKey>,
    /// Until when calls are in flight in a unit that is leaving.
    busy_until: BTreeMap<UnitKey, Timestamp>,
    deadlines: BTreeMap<UnitKey, Timestamp>,
    /// Commands that the host has answered for.
    acknowledged: BTreeMap<AppName, ApplyRequest>,
    #[cfg(feature = "sabotage")]
    pub(crate) sabotage: Option<crate::Sabotage>,
}

impl Host {
    pub(crate) fn new(summary: HostSummary) -> Self {
        Self {
            core: Core::new(summary.http_default),
            summary,
            up: true,
            frozen_until: Timestamp(0),
            boot: 1,
            serving: BTreeSet::new(),
            last_beat: Timestamp(0),
            disk: BTreeMap::new(),
            ready: BTreeSet::new(),
            busy_until: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    /// Obeys or refuses. No answer at all when the process died over it.
    pub(crate) fn apply(
        &mut self,
        request: &ApplyRequest,
        edge: &mut Edge<'_>,
    ) -> (Option<Result<ApplyReply, ApiError>>, Outcome) {
        match self.core.apply(request, edge.now) {
            Err(refusal) => (Some(Err(refusal)), Outcome::default()),
            Ok((reply, steps)) => {
                let outcome = self.carry_out(steps, edge);
                if outcome.died {
                    return (None, outcome);
                }
                self.acknowledged.insert(request.app.clone(), request.clone());
                (Some(Ok(reply)), outcome)
            }
        }
    }

    /// Hears of a unit, if it is the process that asked for it.
    pub(crate) fn hear(&mut self, word: &Word, edge: &mut Edge<'_>) -> Outcome {
        if word.boot != self.boot {
            return Outcome::default();
        }
        if word.news == News::Ready {
            self.ready.insert(word.unit.clone());
        }
        let steps = self.core.observe(&word.unit, word.ticket, word.news.clone(), edge.now);
        self.carry_out(steps, edge)
    }

    /// Does what time alone has made due.
    pub(crate) fn tick(&mut self, edge: &mut Edge<'_>) -> Outcome {
        if self.core.wake_at().is_none_or(|at| at > edge.now) {
            return Outcome::default();
        }
        let steps = self.core.tick(edge.now);
        self.carry_out(steps, edge)
    }

    /// The process ends without a word.
    pub(crate) fn die(&mut self) {
        self.up = false;
        self.serving.clear();
        self.ready.clear();
        self.busy_until.clear();
        self.deadlines.clear();
    }

    /// The disk is lost.
    pub(crate) fn wipe(&mut self) {
        self.disk.clear();
        self.acknowledged.clear();
    }

    /// A new process begins with what the disk has.
    pub(crate) fn start(&mut self, edge: &mut Edge<'_>) -> Outcome {
        self.boot += 1;
        self.up = true;
        self.summary.boot = example::boot(self.boot);
        let entries: Vec<JournalEntry> =
            self.disk.values().filter_map(|bytes| JournalEntry::decode(bytes).ok()).collect();
        let lost = self.acknowledged.iter().filter(|(app, request)| {
            let entry = entries.iter().find(|entry| entry.request.app == **app);
            entry.is_none_or(|entry| {
                entry.request.fence.order(&request.fence) == lath_control_api::Order::Older
            })
        });
        let broken: Vec<String> =
            lost.map(|(app, _)| format!("H2: {} has lost {app}", self.summary.name)).collect();
        let (core, steps) = Core::restore(self.summary.http_default, entries, edge.now);
        self.core = core;
        let mut outcome = self.carry_out(steps, edge);
        outcome.broken.extend(broken);
        outcome.report = true;
        outcome
    }

    /// What it says of itself.
    pub(crate) fn inventory(&self) -> HostInventory {
        let apps = self.core.inventory(|_| CallCounts::default());
        HostInventory { summary: self.beat(), listeners: Vec::new(), apps }
    }

    /// The head of what it says of itself.
    pub(crate) fn beat(&self) -> HostSummary {
        HostSummary { sequence: self.core.sequence(), epoch: self.core.epoch(), ..self.summary.clone() }
    }

    fn carry_out(&mut self, steps: Vec<Transition>, edge: &mut Edge<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for (done, step) in steps.into_iter().enumerate() {
            if edge.dies_after == Some(done) {
                outcome.died = true;
                self.die();
                break;
            }
            self.carry_out_one(step, edge, &mut outcome);
        }
        outcome
    }

    fn carry_out_one(&mut self, step: Transition, edge: &mut Edge<'_>, outcome: &mut Outcome) {
        match step {
            Transition::Persist(app) => self.persist(&app),
            Transition::Prepare { unit, ticket, spec, .. } => {
                let image = spec.workload.reference().to_owned();
                self.prepare(&unit, ticket, &image, edge, outcome);
            }
            Transition::Cancel { unit } => {
                self.ready.remove(&unit);
            }
            Transition::Reopen { unit } => {
                self.busy_until.remove(&unit);
                self.deadlines.remove(&unit);
            }
            Transition::Publish => self.publish(outcome),
            Transition::Drain { unit, ticket, deadline } => {
                self.deadlines.insert(unit.clone(), deadline);
                let busy = if edge.rng.chance(150) { 8_000 } else { 600 };
                let ends = edge.now.plus(edge.rng.millis(0, busy));
                self.busy_until.insert(unit.clone(), ends);
                self.await_idle(unit, ticket, edge, outcome);
            }
            Transition::Close { unit, ticket } => self.await_idle(unit, ticket, edge, outcome),
            Transition::Stop { unit, overdue } => self.stop(&unit, overdue, edge.now, outcome),
            Transition::Report => outcome.report = true,
        }
    }

    fn persist(&mut self, app: &AppName) {
        #[cfg(feature = "sabotage")]
        if self.sabotage == Some(crate::Sabotage::ForgetsJournal) && self.disk.contains_key(app) {
            return;
        }
        match self.core.journal(app).map(|entry| entry.encode()) {
            Some(Ok(bytes)) => {
                self.disk.insert(app.clone(), bytes);
            }
            Some(Err(_)) => {}
            None => {
                self.disk.remove(app);
                self.acknowledged.remove(app);
            }
        }
    }

    fn prepare(
        &mut self,
        unit: &UnitKey,
        ticket: Ticket,
        image: &str,
        edge: &mut Edge<'_>,
        outcome: &mut Outcome,
    ) {
        let boot = self.boot;
        let word = |news: News| Word { boot, unit: unit.clone(), ticket, news };
        let (news, takes) = match behaviour(edge.behaviours, image) {
            _ if edge.rng.chance(edge.flaky_fetch) => (failed(Reason::FetchFailed), 300),
            Behaviour::Good(takes) => (News::Ready, takes),
            Behaviour::Bad(reason) => (failed(reason), 800),
            Behaviour::Hangs => return,
        };
        let fetched = edge.rng.millis(1, takes / 3);
        let done = fetched + edge.rng.millis(1, takes);
        outcome.words.push((fetched, word(News::Compiling)));
        #[cfg(feature = "sabotage")]
        if self.sabotage == Some(crate::Sabotage::ReadyTooEarly) {
            let steps = self.core.observe(unit, ticket, News::Ready, edge.now);
            let early = self.carry_out(steps, edge);
            outcome.broken.extend(early.broken);
            outcome.words.extend(early.words);
        }
        outcome.words.push((done, word(news)));
    }

    fn await_idle(&mut self, unit: UnitKey, ticket: Ticket, edge: &Edge<'_>, outcome: &mut Outcome) {
        let ends = self.busy_until.get(&unit).copied().unwrap_or(edge.now);
        #[cfg(feature = "sabotage")]
        let ends = if self.sabotage == Some(crate::Sabotage::DropsCalls) { edge.now } else { ends };
        let word = Word { boot: self.boot, unit, ticket, news: News::Idle };
        outcome.words.push((ends.since(edge.now) + Duration::from_millis(1), word));
    }

    /// H7, R5: calls go only to units that are ready.
    fn publish(&mut self, outcome: &mut Outcome) {
        let routes = self.core.routes();
        for (id, target) in routes.targets() {
            for labelled in target.units().filter(|labelled| !self.ready.contains(&labelled.unit)) {
                let name = &self.summary.name;
                outcome.broken.push(format!("R5: {name} sends calls of {id} to {}", labelled.unit));
            }
        }
        let serving = routes.targets().filter(|(_, target)| target.is_serving());
        self.serving = serving.map(|(id, _)| id.clone()).collect();
    }

    /// R6: what was taken is finished, except at the deadline.
    fn stop(&mut self, unit: &UnitKey, overdue: bool, now: Timestamp, outcome: &mut Outcome) {
        let busy = self.busy_until.remove(unit).is_some_and(|until| until > now);
        let deadline = self.deadlines.remove(unit);
        if busy && !(overdue && deadline.is_some_and(|deadline| deadline <= now)) {
            outcome.broken.push(format!("R6: {} stopped {unit} with calls in flight", self.summary.name));
        }
        self.ready.remove(unit);
    }
}

fn failed(reason: Reason) -> News {
    News::Failed { reason, message: "the model says so".to_owned() }
}
