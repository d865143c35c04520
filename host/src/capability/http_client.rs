//! `wasi:http/outgoing-handler`: requests of components to the outside. Denied, since no grant for them exists yet.

use std::future::Future;
use std::sync::Arc;

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::capability::output::GuestLog;

/// Most bytes that a component writes to a body at once; two of them may lie with the host (K5).
const BODY_CHUNK_BYTES: usize = 256 << 10;

type Pending<T> = Box<dyn Future<Output = T> + Send>;
type Answer = (http::Response<WasiBody>, Pending<Result<(), Error>>);

/// Refuses every outgoing request and says which grant is missing.
pub(crate) struct DeniedEgress {
    log: Arc<GuestLog>,
}

impl DeniedEgress {
    pub(crate) const fn new(log: Arc<GuestLog>) -> Self {
        Self { log }
    }
}

impl WasiHttpHooks for DeniedEgress {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Pending<Result<(), Error>>,
    ) -> Pending<Result<Answer, Error>> {
        let authority = request.uri().authority().map_or("", |authority| authority.as_str());
        self.log.denied(&format!(
            "outgoing request to `{authority}` refused: the component has no grant `allowed_hosts`"
        ));
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};

    use super::*;
    use crate::engine::UnitIdentity;

    #[tokio::test]
    async fn k3_an_outgoing_request_is_refused() {
        let identity = UnitIdentity {
            lattice: "default".parse().unwrap(),
            app: "shop".parse().unwrap(),
            component: "front".parse().unwrap(),
            id: "shop-front".parse().unwrap(),
            revision: lath_control_api::Revision(1),
        };
        let mut egress = DeniedEgress::new(Arc::new(GuestLog::new(&identity)));
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = http::Request::get("https://example.com/").body(body).unwrap();
        let answer =
            Box::into_pin(egress.send_request(request, None, Box::new(std::future::ready(Ok(()))))).await;
        assert!(matches!(answer, Err(Error::HttpRequestDenied)));
    }
}
