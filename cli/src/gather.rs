//! Answers of many hosts: ends when the known set has answered, and says who has not.
//!
//! The known set is the manager's. Without a manager hosts are found by a call to all, and then nobody can say
//! who is missing; that difference is kept and shown.

use std::time::Duration;

use futures::StreamExt;
use lath_control_api::app::{HostList, KnownHost, ListRequest};
use lath_control_api::{AppVerb, ErrorCode, HostId, HostInventory, PingReply};
use serde::Serialize;

use crate::connect::Session;
use crate::failure::Failure;

/// How long hosts are listened for when nobody knows how many there are.
const PING_WINDOW: Duration = Duration::from_millis(700);
/// Hosts that are asked at once.
const CONCURRENCY: usize = 64;
/// A host that the manager counts as lost gets less time: it most likely will not answer.
const LOST_PATIENCE: Duration = Duration::from_millis(500);

/// Who named the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KnownBy {
    /// The manager: the set is complete.
    Manager,
    /// Hosts that answered a call to all: others may be missing.
    Ping,
}

/// A host that should have answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Silent {
    /// Its id.
    pub(crate) host: HostId,
    /// Its name for people.
    pub(crate) name: String,
    /// Why there is no answer.
    pub(crate) cause: String,
}

/// A host to ask.
#[derive(Debug, Clone)]
struct Known {
    host: HostId,
    name: String,
    lost: bool,
}

/// What hosts have answered.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// Who named the hosts.
    pub(crate) known_by: KnownBy,
    /// Answers, in order of the hosts' names and ids.
    pub(crate) hosts: Vec<HostInventory>,
    /// Hosts without an answer, in the same order.
    pub(crate) silent: Vec<Silent>,
}

impl Gathered {
    /// What people must know about how complete the answers are.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let missing = self.silent.iter().map(|one| format!("{} did not answer: {}", one.name, one.cause));
        let unsure = (self.known_by == KnownBy::Ping)
            .then(|| "no manager answers, so hosts that are down are not known".to_owned());
        unsure.into_iter().chain(missing).collect()
    }
}

/// Hosts as the manager knows them; `None` when nobody manages the lattice.
pub(crate) async fn known_hosts(session: &Session) -> Result<Option<Vec<KnownHost>>, Failure> {
    match session.ask::<_, HostList>(AppVerb::Hosts, &ListRequest {}).await {
        Ok(list) => Ok(Some(list.hosts)),
        Err(failure) if failure.code.as_deref() == Some(ErrorCode::NoManager.as_str()) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Inventories of all hosts.
pub(crate) async fn gather(session: &Session) -> Result<Gathered, Failure> {
    let (known_by, known) = match known_hosts(session).await? {
        Some(hosts) => (KnownBy::Manager, hosts.into_iter().map(of_manager).collect()),
        None => (KnownBy::Ping, found(session).await?),
    };
    let answers = known.into_iter().map(|known| async move {
        let patience = if known.lost { LOST_PATIENCE.min(session.patience) } else { session.patience };
        match session.control.inventory(&known.host, patience).await {
            Ok(inventory) => Ok(inventory),
            Err(error) => Err(Silent { host: known.host, name: known.name, cause: error.to_string() }),
        }
    });
    // Made before they are polled: a lazy map inside the stream would not be general enough over lifetimes.
    let answers: Vec<_> = answers.collect();
    let answers: Vec<Result<HostInventory, Silent>> =
        futures::stream::iter(answers).buffer_unordered(CONCURRENCY).collect().await;
    let mut gathered = Gathered { known_by, hosts: Vec::new(), silent: Vec::new() };
    for answer in answers {
        match answer {
            Ok(inventory) => gathered.hosts.push(inventory),
            Err(silent) => gathered.silent.push(silent),
        }
    }
    gathered
        .hosts
        .sort_by(|a, b| (&a.summary.name, &a.summary.host).cmp(&(&b.summary.name, &b.summary.host)));
    gathered.silent.sort_by(|a, b| (&a.name, &a.host).cmp(&(&b.name, &b.host)));
    Ok(gathered)
}

fn of_manager(known: KnownHost) -> Known {
    Known { host: known.summary.host, name: known.summary.name, lost: known.lost }
}

/// Hosts that answer a call to all: the way where nobody manages the lattice.
pub(crate) async fn everyone(session: &Session) -> Result<Vec<PingReply>, Failure> {
    let window = PING_WINDOW.min(session.patience);
    session.control.ping_hosts(window).await.map_err(|error| session.failed(error))
}

async fn found(session: &Session) -> Result<Vec<Known>, Failure> {
    let replies = everyone(session).await?;
    Ok(replies.into_iter().map(|reply| Known { host: reply.host, name: reply.name, lost: false }).collect())
}
