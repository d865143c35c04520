//! The manager: keeps the apps of a lattice as their owners asked for.
//!
//! In the order of the data: `api` takes what users ask for, `records` and `revisions` keep it in the store, `observe`
//! hears hosts, `lease` says whether this manager acts, `reconcile` plans and commits, `execute` tells hosts. What is
//! decided is decided in `lath-manager-planner`, which knows nothing of all this.
#![forbid(unsafe_code)]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use lath_control_api::{Bucket, Subjects};
use lath_control_api_client::{
    BucketOptions, ComponentStore, Connection, ControlClient, TypedBucket, connect,
};
use lath_manager_planner::PlanLimits;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod api;
mod clock;
mod config;
mod context;
mod control_v1;
mod execute;
mod failpoint;
mod files;
mod http;
mod lease;
mod observe;
mod reconcile;
mod records;
mod requests;
mod revisions;
mod troubles;
mod wadm;
mod wake;
mod webhook;

pub use config::ManagerArgs;
pub use failpoint::Failpoint;

use api::Api;
use clock::Clock;
use config::ManagerConfig;
use context::Context;
use control_v1::{ControlV1, Kept};
use http::{Http, Shown};
use lease::{Lease, Standing};
use observe::Observer;
use reconcile::Reconciler;
use records::{Follower, Records};
use wadm::Wadm;
use wake::Wake;

/// Time for the parts to end in order.
const ORDERLY: Duration = Duration::from_secs(10);
/// Pause between tries to open the store.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Time for one request about the lease: short, because its holder must know in time that it has lost it.
const LEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for the server to confirm what was subscribed to.
const CONFIRM: Duration = Duration::from_secs(5);

/// Changes of apps that wait for a slow reader within the manager; it learns that there were more.
const TOLD: usize = 256;

/// Runs a manager until SIGINT or SIGTERM. A manager without NATS waits for it, for as long as it takes.
///
/// # Errors
/// When a setting is wrong, the address or the data folder is taken, or the NATS server is too old.
pub async fn run(args: ManagerArgs) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let signals = tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        tracing::info!("stopping");
        stop.cancel();
    });
    let ended = Box::pin(run_until(args, shutdown)).await;
    signals.abort();
    ended
}

