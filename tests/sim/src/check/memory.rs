//! What checks remember of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::app::RolloutAction;
use lath_control_api::{
    AppName, ApplyRequest, ComponentBundle, ComponentId, ComponentSpec, Epoch, Fence, Generation, Revision,
    Step, Timestamp,
};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::record::{Assignment, DesiredRecord, Promotion, Stage, Wanted};

use super::fact::{Fact, Sent, Stored, Writer};
use crate::host::Host;
use crate::message::ManagerRun;

/// Time after a host's fault in which a decision may rest on what the host was before: it is lost after 11 s, and its
/// share needs a rollout's time to come up elsewhere.
pub(super) const AFTER_A_FAULT: Duration = Duration::from_secs(60);
/// Time for which a component must have been wanted before its loss counts: a command of the decision before may be
/// as late as messages are.
pub(super) const WANTED_FOR: Duration = Duration::from_secs(35);

/// The bytes of a component's spec by app, revision, id and number of instances.
pub(super) type Told = BTreeMap<(AppName, Revision, ComponentId, u32), ComponentSpec>;

/// What checks remember.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The store has lost writes in this run: numbers that were given may be given again.
    pub(crate) store_went_back: bool,
    /// Apps that the store has lost, and what each host served of them then.
    pub(crate) lost: BTreeMap<AppName, Vec<BTreeSet<ComponentId>>>,
    /// Apps that the store has lost while they were being deleted: how far that had come nobody knows any more.
    pub(crate) deletions_lost: BTreeSet<AppName>,
    /// How often a rollout went from one stage to another by a plan.
    pub(crate) edges: BTreeMap<(&'static str, &'static str), u64>,
    last_fault: Option<Timestamp>,
    /// Components that must not be lost, and since when.
    pub(super) needed: BTreeMap<AppName, BTreeMap<ComponentId, Timestamp>>,
    /// In how many places components must be served, newest last.
    pub(super) floors: BTreeMap<AppName, Vec<Floor>>,
    /// Newest counters of each app's record.
    pub(super) counters: BTreeMap<AppName, (Generation, Step, Revision)>,
    /// The newest generation that a person has asked for.
    pub(super) asked: BTreeMap<AppName, Generation>,
    /// What was committed, by app and numbers.
    pub(super) committed: BTreeMap<(AppName, Generation, Step), Arc<DesiredRecord>>,
    pub(super) contents: BTreeMap<(AppName, Generation, Step, usize), Arc<ApplyRequest>>,
    pub(super) told: Told,
    pub(super) epochs: BTreeMap<Epoch, ManagerRun>,
    /// When a manager sent a command last, by host.
    pub(super) sent: BTreeMap<(ManagerRun, usize, AppName), (Fence, String, Timestamp)>,
    /// The newest command that a host has obeyed, in the life of its disk.
    pub(super) obeyed: BTreeMap<(usize, AppName), (u64, Arc<ApplyRequest>)>,
    /// Shares of revisions that a host was told, in the life of its disk.
    pub(super) shares: BTreeSet<(usize, u64, AppName, Revision, u8)>,
    pub(super) highest_epoch: BTreeMap<usize, (u64, Epoch)>,
    /// Apps of which the store has what nobody can read.
    pub(crate) spoilt: BTreeSet<AppName>,
    /// Apps that somebody has changed since the store lost writes.
    pub(super) asked_after_loss: BTreeSet<AppName>,
    /// The step on which a person has given his word.
    pub(super) promoted: BTreeMap<AppName, (Generation, Step)>,
    /// The same when the store last lost writes: a manager may give back what it had read.
    promoted_before: BTreeMap<AppName, (Generation, Step)>,
}

/// In how many places each component must be served, from some time on.
#[derive(Debug)]
pub(super) struct Floor {
    pub(super) since: Timestamp,
    pub(super) places: BTreeMap<ComponentId, usize>,
}

impl Memory {
    /// A host is not what it was, and nobody planned it.
    pub(crate) fn fault(&mut self, now: Timestamp) {
        self.last_fault = Some(self.last_fault.map_or(now, |last| last.max(now)));
    }

    pub(super) fn is_after_a_fault(&self, now: Timestamp) -> bool {
        self.last_fault.is_some_and(|fault| now.since(fault) < AFTER_A_FAULT)
    }

    /// The store has lost writes. `gone`: apps that nobody asked to delete and that are not there any more. `deleted`:
    /// those that somebody did.
    pub(crate) fn went_back(&mut self, gone: &[AppName], deleted: Vec<AppName>, hosts: &[Host]) {
        self.deletions_lost.extend(deleted);
        self.store_went_back = true;
        self.counters.clear();
        self.asked.clear();
        self.promoted_before = std::mem::take(&mut self.promoted);
        self.needed.retain(|app, _| gone.contains(app));
        for app in gone {
            let served = |host: &Host| {
                let of_app = host.face.0.iter().filter(|(_, served)| served.app == *app);
                of_app.map(|(id, _)| id.clone()).collect()
            };
            self.lost.insert(app.clone(), hosts.iter().map(served).collect());
        }
    }

