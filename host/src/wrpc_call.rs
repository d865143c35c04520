//! Linked calls that leave a component: to a unit on this host, or over NATS to another.
//!
//! The engine asks here and knows nothing of routes. A call stays in its caller's revision, wherever in the lattice
//! that is served, and leaves it only where nobody does. A call over NATS is repeated only when it provably did
//! not start.

mod http_code;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Response;
use http_body_util::BodyExt as _;
use lath_control_api::{ComponentId, LatticeId, LinkSpec, ProviderTarget};
use lath_host_core::Reach;
use lath_wrpc::http::{self as wire, HttpError, IncomingBody};
use lath_wrpc::{
    AppRevision, Client, Failure, FailureCode, HeaderMap, Invocation, InvokeError, LINK_NAME, Params,
    SOURCE_ID, SubjectError, Target,
};

use crate::engine::body::keeping;
use crate::engine::{
    Body, BodyError, CallContext, CallError, Caller, InFlight, RemoteCall, RemoteRequest, RequestError,
    Targets,
};
use crate::provider::{Called, Providers};
use crate::routes::Router;
use crate::trace;

/// Header with the app revision in whose name a call is made: `{app}@{revision}`.
pub(crate) const REVISION: &str = "lath-revision";
/// Header with the number of components that a call has passed through.
pub(crate) const HOPS: &str = "lath-hops";
/// Most time for a call whose caller set none.
pub(crate) const DEFAULT_TIME: Duration = Duration::from_secs(30);
/// Tries of a call that other hosts turn away, or that finds nobody for a moment.
const TRIES: usize = 3;
/// Pause before a call that was turned away is made again.
const PAUSE: Duration = Duration::from_millis(20);

/// Finds who answers linked calls.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) router: Arc<Router>,
    pub(crate) client: Client,
    pub(crate) lattice: LatticeId,
    pub(crate) providers: Providers,
}

/// Index paths of what is asynchronous in a call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Streams {
    /// In its parameters.
    pub(crate) params: &'static [&'static str],
    /// In its results.
    pub(crate) results: &'static [&'static str],
}

/// A call that leaves the host's own components; its plain values.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) link: &'a LinkSpec,
    pub(crate) instance: &'a str,
    pub(crate) function: &'a str,
    /// The encoded tuple of parameters.
    pub(crate) params: Bytes,
    pub(crate) ctx: &'a CallContext,
}

impl Targets for Links {
    fn local(&self, caller: &Caller, target: &ComponentId) -> Option<InFlight> {
        self.router.begin_own(target, (&caller.app, caller.revision), &self.client)
    }

    fn beside(&self, caller: &Caller, target: &ComponentId) -> Option<InFlight> {
        self.router.begin(target, Some((&caller.app, caller.revision)), Reach::Host)
    }

    fn remote<'a>(&'a self, call: RemoteCall<'a>) -> BoxFuture<'a, Result<Bytes, CallError>> {
        async move {
            let RemoteCall { caller, link, instance, function, params, ctx } = call;
            self.send(Outgoing { caller, link, instance, function, params, ctx: &ctx }).await
        }
        .boxed()
    }

    fn remote_http<'a>(
        &'a self,
        request: RemoteRequest<'a>,
    ) -> BoxFuture<'a, Result<Response<Body>, RequestError>> {
        self.request(request).boxed()
    }
}

