//! One request over HTTP and its answer, or in words why there is none. Nothing is retried and nothing is counted.
//! An answer is taken for that of a request only when it carries the request's id.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{Answer, Load};

/// The header that guests copy from a request into its answer.
const REQUEST_ID: &str = "x-request-id";
/// Clients that keep a connection. Several, so that every host of a shared address gets some of the load.
const KEEPERS: usize = 8;

/// Clients with kept connections, and one that opens a connection for each request.
#[derive(Debug)]
pub(crate) struct Clients {
    keepers: Vec<Client<HttpConnector, Empty<Bytes>>>,
    fresh: Client<HttpConnector, Empty<Bytes>>,
}

impl Clients {
    /// Clients without a connection yet.
    pub(crate) fn new() -> Self {
        Self { keepers: (0..KEEPERS).map(|_| client(usize::MAX)).collect(), fresh: client(0) }
    }

    /// Over a connection that is kept; requests with numbers in sequence go over different ones.
    pub(crate) async fn kept(&self, load: &Load, id: &str, number: u64) -> Result<Answer, String> {
        let turn = usize::try_from(number).unwrap_or_default() % self.keepers.len();
        exchange(&self.keepers[turn], load, id).await
    }

    /// Over a connection of its own.
    pub(crate) async fn fresh(&self, load: &Load, id: &str) -> Result<Answer, String> {
        exchange(&self.fresh, load, id).await
    }
}

fn client(kept_connections: usize) -> Client<HttpConnector, Empty<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut client = Client::builder(TokioExecutor::new());
    client.retry_canceled_requests(false).pool_max_idle_per_host(kept_connections);
    client.pool_timer(TokioTimer::new()).build(connector)
}

async fn exchange(
    client: &Client<HttpConnector, Empty<Bytes>>,
    load: &Load,
    id: &str,
) -> Result<Answer, String> {
    let mut request = http::Request::get(&load.url).header(REQUEST_ID, id);
    if let Some(host) = &load.host {
        request = request.header(http::header::HOST, host);
    }
    if let Some(revision) = load.revision {
        request = request.header("x-lath-revision", revision);
    }
    for (name, value) in &load.headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::new()).map_err(|error| whole(&error))?;
    let response = client.request(request).await.map_err(|error| whole(&error))?;
    let status = response.status();
    let answered = response.headers().get(REQUEST_ID).map(|value| value.as_bytes().to_owned());
    let body = response.into_body().collect().await.map_err(|error| whole(&error))?.to_bytes();
    if status != http::StatusCode::OK {
        return Err(format!("status {status}: {}", String::from_utf8_lossy(&body).trim_end()));
    }
    let text = String::from_utf8_lossy(&body);
    if answered.as_deref() != Some(id.as_bytes()) {
        return Err(format!("the answer belongs to the request {answered:?}, not to {id}: {text}"));
    }
    Ok(Answer { body: serde_json::from_str(&text).unwrap_or_else(|_| text.trim_end().into()) })
}

/// An error with all its causes.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
