//! Judging a candidate by the hosts' own counts: against bounds, and against the stable revision in the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::app::{GateStatus, Problem, Verdict};
use lath_control_api::{CallCounts, ComponentName, HostId, Role};
use lath_manifests::manifest::{Bound, GateLimit, Gates, Metric};

use crate::observed::ObservedState;
use crate::record::{DesiredRecord, Window};

/// Adds up what hosts count of the two revisions now.
#[must_use]
pub fn count(record: &DesiredRecord, observed: &ObservedState, hosts: &BTreeSet<HostId>) -> Window {
    let mut window = Window { boots: BTreeMap::new(), stable: BTreeMap::new(), candidate: BTreeMap::new() };
    for host in hosts {
        let Some(known) = observed.host(host) else { continue };
        window.boots.insert(host.clone(), known.summary.boot.clone());
        for component in known.app(&record.app).into_iter().flat_map(|entry| &entry.components) {
            for unit in &component.units {
                let side = match unit.role {
                    Role::Candidate if Some(unit.revision) == record.revision => &mut window.candidate,
                    Role::Stable if Some(unit.revision) == record.serving => &mut window.stable,
                    Role::Candidate | Role::Stable | Role::Retired => continue,
                };
                add(side.entry(component.component.clone()).or_default(), &unit.calls);
            }
        }
    }
    window
}

fn add(sum: &mut CallCounts, calls: &CallCounts) {
    combine(sum, calls, u64::saturating_add);
}

fn combine(into: &mut CallCounts, other: &CallCounts, op: fn(u64, u64) -> u64) {
    let CallCounts {
        started,
        succeeded,
        trapped,
        timed_out,
        overloaded,
        failed,
        answered_5xx,
        abandoned,
        in_flight: _,
        latency_us,
    } = other;
    into.started = op(into.started, *started);
    into.succeeded = op(into.succeeded, *succeeded);
    into.trapped = op(into.trapped, *trapped);
    into.timed_out = op(into.timed_out, *timed_out);
    into.overloaded = op(into.overloaded, *overloaded);
    into.failed = op(into.failed, *failed);
    into.answered_5xx = op(into.answered_5xx, *answered_5xx);
    into.abandoned = op(into.abandoned, *abandoned);
    for (bound, count) in latency_us {
        let held = into.latency_us.entry(*bound).or_default();
        *held = op(*held, *count);
    }
}

/// Whether the counts at hand go on from the window's: no host has begun anew, none is missing.
#[must_use]
pub fn goes_on(window: &Window, now: &Window) -> bool {
    let grown = |before: &BTreeMap<ComponentName, CallCounts>,
                 after: &BTreeMap<ComponentName, CallCounts>| {
        before.iter().all(|(name, counts)| {
            after.get(name).map_or(counts.started == 0, |after| after.started >= counts.started)
        })
    };
    window.boots == now.boots
        && grown(&window.stable, &now.stable)
        && grown(&window.candidate, &now.candidate)
}

/// Every gate of a policy, as it stands for each component of `judged`: those that a rollout changes.
#[must_use]
pub fn judge(
    gates: &Gates,
    window: &Window,
    now: &Window,
    judged: &BTreeSet<ComponentName>,
    stable_takes_calls: bool,
) -> Vec<GateStatus> {
    let since = |before: &BTreeMap<ComponentName, CallCounts>, after: &CallCounts, name: &ComponentName| {
        let mut delta = after.clone();
        if let Some(before) = before.get(name) {
            combine(&mut delta, before, u64::saturating_sub);
        }
        Sample::of(&delta)
    };
    let mut found = Vec::new();
    for (name, counts) in &now.candidate {
        let candidate = since(&window.candidate, counts, name);
        let stable = now.stable.get(name).map(|counts| since(&window.stable, counts, name));
        if !judged.contains(name) && candidate.ended == 0 {
            continue;
        }
        for limit in &gates.limits {
            let relative = matches!(limit.bound, Bound::AboveStable(_) | Bound::TimesStable(_));
            // With all traffic on the new revision there is nothing to compare it with at the same time.
            if relative && !stable_takes_calls {
                continue;
            }
            found.push(judge_one(gates, limit, name, &candidate, stable.as_ref()));
        }
    }
    found
}

/// Why the gates send a rollout back, if one of them has failed.
#[must_use]
pub fn failed(gates: &[GateStatus]) -> Option<Problem> {
    let gate = gates.iter().find(|gate| gate.verdict == Verdict::Failed)?;
    let beside =
        gate.stable.as_ref().map(|stable| format!("; the revision before it: {stable}")).unwrap_or_default();
    Some(Problem {
        reason: "gate-failed".to_owned(),
        message: format!(
            "{} {} is not {} ({} calls{beside})",
            gate.metric, gate.candidate, gate.bound, gate.samples
        ),
        component: gate.component.clone(),
        host: None,
        host_name: None,
    })
}

