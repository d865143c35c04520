//! Stands before a registry and makes it slow, false, unwilling or broken, request by request.
//!
//! The tests of `artifacts` include this file by its path, like `registry.rs`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This answer instead: status line without version, header lines, body.
    Answer(String, String, String),
    /// No answer at all, and the connection stays open.
    Silence,
    /// The answer byte by byte, with this pause after each byte of the body.
    Drip(Duration),
    /// The connection ends after half of the body.
    StopHalfWay,
    /// One byte of the body is another one.
    Lie,
}

/// Which requests, and what happens to them.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Part of the line `METHOD PATH`.
    pub part: String,
    /// For how many requests; without end when nothing is said.
    pub times: Option<u32>,
    /// Requests that show this are left alone.
    pub unless_shown: Option<String>,
    /// What happens.
    pub fault: Fault,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `METHOD PATH`.
    pub line: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
}

/// A running proxy. It ends with the test's runtime.
#[derive(Debug, Clone)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// Starts a proxy before `registry`.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn before(registry: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let proxy = Self { address, state: Arc::default() };
        let its = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let its = its.clone();
                tokio::spawn(async move {
                    // A client that goes away is what many of the tests are about.
                    let _broken_off = its.carry(client, registry).await;
                });
            }
        });
        proxy
    }

    /// Its name in references.
    #[must_use]
    pub fn name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Has `fault` happen to every request whose line holds `part`, until [`Proxy::mend`].
    pub fn break_with(&self, part: &str, fault: Fault) {
        self.add(Rule { part: part.to_owned(), times: None, unless_shown: None, fault });
    }

    /// Has `fault` happen to the next requests whose line holds `part`.
    pub fn break_times(&self, times: u32, part: &str, fault: Fault) {
        self.add(Rule { part: part.to_owned(), times: Some(times), unless_shown: None, fault });
    }

    /// Adds a rule behind the others; the first that fits is taken.
    pub fn add(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    /// Removes every rule and forgets what was seen.
    pub fn mend(&self) {
        *self.lock() = State::default();
    }

    /// Requests whose line holds `part`, in the order in which they came.
    #[must_use]
    pub fn seen(&self, part: &str) -> Vec<Seen> {
        self.lock().seen.iter().filter(|seen| seen.line.contains(part)).cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault_of(&self, seen: Seen) -> Option<Fault> {
        let mut state = self.lock();
        let rule = state.rules.iter_mut().find(|rule| {
            let shown = rule.unless_shown.is_some() && rule.unless_shown == seen.authorization;
            seen.line.contains(&rule.part) && rule.times != Some(0) && !shown
        });
        let fault = rule.map(|rule| {
            rule.times = rule.times.map(|times| times - 1);
            rule.fault.clone()
        });
        state.seen.push(seen);
        fault
    }

    /// One request and its answer; then the connection ends.
    async fn carry(&self, mut client: TcpStream, registry: SocketAddr) -> std::io::Result<()> {
        let (head, rest) = read_head(&mut client).await?;
        let fault = self.fault_of(seen(&head));
        match &fault {
            Some(Fault::Answer(status, headers, body)) => {
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                client.write_all(answer.as_bytes()).await?;
                return client.shutdown().await;
            }
            Some(Fault::Silence) => {
                let mut nothing = Vec::new();
                client.read_to_end(&mut nothing).await?;
                return Ok(());
            }
            Some(Fault::Drip(_) | Fault::StopHalfWay | Fault::Lie) | None => {}
        }
        let mut server = TcpStream::connect(registry).await?;
        // Without keep-alive the end of the answer is the end of the connection.
        let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        server.write_all(head.as_bytes()).await?;
        server.write_all(&rest).await?;
        let (mut from_server, mut to_server) = server.into_split();
        let (mut from_client, mut to_client) = client.into_split();
        let up = async move { tokio::io::copy(&mut from_client, &mut to_server).await };
        let down = async {
            let Some(fault) = fault else {
                tokio::io::copy(&mut from_server, &mut to_client).await?;
                return to_client.shutdown().await;
            };
            let mut answer = Vec::new();
            from_server.read_to_end(&mut answer).await?;
            let body = find_end(&answer).unwrap_or(answer.len());
            to_client.write_all(&answer[..body]).await?;
            spoil(&fault, &mut answer[body..], &mut to_client).await
        };
        tokio::select! {
            result = down => result,
            // The client has no more to say; its answer is still to come.
            result = async { up.await?; std::future::pending().await } => result,
        }
    }
}

async fn spoil(
    fault: &Fault,
    body: &mut [u8],
    to_client: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> std::io::Result<()> {
    match fault {
        Fault::Drip(pause) => {
            for byte in body.iter() {
                to_client.write_all(std::slice::from_ref(byte)).await?;
                tokio::time::sleep(*pause).await;
            }
        }
        Fault::StopHalfWay => to_client.write_all(&body[..body.len() / 2]).await?,
        Fault::Lie => {
            if let Some(last) = body.last_mut() {
                *last ^= 1;
            }
            to_client.write_all(body).await?;
        }
        Fault::Answer(..) | Fault::Silence => {}
    }
    to_client.shutdown().await
}

async fn read_head(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = find_end(&read) {
            let rest = read.split_off(end);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
        if client.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Where the body begins.
fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn seen(head: &str) -> Seen {
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let authorization = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
    });
    Seen { line, authorization }
}
