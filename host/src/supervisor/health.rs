//! How the components that run are: what they say is told, and what no longer starts is found out.
//!
//! What follows from it is decided in the core.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::Reason;
use lath_host_core::{News, UnitKey};

use super::Supervisor;
use crate::engine::PrepareError;
use crate::provider::Provider;

/// Time between two looks at how components are.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for links and subscriptions of providers, before readers see that they serve: a link that changes hands
/// takes two messages, and their answers.
pub(super) const SETTLE: Duration = Duration::from_secs(3);
/// Shortest time between two trials of whether a component whose calls fail can be started at all.
const TRIAL: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Tells how components are, where that has changed.
    pub(super) async fn look_at_health(&mut self) {
        for (unit, ticket, news) in self.slots.news_of_health() {
            let calls_fail = matches!(news, News::Unhealthy { reason: Reason::CallsFail, .. });
            let (before, said) = (self.core.sequence(), news.clone());
            self.observe(&unit, ticket, news).await;
            if self.core.sequence() != before {
                match said {
                    News::Unhealthy { message, .. } => {
                        tracing::warn!(%unit, app = %unit.app, message, "unhealthy");
                    }
                    _ => tracing::info!(%unit, app = %unit.app, "healthy again"),
                }
            }
            if calls_fail {
                self.try_to_start(&unit);
            }
        }
    }

    /// Waits until links and subscriptions of providers are as the newest routes want them, and takes in which links were
    /// refused: nobody is to see a provider with all traffic as one that is well before its links are there.
    pub(super) async fn settle_providers(&mut self) {
        if tokio::time::timeout(SETTLE, self.tools.providers.settled()).await.is_err() {
            tracing::debug!("links of providers are late");
        }
        self.take_in_refused_links().await;
    }

    /// Takes in which links providers have refused.
    pub(super) async fn take_in_refused_links(&mut self) {
        let refused = |(unit, ticket, provider): (&UnitKey, _, &Arc<Provider>)| {
            Some((unit.clone(), ticket, provider.refused()?))
        };
        let refused: Vec<_> = self.slots.providers().filter_map(refused).collect();
        for (unit, ticket, news) in refused {
            self.observe(&unit, ticket, news).await;
        }
    }

    /// Asks a component that runs again and again how it is, if its spec says so; of a provider, follows its process.
    pub(super) fn keep_asking(&mut self, unit: &UnitKey) {
        if let Some((ticket, provider)) = self.slots.provider_episode(unit) {
            let (token, teller) = (self.slots.accompany(unit), self.teller(unit, ticket));
            return self.spawn(token, provider.watch(teller));
        }
        let Some(prepared) = self.slots.component(unit).cloned() else { return };
        let Some(probe) = self.core.probe(unit).filter(|probe| probe.period_ms.is_some()) else { return };
        let token = self.slots.accompany(unit);
        self.spawn(token, async move { prepared.keep_asking(&probe).await });
    }

    /// Whether calls fail for what they ask, or because the component cannot even be started: then it is of no use to
    /// anybody, and calls had better go elsewhere until it can.
    fn try_to_start(&mut self, unit: &UnitKey) {
        let Some((ticket, prepared)) = self.slots.begin_trial(unit, TRIAL) else { return };
        let (token, teller) = (self.slots.accompany(unit), self.teller(unit, ticket));
        let trial = Arc::clone(&prepared);
        self.spawn(token, async move {
            if let Err(PrepareError { reason, message }) = trial.still_starts().await {
                let message = format!("its calls fail, and {message}");
                teller.tell(News::Failed { reason, message }).await;
            }
        });
    }
}
