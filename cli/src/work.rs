//! The way of every changing command: say what was accepted, wait until it is true, tell how it ended.
//!
//! What a command asks for is in its own file, when waiting ends is `wait.rs`, and what is told of it is `result.rs`.

use std::time::Duration;

use lath_control_api::AppName;
use lath_control_api::app::{AppStatus, Cause, ChangeReply, HistoryEntry, RolloutPhase};
use tokio::time::Instant;

use crate::args::{CauseArgs, WaitArgs};
use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::follow::{Followed, Following, News, Stop};
use crate::output::Document;
use crate::progress::{Reporter, took};
use crate::result::{RolloutResult, github, headline};
use crate::rollout::Screen;
use crate::wait::{Change, End, Follower, Goal, problem_line};

/// Who asks, and why.
pub(crate) fn cause(args: CauseArgs) -> Cause {
    Cause { by: Call::user(), message: args.message }
}

/// How long a command stays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stay {
    /// Not at all.
    pub(crate) detach: bool,
    /// At most so long; to the end, where there is none.
    pub(crate) timeout: Option<Duration>,
}

impl From<WaitArgs> for Stay {
    fn from(args: WaitArgs) -> Self {
        Self { detach: args.detach, timeout: Some(args.timeout) }
    }
}

/// A change on its way, from before the request to the result.
pub(crate) struct Work<'a> {
    call: &'a Call,
    session: &'a Session,
    change: Change,
    stay: Stay,
    reporter: Reporter,
    news: News,
    early: Vec<String>,
    warnings: Option<String>,
}

impl<'a> Work<'a> {
    /// Starts the clock and listens; ask for the change next.
    pub(crate) async fn begin(
        call: &'a Call,
        session: &'a Session,
        app: &AppName,
        change: Change,
        stay: Stay,
    ) -> Self {
        let reporter = call.reporter();
        let news = News::of(session, app).await;
        Self { call, session, change, stay, reporter, news, early: Vec::new(), warnings: None }
    }

    /// A line about what came before the request; it is shown after the first line, which needs the answer.
    pub(crate) fn early(&mut self, line: String) {
        self.early.push(line);
    }

    /// Drawn warnings; they are shown after the first line too.
    pub(crate) fn warn(&mut self, drawn: String) {
        self.warnings = Some(drawn);
    }

    /// Something that takes long, before the request.
    pub(crate) fn paint(&mut self, text: &str) {
        self.reporter.paint(text);
    }

    /// Says what was accepted, waits as asked for, and tells how it ended.
    pub(crate) async fn finish(self, reply: ChangeReply, dry_run: bool) -> Result<Exit, Failure> {
        let goal = Goal {
            app: reply.app,
            change: self.change,
            generation: reply.generation,
            revision: reply.revision,
            from: reply.from,
            unchanged: reply.unchanged,
            before: None,
        };
        self.carry(goal, reply.notes, dry_run).await
    }

    /// The same for what a rollout was told, which stood as `before` until then.
    pub(crate) async fn finish_told(
        self,
        reply: ChangeReply,
        before: AppStatus,
        dry_run: bool,
    ) -> Result<Exit, Failure> {
        let rollout = before.rollout.as_ref();
        let goal = Goal {
            app: reply.app,
            change: self.change,
            generation: reply.generation,
            // What is told to a rollout is about its two revisions, wherever that leads.
            revision: rollout.map(|rollout| rollout.to).max(reply.revision),
            from: rollout.map_or(reply.from, |rollout| rollout.from),
            unchanged: reply.unchanged,
            before: Some(Box::new(before)),
        };
        self.carry(goal, reply.notes, dry_run).await
    }

