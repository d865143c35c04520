//! The end of a run: all faults are over, and the lattice must come to rest within a bounded time, in a state that is
//! told truthfully, and stay there.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::app::{AppState, AppStatus};
use lath_control_api::{
    AppInventory, AppName, ComponentBundle, ComponentName, Epoch, Order, Role, Timestamp, UnitInventory,
};
use lath_manager_planner::bundles::{self, Revisions};
use lath_manager_planner::record::{Rollout, Stage, Wanted};
use lath_manager_planner::{AppSpec, DesiredRecord};
use lath_manifests::manifest::{Scaling, Spread, Strategy};

use crate::apps::{NAMES, Scene};
use crate::host::Host;
use crate::users::What;
use crate::world::World;

/// Longest time to come to rest: rollouts that run into their deadlines, go back and drain, and hosts whose share is
/// placed anew, one after another.
const CONVERGES_WITHIN: Duration = Duration::from_secs(240);
/// Silence that proves rest: longer than any wait that something could still come of.
const SILENCE: Duration = Duration::from_secs(65);

/// Whether the run may end: it has been silent for long enough, or will not be any more.
pub(crate) fn is_over(world: &World, quiet_since: Timestamp) -> bool {
    let deed = world.last_deed.max(quiet_since);
    world.now.since(deed) > SILENCE || world.now.since(quiet_since) > CONVERGES_WITHIN + SILENCE
}

/// What an invariant that is judged at rest says: its id, and how it is broken, if it is.
pub(crate) type Judged = (&'static str, Option<String>);

/// Judges the lattice at rest.
pub(crate) fn judge(world: &World) -> Vec<Judged> {
    if world.now.since(world.last_deed) <= SILENCE {
        return vec![("M7", Some("M7: records or commands go on without end".to_owned()))];
    }
    let acting = world.managers.iter().filter(|manager| manager.acts(world.now).is_some()).count();
    if acting != 1 {
        return vec![("M3", Some(format!("M3: {acting} managers act")))];
    }
    let apps = NAMES.iter().filter_map(|name| name.parse().ok());
    [("M3", None)].into_iter().chain(apps.flat_map(|app| judge_app(world, &app))).collect()
}

fn judge_app(world: &World, app: &AppName) -> Vec<Judged> {
    let entries: Vec<(&Host, AppInventory)> = world
        .hosts
        .iter()
        .flat_map(|host| {
            let apps = host.inventory().apps.into_iter().filter(|entry| entry.app == *app);
            apps.map(move |entry| (host, entry))
        })
        .collect();
    let Some(held) = world.store.app(app) else {
        return vec![("N1", n1(world, app)), ("M13", m13(world, app, &entries))];
    };
    if held.spoilt {
        // It is left as it was. What the other one comes to is the proof that it is not.
        return vec![("M11", None)];
    }
    let none = Revisions::new();
    let revisions = world.store.specs(app).unwrap_or(&none);
    let record = &*held.record;
    let at_rest = At { world, record, revisions, entries: &entries };
    let status = at_rest.m7_nothing_to_do();
    let (to_do, told) = match status {
        Err(what) => (Some(what), None),
        Ok(status) => (None, status.and_then(|status| at_rest.m7_truthful(&status))),
    };
    vec![
        ("M1", at_rest.m1()),
        ("L6", at_rest.l6()),
        ("M8", at_rest.m8()),
        ("M7", to_do),
        ("R14", told),
        ("M1", at_rest.m1_intended()),
    ]
}

/// Nobody asked for it to be deleted, its record was lost. It goes on until it is deployed again.
fn n1(world: &World, app: &AppName) -> Option<String> {
    let lost = world.checker.memory.lost.get(app)?;
    let gone = world.hosts.iter().zip(lost).find_map(|(host, served)| {
        let gone = served.iter().find(|id| !host.face.serves(id))?;
        (!world.wiped.contains(&host.id)).then(|| (host.summary.name.clone(), gone.clone()))
    });
    gone.map(|(host, id)| format!("N1: {host} serves {id} no more, and only its record was lost"))
}

fn m13(world: &World, app: &AppName, entries: &[(&Host, AppInventory)]) -> Option<String> {
    let memory = &world.checker.memory;
    if memory.lost.contains_key(app) || memory.deletions_lost.contains(app) {
        return None;
    }
    let left = entries.iter().find(|(_, entry)| !entry.components.is_empty());
    left.map(|(host, _)| format!("M13: {} still has {app}, which was deleted", host.summary.name))
}

/// One app at rest.
struct At<'a> {
    world: &'a World,
    record: &'a DesiredRecord,
    revisions: &'a Revisions,
    entries: &'a [(&'a Host, AppInventory)],
}

