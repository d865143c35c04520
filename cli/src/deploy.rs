//! `lath deploy`: checks a manifest, puts the files that it names into the lattice's store, asks for the rollout.
//!
//! The manifest is sent as it was written. Files go by digest, so a file that is there already is not sent again.

mod images;
pub(crate) mod policy;
pub(crate) mod source;

use std::path::PathBuf;

use clap::Args;
use lath_control_api::app::DeployRequest;
use lath_control_api::{AppVerb, Revision};

use crate::args::{CauseArgs, WaitArgs, revision_or_none};
use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::wait::Change;
use crate::work::{Work, cause};
pub(crate) use images::size;
use policy::PolicyArgs;
use source::{Named, Ready};

const AFTER_HELP: &str = "\
    Files that the manifest names as images are put into the lattice's store; of images in \
    registries the manager notes what their tags stand for now. The command waits until the new revision has all traffic, or until the rollout waits for a person: both are exit 0, and the result says which it is. Exit 9: it failed \
    and the revision before serves again. Exit 10: it failed and not all is as before. Ctrl-C ends the wait, not the rollout.";

/// Arguments of `lath deploy`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DeployArgs {
    /// Manifest, `-` for standard input; or APP, APP@REV, APP@TAG: a revision that was deployed before
    #[arg(value_name = "FILE|APP[@REV]")]
    file: PathBuf,
    /// Refuse unless deploying does what this plan said; see `lath plan`
    #[arg(long, value_name = "ID")]
    plan: Option<String>,
    /// Refuse when the deployed revision is another one; 0 stands for none
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

/// Puts the files that a manifest names into the lattice's store.
pub(crate) async fn push(ready: &Ready) -> Result<(), Failure> {
    images::push_quietly(&ready.session, &ready.locals).await
}

/// Deploys a manifest.
pub(crate) async fn deploy(args: DeployArgs, call: &Call) -> Result<Exit, Failure> {
    let dot = call.out.glyphs.pick("·", "-");
    let rollout = args.policy.overrides()?;
    let ready = Ready::of(Named::of(&args.file), call).await?;
    policy::check(&rollout, &ready.policies)?;
    let mut work = Work::begin(call, &ready.session, &ready.app, Change::Deploy, args.wait.into()).await;
    if !ready.warnings.is_empty() {
        work.warn(ready.file.drawn(&ready.warnings, dot));
    }
    if !args.dry_run {
        images::push(&ready.session, &ready.locals, &mut work).await?;
    }
    let again = ready.repeats.map(|revision| format!("revision {revision} again"));
    let cause = cause(CauseArgs { message: args.cause.message.or(again) });
    let ask = DeployRequest {
        cause,
        if_revision: args.if_revision,
        dry_run: args.dry_run,
        rollout,
        plan: args.plan,
        ..ready.request()
    };
    let reply = ready.session.change_within(AppVerb::Deploy, &ask, ready.registry_time()).await;
    let reply = reply.map_err(|failure| ready.refused(failure, dot))?;
    work.finish(reply, args.dry_run).await
}
