//! The planner's one door: an app's record and what was observed in, the next record and commands out.
//!
//! Order of things: see whether the store has gone back in time, place, move the rollout along one edge, then
//! derive what every host is to be told from the record that results.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::app::{AppStatus, ChangeKind, Problem};
use lath_control_api::{
    AppInventory, ApplyRequest, ComponentInventory, ComponentName, ComponentSpec, Epoch, Generation, HostId,
    Revision, Step, Timestamp, UnitInventory,
};
use lath_manifests::manifest::{RolloutPolicy, Share, Webhook};
use lath_manifests::rollout::override_policy;

use crate::assess::{Assessment, assess};
use crate::bundles::{self, Revisions};
use crate::check::{self, Violation};
use crate::desired::{AppSpec, Difference};
use crate::ladder::{Ladder, is_told_how};
use crate::observed::ObservedState;
use crate::placement::{self, Candidate, Placement};
use crate::planted::planted;
use crate::record::{Assignment, DesiredRecord, Rollout, Stage, Wanted};
use crate::rollout::{Advance, Situation, advance};
use crate::status::{self, Told};

/// Bounds that are the same for every app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanLimits {
    /// A host that was silent for longer, while we could hear, is lost: its share runs elsewhere. Two heartbeats
    /// of five seconds may be late or lost without consequence. At least 7 s: a host that is heard again after a
    /// shorter silence is no news.
    pub lost_after: Duration,
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self { lost_after: Duration::from_secs(11) }
    }
}

/// All that decides the plan of one app.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// The time. Only differences to earlier times of the same clock count.
    pub now: Timestamp,
    /// Term of the manager that plans.
    pub epoch: Epoch,
    /// Bounds.
    pub limits: &'a PlanLimits,
    /// What hosts have said.
    pub observed: &'a ObservedState,
    /// The app's record as stored.
    pub record: &'a DesiredRecord,
    /// Contents of [`DesiredRecord::needed_revisions`].
    pub revisions: &'a Revisions,
}

/// What is to be done about an app.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOutput {
    /// The next record, when it differs: to be committed before any command is sent.
    pub record: Option<DesiredRecord>,
    /// What hosts that are there must be told, hosts in order of ids. Derived from the next record.
    pub commands: Vec<Command>,
    /// What people are told.
    pub status: AppStatus,
    /// When time alone could change this answer.
    pub wake_at: Option<Timestamp>,
    /// Nothing of the app is left and nobody wants it: the record and its revisions may be deleted.
    pub forget: bool,
    /// Somebody who is to be asked before the rollout goes on; the answer belongs into the record
    /// ([`crate::steer::webhook_answered`]).
    pub webhook: Option<WebhookAsk>,
    /// Broken invariants. With any of them nothing is committed or sent.
    pub violations: Vec<Violation>,
}

/// A question to a policy's webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookAsk {
    /// Whom, and how long to wait.
    pub webhook: Webhook,
    /// The step that it is about.
    pub step: Step,
    /// The change that it belongs to.
    pub generation: Generation,
    /// The revision before.
    pub from: Option<Revision>,
    /// The new one.
    pub to: Option<Revision>,
}

/// One request to one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// To whom.
    pub host: HostId,
    /// What.
    pub request: ApplyRequest,
    /// Why, for logs.
    pub why: String,
}

/// Decides what is to be done about one app now.
#[must_use]
pub fn plan(input: &PlanInput<'_>) -> PlanOutput {
    let planner = Planner { input };
    planner.plan()
}

struct Planner<'a> {
    input: &'a PlanInput<'a>,
}

/// The hosts that are there and have to do with a record: what it tells each, and how far each has come with that.
#[derive(Debug, Default)]
struct Concerned {
    requests: BTreeMap<HostId, ApplyRequest>,
    hosts: BTreeMap<HostId, Assessment>,
}

