//! The events by which 1.x follows a host: told by comparing what the host was with what it is.
//!
//! Nothing is kept for later: while there is no connection nobody hears, and what has happened meanwhile is told as one
//! change when there is one again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{AppName, Claims, HostId, LatticeId};
use lath_control_api_client::Connection;
use lath_wasmcloud::subject;
use lath_wasmcloud::{Event, EventClaims, EventData, Tags, Texts, uuid};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::inventory;
use super::view::{Failed, Item, Kind, View};
use crate::control::Control;
use crate::status::{AppShown, wall_clock};

/// Longest wait for the connection to take an event.
const PUBLISH_WITHIN: Duration = Duration::from_secs(1);
/// Link name and reason in events of providers, always these.
const LINK: &str = "default";
const STOP: &str = "stop";

/// Publishes events of 1.x.
#[derive(Debug, Clone)]
pub(crate) struct TellerV1 {
    connection: Connection,
    lattice: LatticeId,
    host: HostId,
}

/// Tells the lattice of this host as 1.x does.
#[derive(Debug)]
pub(crate) struct EventsV1 {
    control: Control,
    teller: TellerV1,
    heartbeat: Duration,
    /// What was told of each app: the state that it was read from, and its capabilities. The rest is read anew when it
    /// is needed: a host has thousands of components, and mostly nothing of them changes.
    told: BTreeMap<AppName, (Arc<AppShown>, View)>,
    /// What was told of capabilities, which apps share.
    capabilities: View,
    labels: Texts,
    /// The host has said that it is there.
    started: bool,
}

impl EventsV1 {
    /// Tells nothing yet; a heartbeat comes every `heartbeat`.
    pub(crate) fn new(control: Control, heartbeat: Duration) -> Self {
        let Control { connection, subjects, facts, .. } = &control;
        let teller = TellerV1::new(connection.clone(), subjects.lattice(), &facts.host);
        let (told, capabilities) = (BTreeMap::new(), View::default());
        Self { control, teller, heartbeat, told, capabilities, labels: Texts::new(), started: false }
    }

    /// Tells until `shutdown`, last of all that the host has stopped.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        // The first heartbeat comes a whole interval after the start.
        let mut heartbeat = interval_at(Instant::now() + self.heartbeat, self.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut link, mut snapshots) = (self.control.connection.link(), self.control.snapshots.clone());
        loop {
            self.tell_news().await;
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = heartbeat.tick() => self.beat().await,
                changed = snapshots.changed() => if changed.is_err() { break },
                changed = link.changed() => if changed.is_err() { break },
            }
        }
        self.tell_news().await;
        if self.started {
            self.publish(EventData::HostStopped { labels: self.labels.clone() }).await;
        }
    }

    async fn beat(&self) {
        if self.started {
            self.publish(EventData::HostHeartbeat(inventory(&self.control))).await;
        }
    }

    async fn tell_news(&mut self) {
        if !self.control.connection.is_up() {
            return;
        }
        let snapshot = Arc::clone(&self.control.snapshots.borrow());
        let labels = snapshot.labels.0.clone();
        if !self.started {
            self.started = true;
            self.labels = labels.clone();
            let friendly_name = self.control.facts.name.clone();
            let version = env!("CARGO_PKG_VERSION").to_owned();
            self.publish(EventData::HostStarted { friendly_name, labels, uptime_seconds: 0, version }).await;
        } else if labels != self.labels {
            self.labels = labels.clone();
            let host_id = self.control.facts.host.to_string();
            self.publish(EventData::LabelsChanged { host_id, labels }).await;
        }
        let mut told = BTreeMap::new();
        for app in &snapshot.apps {
            let name = &app.inventory.app;
            let before = match self.told.remove(name) {
                Some((shown, capabilities)) if Arc::ptr_eq(&shown, app) => {
                    told.insert(name.clone(), (shown, capabilities));
                    continue;
                }
                Some((shown, _)) => View::of_app(&shown),
                None => View::default(),
            };
            let view = View::of_app(app);
            self.tell(&before, &view).await;
            told.insert(name.clone(), (Arc::clone(app), view.capabilities_alone()));
        }
        for (shown, _) in std::mem::replace(&mut self.told, told).into_values() {
            self.tell(&View::of_app(&shown), &View::default()).await;
        }
        let capabilities = View::capabilities(self.told.values().map(|(_, view)| view));
        self.tell(&self.capabilities, &capabilities).await;
        self.capabilities = capabilities;
    }

    async fn tell(&self, before: &View, after: &View) {
        if before == after {
            return;
        }
        for event in news(before, after, self.control.facts.host.as_str()) {
            self.publish(event).await;
        }
    }

    async fn publish(&self, data: EventData) {
        self.teller.publish(data).await;
    }
}

impl TellerV1 {
    /// Tells in the name of this host.
    pub(crate) fn new(connection: Connection, lattice: &LatticeId, host: &HostId) -> Self {
        Self { connection, lattice: lattice.clone(), host: host.clone() }
    }

