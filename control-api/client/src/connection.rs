//! The connection to NATS: how it is made, what was tried when it fails, and how it stands now.
//!
//! No subject and no message is known here. A user name or password in a URL never gets into a message.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use async_nats::{ConnectErrorKind, Event, ServerAddr};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::watch;

/// Oldest server that has all that is used: ages of single messages, and the repaired consumer API.
const OLDEST_SERVER: (i64, i64, i64) = (2, 11, 0);
/// A half-open connection is noticed within two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Longest pause between two tries to reconnect: a server that returns is found within this time.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Time for one server to answer when nothing shorter is asked for.
const SERVER_PATIENCE: Duration = Duration::from_secs(3);

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Servers, each as `nats://host:port`, `tls://host:port` or `host:port`.
    pub urls: Vec<String>,
    /// What the server's own listings call this connection.
    pub name: String,
    /// A `.creds` file with JWT and seed.
    pub credentials: Option<PathBuf>,
    /// Certificates of authorities to trust beside those of the system, as PEM.
    pub root_certificates: Option<PathBuf>,
    /// First tokens of the subjects of replies; the client library's own when absent.
    pub inbox_prefix: Option<String>,
    /// What to do while no server answers.
    pub patience: Patience,
    /// The domain whose JetStream keeps everything; the server's own when absent.
    pub domain: Option<JetStreamDomain>,
}

/// The variable by which hosts and `wash` of 1.x are told of a [`JetStreamDomain`].
pub const DOMAIN_VARIABLE: &str = "WASMCLOUD_JS_DOMAIN";

/// Name of a JetStream domain, behind which a server elsewhere keeps streams and buckets. One token of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamDomain(String);

/// A text that is no name of a JetStream domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("1 to 64 visible ASCII characters without `.`, `*` and `>`")]
pub struct DomainError;

impl FromStr for JetStreamDomain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b".*>".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DomainError)
        }
    }
}

impl fmt::Display for JetStreamDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to do while no server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Give up after this time: for tools that people wait for.
    FailFast(Duration),
    /// Keep trying behind the scenes: for daemons. The connection is returned at once and is down until it is up.
    Background,
}

impl ConnectOptions {
    /// Options for the servers of `urls`, separated by commas, that give up after two seconds.
    #[must_use]
    pub fn new(urls: &str, name: &str) -> Self {
        let urls = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
        Self {
            urls: urls.map(str::to_owned).collect(),
            name: name.to_owned(),
            credentials: None,
            root_certificates: None,
            inbox_prefix: None,
            patience: Patience::FailFast(Duration::from_secs(2)),
            domain: None,
        }
    }

    /// The same options for a daemon: see [`Patience::Background`].
    #[must_use]
    pub fn in_background(self) -> Self {
        Self { patience: Patience::Background, ..self }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The list of servers is empty.
    #[error("no NATS URL is given")]
    NoUrl,
    /// A URL that is none.
    #[error("NATS URL `{url}` cannot be read: {cause}")]
    InvalidUrl {
        /// As it was given, without user and password.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The credentials cannot be used.
    #[error("credentials file {} cannot be used", path.display())]
    Credentials {
        /// Which file.
        path: PathBuf,
        /// What the system or the parser says.
        source: std::io::Error,
    },
    /// No server let us in.
    #[error("no NATS server could be used: {}", Attempt::list(tried))]
    Unreachable {
        /// Every server that was tried, and why it was no use.
        tried: Vec<Attempt>,
    },
    /// The server is older than what is needed.
    #[error(
        "NATS server {server} has version {found}, and {}.{} or newer is needed",
        OLDEST_SERVER.0,
        OLDEST_SERVER.1
    )]
    TooOld {
        /// Name of the server.
        server: String,
        /// Its version.
        found: String,
    },
}

/// A server that was tried in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// `host:port`.
    pub server: String,
    /// Why it was no use.
    pub cause: String,
    /// The server is there and refuses these credentials.
    pub refused: bool,
}

impl Attempt {
    fn list(tried: &[Self]) -> String {
        let each: Vec<String> = tried.iter().map(|one| format!("{} ({})", one.server, one.cause)).collect();
        each.join(", ")
    }
}

/// How the connection stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// A server answers.
    pub up: bool,
    /// How often a connection was made. A reader that sees it grow may have missed messages.
    pub connects: u64,
    /// Messages that were dropped because a reader was too slow.
    pub dropped: u64,
    /// What the server or the client library complained about last.
    pub last_error: Option<String>,
}