    /// Remembers a step, after all checks have seen it.
    pub(super) fn note(&mut self, fact: &Fact<'_>) {
        match fact {
            Fact::Stored(stored) => self.note_stored(stored),
            Fact::Sent(sent) => self.note_sent(sent),
            Fact::Began { by, epoch } => drop(self.epochs.insert(*epoch, *by)),
            Fact::Obeyed(obeyed) => {
                let life = obeyed.host.disk_life;
                let app = &obeyed.request.app;
                for candidate in obeyed.request.bundles.iter().filter_map(|bundle| bundle.candidate.as_ref())
                {
                    let share = candidate.weight.percent();
                    self.shares.insert((obeyed.at, life, app.clone(), candidate.spec.revision, share));
                }
                let key = (obeyed.at, app.clone());
                self.obeyed.insert(key, (life, Arc::clone(obeyed.request)));
                self.highest_epoch.insert(obeyed.at, (life, obeyed.request.fence.epoch));
            }
            Fact::Changed(_) | Fact::Reported { .. } => {}
        }
    }

    fn note_sent(&mut self, sent: &Sent<'_>) {
        let Sent { request, at, .. } = sent;
        let (app, fence) = (&request.app, request.fence);
        let key = (app.clone(), fence.generation, fence.step, *at);
        self.contents.insert(key, Arc::clone(request));
        for spec in request.bundles.iter().flat_map(specs_of) {
            let (bundle, spec) = spec;
            let key = (app.clone(), spec.revision, bundle.id.clone(), spec.max_instances);
            self.told.entry(key).or_insert_with(|| spec.clone());
        }
        let boot = sent.known.boot.clone();
        self.sent.insert((sent.by, *at, app.clone()), (fence, boot, sent.now));
    }

    fn note_stored(&mut self, stored: &Stored<'_>) {
        let Stored { app, by, before, now, .. } = stored;
        let Some(record) = stored.after else {
            self.forget(app);
            return;
        };
        let counters = (record.generation, record.step, record.last_revision);
        self.counters.insert((*app).clone(), counters);
        self.committed.insert(((*app).clone(), record.generation, record.step), Arc::clone(record));
        self.lost.remove(*app);
        self.deletions_lost.remove(*app);
        if let Writer::Plan(_) = by {
            if let Some(before) = before {
                *self.edges.entry((stage_name(before), stage_name(record))).or_default() += 1;
            }
        } else {
            self.asked.insert((*app).clone(), record.generation);
        }
        if self.store_went_back && matches!(by, Writer::User { what: "deploy", .. }) {
            self.asked_after_loss.insert((*app).clone());
        }
        self.note_promotion(stored, record);
        let wanted = stored.revisions().map(|revisions| needed(record, revisions)).unwrap_or_default();
        let since = self.needed.entry((*app).clone()).or_default();
        since.retain(|id, _| wanted.contains(id));
        for id in wanted {
            since.entry(id).or_insert(*now);
        }
        self.note_floor(stored, record);
    }

    fn forget(&mut self, app: &AppName) {
        self.asked_after_loss.remove(app);
        self.needed.remove(app);
        self.floors.remove(app);
        self.counters.remove(app);
        self.asked.remove(app);
        self.promoted.remove(app);
        // An app of that name that is made anew may begin with numbers that nobody holds any more.
        self.contents.retain(|(of, ..), _| of != app);
        self.told.retain(|(of, ..), _| of != app);
    }

    /// A person's word is for the step at hand, however its hosts are numbered meanwhile.
    fn note_promotion(&mut self, stored: &Stored<'_>, record: &DesiredRecord) {
        let at = (record.generation, record.step);
        let promotes = |action| matches!(action, Some(RolloutAction::Promote | RolloutAction::PromoteFull));
        match stored.by {
            Writer::User { action, .. } if promotes(action) => {
                self.promoted.insert(stored.app.clone(), at);
            }
            Writer::Plan(basis) => {
                let kept =
                    record.rollout.as_ref().is_some_and(|rollout| rollout.promotion != Promotion::None);
                let same = stage_of(&basis.record) == stage_of(record);
                let before = (basis.record.generation, basis.record.step);
                if kept && same && self.promoted.get(stored.app) == Some(&before) {
                    self.promoted.insert(stored.app.clone(), at);
                }
            }
            Writer::Restore => {
                if self.promoted_before.get(stored.app) == Some(&at) {
                    self.promoted.insert(stored.app.clone(), at);
                }
            }
            Writer::User { .. } | Writer::Time => {}
        }
    }

