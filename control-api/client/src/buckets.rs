//! Typed key-value buckets: reading one record or all of them, always from the stream's leader.
//!
//! What the records mean is not known here. Every record carries a checksum and the id of the write that made it;
//! one that cannot be read is reported beside the others and never hides them.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind, Stream};
use async_nats::jetstream::{Context, ErrorCode, kv};
use futures::{StreamExt, TryStreamExt};
use lath_control_api::Digest;
use serde::de::DeserializeOwned;

use crate::connection::{Connection, chain};

mod watch;
mod write;

pub use watch::{BucketWatch, Change};
pub use write::{WriteError, WriteId};

/// Digest of a record's bytes; absent on records written by hand.
const CHECKSUM: &str = "Lath-Checksum";
/// Marks deletions, as every client of such buckets does.
const OPERATION: &str = "KV-Operation";
/// Why the server itself left a marker.
const MARKER_REASON: &str = "Nats-Marker-Reason";
/// Records that are fetched at once while listing.
const LIST_CONCURRENCY: usize = 16;

/// The number that the store gave a write. Grows over the whole bucket, with gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KvRevision(pub u64);

impl fmt::Display for KvRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a bucket is made, when it is not there. An existing one is taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketOptions {
    /// Values kept for each key, 1 to 64. More than one lets a writer find out whether its lost write won.
    pub history: u8,
    /// Copies in a cluster, 1 to 5.
    pub replicas: u8,
    /// Most time for one request to the store.
    pub timeout: Duration,
}

impl Default for BucketOptions {
    /// Five values, one copy, three seconds.
    fn default() -> Self {
        Self { history: 5, replicas: 1, timeout: Duration::from_secs(3) }
    }
}

/// A record as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// Its key.
    pub key: String,
    /// Number of the write that made it; to be named when it is replaced.
    pub revision: KvRevision,
    /// The record.
    pub value: T,
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record `{key}` in bucket `{bucket}` cannot be read: {cause}")]
pub struct Malformed {
    /// The bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Number of the write that made it.
    pub revision: KvRevision,
    /// What is wrong with it.
    pub cause: String,
}

/// All records of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// Those that can be read, by key.
    pub records: BTreeMap<String, Stored<T>>,
    /// Those that cannot, by key.
    pub malformed: BTreeMap<String, Malformed>,
    /// The bucket's last write when the listing began; a smaller one than before means that the store lost writes.
    pub head: KvRevision,
}

/// Why nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bucket itself is gone.
    #[error("bucket `{bucket}` is not there")]
    NoBucket {
        /// Which one.
        bucket: String,
    },
    /// The record is there and cannot be read.
    #[error(transparent)]
    Malformed(Malformed),
    /// The store did not answer well.
    #[error("bucket `{bucket}` cannot be read: {cause}")]
    Unavailable {
        /// Which one.
        bucket: String,
        /// What happened.
        cause: String,
    },
}

/// A bucket whose values are `T`, as JSON. A clone is the same bucket.
pub struct TypedBucket<T> {
    name: String,
    options: BucketOptions,
    connection: Connection,
    context: Context,
    stream: Stream<()>,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for TypedBucket<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            options: self.options,
            connection: self.connection.clone(),
            context: self.context.clone(),
            stream: self.stream.clone(),
            value: PhantomData,
        }
    }
}

impl<T> fmt::Debug for TypedBucket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedBucket").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T> TypedBucket<T> {
    /// The bucket `name`, made when it is not there.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn open(
        connection: &Connection,
        name: &str,
        options: BucketOptions,
    ) -> Result<Self, ReadError> {
        let context = connection.jetstream(options.timeout);
        let unavailable = |cause: String| ReadError::Unavailable { bucket: name.to_owned(), cause };
        let stream = context
            .get_stream_no_info(format!("KV_{name}"))
            .await
            .map_err(|error| unavailable(error.to_string()))?;
        let bucket = Self {
            name: name.to_owned(),
            options,
            connection: connection.clone(),
            context,
            stream,
            value: PhantomData,
        };
        bucket.ensure().await?;
        Ok(bucket)
    }

    /// Name of the bucket.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the bucket if it is not there.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn ensure(&self) -> Result<(), ReadError> {
        self.connected().await?;
        match self.stream.get_info().await {
            Ok(_) => return Ok(()),
            Err(error) if is_no_stream(&error) => {}
            Err(error) => return Err(self.unavailable(chain(&error))),
        }
        let config = kv::Config {
            bucket: self.name.clone(),
            history: i64::from(self.options.history),
            num_replicas: usize::from(self.options.replicas),
            limit_markers: Some(Self::MARKER_AGE),
            ..kv::Config::default()
        };
        // Two that make it at once make the same one.
        let made = self.context.create_key_value(config).await;
        made.map(drop).map_err(|error| self.unavailable(chain(&error)))
    }

    /// How long the marker of a deleted key stays for those who resume a watch.
    const MARKER_AGE: Duration = Duration::from_secs(600);

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    fn unavailable(&self, cause: String) -> ReadError {
        ReadError::Unavailable { bucket: self.name.clone(), cause }
    }

    /// Waits for a connection, so that nothing is sent long after its sender gave up.
    async fn connected(&self) -> Result<(), ReadError> {
        if self.connection.up_within(self.options.timeout).await {
            return Ok(());
        }
        Err(self.unavailable("not connected to NATS".to_owned()))
    }
}

