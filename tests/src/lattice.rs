//! A lattice: one nats-server, some hosts and a manager, each a process of its own that a test can kill, freeze and
//! bring back with its data. Hosts share one HTTP address. What runs on the lattice is not known here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lath_control_api_client::{ConnectOptions, ControlClient, connect};
use serde_json::Value;
use tempfile::TempDir;

use crate::nats::Nats;
use crate::process::Process;
use crate::store::Store;
use crate::{App, Ended, Lath, binary, eventually, ports};

/// Longest time until a host or a manager is ready on a busy machine.
const READY: Duration = Duration::from_secs(30);
/// Longest time for a host or a manager to stop in order.
const STOP: Duration = Duration::from_secs(40);
/// The lattice's name. Every test has a nats-server of its own, so one name does for all.
const LATTICE: &str = "default";

/// What a lattice consists of.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    hosts: Vec<Vec<String>>,
    registries: Vec<String>,
    nats: Option<String>,
    collector: Option<String>,
}

impl Setup {
    /// With another host, called `host-1`, `host-2` and so on, which has these labels (`key=value`).
    #[must_use]
    pub fn host(mut self, labels: &[&str]) -> Self {
        self.hosts.push(labels.iter().map(|label| (*label).to_owned()).collect());
        self
    }

    /// With a registry without TLS that hosts and manager may use; its name as references have it.
    #[must_use]
    pub fn registry(mut self, name: &str) -> Self {
        self.registries.push(name.to_owned());
        self
    }

    /// With this configuration of the server, such as `max_payload: 8MB`.
    #[must_use]
    pub fn nats(mut self, config: &str) -> Self {
        self.nats = Some(config.to_owned());
        self
    }

    /// With hosts that send their spans to this collector.
    #[must_use]
    pub fn collector(mut self, url: &str) -> Self {
        self.collector = Some(url.to_owned());
        self
    }

    /// Starts it and waits until every part is ready and known to the manager.
    pub async fn start(self) -> Lattice {
        Lattice::start(self).await
    }
}

/// A running lattice. Dropping it ends it; when the test has failed, its logs are shown and kept.
#[derive(Debug)]
pub struct Lattice {
    /// The server that joins it.
    pub nats: Nats,
    /// The address on which all hosts take HTTP requests.
    pub address: SocketAddr,
    hosts: Vec<Daemon>,
    manager: Daemon,
    // The last one: files go when no process uses them any more.
    folder: Option<TempDir>,
}

/// A host or a manager, which runs or may be started again.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    folder: PathBuf,
    arguments: Vec<String>,
    /// Name and value of a variable in its environment.
    variable: Option<(&'static str, String)>,
    process: Option<Process>,
}

impl Lattice {
    /// Two hosts without labels.
    pub async fn of_two_hosts() -> Self {
        Setup::default().host(&[]).host(&[]).start().await
    }

    async fn start(setup: Setup) -> Self {
        // Built before anything waits with a deadline.
        let _ = binary::lath();
        let folder = tempfile::Builder::new().prefix("lath-test-").tempdir().expect("cannot create a folder");
        let nats = Nats::start_with(&folder.path().join("nats"), setup.nats.as_deref()).await;
        let address = ports::free_address();
        let manager = ["manager", "--allow-file-load", "--http", &ports::free_address().to_string()];
        let manager = manager.map(str::to_owned);
        let manager = Daemon::new(folder.path(), "manager", manager.to_vec(), &nats);
        let hosts = setup.hosts.iter().zip(1..).map(|(labels, number)| {
            let name = format!("host-{number}");
            let mut arguments = vec!["host".to_owned(), "--name".to_owned(), name.clone()];
            arguments.extend(["--http-default".to_owned(), address.to_string()]);
            arguments
                .extend(setup.collector.iter().flat_map(|url| ["--otlp-endpoint".to_owned(), url.clone()]));
            arguments.extend(labels.iter().flat_map(|label| ["--label".to_owned(), label.clone()]));
            Daemon::new(folder.path(), &name, arguments, &nats)
        });
        let hosts = hosts.collect();
        let mut lattice = Self { nats, address, hosts, manager, folder: Some(folder) };
        for daemon in lattice.hosts.iter_mut().chain([&mut lattice.manager]) {
            daemon.arguments.extend(
                setup.registries.iter().flat_map(|name| ["--registry-insecure", name]).map(str::to_owned),
            );
        }
        lattice.start_all().await;
        lattice
    }

