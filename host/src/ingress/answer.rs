//! From a request to its answer: the route, the component here or on another host, and what a failure is in HTTP.
//!
//! A request is given to one component once. Nothing is tried again here: its body may be gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use lath_control_api::LatticeId;
use lath_host_core::Via;
use lath_telemetry::{KeyValue, Open, Spans};
use lath_wrpc::http::HttpError;
use lath_wrpc::{AppRevision, Client, InvokeError};

use crate::engine::{Body, BodyError, CallContext, CallError, body};
use crate::ingress::request::{AskedHost, Refusal, admit, asked_revision, drop_connection_headers};
use crate::routes::Router;
use crate::trace;
use crate::wrpc_call::{chain, failure, headers};

/// Longest wait for the head of an answer from another host, where the route sets none. The component's own
/// deadline is known there, and mostly ends the call before.
const REMOTE_TIME: Duration = Duration::from_secs(60);

/// Where requests come in and answers go out.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) router: Arc<Router>,
    pub(crate) client: Client,
    pub(crate) lattice: LatticeId,
    pub(crate) spans: Spans,
}

/// Why a request has no answer of a component.
#[derive(Debug)]
enum Failed {
    /// No route leads on from this address.
    NoRoute,
    /// No route of the revision that was asked for leads on from this address.
    NoSuchRevision,
    /// Nothing in the lattice takes calls of the component now.
    NothingServes,
    /// The request cannot be admitted.
    Refused(Refusal),
    /// A call was made and failed.
    Call(CallError),
}

impl Front {
    /// Answers a request that arrived on `address`, whatever happens.
    pub(crate) async fn answer(&self, address: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let answered = self.try_answer(address, request).await;
        let answered = answered.and_then(|mut response| {
            // Heads of this kind announce another answer, which does not come.
            if response.status().is_informational() {
                return Err(Failed::Call(CallError::Failed(format!(
                    "the answer has status {}",
                    response.status()
                ))));
            }
            drop_connection_headers(response.headers_mut());
            Ok(response)
        });
        answered.unwrap_or_else(|failed| failed.response())
    }

