//! Requests about apps over NATS. Any manager of the lattice may answer any of them.
//!
//! A change is a compare-and-set of the app's record, and the manager that acts hears of it from the store. Every
//! request gets an answer, and one task each, at most [`AT_ONCE`] of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use lath_control_api::app::{
    AppRequest, DeployRequest, DiffRequest, ListRequest, RevisionRequest, RollbackRequest, RolloutRequest,
    ScaleRequest, TagRequest,
};
use lath_control_api::{ApiError, AppVerb, ErrorCode, Reply, Subjects};
use lath_control_api_client::async_nats::{Message, Subscriber};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::failpoint::Failpoint;

pub(crate) mod change;
mod images;
pub(crate) mod read;
mod revisions;

/// Requests that are worked on at once; further ones wait in the connection.
const AT_ONCE: usize = 32;
/// Time for the last requests to come in after the server was told to send no more.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Answers requests.
#[derive(Debug)]
pub(crate) struct Api {
    context: Arc<Context>,
    requests: Subscriber,
}

impl Api {
    /// Begins to take requests.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(crate) async fn listen(context: Arc<Context>) -> anyhow::Result<Self> {
        let (client, subjects) = (context.client.connection().nats(), context.client.subjects());
        let requests = client.queue_subscribe(subjects.app_requests(), subjects.manager_group()).await?;
        client.flush().await?;
        Ok(Self { context, requests })
    }

    /// Answers until `shutdown`, then finishes what was taken on.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = tasks.join_next() => {}
                request = self.requests.next(), if tasks.len() < AT_ONCE => match request {
                    Some(request) => drop(tasks.spawn(answer(Arc::clone(&self.context), request))),
                    None => break,
                },
            }
        }
        // What the server has sent us already is answered; the next request goes to another manager.
        let rest = async {
            let _ = self.requests.drain().await;
            while let Some(request) = self.requests.next().await {
                tasks.spawn(answer(Arc::clone(&self.context), request));
            }
        };
        // Without a connection nothing says that this was the last one.
        let _ = tokio::time::timeout(LAST_REQUESTS, rest).await;
        while tasks.join_next().await.is_some() {}
    }
}

async fn answer(context: Arc<Context>, request: Message) {
    // Replies go to inboxes only, so that no request makes us publish on a subject of its choice.
    let Some(reply) = request.reply.clone().filter(|reply| reply.starts_with("_INBOX")) else {
        tracing::debug!(subject = %request.subject, "a request without an inbox is ignored");
        return;
    };
    let connection = context.client.connection();
    let payload = dispatch(&context, &request).await;
    let limit = connection.max_payload();
    let payload = if payload.len() > limit { too_large(payload.len(), limit) } else { payload };
    Failpoint::AnswerSend.before();
    if let Err(error) = connection.nats().publish(reply, payload).await {
        tracing::debug!(%error, "an answer could not be sent");
    }
    Failpoint::AnswerSend.after();
}

async fn dispatch(context: &Context, request: &Message) -> Bytes {
    let token = Subjects::verb(&request.subject);
    let Some(verb) = AppVerb::named(token) else {
        let known: Vec<&str> = AppVerb::ALL.iter().map(|verb| verb.as_str()).collect();
        let message = format!("there is no operation `{}`", token.escape_debug());
        let error = ApiError::new(ErrorCode::UnknownOperation, message);
        return encode::<()>(Err(error.with_help(format!("operations are {}", known.join(", ")))));
    };
    let body = &request.payload;
    match verb {
        AppVerb::Deploy => encode(with(body, |ask: DeployRequest| change::deploy(context, ask)).await),
        AppVerb::Rollback => encode(with(body, |ask: RollbackRequest| change::rollback(context, ask)).await),
        AppVerb::Undeploy => encode(with(body, |ask: AppRequest| change::undeploy(context, ask)).await),
        AppVerb::Delete => encode(with(body, |ask: AppRequest| change::delete(context, ask)).await),
        AppVerb::Status => encode(with(body, |ask: AppRequest| read::status(context, ask.app)).await),
        AppVerb::History => encode(with(body, |ask: AppRequest| read::history(context, ask.app)).await),
        AppVerb::List => encode(with(body, |_: ListRequest| async { Ok(read::list(context).await) }).await),
        AppVerb::Hosts => encode(with(body, |_: ListRequest| async { Ok(read::hosts(context)) }).await),
        AppVerb::Plan => encode(with(body, |ask: DeployRequest| change::plan(context, ask)).await),
        AppVerb::Rollout => encode(with(body, |ask: RolloutRequest| change::rollout(context, ask)).await),
        AppVerb::Scale => encode(with(body, |ask: ScaleRequest| change::scale(context, ask)).await),
        AppVerb::Tag => encode(with(body, |ask: TagRequest| change::tag(context, ask)).await),
        AppVerb::Show => encode(with(body, |ask: RevisionRequest| revisions::show(context, ask)).await),
        AppVerb::Diff => encode(with(body, |ask: DiffRequest| revisions::diff(context, ask)).await),
        AppVerb::Ping => encode(with(body, |_: ListRequest| async { Ok(read::manager(context)) }).await),
    }
}

/// Decodes a request and carries it out.
async fn with<Q, A, F>(body: &[u8], carry_out: impl FnOnce(Q) -> F) -> Result<A, ApiError>
where
    Q: DeserializeOwned,
    F: Future<Output = Result<A, ApiError>>,
{
    let ask = serde_json::from_slice(body).map_err(|error| {
        ApiError::new(ErrorCode::BadRequest, format!("the request cannot be read: {error}"))
            .with_help("use a `lath` of the manager's version")
    })?;
    carry_out(ask).await
}

fn encode<A: Serialize>(result: Result<A, ApiError>) -> Bytes {
    let encoded = serde_json::to_vec(&Reply::from(result));
    let failed = |error: serde_json::Error| {
        tracing::error!(%error, "an answer cannot be encoded");
        b"{\"error\":{\"code\":\"E0105\",\"message\":\"the answer cannot be encoded\"}}".to_vec()
    };
    encoded.unwrap_or_else(failed).into()
}

fn too_large(size: usize, limit: usize) -> Bytes {
    let message =
        format!("the answer has {size} bytes, and the NATS server takes at most {limit} (its max_payload)");
    let error = ApiError::new(ErrorCode::TooLarge, message);
    encode::<()>(Err(error.with_help("ask for less at once, or raise `max_payload` of the NATS server")))
}