impl Planner<'_> {
    fn plan(&self) -> PlanOutput {
        let before = self.input.record;
        let mut record = before.clone();
        self.outrun(&mut record);
        let unplaced = self.place(&mut record);
        let difference = self.difference(&record);
        let policy = self.policy(&record, &difference);
        let ladder = Ladder::new(&record, &policy, self.input.observed, difference.is_trivial());
        note_strategy(&mut record, &policy);
        let concerned = self.assess_all(&record);
        if concerned.hosts.values().any(|host| host.contradicts) {
            record.generation = record.generation.next();
            record.step = Step(1);
            let concerned = self.assess_all(&record);
            return self.finish(record, &concerned, &Advance::default(), &unplaced, &ladder);
        }
        let situation = Situation {
            now: self.input.now,
            observed: self.input.observed,
            policy: &policy,
            ladder: &ladder,
            changed: &difference.changed,
            hosts: &concerned.hosts,
            old_unavailable: self.old_unavailable(&record),
            unplaced: &unplaced,
        };
        let waits = self.must_wait_for_news(&record);
        let advance = if waits { Advance::default() } else { advance(&record, &situation) };
        let next = match &advance.record {
            Some(next) => next.clone(),
            None if waits => record.clone(),
            None => release(record.clone(), &situation),
        };
        let concerned = if next == record { concerned } else { self.assess_all(&next) };
        self.finish(next, &concerned, &advance, &unplaced, &ladder)
    }

    fn finish(
        &self,
        mut record: DesiredRecord,
        concerned: &Concerned,
        advance: &Advance,
        unplaced: &[Problem],
        ladder: &Ladder,
    ) -> PlanOutput {
        note_touched(&mut record, concerned);
        let commands = self.commands(&record, concerned);
        let violations = check::check(self.input, &record, &commands);
        let forget = record.wanted == Wanted::Forget && record.rollout.is_none() && record.touched.is_empty();
        let changed = record != *self.input.record;
        let webhook = if advance.asks_webhook { self.webhook(&record) } else { None };
        // People are told of what is stored: what is only planned may never come.
        let before = changed.then(|| self.assess_all(self.input.record));
        let hosts = &before.as_ref().unwrap_or(concerned).hosts;
        let told = Told { hosts, unplaced, ladder, advance };
        let status = status::status(self.input, self.input.record, &told);
        PlanOutput {
            wake_at: self.wake_at(&record, advance, concerned, changed),
            webhook,
            record: changed.then_some(record),
            commands,
            status,
            forget,
            violations,
        }
    }

    /// Hosts that hold a later generation than the record are proof that the store has lost writes (N2): take the
    /// decision at hand again under a number that they obey.
    fn outrun(&self, record: &mut DesiredRecord) {
        if planted!("ignore-lost-writes") {
            return;
        }
        let held = self.input.observed.hosts().filter_map(|(_, host)| Some(host.app(&record.app)?.fence));
        let highest = held.map(|fence| (fence.generation, fence.step)).max();
        if let Some((generation, _)) = highest.filter(|held| *held > (record.generation, record.step)) {
            record.generation = generation.next();
            record.step = Step(1);
            // Numbers of revisions that were lost must not be given again: hosts tell units apart by them.
            let units = self.input.observed.hosts().filter_map(|(_, host)| host.app(&record.app));
            let units = units.flat_map(|entry| &entry.components).flat_map(|component| &component.units);
            let highest = units.map(|unit| unit.revision).max().unwrap_or_default();
            record.last_revision = record.last_revision.max(highest);
        }
    }

    fn takes_work(&self, host: &HostId) -> bool {
        self.input.observed.takes_work(host, self.input.now, self.input.limits.lost_after)
    }

    fn is_alive(&self, host: &HostId) -> bool {
        self.input.observed.is_alive(host, self.input.now, self.input.limits.lost_after)
    }

    /// Gives every component its hosts. Returns what could not be placed.
    fn place(&self, record: &mut DesiredRecord) -> Vec<Problem> {
        if record.wanted != Wanted::Run || self.must_wait_for_news(record) {
            return Vec::new();
        }
        let mut hosts = placement::candidates(self.input.observed, &record.app, |host| self.takes_work(host));
        if record.rollout.is_some() {
            self.place_base(record, &hosts);
            hosts.retain(|host, _| !self.has_left_over(record, host));
        }
        let going_back = record.rollout.as_ref().is_some_and(Rollout::goes_back);
        let spec = record.revision.and_then(|revision| self.input.revisions.get(&revision));
        let Some(spec) = spec.filter(|_| !going_back) else { return Vec::new() };
        let Placement { mut assignment, mut problems } =
            placement::place(spec, &hosts, &places(record, &hosts));
        self.name_drained(&mut problems);
        if let Some(rollout) = &record.rollout {
            self.keep_last_places(&mut assignment, &record.assignment, &rollout.stage, spec);
        }
        if assignment != record.assignment {
            let begins = record.serving.is_none() || !assignment.beyond(&record.assignment).is_empty();
            if record.rollout.is_none() {
                // Silent hosts are kept as well: what has no other place may still be served there.
                record.surplus = record.assignment.and(&record.surplus).beyond(&assignment);
            }
            record.assignment = assignment;
            record.step = record.step.next();
            if let Some(rollout) = record.rollout.as_mut().filter(|_| begins) {
                // What a host is given now it has all the time for. And a first deploy waits for hosts as long as it
                // takes; its time begins with them.
                rollout.progressed = self.input.now;
            }
        }
        problems
    }

    /// What no host will take any more stays where it was: a host that is drained may be the last that has it. Without
    /// a rollout the surplus does that. And while traffic moves, what moves to a host that has no traffic yet stays
    /// where it has some.
    fn keep_last_places(
        &self,
        assignment: &mut Assignment,
        before: &Assignment,
        stage: &Stage,
        spec: &AppSpec,
    ) {
        let shifted = if let Stage::Shifting { shifted, .. } = stage { Some(shifted) } else { None };
        for name in spec.components.keys() {
            let places = |of: &Assignment| -> Vec<(HostId, u32)> {
                of.0.iter().filter_map(|(host, on)| Some((host.clone(), *on.get(name)?))).collect()
            };
            let (mut old, new) = (places(before), places(assignment));
            if let Some(shifted) = shifted.filter(|_| !new.is_empty()) {
                let has_traffic = new.iter().any(|(host, _)| shifted.contains(host));
                old.retain(|(host, _)| !has_traffic && shifted.contains(host) && self.is_alive(host));
            } else if !new.is_empty() {
                continue;
            }
            old.iter().for_each(|(host, instances)| assignment.add(host, name, *instances));
        }
    }

    /// Whether a host has traffic on a revision that neither serves nor is wanted: a rollout was superseded there. Told
    /// only of a candidate without traffic it would go on with that, perhaps for as long as nobody promotes. So it is
    /// told nothing first, while others serve, and has a place when that is gone.
    fn has_left_over(&self, record: &DesiredRecord, host: &HostId) -> bool {
        let waits = record.rollout.as_ref().is_some_and(|rollout| match &rollout.stage {
            Stage::Preparing => true,
            Stage::Shifting { shifted, .. } => !shifted.contains(host),
            Stage::Emptying
            | Stage::Warm { .. }
            | Stage::Settling
            | Stage::RollingBack
            | Stage::Stopping
            | Stage::Stuck => false,
        });
        let entry = self.input.observed.host(host).and_then(|known| known.app(&record.app));
        let Some(entry) = entry.filter(|_| waits && record.serving.is_some()) else { return false };
        let is_left = |unit: &UnitInventory| {
            unit.serving && ![record.serving, record.revision].contains(&Some(unit.revision))
        };
        let elsewhere = |name: &ComponentName| {
            let others = self.input.observed.hosts().filter(|(other, _)| *other != host);
            let mut others = others.filter(|(other, _)| self.is_alive(other));
            others.any(|(other, _)| self.serving(record, other).contains(name))
        };
        entry.components.iter().any(|component| {
            let name = &component.component;
            let left = record.base.count(host, name).is_none() && component.units.iter().any(is_left);
            left && (elsewhere(name) || !self.is_promised(record, name))
        })
    }

    /// Says which hosts are there and take nothing, since people wonder where they are.
    fn name_drained(&self, problems: &mut [Problem]) {
        let hosts = self.input.observed.hosts().filter(|(id, _)| self.is_alive(id) && !self.takes_work(id));
        let names: Vec<&str> = hosts.map(|(_, host)| host.summary.name.as_str()).collect();
        if names.is_empty() {
            return;
        }
        for problem in problems {
            problem.message = format!("{}; drained or stopping: {}", problem.message, names.join(", "));
        }
    }

    /// Hosts that may run something of the app and have never been heard may just not have spoken yet: nothing
    /// is placed elsewhere and nothing is called done before they had the time to.
    fn must_wait_for_news(&self, record: &DesiredRecord) -> bool {
        let PlanInput { now, limits, observed, .. } = *self.input;
        !observed.has_listened(now, limits.lost_after)
            && bundles::hosts(record).iter().any(|host| observed.host(host).is_none())
    }

    /// The old revision keeps its places, also those on hosts that are silent: they may still serve, and when they
    /// are heard again they are told to go on. What has no place on a host that is there is placed once more.
    fn place_base(&self, record: &mut DesiredRecord, hosts: &BTreeMap<HostId, Candidate>) {
        let Some(spec) = record.serving.and_then(|revision| self.input.revisions.get(&revision)) else {
            return;
        };
        let mut heard = record.base.clone();
        heard.0.retain(|host, _| self.is_alive(host));
        let lost = |name: &&ComponentName| {
            let has = |base: &Assignment| base.0.values().any(|on| on.contains_key(*name));
            has(&record.base) && !has(&heard)
        };
        let lost: Vec<&ComponentName> = spec.components.keys().filter(lost).collect();
        if planted!("silence-is-absence") && heard != record.base {
            record.step = record.step.next();
            record.base = heard;
            return;
        }
        if lost.is_empty() {
            return;
        }
        let placed = placement::place(spec, hosts, &heard).assignment;
        let mut added = false;
        for name in lost {
            for (host, components) in &placed.0 {
                if let Some(instances) = components.get(name) {
                    record.base.add(host, name, *instances);
                    added = true;
                }
            }
        }
        if added {
            record.step = record.step.next();
        }
    }

    fn policy(&self, record: &DesiredRecord, difference: &Difference) -> RolloutPolicy {
        let spec =
            record.revision.or(record.serving).and_then(|revision| self.input.revisions.get(&revision));
        let policy = spec.map(|spec| spec.policy(&difference.changed)).unwrap_or_default();
        let overrides = record.rollout.as_ref().map(|rollout| &rollout.overrides);
        let Some(overrides) = overrides.filter(|overrides| !overrides.is_empty()) else { return policy };
        // They were checked when the change was accepted.
        override_policy(&policy, overrides).unwrap_or(policy)
    }

    /// What the revision before let be away.
    fn old_unavailable(&self, record: &DesiredRecord) -> Share {
        let old = record.serving.and_then(|revision| self.input.revisions.get(&revision));
        old.map_or(Share::Count(0), |old| old.policy(&BTreeSet::new()).max_unavailable)
    }

    /// What the record's rollout changes.
    fn difference(&self, record: &DesiredRecord) -> Difference {
        let spec = |revision: Option<Revision>| self.input.revisions.get(&revision?).map(AsRef::as_ref);
        if record.rollout.is_none() {
            return Difference::default();
        }
        Difference::between(spec(record.serving), spec(record.revision))
    }

    fn webhook(&self, record: &DesiredRecord) -> Option<WebhookAsk> {
        let webhook = self.policy(record, &self.difference(record)).webhook?;
        let (step, generation) = (record.step, record.generation);
        Some(WebhookAsk { webhook, step, generation, from: record.serving, to: record.revision })
    }

    /// Every host that is there and has to do with the app, judged by what `record` tells it.
    fn assess_all(&self, record: &DesiredRecord) -> Concerned {
        let content = |name: &ComponentName, spec: &ComponentSpec| {
            let known = self.input.revisions.get(&spec.revision);
            known
                .and_then(|known| known.content_for(name, spec.max_instances))
                .unwrap_or_else(|| spec.content())
        };
        let mut concerned = Concerned::default();
        for host in self.concerned(record) {
            let request = self.request(record, &host);
            let wanted = |name: &ComponentName| bundles::is_goal(record, &host, name);
            let assessment = assess(self.input.observed, &host, &request, wanted, content);
            concerned.requests.insert(host.clone(), request);
            concerned.hosts.insert(host, assessment);
        }
        concerned
    }

    /// Hosts that are there and have something of the app, should have it, or may have it.
    fn concerned(&self, record: &DesiredRecord) -> BTreeSet<HostId> {
        let mut hosts = bundles::hosts(record);
        let runs = |entry: &AppInventory| !entry.components.is_empty();
        let reporting =
            self.input.observed.hosts().filter(|(_, host)| host.app(&record.app).is_some_and(runs));
        hosts.extend(reporting.map(|(id, _)| id.clone()));
        hosts.retain(|host| self.is_alive(host));
        hosts
    }

    fn request(&self, record: &DesiredRecord, host: &HostId) -> ApplyRequest {
        bundles::request(record, self.input.revisions, host, self.input.epoch)
    }

    fn commands(&self, record: &DesiredRecord, concerned: &Concerned) -> Vec<Command> {
        let Concerned { requests, hosts } = concerned;
        let stays: BTreeSet<&HostId> = hosts
            .iter()
            .zip(requests.values())
            .filter(|((host, _), request)| self.must_stay(record, hosts, host, request))
            .map(|((host, _), _)| host)
            .collect();
        // Hosts of which each has the last of what another is to have back would wait for each other for ever.
        let others_are_back =
            hosts.iter().all(|(host, held)| stays.contains(host) || held.is_ready() || held.ahead);
        let none_stays = record.rollout.as_ref().is_some_and(Rollout::goes_back) && others_are_back;
        let mut commands = Vec::new();
        for ((host, assessment), request) in hosts.iter().zip(requests.values()) {
            let due = !assessment.ahead && (!assessment.accepted || assessment.unconfirmed)
                || planted!("send-always");
            if !due || (stays.contains(host) && !none_stays) {
                continue;
            }
            let unconfirmed = "the host waits for confirmation";
            let why = if assessment.unconfirmed { unconfirmed } else { "the host has not taken it on" };
            commands.push(Command { host: host.clone(), request: request.clone(), why: why.to_owned() });
        }
        commands
    }

    /// Whether a host keeps what it has for now, because what the request takes from it may be all there is: the
    /// hosts that are to have it are not ready yet.
    fn must_stay(
        &self,
        record: &DesiredRecord,
        hosts: &BTreeMap<HostId, Assessment>,
        host: &HostId,
        request: &ApplyRequest,
    ) -> bool {
        let stage = record.rollout.as_ref().map(|rollout| &rollout.stage);
        if record.wanted != Wanted::Run || matches!(stage, Some(Stage::Emptying | Stage::Stopping)) {
            return false;
        }
        if matches!(stage, Some(Stage::RollingBack | Stage::Stuck)) {
            return self.is_last_place(record, &record.base, hosts, host, request);
        }
        let ready = |host| hosts.get(host).is_some_and(Assessment::is_ready);
        if request.bundles.is_empty() && !record.assignment.hosts().all(ready) {
            return true;
        }
        self.is_last_place(record, &record.assignment, hosts, host, request)
    }

    /// Whether a request takes something from a host that `goal` has a place for and that is served nowhere else.
    fn is_last_place(
        &self,
        record: &DesiredRecord,
        goal: &Assignment,
        hosts: &BTreeMap<HostId, Assessment>,
        host: &HostId,
        request: &ApplyRequest,
    ) -> bool {
        // Ready is not yet serving: a rollout may not have given the new place its traffic.
        let asked = |name: &ComponentName| request.bundles.iter().any(|bundle| bundle.component == *name);
        let wanted = |name: &ComponentName| {
            goal.0.values().any(|on| on.contains_key(name)) && self.is_promised(record, name)
        };
        let others = || hosts.keys().filter(|other| *other != host);
        let serving = self.serving(record, host);
        serving
            .into_iter()
            .filter(|name| wanted(name) && !asked(name))
            .any(|name| !others().any(|other| self.serving(record, other).contains(name)))
    }

    /// Whether a component must go on being served until the rollout has ended: not when the revision that serves does
    /// not have it.
    fn is_promised(&self, record: &DesiredRecord, name: &ComponentName) -> bool {
        let serving = record.serving.filter(|_| record.rollout.is_some());
        let serving = serving.and_then(|revision| self.input.revisions.get(&revision));
        serving.is_none_or(|spec| spec.components.contains_key(name))
    }

    /// Components of the app that take calls on a host, as far as it has said.
    fn serving(&self, record: &DesiredRecord, host: &HostId) -> BTreeSet<&ComponentName> {
        let entry = self.input.observed.host(host).and_then(|known| known.app(&record.app));
        let components = entry.into_iter().flat_map(|entry| &entry.components);
        let serve = |component: &&ComponentInventory| component.units.iter().any(|unit| unit.serving);
        components.filter(serve).map(|component| &component.component).collect()
    }

    fn wake_at(
        &self,
        record: &DesiredRecord,
        advance: &Advance,
        concerned: &Concerned,
        changed: bool,
    ) -> Option<Timestamp> {
        let PlanInput { now, limits, observed, .. } = *self.input;
        if planted!("never-wake") {
            return None;
        }
        if changed {
            // What the new record leads to is decided by planning it.
            return Some(now);
        }
        let silent = concerned.hosts.keys().filter_map(|host| {
            let known = observed.host(host)?;
            Some(now.plus(
                limits.lost_after.saturating_sub(observed.silence(known, now)) + Duration::from_millis(1),
            ))
        });
        let waits = self.must_wait_for_news(record);
        let listened = observed.listening_since().plus(limits.lost_after + Duration::from_millis(1));
        advance.wake_at.into_iter().chain(silent).chain(waits.then_some(listened)).min()
    }
}

