//! The host agent: runs what it is told, reports truthfully, writes nothing that belongs to the lattice.
//!
//! A command's way: `control` reads it, `supervisor` has it decided in `lath-host-core`, written to the `journal`
//! and carried out: `prepare` makes units ready with `artifact` and `engine`, `routes` says where calls go,
//! `ingress`, `wrpc_serve` and `wrpc_call` make them, `status` tells the lattice. Tasks are built here, and
//! stopped here in the order that loses nothing.
#![deny(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lath_control_api::Subjects;
use lath_control_api_client::{ConnectOptions, Connection, connect};
use lath_host_core::{Core, Transition};
use lath_telemetry::{Service, Spans};
use lath_wrpc::{Client, Limits};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod capability;
pub mod engine;

mod admin;
mod artifact;
mod claims;
mod config;
mod control;
mod control_v1;
mod dice;
mod files;
mod identity;
mod ingress;
mod journal;
mod prepare;
mod provider;
mod random;
mod ready;
mod routes;
mod secrets;
mod settings;
mod slots;
mod status;
mod stop;
mod supervisor;
mod trace;
mod wrpc_call;
mod wrpc_serve;

pub use config::{HostArgs, HostConfig};
pub use provider::launched;

use artifact::{Artifacts, Disk, InUse, Store};
use capability::blobstore::Blobstore;
use capability::bound::{Capabilities, Capability};
use capability::keyvalue::Keyvalue;
use capability::outside::Outside;
use control::{Control, Requests};
use control_v1::{ControlV1, EventsV1, TellerV1};
use engine::{Engine, EngineConfig, Targets};
use identity::Identity;
use ingress::{Front, Ingress};
use journal::Journal;
use prepare::{Preparer, Sources};
use provider::{Callers, Programs, Providers};
use routes::Router;
use secrets::{Backends, Secrets, Signer};
use settings::Settings;
use status::{Facts, Reporter, Snapshot, now};
use stop::Stopper;
use supervisor::{Order, Supervisor, SupervisorHandle, Tools};
use wrpc_call::Links;
use wrpc_serve::{Server, ServingHandle};

/// How long the last messages may take on their way out.
const FLUSH: Duration = Duration::from_secs(2);
/// How long the last spans may take on their way out.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// How long tasks may take to end once nothing is asked of them any more.
const ENDING: Duration = Duration::from_secs(5);

/// Runs a host until SIGINT or SIGTERM; a second one ends it at once. It starts and serves what its journal says
/// also when no NATS server answers.
///
/// # Errors
/// When a setting is wrong, the data folder is taken or cannot be used, or there is no WebAssembly engine.
pub async fn run(args: HostArgs) -> Result<()> {
    let (stop, stop_at_once) = (CancellationToken::new(), CancellationToken::new());
    let signals = tokio::spawn(stop::listen(stop.clone(), stop_at_once.clone())?);
    let ended = run_until(args, stop, stop_at_once).await;
    signals.abort();
    ended
}

/// Runs a host until `stop`, then ends it in order; `stop_at_once` cuts that short.
///
/// # Errors
/// As for [`run`].
pub async fn run_until(
    args: HostArgs,
    stop: CancellationToken,
    stop_at_once: CancellationToken,
) -> Result<()> {
    let host = Host::build(HostConfig::new(args)?).await?;
    host.run(stop, stop_at_once).await
}

/// All parts of a host, built and not yet running.
struct Host {
    config: HostConfig,
    /// Keeps the data folder locked.
    identity: Identity,
    facts: Arc<Facts>,
    connection: Connection,
    subjects: Subjects,
    ingress: Ingress,
    supervisor: (Supervisor, Vec<Transition>),
    handle: SupervisorHandle,
    server: Server,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    providers: Providers,
    callers: Callers,
    spans: Spans,
}

/// Who records what is called on this host.
fn spans(config: &HostConfig, identity: &Identity) -> Result<Spans> {
    let service = Service {
        name: "lath-host",
        version: env!("CARGO_PKG_VERSION"),
        instance: identity.id.to_string(),
        lattice: config.lattice.to_string(),
    };
    Ok(Spans::new(&config.telemetry, service)?)
}

