//! `lath rollback`, `undeploy` and `delete`, and the end that they share with `deploy`: say it, wait, tell.
//!
//! Waiting is decided in `wait.rs`; nothing here looks into a status.

use clap::Args;
use lath_control_api::app::{AppRequest, AppStatus, Cause, ChangeReply, RollbackRequest};
use lath_control_api::{AppName, AppVerb, ErrorCode, Generation, Revision};
use tokio::time::Instant;

use crate::args::{CauseArgs, WaitArgs, revision_or_none};
use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::follow::{Followed, News, Stop, follow};
use crate::output::{Document, can_ask, tell};
use crate::progress::Reporter;
use crate::result::{RolloutResult, headline};
use crate::wait::{Change, End, Follower, Goal};

/// Arguments of `lath rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The app
    app: AppName,
    /// Revision to go back to; the last good one before the deployed one if not given
    #[arg(long, value_name = "REV")]
    to: Option<Revision>,
    /// Refuse when the deployed revision is another one
    #[arg(long, value_name = "REV", value_parser = revision_or_none)]
    if_revision: Option<Revision>,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cause: CauseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Arguments of `lath undeploy`.
#[derive(Debug, Args)]
pub(crate) struct UndeployArgs {
    /// The app
    app: AppName,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cause: CauseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Arguments of `lath delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The app
    app: AppName,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cause: CauseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Goes back to an earlier revision.
pub(crate) async fn rollback(args: RollbackArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let work = Work::begin(call, &session, &args.app, Change::Rollback, args.wait).await;
    let ask = RollbackRequest {
        app: args.app,
        to: args.to,
        cause: cause(args.cause),
        if_revision: args.if_revision,
        dry_run: args.dry_run,
    };
    let reply = session.change(AppVerb::Rollback, &ask).await?;
    work.finish(reply, ask.dry_run).await
}

/// Stops an app.
pub(crate) async fn undeploy(args: UndeployArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let work = Work::begin(call, &session, &args.app, Change::Undeploy, args.wait).await;
    let ask = AppRequest { app: args.app, cause: cause(args.cause), dry_run: args.dry_run };
    let reply = or_absent(session.change(AppVerb::Undeploy, &ask).await, &ask.app)?;
    work.finish(reply, ask.dry_run).await
}

/// Stops an app and forgets it.
pub(crate) async fn delete(args: DeleteArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    if !args.yes && !args.dry_run {
        confirm(&args.app, call, &session)?;
    }
    let work = Work::begin(call, &session, &args.app, Change::Delete, args.wait).await;
    let ask = AppRequest { app: args.app, cause: cause(args.cause), dry_run: args.dry_run };
    let reply = or_absent(session.change(AppVerb::Delete, &ask).await, &ask.app)?;
    work.finish(reply, ask.dry_run).await
}

/// Who asks, and why.
pub(crate) fn cause(args: CauseArgs) -> Cause {
    Cause { by: Call::user(), message: args.message }
}

/// What is not there need not be stopped or forgotten: that is not a failure.
fn or_absent(reply: Result<ChangeReply, Failure>, app: &AppName) -> Result<ChangeReply, Failure> {
    match reply {
        Err(failure) if failure.code.as_deref() == Some(ErrorCode::NotFound.as_str()) => Ok(ChangeReply {
            app: app.clone(),
            revision: None,
            from: None,
            generation: Generation(0),
            unchanged: true,
            notes: vec![format!("there is no app `{app}`")],
        }),
        reply => reply,
    }
}

fn confirm(app: &AppName, call: &Call, session: &Session) -> Result<(), Failure> {
    let lattice = &session.target.lattice;
    if call.global.no_input || !can_ask() {
        let message =
            format!("deleting app `{app}` of lattice `{lattice}` needs a yes, and nobody can be asked");
        return Err(Failure::new(Exit::Usage, message).help("pass --yes"));
    }
    tell(&format!(
        "Delete app `{app}` of lattice `{lattice}` with all its revisions? Type its name to go on:"
    ));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == app.as_str() => Ok(()),
        Ok(_) | Err(_) => {
            Err(Failure::new(Exit::Usage, "not confirmed; nothing was changed").help("pass --yes"))
        }
    }
}

/// A change on its way, from before the request to the result.
pub(crate) struct Work<'a> {
    call: &'a Call,
    session: &'a Session,
    change: Change,
    wait: WaitArgs,
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
        wait: WaitArgs,
    ) -> Self {
        let reporter = call.reporter();
        let news = News::of(session, app).await;
        Self { call, session, change, wait, reporter, news, early: Vec::new(), warnings: None }
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
    pub(crate) async fn finish(mut self, reply: ChangeReply, dry_run: bool) -> Result<Exit, Failure> {
        let goal = Goal {
            app: reply.app,
            change: self.change,
            generation: reply.generation,
            revision: reply.revision,
            from: reply.from,
            unchanged: reply.unchanged,
        };
        self.announce(&goal, &reply.notes);
        let result = RolloutResult::of(&self.session.target.lattice, &goal, reply.notes);
        if dry_run {
            let result = RolloutResult { outcome: "DryRun", ..result };
            return self.without_waiting(&result, "Nothing was changed (dry run)");
        }
        if goal.unchanged && matches!(self.change, Change::Undeploy | Change::Delete) {
            let end = if self.change == Change::Delete { End::Deleted } else { End::Stopped };
            let mark = self.call.out.glyphs.pick("✔", "OK");
            return self.without_waiting(&result.ended(&end), &format!("{mark} Unchanged"));
        }
        if self.wait.detach {
            let watch = watch_command(&goal.app);
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
        let deadline = Instant::now() + self.wait.timeout;
        let mut follower = Follower::new(goal);
        let followed =
            follow(&mut follower, &mut self.news, deadline, &mut self.reporter, &self.call.out).await?;
        self.reporter.wipe();
        let result = RolloutResult {
            duration_ms: self.reporter.elapsed().as_millis(),
            ..result.standing(followed.status.as_ref())
        };
        match followed {
            Followed { stop: Stop::Ended(end), .. } => {
                let first_ready = follower.first_ready().filter(|_| end == End::Completed);
                let first_ready_ms = first_ready.map(|first| first.as_millis());
                let result = RolloutResult { first_ready_ms, ..result.ended(&end) };
                let document = Document::new("RolloutResult", &result).names([result.app.to_string()]);
                self.call.out.print(&document, |_wide| result.text(&end, self.call.out.glyphs))?;
                Ok(end.exit())
            }
            Followed { stop: Stop::TimedOut, status } => {
                self.left(result, &follower, Exit::TimedOut, status.as_ref())
            }
            Followed { stop: Stop::Interrupted, status } => {
                self.left(result, &follower, Exit::Interrupted, status.as_ref())
            }
        }
    }

    /// The wait ended before the change: says what it waited for and how to watch again.
    fn left(
        self,
        result: RolloutResult,
        follower: &Follower,
        exit: Exit,
        status: Option<&AppStatus>,
    ) -> Result<Exit, Failure> {
        let watch = watch_command(&follower.goal().app);
        let problem = status.and_then(|status| status.problems.first());
        let result = RolloutResult {
            outcome: "Progressing",
            exit: exit.code(),
            waiting_for: follower.waiting_for().to_vec(),
            reason: problem.map(|problem| problem.reason.clone()),
            problem: problem.cloned(),
            next: Some(watch.clone()),
            ..result
        };
        let mut lines = vec![match exit {
            Exit::TimedOut => {
                format!("Not done within {}; the change goes on", crate::progress::took(self.wait.timeout))
            }
            _ => "No longer waiting; the change goes on".to_owned(),
        }];
        let problems = status.map(|status| status.problems.iter().map(crate::wait::problem_line));
        lines.extend(problems.into_iter().flatten());
        lines.extend(follower.waiting_for().iter().map(|text| format!("  waiting for {text}")));
        lines.push(format!("Watch it with: {watch}"));
        let document = Document::new("RolloutResult", &result).names([result.app.to_string()]);
        self.call.out.print(&document, |_wide| lines.iter().map(|line| format!("{line}\n")).collect())?;
        Ok(exit)
    }
}

/// The command that follows an app again.
fn watch_command(app: &AppName) -> String {
    format!("lath status {app} --watch")
}
