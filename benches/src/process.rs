//! A host as a process of its own, with what is asked of it and what it takes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lath_control_api::{ApplyReply, ApplyRequest, Bucket, Digest, HostId, HostInventory, Phase, Subjects};
use lath_control_api_client::{ComponentStore, ConnectOptions, ControlClient, connect};
use lath_tests::nats::Nats;
use lath_tests::process::Process;
use lath_tests::{eventually, ports};
use tempfile::TempDir;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// A host with a nats-server. The host ends when it is dropped, the server with the last host that uses it.
#[derive(Debug)]
pub struct Host {
    /// Where it takes HTTP requests.
    pub address: SocketAddr,
    id: HostId,
    process: Process,
    control: ControlClient,
    nats: Arc<Nats>,
    folder: TempDir,
    lath: PathBuf,
}

impl Host {
    /// Starts both, the host from the program `lath`. With `group`, the host runs in that control group from its first moment on.
    ///
    /// # Panics
    /// When one of them does not start.
    pub async fn start(lath: &Path, group: Option<&Group>) -> Self {
        let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
        let nats = Arc::new(Nats::start(&folder.path().join("nats")).await);
        Self::of(lath, Around { group, variables: &[] }, folder, nats).await
    }

    /// As [`Host::start`], with these variables in the environment of the host.
    ///
    /// # Panics
    /// When one of them does not start.
    pub async fn with(lath: &Path, variables: &[(&str, String)]) -> Self {
        let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
        let nats = Arc::new(Nats::start(&folder.path().join("nats")).await);
        Self::of(lath, Around { group: None, variables }, folder, nats).await
    }

    /// Another host of the same lattice.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn beside(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
        Self::of(&self.lath, Around::default(), folder, Arc::clone(&self.nats)).await
    }

    async fn of(lath: &Path, around: Around<'_>, folder: TempDir, nats: Arc<Nats>) -> Self {
        let connection = connect(ConnectOptions::new(&nats.url(), "bench")).await.expect("a connection");
        let control = ControlClient::new(connection, "default".parse().expect("a name"));
        let address = ports::free_address();
        let (process, id) = launch(lath, &folder, &nats, address, around).await;
        Self { address, id, process, control, nats, folder, lath: lath.to_owned() }
    }

    /// Where its nats-server is.
    #[must_use]
    pub fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// Ends the process and starts it again with its data; gives the time until it takes commands.
    pub async fn restart(&mut self, group: Option<&Group>) -> Duration {
        let _ended = self.process.stop(PATIENCE).await;
        let begun = Instant::now();
        let around = Around { group, variables: &[] };
        (self.process, self.id) = launch(&self.lath, &self.folder, &self.nats, self.address, around).await;
        begun.elapsed()
    }

    /// Puts code where the host gets it from.
    ///
    /// # Panics
    /// When the store does not take it.
    pub async fn push(&self, code: &Bytes) -> Digest {
        let subjects = Subjects::new("default".parse().expect("a name"));
        let bucket = subjects.bucket(Bucket::Components);
        let store = ComponentStore::open(self.control.connection(), &bucket).await.expect("a store");
        let digest = Digest::of(code);
        let _stored = store.put(&digest, code.clone()).await.expect("the store takes code");
        digest
    }

    /// Sends a command; returns when it is accepted.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn apply(&self, request: &ApplyRequest) -> ApplyReply {
        self.control.apply(&self.id, request, PATIENCE).await.expect("the command is accepted")
    }

    /// All that it says of itself.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn inventory(&self) -> HostInventory {
        self.control.inventory(&self.id, PATIENCE).await.expect("an inventory")
    }

    /// Waits until so many units run, and none does anything else.
    ///
    /// # Panics
    /// When one has failed, or it takes too long.
    pub async fn running(&self, wanted: usize) {
        eventually(PATIENCE, "all units to run", async || {
            let inventory = self.inventory().await;
            let components = inventory.apps.iter().flat_map(|app| &app.components);
            let units: Vec<_> = components.flat_map(|component| &component.units).collect();
            if let Some(failed) = units.iter().find(|unit| unit.phase.is_failed()) {
                panic!("{failed:?}");
            }
            let running = units.iter().filter(|unit| unit.phase == Phase::Running).count();
            if running == wanted && units.len() == wanted { Ok(()) } else { Err(format!("{running} run")) }
        })
        .await;
    }

    /// How often a word stands in its log: a look that costs the host nothing.
    #[must_use]
    pub fn logged(&self, word: &str) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("host.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(word)).count()
    }

    /// What it takes now.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory::of(self.process.id())
    }

    /// The number of its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// What the nats-server takes now.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn memory_of_nats(&self) -> Memory {
        Memory::of(self.nats.process().expect("it runs").id())
    }
}

