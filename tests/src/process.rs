//! A process that a test has started and may kill, freeze and stop. It does not know what runs in it. Each has a
//! process group of its own and is killed and reaped when it is dropped; its output goes into a file that stays.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{eventually, guard};

/// Lines of a log that are shown when a test fails.
const SHOWN_LINES: usize = 60;

/// A running process, or one that has ended and not been dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    reaped: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` without input; what it writes is appended to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let output = OpenOptions::new().create(true).append(true).open(log).expect("cannot open a log");
        let errors = output.try_clone().expect("cannot share a log");
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        guard::watch(child.id());
        Self { name: name.to_owned(), child, log: log.to_owned(), reaped: None }
    }

    /// The process id, which is also that of its group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            self.reaped = self.child.try_wait().expect("cannot ask for the end of a process");
            if self.reaped.is_some() {
                guard::forget(self.id());
            }
        }
        self.reaped
    }

    /// Kills it with everything that it started, as a power cut would, and reaps it.
    pub fn kill(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal(Signal::SIGKILL);
        self.reaped = Some(self.child.wait().expect("cannot wait for a killed process"));
        guard::forget(self.id());
    }

    /// Stops its execution; its sockets stay open and silent.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Goes on after [`Process::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Panics
    /// When it has not ended `within` that time.
    pub async fn stop(&mut self, within: Duration) -> ExitStatus {
        if let Some(status) = self.ended() {
            return status;
        }
        self.signal(Signal::SIGTERM);
        let what = format!("{} to end after SIGTERM", self.name);
        eventually(within, &what, async || self.ended().ok_or_else(|| "it still runs".to_owned())).await
    }

    /// Sends `signal` to its whole group.
    pub fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.id()).expect("process ids are small"));
        killpg(group, signal)
            .unwrap_or_else(|error| panic!("cannot send {signal} to {}: {error}", self.name));
    }

    /// The last lines that it wrote, under its name.
    #[must_use]
    pub fn last_words(&self) -> String {
        let written = std::fs::read(&self.log).unwrap_or_default();
        let written = String::from_utf8_lossy(&written);
        let lines: Vec<_> = written.lines().collect();
        let shown = lines.len().saturating_sub(SHOWN_LINES);
        let how = self.reaped.map_or_else(|| "running".to_owned(), |status| status.to_string());
        format!("--- {} ({how}), {}\n{}\n", self.name, self.log.display(), lines[shown..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_and_its_children_are_gone_after_drop() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "sleep 1000 & echo $!; wait"]);
        let process = Process::start("shell", shell, &log);
        let child: i32 = eventually(Duration::from_secs(5), "the child's id", async || {
            let text = std::fs::read_to_string(&log).unwrap();
            text.trim().parse().map_err(|_| format!("`{text}`"))
        })
        .await;
        drop(process);
        // The child is nobody's we could wait for; its new parent reaps it.
        eventually(Duration::from_secs(5), "the child to be gone", async || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(" Z ") { Ok(()) } else { Err(state) }
        })
        .await;
    }
}
