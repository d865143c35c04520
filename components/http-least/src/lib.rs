//! The least that an HTTP component does: every request is answered by one line of text, and nothing else is asked of its
//! host. What a request costs here is what its host costs.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Least;

wasip2::http::proxy::export!(Least);

impl Guest for Least {
    fn handle(_request: IncomingRequest, answer: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body();
        ResponseOutparam::set(answer, Ok(response));
        let Ok(body) = body else { return };
        let Ok(output) = body.write() else { return };
        let written = output.blocking_write_and_flush(b"hello\n");
        drop(output);
        if written.is_ok() {
            // A caller that went away wants no more.
            let _ = OutgoingBody::finish(body, None);
        }
    }
}
