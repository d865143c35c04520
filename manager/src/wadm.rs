//! The API of wadm, `wadm.api.{lattice}.model.…`: the same records as by Lath's own API, in the forms and words that
//! `wash` and other clients of 1.x know. What is changed goes through `api::change` and nowhere else.
//!
//! Any manager of the lattice may answer any request. Replies are never errors of their own kind: every form has a
//! `result` with the value `error`. Differences to wadm are in `docs/migrating.md`, and why in decision 0019.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lath_control_api::app::Cause;
use lath_control_api::{ApiError, AppName, Digest};
use lath_control_api_client::async_nats::Message;
use lath_control_api_client::{ReadError, Stored};
use lath_manager_planner::DesiredRecord;
use lath_manager_planner::record::Wanted;
use lath_wasmcloud::subject::{Model, WADM_QUEUE};
use lath_wasmcloud::wadm::{BY_HEADER, Failure, GetResult, IMAGES_HEADER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::failpoint::Failpoint;
use crate::requests::Requests;

mod change;
mod put;
mod read;
mod scalers;
mod status;
mod stream;

/// Longest name of whoever asks that is kept, in bytes.
const MAX_BY: usize = 64;

/// Answers clients of wadm, and tells them how apps stand.
#[derive(Debug)]
pub(crate) struct Wadm {
    context: Arc<Context>,
    requests: Requests,
    stream: stream::Stream,
}

impl Wadm {
    /// Begins to take requests, in the queue group of wadm: a wadm that runs beside would take a part of them.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(crate) async fn listen(context: Arc<Context>) -> anyhow::Result<Self> {
        let subject = format!("{}>", prefix(&context));
        let requests = Requests::listen(&context, subject, WADM_QUEUE.to_owned()).await?;
        let stream = stream::Stream::open(Arc::clone(&context)).await;
        Ok(Self { context, requests, stream })
    }

    /// Answers and tells until `shutdown`, then finishes what was taken on.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let context = self.context;
        let stream = self.stream.run(shutdown.clone());
        let answers = self.requests.run(shutdown, |request| answer(Arc::clone(&context), request));
        futures::join!(stream, answers);
    }
}

fn prefix(context: &Context) -> String {
    context.topics.wadm.of(context.client.subjects().lattice().as_str())
}

async fn answer(context: Arc<Context>, request: Message) {
    // Replies go to inboxes only, so that no request makes us publish on a subject of its choice.
    if request.reply.as_ref().is_some_and(|reply| !reply.starts_with("_INBOX")) {
        tracing::debug!(subject = %request.subject, "a request that wants its answer elsewhere is ignored");
        return;
    }
    let payload = dispatch(&context, &request).await;
    // As by wadm, what nobody waits for is done all the same.
    let Some(reply) = request.reply else { return };
    let connection = context.client.connection();
    let limit = connection.max_payload();
    let payload = if payload.len() > limit {
        let message =
            format!("the answer has {} bytes, and the NATS server takes at most {limit}", payload.len());
        encode(&failure(message))
    } else {
        payload
    };
    Failpoint::AnswerSend.before();
    if let Err(error) = connection.nats().publish(reply, payload).await {
        tracing::debug!(%error, "an answer could not be sent");
    }
    Failpoint::AnswerSend.after();
}

async fn dispatch(context: &Context, request: &Message) -> Bytes {
    let rest = request.subject.strip_prefix(&prefix(context)).and_then(|rest| rest.strip_prefix("model."));
    let Some(model) = rest.and_then(Model::read) else {
        return encode(&failure(format!("Unsupported subject: {}", request.subject)));
    };
    tracing::debug!(subject = %request.subject, "a request by the API of wadm");
    let body = &request.payload;
    match model {
        Model::List => reply(read::list(context).await),
        Model::GetAll => reply(read::get_all(context).await),
        Model::Get(name) => reply(read::get(context, name, body).await),
        Model::Versions(name) => reply(read::versions(context, name).await),
        Model::Status(name) => reply(read::status(context, name).await),
        Model::Put => reply(put::put(context, request).await),
        Model::Deploy(name) => reply(change::deploy(context, name, body, cause(request)).await),
        Model::Undeploy(name) => reply(change::undeploy(context, name, body, cause(request)).await),
        Model::Delete(name) => reply(change::delete(context, name, body, cause(request)).await),
        Model::History(_) => encode(&failure(
            "Model deployment history is not currently supported. It may be added in a future version",
        )),
    }
}

fn reply<A: Serialize>(result: Result<A, Failure>) -> Bytes {
    match result {
        Ok(answer) => encode(&answer),
        Err(failure) => encode(&failure),
    }
}

fn encode(answer: &impl Serialize) -> Bytes {
    let encoded = serde_json::to_vec(answer);
    let failed = |error: serde_json::Error| {
        tracing::error!(%error, "an answer cannot be encoded");
        br#"{"result":"error","message":"the answer cannot be encoded"}"#.to_vec()
    };
    encoded.unwrap_or_else(failed).into()
}

fn failure(message: impl Into<String>) -> Failure {
    Failure { result: GetResult::Error, message: message.into() }
}

/// What went wrong, with what to do about it, in the one sentence that clients show.
fn refused(error: &ApiError) -> Failure {
    let help = error.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    failure(format!("{}{help}", error.message))
}

/// The body of a request about `what`; an empty one says nothing.
fn body<T: DeserializeOwned + Default>(bytes: &[u8], what: &str) -> Result<T, Failure> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    // A list would do for an object, by serde, and an empty one for all versions.
    let read = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes)
        .and_then(|fields| serde_json::from_value(fields.into()));
    read.map_err(|error| failure(format!("Unable to parse {what} application request: {error}")))
}

/// The record of an app that is there: one that is being deleted is not, to its owner. A name that no app can have is
/// that of an app that is not there.
async fn record(context: &Context, name: &str) -> Result<Option<Stored<DesiredRecord>>, Failure> {
    let Ok(app) = name.parse::<AppName>() else { return Ok(None) };
    let found = context.records.read(&app).await;
    let found = found.map_err(|error: ReadError| refused(&crate::api::read::unreadable(&error)))?;
    Ok(found.filter(|stored| stored.value.wanted != Wanted::Forget))
}

fn not_found(name: &str) -> String {
    format!("Application with the name {name} not found")
}

/// Who asks, as far as they say.
fn cause(request: &Message) -> Cause {
    let by = header(request, BY_HEADER).filter(|by| by.len() <= MAX_BY && !by.chars().any(char::is_control));
    Cause { by: by.unwrap_or("wadm API").to_owned(), message: None }
}

/// What whoever asks has put into the lattice's store.
fn images(request: &Message) -> Result<BTreeMap<String, Digest>, Failure> {
    let Some(images) = header(request, IMAGES_HEADER) else { return Ok(BTreeMap::new()) };
    serde_json::from_str(images)
        .map_err(|error| failure(format!("Unable to parse manifest: the header {IMAGES_HEADER}: {error}")))
}

fn header<'a>(request: &'a Message, name: &str) -> Option<&'a str> {
    request.headers.as_ref()?.get(name).map(|value| value.as_str())
}
