//! What a manager or tool asks of hosts.

use std::time::Duration;

use futures::StreamExt;
use lath_control_api::{
    ApplyReply, ApplyRequest, DrainRequest, HostChangeReply, HostId, HostInventory, InventoryPage,
    InventoryRequest, LabelRequest, PingReply, PingRequest, Reply,
};

use crate::request::{ControlClient, RequestError};

/// Readings of a paged inventory before it counts as never standing still.
const SNAPSHOT_TRIES: u32 = 5;
/// More pages than any host has apps: ends a host's endless list.
const MAX_PAGES: usize = 10_000;

impl ControlClient {
    /// Tells a host what to run of one app. The answer says "taken on".
    ///
    /// # Errors
    /// See [`RequestError`]. Sending it again is harmless.
    pub async fn apply(
        &self,
        host: &HostId,
        ask: &ApplyRequest,
        deadline: Duration,
    ) -> Result<ApplyReply, RequestError> {
        self.request(&self.subjects().apply(host), ask, deadline).await
    }

    /// Has a host take no new work; what it serves moves to other hosts as far as there are any that suit, and is
    /// served here until then. The answer says that the host keeps to it, not that it is empty.
    ///
    /// # Errors
    /// See [`RequestError`]. Sending it again is harmless.
    pub async fn drain(&self, host: &HostId, deadline: Duration) -> Result<HostChangeReply, RequestError> {
        self.request(&self.subjects().drain(host), &DrainRequest {}, deadline).await
    }

    /// Has a drained host take work again.
    ///
    /// # Errors
    /// See [`RequestError`]. Sending it again is harmless.
    pub async fn undrain(&self, host: &HostId, deadline: Duration) -> Result<HostChangeReply, RequestError> {
        self.request(&self.subjects().undrain(host), &DrainRequest {}, deadline).await
    }

    /// Sets and removes labels of a host. All of them are taken, or none.
    ///
    /// # Errors
    /// See [`RequestError`]; [`RequestError::Refused`] names the label that cannot be. Sending it again is harmless.
    pub async fn label(
        &self,
        host: &HostId,
        ask: &LabelRequest,
        deadline: Duration,
    ) -> Result<HostChangeReply, RequestError> {
        self.request(&self.subjects().label(host), ask, deadline).await
    }

    /// Asks one host whether it is there.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn ping(&self, host: &HostId, deadline: Duration) -> Result<PingReply, RequestError> {
        self.request(&self.subjects().ping(host), &PingRequest {}, deadline).await
    }

    /// All that runs on a host, from one snapshot: all pages, read again when the host changed meanwhile.
    /// `deadline` is for each page.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn inventory(&self, host: &HostId, deadline: Duration) -> Result<HostInventory, RequestError> {
        for _ in 0..SNAPSHOT_TRIES {
            if let Some(inventory) = self.read_inventory(host, deadline).await? {
                return Ok(inventory);
            }
        }
        Err(RequestError::Unsteady { tries: SNAPSHOT_TRIES })
    }

    /// One reading; `None` when the host changed between two pages.
    async fn read_inventory(
        &self,
        host: &HostId,
        deadline: Duration,
    ) -> Result<Option<HostInventory>, RequestError> {
        let subject = self.subjects().inventory(host);
        let malformed =
            |cause: &str| RequestError::Malformed { subject: subject.clone(), cause: cause.to_owned() };
        let mut whole: Option<HostInventory> = None;
        let mut ask = InventoryRequest::default();
        for _ in 0..MAX_PAGES {
            let page: InventoryPage = self.request(&subject, &ask, deadline).await?;
            if page.inventory.summary.host != *host {
                return Err(malformed("it is about another host"));
            }
            match &mut whole {
                None => whole = Some(page.inventory),
                Some(whole) => {
                    let (first, now) = (&whole.summary, &page.inventory.summary);
                    if (&first.boot, first.sequence) != (&now.boot, now.sequence) {
                        return Ok(None);
                    }
                    whole.apps.extend(page.inventory.apps);
                }
            }
            let Some(next) = page.next else { return Ok(whole) };
            if ask.after.as_ref().is_some_and(|after| *after >= next) {
                return Err(malformed("its pages are not in order"));
            }
            ask.after = Some(next);
        }
        Err(malformed("it has no end"))
    }

    /// Asks every host of the lattice whether it is there, and gathers what is answered within `window`, in order of
    /// names.
    ///
    /// # Errors
    /// When nothing can be sent. No host at all is an empty answer, not an error.
    pub async fn ping_hosts(&self, window: Duration) -> Result<Vec<PingReply>, RequestError> {
        let mut found = Vec::new();
        self.ping_each_host(window, |reply| found.push(reply)).await?;
        found.sort_by(|a, b| (&a.name, &a.host).cmp(&(&b.name, &b.host)));
        Ok(found)
    }

    /// Asks every host of the lattice whether it is there, and tells of each answer as it comes, for `window`.
    ///
    /// # Errors
    /// When nothing can be sent.
    pub async fn ping_each_host(
        &self,
        window: Duration,
        mut found: impl FnMut(PingReply),
    ) -> Result<(), RequestError> {
        let nats = self.connection().nats();
        let broken = |error: String| RequestError::Nats(error);
        let payload = self.encode(&self.subjects().ping_hosts(), &PingRequest {})?;
        if !self.connection().is_up() {
            return Err(RequestError::Disconnected {
                last: self.connection().link().borrow().last_error.clone(),
            });
        }
        let inbox = nats.new_inbox();
        let mut replies = nats.subscribe(inbox.clone()).await.map_err(|error| broken(error.to_string()))?;
        nats.publish_with_reply(self.subjects().ping_hosts(), inbox, payload)
            .await
            .map_err(|error| broken(error.to_string()))?;
        let gather = async {
            while let Some(message) = replies.next().await {
                if message.status.is_some() {
                    // "No responders": nobody will answer.
                    return;
                }
                match serde_json::from_slice::<Reply<PingReply>>(&message.payload) {
                    Ok(Reply::Result(reply)) => found(reply),
                    Ok(Reply::Error(error)) => tracing::debug!(%error, "a host refused the ping"),
                    Err(error) => tracing::debug!(%error, "an answer to the ping cannot be read"),
                }
            }
        };
        // Running out of time is the ordinary end: nobody knows how many hosts there are.
        let _ = tokio::time::timeout(window, gather).await;
        Ok(())
    }
}
