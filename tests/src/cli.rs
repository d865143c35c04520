//! Runs `lath` as a user does, and takes what it wrote and how it ended. What a command means is the tests' business.
//! A command gets nothing of the developer's own settings: no environment, no home folder, no terminal; only which
//! nats-server is tested with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::binary;

/// Longest that any command may take: above every wait of `lath` itself that tests ask for.
const LONGEST: Duration = Duration::from_secs(120);

/// `lath` with the arguments that every command of a test shares.
#[derive(Debug, Clone)]
pub struct Lath {
    shared: Vec<String>,
    home: PathBuf,
    /// Variables of its environment.
    variables: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The arguments, for messages.
    pub command: String,
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its output.
    pub stdout: String,
    /// What it wrote to its error output.
    pub stderr: String,
    /// When it began.
    pub began: Instant,
    /// When it had ended.
    pub at: Instant,
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    command: String,
    child: Child,
    began: Instant,
}

impl Lath {
    /// Commands to the lattice at `server`, with `home` as the user's home folder.
    #[must_use]
    pub fn new(server: &str, home: &Path) -> Self {
        let shared = vec!["--server".to_owned(), server.to_owned()];
        Self { shared, home: home.to_owned(), variables: Vec::new() }
    }

    /// Commands that are told nothing of a lattice.
    #[must_use]
    pub fn nowhere(home: &Path) -> Self {
        Self { shared: Vec::new(), home: home.to_owned(), variables: Vec::new() }
    }

    /// The same, with a variable in its environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it does not end within two minutes.
    pub async fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
        self.start(arguments).ended().await
    }

    /// Starts a command.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Running {
        let mut command = Command::new(binary::lath());
        command.args(arguments).args(&self.shared);
        let words = command.as_std().get_args().map(OsStr::to_string_lossy);
        let shown = format!("lath {}", words.collect::<Vec<_>>().join(" "));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LATH_") {
                command.env_remove(name);
            }
        }
        command.env("LATH_NATS_SERVER", binary::nats_server());
        command.env("HOME", &self.home).env_remove("DOCKER_CONFIG").current_dir(&self.home);
        for folder in
            ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"]
        {
            command.env_remove(folder);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
        Running { command: shown, child, began: Instant::now() }
    }
}

impl Running {
    /// Sends the signal of Ctrl-C.
    ///
    /// # Panics
    /// When the command has ended before.
    pub fn interrupt(&self) {
        let id = self.child.id().expect("the command still runs");
        let id = Pid::from_raw(i32::try_from(id).expect("process ids are small"));
        kill(id, Signal::SIGINT).expect("cannot send SIGINT");
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("cannot ask for the end of a command").is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within two minutes.
    pub async fn ended(self) -> Ended {
        let Self { command, child, began } = self;
        let output = match tokio::time::timeout(LONGEST, child.wait_with_output()).await {
            Ok(output) => output.expect("cannot read what a command wrote"),
            Err(_) => panic!("`{command}` has not ended after {LONGEST:?}"),
        };
        Ended {
            command,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            began,
            at: Instant::now(),
        }
    }
}

impl Ended {
    /// Itself, if it ended with `code`.
    ///
    /// # Panics
    /// When it ended otherwise; with all that it wrote.
    #[track_caller]
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}\n{}", self.told());
        self
    }

    /// Its exit code; none when a signal ended it.
    #[must_use]
    pub const fn code(&self) -> Option<i32> {
        self.code
    }

    /// What it wrote to its output, as JSON.
    ///
    /// # Panics
    /// When that is no JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("the output is not JSON: {error}\n{}", self.told()))
    }

    /// All that a person would have seen.
    #[must_use]
    pub fn seen(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails unless a person would have read each of these texts.
    ///
    /// # Panics
    /// When one is missing.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) {
        let seen = self.seen();
        for text in texts {
            assert!(seen.contains(text), "`{text}` is not said\n{}", self.told());
        }
    }

    /// How long it took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.at - self.began
    }

    /// Command, end and output, for failures.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { command, code, stdout, stderr, .. } = self;
        let code = code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        let took = self.took();
        format!(
            "`{command}` ended with {code} after {took:.1?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---"
        )
    }
}
