//! The caller's side: one invocation from the parameters to the results.
//!
//! A deadline always ends the wait, and dropping an [`Invocation`] forgets its routes; the callee of the 1.x
//! world is not told, a Lath callee knows the deadline. Nothing is retried here: [`InvokeError::may_retry`]
//! says whether the call provably did not start, and the host decides. Values are bytes here.

use std::sync::Arc;

use async_nats::{HeaderMap, Subject};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};
use wasmtime::component::{Type, Val};

use crate::channel::{Gate, Outgoing, StreamError, StreamReader, StreamWriter, below};
use crate::client::Client;
use crate::codec::{self, DecodeError, EncodeError};
use crate::failure::Failure;
use crate::inbox::{Accepted, Mail, Mailbox, Refusal, Registration, Route, RouteKind};
use crate::peer::{CALL, LathCall, WHOLE};
use crate::subject::Target;

/// Why a call gave no results.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// Nobody serves the function. The call did not start.
    #[error("nobody serves `{0}`")]
    NotConnected(Target),
    /// There is no connection to NATS at the moment. The call did not start.
    #[error("there is no connection to NATS")]
    Offline,
    /// The deadline passed. Whether the callee worked on it is unknown, unless `accepted` says that it did.
    #[error("no answer in time")]
    TimedOut {
        /// Whether the callee had taken the call.
        accepted: bool,
    },
    /// The callee ended the call without results and without a reason, as 1.x callees do when they fail.
    #[error("the callee failed without a reason")]
    Interrupted,
    /// The callee turned the call away before it started.
    #[error("the callee refused the call")]
    Rejected(#[source] Failure),
    /// The callee took the call and failed.
    #[error("the callee failed")]
    Failed(#[source] Failure),
    /// The callee, or what answered in its place, does not keep to the protocol.
    #[error("the answer to the call makes no sense: {0}")]
    Protocol(String),
    /// Parameters or results are over a limit of [`crate::Limits`].
    #[error("{what} of the call are larger than {limit} bytes")]
    TooLarge {
        /// `parameters` or `results`.
        what: &'static str,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The parameters do not fit the types of the function. The call did not start.
    #[error("the parameters cannot be encoded")]
    Encode(#[source] EncodeError),
    /// The results do not fit the types of the function.
    #[error("the results cannot be decoded")]
    Decode(#[source] DecodeError),
    /// A channel broke in the middle.
    #[error("the call was cut off")]
    Stream(#[source] StreamError),
}

impl InvokeError {
    /// Whether the call provably did not start, so that making it again, here or elsewhere, cannot do it twice.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        match self {
            Self::NotConnected(_) | Self::Offline | Self::Rejected(_) => true,
            Self::TimedOut { .. }
            | Self::Interrupted
            | Self::Failed(_)
            | Self::Protocol(_)
            | Self::TooLarge { .. }
            | Self::Encode(_)
            | Self::Decode(_)
            | Self::Stream(_) => false,
        }
    }
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The encoded tuple of results. Empty for a function without results, and for a 1.x callee that failed:
    /// the wire cannot tell the two apart.
    pub results: Bytes,
}

/// What to send, beside the target.
#[derive(Debug, Default)]
pub struct Params {
    /// Headers of the call, such as [`crate::SOURCE_ID`] and the trace context.
    pub headers: HeaderMap,
    /// The encoded tuple of parameters.
    pub bytes: Bytes,
    /// Index paths of the asynchronous parameters, such as `0.0`.
    pub streams: &'static [&'static str],
    /// Index paths of the asynchronous results.
    pub result_streams: &'static [&'static str],
}

/// What happened next in an invocation.
#[derive(Debug)]
pub enum Progress {
    /// The callee took the call. The writers are in the order of [`Params::streams`]; each must be written
    /// and ended, beside waiting for the results.
    Accepted(Vec<StreamWriter>),
    /// The results are complete. The readers are in the order of [`Params::result_streams`].
    Results(Bytes, Vec<StreamReader>),
}

impl Client {
    /// Makes a call of plain values and waits for its results, until `deadline`.
    ///
    /// # Errors
    /// See [`InvokeError`].
    pub async fn invoke(
        &self,
        target: &Target,
        headers: HeaderMap,
        params: Bytes,
        deadline: Instant,
    ) -> Result<Outcome, InvokeError> {
        let params = Params { headers, bytes: params, ..Params::default() };
        let mut invocation = self.start(target, params, deadline).await?;
        loop {
            if let Progress::Results(results, _) = invocation.next().await? {
                return Ok(Outcome { results });
            }
        }
    }

    /// Makes a call with component values. `result_types` decide what is read: a callee that ends early has
    /// failed when there are any.
    ///
    /// # Errors
    /// See [`InvokeError`].
    pub async fn call(
        &self,
        target: &Target,
        headers: HeaderMap,
        params: (&[Val], &[Type]),
        result_types: &[Type],
        deadline: Instant,
    ) -> Result<Vec<Val>, InvokeError> {
        let (values, types) = params;
        let bytes = codec::encode(values, types).map_err(InvokeError::Encode)?;
        let outcome = self.invoke(target, headers, bytes, deadline).await?;
        codec::decode(&outcome.results, result_types).map_err(|error| match error {
            // Short results are how a 1.x callee shows that it failed.
            DecodeError::Truncated => InvokeError::Interrupted,
            other => InvokeError::Decode(other),
        })
    }

    /// Sends the first message of a call that may have streams. The deadline bounds everything until the
    /// results; streams that outlast it are bounded by [`crate::Limits::stream_idle`].
    ///
    /// # Errors
    /// When the call cannot be sent. Whether anybody takes it is told by [`Invocation::next`].
    pub async fn start(
        &self,
        target: &Target,
        params: Params,
        deadline: Instant,
    ) -> Result<Invocation, InvokeError> {
        let limits = self.limits();
        if params.bytes.len() > limits.max_params {
            return Err(InvokeError::TooLarge { what: "parameters", limit: limits.max_params });
        }
        if !self.is_connected() {
            return Err(InvokeError::Offline);
        }
        let registration = Arc::new(self.reserve());
        let (mails, readers) = self.routes(&registration, params.result_streams);
        let Params { mut headers, bytes: mut rest, streams, .. } = params;
        let call = LathCall {
            params: rest.len(),
            timeout: deadline.saturating_duration_since(Instant::now()),
            window: limits.stream_window,
        };
        headers.insert(CALL, call.header());
        let inbox = registration.subject();
        let room = first_payload(self.max_payload(), &inbox, &headers)?;
        let first = rest.split_to(rest.len().min(room));
        let (subject, again) = match target.preferred() {
            Some(preferred) => (preferred, Some((headers.clone(), first.clone()))),
            None => (target.subject(), None),
        };
        self.send_first(subject, inbox, headers, first, deadline).await?;
        Ok(Invocation {
            client: self.clone(),
            target: target.clone(),
            registration,
            mails,
            readers,
            again,
            rest,
            streams,
            deadline,
            accepted: false,
            results: Gathered::default(),
        })
    }

    async fn send_first(
        &self,
        subject: Subject,
        inbox: Subject,
        headers: HeaderMap,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<(), InvokeError> {
        let sent = timeout_at(deadline, self.publish(subject, Some(inbox), Some(headers), payload)).await;
        // What the connection did not take until the deadline was not sent.
        sent.map_err(|_| InvokeError::Offline)?.map_err(InvokeError::Stream)
    }

    /// The routes of an invocation: accept and results in one queue, each result stream in its own.
    fn routes(
        &self,
        registration: &Arc<Registration>,
        streams: &[&'static str],
    ) -> (Mailbox, Vec<(&'static str, StreamReader)>) {
        let limits = self.limits();
        // Room for the messages' own cost beside the largest results.
        let (sender, mails) = self.mailbox(limits.max_results + limits.max_results / 8 + (1 << 16));
        let mut routes = vec![
            Route { suffix: "".into(), kind: RouteKind::Root, sender: sender.clone() },
            Route { suffix: WHOLE.into(), kind: RouteKind::Whole, sender: sender.clone() },
            Route { suffix: "results".into(), kind: RouteKind::Once, sender },
        ];
        let readers = streams
            .iter()
            .map(|&path| {
                let (sender, mails) = self.mailbox(limits.stream_buffer);
                let suffix = format!("results.{path}").into();
                routes.push(Route { suffix, kind: RouteKind::Stream, sender });
                (path, StreamReader::new(mails, Arc::clone(registration), self.clone()))
            })
            .collect();
        registration.add(routes);
        (mails, readers)
    }
}

/// A call under way. Dropping it forgets it; the callee finishes on its own.
#[derive(Debug)]
pub struct Invocation {
    client: Client,
    target: Target,
    registration: Arc<Registration>,
    mails: Mailbox,
    readers: Vec<(&'static str, StreamReader)>,
    /// The first message, while it may have to be sent again because those whom the target prefers are gone.
    again: Option<(HeaderMap, Bytes)>,
    /// Parameters that did not fit in the first message.
    rest: Bytes,
    streams: &'static [&'static str],
    deadline: Instant,
    accepted: bool,
    results: Gathered,
}

impl Invocation {
    /// Waits for the next thing that the callee says, until the deadline. Call it until it gives
    /// [`Progress::Results`]; a quick callee may skip [`Progress::Accepted`].
    ///
    /// # Errors
    /// See [`InvokeError`]. The invocation is over then.
    pub async fn next(&mut self) -> Result<Progress, InvokeError> {
        let deadline = self.deadline;
        let next = timeout_at(deadline, self.wait()).await;
        next.unwrap_or(Err(InvokeError::TimedOut { accepted: self.accepted }))
    }

    async fn wait(&mut self) -> Result<Progress, InvokeError> {
        loop {
            let mail = self.mails.recv().await.map_err(|broken| InvokeError::Stream(broken.into()))?;
            match mail {
                Mail::Accepted(accepted) if !self.accepted => {
                    self.accepted = true;
                    let writers = self.accept(accepted).await.map_err(InvokeError::Stream)?;
                    return Ok(Progress::Accepted(writers));
                }
                Mail::Refused(refusal) if !self.accepted => match self.again.take() {
                    Some((headers, first)) if refusal.is_gone() => self.fall_back(headers, first).await?,
                    Some(_) | None => return Err(self.refused(refusal)),
                },
                Mail::Data(bytes) => self.results.push(bytes, self.client.limits().max_results)?,
                Mail::Whole(bytes) => {
                    self.results.push(bytes, self.client.limits().max_results)?;
                    return Ok(self.complete());
                }
                Mail::End(None) => return Ok(self.complete()),
                Mail::End(Some(failure)) => return Err(InvokeError::Failed(failure)),
                // Repetitions, which the protocol tells to ignore.
                Mail::Accepted(_) | Mail::Refused(_) | Mail::Credit(_) => {}
            }
        }
    }

    /// Those whom the target prefers are gone and have not begun: the call goes to anyone who serves the function.
    async fn fall_back(&self, headers: HeaderMap, first: Bytes) -> Result<(), InvokeError> {
        let inbox = self.registration.subject();
        self.client.send_first(self.target.subject(), inbox, headers, first, self.deadline).await
    }

    fn complete(&mut self) -> Progress {
        let readers = self.readers.drain(..).map(|(_, reader)| reader).collect();
        Progress::Results(self.results.take(), readers)
    }

    /// Sends what is left of the parameters, and makes the writers of the streams.
    async fn accept(&mut self, accepted: Accepted) -> Result<Vec<StreamWriter>, StreamError> {
        let Accepted { reply, lath } = accepted;
        // A Lath callee knows from the first message whether it held all parameters.
        if lath.is_none() || !self.rest.is_empty() {
            let mut params = Outgoing::new(self.client.clone(), below(&reply, "params"));
            params.write(std::mem::take(&mut self.rest)).await?;
            params.end().await?;
        }
        if lath.is_some() {
            for (path, reader) in &mut self.readers {
                reader.report_to(below(&reply, &format!("credit.results.{path}")));
            }
        }
        let window = lath.map(|lath| lath.window);
        Ok(self.streams.iter().map(|path| self.writer(&reply, path, window)).collect())
    }

    fn writer(&self, reply: &Subject, path: &str, window: Option<usize>) -> StreamWriter {
        let channel = format!("params.{path}");
        let out = Outgoing::new(self.client.clone(), below(reply, &channel));
        let gate = window.map(|window| gate(&self.client, &self.registration, &channel, window));
        StreamWriter::new(out, gate)
    }

    fn refused(&self, refusal: Refusal) -> InvokeError {
        match refusal {
            Refusal::NoResponders => InvokeError::NotConnected(self.target.clone()),
            Refusal::Failure(failure) => InvokeError::Rejected(failure),
            Refusal::Status(code, text) => InvokeError::Protocol(format!("status {code} {text}")),
            Refusal::NoReply => InvokeError::Protocol("it was accepted without an inbox".to_owned()),
        }
    }
}

/// Flow control of the channel that this side writes, for a reader with a window of `window` bytes.
pub(crate) fn gate(client: &Client, registration: &Arc<Registration>, channel: &str, window: usize) -> Gate {
    // Credits are small and each replaces the one before; the queue only has to outlast a busy writer.
    let (sender, credits) = client.mailbox(1 << 20);
    let suffix = format!("credit.{channel}").into();
    registration.add(vec![Route { suffix, kind: RouteKind::Credit, sender }]);
    Gate {
        credits,
        window: window as u64,
        sent: 0,
        consumed: 0,
        idle: client.limits().stream_idle,
        _registration: Arc::clone(registration),
    }
}

/// Bytes of parameters that fit in the first message. The established rule subtracts the length of the inbox,
/// which the server does not count; it is kept so that messages are cut where 1.x callers cut them.
fn first_payload(max_payload: usize, inbox: &Subject, headers: &HeaderMap) -> Result<usize, InvokeError> {
    let fields: usize = headers
        .iter()
        .flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.iter().map(move |value| name.len() + value.as_str().len() + 4)
        })
        .sum();
    max_payload
        .checked_sub(inbox.len() + fields + 12)
        .ok_or(InvokeError::TooLarge { what: "headers", limit: max_payload })
}

/// The bytes of a channel, put together; a single message is not copied.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    first: Bytes,
    more: BytesMut,
}

impl Gathered {
    pub(crate) fn push(&mut self, bytes: Bytes, limit: usize) -> Result<(), InvokeError> {
        if self.len() + bytes.len() > limit {
            return Err(InvokeError::TooLarge { what: "results", limit });
        }
        if self.len() == 0 {
            self.first = bytes;
        } else {
            if self.more.is_empty() {
                self.more.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.more.extend_from_slice(&bytes);
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    pub(crate) fn take(&mut self) -> Bytes {
        if self.more.is_empty() { std::mem::take(&mut self.first) } else { self.more.split().freeze() }
    }
}
