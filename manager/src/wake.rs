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
