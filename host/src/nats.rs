//! The connection to NATS: kept up in the background, for as long as the host runs, wherever it starts.
//!
//! Nothing waits for it to stand. Who needs it looks at [`Link`], or gets an error and tries again later.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use lath_control_api::HostId;
use tokio::sync::watch;

use crate::config::HostConfig;
use crate::random;

/// How often a quiet connection is tested: two missed answers and it is made anew.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Longest wait between two tries to connect: the host is back soon after its server.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Messages that may wait for the connection. Who sends more has to wait.
const WAITING: usize = 4_096;
/// Messages that one subscription may hold back before some are dropped, which is counted and logged.
const SUBSCRIPTION: usize = 65_536;

/// How the connection stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// It stands.
    pub(crate) up: bool,
    /// How often it has been made.
    pub(crate) times: u64,
}

/// Begins to connect and returns at once.
///
/// # Errors
/// When the servers' addresses or the credentials cannot be read.
pub(crate) async fn connect(config: &HostConfig, id: &HostId) -> Result<(Client, watch::Receiver<Link>)> {
    let (sender, link) = watch::channel(Link::default());
    let options = match &config.creds {
        Some(file) => ConnectOptions::with_credentials_file(file)
            .await
            .with_context(|| format!("cannot read the NATS credentials {}", file.display()))?,
        None => ConnectOptions::new(),
    };
    let options = options
        .name(format!("lath host {id}"))
        .retry_on_initial_connect()
        .ping_interval(PING_EVERY)
        .client_capacity(WAITING)
        .subscription_capacity(SUBSCRIPTION)
        .reconnect_delay_callback(wait)
        .event_callback(move |event| {
            note(&sender, &event);
            std::future::ready(())
        });
    let servers = servers(&config.nats_url)?;
    let client = options.connect(servers).await.context("cannot prepare the connection to NATS")?;
    Ok((client, link))
}

fn servers(urls: &str) -> Result<Vec<ServerAddr>> {
    let one = |url: &str| {
        url.trim().parse().with_context(|| format!("`{}` is no address of a NATS server", url.trim()))
    };
    urls.split(',').map(one).collect()
}

fn wait(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempts.min(8)).unwrap_or(8);
    let wait = Duration::from_millis(25 << doublings).min(MAX_WAIT);
    // Hosts that lost the same server do not all come back in the same moment.
    wait.mul_f64(0.5 + f64::from(random::dice()) / 200.0)
}

fn note(link: &watch::Sender<Link>, event: &Event) {
    match event {
        Event::Connected => {
            link.send_modify(|link| *link = Link { up: true, times: link.times + 1 });
            tracing::info!("connected to NATS");
        }
        Event::Disconnected | Event::Closed => {
            let was_up = link.send_if_modified(|link| std::mem::replace(&mut link.up, false));
            if was_up {
                tracing::warn!("the connection to NATS is lost; local calls go on");
            }
        }
        Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "messages were dropped: they came faster than they were taken");
        }
        Event::ServerError(error) => tracing::warn!(%error, "the NATS server reports a problem"),
        Event::ClientError(error) => tracing::debug!(%error, "cannot connect to NATS yet"),
        Event::LameDuckMode | Event::Draining => tracing::info!(%event, "the NATS server is going"),
    }
}