impl Host {
    async fn build(config: HostConfig) -> Result<Self> {
        let identity = Identity::load(&config.data_dir, config.name.as_deref())?;
        let name = format!("lath host {} {}", identity.name, identity.id);
        let options = ConnectOptions {
            credentials: config.creds.clone(),
            domain: config.js_domain.clone(),
            ..ConnectOptions::new(&config.nats_url, &name).in_background()
        };
        let connection = connect(options).await?;
        let subjects = Subjects::new(config.lattice.clone());
        let wrpc = Client::new(connection.nats().clone(), Limits::default())
            .await
            .context("cannot prepare invocations")?;
        let router = Arc::new(Router::default());
        let spans = spans(&config, &identity)?;
        let lattice = config.lattice.clone();
        let front =
            Front { router: Arc::clone(&router), client: wrpc.clone(), lattice, spans: spans.clone() };
        let ingress = Ingress::new(front);
        let served_in = (config.lattice.clone(), spans.clone());
        let (server, serving) =
            Server::new(Arc::clone(&router), wrpc.clone(), served_in, config.drain_deadline);
        let shown = config.data_dir.display();
        let settings = Settings::load(&config.data_dir, config.labels.clone())
            .with_context(|| format!("cannot use the data folder {shown}"))?;
        let callers = Callers::new(connection.nats().clone(), subjects.clone(), identity.id.clone());
        let (snapshot_sender, snapshots) =
            watch::channel(Arc::new(Snapshot::empty(&settings, callers.clone())));
        let (handle, orders) = SupervisorHandle::new();
        let base = Base {
            config: &config,
            identity: &identity,
            connection: &connection,
            subjects: &subjects,
            router,
            wrpc,
            ingress: &ingress,
            snapshots: &snapshots,
            callers: callers.clone(),
            spans: spans.clone(),
        };
        let (tools, core, restored) = base.tools(serving)?;
        let providers = tools.providers.clone();
        let orders: (SupervisorHandle, mpsc::Receiver<Order>) = (handle.clone(), orders);
        let supervisor = Supervisor::new(core, settings, tools, orders, snapshot_sender);
        let facts = Arc::new(Facts {
            host: identity.id.clone(),
            name: identity.name.clone(),
            boot: ulid::Ulid::generate().to_string(),
            started: now(),
            http_default: config.http_default,
            builtins: config.builtins.clone(),
        });
        let supervisor = (supervisor, restored);
        Ok(Self {
            config,
            identity,
            facts,
            connection,
            subjects,
            ingress,
            supervisor,
            handle,
            server,
            snapshots,
            providers,
            callers,
            spans,
        })
    }

    async fn run(self, stop: CancellationToken, stop_at_once: CancellationToken) -> Result<()> {
        let (facts, snapshots) = (Arc::clone(&self.facts), self.snapshots.clone());
        tracing::info!(host = %facts.host, name = facts.name, lattice = %self.config.lattice, "host started");
        let control = Control {
            facts: Arc::clone(&facts),
            connection: self.connection.clone(),
            subjects: self.subjects.clone(),
            snapshots: snapshots.clone(),
            supervisor: self.handle.clone(),
        };
        let requests: Requests = control.subscribe().await?;
        let v1 = ControlV1 {
            control: control.clone(),
            servers: self.config.nats_url.clone(),
            domain: self.config.js_domain.as_ref().map(ToString::to_string),
            topics: self.config.ctl_topic_prefix.clone(),
            registries: self.config.registries.clone(),
            stop: stop.clone(),
            stop_at_once: stop_at_once.clone(),
        };
        let requests_v1 = v1.subscribe().await?;
        let events_v1 = EventsV1::new(control.clone(), self.config.heartbeat_1x);
        let reporter =
            Reporter::new(facts, self.connection.clone(), self.subjects.clone(), snapshots.clone());
        let admin = match self.config.http_admin {
            Some(address) => {
                let (facts, connection) = (Arc::clone(&self.facts), self.connection.clone());
                let shown = admin::Shown { facts, connection, snapshots: snapshots.clone() };
                Some(admin::Admin::bind(address, shown).await?)
            }
            None => None,
        };
        let ends = stop::Ends::default();
        let (supervisor, restored) = self.supervisor;
        let tasks = TaskTracker::new();
        tasks.spawn(supervisor.run(restored, ends.supervisor.clone()));
        tasks.spawn(control.run(requests, ends.control.clone()));
        tasks.spawn(v1.run(requests_v1, ends.control.clone()));
        tasks.spawn(events_v1.run(ends.reporter.clone()));
        tasks.spawn(reporter.run(ends.reporter.clone()));
        tasks.spawn(self.callers.run(ends.supervisor.clone()));
        if let Some(admin) = admin {
            tasks.spawn(admin.run(ends.reporter.clone()));
        }
        let server = tokio::spawn(self.server.run(ends.server.clone()));
        let ready = ready::Ready {
            identity: (self.facts.host.clone(), self.facts.name.clone()),
            file: self.config.ready_file.clone(),
            connection: self.connection.clone(),
        };
        tasks.spawn(ready.run(ends.control.clone()));
        tasks.close();

        stop.cancelled().await;
        let stopper = Stopper {
            host: self.facts.host.clone(),
            handover: self.config.handover,
            drain: self.config.drain_deadline,
            connection: self.connection.clone(),
            subjects: self.subjects,
            snapshots,
            supervisor: self.handle,
            ingress: self.ingress,
            providers: self.providers,
            ends,
        };
        stopper.stop(server, tasks, stop_at_once).await;
        let spans = self.spans;
        let _sent = tokio::task::spawn_blocking(move || spans.end(LAST_SPANS)).await;
        // The last thing: whoever waits for the folder finds everything written.
        drop(self.identity);
        Ok(())
    }
}