    /// Looks on until what moves has ended; what has ended already is told at once.
    pub(crate) async fn look_on(mut self, status: &AppStatus) -> Result<Exit, Failure> {
        let rollout = status.rollout.as_ref();
        let ended = status.last.as_ref().filter(|_| rollout.is_none());
        let goal = Goal {
            app: status.app.clone(),
            change: self.change,
            generation: status.generation,
            revision: rollout
                .map(|rollout| rollout.to)
                .or_else(|| ended.and_then(|last| last.revision))
                .or(status.revision),
            from: rollout.map_or_else(|| ended.and_then(|last| last.from), |rollout| rollout.from),
            unchanged: false,
            before: None,
        };
        self.announce(&goal, &[]);
        let result = RolloutResult::of(&self.session.target.lattice, &goal, Vec::new());
        self.settle(goal, result).await
    }

    async fn carry(mut self, goal: Goal, notes: Vec<String>, dry_run: bool) -> Result<Exit, Failure> {
        self.announce(&goal, &notes);
        let result = RolloutResult::of(&self.session.target.lattice, &goal, notes);
        if dry_run {
            let result = RolloutResult { outcome: "DryRun", ..result };
            return self.without_waiting(&result, "Nothing was changed (dry run)");
        }
        if goal.unchanged && goal.change.stops() {
            let end = if self.change == Change::Delete { End::Deleted } else { End::Stopped };
            let mark = self.call.out.glyphs.pick("✔", "OK");
            return self.without_waiting(&result.ended(&end), &format!("{mark} Unchanged"));
        }
        if self.stay.detach {
            let watch = watch_command(&goal);
            let text = format!("Accepted; watch it with: {watch}");
            return self.without_waiting(&RolloutResult { next: Some(watch), ..result }, &text);
        }
        self.settle(goal, result).await
    }

    fn announce(&mut self, goal: &Goal, notes: &[String]) {
        self.reporter.headline(&headline(&self.session.target.lattice, goal, self.call.out.glyphs));
        if let Some(warnings) = self.warnings.take() {
            self.call.out.say(&warnings);
        }
        if let Some(revision) = goal.revision {
            self.reporter.about(format!("{}@{revision}", goal.app));
        } else {
            self.reporter.about(goal.app.to_string());
        }
        for line in std::mem::take(&mut self.early).iter().chain(notes) {
            self.reporter.line(line);
        }
    }

    fn without_waiting(mut self, result: &RolloutResult, text: &str) -> Result<Exit, Failure> {
        self.reporter.wipe();
        let document = Document::new("RolloutResult", result).names([result.app.to_string()]);
        self.call.out.print(&document, |_wide| format!("{text}\n"))?;
        Ok(Exit::Done)
    }

    async fn settle(mut self, goal: Goal, result: RolloutResult) -> Result<Exit, Failure> {
        let painted = self.reporter.is_live() && !goal.change.stops();
        let screen = painted.then(|| Screen::of(self.session, &goal.app, self.call));
        let attended = self.change == Change::Watch && screen.as_ref().is_some_and(Screen::has_keys);
        let mut follower = Follower::new(goal);
        if attended {
            follower.attend();
        }
        let deadline = self.stay.timeout.map(|timeout| Instant::now() + timeout);
        let following = Following {
            news: &mut self.news,
            reporter: &mut self.reporter,
            out: &self.call.out,
            screen,
            deadline,
        };
        let followed = following.follow(&mut follower).await?;
        self.reporter.wipe();
        let result = self.known(result, &followed, &follower);
        match followed.stop {
            Stop::Ended(end) => self.ended(result, &end, &follower),
            Stop::TimedOut => self.left(result, &follower, Exit::TimedOut, followed.status.as_ref()),
            Stop::Interrupted => self.left(result, &follower, Exit::Interrupted, followed.status.as_ref()),
            Stop::Detached => self.left(result, &follower, Exit::Done, followed.status.as_ref()),
        }
    }

