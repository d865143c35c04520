//! The end of a run: all faults are over, and the lattice must come to rest, on one revision, and stay there.

use std::time::Duration;

use lath_control_api::app::AppState;
use lath_control_api::{AppInventory, Revision, Role, Timestamp};
use lath_manager_planner::DesiredRecord;
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::record::{Rollout, Stage, Wanted};

use crate::apps::{Behaviour, NAMES, behaviour};
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

/// What is not as it should be at rest.
pub(crate) fn broken(world: &World) -> Vec<String> {
    if world.now.since(world.last_deed) <= SILENCE {
        return vec!["M7: records or commands go on without end".to_owned()];
    }
    let acting = world.managers.iter().filter(|manager| manager.acts(world.now).is_some()).count();
    if acting != 1 {
        return vec![format!("M3: {acting} managers act")];
    }
    NAMES.iter().flat_map(|name| broken_app(world, name)).collect()
}

fn broken_app(world: &World, name: &str) -> Vec<String> {
    let Ok(app) = name.parse() else { return Vec::new() };
    let entries: Vec<(String, AppInventory)> = world
        .hosts
        .values()
        .flat_map(|host| {
            let apps = host.inventory().apps.into_iter().filter(|entry| entry.app == app);
            apps.map(|entry| (host.summary.name.clone(), entry)).collect::<Vec<_>>()
        })
        .collect();
    let Some(held) = world.store.app(&app) else {
        if world.checker.store_went_back {
            // N1: nobody asked for it to be deleted, its record was lost. It goes on until it is deployed again.
            return Vec::new();
        }
        let left = entries.iter().filter(|(_, entry)| !entry.components.is_empty());
        return left.map(|(host, _)| format!("M13: {host} still has {name}, which was deleted")).collect();
    };
    let none = Revisions::new();
    let revisions = world.store.specs(&app).unwrap_or(&none);
    let mut broken = uniform(&held.record, &entries);
    broken.extend(judged(world, &held.record, revisions));
    broken.extend(intended(world, name, &held.record));
    broken
}

/// Every host has the one revision of the record, and nothing else.
fn uniform(record: &DesiredRecord, entries: &[(String, AppInventory)]) -> Vec<String> {
    let held = |rollout: &Rollout| rollout.stage == Stage::Stuck || rollout.problem.is_some();
    let waits = record.rollout.as_ref().is_some_and(|rollout| {
        // A first deploy that no host will do for.
        rollout.stage == Stage::Preparing && record.serving.is_none()
    });
    match &record.rollout {
        Some(rollout) if held(rollout) || waits => return Vec::new(),
        Some(rollout) => return vec![format!("M7: {} rests in {:?}", record.app, rollout.stage)],
        None => {}
    }
    let mut broken = Vec::new();
    for (host, entry) in entries {
        for unit in entry.components.iter().flat_map(|component| &component.units) {
            let right = record.wanted == Wanted::Run && Some(unit.revision) == record.revision;
            if !right || unit.role != Role::Stable {
                let (app, revision) = (&record.app, unit.revision);
                broken.push(format!("M7: {host} has {app}@{revision} as {:?} at rest", unit.role));
            }
        }
    }
    broken
}

/// The manager that acts has nothing to do, and says the truth.
fn judged(world: &World, record: &DesiredRecord, revisions: &Revisions) -> Vec<String> {
    let acting = world.managers.iter().find_map(|manager| Some((manager, manager.acts(world.now)?)));
    let Some((manager, epoch)) = acting else { return Vec::new() };
    let output = manager.judge(record, revisions, epoch, world.now);
    let app = &record.app;
    let mut broken = Vec::new();
    if output.record.is_some() || !output.commands.is_empty() {
        broken.push(format!("M7: {app} is at rest and the planner has more to do"));
    }
    let status = output.status;
    let truthful = match status.state {
        AppState::Serving => record.wanted == Wanted::Run,
        AppState::Stopped => record.wanted != Wanted::Run,
        AppState::Waiting | AppState::Degraded => !status.problems.is_empty(),
        AppState::Failed => !status.message.is_empty(),
        AppState::Paused | AppState::Progressing | AppState::RollingBack => false,
    };
    if !truthful {
        broken.push(format!("M7: {app} is {:?} at rest: {}", status.state, status.message));
    }
    let good =
        record.rollout.is_none() && record.revision.is_some_and(|wanted| is_good(world, wanted, revisions));
    if good && record.wanted == Wanted::Run && status.state != AppState::Serving {
        broken.push(format!("M7: {app} could serve and is {:?}: {}", status.state, status.message));
    }
    broken
}

/// Whether nothing keeps a revision from running.
fn is_good(world: &World, revision: Revision, revisions: &Revisions) -> bool {
    let Some(spec) = revisions.get(&revision) else { return false };
    spec.components.values().all(|plan| {
        let image = plan.spec.workload.reference();
        matches!(behaviour(&world.behaviours, image), Behaviour::Good(_))
    }) && !format!("{spec:?}").contains("moon")
}

/// In a calm run, what users asked for last is what is.
fn intended(world: &World, name: &str, record: &DesiredRecord) -> Vec<String> {
    let last = world.requests.iter().rev().find(|request| request.app.as_str() == name);
    let Some(What::Deploy(manifest)) = last.filter(|_| world.calm).map(|request| &request.what) else {
        return Vec::new();
    };
    let revisions = Revisions::from([(Revision(1), std::sync::Arc::new(manifest.spec(1)))]);
    let wanted = manifest.revision(1).content;
    let current = world.store.current(&record.app).map(|current| &current.content);
    if is_good(world, Revision(1), &revisions) && (current != Some(&wanted) || record.rollout.is_some()) {
        let last = record.history.first().and_then(|entry| entry.outcome);
        return vec![format!("M1: the last deploy of {name} was good and did not come through: {last:?}")];
    }
    Vec::new()
}
