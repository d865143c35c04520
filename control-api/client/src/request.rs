//! One request and its answer: the size is checked before sending, the wait is bounded, the answer is decoded.
//!
//! There is no retry here: only the caller knows whether asking twice is harmless.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use bytes::Bytes;
use lath_control_api::{ApiError, LatticeId, Reply, Subjects};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection::Connection;

/// Requests and events of one lattice. A clone shares the connection.
#[derive(Debug, Clone)]
pub struct ControlClient {
    connection: Connection,
    subjects: Subjects,
}

/// Why there is no answer, or which one it was.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens on the subject.
    #[error("nobody answers on `{subject}`")]
    NoResponders {
        /// Where was asked.
        subject: String,
    },
    /// Somebody listens, or may listen, and no answer came. The request may have been carried out.
    #[error("no answer on `{subject}` within {} ms", waited.as_millis())]
    TimedOut {
        /// Where was asked.
        subject: String,
        /// The deadline.
        waited: Duration,
    },
    /// There was no connection to a NATS server. Nothing was sent.
    #[error("not connected to NATS{}", last.as_ref().map(|last| format!(": {last}")).unwrap_or_default())]
    Disconnected {
        /// What the connection complained about last.
        last: Option<String>,
    },
    /// Larger than the server takes. Nothing was sent.
    #[error("the request has {size} bytes, and the NATS server takes at most {limit} (its max_payload)")]
    TooLarge {
        /// Size of the request in bytes.
        size: usize,
        /// The server's limit in bytes.
        limit: usize,
    },
    /// The other side said no.
    #[error(transparent)]
    Refused(Box<ApiError>),
    /// The answer, or the request, cannot be read or written.
    #[error("the answer on `{subject}` cannot be read: {cause}")]
    Malformed {
        /// Where was asked.
        subject: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The answer in pages kept changing while it was read.
    #[error("the inventory changed during each of {tries} readings")]
    Unsteady {
        /// How often it was read.
        tries: u32,
    },
    /// Any other failure of the connection. The request may have been carried out.
    #[error("NATS: {0}")]
    Nats(String),
}

impl ControlClient {
    /// Speaks about `lattice` over `connection`.
    #[must_use]
    pub const fn new(connection: Connection, lattice: LatticeId) -> Self {
        Self { connection, subjects: Subjects::new(lattice) }
    }

    /// The connection.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Subjects of the lattice.
    #[must_use]
    pub const fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Asks on `subject` and waits for the answer, at most `deadline`. While there is no connection nothing is
    /// sent, so that no request is carried out after its asker has left.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request<Q, A>(&self, subject: &str, ask: &Q, deadline: Duration) -> Result<A, RequestError>
    where
        Q: Serialize,
        A: DeserializeOwned,
    {
        let payload = self.encode(subject, ask)?;
        let timed_out = || RequestError::TimedOut { subject: subject.to_owned(), waited: deadline };
        let answer = async {
            let mut link = self.connection.link();
            let up = link.wait_for(|link| link.up).await;
            drop(up.map_err(|_closed| RequestError::Disconnected { last: None })?);
            self.exchange(subject, payload, deadline).await
        };
        match tokio::time::timeout(deadline, answer).await {
            Ok(answer) => decode(subject, &answer?),
            Err(_) if self.connection.is_up() => Err(timed_out()),
            Err(_) => {
                let last = self.connection.link().borrow().last_error.clone();
                Err(RequestError::Disconnected { last })
            }
        }
    }

    async fn exchange(
        &self,
        subject: &str,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, RequestError> {
        let request = Request::new().payload(payload).timeout(Some(deadline));
        let answer = self.connection.nats().send_request(subject.to_owned(), request).await;
        answer.map(|message| message.payload).map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => RequestError::NoResponders { subject: subject.to_owned() },
            RequestErrorKind::TimedOut => {
                RequestError::TimedOut { subject: subject.to_owned(), waited: deadline }
            }
            RequestErrorKind::InvalidSubject
            | RequestErrorKind::MaxPayloadExceeded
            | RequestErrorKind::Other => RequestError::Nats(error.to_string()),
        })
    }

    /// `value` as bytes that the server takes.
    pub(crate) fn encode<Q: Serialize>(&self, subject: &str, value: &Q) -> Result<Bytes, RequestError> {
        let malformed = |error: serde_json::Error| RequestError::Malformed {
            subject: subject.to_owned(),
            cause: error.to_string(),
        };
        let payload = serde_json::to_vec(value).map_err(malformed)?;
        let limit = self.connection.max_payload();
        if payload.len() > limit {
            return Err(RequestError::TooLarge { size: payload.len(), limit });
        }
        Ok(payload.into())
    }
}

fn decode<A: DeserializeOwned>(subject: &str, payload: &[u8]) -> Result<A, RequestError> {
    let reply: Reply<A> = serde_json::from_slice(payload)
        .map_err(|error| RequestError::Malformed { subject: subject.to_owned(), cause: error.to_string() })?;
    reply.into_result().map_err(RequestError::Refused)
}
