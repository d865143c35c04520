//! The demo's lattice: which addresses and files it uses, and the `lath` that runs it. Kept apart from the story, so
//! that each can be read alone. It is started and stopped by `lath up` and `lath down`, as a user would.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::nats;
use crate::workspace::{Workspace, hex, output, run};

/// The address that the examples name.
const EXAMPLE_ADDRESS: &str = "127.0.0.1:8000";

/// The demo's lattice: its addresses, its data, and the `lath` that runs it.
pub(super) struct Lattice {
    lath: PathBuf,
    nats_server: PathBuf,
    examples: PathBuf,
    components: PathBuf,
    data: PathBuf,
    nats: SocketAddr,
    /// Where the app answers.
    pub(super) http: SocketAddr,
    manager: SocketAddr,
}

impl Lattice {
    /// With the default addresses where they are free, and others where not. What an earlier demo kept is stopped.
    pub(super) fn new(workspace: &Workspace, nats_server: PathBuf) -> Result<Self> {
        let data = workspace.root().join("target/demo");
        let xtask = std::env::current_exe().context("cannot find out where xtask is")?;
        let lath = xtask.with_file_name("lath");
        if data.is_dir() {
            down(&lath, &data)?;
            fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        }
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        Ok(Self {
            lath,
            nats_server,
            examples: workspace.root().join("manifests/examples"),
            components: workspace.components(),
            data,
            nats: free_address(4222)?,
            http: free_address(8000)?,
            manager: free_address(8480)?,
        })
    }

    /// `lath` with these arguments, for this lattice.
    pub(super) fn lath<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut lath = Command::new(&self.lath);
        lath.args(arguments).args(["--server", &format!("nats://{}", self.nats)]);
        lath
    }

    /// Starts nats-server, two hosts and a manager in the background.
    pub(super) fn start(&self) -> Result<()> {
        let mut up = Command::new(&self.lath);
        up.args(["up", "--detach", "--hosts", "2", "--data"]).arg(&self.data);
        up.args(["--nats-port", &self.nats.port().to_string(), "--http", &self.http.to_string()]);
        up.args(["--manager-http", &self.manager.to_string()]);
        run(up.env(nats::VARIABLE, &self.nats_server))
    }

    /// Stops all of it.
    pub(super) fn stop(&self) -> Result<()> {
        down(&self.lath, &self.data)
    }

    /// An example, with our address and with images that are found from any folder, where it must differ.
    pub(super) fn manifest(&self, example: &str) -> Result<PathBuf> {
        let path = self.examples.join(example);
        if self.http.to_string() == EXAMPLE_ADDRESS {
            return Ok(path);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let images = format!("file://{}/", self.examples.display());
        let text = text.replace("file://", &images).replace(EXAMPLE_ADDRESS, &self.http.to_string());
        let copy = self.data.join(example);
        fs::write(&copy, text).with_context(|| format!("cannot write {}", copy.display()))?;
        Ok(copy)
    }

    /// Every part runs once on each host, serves, and belongs to the first revision's code.
    pub(super) fn check_inventory(&self) -> Result<()> {
        let text = output(&mut self.lath(["inventory", "--output", "json"]))?;
        let inventory: Value = serde_json::from_str(&text).context("the inventory is not JSON")?;
        let units = inventory.get("units").and_then(Value::as_array).context("the inventory has no units")?;
        let mut found = BTreeMap::<_, usize>::new();
        for unit in units {
            let text = |field| unit.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            *found.entry((text("component"), text("phase"), text("digest"))).or_default() += 1;
        }
        let digest = |name: &str| -> Result<String> {
            let file = self.components.join(format!("{name}.wasm"));
            let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Ok(format!("sha256:{}", hex(&Sha256::digest(content))))
        };
        let running = |component: &str, digest| ((component.to_owned(), "running".to_owned(), digest), 2);
        let wanted = BTreeMap::from([
            running("front", digest("http-front-v1")?),
            running("greeter", digest("greeter-v1")?),
            running("http", String::new()),
        ]);
        ensure!(found == wanted, "the inventory should have {wanted:#?}\nand has {found:#?}");
        println!("    every part runs on both hosts; the digests are those of target/components");
        Ok(())
    }

    /// For those who keep it.
    pub(super) fn say_what_next(&self, path: &str) {
        let lath = self.lath.display();
        let server = format!("--server nats://{}", self.nats);
        println!("\nThe lattice keeps running. Try:");
        println!("    curl 'http://{}{path}'", self.http);
        for command in ["status greet", "history greet", "inventory --by component", "doctor"] {
            println!("    {lath} {command} {server}");
        }
        println!("    {lath} down --data {}", self.data.display());
    }
}

fn down(lath: &Path, data: &Path) -> Result<()> {
    run(Command::new(lath).args(["down", "--data"]).arg(data))
}

/// The port of that number where it is free, else any free one.
fn free_address(port: u16) -> Result<SocketAddr> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let bound = bound.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    bound.and_then(|listener| listener.local_addr()).context("there is no free port")
}
