//! A nats-server of a test's own, on a free port, in a directory of its own, gone with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ports::free_address;

pub(crate) struct Nats {
    child: Child,
    dir: tempfile::TempDir,
    pub(crate) url: String,
}

impl Nats {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (child, url) = spawn(dir.path(), &free_address().port().to_string());
        Self { child, dir, url }
    }

    pub(crate) async fn connect(&self) -> async_nats::Client {
        let options =
            async_nats::ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(20));
        options.connect(&self.url).await.unwrap()
    }

    /// As kill -9 does.
    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the port that it had, with what it had stored.
    pub(crate) fn restart(&mut self) {
        let port = self.url.rsplit(':').next().unwrap().to_owned();
        let (child, url) = spawn(self.dir.path(), &port);
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

fn spawn(dir: &Path, port: &str) -> (Child, String) {
    let ports = dir.join("ports");
    let _ = std::fs::remove_dir_all(&ports);
    std::fs::create_dir(&ports).unwrap();
    let mut child = Command::new(binary())
        .args(["-a", "127.0.0.1", "-p", port, "-js", "--ports_file_dir"])
        .arg(&ports)
        .arg("-sd")
        .arg(dir.join("store"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cannot start nats-server; set LATH_NATS_SERVER or put one on the PATH");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(url) = announced(&ports) {
            return (child, url);
        }
        assert_eq!(child.try_wait().unwrap(), None, "nats-server ended");
        assert!(Instant::now() < deadline, "nats-server did not announce its port");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The URL in the file that the server writes when it listens; none while the file is not complete.
fn announced(ports: &Path) -> Option<String> {
    let file = std::fs::read_dir(ports).ok()?.flatten().next()?.path();
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(json["nats"][0].as_str()?.to_owned())
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LATH_NATS_SERVER") {
        return path.into();
    }
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/nats-server");
    if fetched.exists() { fetched } else { "nats-server".into() }
}
