//! A host: the real decisions of `lath-host-core`, with a model of everything that they ask the edges to do.
//!
//! Modelled: a disk that keeps the journal, preparation that takes time and may fail, calls in flight and how they
//! end, and a process that may die between any two steps. What the model knows to be true (which unit is really ready,
//! which has calls in flight) is what the host's decisions are checked against.

mod calls;
mod face;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::{
    ApiError, AppName, ApplyReply, ApplyRequest, CallCounts, ComponentId, ComponentSpec, HostId,
    HostInventory, HostState, HostSummary, Labels, Reason, Revision, Timestamp,
};
use lath_host_core::{Core, JournalEntry, News, SpecKey, Ticket, Transition, UnitKey};
use lath_manager_planner::example;

pub(crate) use face::Face;

use crate::apps::{Behaviour, Scene};
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
    pub(crate) scene: &'a Scene,
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
    /// Something was done beside writing to the disk and telling.
    pub(crate) acted: bool,
    /// The process died in the middle.
    pub(crate) died: bool,
    /// Units that calls were led to and that were not ready.
    pub(crate) unready: Vec<UnitKey>,
    /// Units that were stopped with calls in flight before their time.
    pub(crate) cut_off: Vec<UnitKey>,
    /// Apps of which a restart knows less than was acknowledged.
    pub(crate) forgotten: Vec<AppName>,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) summary: HostSummary,
    pub(crate) core: Core,
    pub(crate) up: bool,
    pub(crate) frozen_until: Timestamp,
    pub(crate) boot: u64,
    /// Grows when its disk is lost.
    pub(crate) disk_life: u64,
    /// Where calls go, as last published.
    pub(crate) face: Face,
    pub(crate) last_beat: Timestamp,
    pub(crate) last_calls: Timestamp,
    pub(crate) last_told: Timestamp,
    /// Something has changed and will be told.
    pub(crate) is_to_tell: bool,
    /// Some app was told to try a candidate. Without one nobody asks how calls end.
    has_candidates: bool,
    /// What people have set on it, on disk.
    settings: Settings,
    disk: BTreeMap<AppName, JournalEntry>,
    /// Units whose preparation ends well in this boot, and when that really is, whoever tells it when.
    prepared: BTreeMap<UnitKey, Timestamp>,
    /// The preparation of each unit that was asked for last.
    preparing: BTreeMap<UnitKey, Ticket>,
    /// Units of which the host has heard that they are ready.
    heard_ready: BTreeSet<UnitKey>,
    counts: BTreeMap<UnitKey, CallCounts>,
    /// Until when calls are in flight in a unit that is leaving.
    busy_until: BTreeMap<UnitKey, Timestamp>,
    deadlines: BTreeMap<UnitKey, Timestamp>,
    /// Commands that the host has answered for.
    acknowledged: BTreeMap<AppName, ApplyRequest>,
}

#[derive(Debug, Clone)]
struct Settings {
    draining: bool,
    labels: Labels,
    given: Labels,
    /// Changes of the settings in this boot: each raises the sequence.
    changes: u64,
}

