//! How the components that run are: what they say is told, and what no longer starts is found out.
//!
//! What follows from it is decided in the core.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::Reason;
use lath_host_core::{News, UnitKey};

use super::Supervisor;
use crate::engine::PrepareError;

/// Time between two looks at how components are.
pub(super) const LOOK: Duration = Duration::from_secs(1);
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

    /// Asks a component that runs again and again how it is, if its spec says so.
    pub(super) fn keep_asking(&mut self, unit: &UnitKey) {
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