/// A connection to NATS. A clone is the same connection.
#[derive(Debug, Clone)]
pub struct Connection {
    client: async_nats::Client,
    link: watch::Receiver<Link>,
    domain: Option<JetStreamDomain>,
}

/// Connects to NATS.
///
/// # Errors
/// See [`ConnectError`]. With [`Patience::Background`] only for what no waiting cures: a URL or a file.
pub async fn connect(options: ConnectOptions) -> Result<Connection, ConnectError> {
    let servers = servers(&options.urls)?;
    let (link_sender, link) = watch::channel(Link::default());
    let nats = nats_options(&options).await?.event_callback(move |event| {
        note(&link_sender, &event);
        std::future::ready(())
    });
    let Patience::FailFast(within) = options.patience else {
        let client = nats.retry_on_initial_connect().connect(servers.as_slice()).await;
        let client = client.map_err(|error| unreachable_all(&servers, &error))?;
        return Ok(Connection { client, link, domain: options.domain });
    };
    let nats = nats.connection_timeout(within);
    let client = match tokio::time::timeout(within, nats.connect(servers.as_slice())).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) if servers.len() == 1 => return Err(unreachable_all(&servers, &error)),
        Ok(Err(_)) | Err(_) => return Err(each_cause(&options, &servers, within).await),
    };
    let connection = Connection { client, link, domain: options.domain };
    connection.check_server()?;
    connection.up_within(within).await;
    Ok(connection)
}

impl Connection {
    /// The client library's own handle, for what this crate does not cover.
    #[must_use]
    pub const fn nats(&self) -> &async_nats::Client {
        &self.client
    }

    /// Follows how the connection stands.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Whether a server answers now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.link.borrow().up
    }

    /// Waits until a server answers, at most `limit`; tells whether one does.
    pub async fn up_within(&self, limit: Duration) -> bool {
        let mut link = self.link.clone();
        let up = link.wait_for(|link| link.up);
        matches!(tokio::time::timeout(limit, up).await, Ok(Ok(_)))
    }

    /// Waits, for as long as it takes, until a server answers, and checks its version.
    ///
    /// # Errors
    /// [`ConnectError::TooOld`].
    pub async fn ready(&self) -> Result<(), ConnectError> {
        let mut link = self.link.clone();
        // The sender lives as long as the client's own task, so an error here means the connection was closed.
        let _ = link.wait_for(|link| link.up).await;
        self.check_server()
    }

    /// Sends a message to itself, and gives the time until it was back; none when it was not within `limit`. A server
    /// works on a connection in order, so by then it has done whatever it was asked for before: subscriptions are
    /// there. A flush does not show that, since it only empties the client's own buffer.
    pub async fn round_trip(&self, limit: Duration) -> Option<Duration> {
        let inbox = self.client.new_inbox();
        let trip = async {
            let mut back = self.client.subscribe(inbox.clone()).await.ok()?;
            let begun = Instant::now();
            self.client.publish(inbox, Bytes::new()).await.ok()?;
            back.next().await.map(|_| begun.elapsed())
        };
        tokio::time::timeout(limit, trip).await.ok()?
    }

    /// Largest message that the server takes, in bytes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// Host, port and version of the server, for people; `None` before the first connection.
    #[must_use]
    pub fn server(&self) -> Option<String> {
        let info = self.client.try_server_info()?;
        Some(format!("{}:{} (version {})", info.host, info.port, info.version))
    }

    /// JetStream with `timeout` for every request and acknowledgement.
    #[must_use]
    pub fn jetstream(&self, timeout: Duration) -> async_nats::jetstream::Context {
        let builder = async_nats::jetstream::ContextBuilder::new();
        match &self.domain {
            Some(domain) => builder.domain(domain.to_string()).timeout(timeout),
            None => builder.timeout(timeout),
        }
        .ack_timeout(timeout)
        .build(self.client.clone())
    }

    fn check_server(&self) -> Result<(), ConnectError> {
        let (major, minor, patch) = OLDEST_SERVER;
        let Some(info) = self.client.try_server_info() else { return Ok(()) };
        if self.client.is_server_compatible(major, minor, patch) {
            return Ok(());
        }
        Err(ConnectError::TooOld { server: info.server_name, found: info.version })
    }
}

