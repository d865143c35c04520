//! Where rollouts begin, and what the one before them leaves behind.

use std::collections::BTreeMap;

use lath_control_api::Timestamp;
use lath_control_api::app::ChangeKind;

use crate::record::{Assignment, DesiredRecord, Promotion, Rollout, Stage};

/// The revision that is wanted has proven itself: it is what serves, and what later rollouts go back to.
pub(crate) fn complete(record: &mut DesiredRecord) {
    record.serving = record.revision;
    record.base = Assignment::default();
    note_good(record);
}

/// The revision that is wanted has taken all traffic: it is one that people may go back to.
pub(super) fn note_good(record: &mut DesiredRecord) {
    if let Some(revision) = record.revision {
        record.failed.remove(&revision);
        record.good.retain(|good| *good != revision);
        record.good.push(revision);
        let surplus = record.good.len().saturating_sub(crate::record::HISTORY_KEPT);
        record.good.drain(..surplus);
    }
}

/// Ends what the record is about, so that another change can begin: afterwards `serving` and `base` are what hosts
/// hold as stable.
pub(crate) fn supersede(record: &mut DesiredRecord) {
    // What serves is where the assignment is without a rollout, and where the base is during one; except that a
    // revision that settles, or has all traffic, was healthy on every host, and that a first one was ready on every
    // host before all of them gave it their traffic.
    let took_over = record.rollout.as_ref().is_some_and(|rollout| match rollout.stage {
        Stage::Settling | Stage::Warm { .. } => rollout.problem.is_none(),
        Stage::Shifting { .. } => rollout.problem.is_none() && record.serving.is_none(),
        Stage::Preparing | Stage::Emptying | Stage::RollingBack | Stage::Stopping | Stage::Stuck => false,
    });
    if took_over {
        complete(record);
    }
    if took_over || record.rollout.is_none() {
        record.base = record.assignment.and(&record.surplus);
    }
    record.assignment = Assignment::default();
    record.surplus = Assignment::default();
    record.rollout = None;
}

/// Begins the rollout of `record.revision`.
pub(crate) fn begin(
    record: &mut DesiredRecord,
    kind: ChangeKind,
    overrides: BTreeMap<String, String>,
    now: Timestamp,
) {
    let stage = if kind == ChangeKind::Undeploy { Stage::Stopping } else { Stage::Preparing };
    record.rollout = Some(Rollout {
        kind,
        stage,
        started: now,
        progressed: now,
        problem: None,
        overrides,
        paused: None,
        promotion: Promotion::None,
        window: None,
        webhook: None,
    });
}
