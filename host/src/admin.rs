//! Health of the host over HTTP, for supervisors and load balancers. It changes nothing and shows no app.
//!
//! `/healthz` (and `/livez`, as 1.x has it) say that the process answers: whoever restarts the host for anything else,
//! as for a NATS server that is away, ends what still serves. `/readyz` says whether the host takes commands and new work.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use lath_control_api::HostState;
use lath_control_api_client::Connection;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::status::{Facts, Snapshot};

/// What is shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) facts: Arc<Facts>,
    pub(crate) connection: Connection,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
}

/// The interface, bound to its address.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    router: Router,
}

impl Admin {
    /// Binds `address`.
    ///
    /// # Errors
    /// When somebody else has it, or it is not of this machine.
    pub(crate) async fn bind(address: SocketAddr, shown: Shown) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address} for health (choose another with --http-admin)")
        })?;
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .with_state(Arc::new(shown));
        Ok(Self { listener, router })
    }

    /// Answers until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let serve = axum::serve(self.listener, self.router);
        if let Err(error) = serve.with_graceful_shutdown(shutdown.cancelled_owned()).await {
            tracing::error!(%error, "the health interface has ended");
        }
    }
}

async fn ready(State(shown): State<Arc<Shown>>) -> Response {
    let nats = shown.connection.is_up();
    let state = shown.snapshots.borrow().state;
    let ready = nats && state == HostState::Ready;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let Facts { host, name, .. } = &*shown.facts;
    (status, Json(json!({ "ready": ready, "nats": nats, "state": state, "host": host, "name": name })))
        .into_response()
}