/// What is missing to judge by, if something is: of each changed component that takes calls, enough of them.
#[must_use]
pub fn inconclusive(gates: &Gates, found: &[GateStatus], judged: &BTreeSet<ComponentName>) -> Option<String> {
    let short = found.iter().find(|gate| {
        gate.verdict == Verdict::Inconclusive
            && gate.component.as_ref().is_some_and(|name| judged.contains(name))
    });
    if let Some(gate) = short {
        let component = gate.component.as_ref().map(ToString::to_string).unwrap_or_default();
        return Some(format!("{} of {component}: {} of {} calls", gate.metric, gate.samples, gates.samples));
    }
    let conclusive = found.iter().any(|gate| gate.verdict != Verdict::Inconclusive);
    (!conclusive && !found.is_empty()).then(|| format!("fewer than {} calls", gates.samples))
}

fn judge_one(
    gates: &Gates,
    limit: &GateLimit,
    name: &ComponentName,
    candidate: &Sample,
    stable: Option<&Sample>,
) -> GateStatus {
    let enough = |sample: &Sample| sample.ended >= u64::from(gates.samples);
    let (mine, theirs) = (candidate.value(limit.metric), stable.map(|stable| stable.value(limit.metric)));
    let bound = match limit.bound {
        Bound::Ratio(most) => Some(u64::from(most)),
        Bound::Time(most) => Some(u64::try_from(most.as_micros()).unwrap_or(u64::MAX)),
        Bound::AboveStable(_) | Bound::TimesStable(_) if !stable.is_some_and(enough) => None,
        Bound::AboveStable(more) => theirs.map(|theirs| theirs.saturating_add(u64::from(more))),
        Bound::TimesStable(thousandths) => {
            theirs.map(|theirs| theirs.saturating_mul(u64::from(thousandths)) / 1_000)
        }
    };
    let verdict = match bound {
        Some(bound) if enough(candidate) => {
            if mine <= bound {
                Verdict::Passed
            } else {
                Verdict::Failed
            }
        }
        Some(_) | None => Verdict::Inconclusive,
    };
    GateStatus {
        metric: limit.metric.name(),
        component: Some(name.clone()),
        bound: bound_text(limit.bound),
        candidate: value_text(limit.metric, mine),
        stable: theirs.map(|theirs| value_text(limit.metric, theirs)),
        samples: candidate.ended,
        verdict,
    }
}

/// Calls of one component in one window.
#[derive(Debug)]
struct Sample {
    /// Well or badly, by the component.
    ended: u64,
    succeeded: u64,
    trapped: u64,
    latency_us: BTreeMap<u64, u64>,
}

impl Sample {
    fn of(calls: &CallCounts) -> Self {
        Self {
            // What its caller has left says nothing of who answers.
            ended: calls.succeeded.saturating_add(calls.failures()),
            succeeded: calls.succeeded,
            trapped: calls.trapped,
            latency_us: calls.latency_us.clone(),
        }
    }

    /// In millionths of the calls, or in microseconds.
    fn value(&self, metric: Metric) -> u64 {
        match metric {
            Metric::Errors => millionths(self.ended.saturating_sub(self.succeeded), self.ended),
            Metric::Traps => millionths(self.trapped, self.ended),
            Metric::Latency { percentile } => self.latency(percentile),
        }
    }

    /// The bound of the bucket that so many of a hundred calls end in at the latest.
    fn latency(&self, percentile: u8) -> u64 {
        let calls: u64 = self.latency_us.values().fold(0, |sum, count| sum.saturating_add(*count));
        let wanted = calls.saturating_mul(u64::from(percentile)).div_ceil(100);
        let mut below = 0_u64;
        let reaches = |(_, count): &(&u64, &u64)| {
            below = below.saturating_add(**count);
            below >= wanted
        };
        self.latency_us.iter().find(reaches).map_or(0, |(bound, _)| *bound)
    }
}

fn millionths(part: u64, whole: u64) -> u64 {
    let ratio = u128::from(part) * 1_000_000 / u128::from(whole.max(1));
    u64::try_from(ratio).unwrap_or(u64::MAX)
}

fn value_text(metric: Metric, value: u64) -> String {
    match metric {
        Metric::Errors | Metric::Traps => percent(value),
        Metric::Latency { .. } => time(value),
    }
}

fn bound_text(bound: Bound) -> String {
    match bound {
        Bound::Ratio(most) => format!("<= {}", percent(u64::from(most))),
        Bound::AboveStable(more) => format!("<= +{}", percent(u64::from(more))),
        Bound::Time(most) => format!("<= {}", time(u64::try_from(most.as_micros()).unwrap_or(u64::MAX))),
        Bound::TimesStable(thousandths) => {
            format!("<= {}.{:02}x", thousandths / 1_000, thousandths % 1_000 / 10)
        }
    }
}

fn percent(millionths: u64) -> String {
    format!("{}.{:02}%", millionths / 10_000, millionths % 10_000 / 100)
}

fn time(micros: u64) -> String {
    let time = Duration::from_micros(micros);
    if micros < 1_000 {
        format!("{micros} µs")
    } else if micros < 10_000_000 {
        format!("{}.{} ms", time.as_millis(), micros % 1_000 / 100)
    } else {
        format!("{} s", time.as_secs())
    }
}

#[cfg(test)]
mod tests;
