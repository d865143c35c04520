//! Events of a lattice: subscribing, decoding, publishing.
//!
//! An event only wakes its reader; the truth is in inventories and records. Subscriptions survive a reconnect, but
//! what was sent meanwhile is lost: a reader asks anew whenever [`crate::Link::connects`] grows.

use futures::StreamExt;
use lath_control_api::{AppName, CloudEvent, EventData, HostAlive, HostId, Subjects, Timestamp};

use crate::request::{ControlClient, RequestError};

/// A stream of decoded events.
#[derive(Debug)]
pub struct Events {
    subscriber: async_nats::Subscriber,
    malformed: u64,
}

/// An event and where it was sent.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The subject; it tells who may have sent the event.
    pub subject: String,
    /// The event.
    pub event: CloudEvent,
}

impl Events {
    /// The next event that can be read; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            let message = self.subscriber.next().await?;
            match serde_json::from_slice(&message.payload) {
                Ok(event) => return Some(Heard { subject: message.subject.into_string(), event }),
                Err(error) => {
                    self.malformed = self.malformed.saturating_add(1);
                    tracing::debug!(subject = %message.subject, %error, "an event cannot be read");
                }
            }
        }
    }

    /// How many events could not be read, of newer kinds among them.
    #[must_use]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }
}

/// Hosts that say that they live.
#[derive(Debug)]
pub struct Alive {
    subscriber: async_nats::Subscriber,
}

impl Alive {
    /// The next one that can be read; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<(HostId, HostAlive)> {
        loop {
            let message = self.subscriber.next().await?;
            let host = Subjects::host_of_alive(&message.subject);
            match (host, serde_json::from_slice(&message.payload)) {
                (Ok(host), Ok(alive)) => return Some((host, alive)),
                (Err(_), _) | (_, Err(_)) => {
                    tracing::debug!(subject = %message.subject, "a sign of life cannot be read");
                }
            }
        }
    }
}

impl ControlClient {
    /// Signs of life of all hosts, from now on.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn hosts_alive(&self) -> Result<Alive, RequestError> {
        let Events { subscriber, .. } = self.subscribe(self.subjects().hosts_alive()).await?;
        Ok(Alive { subscriber })
    }

    /// Events of all hosts, from now on.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn host_events(&self) -> Result<Events, RequestError> {
        self.subscribe(self.subjects().host_events()).await
    }

    /// Status events of one app, from now on.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn app_events(&self, app: &AppName) -> Result<Events, RequestError> {
        self.subscribe(self.subjects().app_event(app)).await
    }

    /// Every event of the lattice, from now on.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn all_events(&self) -> Result<Events, RequestError> {
        self.subscribe(self.subjects().events()).await
    }

    /// Sends an event. Nobody need be there to hear it.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`], or when the connection is closed.
    pub async fn publish_event(&self, subject: String, event: &CloudEvent) -> Result<(), RequestError> {
        let payload = self.encode(&subject, event)?;
        let sent = self.connection().nats().publish(subject, payload).await;
        sent.map_err(|error| RequestError::Nats(error.to_string()))
    }

    async fn subscribe(&self, subject: String) -> Result<Events, RequestError> {
        let nats = self.connection().nats();
        let broken = |error: String| RequestError::Nats(error);
        let subscriber = nats.subscribe(subject).await.map_err(|error| broken(error.to_string()))?;
        Ok(Events { subscriber, malformed: 0 })
    }
}

/// An event in its envelope, with an id of its own. `source` says so, `about` is what it is about.
#[must_use]
pub fn envelope(source: &str, about: &str, time: Timestamp, event: EventData) -> CloudEvent {
    CloudEvent {
        specversion: "1.0".to_owned(),
        id: ulid::Ulid::generate().to_string(),
        source: source.to_owned(),
        subject: about.to_owned(),
        time,
        datacontenttype: "application/json".to_owned(),
        event,
    }
}
