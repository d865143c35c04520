//! The control interface of wasmCloud 1.x, as far as it is a host's own matter: who is here and what runs, labels,
//! auctions, logins at registries, and the host's end. What changes the lattice is answered by managers.
//!
//! Answers have the form and the words of 1.x. A request that cannot be read gets a refusal that says why, and changes
//! nothing; one on a subject that 1.x does not know gets `unsupported subject`.

mod events;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use lath_artifacts::{Given, Login, Registries};
use lath_control_api::{HostState, LabelRequest, Labels};
use lath_wasmcloud::subject::{Control as Asked, ControlPrefix};
use lath_wasmcloud::{
    AuctionAck, AuctionComponent, AuctionProvider, DeleteLabel, HostDescription, HostInventory,
    ProviderAuctionAck, PutLabel, RegistryCredentials, Reply, StopHost, Texts, uptime,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::Control;
use crate::settings::Change;
use crate::status::now;

pub(crate) use events::{EventsV1, TellerV1};

/// Requests that are worked on at the same time.
const PARALLEL: usize = 64;
/// Longest wait for the connection to take an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Largest request that is read, in bytes: far more than any has.
const MAX_REQUEST: usize = 1 << 20;

/// Answers requests of tools of 1.x.
#[derive(Debug, Clone)]
pub(crate) struct ControlV1 {
    /// What the host's own interface knows.
    pub(crate) control: Control,
    /// The NATS servers, as they were given.
    pub(crate) servers: String,
    /// The JetStream domain that was given.
    pub(crate) domain: Option<String>,
    /// What subjects begin with.
    pub(crate) topics: ControlPrefix,
    pub(crate) registries: Registries,
    /// Ends the host in order.
    pub(crate) stop: CancellationToken,
    /// Cuts that short.
    pub(crate) stop_at_once: CancellationToken,
}

/// An answer: that of 1.x, or silence where 1.x is silent.
type Answer = Option<Vec<u8>>;

impl ControlV1 {
    /// Asks for requests to be sent here. Works without a connection, as soon as there is one.
    pub(crate) async fn subscribe(&self) -> Result<Vec<Subscriber>> {
        let (prefix, host) = (self.prefix(), &self.control.facts.host);
        let nats = self.control.connection.nats();
        let mut requests = Vec::new();
        let to_all = ["host.ping", "registry.put", "component.auction", "provider.auction"];
        let to_this = [format!("host.*.{host}"), format!("label.*.{host}")];
        for rest in to_all.into_iter().map(str::to_owned).chain(to_this) {
            let subject = format!("{prefix}{rest}");
            let asked = nats.subscribe(subject.clone()).await;
            requests.push(asked.with_context(|| format!("cannot subscribe to {subject}"))?);
        }
        Ok(requests)
    }

    /// Answers until `shutdown`.
    pub(crate) async fn run(self, requests: Vec<Subscriber>, shutdown: CancellationToken) {
        let mut requests = futures::stream::select_all(requests);
        let (tasks, permits) = (TaskTracker::new(), Arc::new(Semaphore::new(PARALLEL)));
        while let Some(Some(message)) = shutdown.run_until_cancelled(requests.next()).await {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let host = self.clone();
            tasks.spawn(async move {
                host.answer(message).await;
                drop(permit);
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    fn prefix(&self) -> String {
        self.topics.of(self.control.subjects.lattice().as_str())
    }

    async fn answer(&self, message: Message) {
        let prefix = self.prefix();
        let asked = message.subject.strip_prefix(prefix.as_str()).and_then(Asked::read);
        let payload = message.payload.as_ref();
        let answer = match asked {
            Some(_) if payload.len() > MAX_REQUEST => {
                let bytes = payload.len();
                failed(format!("the request has {bytes} bytes, and at most {MAX_REQUEST} are read"))
            }
            Some(Asked::StopHost(host)) => return self.stop(host, &message).await,
            Some(asked) => self.obey(asked, payload).await,
            None => failed("unsupported subject"),
        };
        self.send(&message, answer).await;
    }

    async fn obey(&self, asked: Asked<'_>, payload: &[u8]) -> Answer {
        match asked {
            Asked::Ping => data(self.describe()),
            Asked::Inventory(_) => data(inventory(&self.control)),
            Asked::AuctionComponent => self.bid_for_component(payload),
            Asked::AuctionProvider => self.bid_for_provider(payload),
            Asked::PutLabel(_) => self.put_label(payload).await,
            Asked::DeleteLabel(_) => self.delete_label(payload).await,
            Asked::PutRegistries => self.put_registries(payload),
            Asked::StopHost(_)
            | Asked::Claims
            | Asked::PutLink
            | Asked::DeleteLink
            | Asked::Links
            | Asked::PutConfig(_)
            | Asked::DeleteConfig(_)
            | Asked::Config(_)
            | Asked::ScaleComponent(_)
            | Asked::UpdateComponent(_)
            | Asked::StartProvider(_)
            | Asked::StopProvider(_) => None,
        }
    }

    async fn send(&self, message: &Message, answer: Answer) {
        let (Some(reply), Some(json)) = (&message.reply, answer) else { return };
        // Answers go to inboxes, so that no request makes a host publish on a subject of its choice.
        if !is_inbox(reply) {
            return;
        }
        let sent = self.control.connection.nats().publish(reply.clone(), json.into());
        if !matches!(timeout(ANSWER_WITHIN, sent).await, Ok(Ok(()))) {
            tracing::debug!("an answer to a tool of 1.x could not be sent");
        }
    }

    fn describe(&self) -> HostDescription {
        let Control { facts, snapshots, subjects, .. } = &self.control;
        let seconds = now().since(facts.started).as_secs();
        let server = server(&self.servers);
        HostDescription {
            rpc_host: server.clone(),
            ctl_host: server,
            friendly_name: facts.name.clone(),
            id: facts.host.to_string(),
            js_domain: self.domain.clone(),
            labels: snapshots.borrow().labels.0.clone(),
            lattice: subjects.lattice().to_string(),
            uptime_human: uptime(seconds),
            uptime_seconds: seconds,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Silence, unless this host could run it: 1.x gathers the answers of those that could.
    fn bid_for_component(&self, payload: &[u8]) -> Answer {
        let ask: AuctionComponent = match read(payload, "component auction command") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        let runs =
            |inventory: &HostInventory| inventory.components.iter().any(|it| it.id == ask.component_id);
        if !self.would_take(&ask.constraints, runs) {
            return None;
        }
        let host_id = self.control.facts.host.to_string();
        let AuctionComponent { component_ref, component_id, constraints } = ask;
        data(AuctionAck { component_ref, component_id, host_id, constraints })
    }

    fn bid_for_provider(&self, payload: &[u8]) -> Answer {
        let ask: AuctionProvider = match read(payload, "provider auction command") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        let runs = |inventory: &HostInventory| inventory.providers.iter().any(|it| it.id == ask.provider_id);
        if !self.would_take(&ask.constraints, runs) {
            return None;
        }
        let host_id = self.control.facts.host.to_string();
        let AuctionProvider { provider_ref, provider_id, constraints } = ask;
        data(ProviderAuctionAck { host_id, provider_ref, provider_id, constraints })
    }

    fn would_take(&self, constraints: &Texts, runs: impl Fn(&HostInventory) -> bool) -> bool {
        let snapshot = Arc::clone(&self.control.snapshots.borrow());
        let id = self.control.facts.host.as_str();
        let meets = |(key, value): (&String, &String)| {
            snapshot.labels.0.get(key) == Some(value) || (key == Labels::HOST_ID && value == id)
        };
        snapshot.state == HostState::Ready
            && constraints.iter().all(meets)
            && !runs(&inventory(&self.control))
    }

    async fn put_label(&self, payload: &[u8]) -> Answer {
        let ask: PutLabel = match read(payload, "put label command") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        if is_builtin(&ask.key) {
            return failed("hostcore.* labels cannot be set dynamically");
        }
        self.label(ask.key, Some(ask.value), "successfully put label").await
    }

    async fn delete_label(&self, payload: &[u8]) -> Answer {
        let ask: DeleteLabel = match read(payload, "delete label command") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        if is_builtin(&ask.key) {
            return failed("hostcore.* labels cannot be deleted");
        }
        if !self.control.snapshots.borrow().labels.0.contains_key(&ask.key) {
            return done("successfully deleted label (no such label)");
        }
        self.label(ask.key, None, "successfully deleted label").await
    }

    async fn label(&self, key: String, value: Option<String>, word: &str) -> Answer {
        let change = Change::Label(LabelRequest { labels: BTreeMap::from([(key, value)]) });
        match self.control.supervisor.change(change).await {
            Ok(_) => done(word),
            Err(error) => failed(error.message),
        }
    }

    fn put_registries(&self, payload: &[u8]) -> Answer {
        let ask: BTreeMap<String, RegistryCredentials> = match read(payload, "registry credential map") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        let logins = ask.into_iter().map(|(registry, it)| {
            let (password, token) = (it.password.map(Given), it.token.map(Given));
            (registry, Login { user: it.username, password, token })
        });
        match self.registries.put_logins(logins) {
            Ok(()) => done("successfully put registries"),
            Err(why) => failed(why),
        }
    }

    /// Says that it stops, and stops: as at SIGTERM, so that no call is lost. `timeout` bounds it.
    async fn stop(&self, host: &str, message: &Message) {
        let payload: &[u8] = if message.payload.is_empty() { b"{}" } else { &message.payload };
        let ask: StopHost = match read(payload, "stop command") {
            Ok(ask) => ask,
            Err(refusal) => return self.send(message, refusal).await,
        };
        let wrong =
            host != self.control.facts.host.as_str() || (!ask.host_id.is_empty() && ask.host_id != host);
        if wrong {
            return self.send(message, failed(format!("invalid host_id [{}]", shown(&ask.host_id)))).await;
        }
        self.send(message, done("successfully handled stop host")).await;
        // The answer leaves before anything ends.
        let _too_late_to_matter = timeout(ANSWER_WITHIN, self.control.connection.nats().flush()).await;
        tracing::info!(timeout_ms = ask.timeout, "a tool of 1.x has asked this host to stop");
        self.stop.cancel();
        if let Some(bound) = ask.timeout {
            let at_once = self.stop_at_once.clone();
            // Ends with the process: nobody could wait for it.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(bound)).await;
                at_once.cancel();
            });
        }
    }
}

/// What runs, and what should and does not, as 1.x writes it.
fn inventory(control: &Control) -> HostInventory {
    let snapshot = Arc::clone(&control.snapshots.borrow());
    let seconds = now().since(control.facts.started).as_secs();
    let (components, providers) = view::View::of(&snapshot).describe();
    HostInventory {
        components,
        providers,
        host_id: control.facts.host.to_string(),
        friendly_name: control.facts.name.clone(),
        labels: snapshot.labels.0.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_human: uptime(seconds),
        uptime_seconds: seconds,
    }
}

/// The first server, without user and password.
fn server(servers: &str) -> Option<String> {
    let first = servers.split(',').map(str::trim).find(|server| !server.is_empty())?;
    let (scheme, rest) = first.split_once("://").unwrap_or(("nats", first));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    Some(format!("{scheme}://{place}"))
}

fn is_inbox(reply: &str) -> bool {
    // The second form is that of replies which cross from one account to another.
    reply.starts_with("_INBOX") || reply.starts_with("_R_.")
}

fn is_builtin(key: &str) -> bool {
    key.to_ascii_lowercase().starts_with(Labels::BUILTIN)
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

/// Reads a request, or says why it cannot be read.
fn read<T: DeserializeOwned>(payload: &[u8], what: &str) -> Result<T, Answer> {
    // A list would be read as the fields in their order, and an empty one as a request that asks for nothing.
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return Err(failed(format!("failed to deserialize {what}: it is no JSON object")));
    }
    serde_json::from_slice(payload).map_err(|error| failed(format!("failed to deserialize {what}: {error}")))
}

fn data<T: Serialize>(value: T) -> Answer {
    encode(&Reply::data(value))
}

fn done(message: &str) -> Answer {
    encode(&Reply::<()>::done(message))
}

fn failed(message: impl Into<String>) -> Answer {
    encode(&Reply::<()>::failed(message))
}

fn encode<T: Serialize>(reply: &Reply<T>) -> Answer {
    match serde_json::to_vec(reply) {
        Ok(json) => Some(json),
        Err(error) => {
            tracing::error!(%error, "an answer to a tool of 1.x has no JSON form");
            Some(br#"{"success":false,"error":"the answer has no JSON form"}"#.to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_without_their_users() {
        let told = |text: &str| server(text).unwrap_or_default();
        assert_eq!(told("127.0.0.1:4222"), "nats://127.0.0.1:4222");
        assert_eq!(told(" ,tls://me:sec@ret@a.test:4443,b.test"), "tls://a.test:4443");
        assert_eq!(server(""), None);
    }

    #[test]
    fn labels_of_the_host_itself_are_told_whatever_their_case() {
        assert!(is_builtin("HostCore.os") && !is_builtin("hostcores"));
    }
}
