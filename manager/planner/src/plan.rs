//! The planner's one door: an app's record and what was observed in, the next record and commands out.
//!
//! Order of things: see whether the store has gone back in time, place, move the rollout along one edge, then
//! derive what every host is to be told from the record that results.

mod place;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::app::{AppStatus, ChangeKind, Problem};
use lath_control_api::{
    AppInventory, ApplyRequest, ComponentName, ComponentSpec, Epoch, Generation, HostId, Revision, Step,
    Timestamp,
};
use lath_manifests::manifest::{RolloutPolicy, Share, Webhook};
use lath_manifests::rollout::override_policy;

use crate::assess::{Assessment, assess};
use crate::bundles::{self, Revisions};
use crate::check::{self, Violation};
use crate::desired::Difference;
use crate::ladder::{Ladder, is_told_how};
use crate::observed::{ObservedHost, ObservedState};
use crate::planted::planted;
use crate::record::{Assignment, DesiredRecord, Rollout, Wanted};
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
        // A host may have more than the record knows of: the store may have gone back to this deletion.
        let gone = record.touched.is_empty() && concerned.hosts.values().all(Assessment::is_settled);
        let forget = record.wanted == Wanted::Forget && record.rollout.is_none() && gone;
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
            if let Some(rollout) = &mut record.rollout {
                // It went on under the writes that were lost; the time since it was written says nothing of it.
                rollout.progressed = self.input.now;
            }
            // Numbers of revisions that were lost must not be given again: hosts tell units apart by them.
            let units = self.input.observed.hosts().filter_map(|(_, host)| host.app(&record.app));
            let units = units.flat_map(|entry| &entry.components).flat_map(|component| &component.units);
            let highest = units.map(|unit| unit.revision).max().unwrap_or_default();
            record.last_revision = record.last_revision.max(highest);
        }
    }

    fn is_there(&self, host: &ObservedHost) -> bool {
        self.input.observed.silence(host, self.input.now) <= self.input.limits.lost_after
    }

    fn is_alive(&self, host: &HostId) -> bool {
        self.input.observed.is_alive(host, self.input.now, self.input.limits.lost_after)
    }

    /// Hosts that may run something of the app and have never been heard may just not have spoken yet: nothing
    /// is placed elsewhere and nothing is called done before they had the time to.
    fn must_wait_for_news(&self, record: &DesiredRecord) -> bool {
        let PlanInput { now, limits, observed, .. } = *self.input;
        let had_time = observed.has_listened(now, limits.lost_after);
        let is_awaited = |host: &HostId| {
            observed.is_stranger(host, now, limits.lost_after) || (!had_time && observed.host(host).is_none())
        };
        bundles::hosts(record).iter().any(is_awaited)
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
        // Later for a host that says no more than that it lives: its inventory is asked for again and again.
        let listened = observed.listening_since().plus(limits.lost_after + Duration::from_millis(1));
        let listened = listened.max(now.plus(Duration::from_secs(1)));
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