impl At<'_> {
    /// Whether the rollout stands still because only people can make it go on, or because no host will do.
    fn may_stand(&self, rollout: &Rollout) -> bool {
        let waits_for_hosts = matches!(rollout.stage, Stage::Preparing | Stage::Shifting { .. });
        let first = waits_for_hosts && self.record.serving.is_none();
        let stuck = rollout.stage == Stage::Stuck;
        stuck || rollout.problem.is_some() || rollout.paused.is_some() || self.waits() || first
    }

    /// Whether its policy waits for a person's word now.
    fn waits(&self) -> bool {
        let spec = self.record.revision.and_then(|revision| self.revisions.get(&revision));
        let Some(policy) = spec.and_then(|spec| spec.rollouts.first()) else { return false };
        let stage = self.record.rollout.as_ref().map(|rollout| &rollout.stage);
        match stage {
            Some(Stage::Preparing) => policy.strategy != Strategy::Canary && !policy.promotes_itself(),
            Some(Stage::Shifting { .. }) => policy.strategy == Strategy::Canary,
            _ => false,
        }
    }

    /// A rollout has ended, or waits for people.
    fn m1(&self) -> Option<String> {
        let rollout = self.record.rollout.as_ref()?;
        (!self.may_stand(rollout)).then(|| format!("M1: {} rests in {:?}", self.record.app, rollout.stage))
    }

    /// Every host has what the record tells it, and nothing else. Hosts that others cannot relieve keep what they have.
    fn l6(&self) -> Option<String> {
        let concerned = bundles::hosts(self.record);
        for (host, entry) in self.entries {
            if !concerned.contains(&host.id) && entry.components.is_empty() {
                // It remembers the fence alone.
                continue;
            }
            let request = bundles::request(self.record, self.revisions, &host.id, Epoch(0));
            let relieved = entry.fence.order(&request.fence) == Order::Same;
            if !relieved {
                let stuck = self.record.rollout.as_ref().is_some_and(|rollout| rollout.stage == Stage::Stuck);
                if stuck || (request.bundles.is_empty() && self.is_short()) {
                    continue;
                }
                let (app, fence, name) = (&self.record.app, entry.fence, &host.summary.name);
                return Some(format!("M7: {name} rests with {app} {fence} instead of {}", request.fence));
            }
            // An app changes as one: while some of what is asked for cannot run, what ran before goes on.
            let held_back = request.bundles.iter().any(|bundle| {
                let found = entry.components.iter().find(|found| found.component == bundle.component);
                let role = if bundle.stable.is_some() { Role::Stable } else { Role::Candidate };
                let runs = |unit: &UnitInventory| unit.role == role && unit.phase.is_running();
                !found.is_some_and(|found| found.units.iter().any(runs))
            });
            for component in &entry.components {
                let bundle = request.bundles.iter().find(|bundle| bundle.component == component.component);
                for unit in &component.units {
                    let serves = unit.role == Role::Retired && self.may_linger(&component.component, unit);
                    if !held_back && !serves && !asked(bundle, unit.role, unit.revision) {
                        let (id, name) = (&component.id, &host.summary.name);
                        return Some(format!(
                            "L6: {name} rests with {id} of r{} as {:?}, which nobody asks for",
                            unit.revision, unit.role
                        ));
                    }
                }
            }
        }
        None
    }

    /// What serves may also serve where it has lost its place; and what the revision that serves does not have, or
    /// where there is none, may go on until it has a successor.
    fn may_linger(&self, component: &ComponentName, unit: &UnitInventory) -> bool {
        if self.record.rollout.is_none() {
            return false;
        }
        let Some(serving) = self.record.serving else { return true };
        let has = |spec: &Arc<AppSpec>| spec.components.contains_key(component);
        serving == unit.revision || !self.revisions.get(&serving).is_some_and(has)
    }

    /// Whether what is wanted is not all there.
    fn is_short(&self) -> bool {
        let Some(spec) = self.record.revision.and_then(|revision| self.revisions.get(&revision)) else {
            return false;
        };
        self.record.rollout.is_some() || !is_good(&self.world.scene, spec) || !self.is_feasible(spec)
    }

    /// What no host will do for is said.
    fn m8(&self) -> Option<String> {
        let spec = self.record.revision.and_then(|revision| self.revisions.get(&revision))?;
        if self.is_feasible(spec) || self.record.wanted != Wanted::Run {
            return None;
        }
        let (manager, epoch) = self.acting()?;
        let status = manager.judge(self.record, self.revisions, epoch, self.world.now).status;
        let goes_back = self.record.rollout.as_ref().is_some_and(Rollout::goes_back);
        let said = status.problems.iter().any(|problem| !problem.message.is_empty());
        (!said && !goes_back).then(|| format!("M8: nothing says that {} has no place", self.record.app))
    }

    fn acting(&self) -> Option<(&crate::manager::Manager, Epoch)> {
        let now = self.world.now;
        self.world.managers.iter().find_map(|manager| Some((manager, manager.acts(now)?)))
    }

    /// The manager that acts has nothing to do.
    fn m7_nothing_to_do(&self) -> Result<Option<AppStatus>, String> {
        let Some((manager, epoch)) = self.acting() else { return Ok(None) };
        let output = manager.judge(self.record, self.revisions, epoch, self.world.now);
        if output.record.is_some() || !output.commands.is_empty() {
            return Err(format!("M7: {} is at rest and the planner has more to do", self.record.app));
        }
        Ok(Some(output.status))
    }

    /// It says the truth.
    fn m7_truthful(&self, status: &AppStatus) -> Option<String> {
        let (record, app) = (self.record, &self.record.app);
        let truthful = match status.state {
            AppState::Serving => record.wanted == Wanted::Run,
            AppState::Stopped => record.wanted != Wanted::Run,
            AppState::Waiting | AppState::Degraded => !status.problems.is_empty(),
            AppState::Failed => !status.message.is_empty(),
            AppState::Paused => status
                .rollout
                .as_ref()
                .is_some_and(|rollout| rollout.paused.as_ref().is_some_and(|why| !why.is_empty())),
            AppState::Progressing | AppState::RollingBack => false,
        };
        if !truthful {
            return Some(format!("M7: {app} is {:?} at rest: {}", status.state, status.message));
        }
        let spec = record.revision.and_then(|revision| self.revisions.get(&revision));
        let good = spec.is_some_and(|spec| is_good(&self.world.scene, spec) && self.is_feasible(spec));
        let settled = record.rollout.is_none() && record.wanted == Wanted::Run;
        if good && settled && status.state != AppState::Serving {
            return Some(format!("M7: {app} could serve and is {:?}: {}", status.state, status.message));
        }
        if status.state == AppState::Serving && !self.is_served() {
            return Some(format!("R14: {app} is said to serve, and some of it is served nowhere"));
        }
        None
    }

    /// Whether every component that has a place is served on every host of it.
    fn is_served(&self) -> bool {
        let spec = self.record.revision.and_then(|revision| self.revisions.get(&revision));
        let Some(spec) = spec else { return false };
        self.world.hosts.iter().all(|host| {
            let mut names = self.record.assignment.on(&host.id).map(|(name, _)| name);
            names.all(|name| spec.components.get(name).is_some_and(|plan| host.face.serves(&plan.id)))
        })
    }

    /// Whether each spread has a host that will do.
    fn is_feasible(&self, spec: &AppSpec) -> bool {
        let met = |spread: &Spread| {
            self.world.hosts.iter().any(|host| spread.requirements.met_by(&host.summary.labels))
        };
        spec.components.values().all(|plan| match &plan.scaling {
            Scaling::None => true,
            Scaling::Spread { spreads, instances } => {
                spreads.iter().all(met) && (!plan.capability || self.has_room(spreads, *instances))
            }
            Scaling::Daemon { spreads, .. } => spreads.iter().all(met),
        })
    }

    /// A capability takes as many hosts as its number.
    fn has_room(&self, spreads: &[Spread], instances: u32) -> bool {
        let hosts = u32::try_from(self.world.hosts.len()).unwrap_or(0);
        spreads.len() == 1 && instances <= hosts
    }

    /// In a calm run, what users asked for last is what is, when nothing speaks against it.
    fn m1_intended(&self) -> Option<String> {
        let app = &self.record.app;
        let last = self.world.requests.iter().rev().find(|request| request.app == *app);
        let Some(What::Deploy(manifest)) = last.filter(|_| self.world.calm).map(|request| &request.what)
        else {
            return None;
        };
        let policy = manifest.spec.rollouts.first()?;
        let by_itself = policy.promotes_itself() && policy.webhook.is_none();
        let judged = !policy.gates.limits.is_empty();
        let stops = policy.strategy == Strategy::Canary;
        if !by_itself || judged || stops || !is_good(&self.world.scene, &manifest.spec) {
            return None;
        }
        if !self.is_feasible(&manifest.spec) || self.world.touched_hosts {
            return None;
        }
        let current = self.record.revision.and_then(|revision| self.world.store.revision(app, revision));
        let reached = current.is_some_and(|current| current.content == manifest.content);
        if reached && self.record.rollout.is_none() {
            return None;
        }
        let last = self.record.history.first().and_then(|entry| entry.outcome);
        Some(format!("M1: the last deploy of {app} was good and did not come through: {last:?}"))
    }
}

fn asked(bundle: Option<&ComponentBundle>, role: Role, revision: lath_control_api::Revision) -> bool {
    let Some(bundle) = bundle else { return false };
    match role {
        Role::Stable => bundle.stable.as_ref().is_some_and(|spec| spec.revision == revision),
        Role::Candidate => {
            bundle.candidate.as_ref().is_some_and(|candidate| candidate.spec.revision == revision)
        }
        Role::Retired => false,
    }
}

/// Whether nothing about the code of a revision keeps it from running anywhere.
fn is_good(scene: &Scene, spec: &AppSpec) -> bool {
    spec.components.values().all(|plan| scene.is_good(plan.spec.workload.reference()))
}
