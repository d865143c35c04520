//! Name servers that say what a test wants, and servers that note who came.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

use crate::capability::outside::Resolve;

/// Answers every name alike, and notes which ones were asked for.
pub(super) struct Names {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    /// Every name leads to these addresses.
    pub(super) fn leading(addresses: &[&str]) -> Arc<Self> {
        Self::changing(addresses, addresses)
    }

    /// The first lookup finds `first`, all later ones `then`.
    pub(super) fn changing(first: &[&str], then: &[&str]) -> Arc<Self> {
        let read = |addresses: &[&str]| addresses.iter().map(|address| super::ip(address)).collect();
        let answers = Mutex::new([read(first), read(then)].into());
        Arc::new(Self { answers, asked: Mutex::default() })
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(std::future::ready(answer.ok_or_else(|| io::Error::other("no such name"))))
    }
}

/// Answers requests with their own heads.
pub(super) struct Web {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// What it answers; the head of the request itself while there is nothing.
    answer: Mutex<Option<String>>,
}

impl Web {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }

    pub(super) const fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::Relaxed)
    }

    pub(super) fn redirect_to(&self, location: &str) {
        self.answer_with(&format!("302 Found\r\nlocation: {location}\r\ncontent-length: 0"));
    }

    /// Answers with this status and these headers.
    pub(super) fn answer_with(&self, head: &str) {
        *self.seen.answer.lock().unwrap() = Some(format!("HTTP/1.1 {head}\r\n\r\n"));
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Seen>) {
    while let Some(head) = head(&mut stream).await {
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let given = seen.answer.lock().unwrap().clone();
        let answer = given
            .unwrap_or_else(|| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len()));
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The head of the next request.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// A server with the certificate of `api.example.com`.
pub(super) async fn answer_tls() -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_file(tls_file("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(tls_file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                while head(&mut stream).await.is_some() {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nover TLS";
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    address
}

pub(super) fn tls_file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/tests/tls")).join(name)
}

/// Trusts the authority that has signed the certificate of [`answer_tls`], and no other.
pub(super) fn test_roots() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls_file("ca.pem")).unwrap()).unwrap();
    roots
}

/// Says back what it hears.
pub(super) async fn echo_tcp() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = [0; 64];
            let read = stream.read(&mut heard).await.unwrap_or(0);
            let _gone = stream.write_all(&heard[..read]).await;
        }
    });
    address
}

/// The same with datagrams.
pub(super) async fn echo_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut heard = [0; 64];
        while let Ok((read, from)) = socket.recv_from(&mut heard).await {
            let _gone = socket.send_to(&heard[..read], from).await;
        }
    });
    address
}
