//! The HTTP interface: health, and the questions of the API as JSON. It changes nothing.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use lath_control_api::{ApiError, AppName, ErrorCode};
use lath_control_api_client::Connection;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::read;
use crate::context::Context;

/// What the interface shows: the connection from the start, the rest once it is there.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) connection: Connection,
    pub(crate) context: OnceLock<Arc<Context>>,
}

/// The interface, bound to its address.
#[derive(Debug)]
pub(crate) struct Http {
    listener: TcpListener,
    shown: Arc<Shown>,
}

impl Http {
    /// Binds `address`.
    ///
    /// # Errors
    /// When somebody else has it, or it is not of this machine.
    pub(crate) async fn bind(address: SocketAddr, shown: Arc<Shown>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} for HTTP (choose another with --http)"))?;
        Ok(Self { listener, shown })
    }

    /// The address, with the port that was found when none was asked for.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("the HTTP listener has no address")
    }

    /// Answers until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let serve = axum::serve(self.listener, router(self.shown));
        if let Err(error) = serve.with_graceful_shutdown(shutdown.cancelled_owned()).await {
            tracing::error!(%error, "the HTTP interface has ended");
        }
    }
}

fn router(shown: Arc<Shown>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/api/v1/lattices", get(lattices))
        .route("/api/v1/lattices/{lattice}/hosts", get(hosts))
        .route("/api/v1/lattices/{lattice}/apps", get(apps))
        .route("/api/v1/lattices/{lattice}/apps/{app}", get(app))
        .route("/api/v1/lattices/{lattice}/apps/{app}/history", get(history))
        .with_state(shown)
}

async fn ready(State(shown): State<Arc<Shown>>) -> Response {
    let nats = shown.connection.is_up();
    let context = shown.context.get();
    let loaded = context.is_some_and(|context| context.records.is_loaded());
    let manager = context.map(|context| read::manager(context));
    let status = if nats && loaded { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": nats && loaded, "nats": nats, "recordsLoaded": loaded, "manager": manager });
    (status, Json(body)).into_response()
}

async fn lattices(State(shown): State<Arc<Shown>>) -> Response {
    answer(context(&shown).map(|context| json!({ "lattices": [context.client.subjects().lattice()] })))
}

async fn hosts(State(shown): State<Arc<Shown>>, Path(lattice): Path<String>) -> Response {
    answer(of_lattice(&shown, &lattice).map(read::hosts))
}

async fn apps(State(shown): State<Arc<Shown>>, Path(lattice): Path<String>) -> Response {
    match of_lattice(&shown, &lattice) {
        Ok(context) => answer(Ok(read::list(context).await)),
        Err(error) => refusal(&error),
    }
}

async fn app(State(shown): State<Arc<Shown>>, Path((lattice, app)): Path<(String, String)>) -> Response {
    match of_app(&shown, &lattice, &app) {
        Ok((context, app)) => answer(read::status(context, app).await),
        Err(error) => refusal(&error),
    }
}

async fn history(State(shown): State<Arc<Shown>>, Path((lattice, app)): Path<(String, String)>) -> Response {
    match of_app(&shown, &lattice, &app) {
        Ok((context, app)) => answer(read::history(context, app).await),
        Err(error) => refusal(&error),
    }
}

fn context(shown: &Shown) -> Result<&Context, ApiError> {
    let starting =
        || ApiError::new(ErrorCode::NotReady, "the manager is starting").with_help("ask again soon");
    shown.context.get().map(Arc::as_ref).ok_or_else(starting)
}

fn of_lattice<'a>(shown: &'a Shown, lattice: &str) -> Result<&'a Context, ApiError> {
    let context = context(shown)?;
    let own = context.client.subjects().lattice();
    if own.as_str() == lattice {
        return Ok(context);
    }
    let message = format!("this manager manages lattice `{own}`, not `{}`", lattice.escape_debug());
    Err(ApiError::new(ErrorCode::NotFound, message))
}

fn of_app<'a>(shown: &'a Shown, lattice: &str, app: &str) -> Result<(&'a Context, AppName), ApiError> {
    let context = of_lattice(shown, lattice)?;
    let bad = |error: lath_control_api::IdError| ApiError::new(ErrorCode::BadRequest, error.to_string());
    Ok((context, app.parse().map_err(bad)?))
}

fn answer<A: Serialize>(result: Result<A, ApiError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &ApiError) -> Response {
    let status = match error.code.exit() {
        3 => StatusCode::NOT_FOUND,
        4 => StatusCode::BAD_REQUEST,
        5 => StatusCode::CONFLICT,
        6 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(json!({ "error": error }))).into_response()
}