    /// Tells an event. Without a connection nobody hears it, now or later.
    pub(crate) async fn publish(&self, data: EventData) {
        let subject = subject::event(self.lattice.as_str(), data.name());
        let id = uuid(ulid::Ulid::generate().0);
        let event = Event::new(id, self.host.as_str(), wall_clock().to_string(), data);
        let json = match serde_json::to_vec(&event) {
            Ok(json) => json,
            Err(error) => return tracing::error!(%error, "an event of 1.x has no JSON form"),
        };
        let (bytes, limit) = (json.len(), self.connection.max_payload());
        if bytes > limit {
            return tracing::warn!(
                subject,
                bytes,
                limit,
                "an event of 1.x does not fit into a message; raise max_payload of the NATS servers"
            );
        }
        let sent = timeout(PUBLISH_WITHIN, self.connection.nats().publish(subject, json.into())).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!("an event of 1.x could not be sent");
        }
    }
}

/// What 1.x would have told between two views.
fn news(before: &View, after: &View, host: &str) -> Vec<EventData> {
    let mut events = Vec::new();
    for ((kind, id), item) in &after.items {
        let known = before.items.get(&(*kind, id.clone()));
        if item.instances == 0 {
            // What has served and is to be something else now, which is not ready yet.
            if let Some(known) = known.filter(|known| known.instances > 0) {
                events.push(gone(*kind, id, known, host));
            }
            continue;
        }
        let same = |known: &&Item| {
            known.instances == item.instances && known.content == item.content && known.image == item.image
        };
        if known.filter(same).is_none() {
            events.push(runs(*kind, id, item, host));
        }
    }
    for ((kind, id), item) in &before.items {
        if item.instances > 0 && !after.items.contains_key(&(*kind, id.clone())) {
            events.push(gone(*kind, id, item, host));
        }
    }
    for (key, failed) in &after.failed {
        if before.failed.get(key).is_none_or(|known| known.why != failed.why) {
            let (kind, id, ..) = key;
            events.push(failure(*kind, id, failed, host));
        }
    }
    events
}

fn runs(kind: Kind, id: &str, item: &Item, host: &str) -> EventData {
    match kind {
        Kind::Component => scaled(id, item, item.instances, host),
        Kind::Provider => {
            // With claims, 1.x tells more of it.
            let signed = item.claims.as_ref();
            let again = |text: &str| signed.map(|_| text.to_owned());
            EventData::ProviderStarted {
                annotations: item.annotations.clone(),
                claims: signed.map(provider_claims),
                host_id: host.to_owned(),
                image_ref: item.image.clone(),
                provider_id: id.to_owned(),
                instance_id: again(id),
                public_key: again(id),
                link_name: again(LINK),
            }
        }
    }
}

fn gone(kind: Kind, id: &str, item: &Item, host: &str) -> EventData {
    match kind {
        Kind::Component => scaled(id, item, 0, host),
        Kind::Provider => EventData::ProviderStopped {
            annotations: item.annotations.clone(),
            host_id: host.to_owned(),
            instance_id: id.to_owned(),
            link_name: LINK.to_owned(),
            provider_id: id.to_owned(),
            public_key: id.to_owned(),
            reason: STOP.to_owned(),
        },
    }
}

fn scaled(id: &str, item: &Item, instances: u32, host: &str) -> EventData {
    EventData::ComponentScaled {
        annotations: item.annotations.clone(),
        claims: item.claims.as_ref().map(component_claims),
        component_id: id.to_owned(),
        host_id: host.to_owned(),
        image_ref: item.image.clone(),
        max_instances: instances,
        public_key: item.claims.as_ref().map(|claims| claims.subject.clone()),
    }
}

fn component_claims(claims: &Claims) -> EventClaims {
    EventClaims {
        call_alias: Some(claims.call_alias.clone().unwrap_or_default()),
        expires_human: human(claims.expires),
        issuer: claims.issuer.clone(),
        name: claims.name.clone(),
        not_before_human: human(claims.not_before),
        revision: Some(claims.revision.to_string()),
        tags: Some(Tags::List(claims.tags.clone())),
        version: claims.version.clone(),
    }
}

/// Readers of 1.x cannot take in the event without name and version.
fn provider_claims(claims: &Claims) -> EventClaims {
    EventClaims {
        call_alias: None,
        expires_human: human(claims.expires),
        issuer: claims.issuer.clone(),
        name: Some(claims.name.clone().unwrap_or_default()),
        not_before_human: human(claims.not_before),
        revision: None,
        tags: None,
        version: Some(claims.version.clone().unwrap_or_default()),
    }
}

/// A time as 1.x tells it: seconds since 1970, or that there is no bound.
fn human(time: Option<u64>) -> String {
    time.map_or_else(|| "never".to_owned(), |seconds| seconds.to_string())
}

fn failure(kind: Kind, id: &str, failed: &Failed, host: &str) -> EventData {
    let Failed { item, why } = failed;
    match kind {
        Kind::Component => EventData::ComponentScaleFailed {
            annotations: item.annotations.clone(),
            component_id: id.to_owned(),
            error: why.clone(),
            host_id: host.to_owned(),
            image_ref: item.image.clone(),
            max_instances: item.asked,
            public_key: item.claims.as_ref().map(|claims| claims.subject.clone()),
        },
        Kind::Provider => EventData::ProviderStartFailed {
            error: why.clone(),
            host_id: host.to_owned(),
            link_name: LINK.to_owned(),
            provider_id: id.to_owned(),
            provider_ref: item.image.clone(),
        },
    }
}
