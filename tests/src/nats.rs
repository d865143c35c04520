//! A nats-server of a test's own: started, killed, stopped and started again on the same port with the same store.
//! What is in it is not known here. It listens on the loopback interface only.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::{binary, eventually, ports};

/// Longest start of a nats-server on a busy machine, recovery of a small store included.
const START: Duration = Duration::from_secs(20);

/// A nats-server with JetStream.
#[derive(Debug)]
pub struct Nats {
    folder: PathBuf,
    address: SocketAddr,
    /// Where it tells about itself.
    monitor: SocketAddr,
    process: Option<Process>,
    /// Its configuration beside what is told on its command line.
    config: Option<PathBuf>,
}

impl Nats {
    /// Starts a server that keeps its store in `folder`.
    ///
    /// # Panics
    /// When there is no nats-server, or it does not answer in time.
    pub async fn start(folder: &Path) -> Self {
        Self::start_with(folder, None).await
    }

    /// The same, with a configuration.
    ///
    /// # Panics
    /// As [`Nats::start`].
    pub async fn start_with(folder: &Path, config: Option<&str>) -> Self {
        std::fs::create_dir_all(folder).expect("cannot create the folder of the store");
        let config = config.map(|text| {
            let path = folder.join("nats.conf");
            std::fs::write(&path, text).expect("cannot write the configuration");
            path
        });
        let (address, monitor) = (ports::free_address(), ports::free_address());
        let mut nats = Self { folder: folder.to_owned(), address, monitor, process: None, config };
        nats.restart().await;
        nats
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Kills the server; the store stays as it is.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks the server to stop and waits until it has.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(START).await;
        }
    }

    /// Starts the server again after [`Nats::kill`] or [`Nats::stop`].
    pub async fn restart(&mut self) {
        let mut command = Command::new(binary::nats_server());
        command.args(["--jetstream", "--store_dir"]).arg(self.folder.join("store"));
        command.args(["--addr", "127.0.0.1", "--port", &self.address.port().to_string()]);
        command.args(["--http_port", &self.monitor.port().to_string()]);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        let mut process = Process::start("nats-server", command, &self.folder.join("nats.log"));
        eventually(START, "nats-server to answer", async || match process.ended() {
            Some(_) => panic!("nats-server did not start\n{}", process.last_words()),
            None => greeting(self.address),
        })
        .await;
        self.process = Some(process);
    }

    /// The subject of every subscription that clients of this server have, as often as it is there. Inboxes are left
    /// out: who waits for an answer is not known here.
    ///
    /// # Errors
    /// When the server does not answer, or with something else.
    pub fn subscriptions(&self) -> Result<Vec<String>, String> {
        let document = monitored(self.monitor, "/subsz?subs=1&limit=100000")?;
        let listed = document["subscriptions_list"].as_array().ok_or_else(|| format!("{document:#}"))?;
        let subjects = listed.iter().filter_map(|one| one["subject"].as_str());
        let of_clients = |subject: &&str| !subject.starts_with(['$', '_']);
        let mut subjects: Vec<String> = subjects.filter(of_clients).map(str::to_owned).collect();
        subjects.sort();
        Ok(subjects)
    }

    /// Bytes that it has got from clients and sent to them since its start.
    ///
    /// # Errors
    /// When the server does not answer, or with something else.
    pub fn traffic(&self) -> Result<(u64, u64), String> {
        let document = monitored(self.monitor, "/varz")?;
        let bytes =
            |field: &str| document[field].as_u64().ok_or_else(|| format!("no {field} in {document:#}"));
        Ok((bytes("in_bytes")?, bytes("out_bytes")?))
    }

    /// The server's process, when it runs.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }
}

/// What the server answers on its monitoring port.
fn monitored(address: SocketAddr, path: &str) -> Result<serde_json::Value, String> {
    let failed = |error: std::io::Error| format!("{address}{path}: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(failed)?;
    // Of a client of HTTP/1.0 the connection ends with the answer, which comes in one piece.
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no answer in `{answer}`"))?;
    serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))
}

/// A server sends `INFO` to whoever connects, once JetStream has its store.
fn greeting(address: SocketAddr) -> Result<(), String> {
    let mut said = [0; 4];
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).map_err(|error| error.to_string())?;
    stream.read_exact(&mut said).map_err(|error| error.to_string())?;
    if &said == b"INFO" { Ok(()) } else { Err(format!("it said {said:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_killed_server_returns_with_its_store_on_the_same_port() {
        let folder = tempfile::tempdir().unwrap();
        let mut nats = Nats::start(folder.path()).await;
        let url = nats.url();
        let bucket = |client| async {
            let config = async_nats::jetstream::kv::Config { bucket: "b".to_owned(), ..Default::default() };
            async_nats::jetstream::new(client).create_key_value(config).await.unwrap()
        };
        let client = async_nats::connect(&url).await.unwrap();
        bucket(client).await.put("key", "value".into()).await.unwrap();
        nats.kill();
        assert!(async_nats::connect(&url).await.is_err());
        nats.restart().await;
        let client = async_nats::connect(&url).await.unwrap();
        assert_eq!(bucket(client).await.get("key").await.unwrap().as_deref(), Some(&b"value"[..]));
        nats.stop().await;
    }
}
