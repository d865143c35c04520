//! One call on the callee's side: its parameters, and the one answer that it gets.
//!
//! Dropping a call without an answer is an answer too: its caller gets a failure. The accept is sent at once
//! where the caller needs it to go on; a Lath caller that sent everything gets it together with the results
//! when those are quick. How calls are queued is in `accept.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use crate::channel::{Outgoing, StreamError, StreamReader, StreamWriter, below};
use crate::client::Client;
use crate::failure::{Failure, FailureCode};
use crate::inbox::{Mail, Mailbox, Registration, Route, RouteKind};
use crate::invoke::{Gathered, gate};
use crate::peer::{LathAccept, LathCall, WHOLE};

use super::Export;

/// How long the rest of the parameters may stay away before the call is given up.
const PARAMS_IDLE: Duration = Duration::from_secs(30);

/// One call to answer.
#[derive(Debug)]
pub struct Call {
    export: Arc<Export>,
    headers: HeaderMap,
    deadline: Option<Instant>,
    params: Params,
    streams: Vec<StreamReader>,
    reply: Reply,
}

/// What was learnt of a call when its message arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) export: Arc<Export>,
    pub(super) caller: Option<LathCall>,
    /// When a Lath caller stops waiting.
    pub(super) deadline: Option<Instant>,
}

#[derive(Debug)]
struct Params {
    first: Bytes,
    /// Where the rest arrives; none when the first message held all.
    rest: Option<Mailbox>,
}

impl Call {
    /// Makes the routes of a call. Nothing is sent yet. None when the message asks for no answer.
    pub(super) fn new(client: &Client, arrived: Arrived, message: Message) -> Option<Self> {
        let Arrived { export, caller, deadline } = arrived;
        let whole = caller.is_some_and(|caller| caller.params == message.payload.len());
        let registration = Arc::new(client.reserve());
        let mut routes = Vec::new();
        let rest = (!whole).then(|| {
            let limit = client.limits().max_params;
            let (sender, mails) = client.mailbox(limit + limit / 8 + (1 << 16));
            routes.push(Route { suffix: "params".into(), kind: RouteKind::Once, sender });
            mails
        });
        let streams = export.streams.iter().map(|path| {
            let (sender, mails) = client.mailbox(client.limits().stream_buffer);
            routes.push(Route { suffix: format!("params.{path}").into(), kind: RouteKind::Stream, sender });
            StreamReader::new(mails, Arc::clone(&registration), client.clone())
        });
        let streams = streams.collect();
        if !routes.is_empty() {
            registration.add(routes);
        }
        let reply = Reply {
            client: client.clone(),
            caller_inbox: message.reply?,
            registration,
            caller,
            accepted: Arc::new(AtomicBool::new(false)),
            answered: false,
        };
        let headers = message.headers.unwrap_or_default();
        let params = Params { first: message.payload, rest };
        let mut call = Self { export, headers, deadline, params, streams, reply };
        call.report_streams();
        Some(call)
    }

    /// What is called.
    #[must_use]
    pub fn export(&self) -> &Export {
        &self.export
    }

    /// The headers of the call: who calls, along which link, in which trace.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// When the caller stops waiting. Callers of the 1.x world do not say.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// All synchronous parameters.
    ///
    /// # Errors
    /// When they are over the limit, or the caller stops sending them.
    pub async fn params(&mut self) -> Result<Bytes, Failure> {
        let limit = self.reply.client.limits().max_params;
        let mut all = Gathered::default();
        while let Some(bytes) = self.next_params().await? {
            all.push(bytes, limit).map_err(|_| {
                Failure::new(FailureCode::TooLarge, format!("parameters are over {limit} bytes"))
            })?;
        }
        Ok(all.take())
    }

    /// The next synchronous parameter bytes, or nothing at their end. For reading parameters whose own form
    /// shows where they end, without waiting for the caller to say so.
    ///
    /// # Errors
    /// When the caller stops sending them.
    pub async fn next_params(&mut self) -> Result<Option<Bytes>, Failure> {
        let first = std::mem::take(&mut self.params.first);
        if !first.is_empty() {
            return Ok(Some(first));
        }
        let Some(mails) = &mut self.params.rest else { return Ok(None) };
        let gone = |text: &str| Failure::new(FailureCode::BadParams, text);
        loop {
            let mail = timeout(PARAMS_IDLE, mails.recv())
                .await
                .map_err(|_| gone("the rest of the parameters did not come"))?;
            match mail.map_err(|broken| gone(&StreamError::from(broken).to_string()))? {
                Mail::Data(bytes) => return Ok(Some(bytes)),
                Mail::End(None) => {
                    self.params.rest = None;
                    return Ok(None);
                }
                Mail::End(Some(_)) => return Err(gone("the caller stopped sending the parameters")),
                Mail::Whole(_) | Mail::Accepted(_) | Mail::Refused(_) | Mail::Credit(_) => {}
            }
        }
    }

