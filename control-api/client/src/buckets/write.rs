//! Writing a record by compare-and-set, and finding out what became of a write whose answer was lost.
//!
//! No write is ever made without naming what it replaces. Sending the same write again is harmless: it expects the
//! same predecessor, so at most one of the copies wins, and its id tells whose it was (fault F37).

use std::fmt;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;
use lath_control_api::Digest;
use serde::Serialize;

use super::{CHECKSUM, KvRevision, OPERATION, ReadError, TypedBucket, is_marker};
use crate::connection::chain;

/// Names the write that made a record.
const WRITE_ID: &str = "Lath-Write-Id";
/// Times that a write is sent while nobody says what became of it.
const TRIES: u32 = 3;

/// Names one intended write, so that its writer can recognise it in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteId(String);

impl WriteId {
    /// A new id, unlike any other.
    #[must_use]
    pub fn generate() -> Self {
        Self(ulid::Ulid::generate().to_string())
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a record was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The record is no longer what the writer expected. Nothing was written.
    #[error("the record `{key}` was changed by somebody else")]
    Conflict {
        /// Its key.
        key: String,
        /// The write that came first; `None` when it is not known any more.
        winner: Option<KvRevision>,
    },
    /// Larger than the server takes. Nothing was written.
    #[error(
        "the record `{key}` has {size} bytes, and the NATS server takes at most {limit} (its max_payload)"
    )]
    TooLarge {
        /// Its key.
        key: String,
        /// Size in bytes.
        size: usize,
        /// The server's limit in bytes.
        limit: usize,
    },
    /// The value cannot be written as JSON.
    #[error("the record `{key}` cannot be encoded: {cause}")]
    Encode {
        /// Its key.
        key: String,
        /// Why.
        cause: String,
    },
    /// The store refused. Nothing was written.
    #[error("the record `{key}` cannot be written: {cause}")]
    Unavailable {
        /// Its key.
        key: String,
        /// What the store said.
        cause: String,
    },
    /// Nobody can say whether it was written. Read before deciding anything.
    #[error("it is not known whether the record `{key}` was written: {cause}")]
    Unknown {
        /// Its key.
        key: String,
        /// What happened last.
        cause: String,
    },
}

/// One write that is to be made, however often it is sent.
struct Write<'a> {
    key: &'a str,
    id: &'a WriteId,
    /// The store's number of what it replaces; 0 for "nothing".
    expected: u64,
    /// The record; nothing for a deletion.
    payload: Option<Bytes>,
}

/// What is known after one sending went wrong.
enum Setback {
    /// The predecessor was another one. It may be an earlier copy of this very write.
    Outrun,
    /// The store said no for a reason of its own.
    Refused(String),
    /// No answer: it may have been written.
    Silent(String),
}

impl<T: Serialize> TypedBucket<T> {
    /// Writes the first record under `key`, or the first after its deletion. Repeating it with the same `id` gives
    /// the same answer.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] when there is a record; the others as documented.
    pub async fn create(&self, key: &str, value: &T, id: &WriteId) -> Result<KvRevision, WriteError> {
        let payload = Some(encode(key, value)?);
        let unavailable =
            |error: ReadError| WriteError::Unavailable { key: key.to_owned(), cause: error.to_string() };
        self.connected().await.map_err(unavailable)?;
        let expected = match self.last(key).await.map_err(unavailable)? {
            None => 0,
            Some(there) if is_marker(&there.headers) => there.sequence,
            Some(there) if is_by(&there, id) => return Ok(KvRevision(there.sequence)),
            Some(there) => {
                let winner = Some(KvRevision(there.sequence));
                return Err(WriteError::Conflict { key: key.to_owned(), winner });
            }
        };
        self.write(Write { key, id, expected, payload }).await
    }

    /// Replaces the record under `key` that was written as `expected`.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] when it is another one by now; the others as documented.
    pub async fn update(
        &self,
        key: &str,
        value: &T,
        expected: KvRevision,
        id: &WriteId,
    ) -> Result<KvRevision, WriteError> {
        let payload = Some(encode(key, value)?);
        self.write(Write { key, id, expected: expected.0, payload }).await
    }
}

