//! HTTP requests of a component that go over a link to another one: on this host without a socket, else over NATS.
//!
//! A link of `wasi:http` with `outgoing-handler` or `client` takes all that the component sends in place of the way
//! out; what leads nowhere outside needs no grant. Where such a link leads to a provider, that is another way out, and
//! grants hold for it. A link with `handler` answers that import of WASI 0.3. Target and caller may be of 0.2 or 0.3 in
//! any mix: what passes between them is a request of the host's own. A failure is an error of `wasi:http`, not a trap:
//! the interface has a place for it.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use lath_control_api::{LinkSpec, Transport};
use lath_telemetry::{KeyValue, Open};
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpView, p3};

use crate::engine::body::{Body, BodyError, keeping};
use crate::engine::choice::OneOf;
use crate::engine::linked::not_beside;
use crate::engine::unit::{CallState, Unit};
use crate::engine::{CallContext, CallError, RemoteRequest, RequestError, Targets};
use crate::trace;

/// Interfaces of `wasi:http` by which a component sends requests.
const OUTGOING: [&str; 2] = ["outgoing-handler", "client"];

/// A link that requests go over.
pub(crate) struct HttpLink {
    targets: Arc<dyn Targets>,
    link: LinkSpec,
    leads_out: bool,
}

impl HttpLink {
    /// A link whose target answers requests.
    pub(crate) fn new(link: &LinkSpec, targets: &Arc<dyn Targets>) -> Self {
        Self { targets: Arc::clone(targets), link: link.clone(), leads_out: false }
    }

    /// The links that take what the component sends, if there are any.
    pub(crate) fn outgoing(links: &[LinkSpec], targets: &Arc<dyn Targets>) -> Option<OneOf<Arc<Self>>> {
        let carries = |link: &&LinkSpec| {
            let of_http = link.namespace == "wasi" && link.package == "http" && link.builtin.is_none();
            of_http && link.interfaces.iter().any(|interface| OUTGOING.contains(&interface.as_str()))
        };
        let links = OneOf::of(links.iter().filter(carries))?;
        Some(
            links.map(|link| {
                Arc::new(Self { leads_out: link.provider.is_some(), ..Self::new(link, targets) })
            }),
        )
    }

    /// Whether its target is a provider, which sends requests to the outside.
    pub(crate) const fn leads_out(&self) -> bool {
        self.leads_out
    }