/// The history says by which strategy traffic was moved.
fn note_strategy(record: &mut DesiredRecord, policy: &RolloutPolicy) {
    let climbs = |rollout: &Rollout| match rollout.kind {
        ChangeKind::Deploy => true,
        ChangeKind::Rollback => is_told_how(rollout),
        ChangeKind::Scale | ChangeKind::Undeploy => false,
    };
    let moves = record.rollout.as_ref().is_some_and(|rollout| climbs(rollout) && rollout.is_untouched());
    let open = record.history.first_mut().filter(|entry| moves && entry.outcome.is_none());
    if let Some(entry) = open.filter(|entry| entry.strategy.is_empty()) {
        policy.strategy.as_str().clone_into(&mut entry.strategy);
    }
}

/// Where components are, so that they stay there: where this rollout has put them, and where the revision before has
/// them as long as it has not.
fn places(record: &DesiredRecord, hosts: &BTreeMap<HostId, Candidate>) -> Assignment {
    let mut places = record.assignment.clone();
    let is_placed = |name| hosts.keys().any(|host| record.assignment.count(host, name).is_some());
    for (host, components) in &record.base.0 {
        let left = components.iter().filter(|(name, _)| record.assignment.count(host, name).is_none());
        for (name, instances) in left.filter(|(name, _)| !is_placed(name)) {
            places.add(host, name, *instances);
        }
    }
    places
}

/// Remembers who may hold something of the app, and forgets who says that it does not.
fn note_touched(record: &mut DesiredRecord, concerned: &Concerned) {
    for ((host, assessment), request) in concerned.hosts.iter().zip(concerned.requests.values()) {
        if !request.bundles.is_empty() {
            record.touched.insert(host.clone());
        } else if assessment.is_settled() || planted!("forget-touched") {
            record.touched.remove(host);
        }
    }
}

/// Lets go of what was kept until the assignment is ready, once it is.
fn release(mut record: DesiredRecord, situation: &Situation<'_>) -> DesiredRecord {
    let ready = |host| situation.hosts.get(host).is_some_and(Assessment::is_ready);
    let done = situation.unplaced.is_empty() && record.assignment.hosts().all(ready);
    if record.rollout.is_none() && !record.surplus.is_empty() && (done || planted!("drop-surplus")) {
        record.surplus = Assignment::default();
        record.step = record.step.next();
    }
    record
}
