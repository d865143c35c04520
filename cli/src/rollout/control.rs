//! `lath rollout pause`, `resume`, `promote`, `abort` and `retry`: one request, then the wait for what it brings.
//!
//! How the app stood before the request is kept: a status that looks the same is no answer to it.

use clap::Args;
use lath_control_api::app::{AppRequest, AppStatus, Cause, RolloutAction, RolloutRequest};
use lath_control_api::{AppName, AppVerb, Generation};

use crate::args::{CauseArgs, WaitArgs};
use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::wait::Change;
use crate::work::{Work, cause};

/// Arguments that all of these commands take.
#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// The app
    app: AppName,
    /// Refuse when the app has another generation: somebody else was faster
    #[arg(long, value_name = "N", value_parser = generation)]
    if_generation: Option<Generation>,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cause: CauseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Arguments of `lath rollout promote`.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// Skip every step that is left: the new revision takes everything
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    control: ControlArgs,
}

/// Has a rollout stand still. A failure still takes it back.
pub(super) async fn pause(args: ControlArgs, call: &Call) -> Result<Exit, Failure> {
    control(args, RolloutAction::Pause, Change::Pause, call).await
}

/// Ends a pause.
pub(super) async fn resume(args: ControlArgs, call: &Call) -> Result<Exit, Failure> {
    control(args, RolloutAction::Resume, Change::Resume, call).await
}

/// Skips the rest of a step, or all steps.
pub(super) async fn promote(args: PromoteArgs, call: &Call) -> Result<Exit, Failure> {
    let action = if args.full { RolloutAction::PromoteFull } else { RolloutAction::Promote };
    control(args.control, action, Change::Promote, call).await
}

/// Goes back, also while the old revision is kept warm.
pub(super) async fn abort(args: ControlArgs, call: &Call) -> Result<Exit, Failure> {
    control(args, RolloutAction::Abort, Change::Abort, call).await
}

/// Tries again.
pub(super) async fn retry(args: ControlArgs, call: &Call) -> Result<Exit, Failure> {
    control(args, RolloutAction::Retry, Change::Retry, call).await
}

async fn control(
    args: ControlArgs,
    action: RolloutAction,
    change: Change,
    call: &Call,
) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let before = status(&session, &args.app).await?;
    let work = Work::begin(call, &session, &args.app, change, args.wait.into()).await;
    let ask = RolloutRequest {
        app: args.app,
        action,
        cause: cause(args.cause),
        if_generation: args.if_generation,
        dry_run: args.dry_run,
    };
    let reply = session.change(AppVerb::Rollout, &ask).await?;
    work.finish_told(reply, before, ask.dry_run).await
}

/// How an app stands; an unknown name is answered with the nearest.
pub(crate) async fn status(session: &Session, app: &AppName) -> Result<AppStatus, Failure> {
    let ask = AppRequest { app: app.clone(), cause: Cause::default(), dry_run: false };
    match session.ask(AppVerb::Status, &ask).await {
        Ok(status) => Ok(status),
        Err(failure) => Err(near::app(session, app, failure).await),
    }
}

fn generation(text: &str) -> Result<Generation, String> {
    text.parse()
        .map(Generation)
        .map_err(|_unexplained| "a generation's number, as in `lath status -o json`".to_owned())
}
