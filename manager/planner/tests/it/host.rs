//! A host for tests: the real decisions of `lath-host-core`, with the work that they ask for done in no time, or
//! when the test says so. No code runs here and no planner is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lath_control_api::{
    ApiError, AppName, ApplyReply, ApplyRequest, CallCounts, ComponentName, ComponentSpec, HostInventory,
    HostSummary, Reason, Timestamp,
};
use lath_host_core::{Core, JournalEntry, News, SpecKey, Ticket, Transition, UnitKey};
use lath_manager_planner::example;

/// A unit that is being made ready.
#[derive(Debug, Clone)]
struct Work {
    ticket: Ticket,
    component: ComponentName,
    spec: Arc<ComponentSpec>,
}

/// What is wrong with calls of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ill {
    /// Of a hundred.
    pub(crate) failing: u64,
    pub(crate) micros: u64,
}

impl Default for Ill {
    fn default() -> Self {
        Self { failing: 0, micros: 1_000 }
    }
}

/// One host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) summary: HostSummary,
    pub(crate) core: Core,
    /// Whether anything goes to it or comes from it.
    pub(crate) connected: bool,
    /// It prepares nothing by itself.
    pub(crate) holds: bool,
    /// Its drains do not end by themselves.
    pub(crate) busy: bool,
    /// Calls of each component in a second; counted by the shares that its units take.
    pub(crate) traffic: u64,
    journal: BTreeMap<AppName, Vec<u8>>,
    counts: BTreeMap<UnitKey, CallCounts>,
    seconds: u64,
    work: BTreeMap<UnitKey, Work>,
    /// What was made ready, with the ticket of that.
    ready: BTreeMap<UnitKey, Work>,
    drains: BTreeMap<UnitKey, Ticket>,
    boots: u64,
}

impl Host {
    pub(crate) fn new(summary: HostSummary) -> Self {
        Self {
            core: Core::new(summary.http_default),
            summary,
            connected: true,
            holds: false,
            busy: false,
            traffic: 0,
            journal: BTreeMap::new(),
            counts: BTreeMap::new(),
            seconds: 0,
            work: BTreeMap::new(),
            ready: BTreeMap::new(),
            drains: BTreeMap::new(),
            boots: 1,
        }
    }

    /// Obeys or refuses, and does what can be done at once.
    pub(crate) fn apply(&mut self, request: &ApplyRequest, now: Timestamp) -> Result<ApplyReply, ApiError> {
        let (reply, steps) = self.core.apply(request, now)?;
        self.carry_out(steps, now);
        Ok(reply)
    }

    /// Lets a second pass: time-outs, retries, and preparations unless they are held. `broken` says which images
    /// cannot be prepared, `unhealthy` which do not answer well, `ills` what becomes of calls of an image.
    pub(crate) fn act(
        &mut self,
        broken: &BTreeMap<String, Reason>,
        unhealthy: &BTreeSet<String>,
        ills: &BTreeMap<String, Ill>,
        now: Timestamp,
    ) {
        let steps = self.core.tick(now);
        self.carry_out(steps, now);
        self.take_calls(ills);
        self.ask_how_they_are(unhealthy, now);
        if !self.busy {
            self.finish_drains(now);
        }
        while !self.holds
            && let Some((unit, work)) = self.work.pop_first()
        {
            let news = match broken.get(work.spec.workload.reference()) {
                Some(reason) => failure(*reason),
                None => News::Ready,
            };
            if news == News::Ready {
                self.ready.insert(unit.clone(), work.clone());
            }
            let steps = self.core.observe(&unit, work.ticket, news, now);
            self.carry_out(steps, now);
        }
    }

    /// Ends the preparation of `component`, or of everything, with `news`. True when there was any.
    pub(crate) fn prepared(
        &mut self,
        component: Option<&str>,
        reason: Option<Reason>,
        now: Timestamp,
    ) -> bool {
        let fits = |work: &Work| component.is_none_or(|component| work.component.as_str() == component);
        let done: Vec<UnitKey> =
            self.work.iter().filter(|(_, work)| fits(work)).map(|(unit, _)| unit.clone()).collect();
        for unit in &done {
            let Some(work) = self.work.remove(unit) else { continue };
            let steps = self.core.observe(unit, work.ticket, reason.map_or(News::Ready, failure), now);
            self.carry_out(steps, now);
        }
        !done.is_empty()
    }