/// Runs a manager until `shutdown`, as [`run`] does until a signal.
///
/// # Errors
/// As for [`run`].
pub async fn run_until(args: ManagerArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = ManagerConfig::new(args)?;
    let connection = connect(config.nats.clone()).await?;
    let shown = Arc::new(Shown { connection: connection.clone(), context: OnceLock::new() });
    let http = Http::bind(config.http, Arc::clone(&shown)).await?;
    let address = http.address()?;
    // The HTTP interface answers first and longest: it says how the rest stands.
    let (tasks, end_of_http) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(http.run(end_of_http.clone()));
    tracing::info!(lattice = %config.lattice, manager = %config.identity.name, http = %address, "manager started");

    let (ready_file, wadm) = (config.ready_file.clone(), config.wadm);
    let building = Box::pin(Parts::build(&connection, config));
    let Some(parts) = shutdown.run_until_cancelled(building).await else {
        return finish(&tasks, &end_of_http).await;
    };
    let Parts { context, follower, observer, lease } = parts?;
    // A term is given back only after everything that acts in it has ended.
    let (acting, listening) = (TaskTracker::new(), CancellationToken::new());
    let (end_of_acting, end_of_term) = (CancellationToken::new(), CancellationToken::new());
    tasks.spawn(follower.run(listening.clone()));
    tasks.spawn(observer.run(listening.clone()));
    let term = tokio::spawn(lease.run(end_of_term.clone()));
    acting.spawn(Reconciler::new(Arc::clone(&context)).run(end_of_acting.clone()));

    let ready = async {
        context.records.loaded().await;
        context.observed.asked_around().await;
        let api = Api::listen(Arc::clone(&context)).await?;
        let wadm = if wadm { Some(Wadm::listen(Arc::clone(&context)).await?) } else { None };
        let v1 = Box::pin(ControlV1::listen(Arc::clone(&context))).await?;
        // Nobody is told that this manager is there before the server sends it what is asked.
        if context.client.connection().round_trip(CONFIRM).await.is_none() {
            tracing::warn!("the NATS server has not confirmed subscriptions; first requests may find nobody");
        }
        // Only this place fills it.
        let _ = shown.context.set(Arc::clone(&context));
        if let Some(path) = &ready_file {
            let text = json!({
                "http": address, "manager": context.identity.run, "name": context.identity.name,
                "lattice": context.client.subjects().lattice(), "pid": std::process::id(),
            });
            config::write_whole(path, text.to_string().as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        tracing::info!("ready");
        anyhow::Ok((api, v1, wadm))
    };
    match shutdown.run_until_cancelled(ready).await {
        Some(Ok((api, v1, wadm))) => {
            acting.spawn(api.run(shutdown.clone()));
            acting.spawn(v1.run(shutdown.clone()));
            wadm.map(|wadm| acting.spawn(wadm.run(shutdown.clone())));
            shutdown.cancelled().await;
        }
        Some(Err(error)) => {
            tracing::error!(%error, "the manager cannot go on");
            shutdown.cancel();
            end_in_order(&end_of_acting, &acting, &end_of_term, term).await;
            return Err(error);
        }
        None => {}
    }
    end_in_order(&end_of_acting, &acting, &end_of_term, term).await;
    listening.cancel();
    finish(&tasks, &end_of_http).await
}

async fn end_in_order(
    end_of_acting: &CancellationToken,
    acting: &TaskTracker,
    end_of_term: &CancellationToken,
    term: tokio::task::JoinHandle<()>,
) {
    end_of_acting.cancel();
    acting.close();
    if tokio::time::timeout(ORDERLY, acting.wait()).await.is_err() {
        tracing::warn!("not everything could be finished in time");
    }
    end_of_term.cancel();
    let _ = tokio::time::timeout(ORDERLY, term).await;
}

async fn finish(tasks: &TaskTracker, end_of_http: &CancellationToken) -> anyhow::Result<()> {
    end_of_http.cancel();
    tasks.close();
    // An HTTP client that keeps its connection open is not waited for any longer.
    let _ = tokio::time::timeout(Duration::from_secs(2), tasks.wait()).await;
    Ok(())
}

/// Everything that needs the store.
struct Parts {
    context: Arc<Context>,
    follower: Follower,
    observer: Observer,
    lease: Lease,
}

impl Parts {
    /// Waits for NATS and its store, for as long as it takes.
    async fn build(connection: &Connection, config: ManagerConfig) -> anyhow::Result<Self> {
        let ManagerConfig { lattice, identity, registries, allow_file_load, topics, .. } = config;
        let subjects = Subjects::new(lattice.clone());
        connection.ready().await?;
        let wake = Wake::default();
        let ((records, follower), components, kept, lease_bucket) = loop {
            match open_store(connection, &subjects, &wake).await {
                Ok(opened) => break opened,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the store cannot be used yet; trying on")
                }
            }
            tokio::time::sleep(STORE_PAUSE).await;
        };
        let clock = Clock::start();
        let client = ControlClient::new(connection.clone(), lattice);
        let (observer, observed, obeyed) = Observer::new(client.clone(), clock, wake.clone());
        let (standing_sender, standing) = watch::channel(Standing::default());
        let identity = Arc::new(identity);
        let lease = Lease::new(lease_bucket, &identity, standing_sender, obeyed);
        let context = Arc::new(Context {
            identity,
            client,
            topics,
            clock,
            limits: PlanLimits::default(),
            records,
            components,
            kept,
            registries,
            observed,
            standing,
            troubles: troubles::Troubles::default(),
            wake,
            allow_file_load,
            told: broadcast::Sender::new(TOLD),
        });
        Ok(Self { context, follower, observer, lease })
    }
}

async fn open_store(
    connection: &Connection,
    subjects: &Subjects,
    wake: &Wake,
) -> anyhow::Result<((Records, Follower), ComponentStore, Kept, TypedBucket<lease::LeaseRecord>)> {
    let records = Records::open(connection, subjects, wake.clone()).await?;
    let components = ComponentStore::open(connection, &subjects.bucket(Bucket::Components)).await?;
    let options = BucketOptions { timeout: LEASE_TIMEOUT, history: 1, ..BucketOptions::default() };
    let lease = TypedBucket::open(connection, &subjects.bucket(Bucket::Lease), options).await?;
    let kept = Kept::open(connection, subjects).await?;
    Ok((records, components, kept, lease))
}
