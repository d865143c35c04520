//! A nats-server of a test's own, on a free port, in a directory of its own, gone with the test.
//! Shared with `tests/compat`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lath_wrpc::{Client, Limits};

use crate::ports::free_address;

pub(crate) struct Nats {
    child: Child,
    dir: tempfile::TempDir,
    pub(crate) url: String,
    extra: Vec<String>,
}

impl Nats {
    pub(crate) fn start() -> Self {
        Self::with_config("")
    }

    /// `config` is put in the server's configuration file.
    pub(crate) fn with_config(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nats.conf");
        std::fs::write(&file, config).unwrap();
        let extra = vec!["-c".to_owned(), file.display().to_string()];
        let (child, url) = spawn(dir.path(), &free_address().port().to_string(), &extra).unwrap();
        Self { child, dir, url, extra }
    }

    pub(crate) async fn connect(&self) -> async_nats::Client {
        self.options().connect(&self.url).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_with(Limits::default()).await
    }

    pub(crate) async fn client_with(&self, limits: Limits) -> Client {
        Client::new(self.connect().await, limits).await.unwrap()
    }

    fn options(&self) -> async_nats::ConnectOptions {
        async_nats::ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(20))
    }

    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the server again on the port that it had.
    pub(crate) fn restart(&mut self) {
        let port = self.url.rsplit(':').next().unwrap().to_owned();
        let (child, url) = spawn(self.dir.path(), &port, &self.extra).unwrap();
        assert_eq!(url, self.url);
        self.child = child;
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &Path, port: &str, extra: &[String]) -> anyhow::Result<(Child, String)> {
    let ports = dir.join("ports");
    let _ = std::fs::remove_dir_all(&ports);
    std::fs::create_dir(&ports)?;
    let mut child = Command::new(binary())
        .args(["-a", "127.0.0.1", "-p", port, "--ports_file_dir"])
        .arg(&ports)
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start nats-server; set LATH_NATS_SERVER or put one on the PATH")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(url) = announced(&ports) {
            return Ok((child, url));
        }
        if let Some(status) = child.try_wait()? {
            bail!("nats-server ended with {status}");
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            bail!("nats-server did not announce its port");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The URL in the file that the server writes when it listens; none while the file is not complete.
fn announced(ports: &Path) -> Option<String> {
    let file = std::fs::read_dir(ports).ok()?.flatten().next()?.path();
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(json["nats"][0].as_str()?.replace("nats://", ""))
}

/// The server that is named, else the one that `cargo xtask` fetched for this checkout, else the one on the `PATH`.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LATH_NATS_SERVER") {
        return path.into();
    }
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut fetched = folders.map(|folder| folder.join("target/tools/nats-server"));
    fetched.find(|server| server.exists()).unwrap_or_else(|| "nats-server".into())
}
