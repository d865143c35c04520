//! Waiting for a change, as a pure decision: statuses come in, lines to show and the end come out.
//!
//! No clock and no printing here: the time since the change was asked for is handed in.

use std::collections::BTreeSet;
use std::time::Duration;

use lath_control_api::app::{
    AppState, AppStatus, HistoryEntry, Outcome, Problem, RolloutPhase, RolloutStatus,
};
use lath_control_api::{AppName, Generation, Revision};

use crate::failure::Exit;
use crate::output::clean;

/// Least time between two lines that only say that nothing has changed.
const STILL_EVERY: Duration = Duration::from_secs(10);
/// Most components that one line counts.
const SHOWN_COMPONENTS: usize = 4;

/// Which change is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A manifest is to run.
    Deploy,
    /// An earlier revision is to run again.
    Rollback,
    /// The app is to stop.
    Undeploy,
    /// The app is to be forgotten.
    Delete,
}

impl Change {
    /// The command's word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Undeploy => "undeploy",
            Self::Delete => "delete",
        }
    }
}

/// What is to become true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goal {
    /// The app.
    pub(crate) app: AppName,
    /// Kind of change.
    pub(crate) change: Change,
    /// The generation that the manager gave the change.
    pub(crate) generation: Generation,
    /// Where it goes.
    pub(crate) revision: Option<Revision>,
    /// Where it comes from.
    pub(crate) from: Option<Revision>,
    /// The manager had nothing to change.
    pub(crate) unchanged: bool,
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It is so.
    Completed,
    /// It was so before.
    Unchanged,
    /// The app is stopped.
    Stopped,
    /// The app is forgotten.
    Deleted,
    /// It failed, and what was there before serves again.
    RolledBack(Option<Problem>),
    /// It failed and there was nothing to go back to.
    Failed(Option<Problem>),
    /// It failed, and going back failed or left less than there was.
    Degraded(Option<Problem>),
    /// Somebody asked for something newer.
    Superseded,
}

impl End {
    /// The process's exit.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Completed | Self::Unchanged | Self::Stopped | Self::Deleted => Exit::Done,
            Self::RolledBack(_) => Exit::RolledBack,
            Self::Failed(_) => Exit::Failed,
            Self::Degraded(_) => Exit::Degraded,
            Self::Superseded => Exit::Conflict,
        }
    }

    /// The word in machine output.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Completed | Self::Unchanged => "Completed",
            Self::Stopped => "Stopped",
            Self::Deleted => "Deleted",
            Self::RolledBack(_) => "RolledBack",
            Self::Failed(_) => "Failed",
            Self::Degraded(_) => "Degraded",
            Self::Superseded => "Superseded",
        }
    }

    /// Why, where it did not go well.
    pub(crate) const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::RolledBack(problem) | Self::Failed(problem) | Self::Degraded(problem) => problem.as_ref(),
            Self::Completed | Self::Unchanged | Self::Stopped | Self::Deleted | Self::Superseded => None,
        }
    }
}

/// What a status is news of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Lines for people, oldest first.
    pub(crate) lines: Vec<String>,
    /// Set when there is nothing more to wait for.
    pub(crate) end: Option<End>,
}

/// Follows one change from its acceptance to its end.
#[derive(Debug)]
pub(crate) struct Follower {
    goal: Goal,
    told: BTreeSet<String>,
    last_line: Duration,
    waiting_for: Vec<String>,
    stage: String,
    first_ready: Option<Duration>,
}

impl Follower {
    /// Nothing has been seen yet.
    pub(crate) const fn new(goal: Goal) -> Self {
        Self {
            goal,
            told: BTreeSet::new(),
            last_line: Duration::ZERO,
            waiting_for: Vec::new(),
            stage: String::new(),
            first_ready: None,
        }
    }

    /// The goal.
    pub(crate) const fn goal(&self) -> &Goal {
        &self.goal
    }

    /// When every component had been seen serving somewhere for the first time.
    pub(crate) const fn first_ready(&self) -> Option<Duration> {
        self.first_ready
    }

    /// What is waited for now, slowest first.
    pub(crate) fn waiting_for(&self) -> &[String] {
        &self.waiting_for
    }

    /// What it waits for, else how far it is, in one line; empty when nothing has been seen.
    pub(crate) fn standing(&self) -> String {
        match wait_summary(&self.waiting_for) {
            Some(summary) => format!("waiting for {summary}"),
            None => self.stage.clone(),
        }
    }

    /// A status, `at` after the change was asked for.
    pub(crate) fn see(&mut self, status: &AppStatus, at: Duration) -> Step {
        if status.generation < self.goal.generation {
            return Step::default();
        }
        if self.first_ready.is_none() && self.serves_everywhere_once(status) {
            self.first_ready = Some(at);
        }
        self.waiting_for = waits(status);
        let lines = self.news(status);
        if !lines.is_empty() {
            self.last_line = at;
        }
        Step { lines, end: self.end(status) }
    }

    /// The app is not there any more.
    pub(crate) fn gone(&self) -> End {
        match self.goal.change {
            Change::Delete => End::Deleted,
            Change::Undeploy => End::Stopped,
            Change::Deploy | Change::Rollback => End::Superseded,
        }
    }