impl<T: DeserializeOwned> TypedBucket<T> {
    /// The record under `key`, if there is one.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn get(&self, key: &str) -> Result<Option<Stored<T>>, ReadError> {
        self.connected().await?;
        match self.last(key).await? {
            Some(message) if is_marker(&message.headers) => Ok(None),
            Some(message) => self.decode(key, &message).map(Some).map_err(ReadError::Malformed),
            None => Ok(None),
        }
    }

    /// Every record. Complete as of [`Listing::head`]; some may be newer.
    ///
    /// # Errors
    /// See [`ReadError`]; never [`ReadError::Malformed`].
    pub async fn list(&self) -> Result<Listing<T>, ReadError> {
        self.list_matching(">").await
    }

    /// Every record whose key fits `pattern`, in which `*` stands for one part of a key and `>` for the rest of it.
    ///
    /// # Errors
    /// As for [`TypedBucket::list`].
    pub async fn list_matching(&self, pattern: &str) -> Result<Listing<T>, ReadError> {
        self.connected().await?;
        let prefix = self.subject("");
        // The leader answers this, and names every key: a record that then cannot be fetched is an error.
        let info = self.stream.info_with_subjects(self.subject(pattern)).await;
        let info = info.map_err(|error| self.read_failure(is_no_stream(&error), chain(&error)))?;
        let head = KvRevision(info.info.state.last_sequence);
        let subjects: Vec<(String, usize)> =
            info.try_collect().await.map_err(|error| self.unavailable(chain(&error)))?;
        let keys = subjects.iter().filter_map(|(subject, _)| subject.strip_prefix(&prefix));
        let fetches: Vec<_> = keys.map(|key| self.fetch(key)).collect();
        let mut listing = Listing { records: BTreeMap::new(), malformed: BTreeMap::new(), head };
        let mut fetched = futures::stream::iter(fetches).buffer_unordered(LIST_CONCURRENCY);
        while let Some((key, message)) = fetched.next().await {
            match message? {
                Some(message) if !is_marker(&message.headers) => match self.decode(&key, &message) {
                    Ok(record) => drop(listing.records.insert(key, record)),
                    Err(malformed) => drop(listing.malformed.insert(key, malformed)),
                },
                Some(_) | None => {}
            }
        }
        Ok(listing)
    }

    async fn fetch(&self, key: &str) -> (String, Result<Option<StreamMessage>, ReadError>) {
        (key.to_owned(), self.last(key).await)
    }

    fn decode(&self, key: &str, message: &StreamMessage) -> Result<Stored<T>, Malformed> {
        let (headers, payload) = (&message.headers, &message.payload);
        self.decode_parts(key, KvRevision(message.sequence), headers, payload)
    }

    fn decode_parts(
        &self,
        key: &str,
        revision: KvRevision,
        headers: &HeaderMap,
        payload: &[u8],
    ) -> Result<Stored<T>, Malformed> {
        let malformed = |cause| Malformed { bucket: self.name.clone(), key: key.to_owned(), revision, cause };
        if let Some(checksum) = headers.get(CHECKSUM) {
            let found = Digest::of(payload);
            if checksum.as_str() != found.as_str() {
                return Err(malformed(format!("its bytes are {found}, and {checksum} was written")));
            }
        }
        let value = serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))?;
        Ok(Stored { key: key.to_owned(), revision, value })
    }
}

impl<T> TypedBucket<T> {
    /// The last message of a key, a marker of its deletion included.
    async fn last(&self, key: &str) -> Result<Option<StreamMessage>, ReadError> {
        match self.stream.get_last_raw_message_by_subject(&self.subject(key)).await {
            Ok(message) => Ok(Some(message)),
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(cause) => {
                    Err(self.read_failure(cause.error_code() == ErrorCode::STREAM_NOT_FOUND, chain(&error)))
                }
                LastRawMessageErrorKind::InvalidSubject | LastRawMessageErrorKind::Other => {
                    Err(self.unavailable(chain(&error)))
                }
            },
        }
    }

    /// The first message of a key after `revision`: what won the write that expected `revision`.
    async fn next_after(&self, key: &str, revision: u64) -> Result<Option<StreamMessage>, ReadError> {
        let found = self.stream.get_first_raw_message_by_subject(self.subject(key), revision + 1).await;
        match found {
            Ok(message) => Ok(Some(message)),
            Err(error) => match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                RawMessageErrorKind::JetStream(cause) => {
                    Err(self.read_failure(cause.error_code() == ErrorCode::STREAM_NOT_FOUND, chain(&error)))
                }
                RawMessageErrorKind::InvalidSubject | RawMessageErrorKind::Other => {
                    Err(self.unavailable(chain(&error)))
                }
            },
        }
    }

    fn read_failure(&self, no_bucket: bool, cause: String) -> ReadError {
        if no_bucket { ReadError::NoBucket { bucket: self.name.clone() } } else { self.unavailable(cause) }
    }
}

/// Whether a message only says that its key was deleted, or that it ran out of time.
fn is_marker(headers: &HeaderMap) -> bool {
    headers.get(MARKER_REASON).is_some()
        || headers.get(OPERATION).is_some_and(|value| matches!(value.as_str(), "DEL" | "PURGE"))
}

fn is_no_stream(error: &async_nats::jetstream::context::RequestError) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    source.is_some_and(|source| source.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
