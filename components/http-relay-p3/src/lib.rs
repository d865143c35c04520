//! Passes each request on to the handler that its link leads to, and the answer back: both bodies stream through it
//! untouched. A header says that it was there.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen_p3::generate!({
        path: "../wit/relay",
        world: "relays",
        runtime_path: "::wit_bindgen_p3::rt",
        with: {
            "wasi:http/handler@0.3.2": generate,
            "wasi:http/types@0.3.2": wasip3::http::types,
            "wasi:clocks/types@0.3.2": wasip3::clocks::types,
        },
    });
}

use bindings::wasi::http::handler;
use lath_guest_p3::body;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_future;

struct Relay;

wasip3::http::service::export!(Relay);

impl Guest for Relay {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let head = (request.get_method(), request.get_path_with_query(), request.get_authority());
        let headers = marked(&request.get_headers());
        let (contents, ending) = body(request);
        let (next, _sent) = Request::new(headers, Some(contents), ending, None);
        let (method, path, authority) = head;
        // They were taken from a request, so they are good for one.
        let _taken = next.set_method(&method);
        let _taken = next.set_path_with_query(path.as_deref());
        let _taken = next.set_authority(authority.as_deref());
        let answer = handler::handle(next).await?;
        let status = answer.get_status_code();
        let headers = marked(&answer.get_headers());
        let (_, received) = wit_future::new(|| Ok(()));
        let (contents, ending) = Response::consume_body(answer, received);
        let (back, _sent) = Response::new(headers, Some(contents), ending);
        let _taken = back.set_status_code(status);
        Ok(back)
    }
}

/// The same headers, and that they went through here.
fn marked(headers: &Fields) -> Fields {
    let headers = headers.clone();
    let _refused = headers.append("x-relayed", b"http-relay-p3");
    headers
}