impl<T> TypedBucket<T> {
    /// Removes the record under `key` that was written as `expected`, and all its earlier values.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] when it is another one by now; the others as documented.
    pub async fn delete(
        &self,
        key: &str,
        expected: KvRevision,
        id: &WriteId,
    ) -> Result<KvRevision, WriteError> {
        self.write(Write { key, id, expected: expected.0, payload: None }).await
    }

    async fn write(&self, write: Write<'_>) -> Result<KvRevision, WriteError> {
        let key = || write.key.to_owned();
        let mut doubt: Option<String> = None;
        for _ in 0..TRIES {
            if let Err(error) = self.connected().await {
                let cause = error.to_string();
                return Err(match doubt {
                    None => WriteError::Unavailable { key: key(), cause },
                    Some(_) => WriteError::Unknown { key: key(), cause },
                });
            }
            let error = match self.send(&write).await {
                Ok(sequence) => return Ok(KvRevision(sequence)),
                Err(error) => error,
            };
            if error.kind() == PublishErrorKind::MaxPayloadExceeded {
                let size = write.payload.as_ref().map_or(0, Bytes::len);
                return Err(WriteError::TooLarge { key: key(), size, limit: self.connection.max_payload() });
            }
            let setback = Setback::of(&error);
            match (self.next_after(write.key, write.expected).await, setback) {
                (Ok(Some(winner)), _) if is_by(&winner, write.id) => return Ok(KvRevision(winner.sequence)),
                (Ok(Some(winner)), _) => {
                    return Err(WriteError::Conflict {
                        key: key(),
                        winner: Some(KvRevision(winner.sequence)),
                    });
                }
                // The store holds an older state than the writer has seen: it lost writes.
                (Ok(None), Setback::Outrun) => {
                    return Err(WriteError::Conflict { key: key(), winner: None });
                }
                (_, Setback::Refused(cause)) if doubt.is_none() => {
                    return Err(WriteError::Unavailable { key: key(), cause });
                }
                (Ok(None), Setback::Silent(cause) | Setback::Refused(cause)) => doubt = Some(cause),
                (Err(error), _) => doubt = Some(error.to_string()),
            }
        }
        Err(WriteError::Unknown { key: key(), cause: doubt.unwrap_or_default() })
    }

    async fn send(&self, write: &Write<'_>) -> Result<u64, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, write.expected.to_string());
        headers.insert(WRITE_ID, write.id.0.as_str());
        match &write.payload {
            Some(payload) => headers.insert(CHECKSUM, Digest::of(payload).as_str()),
            None => {
                headers.insert(OPERATION, "PURGE");
                headers.insert("Nats-Rollup", "sub");
                headers.insert(NATS_MESSAGE_TTL, Self::MARKER_AGE.as_secs().to_string());
            }
        }
        let payload = write.payload.clone().unwrap_or_default();
        let sent = self.context.publish_with_headers(self.subject(write.key), headers, payload).await?;
        Ok(sent.await?.sequence)
    }
}

impl Setback {
    fn of(error: &PublishError) -> Self {
        match error.kind() {
            PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId => Self::Outrun,
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::MaxPayloadExceeded => Self::Refused(chain(error)),
            PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => Self::Silent(chain(error)),
            PublishErrorKind::Other => {
                let source = std::error::Error::source(error);
                let answered = source.is_some_and(|source| source.is::<async_nats::jetstream::Error>());
                if answered { Self::Refused(chain(error)) } else { Self::Silent(chain(error)) }
            }
        }
    }
}

fn is_by(message: &StreamMessage, id: &WriteId) -> bool {
    message.headers.get(WRITE_ID).is_some_and(|found| found.as_str() == id.0)
}

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Bytes, WriteError> {
    let encoded = serde_json::to_vec(value);
    let refused =
        |error: serde_json::Error| WriteError::Encode { key: key.to_owned(), cause: error.to_string() };
    encoded.map(Bytes::from).map_err(refused)
}
