//! When readers get a new state, and by when it is served and written down.
//!
//! Nothing is decided here. Calls go by the newest routes at once; whoever only looks is given a state less often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lath_control_api::HostState;
use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::health::SETTLE as PROVIDERS_SETTLE;
use crate::status::Snapshot;

/// Longest wait for the subscriptions of what serves, before readers see that it serves. Without NATS there is none.
const SETTLE: Duration = Duration::from_secs(2);
/// How many times longer than it took to give readers a state they go without the next one, if nobody waits for an answer:
/// a state is that of the whole host, and thousands of components that become ready one after another would have it made
/// thousands of times.
const REST: u32 = 4;
/// The longest of these times, whatever is owed.
const LONGEST_REST: Duration = Duration::from_millis(200);
/// How much of them may be owed, so that a change by itself is seen at once.
const OWED: Duration = Duration::from_millis(100);

impl Supervisor {
    /// How long readers are to go without the next state.
    pub(super) fn until_show(&self) -> Duration {
        self.rested.saturating_duration_since(Instant::now() + OWED)
    }

    /// Gives readers the newest state at once, for whoever waits for an answer. Others stop what this host takes over once
    /// they see it serving, so the lattice's calls must find it by then.
    pub(super) async fn show(&mut self) {
        let cost = self.publish_later_written();
        if !self.stale {
            return;
        }
        self.settling = None;
        if std::mem::take(&mut self.offered) {
            let settled = tokio::time::timeout(SETTLE, self.tools.serving.settled()).await;
            if settled.is_err() {
                tracing::debug!("subscriptions are late; NATS is slow or away");
            }
            self.settle_providers().await;
        }
        self.snapshot(cost);
    }

    /// Gives readers the newest state, as soon as the lattice's calls find what serves in it. Nothing is held up meanwhile:
    /// what becomes ready in that time is on its way to be served as well.
    pub(super) fn show_when_served(&mut self) {
        let cost = self.publish_later_written();
        if !self.stale {
            return;
        }
        if self.offered && self.settling.is_none() {
            let until = Instant::now() + SETTLE + PROVIDERS_SETTLE;
            self.settling = Some((until, self.settle(until)));
        }
        if self.settling.is_none() {
            self.snapshot(cost);
        }
    }

    /// Has calls go by the newest routes, and what serves by them written down. The disk is no work, and calls do not wait
    /// for it: nothing that served before has been touched yet, and after a restart the older entry leads to the same
    /// state. Gives the time that it took.
    fn publish_later_written(&mut self) -> Duration {
        let begun = Instant::now();
        self.publish();
        self.write_later();
        begun.elapsed()
    }

    fn snapshot(&mut self, cost: Duration) {
        self.stale = false;
        let begun = Instant::now();
        let callers = self.snapshots.borrow().callers.clone();
        let snapshot = Snapshot {
            state: if self.stopping { HostState::Stopping } else { self.settings.state() },
            labels: self.settings.labels(),
            epoch: self.core.epoch(),
            sequence: self.core.sequence() + self.changes,
            listeners: self.derived.listeners(),
            apps: self.derived.shown(&self.core, &self.slots),
            callers,
        };
        self.snapshots.send_replace(Arc::new(snapshot));
        let (now, cost) = (Instant::now(), cost + begun.elapsed());
        self.rested = (self.rested.max(now) + cost * REST).min(now + OWED + LONGEST_REST);
    }

    /// Ends when what was offered last is served, and links of providers are as the newest routes want them, or at `until`.
    pub(super) fn settle(&self, until: Instant) -> AbortOnDropHandle<()> {
        let (serving, providers) = (self.tools.serving.clone(), self.tools.providers.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let served = tokio::time::timeout(SETTLE, serving.settled());
            let settled = async { (served.await.is_ok(), providers.settled().await).0 };
            if !tokio::time::timeout_at(until.into(), settled).await.unwrap_or(false) {
                tracing::debug!("subscriptions or links of providers are late; NATS is slow or away");
            }
        }))
    }

    /// What was waited for before readers see the newest state is there, or late.
    pub(super) async fn settled(&mut self) {
        self.settling = None;
        self.offered = false;
        self.take_in_refused_links().await;
    }
}