    async fn try_answer(
        &self,
        address: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Failed> {
        let (mut head, body) = request.into_parts();
        let host = admit(&mut head).map_err(Failed::Refused)?;
        let host = host.as_ref().map(AskedHost::name);
        let revision = asked_revision(&head.headers).map_err(Failed::Refused)?;
        let found = self.router.find(address, host.as_deref(), head.uri.path(), revision);
        let via =
            found.ok_or_else(|| if revision.is_some() { Failed::NoSuchRevision } else { Failed::NoRoute })?;
        let (trace, mut open) = trace::enter_request(&self.spans, &mut head.headers);
        if let Some(open) = &mut open {
            note_request(open, &head, host.as_deref(), &via);
        }
        let body = body.map_err(|error| BodyError::Connection(error.to_string())).boxed_unsync();
        let request = Request::from_parts(head, body);
        let ctx = CallContext { trace: Some(trace), ..CallContext::default() };
        let result = self.pass_on(&via, request, ctx).await;
        if let Err(Failed::Call(error)) = &result {
            tracing::debug!(target = %via.route.target, %error, "a request failed");
        }
        let Some(mut open) = open else { return result };
        note_answer(&mut open, &result);
        // It has ended when its last byte was given on.
        result.map(|response| response.map(|body| body::keeping(body, open)))
    }

    async fn pass_on(
        &self,
        via: &Via,
        request: Request<Body>,
        ctx: CallContext,
    ) -> Result<Response<Body>, Failed> {
        let patience = via.route.timeout_ms.map(Duration::from_millis);
        let caller = (&via.app, via.revision);
        let Some(call) = self.router.begin_own(&via.route.target, caller, &self.client) else {
            // On the heap: its room would be moved about with every request that stays here.
            let forwarded = self.forward(via, request, ctx, patience.unwrap_or(REMOTE_TIME));
            return Box::pin(forwarded).await;
        };
        let answer_by = patience.map(|patience| Instant::now() + patience);
        let answered = call.http(request, CallContext { answer_by, ..ctx }).await;
        answered.map_err(Failed::Call)
    }

    /// Gives the request to another host that serves the component.
    async fn forward(
        &self,
        via: &Via,
        request: Request<Body>,
        ctx: CallContext,
        patience: Duration,
    ) -> Result<Response<Body>, Failed> {
        let broken = |error: &dyn std::error::Error| Failed::Call(CallError::Failed(chain(error)));
        let subject = lath_wrpc::http::target(&self.lattice, &via.route.target, lath_wrpc::http::INCOMING);
        let revision = AppRevision { app: via.app.clone(), revision: via.revision };
        let subject = subject.map_err(|error| broken(&error))?.preferring(&revision);
        let headers = headers(Some(&revision), &via.source, &ctx);
        let deadline = Instant::now() + patience;
        let answered =
            lath_wrpc::http::handle(&self.client, &subject, headers, request, None, deadline.into()).await;
        match answered {
            Ok(response) => Ok(response
                .map(|body| body.map_err(|error| BodyError::Connection(error.to_string())).boxed_unsync())),
            Err(HttpError::Invoke(InvokeError::NotConnected(_) | InvokeError::Offline)) => {
                Err(Failed::NothingServes)
            }
            Err(HttpError::Invoke(error)) => Err(Failed::Call(failure(&error))),
            Err(error @ HttpError::Code(_)) => Err(broken(&error)),
        }
    }
}

/// Notes what was asked, and by which way it goes on.
fn note_request(open: &mut Open, head: &Parts, host: Option<&str>, via: &Via) {
    let method = trace::method_of(&head.method);
    let route = via.route.path.as_deref().unwrap_or("/");
    open.rename(|| format!("{method} {route}"));
    open.note(|| {
        [
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("url.path", head.uri.path().to_owned()),
            KeyValue::new("server.address", host.unwrap_or_default().to_owned()),
            KeyValue::new("lath.app", via.app.to_string()),
            KeyValue::new("lath.component", via.route.target.to_string()),
            KeyValue::new("lath.revision", i64::try_from(via.revision.0).unwrap_or(i64::MAX)),
        ]
    });
}

/// Notes what came of a request.
fn note_answer(open: &mut Open, result: &Result<Response<Body>, Failed>) {
    match result {
        Ok(response) => trace::note_answer(open, response.status()),
        Err(failed) => {
            let (status, text) = failed.told();
            trace::note_answer(open, status);
            match failed {
                Failed::Call(error) => trace::note_failure(open, error),
                _ => open.fail("not_served", &text),
            }
        }
    }
}

impl Failed {
    /// Its status and its words in HTTP.
    const fn told(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "no app of this lattice has a route for this request"),
            Self::NoSuchRevision => {
                (StatusCode::NOT_FOUND, "the revision that was asked for has no route for this request")
            }
            Self::NothingServes => (StatusCode::SERVICE_UNAVAILABLE, "nothing serves this at the moment"),
            Self::Refused(refusal) => (refusal.status, refusal.text),
            Self::Call(CallError::DeadlineExceeded) => (StatusCode::GATEWAY_TIMEOUT, "no answer in time"),
            Self::Call(CallError::Overloaded(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "too many requests at the moment")
            }
            Self::Call(CallError::TooLarge(_)) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "the body of the request is larger than the component takes")
            }
            Self::Call(CallError::Stopped) => {
                (StatusCode::SERVICE_UNAVAILABLE, "stopped before the answer was ready")
            }
            Self::Call(
                CallError::Trap(_)
                | CallError::NoSuchFunction(_)
                | CallError::Target(_)
                | CallError::Abandoned
                | CallError::Failed(_),
            ) => (StatusCode::BAD_GATEWAY, "the component gave no answer"),
        }
    }

    fn response(&self) -> Response<Body> {
        let (status, text) = self.told();
        let mut response = Response::new(body::full(format!("{text}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
