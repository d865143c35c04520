//! What a deploy would do, worked out by doing it to a copy.

use std::collections::BTreeSet;
use std::sync::Arc;

use lath_control_api::plan::{Plan, PlannedPlace};
use lath_control_api::{ComponentName, Digest, HostId};
use lath_manifests::manifest::{Bake, RolloutPolicy, Strategy};

use crate::bundles::Revisions;
use crate::change::Change;
use crate::desired::{AppSpec, Difference};
use crate::diff::differences;
use crate::ladder::Ladder;
use crate::plan::{PlanInput, PlanLimits, plan};
use crate::record::DesiredRecord;
use crate::{ObservedState, RevisionRecord};
use lath_control_api::{Epoch, Timestamp};

/// Stands for what a deploy would do: the same as long as the app's record and what is deployed are the same.
#[must_use]
pub fn plan_id(record: Option<&DesiredRecord>, revision: &RevisionRecord, change: &Change) -> String {
    let basis = record.map(|record| (record.generation, record.revision));
    let overrides =
        change.record.as_ref().and_then(|record| record.rollout.as_ref()).map(|rollout| &rollout.overrides);
    let text =
        serde_json::to_string(&(&revision.app, basis, &revision.content, overrides)).unwrap_or_default();
    Digest::of(text.as_bytes()).short().to_owned()
}

/// Most hosts that a step of the order names.
const HOSTS_SHOWN: usize = 10;

/// What is known when a plan is made.
#[derive(Debug)]
pub struct Preview<'a> {
    /// The time.
    pub now: Timestamp,
    /// What hosts have said.
    pub observed: &'a ObservedState,
    /// Bounds.
    pub limits: &'a PlanLimits,
    /// The record as it is.
    pub record: Option<&'a DesiredRecord>,
    /// The deploy.
    pub change: &'a Change,
    /// The revision that it makes.
    pub revision: &'a RevisionRecord,
    /// What that asks of hosts.
    pub spec: &'a Arc<AppSpec>,
    /// The contents of the revisions of `record`.
    pub revisions: &'a Revisions,
}

/// What the deploy would do.
#[must_use]
pub fn preview(input: &Preview<'_>) -> Plan {
    let Preview { record, change, revision, spec, .. } = *input;
    let from = record.and_then(|record| record.revision);
    let old = from.and_then(|from| input.revisions.get(&from)).map(AsRef::as_ref);
    let (changes, same) = differences(old, spec);
    let mut plan_of_it = Plan {
        app: spec.app.clone(),
        id: plan_id(record, revision, change),
        from,
        to: revision.revision,
        unchanged: change.record.is_none(),
        changes,
        same,
        places: Vec::new(),
        strategy: String::new(),
        order: Vec::new(),
        risks: Vec::new(),
        notes: Vec::new(),
    };
    let Some(next) = &change.record else { return plan_of_it };
    let mut revisions = input.revisions.clone();
    revisions.insert(revision.revision, Arc::clone(spec));
    // The first plan of the new record gives it its places.
    let output = plan(&PlanInput {
        now: input.now,
        epoch: Epoch(0),
        limits: input.limits,
        observed: input.observed,
        record: next,
        revisions: &revisions,
    });
    let placed = output.record.as_ref().unwrap_or(next);
    plan_of_it.places = places(input, placed);
    plan_of_it.notes = output.status.problems.iter().map(|problem| problem.message.clone()).collect();
    let serving = next.serving.and_then(|serving| input.revisions.get(&serving)).map(AsRef::as_ref);
    let difference = Difference::between(serving, Some(spec));
    let policy = spec.policy(&difference.changed);
    let overrides = next.rollout.as_ref().map(|rollout| rollout.overrides.clone()).unwrap_or_default();
    let policy = lath_manifests::rollout::override_policy(&policy, &overrides).unwrap_or(policy);
    let ladder = Ladder::new(placed, &policy, input.observed, difference.is_trivial());
    policy.strategy.as_str().clone_into(&mut plan_of_it.strategy);
    plan_of_it.order = order(input.observed, &policy, &ladder, next.serving.is_some());
    plan_of_it.risks = risks(&plan_of_it, &policy, serving, spec, &ladder);
    plan_of_it
}

