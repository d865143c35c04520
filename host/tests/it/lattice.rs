//! Hosts of a test, in this process, and what a manager and a user do with them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use lath_control_api::{
    ApplyReply, ApplyRequest, Bucket, Digest, ErrorCode, HostId, HostInventory, Phase, Reason, Subjects,
    UnitInventory,
};
use lath_control_api_client::{ComponentStore, ConnectOptions, ControlClient, RequestError, connect};
use lath_host::{HostArgs, run_until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::nats::Nats;
use crate::spec::{guest, id};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    host: HostArgs,
}

/// Runs a host with these arguments until it ends by itself.
pub(crate) async fn start_with(line: &[&str]) -> anyhow::Result<()> {
    let args = Line::try_parse_from(line)?.host;
    run_until(args, CancellationToken::new(), CancellationToken::new()).await
}

pub(crate) struct Lattice {
    pub(crate) nats: Nats,
    pub(crate) control: ControlClient,
}

impl Lattice {
    pub(crate) async fn start() -> Self {
        let nats = Nats::start();
        let connection = connect(ConnectOptions::new(&nats.url, "test").in_background()).await.unwrap();
        connection.ready().await.unwrap();
        Self { nats, control: ControlClient::new(connection, "default".parse().unwrap()) }
    }

    /// Puts guests where hosts get them from.
    pub(crate) async fn push(&self, guests: &[&str]) {
        for name in guests {
            let bytes = guest(name);
            self.store().await.put(&Digest::of(&bytes), bytes).await.unwrap();
        }
    }

    async fn store(&self) -> ComponentStore {
        let bucket = self.subjects().bucket(Bucket::Components);
        ComponentStore::open(self.control.connection(), &bucket).await.unwrap()
    }

    /// Puts bytes under the name of others.
    pub(crate) async fn push_wrong(&self, digest: &Digest, mut bytes: &[u8]) {
        drop(self.store().await);
        let context = async_nats::jetstream::new(self.nats.connect().await);
        let store = context.get_object_store(self.subjects().bucket(Bucket::Components)).await.unwrap();
        store.put(digest.hex(), &mut bytes).await.unwrap();
    }

    pub(crate) fn subjects(&self) -> Subjects {
        Subjects::new("default".parse().unwrap())
    }

    pub(crate) async fn host(&self) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let mut host = Host::begin(&self.nats.url, &path, Some(folder));
        host.wait_ready().await;
        host
    }

    pub(crate) async fn apply(&self, host: &Host, request: &ApplyRequest) -> ApplyReply {
        self.control.apply(&host.id(), request, PATIENCE).await.unwrap()
    }

    pub(crate) async fn refused(&self, host: &Host, request: &ApplyRequest) -> ErrorCode {
        match self.control.apply(&host.id(), request, PATIENCE).await {
            Err(RequestError::Refused(error)) => error.code,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) async fn inventory(&self, host: &Host) -> HostInventory {
        self.control.inventory(&host.id(), PATIENCE).await.unwrap()
    }

    pub(crate) async fn units(&self, host: &Host, name: &str) -> Vec<UnitInventory> {
        let components = self.inventory(host).await.apps.into_iter().flat_map(|app| app.components);
        components
            .filter(|component| component.id == id(name))
            .flat_map(|component| component.units)
            .collect()
    }

    /// Waits until every unit of a component runs, or fails the test with what does not.
    pub(crate) async fn running(&self, host: &Host, name: &str, count: usize) {
        reached(&format!("{count} running units of {name}"), async || {
            let units = self.units(host, name).await;
            let failed = units.iter().find(|unit| unit.phase.is_failed());
            assert!(failed.is_none(), "{failed:?}");
            let running = units.iter().filter(|unit| unit.phase == Phase::Running).count();
            if running == count && units.len() == count { Ok(()) } else { Err(format!("{units:#?}")) }
        })
        .await;
    }

    pub(crate) async fn failed(&self, host: &Host, name: &str) -> (Reason, String) {
        eventually(&format!("a failed unit of {name}"), async || {
            let units = self.units(host, name).await;
            let failed = units.into_iter().find(|unit| unit.phase == Phase::Failed)?;
            Some((failed.reason, failed.message))
        })
        .await
    }
}

pub(crate) struct Host {
    folder: PathBuf,
    ready: PathBuf,
    id: Option<HostId>,
    stop: CancellationToken,
    stop_at_once: CancellationToken,
    task: Option<JoinHandle<anyhow::Result<()>>>,
    owned: Option<tempfile::TempDir>,
}

impl Host {
    /// Starts a host and does not wait for anything.
    pub(crate) fn begin(url: &str, folder: &Path, owned: Option<tempfile::TempDir>) -> Self {
        Self::begin_with(url, folder, owned, &[])
    }

    /// The same, with more arguments.
    pub(crate) fn begin_with(
        url: &str,
        folder: &Path,
        owned: Option<tempfile::TempDir>,
        more: &[&str],
    ) -> Self {
        let (ready, data) = (folder.join("ready.json"), folder.join("data"));
        let _ = std::fs::remove_file(&ready);
        let line = [
            "host",
            "--nats-url",
            url,
            "--data-dir",
            data.to_str().unwrap(),
            "--ready-file",
            ready.to_str().unwrap(),
            "--label",
            "zone=test",
            "--drain-deadline",
            "10s",
        ];
        let args = Line::try_parse_from(line.iter().chain(more)).unwrap().host;
        let (stop, stop_at_once) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(run_until(args, stop.clone(), stop_at_once.clone()));
        Self { folder: folder.to_owned(), ready, id: None, stop, stop_at_once, task: Some(task), owned }
    }

    pub(crate) async fn wait_ready(&mut self) {
        let ready = self.ready.clone();
        let json = eventually("a ready host", async || {
            assert!(!self.task.as_ref().unwrap().is_finished(), "the host ended");
            std::fs::read(&ready).ok()
        })
        .await;
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["pid"], std::process::id());
        self.id = Some(json["host"].as_str().unwrap().parse().unwrap());
    }

    pub(crate) fn id(&self) -> HostId {
        self.id.clone().unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends it in order; gives its folder back.
    pub(crate) async fn stop(mut self) -> Option<tempfile::TempDir> {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task.take().unwrap()).await;
        ended.expect("the host did not stop in time").unwrap().unwrap();
        self.owned.take()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_at_once.cancel();
    }
}

/// Looks until there is an answer; the test fails when there is none in time.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    reached(what, async || look().await.ok_or_else(|| "nothing".to_owned())).await
}

/// As [`eventually`]; the failure tells what was found last instead.
async fn reached<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(instead) => {
                let late = tokio::time::Instant::now() >= deadline;
                assert!(!late, "no {what} within {PATIENCE:?}; at last: {instead}");
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) type Http = HttpClient<hyper_util::client::legacy::connect::HttpConnector, Empty<bytes::Bytes>>;

pub(crate) fn http() -> Http {
    HttpClient::builder(TokioExecutor::new()).build_http()
}

/// Status and body of a GET.
pub(crate) async fn get(http: &Http, address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let uri = format!("http://{address}{path}").parse()?;
    let response = tokio::time::timeout(PATIENCE, http.get(uri)).await??;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Waits until a GET is answered with status 200; gives the body.
pub(crate) async fn answered(address: SocketAddr, path: &str) -> String {
    let http = http();
    eventually("answer", async || match get(&http, address, path).await {
        Ok((200, body)) => Some(body),
        Ok(_) | Err(_) => None,
    })
    .await
}
