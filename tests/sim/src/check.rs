//! What must never be, judged from outside: by what really is on hosts and in the store, not by what anybody believes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::{
    AppName, ApplyRequest, ComponentId, Digest, Epoch, Generation, HostId, Revision, Step, Timestamp,
};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::record::{DesiredRecord, Wanted};

use crate::message::ManagerRun;

/// Time after a host's fault in which a decision may rest on what the host was before: it is lost after 11 s, and its
/// share needs a rollout's time to come up elsewhere.
const AFTER_A_FAULT: Duration = Duration::from_secs(60);
/// Time for which a component must have been wanted before its loss counts: a command of the decision before may be
/// as late as messages are.
const WANTED_FOR: Duration = Duration::from_secs(35);

/// What has been seen of a run so far.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// What was broken, the first first.
    pub(crate) broken: Vec<String>,
    /// The store has lost writes in this run: numbers that were given may be given again.
    pub(crate) store_went_back: bool,
    last_fault: Option<Timestamp>,
    /// Components that must not be lost, and since when.
    needed: BTreeMap<AppName, BTreeMap<ComponentId, Timestamp>>,
    /// Newest counters of each app's record.
    counters: BTreeMap<AppName, (Generation, Step, Revision)>,
    committed: BTreeSet<(AppName, Generation, Step)>,
    contents: BTreeMap<(AppName, Generation, Step, HostId), Digest>,
    epochs: BTreeMap<Epoch, ManagerRun>,
}

impl Checker {
    pub(crate) fn breaks(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    /// A host is not what it was, and nobody planned it.
    pub(crate) fn fault(&mut self, now: Timestamp) {
        self.last_fault = Some(self.last_fault.map_or(now, |last| last.max(now)));
    }

    /// A record is in the store, or is gone from it.
    pub(crate) fn stored(
        &mut self,
        app: &AppName,
        record: Option<&DesiredRecord>,
        revisions: Option<&Revisions>,
        now: Timestamp,
    ) {
        let Some(record) = record else {
            self.needed.remove(app);
            self.counters.remove(app);
            // An app of that name that is made anew may begin with numbers that nobody holds any more.
            self.contents.retain(|(of, ..), _| of != app);
            return;
        };
        let counters = (record.generation, record.step, record.last_revision);
        let before = self.counters.insert(app.clone(), counters);
        if before.is_some_and(|before| counters < before || counters.2 < before.2) {
            self.breaks(format!("R13: counters of {app} went from {before:?} to {counters:?}"));
        }
        self.committed.insert((app.clone(), record.generation, record.step));
        let wanted = revisions.map(|revisions| needed(record, revisions)).unwrap_or_default();
        let since = self.needed.entry(app.clone()).or_default();
        since.retain(|id, _| wanted.contains(id));
        for id in wanted {
            since.entry(id).or_insert(now);
        }
    }

    /// The store has lost writes.
    pub(crate) fn went_back(&mut self) {
        self.store_went_back = true;
        self.counters.clear();
        self.needed.clear();
    }

    /// M10 and M3: only what is committed is sent, and one fence never stands for two contents.
    pub(crate) fn sent(&mut self, host: &HostId, request: &ApplyRequest) {
        let (generation, step) = (request.fence.generation, request.fence.step);
        let app = &request.app;
        if !self.committed.contains(&(app.clone(), generation, step)) {
            self.breaks(format!("M10: {app} g{generation}.{step} was sent to {host} and never committed"));
        }
        // Compared as text: bundles are plain data.
        let content = Digest::of(format!("{:?}", request.bundles).as_bytes());
        let before = self.contents.insert((app.clone(), generation, step, host.clone()), content.clone());
        if before.is_some_and(|before| before != content) && !self.store_went_back {
            self.breaks(format!("M3: {app} g{generation}.{step} stands for two contents on {host}"));
        }
    }

    /// M3: an epoch is one manager's.
    pub(crate) fn began(&mut self, at: ManagerRun, epoch: Epoch) {
        let before = self.epochs.insert(epoch, at);
        if before.is_some_and(|before| before != at) {
            self.breaks(format!("M3: epoch {epoch} belongs to {before:?} and to {at:?}"));
        }
    }

    /// R4, R12, M2: nothing planned takes the last place of what serves.
    pub(crate) fn lost(&mut self, id: &ComponentId, host: &str, now: Timestamp) {
        let recent = self.last_fault.is_some_and(|fault| now.since(fault) < AFTER_A_FAULT);
        let since = self.needed.values().find_map(|needed| needed.get(id));
        if !recent && since.is_some_and(|since| now.since(*since) >= WANTED_FOR) {
            self.breaks(format!("R12: {id} was served last by {host}, and no fault took it"));
        }
    }
}

/// Components that must go on being served: those that the wanted revision has, and during a rollout also the one
/// before it. A first deploy promises nothing yet.
fn needed(record: &DesiredRecord, revisions: &Revisions) -> BTreeSet<ComponentId> {
    let ids = |revision: Option<Revision>| -> BTreeSet<ComponentId> {
        let spec = revision.and_then(|revision| revisions.get(&revision));
        spec.into_iter().flat_map(|spec| spec.components.values()).map(|plan| plan.id.clone()).collect()
    };
    if record.wanted != Wanted::Run {
        return BTreeSet::new();
    }
    match record.rollout {
        None => ids(record.revision),
        Some(_) => ids(record.revision).intersection(&ids(record.serving)).cloned().collect(),
    }
}
