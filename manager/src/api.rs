//! Requests about apps over NATS. Any manager of the lattice may answer any of them.
//!
//! A change is a compare-and-set of the app's record, and the manager that acts hears of it from the store. Every
//! request gets an answer.

use std::sync::Arc;

use bytes::Bytes;
use lath_control_api::app::{
    AppRequest, DeployRequest, DiffRequest, ListRequest, RevisionRequest, RollbackRequest, RolloutRequest,
    ScaleRequest, TagRequest,
};
use lath_control_api::{ApiError, AppVerb, ErrorCode, Reply, Subjects};
use lath_control_api_client::async_nats::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::failpoint::Failpoint;
use crate::requests::Requests;

pub(crate) mod change;
mod images;
mod pinned;
pub(crate) mod read;
mod revisions;
mod shared;
pub(crate) mod versions;

/// Answers requests.
#[derive(Debug)]
pub(crate) struct Api {
    context: Arc<Context>,
    requests: Requests,
}

impl Api {
    /// Begins to take requests.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(crate) async fn listen(context: Arc<Context>) -> anyhow::Result<Self> {
        let subjects = context.client.subjects();
        let requests = Requests::listen(&context, subjects.app_requests(), subjects.manager_group()).await?;
        Ok(Self { context, requests })
    }

    /// Answers until `shutdown`, then finishes what was taken on.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let context = self.context;
        self.requests.run(shutdown, |request| answer(Arc::clone(&context), request)).await;
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