/// What the supervisor's tools are made of.
struct Base<'a> {
    config: &'a HostConfig,
    identity: &'a Identity,
    connection: &'a Connection,
    subjects: &'a Subjects,
    router: Arc<Router>,
    wrpc: Client,
    ingress: &'a Ingress,
    snapshots: &'a watch::Receiver<Arc<Snapshot>>,
    callers: Callers,
    spans: Spans,
}

impl Base<'_> {
    fn tools(self, serving: ServingHandle) -> Result<(Tools, Core, Vec<Transition>)> {
        let data_dir = &self.config.data_dir;
        let shown = data_dir.display();
        let engine = EngineConfig {
            cache_dir: Some(data_dir.join("compiled")),
            max_component_bytes: artifact::MAX_BYTES,
            outside: Some(Outside::new(self.config.egress_ca.as_deref()).context("--egress-ca")?),
            files: self.config.files.clone(),
            spans: self.spans.clone(),
            ..EngineConfig::default()
        };
        let engine = Engine::new(engine)?;
        let in_use = InUse::new(self.snapshots.clone());
        let disk = Disk::open(data_dir, self.config.code_cache, in_use)
            .with_context(|| format!("cannot use the data folder {shown}"))?;
        let store = Store::new(self.connection.clone(), self.subjects);
        let artifacts = Artifacts::new(disk, store, self.config.registries.clone());
        let secrets = self.secrets();
        let providers = self.providers(&artifacts, &secrets)?;
        let links = Links {
            router: Arc::clone(&self.router),
            client: self.wrpc,
            lattice: self.config.lattice.clone(),
            providers: providers.clone(),
        };
        let links = Arc::new(links);
        let targets: Arc<dyn Targets> = Arc::clone(&links) as _;
        let blobstore: Arc<dyn Capability> = Arc::new(Blobstore::new(Arc::clone(&links)));
        let keyvalue = Keyvalue::new(self.connection.nats().clone()).with_providers(links);
        let keyvalue: Arc<dyn Capability> = Arc::new(keyvalue);
        let capabilities = Capabilities::new([blobstore, keyvalue]);
        let default = self.config.http_default;
        let sources =
            Sources { engine, artifacts, secrets, providers: providers.clone(), callers: self.callers };
        let preparer = Preparer::new(sources, self.ingress.clone(), targets, capabilities, default);
        let journal =
            Journal::open(data_dir).with_context(|| format!("cannot use the data folder {shown}"))?;
        let entries = journal.load().with_context(|| format!("cannot read the journal in {shown}"))?;
        if !entries.is_empty() {
            tracing::info!(apps = entries.len(), "serving what the journal says until a manager speaks");
        }
        let (core, restored) = Core::restore(Some(default), entries, now());
        let core = core.with_seed(random::number());
        let tools = Tools {
            lattice: self.config.lattice.clone(),
            journal,
            preparer,
            router: self.router,
            ingress: self.ingress.clone(),
            serving,
            providers,
        };
        Ok((tools, core, restored))
    }

    fn secrets(&self) -> Secrets {
        let signer = Signer::new(self.identity.id.clone(), &self.identity.name, self.config.lattice.clone());
        let backends = Backends::new(self.connection.nats().clone(), &self.config.secrets_topic, signer);
        Secrets::new(backends, self.config.secrets_dir.clone())
    }

    fn providers(&self, artifacts: &Artifacts, secrets: &Secrets) -> Result<Providers> {
        let data_dir = &self.config.data_dir;
        let programs = Programs::open(data_dir)
            .with_context(|| format!("cannot use the data folder {}", data_dir.display()))?;
        let access = provider::access(&self.config.nats_url, self.config.creds.as_deref())
            .context("cannot read the NATS credentials for providers")?;
        let events = TellerV1::new(self.connection.clone(), self.subjects.lattice(), &self.identity.id);
        let nats = self.connection.nats().clone();
        let around = provider::around(nats, self.subjects, self.identity.id.clone(), access, events);
        let (artifacts, secrets, subjects) = (artifacts.clone(), secrets.clone(), self.subjects.clone());
        Ok(Providers::new(around, programs, artifacts, secrets, subjects, self.wrpc.clone()))
    }
}
