//! A component that no host can run: it imports an interface that nobody provides. A host must refuse it while
//! it prepares, with the name of the import, and must not touch what serves.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/demo",
        world: "needs-absent",
    });
}

use bindings::lath::demo::absent;
use lath_guest::http::Exchange;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct NeedsMissing;

wasip2::http::proxy::export!(NeedsMissing);

impl Guest for NeedsMissing {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        Exchange::new(request, answer).text(200, &absent::ask("anybody there?"));
    }
}