    fn note_floor(&mut self, stored: &Stored<'_>, record: &DesiredRecord) {
        let places = stored.revisions().map(|revisions| floor(record, revisions, stored.hosts));
        let floors = self.floors.entry(stored.app.clone()).or_default();
        floors.push(Floor { since: stored.now, places: places.unwrap_or_default() });
        // The one that held when the time began that counts is the oldest that matters.
        let old = |floor: &Floor| stored.now.since(floor.since) >= WANTED_FOR;
        while floors.get(1).is_some_and(old) {
            floors.remove(0);
        }
    }
}

/// Specs of a bundle, each with its bundle.
pub(super) fn specs_of(bundle: &ComponentBundle) -> impl Iterator<Item = (&ComponentBundle, &ComponentSpec)> {
    let candidate = bundle.candidate.as_ref().map(|candidate| &candidate.spec);
    bundle.stable.iter().chain(candidate).map(move |spec| (bundle, &**spec))
}

/// The stage of a rollout without what changes within it.
fn stage_of(record: &DesiredRecord) -> (&'static str, Option<usize>) {
    let rung = match record.rollout.as_ref().map(|rollout| &rollout.stage) {
        Some(Stage::Shifting { rung, shifted, .. }) => Some(rung * 1_000 + shifted.len()),
        _ => None,
    };
    (stage_name(record), rung)
}

/// Where a record's rollout is, in one word.
pub(crate) fn stage_name(record: &DesiredRecord) -> &'static str {
    let Some(rollout) = &record.rollout else {
        return if record.wanted == Wanted::Run { "at rest" } else { "stopped" };
    };
    match &rollout.stage {
        Stage::RollingBack => "rolling back",
        Stage::Stopping => "stopping",
        Stage::Stuck => "stuck",
        _ if rollout.problem.is_some() => "held",
        Stage::Preparing => "preparing",
        Stage::Emptying => "emptying",
        Stage::Shifting { .. } => "shifting",
        Stage::Warm { .. } => "warm",
        Stage::Settling => "settling",
    }
}

/// Components that must go on being served: those that the wanted revision has, and during a rollout also the one
/// before it. A first deploy promises nothing yet, and a rollout that stops the old revision first promises nothing.
fn needed(record: &DesiredRecord, revisions: &Revisions) -> BTreeSet<ComponentId> {
    let ids = |revision: Option<Revision>| -> BTreeSet<ComponentId> {
        let spec = revision.and_then(|revision| revisions.get(&revision));
        spec.into_iter().flat_map(|spec| spec.components.values()).map(|plan| plan.id.clone()).collect()
    };
    if record.wanted != Wanted::Run || is_emptied(record) {
        return BTreeSet::new();
    }
    match record.rollout {
        None => ids(record.revision),
        Some(_) => ids(record.revision).intersection(&ids(record.serving)).cloned().collect(),
    }
}

/// Whether the old revision is gone, and was meant to be, before the new one has proven itself.
fn is_emptied(record: &DesiredRecord) -> bool {
    let stage = record.rollout.as_ref().map(|rollout| &rollout.stage);
    matches!(stage, Some(Stage::Emptying | Stage::Shifting { alone: true, .. }))
}

/// In how many places each component must be served: in as many as both revisions have, at most where it is served
/// now, less those that the policy lets be away.
fn floor(record: &DesiredRecord, revisions: &Revisions, hosts: &[Host]) -> BTreeMap<ComponentId, usize> {
    let spec = record.revision.and_then(|revision| revisions.get(&revision));
    let Some(spec) = spec.filter(|_| record.wanted == Wanted::Run && !is_emptied(record)) else {
        return BTreeMap::new();
    };
    if record.rollout.is_some() && record.serving.is_none() {
        return BTreeMap::new();
    }
    let assigned = record.assignment.hosts().count();
    let policy = spec.rollouts.first();
    let away = policy.map_or(0, |policy| {
        policy.max_unavailable.of_rounded_down(u32::try_from(assigned).unwrap_or(u32::MAX))
    });
    let counted = |places: &Assignment, name| places.0.values().filter(|on| on.contains_key(name)).count();
    let places = spec.components.iter().map(|(name, plan)| {
        let base = if record.rollout.is_some() { counted(&record.base, name) } else { usize::MAX };
        let served = hosts.iter().filter(|host| host.up && host.face.serves(&plan.id)).count();
        let places = counted(&record.assignment, name).min(base).min(served);
        (plan.id.clone(), places.saturating_sub(usize::try_from(away).unwrap_or(0)))
    });
    places.collect()
}
