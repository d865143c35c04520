//! What the reconciler should look at: a set, so that any amount of news about an app is one visit.
//!
//! Bounded by the number of apps, and nobody who reports news ever waits.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use lath_control_api::AppName;
use tokio::sync::Notify;

/// Where news is reported, and where it is taken from. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    dirty: Mutex<Dirty>,
    notify: Notify,
}

/// What there is news of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// Every app.
    pub(crate) all: bool,
    /// These apps.
    pub(crate) apps: BTreeSet<AppName>,
}

impl Wake {
    pub(crate) fn apps(&self, apps: impl IntoIterator<Item = AppName>) {
        self.change(|dirty| dirty.apps.extend(apps));
    }

    pub(crate) fn all(&self) {
        self.change(|dirty| dirty.all = true);
    }

    /// Waits for news and takes all of it. Dropping the wait loses nothing.
    pub(crate) async fn take(&self) -> Dirty {
        loop {
            let news = self.0.notify.notified();
            let taken = self.change_quietly(std::mem::take);
            if taken != Dirty::default() {
                return taken;
            }
            news.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Dirty)) {
        self.change_quietly(change);
        self.0.notify.notify_one();
    }

    fn change_quietly<A>(&self, change: impl FnOnce(&mut Dirty) -> A) -> A {
        // A panic elsewhere leaves a set that is still a set.
        change(&mut self.0.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn any_amount_of_news_is_taken_at_once_and_none_is_lost() {
        let wake = Wake::default();
        assert!(wake.take().now_or_never().is_none());
        let (shop, bank): (AppName, AppName) = ("shop".parse().unwrap(), "bank".parse().unwrap());
        wake.apps([shop.clone(), bank.clone()]);
        wake.apps([shop.clone()]);
        wake.all();
        assert_eq!(wake.take().await, Dirty { all: true, apps: BTreeSet::from([bank, shop.clone()]) });
        assert!(wake.take().now_or_never().is_none());
        // News that comes while somebody waits ends the wait.
        let waiting = tokio::spawn({
            let wake = wake.clone();
            async move { wake.take().await }
        });
        wake.apps([shop.clone()]);
        assert_eq!(waiting.await.unwrap().apps, BTreeSet::from([shop]));
    }
}