    /// The asynchronous parameters, in the order of [`Export::streams`]. The second time there are none.
    pub fn take_streams(&mut self) -> Vec<StreamReader> {
        std::mem::take(&mut self.streams)
    }

    /// Answers with the encoded results, or with a failure.
    ///
    /// # Errors
    /// When the connection is closed; the caller then waits until its deadline.
    pub async fn finish(self, results: Result<Bytes, Failure>) -> Result<(), StreamError> {
        self.reply.finish(results).await
    }

    /// Answers with the encoded synchronous results; asynchronous ones follow through what is returned.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn respond(self, results: Bytes) -> Result<Responding, StreamError> {
        let mut reply = self.reply;
        reply.send(Ok(results)).await?;
        Ok(Responding { reply })
    }

    /// Whether the caller needs the accept before it can go on, or is not known to do without.
    pub(super) fn wants_accept_now(&self) -> bool {
        self.reply.caller.is_none() || self.params.rest.is_some() || !self.streams.is_empty()
    }

    pub(super) fn acceptance(&self) -> Acceptance {
        self.reply.acceptance()
    }

    fn report_streams(&mut self) {
        if self.reply.caller.is_some() {
            for (path, reader) in self.export.streams.iter().zip(&mut self.streams) {
                reader.report_to(below(&self.reply.caller_inbox, &format!("credit.params.{path}")));
            }
        }
    }
}

/// A call whose results were sent and whose asynchronous results follow.
#[derive(Debug)]
pub struct Responding {
    reply: Reply,
}

impl Responding {
    /// The writer of the asynchronous result at an index path such as `0.0`.
    #[must_use]
    pub fn writer(&self, path: &str) -> StreamWriter {
        let reply = &self.reply;
        let channel = format!("results.{path}");
        let out = Outgoing::new(reply.client.clone(), below(&reply.caller_inbox, &channel));
        let gate =
            reply.caller.map(|caller| gate(&reply.client, &reply.registration, &channel, caller.window));
        StreamWriter::new(out, gate)
    }
}

/// The accept of one call, sent once by whoever comes first.
#[derive(Debug)]
pub(super) struct Acceptance {
    client: Client,
    caller_inbox: Subject,
    inbox: Subject,
    lath: bool,
    accepted: Arc<AtomicBool>,
}

impl Acceptance {
    pub(super) async fn send(&self) -> Result<(), StreamError> {
        if self.accepted.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let accept = LathAccept { window: self.client.limits().stream_window };
        let headers = self.lath.then(|| accept.headers());
        self.client.publish(self.caller_inbox.clone(), Some(self.inbox.clone()), headers, Bytes::new()).await
    }
}

#[derive(Debug)]
struct Reply {
    client: Client,
    caller_inbox: Subject,
    registration: Arc<Registration>,
    caller: Option<LathCall>,
    accepted: Arc<AtomicBool>,
    answered: bool,
}

impl Reply {
    fn acceptance(&self) -> Acceptance {
        Acceptance {
            client: self.client.clone(),
            caller_inbox: self.caller_inbox.clone(),
            inbox: self.registration.subject(),
            lath: self.caller.is_some(),
            accepted: Arc::clone(&self.accepted),
        }
    }

    async fn finish(mut self, results: Result<Bytes, Failure>) -> Result<(), StreamError> {
        self.send(results).await
    }

    async fn send(&mut self, results: Result<Bytes, Failure>) -> Result<(), StreamError> {
        match results {
            // A Lath caller needs neither an accept nor an end when one message holds the results.
            Ok(bytes) if self.caller.is_some() && bytes.len() <= self.client.max_payload() => {
                self.accepted.store(true, Ordering::Release);
                self.client.publish(below(&self.caller_inbox, WHOLE), None, None, bytes).await?;
                self.answered = true;
                Ok(())
            }
            results => {
                self.acceptance().send().await?;
                let mut out = Outgoing::new(self.client.clone(), below(&self.caller_inbox, "results"));
                // From here on it is the channel that ends with a failure if this is cut off.
                self.answered = true;
                match results {
                    Ok(bytes) => {
                        out.write(bytes).await?;
                        out.end().await
                    }
                    Err(failure) => out.fail(&failure).await,
                }
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.answered {
            let failure = Failure::new(FailureCode::Aborted, "the callee stopped working on the call");
            self.client.publish_later(below(&self.caller_inbox, "results"), Some(failure.headers()));
        }
    }
}

/// Turns a call away that was not taken. A Lath caller is told that it did not start; a 1.x caller gets an
/// error at once, because an accept without an inbox is one.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) client: Client,
    pub(super) message: Option<Message>,
}

impl Unanswered {
    pub(super) fn refuse(mut self, failure: &Failure) {
        self.send(failure);
    }

    fn send(&mut self, failure: &Failure) {
        if let Some(reply) = self.message.take().and_then(|message| message.reply) {
            self.client.publish_later(reply, Some(failure.headers()));
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.send(&Failure::new(FailureCode::Stopping, "the callee has stopped"));
    }
}
