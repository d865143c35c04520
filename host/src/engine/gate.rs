//! A bounded number of calls at once, and a bounded queue before it.
//!
//! Entering a gate with room costs one atomic step and no lock; only who must wait touches the queue.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

use crate::engine::CallError;
use crate::engine::watch::Watch;

/// A number of places.
#[derive(Debug)]
pub(crate) struct Gate {
    free: AtomicU32,
    waiting: AtomicU32,
    most_waiting: u32,
    released: Notify,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Gate);

impl Gate {
    /// A gate of `places`, before which at most `most_waiting` may wait.
    pub(crate) fn new(places: u32, most_waiting: u32) -> Self {
        Self {
            free: AtomicU32::new(places),
            waiting: AtomicU32::new(0),
            most_waiting,
            released: Notify::new(),
        }
    }

    /// Takes a place, or waits for one as long as `watch` lets it.
    pub(crate) async fn enter(&self, watch: &Watch<'_>) -> Result<Place<'_>, CallError> {
        // Whoever waits goes first.
        if self.waiting.load(Ordering::SeqCst) == 0
            && let Some(place) = self.take()
        {
            return Ok(place);
        }
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= self.most_waiting {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(CallError::Overloaded(match self.most_waiting {
                0 => "no instance is free, and no call may wait for one".to_owned(),
                waiting => format!("no instance is free, and {waiting} calls wait for one already"),
            }));
        }
        let _waiting = Waiting(self);
        watch.over(self.wait()).await.map_err(|stopped| match stopped {
            CallError::DeadlineExceeded => {
                CallError::Overloaded("no instance became free before the deadline".into())
            }
            other => other,
        })
    }

    async fn wait(&self) -> Place<'_> {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // Listening before looking: a place that is given back in between is not missed.
            released.as_mut().enable();
            if let Some(place) = self.take() {
                return place;
            }
            released.await;
        }
    }

    fn take(&self) -> Option<Place<'_>> {
        self.free
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1))
            .ok()
            .map(|_| Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.released.notify_one();
        }
    }
}

/// One that waits, until it does not any more.
struct Waiting<'a>(&'a Gate);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    use super::*;

    static RUNNING: AtomicBool = AtomicBool::new(false);

    fn within(time: Duration) -> Watch<'static> {
        Watch::new(Instant::now() + time, &RUNNING)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn never_more_than_the_places_and_nobody_is_forgotten() {
        let gate = Arc::new(Gate::new(3, 1_000));
        let inside = Arc::new(AtomicU32::new(0));
        let calls: Vec<_> = (0..300)
            .map(|_| {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let _place = gate.enter(&within(LONG)).await.unwrap();
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for call in calls {
            tokio::time::timeout(LONG, call).await.unwrap().unwrap();
        }
        assert_eq!(gate.free.load(Ordering::SeqCst), 3);
        assert_eq!(gate.waiting.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_waiting_ends() {
        let gate = Gate::new(1, 1);
        let place = gate.enter(&within(LONG)).await.unwrap();
        let short = within(Duration::from_millis(50));
        let (first, second) = tokio::join!(gate.enter(&short), gate.enter(&short));
        let texts = [first, second].map(|refused| match refused {
            Err(CallError::Overloaded(text)) => text,
            other => panic!("{other:?}"),
        });
        assert!(texts[0].contains("before the deadline") && texts[1].contains("wait"), "{texts:?}");
        drop(place);
        gate.enter(&within(LONG)).await.unwrap();
    }
}