/// What a host runs in.
#[derive(Debug, Clone, Copy, Default)]
struct Around<'a> {
    group: Option<&'a Group>,
    variables: &'a [(&'a str, String)],
}

async fn launch(
    lath: &Path,
    folder: &TempDir,
    nats: &Nats,
    address: SocketAddr,
    Around { group, variables }: Around<'_>,
) -> (Process, HostId) {
    let ready = folder.path().join("ready.json");
    let _absent = std::fs::remove_file(&ready);
    let mut command = match group {
        // The shell puts itself into the group and becomes the host.
        Some(group) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]).arg(&group.folder).arg(lath);
            shell
        }
        None => Command::new(lath),
    };
    command.args(["host", "--nats-url", &nats.url(), "--http-default", &address.to_string()]);
    command.arg("--data-dir").arg(folder.path().join("data")).arg("--ready-file").arg(&ready);
    command.envs(variables.iter().map(|(name, value)| (*name, value)));
    let mut process = Process::start("host", command, &folder.path().join("host.log"));
    let id = eventually(PATIENCE, "the host to be ready", async || {
        assert!(process.ended().is_none(), "it ended\n{}", process.last_words());
        let text = std::fs::read_to_string(&ready).map_err(|error| error.to_string())?;
        let told: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        told["host"].as_str().unwrap_or_default().parse::<HostId>().map_err(|error| error.to_string())
    })
    .await;
    (process, id)
}

/// A control group of Linux that limits memory.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
}

impl Group {
    /// A group below that of this process with at most so many bytes, swap excluded.
    ///
    /// # Errors
    /// When this user may not make one here, as in most containers.
    pub fn of(bytes: u64) -> std::io::Result<Self> {
        let folder = PathBuf::from(format!("/sys/fs/cgroup/lath-bench-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let group = Self { folder };
        std::fs::write(group.folder.join("memory.max"), bytes.to_string())?;
        // Where there is no swap there is no such file.
        let _no_swap = std::fs::write(group.folder.join("memory.swap.max"), "0");
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _busy = std::fs::remove_dir(&self.folder);
    }
}

/// What a process takes, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// What is in memory now.
    pub resident: u64,
    /// The most that it ever was.
    pub most: u64,
}

impl Memory {
    /// What the process with this id takes.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let kibibytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
            kibibytes.expect("the kernel tells") * 1024
        };
        Self { resident: field("VmRSS:"), most: field("VmHWM:") }
    }
}

/// The time for which a process has had a processor so far, in steps of a hundredth of a second.
///
/// # Panics
/// When it has ended.
#[must_use]
pub fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // The name, which may hold anything, ends with the last parenthesis; from there on utime is the 12th, stime the 13th.
    let (_, fields) = stat.rsplit_once(')').expect("the kernel tells");
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// A client that keeps its connection.
#[derive(Debug, Clone)]
pub struct Http(Client<HttpConnector, Empty<Bytes>>);

impl Default for Http {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl Http {
    /// The status of a request for `/` of `host`, and its whole body.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Panics
    /// When `host` is not the name of one.
    pub async fn get(&self, address: SocketAddr, host: &str) -> Result<(u16, Bytes), String> {
        let request = http::Request::get(format!("http://{address}/")).header("host", host);
        let request = request.body(Empty::new()).expect("a request");
        let answer = self.0.request(request).await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }
}

/// Asks until there is an answer of the component, whatever it says to `/`.
///
/// # Panics
/// When there is none for long.
pub async fn answered(host: &Host, name: &str) {
    let http = Http::default();
    eventually(PATIENCE, &format!("{name} to answer"), async || match http.get(host.address, name).await {
        Ok((200 | 400, _)) => Ok(()),
        // A host that does not know the way says 404 too, with a text of its own.
        Ok((404, text)) if text.starts_with(b"there are /ok") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
