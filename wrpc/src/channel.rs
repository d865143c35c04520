//! Channels: the byte streams of an invocation, cut into messages.
//!
//! Message boundaries mean nothing, an empty message is the end, and a writer that goes away without ending
//! its channel ends it with a failure. Between Lath peers a stream is flow controlled (`peer.rs`): the writer
//! keeps what the reader has not consumed within the reader's window. Towards 1.x peers the wire format has no
//! flow control; there a reader that falls too far behind loses its own call and nothing else. The meaning of
//! the bytes is not known here.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use tokio::time::timeout;

use crate::client::Client;
use crate::failure::{Failure, FailureCode};
use crate::inbox::{Broken, MESSAGE_COST, Mail, Mailbox, Registration};

/// Why a channel ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// More arrived than may wait for a slow reader.
    #[error("the reader of the stream fell too far behind")]
    Overflow,
    /// The connection to NATS was made anew while the stream lasted, so bytes may be missing.
    #[error("the connection to NATS was lost in the middle of the stream")]
    ConnectionLost,
    /// The NATS client was shut down.
    #[error("the NATS client is closed")]
    Closed,
    /// Nothing moved for as long as [`crate::Limits::stream_idle`].
    #[error("nothing moved on the stream for {} s", idle.as_secs())]
    Idle {
        /// How long it was waited.
        idle: Duration,
    },
    /// The reader does not want the rest. Not an error for a writer that has no duty to finish.
    #[error("the reader does not want the rest of the stream")]
    Unwanted,
    /// The writer says that it failed.
    #[error("the writer of the stream failed")]
    Failed(#[source] Failure),
    /// The channel ended in the middle of a value, as it does when a 1.x peer fails.
    #[error("the stream ended early")]
    Truncated,
    /// The bytes are not what the interface says.
    #[error("the stream does not hold what it should: {0}")]
    Malformed(&'static str),
}

impl From<Broken> for StreamError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Overflow => Self::Overflow,
            Broken::ConnectionLost => Self::ConnectionLost,
            Broken::Closed => Self::Closed,
        }
    }
}

/// The sending end of one channel without flow control: parameters, results.
#[derive(Debug)]
pub(crate) struct Outgoing {
    client: Client,
    subject: Subject,
    connects: u64,
    ended: bool,
}

impl Outgoing {
    pub(crate) fn new(client: Client, subject: Subject) -> Self {
        let connects = client.inbox().connects();
        Self { client, subject, connects, ended: false }
    }

    /// Sends all bytes, in as many messages as they need. Nothing is sent when there are none.
    pub(crate) async fn write(&mut self, mut bytes: Bytes) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(self.client.max_payload()));
            self.publish(piece).await?;
        }
        Ok(())
    }

    pub(crate) async fn end(mut self) -> Result<(), StreamError> {
        self.publish(Bytes::new()).await?;
        self.ended = true;
        Ok(())
    }

    pub(crate) async fn fail(mut self, failure: &Failure) -> Result<(), StreamError> {
        self.ended = true;
        self.client.publish(self.subject.clone(), None, Some(failure.headers()), Bytes::new()).await
    }

    async fn publish(&mut self, piece: Bytes) -> Result<(), StreamError> {
        if self.client.inbox().connects() != self.connects {
            // What was written before may be lost; the reader must not take the rest for the whole.
            return Err(StreamError::ConnectionLost);
        }
        self.client.publish(self.subject.clone(), None, None, piece).await
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.ended {
            let failure = Failure::new(FailureCode::Aborted, "the sender stopped before the end");
            self.client.publish_later(self.subject.clone(), Some(failure.headers()));
        }
    }
}

/// The sending end of an asynchronous parameter or result.
#[derive(Debug)]
pub struct StreamWriter {
    out: Outgoing,
    gate: Option<Gate>,
}

/// Keeps a writer within its reader's window.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) credits: Mailbox,
    pub(crate) window: u64,
    pub(crate) sent: u64,
    pub(crate) consumed: u64,
    pub(crate) idle: Duration,
    /// Keeps the route of the credits.
    pub(crate) _registration: Arc<Registration>,
}

impl StreamWriter {
    pub(crate) fn new(out: Outgoing, gate: Option<Gate>) -> Self {
        Self { out, gate }
    }