    /// A line that says what is still waited for, at most one every ten seconds.
    pub(crate) fn still(&mut self, at: Duration) -> Option<String> {
        if at.saturating_sub(self.last_line) < STILL_EVERY {
            return None;
        }
        self.last_line = at;
        let waited = at.as_secs();
        Some(match wait_summary(&self.waiting_for) {
            Some(summary) => format!("still waiting after {waited} s for {summary}"),
            None => format!("still waiting after {waited} s; the manager has not said for what"),
        })
    }

    fn serves_everywhere_once(&self, status: &AppStatus) -> bool {
        let wanted: Vec<_> = status.components.iter().filter(|component| component.desired > 0).collect();
        status.revision.is_some()
            && status.revision == self.goal.revision
            && !wanted.is_empty()
            && wanted.iter().all(|component| component.ready > 0)
    }

    fn news(&mut self, status: &AppStatus) -> Vec<String> {
        let problems = status.problems.iter().map(problem_line);
        let stage = status.rollout.as_ref().map(|rollout| self.stage_line(rollout, status));
        self.stage = stage.clone().unwrap_or_default();
        let lines: Vec<String> = problems.chain(stage).collect();
        lines.into_iter().filter(|line| self.told.insert(line.clone())).collect()
    }

    fn stage_line(&self, rollout: &RolloutStatus, status: &AppStatus) -> String {
        let stopping = matches!(self.goal.change, Change::Undeploy | Change::Delete);
        match rollout.phase {
            _ if stopping => "stopping".to_owned(),
            RolloutPhase::RollingBack => match rollout.from {
                Some(from) => format!("rolling back to revision {from}"),
                None => format!("taking revision {} off again", rollout.to),
            },
            RolloutPhase::Stuck => "stuck: rolling back failed as well".to_owned(),
            RolloutPhase::Preparing
            | RolloutPhase::Shifting
            | RolloutPhase::KeepingWarm
            | RolloutPhase::Emptying
            | RolloutPhase::Settling => {
                let phase = phase_word(rollout.phase);
                format!("step {}/{} {phase}{}", rollout.step, rollout.steps, ready_summary(status))
            }
        }
    }

    fn end(&self, status: &AppStatus) -> Option<End> {
        let stuck = status.rollout.as_ref().is_some_and(|rollout| rollout.phase == RolloutPhase::Stuck);
        if stuck {
            return Some(End::Degraded(status.problems.first().cloned()));
        }
        let entry = status.last.as_ref().filter(|entry| entry.generation >= self.goal.generation);
        if entry.is_some_and(|entry| self.supersedes(entry)) {
            return Some(End::Superseded);
        }
        if status.rollout.is_some() {
            return None;
        }
        if self.goal.unchanged {
            return unchanged(status);
        }
        self.outcome(entry?)
    }

    /// Whether the newest change is not ours, or ours was cut short.
    fn supersedes(&self, entry: &HistoryEntry) -> bool {
        let stopping = matches!(self.goal.change, Change::Undeploy | Change::Delete);
        let newer = entry.generation > self.goal.generation && !self.goal.unchanged && !stopping;
        newer || (entry.generation == self.goal.generation && entry.outcome == Some(Outcome::Superseded))
    }

    fn outcome(&self, entry: &HistoryEntry) -> Option<End> {
        let problem = entry.problem.clone();
        Some(match entry.outcome? {
            Outcome::Completed if self.goal.change == Change::Undeploy => End::Stopped,
            Outcome::Completed | Outcome::Stopped if self.goal.change == Change::Delete => return None,
            Outcome::Completed => End::Completed,
            Outcome::Stopped => End::Stopped,
            Outcome::RolledBack => End::RolledBack(problem),
            Outcome::Failed if entry.from.is_none() => End::Failed(problem),
            Outcome::Failed => End::Degraded(problem),
            Outcome::Superseded => End::Superseded,
        })
    }
}

/// Where nothing was to be changed, how the app stands is the answer.
fn unchanged(status: &AppStatus) -> Option<End> {
    match status.state {
        AppState::Serving | AppState::Stopped => Some(End::Unchanged),
        AppState::Degraded | AppState::Failed => Some(End::Degraded(status.problems.first().cloned())),
        AppState::Progressing | AppState::Waiting | AppState::Paused | AppState::RollingBack => None,
    }
}

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

/// `: cart 1/2, http 2/2 ready`, or nothing when no component is known.
fn ready_summary(status: &AppStatus) -> String {
    let counted: Vec<String> = status
        .components
        .iter()
        .take(SHOWN_COMPONENTS)
        .map(|one| format!("{} {}/{}", one.component, one.ready, one.desired))
        .collect();
    let more = status.components.len().saturating_sub(SHOWN_COMPONENTS);
    match (counted.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(": {} ready", counted.join(", ")),
        (false, more) => format!(": {} ready, and {more} more", counted.join(", ")),
    }
}

fn waits(status: &AppStatus) -> Vec<String> {
    match &status.rollout {
        Some(rollout) if !rollout.waiting_for.is_empty() => {
            rollout.waiting_for.iter().map(|text| clean(text)).collect()
        }
        Some(_) | None if !status.message.is_empty() => vec![clean(&status.message)],
        Some(_) | None => Vec::new(),
    }
}

/// The slowest thing, and how many more there are.
fn wait_summary(waiting_for: &[String]) -> Option<String> {
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
        message => clean(&format!("{place}{}: {message}", problem.reason)),
    }
}

#[cfg(test)]
mod tests;
