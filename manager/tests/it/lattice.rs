//! A lattice for tests: a real nats-server, managers as processes of their own, stand-ins for hosts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lath_control_api::app::{
    AppRequest, AppState, AppStatus, Cause, ChangeReply, DeployRequest, RollbackRequest,
};
use lath_control_api::{Bucket, Digest};
use lath_control_api_client::{ComponentStore, ConnectOptions, ControlClient, RequestError, connect};

use crate::host::FakeHost;
use crate::nats::Nats;

/// Longest time for anything that must come to pass.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Lattice {
    pub(crate) nats: Nats,
    pub(crate) client: ControlClient,
    pub(crate) hosts: Vec<FakeHost>,
    pub(crate) folder: tempfile::TempDir,
}

impl Lattice {
    pub(crate) async fn with_hosts(count: u8) -> Self {
        let nats = Nats::start().await;
        let connection = connect(ConnectOptions::new(&nats.url(), "test").in_background()).await.unwrap();
        connection.ready().await.unwrap();
        let client = ControlClient::new(connection, "test".parse().unwrap());
        let mut hosts = Vec::new();
        for number in 1..=count {
            hosts.push(FakeHost::start(&nats.url(), number).await);
        }
        Self { nats, client, hosts, folder: tempfile::tempdir().unwrap() }
    }

    /// A manager with a data folder of its own, ready.
    pub(crate) async fn manager(&self, name: &str) -> Manager {
        let manager = self.launch(name, &self.nats.url(), None);
        manager.ready().await;
        manager
    }

    /// A manager that may never become ready.
    pub(crate) fn launch(&self, name: &str, url: &str, failpoint: Option<&str>) -> Manager {
        Manager::launch(self.folder.path().join(name), url, failpoint)
    }

    /// The store of code, with the bytes that [`manifest`] names.
    pub(crate) async fn push(&self) -> BTreeMap<String, Digest> {
        let name = self.client.subjects().bucket(Bucket::Components);
        let store = ComponentStore::open(self.client.connection(), &name).await.unwrap();
        let digest = Digest::of(b"code");
        store.put(&digest, "code".into()).await.unwrap();
        BTreeMap::from([("file://hello.wasm".to_owned(), digest)])
    }

    pub(crate) async fn deploy(&self, manifest: &str) -> Result<ChangeReply, RequestError> {
        let pushed = self.push().await;
        self.client.deploy(&deploy_request(manifest, pushed)).await
    }

    pub(crate) async fn rollback(&self, app: &str) -> Result<ChangeReply, RequestError> {
        let ask = RollbackRequest {
            app: app.parse().unwrap(),
            to: None,
            cause: Cause::default(),
            if_revision: None,
            dry_run: false,
            rollout: BTreeMap::new(),
        };
        self.client.rollback(&ask).await
    }

    pub(crate) async fn status(&self, app: &str) -> Result<AppStatus, RequestError> {
        self.client.status(&app_request(app)).await
    }

    /// Waits until the app has the state, with nothing on its way, in or after the generation of `reply`.
    pub(crate) async fn settled(&self, reply: &ChangeReply, state: AppState) -> AppStatus {
        eventually("an app to settle", async || {
            let status = self.status(reply.app.as_str()).await.map_err(|error| error.to_string())?;
            let settled = status.generation >= reply.generation && status.rollout.is_none();
            if settled && status.state == state { Ok(status) } else { Err(format!("{status:#?}")) }
        })
        .await
    }

    /// Deploys and waits until it serves.
    pub(crate) async fn serve(&self, manifest: &str) -> AppStatus {
        let reply = self.deploy(manifest).await.unwrap();
        self.settled(&reply, AppState::Serving).await
    }
}

pub(crate) fn deploy_request(manifest: &str, pushed: BTreeMap<String, Digest>) -> DeployRequest {
    let (manifest, cause) = (manifest.to_owned(), Cause::default());
    DeployRequest {
        manifest,
        pushed,
        cause,
        if_revision: None,
        dry_run: false,
        rollout: BTreeMap::new(),
        plan: None,
    }
}

pub(crate) fn app_request(app: &str) -> AppRequest {
    AppRequest { app: app.parse().unwrap(), cause: Cause::default(), dry_run: false }
}

/// A manifest of one component on every host, behind the HTTP server below `/{app}`.
pub(crate) fn manifest(app: &str, config: &[(&str, &str)]) -> String {
    manifest_with(app, config, "min_healthy_time: 1s")
}

/// The same with these properties of the rollout policy.
pub(crate) fn manifest_with(app: &str, config: &[(&str, &str)], policy: &str) -> String {
    let config: String =
        config.iter().map(|(key, value)| format!("              {key}: \"{value}\"\n")).collect();
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: {app}
spec:
  policies:
    - name: rollout
      type: policy.rollout.lath/v1
      properties: {{ {policy} }}
  components:
    - name: hello
      type: component
      properties:
        image: file://hello.wasm
        config:
          - name: settings
            properties:
              made-for: test
{config}      traits:
        - type: daemonscaler
          properties:
            instances: 10
    - name: http
      type: capability
      properties:
        image: builtin://http-server
      traits:
        - type: daemonscaler
          properties:
            instances: 1
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target:
              name: hello
            source:
              config:
                - name: listen
                  properties:
                    address: 127.0.0.1:8000
                    path: /{app}
"
    )
}

/// A manager's process. Dropping it kills it.
pub(crate) struct Manager {
    child: Child,
    folder: PathBuf,
}

impl Manager {
    fn launch(folder: PathBuf, url: &str, failpoint: Option<&str>) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let _ = std::fs::remove_file(folder.join("ready.json"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "manager_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env("LATH_TEST_MANAGER", format!("{url} {}", folder.display()))
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log));
        if let Some(failpoint) = failpoint {
            command.env("LATH_FAILPOINT", failpoint);
        }
        Self { child: command.spawn().unwrap(), folder }
    }

    pub(crate) async fn ready(&self) -> serde_json::Value {
        eventually("the manager to be ready", async || {
            let text = std::fs::read_to_string(self.folder.join("ready.json"))
                .map_err(|error| format!("{error}\n{}", self.log()))?;
            serde_json::from_str(&text).map_err(|error: serde_json::Error| error.to_string())
        })
        .await
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the process has ended by itself; whether it ended well.
    pub(crate) async fn ended(&mut self) -> bool {
        eventually("the manager to end", async || {
            self.child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        })
        .await
        .success()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.folder.display(), self.log());
        }
    }
}

/// Waits until `state` is `Ok`; fails with the last `Err` when that takes too long.
pub(crate) async fn eventually<A>(what: &str, mut state: impl AsyncFnMut() -> Result<A, String>) -> A {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match state().await {
            Ok(value) => return value,
            Err(now) => assert!(Instant::now() < deadline, "waited in vain for {what}: {now}"),
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