    /// Sends bytes, which may become several messages. Waits while the reader's window is full; a reader that
    /// is not Lath has no window.
    ///
    /// # Errors
    /// When the reader wants no more, nothing moved for too long, or the connection is gone. The stream is of
    /// no use then; dropping it tells the reader.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let mut most = self.out.client.max_payload();
            if let Some(gate) = &mut self.gate {
                gate.wait().await?;
                most = most.min(usize::try_from(gate.window / 2).unwrap_or(most)).max(1);
            }
            let piece = bytes.split_to(bytes.len().min(most));
            if let Some(gate) = &mut self.gate {
                gate.sent += cost(&piece);
            }
            self.out.write(piece).await?;
        }
        Ok(())
    }

    /// Ends the channel. Dropping without this tells the reader that the stream is incomplete.
    ///
    /// # Errors
    /// When the connection was lost meanwhile.
    pub async fn end(self) -> Result<(), StreamError> {
        self.out.end().await
    }

    /// Ends the channel with a failure, which a Lath reader gets and a 1.x reader sees as an early end.
    pub async fn fail(self, failure: &Failure) {
        // Nothing more can be said to a peer that cannot be reached.
        let _ = self.out.fail(failure).await;
    }
}

impl Gate {
    async fn wait(&mut self) -> Result<(), StreamError> {
        while let Some(mail) = self.credits.try_recv() {
            self.take(mail)?;
        }
        while self.sent.saturating_sub(self.consumed) >= self.window {
            let mail = timeout(self.idle, self.credits.recv())
                .await
                .map_err(|_| StreamError::Idle { idle: self.idle })?;
            self.take(mail)?;
        }
        Ok(())
    }

    fn take(&mut self, mail: Result<Mail, Broken>) -> Result<(), StreamError> {
        match mail? {
            Mail::Credit(consumed) => self.consumed = self.consumed.max(consumed),
            Mail::End(_) => return Err(StreamError::Unwanted),
            Mail::Data(_) | Mail::Whole(_) | Mail::Accepted(_) | Mail::Refused(_) => {}
        }
        Ok(())
    }
}

/// The receiving end of an asynchronous parameter or result: raw bytes, still framed as the encoding has it.
#[derive(Debug)]
pub struct StreamReader {
    mails: Mailbox,
    /// Keeps the route of the channel.
    _registration: Arc<Registration>,
    client: Client,
    report: Option<Report>,
    idle: Duration,
    ended: bool,
}

/// Where and how a reader tells a Lath writer what it has consumed.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) subject: Subject,
    pub(crate) window: u64,
    pub(crate) consumed: u64,
    pub(crate) reported: u64,
}

impl StreamReader {
    pub(crate) fn new(mails: Mailbox, registration: Arc<Registration>, client: Client) -> Self {
        let idle = client.limits().stream_idle;
        Self { mails, _registration: registration, client, report: None, idle, ended: false }
    }

    pub(crate) fn report_to(&mut self, subject: Subject) {
        let window = self.client.limits().stream_window as u64;
        self.report = Some(Report { subject, window, consumed: 0, reported: 0 });
    }

    /// The next bytes, or nothing at the end of the channel.
    ///
    /// # Errors
    /// When the channel broke, failed or stood still for too long.
    pub async fn read(&mut self) -> Result<Option<Bytes>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        loop {
            let mail = match self.mails.try_recv() {
                Some(mail) => mail,
                None => timeout(self.idle, self.mails.recv())
                    .await
                    .map_err(|_| StreamError::Idle { idle: self.idle })?,
            };
            match mail.inspect_err(|_| self.ended = true)? {
                Mail::Data(bytes) => {
                    self.consumed(&bytes).await?;
                    return Ok(Some(bytes));
                }
                Mail::End(failure) => {
                    self.ended = true;
                    return failure.map_or(Ok(None), |failure| Err(StreamError::Failed(failure)));
                }
                Mail::Whole(_) | Mail::Accepted(_) | Mail::Refused(_) | Mail::Credit(_) => {}
            }
        }
    }

    async fn consumed(&mut self, bytes: &Bytes) -> Result<(), StreamError> {
        let Some(report) = &mut self.report else { return Ok(()) };
        report.consumed += cost(bytes);
        if report.consumed - report.reported < report.window / 4 {
            return Ok(());
        }
        report.reported = report.consumed;
        let payload = Bytes::copy_from_slice(&report.consumed.to_le_bytes());
        let subject = report.subject.clone();
        self.client.publish(subject, None, None, payload).await
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        if let Some(report) = self.report.take().filter(|_| !self.ended) {
            self.client.publish_later(report.subject, None);
        }
    }
}

/// What a message counts against the window: the same at both ends.
fn cost(bytes: &Bytes) -> u64 {
    (bytes.len() + MESSAGE_COST) as u64
}

/// The subject of a channel below an inbox.
pub(crate) fn below(inbox: &Subject, channel: &str) -> Subject {
    Subject::from(format!("{inbox}.{channel}"))
}
