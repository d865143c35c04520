//! Waiting until the manager of a lattice that was just started knows its hosts.
//!
//! A host that says that it is ready may not have been heard yet; what is deployed then is placed without it.

use std::path::Path;
use std::time::Duration;

use lath_control_api::ErrorCode;
use lath_control_api::app::KnownHost;
use lath_control_api_client::{ConnectOptions, ControlClient, Patience, connect};
use tokio::time::{Instant, sleep, timeout_at};

use super::state::{Host, UpState};
use crate::failure::{Exit, Failure};

/// How often the manager is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Returns when the manager lists every host of `state` as one that is there.
///
/// # Errors
/// With the hosts that it does not know at the deadline.
pub(super) async fn to_the_manager(
    state: &UpState,
    creds: Option<&Path>,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut last = "it has not answered".to_owned();
    let mut unknown: Vec<&Host> = state.hosts.iter().collect();
    let wait = async {
        let client = client(state, creds, deadline).await?;
        loop {
            match client.hosts().await {
                Ok(list) => {
                    unknown = missing(&state.hosts, &list.hosts);
                    if unknown.is_empty() {
                        return Ok(());
                    }
                    last = format!(
                        "it knows {} of {} hosts",
                        state.hosts.len() - unknown.len(),
                        state.hosts.len()
                    );
                }
                Err(error) => last = error.to_string(),
            }
            sleep(ASK_EVERY).await;
        }
    };
    match timeout_at(deadline, wait).await {
        Ok(ended) => ended,
        Err(_elapsed) => Err(not_known(&unknown, &last)),
    }
}

async fn client(state: &UpState, creds: Option<&Path>, deadline: Instant) -> Result<ControlClient, Failure> {
    let mut options = ConnectOptions::new(&state.nats.url, "lath");
    options.credentials = creds.map(Path::to_owned);
    options.patience = Patience::FailFast(deadline.saturating_duration_since(Instant::now()));
    let connection = connect(options).await.map_err(|error| {
        Failure::coded(ErrorCode::Unreachable, format!("NATS was started and cannot be used: {error}"))
    })?;
    Ok(ControlClient::new(connection, state.lattice.clone()))
}

/// Hosts that were started and are not among those that the manager hears.
fn missing<'a>(started: &'a [Host], known: &[KnownHost]) -> Vec<&'a Host> {
    let heard = |host: &&Host| {
        let id = host.id.as_deref();
        known.iter().any(|known| !known.lost && Some(known.summary.host.as_str()) == id)
    };
    started.iter().filter(|host| !heard(host)).collect()
}

fn not_known(unknown: &[&Host], last: &str) -> Failure {
    let names: Vec<&str> = unknown.iter().map(|host| host.name.as_str()).collect();
    let message = format!("the manager does not know every host in time: {} missing", names.join(", "));
    let failure = Failure { exit: Exit::Failed, ..Failure::coded(ErrorCode::NotReady, message) };
    let failure = unknown.iter().fold(failure.note(format!("the manager: {last}")), |failure, host| {
        failure.note(format!("the log of {} is {}", host.name, host.process.log.display()))
    });
    failure.help("allow more time with --timeout, or see the manager's log for what it hears")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, letter: &str) -> Host {
        serde_json::from_value(serde_json::json!({
            "name": name, "id": format!("N{}", letter.repeat(55)), "http": "127.0.0.1:8000",
            "process": { "pid": 1, "start": "1", "log": "/log" },
        }))
        .unwrap()
    }

    fn known(letter: &str, lost: bool) -> KnownHost {
        serde_json::from_value(serde_json::json!({
            "summary": {
                "host": format!("N{}", letter.repeat(55)), "name": "x", "version": "0", "boot": "01K",
                "sequence": 1, "started": "2026-11-21T07:00:00Z", "state": "ready",
            },
            "silentMs": 0, "lost": lost,
        }))
        .unwrap()
    }

    #[test]
    fn hosts_that_are_not_heard_are_missing() {
        let started = [host("amber", "A"), host("blue", "B"), host("grey", "C")];
        let names = |known: &[KnownHost]| -> Vec<String> {
            missing(&started, known).into_iter().map(|host| host.name.clone()).collect()
        };
        assert_eq!(names(&[known("A", false), known("B", true), known("D", false)]), ["blue", "grey"]);
        assert_eq!(names(&[known("A", false), known("B", false), known("C", false)]), [""; 0]);
        let failure = not_known(&[&started[1]], "it knows 2 of 3 hosts");
        assert!(failure.to_string().contains("blue missing"), "{failure}");
    }
}
