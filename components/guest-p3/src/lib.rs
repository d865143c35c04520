//! What the guests of WASI 0.3 share: reading requests and answering them. Bodies are streamed in pieces, and the head
//! of an answer is sent before its body. Nothing here may decide what a component answers.

use lath_guest::http::REQUEST_ID;
use lath_guest::query;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Trailers};
use wasip3::wit_bindgen::rt::async_support::{FutureReader, StreamReader, StreamWriter};
use wasip3::{wit_future, wit_stream};
use wit_bindgen_p3::spawn_local;

/// What comes after a body.
pub type Ending = FutureReader<Result<Option<Trailers>, ErrorCode>>;

/// The parts of a request that answers are made of.
#[derive(Debug)]
pub struct Asked {
    target: String,
    request_id: Vec<u8>,
}

impl Asked {
    /// Reads the head of a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let target = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
        let request_id = request.get_headers().get(REQUEST_ID).into_iter().next().unwrap_or_default();
        Self { target, request_id }
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
    #[must_use]
    pub fn text(&self, status: u16, text: &str) -> Response {
        self.whole(status, "text/plain; charset=utf-8", format!("{text}\n"))
    }

    /// Answers with a JSON document on one line.
    #[must_use]
    pub fn json(&self, status: u16, value: &impl serde::Serialize) -> Response {
        match serde_json::to_string(value) {
            Ok(text) => self.whole(status, "application/json", format!("{text}\n")),
            Err(error) => self.text(500, &format!("the answer cannot be written as JSON: {error}")),
        }
    }

    /// Answers with a body that is there already.
    fn whole(&self, status: u16, content_type: &str, body: String) -> Response {
        self.stream(status, content_type, None, async move |mut output| {
            // A caller that went away wants no more.
            let _unwanted = output.write_all(body.into_bytes()).await;
        })
    }

    /// Answers with the body that `write` writes after the head was sent, and with `trailers` after it.
    #[must_use]
    pub fn stream<F>(&self, status: u16, content_type: &str, trailers: Option<Fields>, write: F) -> Response
    where
        F: AsyncFnOnce(StreamWriter<u8>) + 'static,
    {
        let (output, body) = wit_stream::new();
        let (ending, ended) = wit_future::new(|| Ok(None));
        spawn_local(async move {
            write(output).await;
            // Nobody may wait for what comes after the body.
            let _unwanted = ending.write(Ok(trailers)).await;
        });
        self.passing_on(status, content_type, body, ended)
    }

    /// Answers with a body that comes from elsewhere.
    #[must_use]
    pub fn passing_on(
        &self,
        status: u16,
        content_type: &str,
        body: StreamReader<u8>,
        ended: Ending,
    ) -> Response {
        let fields = Fields::new();
        // Refused only by a host that forbids the header; the answer is then sent without it.
        let _ = fields.set("content-type", &[content_type.as_bytes().to_vec()]);
        if !self.request_id.is_empty() {
            let _ = fields.set(REQUEST_ID, std::slice::from_ref(&self.request_id));
        }
        let (response, _sent) = Response::new(fields, Some(body), ended);
        if response.set_status_code(status).is_err() {
            // Only a number outside 100..=599 is refused; the caller asked for what cannot be sent.
            let _ = response.set_status_code(500);
        }
        response
    }
}

/// The body of a request, and what comes after it.
#[must_use]
pub fn body(request: Request) -> (StreamReader<u8>, Ending) {
    let (_, received) = wit_future::new(|| Ok(()));
    Request::consume_body(request, received)
}
