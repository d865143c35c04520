//! A nats-server, a manager and a host of a test's own, each a process that the test can kill and bring back.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for a state.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_before = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Lattice {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) nats: String,
    pub(crate) http: SocketAddr,
    host: Option<Process>,
    _manager: Process,
    _server: Process,
}

impl Lattice {
    /// One host; `more` are further arguments of it.
    pub(crate) fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port, http, manager] = free_ports();
        let (nats, http) = (format!("nats://127.0.0.1:{port}"), SocketAddr::from(([127, 0, 0, 1], http)));
        let mut server = Command::new(nats_server());
        server
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(folder.path().join("nats"));
        let server = start(server, &folder.path().join("nats.log"));
        eventually("a nats-server", || {
            TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())
        });
        let manager_http = format!("127.0.0.1:{manager}");
        let manager = ["manager", "--allow-file-load", "--http", &manager_http, "--nats-url", &nats];
        let manager = Self::daemon(folder.path(), "manager", &manager);
        let mut lattice = Self { folder, nats, http, host: None, _manager: manager, _server: server };
        lattice.start_host(more);
        lattice
    }

    pub(crate) fn start_host(&mut self, more: &[&str]) {
        let address = self.http.to_string();
        let arguments = ["host", "--http-default", &address, "--nats-url", &self.nats, "--name", "one"];
        self.host = Some(Self::daemon(self.folder.path(), "host", &[&arguments, more].concat()));
    }

    /// As kill -9 does.
    pub(crate) fn kill_host(&mut self) {
        self.host = None;
    }

    pub(crate) fn host_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("host/log")).unwrap()
    }

    fn daemon(folder: &Path, name: &str, arguments: &[&str]) -> Process {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let ready = folder.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let mut command = Command::new(lath());
        command.args(arguments).arg("--data-dir").arg(folder.join("data")).arg("--ready-file").arg(&ready);
        command.current_dir(&folder);
        let process = start(command, &folder.join("log"));
        eventually(&format!("a ready {name}"), || {
            ready.is_file().then_some(()).ok_or("no ready file".to_owned())
        });
        process
    }

    /// Runs a command of `lath` to its end.
    pub(crate) fn lath(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(lath());
        command.args(arguments).args(["--server", &self.nats]).env("HOME", self.folder.path());
        command.output().unwrap()
    }

    /// The same, which must end well; what it wrote.
    pub(crate) fn does(&self, arguments: &[&str]) -> String {
        let ended = self.lath(arguments);
        let told =
            format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert!(ended.status.success(), "{arguments:?}: {told}\n{}", self.host_log());
        told
    }

    /// The units of a component, as the host says.
    pub(crate) fn units(&self, component: &str) -> Vec<Value> {
        let ended = self.lath(&["inventory", "-o", "json"]);
        let inventory: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        let units = inventory["units"].as_array().cloned().unwrap_or_default();
        units.into_iter().filter(|unit| unit["component"] == component).collect()
    }

    /// Status and body of a GET.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String), String> {
        self.get_with(path, "")
    }

    /// The same with more headers, each with the end of its line.
    pub(crate) fn get_with(&self, path: &str, more: &str) -> Result<(u16, String), String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(self.http).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(failed)?;
        let head = format!("GET {path} HTTP/1.0\r\nhost: {}\r\nconnection: close\r\n{more}\r\n", self.http);
        stream.write_all(head.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no answer in `{answer}`"))?;
        Ok((status.ok_or_else(|| answer.clone())?, body.to_owned()))
    }

    /// Waits until the component answers so.
    pub(crate) fn says(&self, path: &str, wanted: &[&str]) {
        eventually(&format!("{wanted:?} from {path}"), || {
            let (status, body) = self.get(path)?;
            if status == 200 && wanted.iter().all(|part| body.contains(part)) { Ok(()) } else { Err(body) }
        });
    }
}

impl Drop for Lattice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the host\n{}", self.host_log());
        }
    }
}

/// Looks until there is an answer; the test fails when there is none in time.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if begun.elapsed() > PATIENCE => {
                panic!("no {what} within {PATIENCE:?}; at last: {instead}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Whether a process with this id runs.
pub(crate) fn runs(id: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(" Z ")
}

fn start(mut command: Command, log: &Path) -> Process {
    let output = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    let errors = output.try_clone().unwrap();
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    Process(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

/// The component of that name, such as `http-front-v1`.
pub(crate) fn guest(name: &str) -> String {
    let file = workspace().join(format!("target/components/{name}.wasm"));
    assert!(file.is_file(), "{} is missing; run `cargo xtask components`", file.display());
    format!("file://{}", file.display())
}

fn lath() -> PathBuf {
    let named = std::env::var_os("LATH_BIN").filter(|named| !named.is_empty()).map(PathBuf::from);
    let lath = named.unwrap_or_else(|| workspace().join("target/debug/lath"));
    assert!(lath.is_file(), "{} is missing; build it in the main workspace", lath.display());
    lath
}

fn nats_server() -> PathBuf {
    let named = std::env::var_os("LATH_NATS_SERVER").filter(|named| !named.is_empty()).map(PathBuf::from);
    let fetched = workspace().join("target/tools/nats-server");
    named.unwrap_or_else(|| if fetched.is_file() { fetched } else { "nats-server".into() })
}

/// Ports of this test alone, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| crate::ports::free_address().port())
}
