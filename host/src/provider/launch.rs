//! Starting a process that ends with this one, however this one ends.
//!
//! Linux ends a process with its parent when the process itself has asked for it, and no safe code runs between fork and
//! exec. So the process begins as this same binary ([`launched`]), asks, looks whether its parent is still there, and
//! becomes the provider. The request is bound to the thread that forks: one that lasts as long as the process does that.
//! A binary whose `main` does not call [`launched`] starts providers directly; those outlive a host that is killed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The argument by which this binary knows what it was started for. Nothing that a person would write.
const LAUNCH: &str = "__become-provider";
/// This binary, whatever lies in its place meanwhile.
const SELF: &str = "/proc/self/exe";
/// Tries to run an executable that somebody seems to be writing: a fork of another thread may hold the file open for a
/// moment.
const TRIES: u32 = 20;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(25);

/// Whether [`launched`] was called, so that this binary can be started to become a provider.
static CAN_LAUNCH: AtomicBool = AtomicBool::new(false);

/// Must come first in the `main` of a binary that runs hosts. If this process was started to become a provider, it
/// becomes it, and this returns only when that has failed, with the exit code; else it returns nothing.
#[must_use]
pub fn launched() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(LAUNCH)) {
        CAN_LAUNCH.store(true, Ordering::Relaxed);
        return None;
    }
    let failed = become_provider(arguments);
    use io::Write as _;
    // The host keeps this as the last words of the provider.
    let _nobody_listens = writeln!(io::stderr(), "the provider cannot be run: {failed}");
    Some(ExitCode::FAILURE)
}

fn become_provider(mut arguments: impl Iterator<Item = OsString>) -> io::Error {
    let (Some(parent), Some(program)) = (arguments.next(), arguments.next()) else {
        return io::Error::new(
            io::ErrorKind::InvalidInput,
            "the host said neither who it is nor what to run",
        );
    };
    if let Err(error) = end_with(&parent) {
        return error;
    }
    for _ in 0..TRIES {
        let error = std::process::Command::new(&program).exec();
        if error.kind() != io::ErrorKind::ExecutableFileBusy {
            return error;
        }
        thread::sleep(PAUSE);
    }
    io::ErrorKind::ExecutableFileBusy.into()
}

/// Has this process end when its parent does.
#[cfg(target_os = "linux")]
fn end_with(parent: &OsStr) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that ended before that has taken nobody along.
    let now = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if now.as_deref() == parent.to_str() { Ok(()) } else { Err(io::Error::other("the host is gone")) }
}

#[cfg(not(target_os = "linux"))]
fn end_with(_: &OsStr) -> io::Result<()> {
    Ok(())
}

/// What of the host's environment a provider gets, as in 1.x: what it logs and where its telemetry goes.
pub(super) fn environment() -> Vec<(OsString, OsString)> {
    let passed = |name: &OsStr| name == "RUST_LOG" || name.to_string_lossy().starts_with("OTEL_");
    std::env::vars_os().filter(|(name, _)| passed(name)).collect()
}

/// Starts an executable without arguments, in a process group of its own, with this environment and no other. Its
/// standard streams are pipes. It is killed when the handle is dropped.
pub(crate) async fn start(program: &Path, env: Vec<(OsString, OsString)>) -> io::Result<Child> {
    let mut command = if cfg!(target_os = "linux") && CAN_LAUNCH.load(Ordering::Relaxed) {
        let mut command = Command::new(SELF);
        command.arg(LAUNCH).arg(std::process::id().to_string()).arg(program);
        command
    } else {
        tell_once();
        Command::new(program)
    };
    command.env_clear().envs(env).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let (reply, child) = oneshot::channel();
    let ask = Ask { command, runtime: Handle::current(), reply };
    spawner()?.send(ask).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}

fn tell_once() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!("providers that this program starts do not end with it when it is killed");
    }
}

struct Ask {
    command: Command,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts processes has ended")
}

/// The thread that starts processes; it ends with the process.
fn spawner() -> io::Result<&'static mpsc::Sender<Ask>> {
    static SPAWNER: OnceLock<io::Result<mpsc::Sender<Ask>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (asks, receiver) = mpsc::channel::<Ask>();
        thread::Builder::new().name("lath-spawn".into()).spawn(move || {
            for Ask { mut command, runtime, reply } in receiver {
                let _runtime = runtime.enter();
                // Whoever asked may be gone: then the child is dropped, and killed.
                drop(reply.send(command.spawn()));
            }
        })?;
        Ok(asks)
    });
    spawner.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_process_gets_the_environment_that_it_is_given_and_a_group_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, "#!/bin/sh\nset\nread line\necho \"got $line\"\ncat /proc/$$/stat\n")
            .unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let env = vec![("OTEL_SERVICE_NAME".into(), "x".into())];
        let mut child = start(&program, env).await.unwrap();
        let pid = child.id().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stdin, b"words\n").await.unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
        assert!(child.wait().await.unwrap().success());
        assert!(said.contains("OTEL_SERVICE_NAME=") && said.contains("got words"), "{said}");
        assert!(!said.contains("CARGO"), "{said}");
        let stat = said.lines().find(|line| line.starts_with(&format!("{pid} ("))).unwrap();
        let group = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(2).unwrap();
        assert_eq!(group, pid.to_string());
    }

    #[tokio::test]
    async fn what_cannot_be_run_is_said() {
        assert_eq!(
            start(Path::new("/nowhere"), Vec::new()).await.unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_process_that_is_asked_to_become_nothing_says_so() {
        let error = become_provider(std::iter::empty());
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
