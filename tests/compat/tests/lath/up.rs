//! A lattice of `lath up` of a test's own: on free ports, in a folder of its own, gone with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) struct Up {
    folder: tempfile::TempDir,
    /// Host and port of its NATS server.
    pub(crate) nats: String,
    /// Where its hosts take HTTP requests of routes without an address.
    pub(crate) http: String,
}

impl Up {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [nats, http, manager] = free_ports();
        let http = format!("127.0.0.1:{http}");
        let up = Self { nats: format!("127.0.0.1:{nats}"), http, folder };
        let ports = [nats.to_string(), format!("127.0.0.1:{manager}")];
        let [nats, manager] = &ports;
        let started = up.run(&[
            "up",
            "--detach",
            "-o",
            "json",
            "--nats-port",
            nats,
            "--http",
            &up.http,
            "--manager-http",
            manager,
        ]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let _: Value = serde_json::from_slice(&started.stdout).unwrap();
        up
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LATH_")) {
            if name != "LATH_NATS_SERVER" {
                command.env_remove(name);
            }
        }
        let data = self.folder.path().join("data");
        command.args(arguments).arg("--data").arg(data).env("HOME", self.folder.path()).output().unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let down = self.run(&["down"]);
        if !down.status.success() || std::thread::panicking() {
            eprintln!("lath down: {}", String::from_utf8_lossy(&down.stderr));
            for log in ["host-1", "manager"] {
                let log = self.folder.path().join(format!("data/log/{log}.log"));
                eprintln!("--- {}\n{}", log.display(), std::fs::read_to_string(&log).unwrap_or_default());
            }
        }
    }
}

/// The component of that name, such as `http-hello-v1`.
pub(crate) fn guest(name: &str) -> PathBuf {
    let file = workspace().join(format!("target/components/{name}.wasm"));
    assert!(file.is_file(), "{} is missing; run `cargo xtask components`", file.display());
    file
}

/// The `lath` that is named, else the one that was built last in the main workspace.
fn binary() -> PathBuf {
    let named = std::env::var_os("LATH_BIN").filter(|named| !named.is_empty()).map(PathBuf::from);
    let binary = named.unwrap_or_else(|| workspace().join("target/debug/lath"));
    assert!(binary.is_file(), "{} is missing; build it in the main workspace", binary.display());
    binary
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Ports of this test alone, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| crate::ports::free_address().port())
}