    /// The process ends and another one begins, with nothing but the journal.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        let entries = self
            .journal
            .values()
            .map(|bytes| JournalEntry::decode(bytes).expect("its own journal"))
            .collect();
        self.boots += 1;
        self.summary.boot = example::boot(self.boots);
        self.work.clear();
        self.ready.clear();
        self.counts.clear();
        self.drains.clear();
        let (core, steps) = Core::restore(self.summary.http_default, entries, now);
        self.core = core;
        self.carry_out(steps, now);
    }

    /// The disk is new: nothing is known of the life before.
    pub(crate) fn wipe(&mut self, now: Timestamp) {
        self.journal.clear();
        self.restart(now);
    }

    /// What it says of itself.
    pub(crate) fn inventory(&self) -> HostInventory {
        let sequence = self.core.sequence() + self.seconds;
        let summary = HostSummary { sequence, epoch: self.core.epoch(), ..self.summary.clone() };
        let apps = self.core.inventory(|unit| self.counts.get(unit).cloned().unwrap_or_default());
        HostInventory { summary, listeners: Vec::new(), apps }
    }

    fn ask_how_they_are(&mut self, unhealthy: &BTreeSet<String>, now: Timestamp) {
        for (unit, work) in self.ready.clone() {
            let news = if unhealthy.contains(work.spec.workload.reference()) {
                News::Unhealthy { reason: Reason::ProbeFailed, message: "GET / fails".to_owned() }
            } else {
                News::Healthy
            };
            let steps = self.core.observe(&unit, work.ticket, news, now);
            self.carry_out(steps, now);
        }
    }

    /// A second of traffic, dealt exactly by the shares.
    fn take_calls(&mut self, ills: &BTreeMap<String, Ill>) {
        if self.traffic == 0 {
            return;
        }
        self.seconds += 1;
        for app in self.core.inventory(|_| CallCounts::default()) {
            for component in app.components {
                for unit in component.units.iter().filter(|unit| unit.digest.is_some()) {
                    let spec = SpecKey { revision: unit.revision, content: unit.content.clone() };
                    let key = UnitKey { app: app.app.clone(), id: component.id.clone(), spec };
                    let ill = ills.get(&unit.image).copied().unwrap_or_default();
                    let calls = self.traffic * u64::from(unit.weight.percent()) / 100;
                    let failed = calls * ill.failing / 100;
                    let counts = self.counts.entry(key).or_default();
                    counts.started += calls;
                    counts.trapped += failed;
                    counts.succeeded += calls - failed;
                    *counts.latency_us.entry(ill.micros.next_power_of_two()).or_default() += calls;
                }
            }
        }
    }

    /// Components that answer calls from outside, with the revisions that do.
    pub(crate) fn serving(&self, app: &AppName) -> BTreeSet<ComponentName> {
        let apps = self.core.inventory(|_| CallCounts::default());
        let entries = apps.into_iter().filter(|entry| entry.app == *app).flat_map(|entry| entry.components);
        entries
            .filter(|component| component.units.iter().any(|unit| unit.serving))
            .map(|component| component.component)
            .collect()
    }

    fn finish_drains(&mut self, now: Timestamp) {
        while let Some((unit, ticket)) = self.drains.pop_first() {
            let steps = self.core.observe(&unit, ticket, News::Idle, now);
            self.carry_out(steps, now);
        }
    }

    fn carry_out(&mut self, steps: Vec<Transition>, now: Timestamp) {
        for step in steps {
            match step {
                Transition::Persist(app) => match self.core.journal(&app) {
                    Some(entry) => {
                        self.journal.insert(app, entry.encode().expect("a journal entry"));
                    }
                    None => {
                        self.journal.remove(&app);
                    }
                },
                Transition::Prepare { unit, ticket, component, spec, .. } => {
                    self.work.insert(unit, Work { ticket, component, spec });
                }
                Transition::Cancel { unit } | Transition::Stop { unit, .. } => {
                    self.work.remove(&unit);
                    self.drains.remove(&unit);
                }
                Transition::Reopen { unit } => {
                    self.drains.remove(&unit);
                }
                Transition::Drain { unit, ticket, .. } | Transition::Close { unit, ticket } => {
                    self.drains.insert(unit, ticket);
                }
                Transition::Release { .. } | Transition::Publish | Transition::Report => {}
            }
        }
        if !self.busy && !self.drains.is_empty() {
            self.finish_drains(now);
        }
    }
}

fn failure(reason: Reason) -> News {
    News::Failed { reason, message: "as the test says".to_owned() }
}