impl Links {
    /// Makes a request. One that provably did not start is made again, as long as its body is whole.
    async fn request(&self, request: RemoteRequest<'_>) -> Result<Response<Body>, RequestError> {
        let RemoteRequest { caller, link, request, outward, ctx } = request;
        let revision = AppRevision { app: caller.app.clone(), revision: caller.revision };
        let instance = if outward.is_some() { wire::OUTGOING } else { wire::INCOMING };
        let options = outward.map(|options| wire::RequestOptions {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        });
        let (mut request, deadline) = (request.map(Some), deadline(&ctx));
        // What it carries is the request, which streams.
        let call = Outgoing { caller, link, instance, function: "handle", params: Bytes::new(), ctx: &ctx };
        let headers = link_headers(&call, &revision);
        let mut tries = 1;
        loop {
            self.hold(&call).await?;
            let (target, called) = self.target(&call, &revision)?;
            let headers = headers.clone();
            let sent =
                wire::try_handle(&self.client, &target, headers, &mut request, options, deadline.into());
            match sent.await {
                Ok(response) => return Ok(response.map(|body| received(body, called))),
                Err(HttpError::Invoke(InvokeError::Rejected(_) | InvokeError::NotConnected(_)))
                    if tries < TRIES && request.body().is_some() =>
                {
                    tries += 1;
                }
                Err(HttpError::Invoke(error)) => return Err(failure(&error).into()),
                Err(HttpError::Code(code)) if outward.is_some() => {
                    return Err(RequestError::Outside(http_code::of_wire(code)));
                }
                Err(error @ HttpError::Code(_)) => return Err(CallError::Failed(chain(&error)).into()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Makes a call, and gives the encoded tuple of results. One that provably did not start is made again.
    pub(crate) async fn send(&self, call: Outgoing<'_>) -> Result<Bytes, CallError> {
        let revision = AppRevision { app: call.caller.app.clone(), revision: call.caller.revision };
        let headers = link_headers(&call, &revision);
        let deadline = deadline(call.ctx);
        let mut tries = 1;
        loop {
            self.hold(&call).await?;
            // Looked up for each try: the process may have gone, or come, in between.
            let (target, _called) = self.target(&call, &revision)?;
            let sent =
                self.client.invoke(&target, headers.clone(), call.params.clone(), deadline.into()).await;
            match sent {
                Err(InvokeError::Rejected(_) | InvokeError::NotConnected(_)) if tries < TRIES => tries += 1,
                outcome => return outcome.map(|outcome| outcome.results).map_err(|error| failure(&error)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends the first message of a call that has streams, once: whether anybody takes it is told by the invocation.
    /// What is returned beside it keeps the process; hold it for as long as the streams go on.
    pub(crate) async fn start(
        &self,
        call: &Outgoing<'_>,
        streams: Streams,
    ) -> Result<(Invocation, Option<Called>), CallError> {
        let revision = AppRevision { app: call.caller.app.clone(), revision: call.caller.revision };
        self.hold(call).await?;
        let (target, called) = self.target(call, &revision)?;
        let params = Params {
            headers: link_headers(call, &revision),
            bytes: call.params.clone(),
            streams: streams.params,
            result_streams: streams.results,
        };
        let started = self.client.start(&target, params, deadline(call.ctx).into()).await;
        started.map(|invocation| (invocation, called)).map_err(|error| failure(&error))
    }

    /// Waits while the link of a call changes at its provider.
    async fn hold(&self, call: &Outgoing<'_>) -> Result<(), CallError> {
        let waits = self.providers.wait(&call.caller.id, call.link);
        if let Some(waiting) = waits.map_err(|error| CallError::Overloaded(error.to_string()))? {
            waiting.over().await;
        }
        Ok(())
    }

    /// Who is called: a component in the caller's revision; of a provider its process on this host, else one on another.
    /// What is returned beside it keeps the process for the time of the call.
    fn target(
        &self,
        call: &Outgoing<'_>,
        revision: &AppRevision,
    ) -> Result<(Target, Option<Called>), CallError> {
        let failed = |error: SubjectError| CallError::Failed(chain(&error));
        let of = |key: &str| {
            Target::of_key(&self.lattice, key, Some(call.instance), call.function).map_err(failed)
        };
        let Some(provider) = &call.link.provider else {
            return Ok((of(call.link.target.as_str())?.preferring(revision), None));
        };
        if let Some(called) = self.providers.local(call.link) {
            return Ok((of(called.key())?, Some(called)));
        }
        match provider {
            ProviderTarget::Process { wire_id } => Ok((of(wire_id.as_str())?, None)),
            ProviderTarget::Elsewhere => Ok((of(call.link.target.as_str())?, None)),
        }
    }
}

/// The body of an answer. A provider is called until it was read.
fn received(body: IncomingBody, called: Option<Called>) -> Body {
    let body = body.map_err(|error| BodyError::Connection(error.to_string()));
    match called {
        Some(called) => keeping(body, called),
        None => body.boxed_unsync(),
    }
}

/// Headers of a call that goes along a link.
fn link_headers(call: &Outgoing<'_>, revision: &AppRevision) -> HeaderMap {
    let mut headers = headers(Some(revision), &call.caller.id, call.ctx);
    headers.insert(LINK_NAME, call.link.name.0.as_str());
    headers
}

/// Headers of a call that goes over NATS.
pub(crate) fn headers(revision: Option<&AppRevision>, source: &ComponentId, ctx: &CallContext) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SOURCE_ID, source.as_str());
    if let Some(revision) = revision {
        headers.insert(REVISION, revision.to_string());
    }
    headers.insert(HOPS, ctx.hops.to_string());
    trace::put(ctx.trace.as_deref(), &mut headers);
    headers
}

/// When a call that leaves now must have ended.
pub(crate) fn deadline(ctx: &CallContext) -> Instant {
    ctx.deadline.unwrap_or_else(|| Instant::now() + DEFAULT_TIME)
}

/// What a failed invocation means to the component that made it.
pub(crate) fn failure(error: &InvokeError) -> CallError {
    match error {
        InvokeError::TimedOut { .. } => CallError::DeadlineExceeded,
        InvokeError::Rejected(failure) | InvokeError::Failed(failure) => remote_failure(failure),
        InvokeError::NotConnected(_)
        | InvokeError::Offline
        | InvokeError::Interrupted
        | InvokeError::Protocol(_)
        | InvokeError::TooLarge { .. }
        | InvokeError::Encode(_)
        | InvokeError::Decode(_)
        | InvokeError::Stream(_) => CallError::Failed(chain(error)),
    }
}

fn remote_failure(failure: &Failure) -> CallError {
    match failure.code {
        FailureCode::Timeout => CallError::DeadlineExceeded,
        FailureCode::Overloaded => CallError::Overloaded(failure.text.clone()),
        FailureCode::TooLarge => CallError::TooLarge(failure.text.clone()),
        FailureCode::Trapped
        | FailureCode::Stopping
        | FailureCode::Denied
        | FailureCode::BadParams
        | FailureCode::Aborted
        | FailureCode::Internal => CallError::Failed(failure.to_string()),
    }
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
