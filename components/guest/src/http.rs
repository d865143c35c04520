//! Answering HTTP requests. Bodies are streamed in pieces, so no answer needs memory for all of itself. The
//! status and headers are sent before the body, and a caller that went away ends the writing without a trap.

use std::io::Write;

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

use crate::query;

/// The header by which a caller finds its request again in the answer.
pub const REQUEST_ID: &str = "x-request-id";

/// The most bytes moved from the request to the answer at a time.
const SPLICE_BYTES: u64 = 64 * 1024;

/// A request, with the place its answer goes to. Exactly one of the answering methods consumes it.
#[derive(Debug)]
pub struct Exchange {
    request: IncomingRequest,
    answer: ResponseOutparam,
    target: String,
    request_id: Vec<u8>,
}

impl Exchange {
    /// Takes what `wasi:http/incoming-handler` hands over.
    #[must_use]
    pub fn new(request: IncomingRequest, answer: ResponseOutparam) -> Self {
        let target = request.path_with_query().unwrap_or_else(|| "/".to_owned());
        let request_id = request.headers().get(REQUEST_ID).into_iter().next().unwrap_or_default();
        Self { request, answer, target, request_id }
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.request.method()
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        query::path(&self.target)
    }

    /// The first query parameter called `key`, decoded.
    #[must_use]
    pub fn param(&self, key: &str) -> Option<String> {
        query::param(&self.target, key)
    }

    /// A whole number from the query; `default` when it is absent or is not a number.
    #[must_use]
    pub fn number(&self, key: &str, default: u64) -> u64 {
        self.param(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// The value of the `x-request-id` header; empty when there is none.
    #[must_use]
    pub fn request_id(&self) -> String {
        String::from_utf8_lossy(&self.request_id).into_owned()
    }

    /// Answers with a line of text.
    pub fn text(self, status: u16, text: &str) {
        self.whole(status, "text/plain; charset=utf-8", format!("{text}\n").as_bytes());
    }

    /// Answers with a JSON document on one line.
    pub fn json(self, status: u16, value: &impl serde::Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.whole(status, "application/json", format!("{text}\n").as_bytes()),
            Err(error) => self.text(500, &format!("the answer cannot be written as JSON: {error}")),
        }
    }

    /// Answers 200 with the request's own body, piece by piece as it comes.
    pub fn echo(self) {
        let body = self.request.consume();
        let input = body.as_ref().ok().and_then(|body| body.stream().ok());
        self.stream(200, "application/octet-stream", |output| {
            let Some(input) = &input else { return Ok(()) };
            loop {
                match output.blocking_splice(input, SPLICE_BYTES) {
                    Ok(_) => {}
                    Err(StreamError::Closed) => return Ok(()),
                    Err(StreamError::LastOperationFailed(error)) => {
                        return Err(std::io::Error::other(error.to_debug_string()));
                    }
                }
            }
        });
        // The stream is a child of the body and must go first.
        drop(input);
        if let Ok(body) = body {
            drop(IncomingBody::finish(body));
        }
    }

    /// Reads the request's body to its end and gives the number of its bytes; a message when it broke off.
    ///
    /// # Errors
    /// When the body cannot be read to its end.
    pub fn body_bytes(&self) -> Result<u64, String> {
        let Ok(body) = self.request.consume() else { return Ok(0) };
        let Ok(input) = body.stream() else { return Ok(0) };
        let mut bytes = 0_u64;
        loop {
            match input.blocking_skip(SPLICE_BYTES) {
                Ok(skipped) => bytes += skipped,
                Err(StreamError::Closed) => return Ok(bytes),
                Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
            }
        }
    }

    /// Answers with `status`, and with the body that `write` writes. An error of `write` leaves the body
    /// unfinished, so that the caller sees it was cut.
    pub fn stream(
        self,
        status: u16,
        content_type: &str,
        write: impl FnOnce(&mut wasip2::io::streams::OutputStream) -> std::io::Result<()>,
    ) {
        let Self { answer, request_id, .. } = self;
        let response = OutgoingResponse::new(headers(content_type, &request_id));
        if response.set_status_code(status).is_err() {
            // Only a number outside 100..=599 is refused; the caller asked for what cannot be sent.
            let _ = response.set_status_code(500);
        }
        let body = response.body();
        ResponseOutparam::set(answer, Ok(response));
        let Ok(body) = body else { return };
        let Ok(mut output) = body.write() else { return };
        let written = write(&mut output).and_then(|()| Write::flush(&mut output));
        drop(output);
        if written.is_ok() {
            drop(OutgoingBody::finish(body, None));
        }
    }

    fn whole(self, status: u16, content_type: &str, body: &[u8]) {
        self.stream(status, content_type, |output| output.write_all(body));
    }
}

fn headers(content_type: &str, request_id: &[u8]) -> Fields {
    let fields = Fields::new();
    // Refused only by a host that forbids the header; the answer is then sent without it.
    let _ = fields.set("content-type", &[content_type.as_bytes().to_vec()]);
    if !request_id.is_empty() {
        let _ = fields.set(REQUEST_ID, &[request_id.to_vec()]);
    }
    fields
}
