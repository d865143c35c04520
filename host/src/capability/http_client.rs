//! `wasi:http/outgoing-handler` of 0.2 and `wasi:http/client` of 0.3: requests of components to the outside, where a
//! grant allows them.
//!
//! A request is judged by what it says, and its connection by what the name stands for. Redirects are answers like
//! others: a component that follows one sends another request, which is judged anew. Connections are kept open and used
//! again by the same component only.

mod body;
mod connector;

use std::error::Error as _;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use lath_control_api::egress::{AllowedHost, RequestHost, Scheme};
use lath_host_core::egress::{Denial, Destination, Egress};
use lath_telemetry::{Spans, TraceContext};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::capability::output::GuestLog;
use crate::capability::outside::Outside;
use crate::engine::CallContext;
use crate::engine::body::keeping;
use crate::engine::http_link::HttpLink;
use crate::engine::unit::Unit;
use crate::trace;
use body::Timed;
use connector::{CONNECT, ConnectError, Connector};

/// Most bytes that a component writes to a body at once; two of them may lie with the host (K5).
const BODY_CHUNK_BYTES: usize = 256 << 10;
/// Most requests of one component at the same time, until their answers are read.
const REQUESTS: usize = 1_000;
/// Most connections to one place that are kept open without a request on them, and for how long.
const IDLE_CONNECTIONS: usize = 16;
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Longest wait for the head of an answer, and between two pieces of its body, when the component sets none. Its own
/// deadline is mostly shorter.
const PATIENCE: Duration = Duration::from_secs(600);
/// Most bytes of an answer that wait in the host until the component reads them (HTTP/2).
const WINDOW_BYTES: u32 = 1 << 20;
/// Most bytes of the head of an answer.
const HEAD_BYTES: usize = 128 << 10;

type Pending<T> = Box<dyn Future<Output = T> + Send>;
type Answer = (http::Response<WasiBody>, Pending<Result<(), Error>>);

/// The way out of one component: what it may reach, and its open connections.
pub(crate) struct HttpClient {
    egress: Arc<Egress>,
    outside: Outside,
    log: Arc<GuestLog>,
    /// Made with the first request that is allowed: most components send none.
    client: OnceLock<Client<Connector, WasiBody>>,
    places: Arc<Semaphore>,
}

impl HttpClient {
    pub(crate) fn new(egress: Arc<Egress>, outside: Outside, log: Arc<GuestLog>) -> Self {
        Self { egress, outside, log, client: OnceLock::new(), places: Arc::new(Semaphore::new(REQUESTS)) }
    }

    fn client(&self) -> &Client<Connector, WasiBody> {
        self.client.get_or_init(|| {
            let connector = Connector { egress: Arc::clone(&self.egress), outside: self.outside.clone() };
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIME)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .http1_max_buf_size(HEAD_BYTES)
                .http2_max_header_list_size(64 << 10)
                .http2_initial_stream_window_size(WINDOW_BYTES)
                .http2_initial_connection_window_size(2 * WINDOW_BYTES)
                .build(connector)
        })
    }

    /// The first judgement: what the request says.
    fn judge(&self, request: &http::Request<WasiBody>) -> Result<Destination, Error> {
        let uri = request.uri();
        let scheme = uri.scheme_str().and_then(Scheme::named).ok_or(Error::HttpProtocolError)?;
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        if *request.method() == Method::CONNECT {
            self.log.denied(&format!(
                "outgoing request CONNECT {} refused: no entry of `allowed_hosts` allows tunnels; use sockets and an entry `tcp://HOST:PORT`",
                authority.escape_debug()
            ));
            return Err(Error::HttpRequestDenied);
        }
        self.egress.judge(scheme, authority).map_err(|denial| self.denied(&denial))
    }

    /// Lets a request out by way of a provider. That looks names up itself; of addresses, those are judged here that the
    /// request says. What is returned is the place of the request among those of the component.
    fn let_out(&self, request: &mut http::Request<WasiBody>) -> Result<OwnedSemaphorePermit, Error> {
        let destination = self.judge(request)?;
        let said = match &destination.host {
            RequestHost::Address(address) => Some(*address),
            RequestHost::Name(_) => destination.is_localhost().then_some(Ipv4Addr::LOCALHOST.into()),
        };
        let judged = self.egress.judge_addresses(&destination, said.as_slice());
        judged.map_err(|denial| self.denied(&denial))?;
        *request.uri_mut() = plain(&destination, request.uri())?;
        self.place()
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)
    }

    /// No protocol but HTTP comes back.
    fn is_http(&self, response: &http::Response<impl Sized>) -> Result<(), Error> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        self.log
            .denied("outgoing request refused: the other side changed the protocol, which is not granted");
        Err(Error::HttpUpgradeFailed)
    }

    fn denied(&self, denial: &Denial) -> Error {
        self.log.denied(&format!("outgoing request refused: {denial}"));
        match denial {
            Denial::Address { .. } => Error::DestinationIpProhibited,
            Denial::NotListed { .. } | Denial::Host { .. } | Denial::Authority { .. } => {
                Error::HttpRequestDenied
            }
        }
    }

    async fn send(
        self: Arc<Self>,
        request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Answer, Error> {
        let place = self.place()?;
        // A connection is made, or not, in its own time; a request may wait for one that another has given up.
        let head =
            options.connect_timeout.unwrap_or(CONNECT) + options.first_byte_timeout.unwrap_or(PATIENCE);
        let answered = timeout(head, self.client().request(request)).await;
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.failed(&error)),
            Err(_elapsed) => return Err(Error::ConnectionReadTimeout),
        };
        self.is_http(&response)?;
        let patience = options.between_bytes_timeout.unwrap_or(PATIENCE);
        let response = response.map(|body| Timed::new(body, patience, place).boxed_unsync());
        Ok((response, Box::new(std::future::ready(Ok(())))))
    }

    /// What the component is told of a failure.
    fn failed(&self, error: &ClientError) -> Error {
        if let Some(error) = error.source().and_then(|source| source.downcast_ref::<ConnectError>()) {
            return match error {
                ConnectError::Denied(denial) => self.denied(denial),
                ConnectError::Lookup(_) => Error::DnsError { rcode: None, info_code: None },
                ConnectError::NoAddress => Error::DestinationNotFound,
                ConnectError::Tcp(error) => match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                    std::io::ErrorKind::TimedOut => Error::ConnectionTimeout,
                    _ => Error::DestinationUnavailable,
                },
                ConnectError::Tls(error) => {
                    self.log.denied(&format!("outgoing request failed: TLS: {error}"));
                    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                    match rustls {
                        Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
                        Some(_) | None => Error::TlsProtocolError,
                    }
                }
                ConnectError::Timeout => Error::ConnectionTimeout,
            };
        }
        if error.is_connect() { Error::ConnectionTerminated } else { Error::HttpProtocolError }
    }
}

