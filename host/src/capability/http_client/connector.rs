//! One connection of one component: the name is looked up once, every address is judged, and one of exactly those is
//! connected to. The name stays for TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use lath_control_api::egress::{RequestHost, Scheme};
use lath_host_core::egress::{Denial, Destination, Egress};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::capability::outside::Outside;

/// Longest that a connection may take to be made: lookup, TCP and TLS together.
pub(super) const CONNECT: Duration = Duration::from_secs(30);
/// Longest that one address is tried while there are others.
const ONE_ADDRESS: Duration = Duration::from_secs(5);

/// Makes the connections of one component.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) egress: Arc<Egress>,
    pub(super) outside: Outside,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Denied(#[from] Denial),
    #[error("the name cannot be looked up: {0}")]
    Lookup(#[source] io::Error),
    #[error("the name has no address")]
    NoAddress,
    #[error("{0}")]
    Tcp(#[source] io::Error),
    #[error("{0}")]
    Tls(#[source] io::Error),
    #[error("no connection within {} s", CONNECT.as_secs())]
    Timeout,
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Stream, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            timeout(CONNECT, connector.connect(&uri)).await.unwrap_or(Err(ConnectError::Timeout))
        })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let scheme =
            if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { Scheme::Https } else { Scheme::Http };
        // Judged here too: whatever comes to be connected to has passed, whoever asked for it.
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let destination = self.egress.judge(scheme, authority)?;
        let found = match &destination.host {
            RequestHost::Address(address) => vec![*address],
            RequestHost::Name(name) => self.outside.resolve(name).await.map_err(ConnectError::Lookup)?,
        };
        let stream = self.first(&destination, &found).await?;
        // Requests are small and answers awaited: waiting to fill packets would only delay them.
        let _best_effort = stream.set_nodelay(true);
        match scheme {
            Scheme::Https => {
                let tls = TlsConnector::from(self.outside.tls());
                let stream =
                    tls.connect(server_name(&destination)?, stream).await.map_err(ConnectError::Tls)?;
                Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
            }
            Scheme::Http | Scheme::Tcp | Scheme::Udp => Ok(Stream::Plain(TokioIo::new(stream))),
        }
    }

    /// The first address that answers, of those that were judged.
    async fn first(&self, destination: &Destination, found: &[IpAddr]) -> Result<TcpStream, ConnectError> {
        let addresses: Vec<SocketAddr> = self.egress.judge_addresses(destination, found)?;
        let mut failed = ConnectError::NoAddress;
        for (index, address) in addresses.iter().enumerate() {
            let last = index + 1 == addresses.len();
            let patience = if last { CONNECT } else { ONE_ADDRESS };
            failed = match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => ConnectError::Tcp(error),
                Err(_elapsed) => ConnectError::Timeout,
            };
        }
        Err(failed)
    }
}

fn server_name(destination: &Destination) -> Result<ServerName<'static>, ConnectError> {
    match &destination.host {
        RequestHost::Address(address) => Ok(ServerName::from(*address)),
        RequestHost::Name(name) => ServerName::try_from(name.clone())
            .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error))),
    }
}

/// A connection, with TLS or without.
pub(super) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Plain(_) => Connected::new(),
            Self::Tls(stream) => {
                let (_, session) = stream.inner().get_ref();
                let connected = Connected::new();
                if session.alpn_protocol() == Some(b"h2") { connected.negotiated_h2() } else { connected }
            }
        }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
