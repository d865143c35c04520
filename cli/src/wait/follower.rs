//! Follows one change from its acceptance to its end.
//!
//! Pure. A status of an older generation says nothing; one that looks as it did before a rollout was told something
//! says nothing either, for a while.

use std::collections::BTreeSet;
use std::time::Duration;

use lath_control_api::app::{
    AppState, AppStatus, HistoryEntry, Outcome, RolloutPhase, RolloutStatus, Verdict,
};
use lath_control_api::{Generation, Revision, Timestamp};

use super::lines::{gate_line, problem_line, stage_line, wait_summary, waits};
use super::{Change, End, Goal, Line, Step};
use crate::output::clean;

/// Least time between two lines that only say that nothing has changed.
const STILL_EVERY: Duration = Duration::from_secs(10);
/// How long a status that looks as before may be one from before: far more than a manager needs for a status.
const MAY_BE_OLDER: Duration = Duration::from_secs(3);

/// Follows one change.
#[derive(Debug)]
pub(crate) struct Follower {
    goal: Goal,
    told: BTreeSet<String>,
    last_line: Duration,
    waiting_for: Vec<String>,
    stage: String,
    until: Option<Timestamp>,
    paused: Option<String>,
    first_ready: Option<Duration>,
    /// The last step that led forward.
    step: Option<(u32, u32)>,
    /// A rollout was seen.
    moved: bool,
    /// Somebody looks on who can go on with it: rest is no end.
    attended: bool,
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
            until: None,
            paused: None,
            first_ready: None,
            step: None,
            moved: false,
            attended: false,
        }
    }

    /// The person that a pause waits for looks on: waiting ends with the rollout only.
    pub(crate) const fn attend(&mut self) {
        self.attended = true;
    }

    /// The goal.
    pub(crate) const fn goal(&self) -> &Goal {
        &self.goal
    }

    /// When every component had been seen serving somewhere for the first time.
    pub(crate) const fn first_ready(&self) -> Option<Duration> {
        self.first_ready
    }

    /// The last step that led forward, and how many there are.
    pub(crate) const fn step(&self) -> Option<(u32, u32)> {
        self.step
    }

    /// Why it stands still until a person says more.
    pub(crate) fn paused(&self) -> Option<&str> {
        self.paused.as_deref()
    }

    /// What is waited for now, slowest first.
    pub(crate) fn waiting_for(&self) -> &[String] {
        &self.waiting_for
    }

    /// What it waits for, else how far it is, in one line; empty when nothing has been seen.
    pub(crate) fn standing(&self) -> String {
        match (&self.paused, wait_summary(&self.waiting_for)) {
            (Some(why), _) => format!("paused: {why}"),
            (None, Some(summary)) => format!("waiting for {summary}"),
            (None, None) => format!("{}{}", self.stage, self.until()),
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
        if let Some(rollout) = &status.rollout {
            self.moved = true;
            if leads_forward(rollout.phase) {
                self.step = Some((rollout.step, rollout.steps));
            }
        }
        self.waiting_for = waits(status);
        let lines = self.news(status);
        if !lines.is_empty() {
            self.last_line = at;
        }
        let end = if self.may_be_older(status, at) { None } else { self.end(status) };
        Step { lines, end }
    }

    /// The app is not there any more.
    pub(crate) fn gone(&self) -> End {
        match self.goal.change {
            Change::Delete | Change::Watch => End::Deleted,
            Change::Undeploy => End::Stopped,
            Change::Deploy
            | Change::Rollback
            | Change::Scale
            | Change::Pause
            | Change::Resume
            | Change::Promote
            | Change::Abort
            | Change::Retry => End::Superseded,
        }
    }

    /// A line that says what is still waited for, at most one every ten seconds.
    pub(crate) fn still(&mut self, at: Duration) -> Option<String> {
        if at.saturating_sub(self.last_line) < STILL_EVERY {
            return None;
        }
        self.last_line = at;
        let waited = at.as_secs();
        Some(match (&self.paused, wait_summary(&self.waiting_for)) {
            (Some(why), _) => format!("still paused after {waited} s: {why}"),
            (None, Some(summary)) => format!("still waiting after {waited} s for {summary}"),
            (None, None) if self.stage.is_empty() => {
                format!("still waiting after {waited} s; the manager has not said for what")
            }
            (None, None) => format!("still waiting after {waited} s: {}{}", self.stage, self.until()),
        })
    }

    /// `, until 2026-11-21T12:04:55Z`: the time of the step, if all stays well.
    fn until(&self) -> String {
        let until = self.until.and_then(|until| jiff::Timestamp::from_millisecond(until.0).ok());
        until.map(|until| format!(", until {until:.0}")).unwrap_or_default()
    }

    fn serves_everywhere_once(&self, status: &AppStatus) -> bool {
        let wanted: Vec<_> = status.components.iter().filter(|component| component.desired > 0).collect();
        status.revision.is_some()
            && status.revision == self.goal.revision
            && !wanted.is_empty()
            && wanted.iter().all(|component| component.ready > 0)
    }

    /// Lines that have not been told, in the order in which they happen: what went wrong, then what comes of it.
    fn news(&mut self, status: &AppStatus) -> Vec<Line> {
        let mut lines = Vec::new();
        for problem in &status.problems {
            self.tell(&mut lines, problem_line(problem), true);
        }
        self.until = status.rollout.as_ref().and_then(|rollout| rollout.until);
        let Some(rollout) = &status.rollout else {
            self.stage.clear();
            return lines;
        };
        for gate in rollout.gates.iter().filter(|gate| gate.verdict == Verdict::Failed) {
            // Its numbers go on changing; that it failed is told once.
            let key = format!("gate {:?} {:?} {} {}", rollout.step, gate.component, gate.metric, gate.bound);
            if self.told.insert(key) {
                lines.push(Line { text: format!("gate {}", gate_line(gate)), event: true });
            }
        }
        self.stage = stage_line(rollout, status, self.goal.change.stops());
        self.tell(&mut lines, self.stage.clone(), !leads_forward(rollout.phase));
        let paused = rollout.paused.as_deref().map(clean);
        if paused != self.paused {
            let text = match &paused {
                Some(why) if why.starts_with("paused") => why.clone(),
                Some(why) => format!("paused: {why}"),
                None => format!("goes on: {}", self.stage),
            };
            lines.push(Line { text, event: true });
            self.paused = paused;
        }
        lines
    }

    fn tell(&mut self, lines: &mut Vec<Line>, text: String, event: bool) {
        if self.told.insert(text.clone()) {
            lines.push(Line { text, event });
        }
    }

    /// Whether the status may have been made before the rollout was told what it was told.
    fn may_be_older(&self, status: &AppStatus, at: Duration) -> bool {
        let Some(before) = self.goal.before.as_ref().filter(|_| !self.goal.unchanged) else { return false };
        at < MAY_BE_OLDER && standing_of(before) == standing_of(status)
    }

    fn end(&self, status: &AppStatus) -> Option<End> {
        let entry = self.entry(status);
        if entry.is_some_and(|entry| self.supersedes(entry)) {
            return Some(End::Superseded);
        }
        match &status.rollout {
            Some(rollout) => self.end_of_rollout(rollout, status),
            None if self.goal.unchanged && !self.moved => unchanged(status),
            None if self.goal.change == Change::Watch && entry.is_none() => unchanged(status),
            None => self.outcome(entry?, status),
        }
    }

    /// How waiting ends while the rollout is there.
    fn end_of_rollout(&self, rollout: &RolloutStatus, status: &AppStatus) -> Option<End> {
        let change = self.goal.change;
        let rest = change.ends_at_rest() && !self.attended;
        match rollout.phase {
            RolloutPhase::Stuck => return Some(End::Degraded(status.problems.first().cloned())),
            RolloutPhase::RollingBack => return None,
            _ if self.is_left_behind(rollout) => return Some(End::Superseded),
            RolloutPhase::KeepingWarm if rest => return Some(End::Warm(rollout.until)),
            RolloutPhase::KeepingWarm
            | RolloutPhase::Preparing
            | RolloutPhase::Shifting
            | RolloutPhase::Emptying
            | RolloutPhase::Settling => {}
        }
        // What has failed and is held waits for a person too, but it is not well.
        if rollout.paused.is_some() && status.state == AppState::Degraded && change != Change::Abort {
            return Some(End::Degraded(status.problems.first().cloned()));
        }
        let paused = rollout.paused.as_deref().filter(|_| rest);
        paused.map(|why| End::Paused(clean(why)))
    }

    /// Whether the rollout goes to something newer than what is waited for. Who only looks on goes along.
    fn is_left_behind(&self, rollout: &RolloutStatus) -> bool {
        let goes_along = self.goal.change.stops() || self.goal.change == Change::Watch;
        !goes_along && self.newest().is_some_and(|newest| rollout.to > newest)
    }

    /// The newest revision that was there, or was made, when the change was asked for.
    fn newest(&self) -> Option<Revision> {
        let before = self.goal.before.as_ref().and_then(|before| before.rollout.as_ref());
        self.goal.revision.max(before.map(|rollout| rollout.to))
    }

    /// The entry of the history that tells how the change ended.
    fn entry<'a>(&self, status: &'a AppStatus) -> Option<&'a HistoryEntry> {
        let last = status.last.as_ref()?;
        let ours = match &self.goal.before {
            // What a rollout is told belongs to an entry that is there already; it is the one that changes.
            Some(before) if !self.goal.unchanged => end_in(before) != end_in(status),
            Some(_) => true,
            None => last.generation >= self.goal.generation,
        };
        ours.then_some(last)
    }

    /// Whether the newest change is not ours, or ours was cut short.
    fn supersedes(&self, entry: &HistoryEntry) -> bool {
        if self.goal.before.is_some() || self.goal.change == Change::Watch {
            return false;
        }
        let newer =
            entry.generation > self.goal.generation && !self.goal.unchanged && !self.goal.change.stops();
        newer || (entry.generation == self.goal.generation && entry.outcome == Some(Outcome::Superseded))
    }

    fn outcome(&self, entry: &HistoryEntry, status: &AppStatus) -> Option<End> {
        if self.goal.change == Change::Abort {
            return self.abort_outcome(entry, status);
        }
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

    /// Going back was what was asked for.
    fn abort_outcome(&self, entry: &HistoryEntry, status: &AppStatus) -> Option<End> {
        let left =
            self.goal.before.as_ref().and_then(|before| before.rollout.as_ref()).map(|rollout| rollout.to);
        Some(match entry.outcome? {
            Outcome::RolledBack => End::Aborted,
            Outcome::Failed if entry.from.is_none() => End::Aborted,
            Outcome::Completed if status.revision != left => End::Aborted,
            Outcome::Failed => End::Degraded(entry.problem.clone()),
            Outcome::Completed | Outcome::Superseded => End::Superseded,
            Outcome::Stopped => End::Stopped,
        })
    }
}

