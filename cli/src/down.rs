//! `lath down`: stops what `lath up` has started, hosts first, NATS last.
//!
//! Only processes that stand in the folder's state, and are still the same ones, are touched.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use serde::Serialize;
use tokio::time::Instant;

use crate::call::Call;
use crate::connect;
use crate::failure::{Exit, Failure};
use crate::output::Document;
use crate::up::{Gone, Process, UpState, data_folder};

/// A host finishes the calls that it has taken: the drain deadline of 30 s and a little.
const HOST_PATIENCE: Duration = Duration::from_secs(40);
/// A manager and a server have nothing to finish but what they write.
const OTHER_PATIENCE: Duration = Duration::from_secs(15);

/// Arguments of `lath down`.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Folder that was given to `lath up` [default: $XDG_DATA_HOME/lath/LATTICE]
    #[arg(long, value_name = "DIR", env = "LATH_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
}

/// A process that was to be stopped.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stopped {
    name: String,
    pid: u32,
    how: Gone,
}

impl Stopped {
    /// `host amber-fox (pid 4711) stopped`.
    pub(crate) fn text(&self) -> String {
        let how = match self.how {
            Gone::Stopped => "stopped",
            Gone::Killed => "did not stop in time and was killed",
            Gone::Absent => "was not running",
        };
        format!("{} (pid {}) {how}", self.name, self.pid)
    }
}

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DownResult {
    data: PathBuf,
    unchanged: bool,
    stopped: Vec<Stopped>,
}

/// Stops a lattice of this machine.
pub(crate) async fn down(args: DownArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = connect::lattice(&call.global, Call::env)?;
    let data = data_folder(args.data.as_deref(), &lattice)?;
    let stopped = match UpState::read(&data)? {
        Some(mut state) => {
            state.stopping = true;
            state.write()?;
            let stopped = stop_all(&state).await;
            UpState::remove(&data);
            stopped
        }
        None => Vec::new(),
    };
    let result = DownResult { unchanged: stopped.is_empty(), data, stopped };
    let document =
        Document::new("DownResult", &result).names(result.stopped.iter().map(|one| one.name.clone()));
    call.out.print(&document, |_wide| {
        if result.unchanged {
            return format!("Unchanged: nothing was started in {}\n", result.data.display());
        }
        result.stopped.iter().map(|one| format!("{}\n", one.text())).collect()
    })?;
    Ok(Exit::Done)
}

/// Stops hosts, then the manager, then NATS, each group when the one before is gone.
pub(crate) async fn stop_all(state: &UpState) -> Vec<Stopped> {
    let hosts = state.hosts.iter().map(|host| (format!("host {}", host.name), &host.process));
    let mut stopped = stop_group(hosts.collect(), HOST_PATIENCE).await;
    let manager = state.manager.iter().map(|manager| ("manager".to_owned(), &manager.process));
    stopped.extend(stop_group(manager.collect(), OTHER_PATIENCE).await);
    let nats = state.nats.process.iter().map(|process| ("nats-server".to_owned(), process));
    stopped.extend(stop_group(nats.collect(), OTHER_PATIENCE).await);
    stopped
}

async fn stop_group(group: Vec<(String, &Process)>, patience: Duration) -> Vec<Stopped> {
    let deadline = Instant::now() + patience;
    join_all(group.into_iter().map(|(name, process)| async move {
        let how = if process.ask_to_stop() { process.gone_by(deadline).await } else { Gone::Absent };
        Stopped { name, pid: process.pid, how }
    }))
    .await
}
