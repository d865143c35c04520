//! Following a bucket: first all records, then every change, and all records again whenever a change may have
//! been missed.
//!
//! A gap is never bridged by guessing: after a reconnect, an error or a silence of the store everything is listed
//! anew (invariant N4). Readers need no logic of their own for it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{KvRevision, Listing, Malformed, ReadError, Stored, TypedBucket, is_marker};
use crate::connection::{Link, chain};

/// Pauses before listing is tried again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Shortest time between two listings, however often a gap is suspected.
const LISTING_PAUSE: Duration = Duration::from_millis(250);

/// What became of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// All that there is. What is not in it is not there.
    Listed(Listing<T>),
    /// A record was written.
    Put(Stored<T>),
    /// A record was written that cannot be read.
    Malformed(Malformed),
    /// A record was deleted.
    Gone {
        /// Its key.
        key: String,
        /// Number of the deletion.
        revision: KvRevision,
    },
}

/// Follows a bucket. Made by [`TypedBucket::watch`].
pub struct BucketWatch<T> {
    bucket: TypedBucket<T>,
    link: watch::Receiver<Link>,
    feed: Option<Feed>,
    pause: Option<Duration>,
    listed: Option<Instant>,
}

/// The changes since a listing.
struct Feed {
    changes: Ordered,
    /// Connections made, and messages dropped, when the feed began: with more of them it may have a gap.
    since: (u64, u64),
    /// The last change that was told, or the head of the listing.
    seen: u64,
    /// Records that the listing had newer than its head: the changes up to them are old news.
    ahead: BTreeMap<String, KvRevision>,
}

impl<T> std::fmt::Debug for BucketWatch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BucketWatch").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> TypedBucket<T> {
    /// Follows the bucket from now on. The first change is [`Change::Listed`].
    #[must_use]
    pub fn watch(&self) -> BucketWatch<T> {
        BucketWatch {
            bucket: self.clone(),
            link: self.connection.link(),
            feed: None,
            pause: None,
            listed: None,
        }
    }
}

impl<T: DeserializeOwned> BucketWatch<T> {
    /// The next change. No change is lost when the call is dropped, but a listing begins anew, so give it a task of
    /// its own rather than a short deadline.
    ///
    /// # Errors
    /// When the bucket cannot be read now. The next call waits a little and tries again.
    pub async fn next(&mut self) -> Result<Change<T>, ReadError> {
        loop {
            let Some(feed) = self.feed.as_mut() else { return self.list().await };
            let message = tokio::select! {
                biased;
                changed = self.link.changed() => {
                    let news = marks(&self.link.borrow_and_update());
                    if changed.is_err() || news != feed.since {
                        self.feed = None;
                    }
                    continue;
                }
                message = feed.changes.next() => message,
            };
            match message {
                Some(Ok(message)) => {
                    if let Some(change) = self.bucket.read_change(feed, &message) {
                        return Ok(change);
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(bucket = self.bucket.name(), error = %chain(&error), "watch broke off");
                    self.feed = None;
                }
                None => self.feed = None,
            }
        }
    }

    async fn list(&mut self) -> Result<Change<T>, ReadError> {
        let since_last = self.listed.map_or(LISTING_PAUSE, |listed| listed.elapsed());
        let pause = self.pause.unwrap_or_else(|| LISTING_PAUSE.saturating_sub(since_last));
        tokio::time::sleep(pause).await;
        let since = marks(&self.link.borrow_and_update());
        match self.bucket.list_and_follow(since).await {
            Ok((listing, feed)) => {
                self.feed = Some(feed);
                self.pause = None;
                self.listed = Some(Instant::now());
                Ok(Change::Listed(listing))
            }
            Err(error) => {
                self.pause = Some(self.pause.map_or(PAUSES.0, |pause| (pause * 2).min(PAUSES.1)));
                Err(error)
            }
        }
    }
}

impl<T: DeserializeOwned> TypedBucket<T> {
    async fn list_and_follow(&self, since: (u64, u64)) -> Result<(Listing<T>, Feed), ReadError> {
        let listing = self.list().await?;
        let config = OrderedConfig {
            deliver_subject: self.connection.nats().new_inbox(),
            filter_subject: self.subject(">"),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: listing.head.0 + 1 },
            ..OrderedConfig::default()
        };
        let consumer = self.stream.create_consumer(config).await;
        let consumer = consumer.map_err(|error| self.unavailable(chain(&error)))?;
        let changes = consumer.messages().await.map_err(|error| self.unavailable(chain(&error)))?;
        let newer = listing.records.iter().filter(|(_, record)| record.revision > listing.head);
        let ahead = newer.map(|(key, record)| (key.clone(), record.revision)).collect();
        let seen = listing.head.0;
        Ok((listing, Feed { changes, since, seen, ahead }))
    }

    /// The change that a message stands for; `None` for what is known already.
    fn read_change(&self, feed: &mut Feed, message: &Message) -> Option<Change<T>> {
        let revision = KvRevision(message.info().ok()?.stream_sequence);
        let key = message.subject.strip_prefix(&self.subject(""))?.to_owned();
        if revision.0 <= feed.seen || feed.ahead.get(&key).is_some_and(|told| revision <= *told) {
            return None;
        }
        feed.seen = revision.0;
        let empty = HeaderMap::new();
        let headers = message.headers.as_ref().unwrap_or(&empty);
        if is_marker(headers) {
            return Some(Change::Gone { key, revision });
        }
        Some(match self.decode_parts(&key, revision, headers, &message.payload) {
            Ok(record) => Change::Put(record),
            Err(malformed) => Change::Malformed(malformed),
        })
    }
}

/// What tells that messages may have been missed.
fn marks(link: &Link) -> (u64, u64) {
    (link.connects, link.dropped)
}
