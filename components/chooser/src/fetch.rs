//! One request through `wasi:http/outgoing-handler`, to a host whose name nobody looks up: a link answers it.

use std::io::Read as _;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, OutgoingRequest, Scheme};

/// Most bytes of an answer that are read.
const BODY_BYTES: u64 = 64 * 1024;

/// The whole answer, or why there is none.
pub(crate) fn fetch(path: &str) -> Result<String, String> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(|()| "scheme refused")?;
    request.set_authority(Some("chosen.test")).map_err(|()| "authority refused")?;
    request.set_path_with_query(Some(path)).map_err(|()| "path refused")?;
    let future = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Err(format!("{code:?}")),
        Some(Err(())) | None => return Err("no answer".to_owned()),
    };
    let body = response.consume().map_err(|()| "no body")?;
    let mut heard = String::new();
    {
        let stream = body.stream().map_err(|()| "no stream")?;
        let read = stream.take(BODY_BYTES).read_to_string(&mut heard);
        read.map_err(|error| format!("body: {error}"))?;
    }
    drop(IncomingBody::finish(body));
    Ok(heard)
}
