//! Starting the parts of a lattice one after the other, and noticing when one of them ends.
//!
//! Each part says itself when it is ready, in a file that only it writes; nothing is guessed from the time.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lath_control_api::ErrorCode;
use lath_control_api_client::DOMAIN_VARIABLE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::process::{LOOK_EVERY, Process, Started, start, tail};
use super::state::{Host, Manager, Nats, UpState};
use super::{Plan, known, nats};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::progress::{Reporter, took};

/// Lines of a log that a failure shows.
const LOG_LINES: usize = 8;

/// What a manager writes when it is ready.
#[derive(Debug, Deserialize)]
struct ManagerReady {
    http: SocketAddr,
}

/// What a host writes when it is ready.
#[derive(Debug, Deserialize)]
struct HostReady {
    host: String,
    name: String,
}

/// A lattice that is being started or runs, with handles on its processes.
#[derive(Debug)]
pub(super) struct Lattice {
    plan: Plan,
    state: Option<UpState>,
    children: Vec<(String, PathBuf, Child)>,
    /// When all of it must be ready. A server that recovers a large store is the slowest part.
    deadline: Instant,
}

impl Lattice {
    /// Nothing is started yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let deadline = Instant::now() + plan.timeout;
        Self { plan: plan.clone(), state: None, children: Vec::new(), deadline }
    }

    /// What was started.
    pub(super) fn state(&self) -> Result<&UpState, Failure> {
        self.state.as_ref().ok_or_else(|| Failure::new(Exit::Failed, "nothing was started"))
    }

    /// Starts everything and returns when all is ready.
    pub(super) async fn start(&mut self, reporter: &mut Reporter) -> Result<(), Failure> {
        for folder in ["log", "run"] {
            let path = self.plan.data.join(folder);
            fs::create_dir_all(&path).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot make {}: {error}", path.display()))
            })?;
        }
        self.clear_run();
        reporter.paint("starting NATS");
        self.start_nats().await?;
        reporter.paint("starting the manager and the hosts");
        self.start_manager()?;
        for number in 1..=self.plan.hosts {
            self.start_host(number)?;
        }
        self.manager_ready().await?;
        for number in 1..=self.plan.hosts {
            reporter.paint(&format!("waiting for host {number} of {}", self.plan.hosts));
            self.host_ready(number).await?;
        }
        reporter.paint("waiting for the manager to know every host");
        // A deploy in the next instant is placed on all of them.
        known::to_the_manager(self.state()?, self.plan.creds.as_deref(), self.deadline).await
    }

    /// Waits until every process has ended; says so of each and returns false, unless `lath down` has ended them.
    pub(super) async fn watch(&mut self, out: &Output) -> bool {
        let mut on_purpose = true;
        while !self.children.is_empty() {
            let ended =
                self.children.iter_mut().position(|(_, _, child)| !matches!(child.try_wait(), Ok(None)));
            let Some(ended) = ended else {
                sleep(LOOK_EVERY).await;
                continue;
            };
            let (_, log, _) = self.children.remove(ended);
            // No state: `lath down` has finished meanwhile.
            if let Ok(Some(state @ UpState { stopping: false, .. })) = UpState::read(&self.plan.data) {
                let name = state.processes().find(|(_, process)| process.log == log).map(|(name, _)| name);
                let name = name.unwrap_or_default();
                out.say(&format!("{name} has ended; its log is {}", log.display()));
                on_purpose = false;
            }
        }
        on_purpose
    }

    /// Gives up the handles; the future ends when all processes have.
    pub(super) fn reap(&mut self) -> impl Future<Output = ()> + use<> {
        let children = std::mem::take(&mut self.children);
        async move {
            for (_, _, mut child) in children {
                // Only to leave no remains; how it ended was told before.
                _ = child.wait().await;
            }
        }
    }

    fn run(&self, file: &str) -> PathBuf {
        self.plan.data.join("run").join(file)
    }

    fn clear_run(&self) {
        let files = fs::read_dir(self.run("")).into_iter().flatten().filter_map(Result::ok);
        for file in files {
            _ = fs::remove_file(file.path());
        }
    }

    async fn start_nats(&mut self) -> Result<(), Failure> {
        let (lattice, data) = (self.plan.lattice.clone(), self.plan.data.clone());
        if let Some(url) = self.plan.nats_url.clone() {
            self.state = Some(UpState::new(lattice, data, Nats { url, process: None }));
            return Ok(());
        }
        let program = nats::find().await?;
        let run = self.run("");
        let command = nats::command(&program, self.plan.nats_port, &self.plan.data, &run);
        let started = self.spawn(command, "nats-server")?;
        let url = format!("nats://127.0.0.1:{}", self.plan.nats_port);
        let state = UpState::new(lattice, data, Nats { url, process: Some(started) });
        state.write()?;
        self.state = Some(state);
        let url = self.ready("nats-server", || nats::url_of(&run)).await?;
        self.note(|state| state.nats.url = url)
    }

    fn start_manager(&mut self) -> Result<(), Failure> {
        let mut command =
            self.daemon("manager", &self.plan.data.join("manager"), &self.run("manager.json"))?;
        command.arg("--http").arg(self.plan.manager_http.to_string());
        // The files are those of the user who starts it, and `wash` names components by them.
        command.arg("--allow-file-load");
        if let Some(creds) = &self.plan.creds {
            command.arg("--creds").arg(creds);
        }
        let process = self.spawn(command, "manager")?;
        let manager = Manager { http: self.plan.manager_http.to_string(), process };
        self.note(|state| state.manager = Some(manager))
    }

    fn start_host(&mut self, number: u16) -> Result<(), Failure> {
        let name = host_name(number);
        let mut command =
            self.daemon("host", &self.plan.data.join(&name), &self.run(&format!("{name}.json")))?;
        command.arg("--http-default").arg(self.plan.http.to_string());
        if let Some(creds) = &self.plan.creds {
            command.arg("--creds").arg(creds);
        }
        let process = self.spawn(command, &name)?;
        let host = Host { name, id: None, http: self.plan.http.to_string(), process };
        self.note(|state| state.hosts.push(host))
    }

    async fn manager_ready(&mut self) -> Result<(), Failure> {
        let file = self.run("manager.json");
        let ready: ManagerReady = self.ready("manager", || read(&file)).await?;
        self.note(|state| {
            if let Some(manager) = &mut state.manager {
                manager.http = ready.http.to_string();
            }
        })
    }

    async fn host_ready(&mut self, number: u16) -> Result<(), Failure> {
        let name = host_name(number);
        let file = self.run(&format!("{name}.json"));
        let ready: HostReady = self.ready(&name, || read(&file)).await?;
        self.note(|state| {
            if let Some(host) = state.hosts.get_mut(usize::from(number) - 1) {
                host.name = ready.name;
                host.id = Some(ready.host);
            }
        })
    }

    /// A daemon of this same program.
    fn daemon(&self, verb: &str, data: &Path, ready: &Path) -> Result<Command, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot find this program: {error}")))?;
        let mut command = Command::new(program);
        command.arg(verb).arg("--lattice").arg(self.plan.lattice.as_str());
        let nats = &self.state()?.nats;
        command.arg("--nats-url").arg(&nats.url);
        if nats.process.is_some() {
            // The server that was started here has no domain.
            command.env_remove(DOMAIN_VARIABLE);
        }
        command.arg("--data-dir").arg(data).arg("--ready-file").arg(ready);
        command.args(self.plan.registries.to_args());
        Ok(command)
    }

    fn spawn(&mut self, command: Command, name: &str) -> Result<Process, Failure> {
        let log = self.plan.data.join("log").join(format!("{name}.log"));
        let Started { process, child } = start(command, &log)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot start {name}: {error}")))?;
        self.children.push((name.to_owned(), log, child));
        Ok(process)
    }

    /// Writes down what has become known.
    fn note(&mut self, change: impl FnOnce(&mut UpState)) -> Result<(), Failure> {
        let Some(state) = &mut self.state else { return self.state().map(drop) };
        change(state);
        state.write()
    }

    /// Waits until `look` finds what the part `name` writes when it is ready.
    async fn ready<T>(&mut self, name: &str, look: impl Fn() -> Option<T>) -> Result<T, Failure> {
        let log = self.plan.data.join("log").join(format!("{name}.log"));
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            let child = self.children.iter_mut().find(|(child, _, _)| child == name);
            let ended = child.and_then(|(_, _, child)| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Err(not_ready(name, &format!("it ended with {status}"), &log));
            }
            if Instant::now() >= self.deadline {
                let waited = format!("it was not ready within {}", took(self.plan.timeout));
                return Err(not_ready(name, &waited, &log));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn host_name(number: u16) -> String {
    format!("host-{number}")
}

fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

fn not_ready(name: &str, cause: &str, log: &Path) -> Failure {
    let failure = Failure::coded(ErrorCode::NotReady, format!("{name} did not start: {cause}"));
    let failure = Failure { exit: Exit::Failed, ..failure };
    let failure = tail(log, LOG_LINES).into_iter().fold(failure, Failure::note);
    failure.help(format!("its whole log is {}", log.display()))
}
