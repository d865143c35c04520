//! The words of a change on its way, one line each.
//!
//! Pure. What of it is shown, and when, is the follower's decision.

use lath_control_api::app::{
    AppStatus, ComponentStatus, GateStatus, Place, Problem, RolloutPhase, RolloutStatus, Verdict,
};
use lath_control_api::{Phase, Revision, Weight};

use crate::output::clean;

/// Most components that one line counts.
const SHOWN_COMPONENTS: usize = 4;

/// What a rollout does in a phase.
pub(crate) const fn phase_word(phase: RolloutPhase) -> &'static str {
    match phase {
        RolloutPhase::Preparing => "preparing",
        RolloutPhase::Shifting => "shifting traffic",
        RolloutPhase::KeepingWarm => "keeping the old revision warm",
        RolloutPhase::Emptying => "stopping the old revision",
        RolloutPhase::Settling => "settling",
        RolloutPhase::RollingBack => "rolling back",
        RolloutPhase::Stuck => "stuck",
    }
}

/// `step 2/4 shifting traffic, weight 25%: cart 1/2, http 2/2 ready`.
pub(super) fn stage_line(rollout: &RolloutStatus, status: &AppStatus, stops: bool) -> String {
    match rollout.phase {
        _ if stops => "stopping".to_owned(),
        RolloutPhase::RollingBack => match rollout.from {
            Some(from) => format!("rolling back to revision {from}"),
            None => format!("taking revision {} off again", rollout.to),
        },
        RolloutPhase::Stuck => "stuck: nothing more happens until people decide".to_owned(),
        RolloutPhase::Preparing
        | RolloutPhase::Shifting
        | RolloutPhase::KeepingWarm
        | RolloutPhase::Emptying
        | RolloutPhase::Settling => {
            let (phase, weight) = (phase_word(rollout.phase), weight(rollout));
            let ready = ready_summary(status, rollout);
            format!("step {}/{} {phase}{weight}{ready}", rollout.step, rollout.steps)
        }
    }
}

/// `, weight 25%` while the new revision has a part of the traffic.
fn weight(rollout: &RolloutStatus) -> String {
    if rollout.phase == RolloutPhase::Shifting && !rollout.weight.is_none() && rollout.weight != Weight::ALL {
        format!(", weight {}%", rollout.weight.percent())
    } else {
        String::new()
    }
}

/// `: cart 1/2, http 2/2 ready`, or nothing when no component is known.
fn ready_summary(status: &AppStatus, rollout: &RolloutStatus) -> String {
    // Before traffic moves nothing of the new revision serves; what is ready to is what people wait for.
    let preparing = rollout.phase == RolloutPhase::Preparing;
    let ready = |one: &ComponentStatus| if preparing { prepared(one, rollout.to) } else { one.ready };
    // In the first moment nothing has a place yet, and there is nothing to count.
    let placed = || status.components.iter().filter(|one| one.desired > 0);
    let counted: Vec<String> = placed()
        .take(SHOWN_COMPONENTS)
        .map(|one| format!("{} {}/{}", one.component, ready(one), one.desired))
        .collect();
    let more = placed().count().saturating_sub(SHOWN_COMPONENTS);
    match (counted.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(": {} ready", counted.join(", ")),
        (false, more) => format!(": {} ready, and {more} more", counted.join(", ")),
    }
}

/// Hosts on which a revision of a component is ready, with calls or without.
pub(crate) fn prepared(component: &ComponentStatus, revision: Revision) -> u32 {
    let ready = |place: &&Place| place.revision == revision && place.phase.is_some_and(Phase::is_running);
    u32::try_from(component.places.iter().filter(ready).count()).unwrap_or(u32::MAX)
}

/// What a status says is waited for, slowest first. Why a rollout is paused is told by itself.
pub(super) fn waits(status: &AppStatus) -> Vec<String> {
    match &status.rollout {
        Some(rollout) if rollout.paused.is_some() => Vec::new(),
        Some(rollout) if !rollout.waiting_for.is_empty() => {
            rollout.waiting_for.iter().map(|text| clean(text)).collect()
        }
        Some(_) | None if !status.message.is_empty() => vec![clean(&status.message)],
        Some(_) | None => Vec::new(),
    }
}

/// The slowest thing, and how many more there are.
pub(super) fn wait_summary(waiting_for: &[String]) -> Option<String> {
    let (first, rest) = waiting_for.split_first()?;
    Some(if rest.is_empty() { first.clone() } else { format!("{first} (and {} more)", rest.len()) })
}

/// `cart on host-b: fetch-failed: no such object`.
pub(crate) fn problem_line(problem: &Problem) -> String {
    let host = problem.host_name.clone().or_else(|| problem.host.as_ref().map(ToString::to_string));
    let place = match (&problem.component, host) {
        (Some(component), Some(host)) => format!("{component} on {host}: "),
        (Some(component), None) => format!("{component}: "),
        (None, Some(host)) => format!("{host}: "),
        (None, None) => String::new(),
    };
    match problem.message.as_str() {
        "" => clean(&format!("{place}{}", problem.reason)),
        // "aborted: aborted by ops" says it twice.
        message if message.starts_with(&problem.reason) => clean(&format!("{place}{message}")),
        message => clean(&format!("{place}{}: {message}", problem.reason)),
    }
}

/// `gate errors <=1% of cart failed: 4.10% (before 0.10%, 1001 calls)`.
pub(crate) fn gate_line(gate: &GateStatus) -> String {
    let whose = gate.component.as_ref().map(|component| format!(" of {component}")).unwrap_or_default();
    let verdict = match gate.verdict {
        Verdict::Passed => "holds",
        Verdict::Failed => "failed",
        Verdict::Inconclusive => "cannot be judged yet",
    };
    let before = gate.stable.as_ref().map(|stable| format!("before {stable}, ")).unwrap_or_default();
    let calls = if gate.samples == 1 { "call" } else { "calls" };
    clean(&format!(
        "{} {}{whose} {verdict}: {} ({before}{} {calls})",
        gate.metric, gate.bound, gate.candidate, gate.samples
    ))
}
