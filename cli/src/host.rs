//! `lath host`: runs a host, or looks after one that runs.
//!
//! Without a verb it is the daemon of `daemon.rs`, as it was before there were verbs.

mod drain;
mod find;
mod label;
mod show;

use clap::{Args, Subcommand};
use lath_host::HostArgs;

use crate::call::Call;
use crate::daemon;
use crate::failure::{Exit, Failure};

/// Arguments of `lath host`.
///
/// Lattice and credentials are asked of verbs as well, and there they come from the flags of the host.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_help_heading = "Verbs for hosts that run",
    mut_arg("lattice", |lattice| lattice.global(true).hide_env_values(true).help("Lattice of the host")),
    mut_arg("creds", |creds| creds.global(true).hide_env_values(true))
)]
pub(crate) struct HostCommand {
    #[command(subcommand)]
    verb: Option<HostVerb>,
    #[command(flatten)]
    run: HostArgs,
}

/// What can be done with a host that runs.
#[derive(Debug, Subcommand)]
enum HostVerb {
    /// Show a host and what it runs
    Show(show::ShowArgs),
    /// Have a host take nothing new, and wait until it runs nothing any more
    Drain(drain::DrainArgs),
    /// Have a drained host take work again
    Undrain(drain::UndrainArgs),
    /// Set and remove labels of a host
    Label(label::LabelArgs),
}

impl HostCommand {
    /// The host that is to be run, if that is what is asked for.
    #[cfg(test)]
    pub(crate) const fn to_run(&self) -> Option<&HostArgs> {
        if self.verb.is_none() { Some(&self.run) } else { None }
    }
}

/// Runs a host, or carries out a verb.
pub(crate) async fn host(command: HostCommand, call: &Call) -> Result<Exit, Failure> {
    match command.verb {
        None => daemon::host(command.run, call).await,
        Some(HostVerb::Show(args)) => show::show(args, call).await,
        Some(HostVerb::Drain(args)) => drain::drain(args, call).await,
        Some(HostVerb::Undrain(args)) => drain::undrain(args, call).await,
        Some(HostVerb::Label(args)) => label::label(args, call).await,
    }
}