    /// The result with all that is known, however waiting ended.
    fn known(&self, result: RolloutResult, followed: &Followed, follower: &Follower) -> RolloutResult {
        let status = followed.status.as_ref();
        let last = status.filter(|status| has_ended(status)).and_then(|status| status.last.as_ref());
        // Who only looked on did not see it from the beginning; the history did.
        let whole = last.filter(|_| self.change == Change::Watch).and_then(time_of);
        let duration = whole.unwrap_or_else(|| self.reporter.elapsed());
        let (revision, from) = match last.filter(|_| self.change == Change::Watch) {
            Some(last) => (last.revision, last.from),
            None => (result.revision, result.from),
        };
        let invocations = Some(followed.calls).filter(|calls| calls.total > 0);
        let failed_at = follower.step().map(|(step, steps)| format!("step {step}/{steps}"));
        let result = RolloutResult { revision, from, failed_at, invocations, ..result };
        RolloutResult { duration_ms: duration.as_millis(), ..result.standing(status) }
    }

    fn ended(&self, result: RolloutResult, end: &End, follower: &Follower) -> Result<Exit, Failure> {
        let first_ready = follower.first_ready().filter(|_| *end == End::Completed && self.change.begins());
        let first_ready_ms = first_ready.map(|first| first.as_millis());
        let failed_at = result.failed_at.clone().filter(|_| end.problem().is_some());
        let result = RolloutResult { first_ready_ms, failed_at, ..result.ended(end) };
        let document = Document::new("RolloutResult", &result).names([result.app.to_string()]);
        let text = result.text(end, self.call.out.glyphs, &jiff::Zoned::now());
        github::tell(&result, &text);
        self.call.out.print(&document, |_wide| text)?;
        Ok(end.exit())
    }

    /// The wait ended before the change: says what it waited for and how to watch again.
    fn left(
        &self,
        result: RolloutResult,
        follower: &Follower,
        exit: Exit,
        status: Option<&AppStatus>,
    ) -> Result<Exit, Failure> {
        let watch = watch_command(follower.goal());
        let problem = status.and_then(|status| status.problems.first());
        let result = RolloutResult {
            outcome: "Progressing",
            exit: exit.code(),
            waiting_for: follower.waiting_for().to_vec(),
            reason: problem.map(|problem| problem.reason.clone()),
            problem: problem.cloned(),
            paused: follower.paused().map(str::to_owned),
            failed_at: None,
            next: Some(watch.clone()),
            ..result
        };
        let mut lines = vec![match (exit, self.stay.timeout) {
            (Exit::TimedOut, Some(timeout)) => {
                format!("Not done within {}; the change goes on", took(timeout))
            }
            (_, _) => "No longer waiting; the change goes on".to_owned(),
        }];
        let problems = status.map(|status| status.problems.iter().map(problem_line));
        lines.extend(problems.into_iter().flatten());
        lines.extend(follower.waiting_for().iter().map(|text| format!("  waiting for {text}")));
        if follower.waiting_for().is_empty() && follower.paused().is_none() && !follower.standing().is_empty()
        {
            lines.push(format!("  {}", follower.standing()));
        }
        lines.extend(follower.paused().map(|why| format!("  paused: {why}")));
        lines.push(format!("Watch it with: {watch}"));
        let status = format!("lath status {}", follower.goal().app);
        if !watch.starts_with(&status) {
            lines.push(format!("See how it stands: {status}"));
        }
        let document = Document::new("RolloutResult", &result).names([result.app.to_string()]);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        github::tell(&result, &text);
        self.call.out.print(&document, |_wide| text)?;
        Ok(exit)
    }
}

/// Whether the newest change has its outcome: also one whose old revision is only kept warm has.
fn has_ended(status: &AppStatus) -> bool {
    let rollout = status.rollout.as_ref();
    rollout.is_none_or(|rollout| rollout.phase == RolloutPhase::KeepingWarm)
}

/// How long a change took from its acceptance to its end.
fn time_of(entry: &HistoryEntry) -> Option<Duration> {
    entry.ended.map(|ended| ended.since(entry.started))
}

/// The command that follows an app again.
fn watch_command(goal: &Goal) -> String {
    if goal.change.stops() {
        format!("lath status {} --watch", goal.app)
    } else {
        format!("lath rollout watch {}", goal.app)
    }
}
