//! One request through `wasi:http/outgoing-handler`.

use std::io::Read as _;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingRequest,
    RequestOptions, Scheme,
};

use crate::Answer;

/// Most bytes of an answer's body that are read.
const BODY_BYTES: u64 = 64 * 1024;

/// Sends it, and waits for the whole answer; for its beginning so many milliseconds at most.
pub(crate) fn send(url: &str, method: &str, headers: &str, patience: Option<u64>) -> Result<Answer, String> {
    let fields = Fields::new();
    for header in headers.split('|').filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        fields.append(name, value.as_bytes()).map_err(|error| format!("header: {error:?}"))?;
    }
    let method = match method {
        "" | "GET" => Method::Get,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    let request = request(url, &method, fields)?;
    let options = patience.map(|patience| {
        let options = RequestOptions::new();
        options.set_first_byte_timeout(Some(patience.saturating_mul(1_000_000))).map(|()| options)
    });
    let options = options.transpose().map_err(|()| "patience refused")?;
    let future = outgoing_handler::handle(request, options).map_err(|code| format!("{code:?}"))?;
    let response = answered(&future).map_err(|code| format!("{code:?}"))?;
    let status = Some(response.status());
    let location =
        response.headers().get("location").first().map(|value| String::from_utf8_lossy(value).into_owned());
    let body = response.consume().map_err(|()| "no body")?;
    let mut heard = Vec::new();
    {
        let stream = body.stream().map_err(|()| "no stream")?;
        let read = stream.take(BODY_BYTES).read_to_end(&mut heard);
        read.map_err(|error| format!("body: {error}"))?;
    }
    drop(IncomingBody::finish(body));
    let heard = Some(String::from_utf8_lossy(&heard).into_owned());
    Ok(Answer { status, location, heard, ..Answer::default() })
}

/// The head of a request.
pub(crate) fn request(url: &str, method: &Method, fields: Fields) -> Result<OutgoingRequest, String> {
    let request = OutgoingRequest::new(fields);
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let scheme = match scheme {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        "" => None,
        other => Some(Scheme::Other(other.to_owned())),
    };
    let (authority, path) =
        rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let path = path.map(|path| format!("/{path}"));
    request.set_method(method).map_err(|()| "method refused")?;
    request.set_scheme(scheme.as_ref()).map_err(|()| "scheme refused")?;
    let authority = (!authority.is_empty()).then_some(authority);
    request.set_authority(authority).map_err(|()| "authority refused")?;
    request.set_path_with_query(path.as_deref()).map_err(|()| "path refused")?;
    Ok(request)
}

/// The head of the answer, when it is there.
pub(crate) fn answered(future: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    future.subscribe().block();
    match future.get() {
        Some(Ok(answer)) => answer,
        Some(Err(())) | None => Err(ErrorCode::InternalError(None)),
    }
}
