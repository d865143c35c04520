//! Processes that `lath up` has started: starting them, knowing them again, stopping them.
//!
//! Rule: a signal goes only to a process whose start time is the recorded one, so a number that was given to
//! somebody else in the meantime is never signalled.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How often a process is looked at while something of it is waited for.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process, as it can be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// When it was started, in the system's own words; only compared.
    pub(crate) start: String,
    /// What it says.
    pub(crate) log: PathBuf,
}

/// How a process went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Gone {
    /// It ended when it was asked to.
    Stopped,
    /// It did not end in time and was killed.
    Killed,
    /// It was not there any more.
    Absent,
}

impl Process {
    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        start_of(self.pid).is_some_and(|start| start == self.start)
    }

    /// Asks it to stop; false when it is not there any more.
    pub(crate) fn ask_to_stop(&self) -> bool {
        self.signal(Signal::SIGTERM)
    }

    /// Waits until it is gone, at most until `deadline`; then kills it.
    pub(crate) async fn gone_by(&self, deadline: Instant) -> Gone {
        while self.is_alive() {
            if Instant::now() >= deadline {
                self.signal(Signal::SIGKILL);
                return Gone::Killed;
            }
            sleep(LOOK_EVERY).await;
        }
        Gone::Stopped
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) -> bool {
        let Ok(pid) = i32::try_from(self.pid) else { return false };
        self.is_alive() && kill(Pid::from_raw(pid), signal).is_ok()
    }
}

/// A process of this command, which can be waited for.
#[derive(Debug)]
pub(super) struct Started {
    /// How it can be found again.
    pub(super) process: Process,
    /// The handle that reaps it.
    pub(super) child: Child,
}

/// Starts `command` in a process group of its own, so that a Ctrl-C of the terminal does not reach it.
/// What it says is added to `log`.
pub(super) fn start(mut command: Command, log: &Path) -> io::Result<Started> {
    let file = OpenOptions::new().create(true).append(true).open(log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .kill_on_drop(false)
        .spawn()?;
    let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
    // A process that has not been reaped keeps its entry, so its start can be read even if it has just ended.
    let start = start_of(pid).unwrap_or_default();
    Ok(Started { process: Process { pid, start, log: log.to_owned() }, child })
}

/// The last lines of a log, for failures.
pub(super) fn tail(log: &Path, lines: usize) -> Vec<String> {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all.iter().skip(all.len().saturating_sub(lines)).map(|line| crate::output::clean(line)).collect()
}

/// When the process with this number was started; `None` when there is none, or only its remains.
fn start_of(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        return Some(format!("{}:{}", boot.trim(), start_in_stat(&stat)?));
    }
    let pid = pid.to_string();
    let output = std::process::Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (state, start) = text.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| start.trim().to_owned())
}

/// Field 22 of Linux's `/proc/PID/stat`; `None` for a process that has ended and was not reaped.
fn start_in_stat(stat: &str) -> Option<&str> {
    // The second field is the program's name in parentheses and may itself contain spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_field_22_whatever_the_name() {
        let rest: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let stat = format!("17 (a ) b) S {}", rest.join(" "));
        assert_eq!(start_in_stat(&stat), Some("22"));
        assert_eq!(start_in_stat(&stat.replace(") S", ") Z")), None);
    }

    #[tokio::test]
    async fn only_the_recorded_process_is_signalled() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let mut started = start(command, &folder.path().join("log")).unwrap();
        let process = started.process.clone();
        let other = Process { start: "another time".into(), ..process.clone() };
        assert!(!other.is_alive() && !other.ask_to_stop());
        assert!(process.is_alive());

        assert!(process.ask_to_stop());
        let deadline = Instant::now() + Duration::from_secs(10);
        assert_eq!(process.gone_by(deadline).await, Gone::Stopped);
        started.child.wait().await.unwrap();
        assert!(!process.ask_to_stop());
    }

    #[tokio::test]
    async fn what_does_not_stop_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]);
        let mut started = start(command, &log).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while tail(&log, 1) != ["ready"] {
            assert!(Instant::now() < deadline, "the process said nothing");
            sleep(LOOK_EVERY).await;
        }
        assert!(started.process.ask_to_stop());
        assert_eq!(started.process.gone_by(Instant::now() + Duration::from_millis(200)).await, Gone::Killed);
        started.child.wait().await.unwrap();
    }
}