/// The hooks of one call.
pub(crate) struct GuestHttp {
    /// The way out.
    pub(crate) outside: Arc<HttpClient>,
    /// The way to another component or a provider, which is taken instead where there is one.
    pub(crate) linked: Option<(Arc<HttpLink>, Arc<Unit>, CallContext)>,
    /// Who records what is sent.
    pub(crate) spans: Spans,
    /// The trace of the call.
    pub(crate) trace: Option<Arc<TraceContext>>,
}

impl GuestHttp {
    /// Takes this one of the links from now on.
    pub(crate) fn choose(&mut self, link: &Arc<HttpLink>) {
        if let Some((chosen, _, _)) = &mut self.linked {
            *chosen = Arc::clone(link);
        }
    }

    /// Begins another call of the same instance.
    pub(crate) fn begin(&mut self, ctx: &CallContext) {
        if let Some((_, _, held)) = &mut self.linked {
            *held = ctx.clone();
        }
        self.trace.clone_from(&ctx.trace);
    }
}

impl WasiHttpHooks for GuestHttp {
    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Pending<Result<(), Error>>,
    ) -> Pending<Result<Answer, Error>> {
        if let Some((link, unit, ctx)) = &self.linked {
            // What leaves by way of a provider leaves all the same.
            let place = match link.leads_out().then(|| self.outside.let_out(&mut request)).transpose() {
                Ok(place) => place,
                Err(error) => return Box::new(std::future::ready(Err(error))),
            };
            let (link, unit, ctx) = (Arc::clone(link), Arc::clone(unit), ctx.clone());
            let outside = Arc::clone(&self.outside);
            return Box::new(async move {
                let mut response = link.send(&unit, ctx, request, options).await?;
                if let Some(place) = place {
                    outside.is_http(&response)?;
                    response = response.map(|body| keeping(body, place));
                }
                let sent: Pending<Result<(), Error>> = Box::new(std::future::ready(Ok(())));
                Ok((response, sent))
            });
        }
        let judged = self.outside.judge(&request).and_then(|destination| {
            *request.uri_mut() = plain(&destination, request.uri())?;
            Ok(())
        });
        if let Err(error) = judged {
            return Box::new(std::future::ready(Err(error)));
        }
        // The client writes it anew from the address: it cannot say another host than the one that was judged.
        request.headers_mut().remove(header::HOST);
        let mut ctx = CallContext { trace: self.trace.clone(), ..CallContext::default() };
        let open = trace::send_request(&self.spans, &mut ctx, &mut request);
        let sent = Arc::clone(&self.outside).send(request, options.unwrap_or_default());
        let Some(mut open) = open else { return Box::new(sent) };
        Box::new(async move {
            match sent.await {
                Ok((response, written)) => {
                    trace::note_status(&mut open, response.status());
                    Ok((response.map(|body| keeping(body, open)), written))
                }
                Err(error) => {
                    open.fail("outside", &error);
                    Err(error)
                }
            }
        })
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }
}

/// The address of a request as it was judged, in the one form that it has.
fn plain(destination: &Destination, asked: &Uri) -> Result<Uri, Error> {
    let path = asked.path_and_query().map_or("/", PathAndQuery::as_str);
    let root = match path.chars().next() {
        Some('/') => "",
        Some('?') | None => "/",
        // It would stand in the request as it is, and name another host there.
        Some(_) => return Err(Error::HttpRequestUriInvalid),
    };
    let entry = AllowedHost::exactly(destination.scheme, &destination.host, destination.port);
    format!("{entry}{root}{path}").parse().map_err(|_| Error::HttpRequestUriInvalid)
}
