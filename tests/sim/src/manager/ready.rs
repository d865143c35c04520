//! A second opinion on whether a new revision is ready, for the checks: made of the same inventories by code that shares
//! nothing with the planner's.

use lath_control_api::{ComponentName, HostId, Phase, Role};
use lath_manager_planner::ObservedState;
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::record::{DesiredRecord, Stage};

/// Whether more hosts than may be away were last heard without a component of the new revision that belongs on them.
pub(super) fn is_missing(record: &DesiredRecord, revisions: &Revisions, observed: &ObservedState) -> bool {
    let Some(revision) = record.revision.filter(|_| record.rollout.is_some()) else { return false };
    let Some(spec) = revisions.get(&revision) else { return false };
    // Whoever calls a rollout done has heard that the new revision is the only one that hosts go by.
    let settles = record.rollout.as_ref().is_some_and(|rollout| rollout.stage == Stage::Settling);
    let runs = |host: &HostId, name: &ComponentName| {
        let entry = observed.host(host).and_then(|known| known.app(&record.app));
        let mut components = entry.into_iter().flat_map(|entry| &entry.components);
        components.any(|component| {
            component.component == *name
                && component.units.iter().any(|unit| {
                    let goes_by_it = !settles || unit.role == Role::Stable;
                    unit.revision == revision && unit.phase == Phase::Running && goes_by_it
                })
        })
    };
    let missing = |host: &&HostId| record.assignment.on(host).any(|(name, _)| !runs(host, name));
    let missing = record.assignment.hosts().filter(missing).count();
    let hosts = u32::try_from(record.assignment.hosts().count()).unwrap_or(u32::MAX);
    let policy = crate::check::policy(record, spec);
    let away = policy.max_unavailable.of_rounded_down(hosts).min(hosts.saturating_sub(1));
    missing > usize::try_from(away).unwrap_or(0)
}