    /// Sends a request, and gives the answer as soon as its head is there. What the sender asks of the way out, `options`,
    /// a provider is told.
    ///
    /// # Errors
    /// What of `wasi:http` comes nearest; the component's log says more.
    pub(crate) async fn send(
        &self,
        unit: &Unit,
        mut ctx: CallContext,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, Error> {
        ctx.hops = ctx.hops.saturating_add(1);
        let mut request = with_host(request)
            .map(|body| body.map_err(|error: Error| BodyError::Connection(error.to_string())).boxed_unsync());
        let mut open = self.open(unit, &mut ctx, &mut request);
        let outward = self.leads_out.then(|| options.unwrap_or_default());
        let callee = match (&outward, self.link.transport) {
            (Some(_), _) | (None, Transport::Wrpc) => None,
            (None, Transport::Any | Transport::Inprocess) => {
                self.targets.local(unit.caller(), &self.link.target)
            }
        };
        if let Some(open) = &mut open {
            let transport = if callee.is_some() { "inprocess" } else { "wrpc" };
            open.note(|| [KeyValue::new(trace::TRANSPORT, transport)]);
        }
        let answered = match callee {
            // On the heap: a chain of calls is as many of these futures inside one another.
            Some(callee) => Box::pin(callee.http(request, ctx)).await.map_err(RequestError::from),
            None if self.link.transport == Transport::Inprocess => {
                Err(CallError::Failed(not_beside(&self.link.target)).into())
            }
            None => {
                let request =
                    RemoteRequest { caller: unit.caller(), link: &self.link, request, outward, ctx };
                self.targets.remote_http(request).await
            }
        };
        if let Some(open) = &mut open {
            match &answered {
                Ok(response) => trace::note_status(open, response.status()),
                Err(RequestError::Call(error)) => trace::note_failure(open, error),
                Err(error @ RequestError::Outside(_)) => open.fail("outside", error),
            }
        }
        match answered {
            Ok(response) => Ok(response.map(|body: Body| {
                let body = body.map_err(Error::from);
                match open {
                    Some(open) => keeping(body, open),
                    None => body.boxed_unsync(),
                }
            })),
            Err(error) => {
                unit.log.failed(&format!("a request to `{}` failed: {error}", self.link.target));
                Err(match error {
                    RequestError::Call(error) => code(&error),
                    RequestError::Outside(code) => code,
                })
            }
        }
    }

    /// The span of a request, which its answerer is called within; none when the call is not recorded.
    fn open(&self, unit: &Unit, ctx: &mut CallContext, request: &mut Request<Body>) -> Option<Open> {
        let mut open = trace::send_request(&unit.spans, ctx, request)?;
        open.note(|| {
            [
                KeyValue::new("lath.target", self.link.target.to_string()),
                KeyValue::new("lath.link", self.link.name.0.to_string()),
            ]
        });
        Some(open)
    }
}

/// Puts the import `name` of `wasi:http/handler` into the linker of a component whose links answer it: the one that it
/// has chosen as `subject`.
pub(crate) fn add_handler(
    linker: &mut Linker<CallState>,
    name: &str,
    subject: &str,
    links: OneOf<HttpLink>,
) -> wasmtime::Result<()> {
    let links = Arc::new((subject.to_owned(), links));
    linker.instance(name)?.func_wrap_concurrent(
        "handle",
        move |accessor: &Accessor<CallState>, (request,): (Resource<p3::Request>,)| {
            let links = Arc::clone(&links);
            Box::pin(async move { Ok((handle(accessor, &links, request).await?,)) })
        },
    )
}

async fn handle(
    accessor: &Accessor<CallState>,
    (subject, links): &(String, OneOf<HttpLink>),
    request: Resource<p3::Request>,
) -> wasmtime::Result<Result<Resource<p3::Response>, ErrorCode>> {
    let taken = accessor.with(|mut store| {
        let request = store.get().http().table.delete(request)?;
        // The sending is over when the answer is there; a body that breaks off is seen by who reads it.
        let taken = request.into_http(&mut store, std::future::ready(Ok(())));
        let state = store.get();
        let link = links.chosen(state.choices.of(subject));
        Ok::<_, wasmtime::Error>((taken, link, Arc::clone(&state.unit), state.ctx.clone()))
    });
    let (taken, link, unit, ctx) = taken?;
    let request = match taken {
        Ok((request, _)) => request,
        Err(error) => return error.downcast().map(Err),
    };
    let answered = link.send(&unit, ctx, request, None).await;
    accessor.with(|mut store| match answered {
        Ok(response) => {
            let http = store.get().http();
            // Whoever answered learns of a reader that leaves by the body that is dropped.
            let (response, _) = p3::Response::from_http(http.hooks, response);
            Ok(Ok(http.table.push(response)?))
        }
        Err(error) => Ok(Err(told(&error))),
    })
}

/// What a failed call is in HTTP.
fn code(error: &CallError) -> Error {
    match error {
        CallError::DeadlineExceeded => Error::HttpResponseTimeout,
        CallError::Overloaded(_) => Error::ConnectionLimitReached,
        CallError::Stopped | CallError::Abandoned => Error::ConnectionTerminated,
        CallError::TooLarge(_) => Error::HttpRequestBodySize(None),
        CallError::NoSuchFunction(_) => Error::DestinationNotFound,
        CallError::Trap(_) | CallError::Target(_) | CallError::Failed(_) => Error::DestinationUnavailable,
    }
}

/// The same to a component of 0.3. Others than those of [`code`] do not come here.
fn told(error: &Error) -> ErrorCode {
    match error {
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::ConnectionLimitReached => ErrorCode::ConnectionLimitReached,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::DestinationNotFound => ErrorCode::DestinationNotFound,
        _ => ErrorCode::DestinationUnavailable,
    }
}

/// Every request names a host, as those from outside do: where it says one, that one.
fn with_host(mut request: Request<WasiBody>) -> Request<WasiBody> {
    let authority = request.uri().authority().and_then(|at| HeaderValue::from_str(at.as_str()).ok());
    if let Some(authority) = authority {
        request.headers_mut().insert(header::HOST, authority);
    }
    request
}