/// Whether a rollout is still on its way to the new revision.
const fn leads_forward(phase: RolloutPhase) -> bool {
    match phase {
        RolloutPhase::Preparing
        | RolloutPhase::Shifting
        | RolloutPhase::KeepingWarm
        | RolloutPhase::Emptying
        | RolloutPhase::Settling => true,
        RolloutPhase::RollingBack | RolloutPhase::Stuck => false,
    }
}

/// All by which a rollout shows that it was told something.
type Standing<'a> = (
    Generation,
    Option<(Revision, RolloutPhase, u32, Option<&'a str>)>,
    Option<(Generation, Option<Outcome>)>,
);

fn standing_of(status: &AppStatus) -> Standing<'_> {
    let rollout = status.rollout.as_ref();
    let rollout = rollout.map(|rollout| (rollout.to, rollout.phase, rollout.step, rollout.paused.as_deref()));
    (status.generation, rollout, end_in(status))
}

/// Which change was the last to end, and how.
fn end_in(status: &AppStatus) -> Option<(Generation, Option<Outcome>)> {
    status.last.as_ref().map(|entry| (entry.generation, entry.outcome))
}

/// Where nothing was to be changed, how the app stands is the answer.
fn unchanged(status: &AppStatus) -> Option<End> {
    match status.state {
        AppState::Serving | AppState::Stopped => Some(End::Unchanged),
        AppState::Degraded | AppState::Failed => Some(End::Degraded(status.problems.first().cloned())),
        AppState::Progressing | AppState::Waiting | AppState::Paused | AppState::RollingBack => None,
    }
}
