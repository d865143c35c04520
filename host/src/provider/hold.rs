//! Calls that wait while the link that they come by changes at a provider.
//!
//! Providers know one link under one id, and ignore another form of it: a changed link is taken away before it is put
//! again. A call in between would find none, so calls of its source are kept back for that long, as many and as long as
//! the source's app allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use lath_control_api::{ComponentId, HoldPolicy};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Which calls of one provider wait at this moment. Links change one after another, so those of one source at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Holds(Arc<ArcSwapOption<Hold>>);

#[derive(Debug)]
struct Hold {
    source: ComponentId,
    until: Instant,
    most: u32,
    waiting: AtomicU32,
    over: CancellationToken,
}

/// Calls wait until this is dropped.
pub(super) struct Holding {
    holds: Holds,
    over: CancellationToken,
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    hold: Arc<Hold>,
    /// How many waited when it came, itself among them.
    number: u32,
}

/// More calls wait than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a link changes, and {most} calls wait for that already; further ones are refused")]
pub(crate) struct TooMany {
    most: u32,
}

impl Holds {
    /// Keeps calls of `source` back.
    pub(super) fn begin(&self, source: ComponentId, policy: HoldPolicy) -> Holding {
        let over = CancellationToken::new();
        let until = Instant::now() + Duration::from_millis(policy.max_time_ms);
        let (most, waiting) = (policy.max_queue, AtomicU32::new(0));
        self.0.store(Some(Arc::new(Hold { source, until, most, waiting, over: over.clone() })));
        Holding { holds: self.clone(), over }
    }

    /// A call of `source` that has to wait; none if it can go on.
    ///
    /// # Errors
    /// When too many wait already.
    pub(super) fn wait(&self, source: &str) -> Result<Option<Waiting>, TooMany> {
        let hold = self.0.load();
        // Once its time is over, calls go on as if nothing changed.
        let holds = |hold: &&Arc<Hold>| hold.source.as_str() == source && Instant::now() < hold.until;
        let Some(hold) = hold.as_ref().filter(holds) else { return Ok(None) };
        let waiting = Waiting::begin(Arc::clone(hold));
        if waiting.number > hold.most {
            return Err(TooMany { most: hold.most });
        }
        Ok(Some(waiting))
    }
}

impl Waiting {
    fn begin(hold: Arc<Hold>) -> Self {
        let number = hold.waiting.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Self { hold, number }
    }

    /// Resolves when the link has changed, or has had its time for that.
    pub(crate) async fn over(self) {
        let _late = timeout_at(self.hold.until, self.hold.over.cancelled()).await.is_err();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.hold.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.holds.0.store(None);
        self.over.cancel();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn id(text: &str) -> ComponentId {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_the_source_wait_until_the_link_has_changed() {
        let holds = Holds::default();
        assert!(holds.wait("shop-api").unwrap().is_none());
        let holding = holds.begin(id("shop-api"), HoldPolicy { max_time_ms: 1_000, max_queue: 2 });
        let waiting = [holds.wait("shop-api").unwrap().unwrap(), holds.wait("shop-api").unwrap().unwrap()];
        assert!(holds.wait("shop-web").unwrap().is_none());
        assert_eq!(holds.wait("shop-api").unwrap_err(), TooMany { most: 2 });
        let [first, second] = waiting;
        // A caller that gives up makes room for another.
        drop(first);
        let waiting = [second, holds.wait("shop-api").unwrap().unwrap()];
        let mut over = Box::pin(futures::future::join_all(waiting.map(Waiting::over)));
        assert!((&mut over).now_or_never().is_none());
        drop(holding);
        over.await;
        assert!(holds.wait("shop-api").unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_app_allows() {
        let holds = Holds::default();
        let begun = Instant::now();
        let _holding = holds.begin(id("shop-api"), HoldPolicy { max_time_ms: 700, max_queue: 1 });
        holds.wait("shop-api").unwrap().unwrap().over().await;
        assert_eq!(begun.elapsed(), Duration::from_millis(700));
        for _ in 0..3 {
            assert!(
                holds.wait("shop-api").unwrap().is_none(),
                "the link takes longer, and nobody is refused for that"
            );
        }
    }
}
