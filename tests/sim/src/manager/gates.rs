//! A second opinion on gates, for the checks: made of the same counts by code that shares nothing with the planner's.

use std::collections::BTreeMap;

use lath_control_api::{CallCounts, ComponentName, Role};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::record::{DesiredRecord, Stage, Window};
use lath_manager_planner::{ObservedState, gate};
use lath_manifests::manifest::{Bound, Metric};

/// What all hosts have counted of each component, by its role.
type Counted = BTreeMap<(ComponentName, Role), CallCounts>;

/// Whether some gate of the step at hand certainly does not hold: enough calls, by hosts that have counted on, and the
/// candidate beyond a bound of its own.
pub(super) fn failed(record: &DesiredRecord, revisions: &Revisions, observed: &ObservedState) -> bool {
    let shifting = record.rollout.as_ref().filter(|rollout| matches!(rollout.stage, Stage::Shifting { .. }));
    let Some(window) = shifting.and_then(|rollout| rollout.window.as_ref()) else { return false };
    let Some(spec) = record.revision.and_then(|revision| revisions.get(&revision)) else { return false };
    let Some(policy) = spec.rollouts.first().filter(|policy| !policy.gates.limits.is_empty()) else {
        return false;
    };
    let hosts = window.boots.keys().cloned().collect();
    if !gate::goes_on(window, &gate::count(record, observed, &hosts)) {
        return false;
    }
    let now = counted(record, observed, window);
    now.iter().filter(|((_, role), _)| *role == Role::Candidate).any(|((name, _), counts)| {
        let none = CallCounts::default();
        let before = window.candidate.get(name).unwrap_or(&none);
        let ended = |counts: &CallCounts| counts.succeeded + counts.failures();
        let calls = ended(counts).saturating_sub(ended(before));
        let part = |part: u64| u128::from(part) * 1_000_000;
        calls >= u64::from(policy.gates.samples)
            && policy.gates.limits.iter().any(|limit| match (limit.metric, limit.bound) {
                (Metric::Errors, Bound::Ratio(most)) => {
                    part(counts.failures().saturating_sub(before.failures()))
                        > u128::from(most + 1) * u128::from(calls)
                }
                (Metric::Traps, Bound::Ratio(most)) => {
                    part(counts.trapped.saturating_sub(before.trapped))
                        > u128::from(most + 1) * u128::from(calls)
                }
                // Buckets are wide: all calls beyond the bound are enough to be sure.
                (Metric::Latency { .. }, Bound::Time(most)) => {
                    let bound = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
                    let fast = |counts: &CallCounts| -> u64 {
                        counts.latency_us.iter().filter(|(upper, _)| **upper <= bound).map(|(_, n)| *n).sum()
                    };
                    fast(counts) == fast(before)
                }
                (Metric::Errors | Metric::Traps | Metric::Latency { .. }, _) => false,
            })
    })
}

fn counted(record: &DesiredRecord, observed: &ObservedState, window: &Window) -> Counted {
    let mut all = Counted::new();
    let hosts = observed.hosts().filter(|(id, _)| window.boots.contains_key(*id));
    let entries = hosts.filter_map(|(_, host)| host.app(&record.app));
    for component in entries.flat_map(|entry| &entry.components) {
        for unit in component.units.iter().filter(|unit| Some(unit.revision) == record.revision) {
            let sum = all.entry((component.component.clone(), unit.role)).or_default();
            sum.succeeded += unit.calls.succeeded;
            sum.trapped += unit.calls.trapped;
            for (upper, count) in &unit.calls.latency_us {
                *sum.latency_us.entry(*upper).or_default() += count;
            }
        }
    }
    all
}
