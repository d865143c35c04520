//! `lath host` and `lath manager`: long-running processes of this same binary.
//!
//! What they do is in their own crates; here they get logging, and their failures an exit code.

use std::io::IsTerminal;

use lath_host::HostArgs;
use lath_manager::ManagerArgs;
use tracing_subscriber::EnvFilter;

use crate::call::Call;
use crate::failure::{Exit, Failure};

/// What is logged when neither LATH_LOG nor RUST_LOG says anything.
const DEFAULT_LOG: &str = "info,async_nats=warn";

/// Runs a host until it is told to stop.
pub(crate) async fn host(args: HostArgs, call: &Call) -> Result<Exit, Failure> {
    log()?;
    let nats_url = call.global.server.clone().unwrap_or(args.nats_url);
    lath_host::run(HostArgs { nats_url, ..args }).await?;
    Ok(Exit::Done)
}

/// Runs a manager until it is told to stop.
pub(crate) async fn manager(args: ManagerArgs, call: &Call) -> Result<Exit, Failure> {
    log()?;
    let nats_url = call.global.server.clone().unwrap_or(args.nats_url);
    let creds = args.creds.or_else(|| call.global.creds.clone());
    lath_manager::run(ManagerArgs { nats_url, creds, ..args }).await?;
    Ok(Exit::Done)
}

/// Logs go to standard error; LATH_LOG says what is logged, in the form of RUST_LOG.
fn log() -> Result<(), Failure> {
    let filter =
        Call::env("LATH_LOG").or_else(|| Call::env("RUST_LOG")).unwrap_or_else(|| DEFAULT_LOG.into());
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        Failure::new(Exit::Usage, format!("LATH_LOG or RUST_LOG `{filter}` cannot be read: {error}"))
            .help("write for example LATH_LOG=info,lath_host=debug")
    })?;
    let colour = std::io::stderr().is_terminal() && Call::env("NO_COLOR").is_none();
    let logging =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    logging.try_init().map_err(|error| Failure::new(Exit::Failed, format!("cannot start logging: {error}")))
}
