//! What a host says to one process of a provider over NATS, as 1.x says it, and what it makes of the answers.
//!
//! Links are put and deleted as requests. A provider may answer with a verdict (`LinkVerdict`); those on the SDK of 1.x
//! say nothing, and after a short wait that is what is known of the link.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use lath_control_api::{HostId, LatticeId, LinkAnswer};
use lath_wasmcloud::subject::{self, ToProvider};
use lath_wasmcloud::{HealthReply, LinkVerdict, ProviderLink, ShutDownProvider};
use serde::Serialize;
use tokio::time::timeout;

use crate::engine::bounded;

/// How long a provider has for its verdict on a link.
pub(crate) const VERDICT_WITHIN: Duration = Duration::from_millis(700);

/// How long a provider that says nothing has to let go of what a link gave it, before another may take it.
const DELETED_WITHIN: Duration = Duration::from_millis(200);

/// The way to one process.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    nats: async_nats::Client,
    lattice: LatticeId,
    host: HostId,
    /// The provider key of the process.
    key: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unanswered {
    /// Nobody listens there.
    Nobody,
    /// Nobody has answered in time, or there is no connection.
    Silence,
}

impl Talk {
    pub(crate) const fn new(nats: async_nats::Client, lattice: LatticeId, host: HostId, key: String) -> Self {
        Self { nats, lattice, host, key }
    }

    /// How the provider says that it is; none when it says nothing that can be read.
    pub(crate) async fn health(&self, within: Duration) -> Option<HealthReply> {
        let answer = self.ask(&self.key, ToProvider::Health, Bytes::new(), within).await.ok()?;
        serde_json::from_slice(&answer).ok()
    }

    /// Gives it a link. `public` is the key of this start of the process: nobody else hears it.
    pub(crate) async fn put(&self, public: &str, link: &ProviderLink) -> LinkAnswer {
        let answer = self.ask(public, ToProvider::PutLink, encoded(link), VERDICT_WITHIN).await;
        verdict(answer)
    }

    /// Takes a link away. One that was met with silence is followed by silence: then it only gets the time to be done.
    pub(crate) async fn delete(&self, link: &ProviderLink, silent: bool) -> LinkAnswer {
        let within = if silent { DELETED_WITHIN } else { VERDICT_WITHIN };
        verdict(self.ask(&self.key, ToProvider::DeleteLink, encoded(link), within).await)
    }

    /// Asks it to end; whether it said that it does.
    pub(crate) async fn shut_down(&self, within: Duration) -> bool {
        let ask = ShutDownProvider { host_id: self.host.to_string() };
        self.ask(&self.key, ToProvider::ShutDown, encoded(&ask), within).await.is_ok()
    }

    async fn ask(
        &self,
        id: &str,
        what: ToProvider,
        payload: Bytes,
        within: Duration,
    ) -> Result<Bytes, Unanswered> {
        let subject = subject::provider(self.lattice.as_str(), id, what);
        match timeout(within, self.nats.request(subject, payload)).await {
            Ok(Ok(message)) => Ok(message.payload),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => Err(Unanswered::Nobody),
            Ok(Err(_)) | Err(_) => Err(Unanswered::Silence),
        }
    }
}

fn encoded(value: &impl Serialize) -> Bytes {
    // Texts, numbers and lists with text keys: serde_json cannot fail on them. A provider refuses an empty text.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn verdict(answer: Result<Bytes, Unanswered>) -> LinkAnswer {
    let Ok(answer) = answer else { return LinkAnswer::Unverified };
    match serde_json::from_slice(&answer) {
        Ok(LinkVerdict { accepted: true, .. }) => LinkAnswer::Accepted,
        Ok(LinkVerdict { accepted: false, message }) => {
            let message = message.as_deref().map(bounded).filter(|message| !message.trim().is_empty());
            LinkAnswer::Refused { message: message.unwrap_or_else(|| "it did not say why".to_owned()) }
        }
        // Whatever it wanted to say, it was no refusal.
        Err(_) => LinkAnswer::Unverified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_what_the_provider_says_and_silence_is_none() {
        let of = |text: &'static str| verdict(Ok(Bytes::from_static(text.as_bytes())));
        assert_eq!(of(r#"{"accepted":true}"#), LinkAnswer::Accepted);
        let refused = LinkAnswer::Refused { message: "port  is taken".to_owned() };
        assert_eq!(of("{\"accepted\":false,\"message\":\"port \\u0007is taken\"}"), refused);
        let wordless = LinkAnswer::Refused { message: "it did not say why".to_owned() };
        assert_eq!(of(r#"{"accepted":false}"#), wordless);
        for other in ["", "ok", "{}", "[]"] {
            assert_eq!(of(other), LinkAnswer::Unverified, "{other}");
        }
        assert_eq!(verdict(Err(Unanswered::Silence)), LinkAnswer::Unverified);
        assert_eq!(verdict(Err(Unanswered::Nobody)), LinkAnswer::Unverified);
    }
}