    async fn start_all(&mut self) {
        self.manager.launch();
        for host in &mut self.hosts {
            host.launch();
        }
        self.manager.ready().await;
        for host in &mut self.hosts {
            host.ready().await;
        }
        let (lath, wanted) = (self.lath(), self.hosts.len());
        eventually(READY, "the manager to know every host", async || {
            let known = lath.run(["hosts", "-o", "json"]).await;
            let hosts = known.code.filter(|code| *code == 0).map(|_| items(&known.json(), "hosts").len());
            if hosts == Some(wanted) { Ok(()) } else { Err(known.told()) }
        })
        .await;
    }

    /// Commands to this lattice.
    #[must_use]
    pub fn lath(&self) -> Lath {
        Lath::new(&self.nats.url(), self.folder())
    }

    /// The control API without the command, for requests that the command would not send.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn client(&self) -> ControlClient {
        let options = ConnectOptions::new(&self.nats.url(), "test");
        let connection = connect(options).await.expect("cannot connect to the test's nats-server");
        ControlClient::new(connection, LATTICE.parse().expect("the name is valid"))
    }

    /// The lattice's store from behind.
    pub async fn store(&self) -> Store {
        Store::of(&self.nats.url(), LATTICE).await
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there until the end").path()
    }

    /// Writes the manifest of `app` and deploys it, waiting until it is true or has failed.
    pub async fn deploy(&self, app: &App) -> Ended {
        let manifest = app.write(self.folder());
        self.lath().run(["deploy".as_ref(), manifest.as_os_str()]).await
    }

    /// What the hosts say that they run: one object for each spec of a component.
    ///
    /// # Panics
    /// When a host does not answer.
    pub async fn units(&self) -> Vec<Value> {
        let inventory = self.lath().run(["inventory", "-o", "json"]).await.exits(0).json();
        assert!(items(&inventory, "silent").is_empty(), "not every host answers: {inventory:#}");
        items(&inventory, "units").to_vec()
    }

    /// The host of that number, from 1.
    #[must_use]
    pub fn host(&self, number: usize) -> &Daemon {
        &self.hosts[number - 1]
    }

    /// The same, to end or start it.
    pub fn host_mut(&mut self, number: usize) -> &mut Daemon {
        &mut self.hosts[number - 1]
    }

    /// The manager, to end or start it.
    pub fn manager_mut(&mut self) -> &mut Daemon {
        &mut self.manager
    }

    /// Name and process id of every part that runs.
    #[must_use]
    pub fn process_ids(&self) -> Vec<(String, u32)> {
        let daemons = self.hosts.iter().chain([&self.manager]);
        let daemons = daemons.filter_map(|daemon| Some((daemon.name.clone(), daemon.process.as_ref()?.id())));
        let nats = self.nats.process().map(|process| ("nats-server".to_owned(), process.id()));
        daemons.chain(nats).collect()
    }

    /// Leaves all logs and data where they are when the lattice ends.
    pub fn keep(&mut self) {
        if let Some(folder) = &mut self.folder {
            folder.disable_cleanup(true);
        }
    }

    fn show_logs(&mut self) {
        let daemons = self.hosts.iter_mut().chain([&mut self.manager]);
        for process in daemons.filter_map(|daemon| daemon.process.as_mut()) {
            // So that the log says whether it still ran.
            let _ = process.ended();
            eprintln!("{}", process.last_words());
        }
        if let Some(nats) = self.nats.process() {
            eprintln!("{}", nats.last_words());
        }
    }
}