fn places(input: &Preview<'_>, placed: &DesiredRecord) -> Vec<PlannedPlace> {
    let none = crate::record::Assignment::default();
    // During a rollout what serves is at its base.
    let before = input.record.map_or(&none, |record| {
        if record.rollout.is_some() && record.serving.is_some() { &record.base } else { &record.assignment }
    });
    let all = before.0.iter().chain(&placed.assignment.0);
    let keys: BTreeSet<(&ComponentName, &HostId)> =
        all.flat_map(|(host, on)| on.keys().map(move |name| (name, host))).collect();
    let mut places: Vec<PlannedPlace> = keys
        .into_iter()
        .map(|(component, host)| PlannedPlace {
            component: component.clone(),
            host: host.clone(),
            host_name: input.observed.name_of(host),
            before: before.count(host, component).unwrap_or_default(),
            after: placed.assignment.count(host, component).unwrap_or_default(),
        })
        .collect();
    places.sort_by(|a, b| (&a.host_name, &a.component).cmp(&(&b.host_name, &b.component)));
    places
}

fn order(observed: &ObservedState, policy: &RolloutPolicy, ladder: &Ladder, upgrade: bool) -> Vec<String> {
    let names = |hosts: &BTreeSet<HostId>| {
        let mut names: Vec<String> = hosts.iter().map(|host| observed.name_of(host)).collect();
        names.sort();
        let more = names.len().saturating_sub(HOSTS_SHOWN);
        names.truncate(HOSTS_SHOWN);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{}{more}", names.join(", "))
    };
    let everywhere: BTreeSet<HostId> = ladder.waves.iter().flatten().cloned().collect();
    let mut order = vec![format!("prepare on {}", names(&everywhere))];
    if ladder.waits_for_promotion {
        order.push("wait for `lath rollout promote`".to_owned());
    }
    if ladder.empties {
        order.push("stop the revision that serves".to_owned());
    }
    for rung in &ladder.rungs {
        for wave in &ladder.waves {
            let after = match rung.bake {
                Some(bake) if bake.is_zero() => String::new(),
                Some(bake) => format!(", healthy for {bake:?}"),
                None => ", until it is promoted".to_owned(),
            };
            order.push(format!("{} % of the traffic on {}{after}", rung.weight.percent(), names(wave)));
        }
    }
    if !ladder.warm.is_zero() {
        order.push(format!("keep the revision before it warm for {:?}", ladder.warm));
    }
    if upgrade {
        order.push(format!("stop the revision before it, which has {:?} to finish", policy.drain_deadline));
    }
    order
}

fn risks(
    plan: &Plan,
    policy: &RolloutPolicy,
    old: Option<&AppSpec>,
    new: &AppSpec,
    ladder: &Ladder,
) -> Vec<String> {
    let mut risks = Vec::new();
    if ladder.empties {
        risks.push(
            "recreate: nothing answers between the stop of the old and the start of the new".to_owned(),
        );
    }
    let has =
        |words: &[&str]| plan.changes.iter().any(|one| words.iter().any(|word| one.what.starts_with(word)));
    if old.is_some() && has(&["image"]) && has(&["config", "link", "route"]) {
        risks.push(
            "code changes together with config, links or routes: both revisions are kept until all has moved"
                .to_owned(),
        );
    }
    for gone in old
        .into_iter()
        .flat_map(|old| old.components.keys())
        .filter(|name| !new.components.contains_key(*name))
    {
        risks.push(format!("{gone} goes away: what still calls it from other apps will fail"));
    }
    let waits =
        policy.strategy == Strategy::Canary && policy.steps.iter().any(|step| step.bake == Bake::Promotion);
    if waits || (policy.strategy == Strategy::Canary && !policy.promotes_itself()) {
        risks.push("it pauses until somebody promotes it".to_owned());
    }
    if policy.strategy == Strategy::Canary && policy.gates.limits.is_empty() && old.is_some() {
        risks.push("no gates: only readiness and traps at start are looked at, not how calls end".to_owned());
    }
    if !policy.auto_rollback && old.is_some() {
        risks.push("auto_rollback is off: a failure leaves both revisions where they are".to_owned());
    }
    risks
}
