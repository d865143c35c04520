//! How a provider is: asked again and again, and told to the lattice as 1.x tells it.

use std::time::Duration;

use lath_control_api::{ComponentId, HostId};
use lath_wasmcloud::{EventData, HealthReply, ProviderAt};
use tokio::time::{Instant, sleep, sleep_until};

use super::talk::Talk;
use crate::control_v1::TellerV1;
use crate::engine::bounded;

/// Time between two questions of a provider that is well, as in 1.x.
const PERIOD: Duration = Duration::from_secs(30);
/// The same of one that is not.
const PERIOD_AILING: Duration = Duration::from_secs(5);
/// Longest wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Questions that one that is well leaves unanswered before it counts as silent.
const TRIES: u32 = 3;
/// Pause before an unanswered question is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// First and longest pause between two questions of a provider that has just been started.
const SOON: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// Longest wait for an answer of such a one: nobody listens yet, mostly.
const SOON_WITHIN: Duration = Duration::from_millis(1_000);

/// What a question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// It says that it is well.
    Well,
    /// It says that it is not, and why.
    Ill(String),
    /// It says nothing.
    Silent,
}

impl From<Option<HealthReply>> for Ask {
    fn from(reply: Option<HealthReply>) -> Self {
        match reply {
            Some(HealthReply { healthy: true, .. }) => Self::Well,
            Some(HealthReply { healthy: false, message }) => {
                Self::Ill(message.as_deref().map_or_else(|| "it does not say why".to_owned(), bounded))
            }
            None => Self::Silent,
        }
    }
}

/// Asks, and keeps what was answered last.
#[derive(Debug)]
pub(super) struct Health {
    events: TellerV1,
    at: ProviderAt,
    /// What was told to the lattice last: a provider begins as one that is not healthy.
    was_healthy: bool,
    soon: Duration,
    /// When it is asked the next time.
    next: Instant,
}

impl Health {
    pub(super) fn new(events: TellerV1, host: &HostId, provider: &ComponentId) -> Self {
        let at = ProviderAt { host_id: host.to_string(), provider_id: provider.to_string() };
        Self { events, at, was_healthy: false, soon: SOON.0, next: Instant::now() }
    }

    /// A question of a process that has just been started, after a pause that grows.
    pub(super) async fn ask_soon(&mut self, talk: &Talk) -> Ask {
        sleep(self.soon).await;
        let asked = talk.health(SOON_WITHIN).await.into();
        self.soon = (self.soon * 2).min(SOON.1);
        asked
    }

    /// It is ready: the lattice hears that it is well, and it is asked in turn from now on.
    pub(super) async fn passed(&mut self) {
        self.soon = SOON.0;
        self.next = Instant::now() + PERIOD;
        self.was_healthy = true;
        self.events.publish(EventData::HealthCheckPassed(self.at.clone())).await;
    }

    /// The next question, when it is its time. May be dropped at any time: it is asked later then.
    pub(super) async fn ask_in_turn(&mut self, talk: &Talk) -> Ask {
        sleep_until(self.next).await;
        let mut asked = Ask::Silent;
        for _ in 0..if self.was_healthy { TRIES } else { 1 } {
            asked = talk.health(ANSWER_WITHIN).await.into();
            if asked != Ask::Silent {
                break;
            }
            sleep(PAUSE).await;
        }
        let healthy = asked == Ask::Well;
        self.next = Instant::now() + if healthy { PERIOD } else { PERIOD_AILING };
        let told = match (self.was_healthy, healthy) {
            (false, true) => EventData::HealthCheckPassed(self.at.clone()),
            (true, false) => EventData::HealthCheckFailed(self.at.clone()),
            (true, true) | (false, false) => EventData::HealthCheckStatus(self.at.clone()),
        };
        self.was_healthy = healthy;
        self.events.publish(told).await;
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_apart_from_silence() {
        let reply = |healthy, message: Option<&str>| {
            Some(HealthReply { healthy, message: message.map(str::to_owned) })
        };
        assert_eq!(Ask::from(reply(true, None)), Ask::Well);
        assert_eq!(Ask::from(reply(false, Some("no\ndisk"))), Ask::Ill("no disk".to_owned()));
        assert!(matches!(Ask::from(reply(false, None)), Ask::Ill(_)));
        assert_eq!(Ask::from(None), Ask::Silent);
    }
}