impl Host {
    pub(crate) fn new(summary: HostSummary) -> Self {
        let (given, labels) = (summary.labels.clone(), summary.labels.clone());
        Self {
            id: summary.host.clone(),
            core: Core::new(summary.http_default),
            summary,
            up: true,
            frozen_until: Timestamp(0),
            boot: 1,
            disk_life: 0,
            face: Face::default(),
            last_beat: Timestamp(0),
            last_calls: Timestamp(0),
            last_told: Timestamp(0),
            is_to_tell: false,
            has_candidates: false,
            settings: Settings { draining: false, labels, given, changes: 0 },
            disk: BTreeMap::new(),
            prepared: BTreeMap::new(),
            preparing: BTreeMap::new(),
            heard_ready: BTreeSet::new(),
            counts: BTreeMap::new(),
            busy_until: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
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
                self.note_candidates();
                (Some(Ok(reply)), outcome)
            }
        }
    }

    /// Whether the disk has a command: a process that died while it obeyed begins with that.
    pub(crate) fn has_kept(&self, request: &ApplyRequest) -> bool {
        self.disk.get(&request.app).is_some_and(|entry| entry.request.fence == request.fence)
    }

    /// Hears of a unit, if it is the process that asked for it.
    pub(crate) fn hear(&mut self, word: &Word, edge: &mut Edge<'_>) -> Outcome {
        if word.boot != self.boot {
            return Outcome::default();
        }
        // News of a preparation that was given up since say nothing of the one that followed.
        if word.news == News::Ready && self.preparing.get(&word.unit) == Some(&word.ticket) {
            self.heard_ready.insert(word.unit.clone());
        }
        let steps = self.core.observe(&word.unit, word.ticket, word.news.clone(), edge.now);
        self.carry_out(steps, edge)
    }

    /// Does what time alone has made due.
    pub(crate) fn tick(&mut self, edge: &mut Edge<'_>) -> Outcome {
        let steps = self.core.tick(edge.now);
        self.carry_out(steps, edge)
    }

    /// Whether time alone has made something due.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.core.wake_at().is_some_and(|at| at <= now)
    }

    /// The process ends without a word.
    pub(crate) fn die(&mut self) {
        self.up = false;
        self.face = Face::default();
        self.prepared.clear();
        self.preparing.clear();
        self.heard_ready.clear();
        self.counts.clear();
        self.busy_until.clear();
        self.deadlines.clear();
    }

    /// The disk is lost.
    pub(crate) fn wipe(&mut self) {
        self.disk.clear();
        self.acknowledged.clear();
        self.disk_life += 1;
        self.settings.draining = false;
        self.settings.labels = self.settings.given.clone();
    }

    /// A new process begins with what the disk has.
    pub(crate) fn start(&mut self, edge: &mut Edge<'_>) -> Outcome {
        self.boot += 1;
        self.up = true;
        self.is_to_tell = false;
        self.summary.boot = example::boot(self.boot);
        self.settings.changes = 0;
        self.show_settings();
        // What is on disk is bytes, and what the bytes do not say is lost.
        let read = |entry: &JournalEntry| JournalEntry::decode(&entry.encode().ok()?).ok();
        let entries: Vec<JournalEntry> = self.disk.values().filter_map(read).collect();
        let lost = self.acknowledged.iter().filter(|(app, request)| {
            let entry = entries.iter().find(|entry| entry.request.app == **app);
            entry.is_none_or(|entry| {
                entry.request.fence.order(&request.fence) == lath_control_api::Order::Older
            })
        });
        let forgotten = lost.map(|(app, _)| app.clone()).collect();
        let (core, steps) = Core::restore(self.summary.http_default, entries, edge.now);
        self.core = core;
        let outcome = self.carry_out(steps, edge);
        self.note_candidates();
        Outcome { forgotten, report: true, ..outcome }
    }

    fn note_candidates(&mut self) {
        let tries = |request: &ApplyRequest| request.bundles.iter().any(|bundle| bundle.candidate.is_some());
        self.has_candidates = self.disk.values().any(|entry| tries(&entry.request));
    }

    /// Takes no new work from now on, or takes it again. False when it was so before.
    pub(crate) fn drain(&mut self, draining: bool) -> bool {
        let changes = self.settings.draining != draining;
        self.settings.draining = draining;
        self.settings.changes += u64::from(changes);
        self.show_settings();
        changes
    }

    /// Has this label from now on; without one, those that it began with.
    pub(crate) fn label(&mut self, label: Option<(&str, &str)>) -> bool {
        let mut labels = self.settings.given.clone();
        labels.0.extend(label.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let changes = self.settings.labels != labels;
        self.settings.labels = labels;
        self.settings.changes += u64::from(changes);
        self.show_settings();
        changes
    }

    fn show_settings(&mut self) {
        self.summary.labels = self.settings.labels.clone();
        if self.summary.state != HostState::Stopping {
            self.summary.state = self.kept_state();
        }
    }

    /// Whether it takes work while it is not about to end.
    pub(crate) const fn kept_state(&self) -> HostState {
        if self.settings.draining { HostState::Draining } else { HostState::Ready }
    }

    /// What it says of itself.
    pub(crate) fn inventory(&self) -> HostInventory {
        let counted = |unit: &UnitKey| self.counts.get(unit).cloned().unwrap_or_default();
        HostInventory { summary: self.beat(), listeners: Vec::new(), apps: self.core.inventory(counted) }
    }

    /// The head of what it says of itself.
    pub(crate) fn beat(&self) -> HostSummary {
        let sequence = self.core.sequence() + self.settings.changes;
        HostSummary { sequence, epoch: self.core.epoch(), ..self.summary.clone() }
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
        outcome.acted |= !matches!(step, Transition::Persist(_) | Transition::Report);
        match step {
            Transition::Persist(app) => self.persist(&app),
            Transition::Prepare { unit, ticket, spec, .. } => {
                let image = spec.workload.reference().to_owned();
                self.preparing.insert(unit.clone(), ticket);
                self.prepare(&unit, ticket, &image, edge, outcome);
            }
            Transition::Cancel { unit } => {
                self.forget(&unit);
            }
            Transition::Reopen { unit } => {
                self.busy_until.remove(&unit);
                self.deadlines.remove(&unit);
            }
            Transition::Publish => self.publish(edge.now, outcome),
            Transition::Drain { unit, ticket, deadline } => {
                self.deadlines.insert(unit.clone(), deadline);
                let busy = if edge.rng.chance(150) { 8_000 } else { 600 };
                let ends = edge.now.plus(edge.rng.millis(0, busy));
                self.busy_until.insert(unit.clone(), ends);
                self.await_idle(unit, ticket, edge, outcome);
            }
            Transition::Close { unit, ticket } => self.await_idle(unit, ticket, edge, outcome),
            // Nothing here says of a unit that runs that it cannot be started any more.
            Transition::Release { .. } => {}
            Transition::Stop { unit, overdue } => self.stop(&unit, overdue, edge.now, outcome),
            Transition::Report => outcome.report = true,
        }
    }

    fn persist(&mut self, app: &AppName) {
        if planted!("forget-journal") && self.disk.contains_key(app) {
            return;
        }
        match self.core.journal(app) {
            Some(entry) => {
                self.disk.insert(app.clone(), entry);
            }
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
        let (news, takes) = match edge.scene.behaviour(image, &self.summary.name) {
            _ if edge.rng.chance(edge.flaky_fetch) => (failed(Reason::FetchFailed), 300),
            Behaviour::Good(takes) => (News::Ready, takes),
            Behaviour::Bad(reason) => (failed(reason), 800),
            Behaviour::Hangs => return,
        };
        let fetched = edge.rng.millis(1, takes / 3);
        let done = fetched + edge.rng.millis(1, takes);
        if edge.rng.chance(250) {
            outcome.words.push((fetched, word(News::Compiling)));
        }
        if planted!("ready-too-early") {
            outcome.words.push((Duration::from_millis(1), word(News::Ready)));
        }
        if news == News::Ready {
            self.prepared.insert(unit.clone(), edge.now.plus(done));
        }
        outcome.words.push((done, word(news)));
    }

    fn await_idle(&mut self, unit: UnitKey, ticket: Ticket, edge: &Edge<'_>, outcome: &mut Outcome) {
        let ends = self.busy_until.get(&unit).copied().unwrap_or(edge.now);
        let ends = if planted!("drop-calls") { edge.now } else { ends };
        let word = Word { boot: self.boot, unit, ticket, news: News::Idle };
        outcome.words.push((ends.since(edge.now) + Duration::from_millis(1), word));
    }

    /// Whether a unit is really ready for calls.
    pub(crate) fn is_ready(&self, unit: &UnitKey, now: Timestamp) -> bool {
        self.prepared.get(unit).is_some_and(|at| *at <= now)
    }

    /// Whether some unit of a component in a revision is really ready for calls.
    pub(crate) fn has_ready(&self, id: &ComponentId, revision: Revision, now: Timestamp) -> bool {
        let mut units = self.prepared.iter();
        units.any(|(unit, at)| unit.spec.revision == revision && unit.id == *id && *at <= now)
    }

    /// Whether the host knows that a spec of a component is ready.
    pub(crate) fn has_heard_ready(&self, id: &ComponentId, spec: &ComponentSpec) -> bool {
        let mut units = self.heard_ready.iter().filter(|unit| unit.id == *id).peekable();
        units.peek().is_some() && {
            let spec = SpecKey::of(spec);
            units.any(|unit| unit.spec == spec)
        }
    }

    fn publish(&mut self, now: Timestamp, outcome: &mut Outcome) {
        let routes = self.core.routes();
        let labelled = routes.targets().flat_map(|(_, target)| target.units());
        let unready = labelled.filter(|labelled| !self.is_ready(&labelled.unit, now));
        outcome.unready.extend(unready.map(|labelled| labelled.unit.clone()));
        self.face = Face::of(&routes);
    }

    /// What was taken is finished, except at the deadline.
    fn stop(&mut self, unit: &UnitKey, overdue: bool, now: Timestamp, outcome: &mut Outcome) {
        let busy = self.busy_until.remove(unit).is_some_and(|until| until > now);
        let deadline = self.deadlines.remove(unit);
        if busy && !(overdue && deadline.is_some_and(|deadline| deadline <= now)) {
            outcome.cut_off.push(unit.clone());
        }
        self.forget(unit);
    }

    fn forget(&mut self, unit: &UnitKey) {
        self.prepared.remove(unit);
        self.preparing.remove(unit);
        self.heard_ready.remove(unit);
        self.counts.remove(unit);
    }
}

fn failed(reason: Reason) -> News {
    News::Failed { reason, message: "the model says so".to_owned() }
}
