//! An HTTP request answered by a component of WASI 0.3.
//!
//! Its handler returns the head of the answer and mostly goes on, writing the body from a task of its own. Hence the
//! store runs until no task of the guest is left and the answer was read or dropped: whoever leaves a body unfinished
//! is ended by its deadline, and its reader sees an error, never a short body.

use futures::FutureExt as _;
use futures::future::Shared;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, header};
use tokio::sync::oneshot;
use wasmtime_wasi_http::p3::bindings::ServiceIndices;
use wasmtime_wasi_http::{Error, WasiHttpView, p3};

use crate::engine::Prepared;
use crate::engine::body::Body;
use crate::engine::http::Given;
use crate::engine::kept::Live;
use crate::engine::pipes;

/// Resolves when nobody reads the answer any more: well, when it was read to its end.
type Read = Shared<oneshot::Receiver<()>>;

/// Has the guest answer `request`, and gives the head of the answer to `answered`. Returns when the guest has ended
/// and its answer was read or dropped.
///
/// # Errors
/// Those of the guest and of the engine.
pub(super) async fn run(
    service: &ServiceIndices,
    prepared: &Prepared,
    live: &mut Live,
    request: Request<Body>,
    answered: impl FnOnce(Result<Given, String>) + Send,
) -> wasmtime::Result<()> {
    let instance = live.instance(prepared).await?;
    let service = match &mut live.handler.service {
        Some(found) => found,
        none => none.insert(service.load(&mut live.store, &instance)?),
    };
    let request = addressed(request);
    let (told, read) = oneshot::channel();
    let read = read.shared();
    live.store
        .run_concurrent(async |accessor| {
            // The guest need not be told how the reading of its request went: it reads it itself.
            let request =
                accessor.with(|mut store| p3::Request::from_http(store.get().http().hooks, request).0);
            match service.handle(accessor, request).await? {
                Ok(response) => {
                    let sent = sent(read.clone());
                    let response = accessor.with(|store| response.into_http(store, sent))?;
                    answered(Ok(Given { response, told: Some(told) }));
                }
                Err(code) => {
                    drop(told);
                    answered(Err(format!("{code:?}")));
                }
            }
            pipes::settled(accessor).await;
            // Nobody reads an answer that never came: its sender is gone, which is an end too.
            let _ended = read.await;
            Ok(())
        })
        .await?
}

/// What the guest learns of the sending of its answer.
async fn sent(read: Read) -> Result<(), Error> {
    read.await.map_err(|_| Error::ConnectionTerminated)
}

/// The request with the whole address in its target, where components of WASI 0.3 look for it.
fn addressed(mut request: Request<Body>) -> Request<Body> {
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = parts.scheme.or(Some(Scheme::HTTP));
    if parts.authority.is_none() {
        let host = request.headers().get(header::HOST);
        parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    }
    parts.path_and_query = parts.path_and_query.or(Some(PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::body;

    #[test]
    fn a_request_says_its_whole_address() {
        let request =
            |uri: &str| Request::get(uri).header("host", "a.test:8000").body(body::empty()).unwrap();
        assert_eq!(addressed(request("/x?y=1")).uri(), "http://a.test:8000/x?y=1");
        assert_eq!(addressed(request("https://b.test/")).uri(), "https://b.test/");
    }
}
