//! `lath rollback`, `undeploy` and `delete`: what is asked for. The rest of their way is `work.rs`.

use clap::Args;
use lath_control_api::app::{AppRequest, ChangeReply, RollbackRequest};
use lath_control_api::{AppName, AppVerb, Generation, Revision};

use crate::args::{CauseArgs, WaitArgs, revision_or_none};
use crate::call::Call;
use crate::connect::Session;
use crate::deploy::policy::PolicyArgs;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::output::{can_ask, tell};
use crate::reference::RevisionName;
use crate::wait::Change;
use crate::work::{Work, cause};

const AFTER_HELP: &str = "\
    The revision that is gone back to has proven itself, so without options for the rollout it takes all traffic in one step, \
    without a wait, from what is on the hosts.";

/// Arguments of `lath rollback`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RollbackArgs {
    /// The app
    app: AppName,
    /// Revision to go back to, by number or tag; the last good one before the deployed one if not given
    #[arg(long, value_name = "REV|TAG")]
    to: Option<RevisionName>,
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
    #[command(flatten)]
    policy: PolicyArgs,
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
    let rollout = args.policy.overrides()?;
    let session = call.session().await?;
    let work = Work::begin(call, &session, &args.app, Change::Rollback, args.wait.into()).await;
    let to = match &args.to {
        Some(name) => Some(name.number(&session, &args.app).await?),
        None => None,
    };
    let ask = RollbackRequest {
        app: args.app,
        to,
        cause: cause(args.cause),
        if_revision: args.if_revision,
        dry_run: args.dry_run,
        rollout,
    };
    let reply = match session.change(AppVerb::Rollback, &ask).await {
        Ok(reply) => reply,
        Err(failure) => return Err(near::revision(&session, &ask.app, failure).await),
    };
    work.finish(reply, ask.dry_run).await
}

/// Stops an app.
pub(crate) async fn undeploy(args: UndeployArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let work = Work::begin(call, &session, &args.app, Change::Undeploy, args.wait.into()).await;
    let ask = AppRequest { app: args.app, cause: cause(args.cause), dry_run: args.dry_run };
    let reply = or_absent(session.change(AppVerb::Undeploy, &ask).await, &session, &ask.app).await?;
    work.finish(reply, ask.dry_run).await
}

/// Stops an app and forgets it.
pub(crate) async fn delete(args: DeleteArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    if !args.yes && !args.dry_run {
        confirm(&args.app, call, &session)?;
    }
    let work = Work::begin(call, &session, &args.app, Change::Delete, args.wait.into()).await;
    let ask = AppRequest { app: args.app, cause: cause(args.cause), dry_run: args.dry_run };
    let reply = or_absent(session.change(AppVerb::Delete, &ask).await, &session, &ask.app).await?;
    work.finish(reply, ask.dry_run).await
}

/// What is not there need not be stopped or forgotten: that is not a failure.
async fn or_absent(
    reply: Result<ChangeReply, Failure>,
    session: &Session,
    app: &AppName,
) -> Result<ChangeReply, Failure> {
    match reply {
        Err(failure) if near::is_absent(&failure) => Ok(ChangeReply {
            app: app.clone(),
            revision: None,
            from: None,
            generation: Generation(0),
            unchanged: true,
            notes: vec![match near::nearest_app(session, app).await {
                Some(near) => format!("there is no app `{app}`; did you mean `{near}`?"),
                None => format!("there is no app `{app}`"),
            }],
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