async fn nats_options(options: &ConnectOptions) -> Result<async_nats::ConnectOptions, ConnectError> {
    let mut nats = async_nats::ConnectOptions::new()
        .name(&options.name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(SERVER_PATIENCE)
        .reconnect_delay_callback(pause)
        // Addresses that a server announces may lie outside what this process is allowed to reach.
        .ignore_discovered_servers();
    if let Some(prefix) = &options.inbox_prefix {
        nats = nats.custom_inbox_prefix(prefix);
    }
    if let Some(path) = &options.root_certificates {
        nats = nats.add_root_certificates(path.clone());
    }
    if let Some(path) = &options.credentials {
        let refused = |source| ConnectError::Credentials { path: path.clone(), source };
        nats = nats.credentials_file(path).await.map_err(refused)?;
    }
    Ok(nats)
}

/// Pause before the try with this number: doubles from 50 ms, and a part of it differs between processes, so that
/// a server that returns is not met by all its clients at once.
fn pause(attempt: usize) -> Duration {
    if attempt == 0 {
        return Duration::ZERO;
    }
    let doubled = Duration::from_millis(50 << attempt.min(6));
    let share = std::process::id() % 8;
    (doubled + doubled * share / 32).min(MAX_PAUSE)
}

fn servers(urls: &[String]) -> Result<Vec<ServerAddr>, ConnectError> {
    if urls.is_empty() {
        return Err(ConnectError::NoUrl);
    }
    let parse = |url: &String| {
        let refused = |cause: String| ConnectError::InvalidUrl { url: without_user(url), cause };
        let server: ServerAddr = url.parse().map_err(|error: std::io::Error| refused(error.to_string()))?;
        if server.host().is_empty() {
            return Err(refused("it names no host".to_owned()));
        }
        Ok(server)
    };
    urls.iter().map(parse).collect()
}

fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (_, None) => url.to_owned(),
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
    }
}

fn unreachable_all(servers: &[ServerAddr], error: &async_nats::ConnectError) -> ConnectError {
    ConnectError::Unreachable { tried: servers.iter().map(|server| attempt(server, error)).collect() }
}

fn attempt(server: &ServerAddr, error: &async_nats::ConnectError) -> Attempt {
    let refused =
        matches!(error.kind(), ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation);
    let mut cause = match std::error::Error::source(error) {
        Some(source) if !refused => source.to_string(),
        _ => error.to_string(),
    };
    if cause.is_empty() {
        cause = error.to_string();
    }
    Attempt { server: address(server), cause, refused }
}

fn address(server: &ServerAddr) -> String {
    format!("{}:{}", server.host(), server.port())
}

/// Asks every server on its own why it is no use: the client library tells the cause of one only.
async fn each_cause(options: &ConnectOptions, servers: &[ServerAddr], within: Duration) -> ConnectError {
    let probes = servers.iter().map(|server| async move {
        let nats = match nats_options(options).await {
            Ok(nats) => nats.connection_timeout(within),
            Err(error) => {
                return Attempt { server: address(server), cause: error.to_string(), refused: false };
            }
        };
        match tokio::time::timeout(within, nats.connect(server)).await {
            Ok(Err(error)) => attempt(server, &error),
            Ok(Ok(_)) => Attempt {
                server: address(server),
                cause: "it answers only sometimes".to_owned(),
                refused: false,
            },
            Err(_) => Attempt {
                server: address(server),
                cause: format!("no answer within {} ms", within.as_millis()),
                refused: false,
            },
        }
    });
    ConnectError::Unreachable { tried: futures::future::join_all(probes).await }
}

fn note(link: &watch::Sender<Link>, event: &Event) {
    link.send_modify(|link| match event {
        Event::Connected => {
            link.up = true;
            link.connects += 1;
        }
        Event::Disconnected | Event::Closed => link.up = false,
        Event::SlowConsumer(_) => link.dropped += 1,
        Event::ServerError(error) => link.last_error = Some(error.to_string()),
        Event::ClientError(error) => link.last_error = Some(error.to_string()),
        Event::LameDuckMode | Event::Draining => {}
    });
}

/// An error with everything behind it: the client library's own texts name only the outermost.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_out_of_messages() {
        assert_eq!(without_user("nats://me:secret@host:4222"), "nats://host:4222");
        assert_eq!(without_user("me:sec@ret@host"), "host");
        assert_eq!(without_user("nats://host"), "nats://host");
    }

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!(pause(0), Duration::ZERO);
        assert!(pause(1) < pause(2) && pause(2) < pause(3));
        assert!(pause(usize::MAX) <= MAX_PAUSE);
    }

    #[test]
    fn xl02_bad_urls_are_named() {
        assert!(matches!(servers(&[]), Err(ConnectError::NoUrl)));
        let given = ConnectOptions::new(" , ", "test").urls;
        assert!(given.is_empty());
        let error = servers(&["ftp://user:secret@host".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("ftp://host") && !error.contains("secret"), "{error}");
    }
}
