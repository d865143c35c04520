//! A registry of a test's own: Debian's `docker-registry`, started, stopped and started again with the same store.
//!
//! The tests of `artifacts` include this file by its path: they must not wait for everything that this crate needs.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ports::free_address;

/// Longest start of a registry on a busy machine.
const START: Duration = Duration::from_secs(20);
/// The user of a registry with logins.
pub const USER: &str = "me";
/// The password of [`USER`].
pub const PASSWORD: &str = "hunter2";
/// The line of both in the form of `htpasswd`; its cost is the least there is, so that tests need not wait.
const LOGIN: &str = "me:$2b$04$hmcqYBhTN30qzAfmUSvvPONDxdG5nGWKYnYw.vRmtXECinolLAYOW";

/// How a registry is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kind<'a> {
    /// Only [`USER`] is let in.
    pub login: bool,
    /// Folder with `registry.pem` and `registry.key`, when it is to speak TLS.
    pub tls: Option<&'a Path>,
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    config: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
}

impl Registry {
    /// Starts a registry that keeps its store in `folder`.
    ///
    /// # Panics
    /// When there is no docker-registry, or it does not listen in time.
    #[must_use]
    pub fn start(folder: &Path, kind: Kind<'_>) -> Self {
        let address = free_address();
        std::fs::create_dir_all(folder).expect("a folder");
        let config = folder.join("config.yml");
        std::fs::write(&config, text(folder, address, kind)).expect("the configuration can be written");
        let mut registry = Self { config, address, child: None };
        registry.restart();
        registry
    }

    /// Its name in references.
    #[must_use]
    pub fn name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills the registry; its store stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the registry can be killed");
            child.wait().expect("the registry ends");
        }
    }

    /// Starts the registry again after [`Registry::stop`].
    ///
    /// # Panics
    /// When it does not listen in time.
    pub fn restart(&mut self) {
        let program = program();
        let child = Command::new(&program)
            .arg("serve")
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} starts: {error}", program.display()));
        self.child = Some(child);
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not listen on {}", self.address);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

fn text(folder: &Path, address: SocketAddr, kind: Kind<'_>) -> String {
    let mut text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: {address}\n",
        folder.join("store").display()
    );
    if let Some(tls) = kind.tls {
        let (certificate, key) = (tls.join("registry.pem"), tls.join("registry.key"));
        text += &format!("  tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display());
    }
    if kind.login {
        let logins = folder.join("htpasswd");
        std::fs::write(&logins, LOGIN).expect("the logins can be written");
        text += &format!("auth:\n  htpasswd: {{realm: tests, path: {}}}\n", logins.display());
    }
    text
}

/// The program that `LATH_DOCKER_REGISTRY` names, else the fetched one, else the installed one.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("LATH_DOCKER_REGISTRY").filter(|named| !named.is_empty()) {
        return named.into();
    }
    let crate_folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let fetched = crate_folder.ancestors().map(|folder| folder.join("target/tools/docker-registry"));
    fetched.into_iter().find(|path| path.is_file()).unwrap_or_else(|| "docker-registry".into())
}