impl Drop for Lattice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
            let kept = self.folder.take().map(TempDir::keep);
            eprintln!("all logs and data are kept in {}", kept.unwrap_or_default().display());
        }
    }
}

impl Daemon {
    fn new(folder: &Path, name: &str, mut arguments: Vec<String>, nats: &Nats) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).expect("cannot create a folder");
        let (name, variable) = (name.to_owned(), None);
        let mut daemon = Self { name, folder, arguments: Vec::new(), variable, process: None };
        let path = |path: PathBuf| path.display().to_string();
        let (data, ready) = (path(daemon.folder.join("data")), path(daemon.ready_file()));
        let shared = ["--lattice", LATTICE, "--nats-url", &nats.url(), "--ready-file", &ready];
        arguments.extend(shared.map(str::to_owned));
        arguments.extend(["--data-dir".to_owned(), data]);
        daemon.arguments = arguments;
        daemon
    }

    fn ready_file(&self) -> PathBuf {
        self.folder.join("ready.json")
    }

    /// The folder with its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it again with its data and waits until it is ready.
    pub async fn restart(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// Starts it again with its data, without waiting.
    pub fn launch(&mut self) {
        let _ = std::fs::remove_file(self.ready_file());
        let mut command = Command::new(binary::lath());
        command.args(&self.arguments).current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            // What the developer's shell sets for `lath` must not reach the lattice, but for what it logs.
            if name.to_string_lossy().starts_with("LATH_") && name != "LATH_LOG" {
                command.env_remove(name);
            }
        }
        // Nor the developer's logins at registries.
        command.env("DOCKER_CONFIG", &self.folder).envs(self.variable.clone());
        self.process = Some(Process::start(&self.name, command, &self.folder.join("log")));
    }

    /// Sets a variable of its environment, from its next start on; none takes the last one away.
    pub fn set(&mut self, variable: Option<(&'static str, String)>) {
        self.variable = variable;
    }

    /// Waits until it is ready, or has ended by itself instead; tells whether it is ready.
    pub async fn ready_or_ended(&mut self) -> bool {
        let file = self.ready_file();
        eventually(READY, "a daemon to be ready or to end", async || {
            if self.has_ended() {
                Ok(false)
            } else if file.is_file() {
                Ok(true)
            } else {
                Err("it is neither".to_owned())
            }
        })
        .await
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.ended().is_some())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it still runs after that time.
    pub async fn ended(&mut self, within: Duration) {
        let process = self.process.as_mut().expect("it was started");
        let what = format!("{} to end by itself", self.name);
        eventually(within, &what, async || process.ended().ok_or_else(|| "it runs".to_owned())).await;
    }

    /// Waits until it says that it is ready, and gives what it says.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn ready(&mut self) -> Value {
        let file = self.ready_file();
        let process = self.process.as_mut().expect("it was started");
        eventually(READY, "a daemon to be ready", async || {
            assert!(process.ended().is_none(), "it ended instead\n{}", process.last_words());
            let text =
                std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            serde_json::from_str(&text).map_err(|error| error.to_string())
        })
        .await
    }

    /// Stops its execution; its sockets stay open and silent.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.process.as_ref().expect("it runs").freeze();
    }

    /// Goes on after [`Daemon::freeze`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.process.as_ref().expect("it runs").thaw();
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Throws away what it kept on its disk.
    ///
    /// # Panics
    /// When it runs, or the files cannot be removed.
    pub fn forget_data(&self) {
        assert!(self.process.is_none(), "it runs");
        match std::fs::remove_dir_all(self.folder.join("data")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("cannot remove data: {error}")
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Panics
    /// When it does not run, or says that it did not stop in order.
    pub async fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let status = process.stop(STOP).await;
        assert!(status.success(), "it did not stop in order: {status}\n{}", process.last_words());
    }
}

/// The list under `key`; empty when there is none.
#[must_use]
pub fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
