//! Requests to the collector. The library that batches spans sends them from a thread of its own; connections need the
//! runtime of the process.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::redirect;
use tokio::runtime::Handle;

use crate::settings::TelemetryError;

/// Longest that a collector may take to answer. The library's own patience (`OTEL_EXPORTER_OTLP_TIMEOUT`) is mostly shorter.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of an answer: collectors say little.
const ANSWER: usize = 64 << 10;

/// The way to the collector.
#[derive(Clone)]
pub(crate) struct Collector {
    client: reqwest::Client,
    runtime: Handle,
}

impl Collector {
    /// Sends by the runtime that this is called in. TLS trusts the certificates of the system.
    pub(crate) fn new() -> Result<Self, TelemetryError> {
        // Refused only when the program has chosen it before.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none());
        Ok(Self {
            client: client.build().map_err(TelemetryError::exporter)?,
            runtime: Handle::try_current().map_err(TelemetryError::exporter)?,
        })
    }

    async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut answer = client.execute(request.try_into()?).await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = std::mem::take(answer.headers_mut());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            let room = ANSWER.saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        }
        Ok(response.body(body.into())?)
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let sent = self.runtime.spawn(Self::send(self.client.clone(), request));
        Box::pin(async move { sent.await? })
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}
