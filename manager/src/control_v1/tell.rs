//! Events of 1.x that a manager tells: what it did itself, and, in a host's name, what became of a command that led to
//! nothing on the host.

use std::time::SystemTime;

use lath_control_api::{HostId, Timestamp};
use lath_wasmcloud::{Event, EventData, subject, uuid};

use super::Shared;

/// Link name in events of providers, always this one.
pub(super) const LINK: &str = "default";

impl Shared {
    /// An event of the lattice. Nobody need be there to hear it.
    pub(super) async fn tell(&self, data: EventData) {
        self.tell_as(&self.context.identity.name.clone(), data).await;
    }

    /// An event that tools look for under the name of a host.
    pub(super) async fn tell_for(&self, host: &HostId, data: EventData) {
        self.tell_as(host.as_str(), data).await;
    }

    async fn tell_as(&self, source: &str, data: EventData) {
        let subject = subject::event(self.lattice(), data.name());
        let event = Event::new(uuid(ulid::Ulid::generate().0), source, wall_clock().to_string(), data);
        let connection = self.context.client.connection();
        match serde_json::to_vec(&event) {
            Ok(json) if json.len() <= connection.max_payload() => {
                if let Err(error) = connection.nats().publish(subject, json.into()).await {
                    tracing::debug!(%error, "an event of 1.x could not be sent");
                }
            }
            Ok(json) => {
                tracing::warn!(subject, bytes = json.len(), "an event of 1.x does not fit into a message")
            }
            Err(error) => tracing::error!(%error, "an event of 1.x has no JSON form"),
        }
    }
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
