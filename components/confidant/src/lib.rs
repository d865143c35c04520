//! Knows secrets and tells only enough of one for a test: at `/?name=NAME` its kind and its length, or why it has none.
//! It shows no value.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/secrets",
        world: "imports",
    });
}

use bindings::wasmcloud::secrets::reveal::reveal;
use bindings::wasmcloud::secrets::store::{self, SecretValue, SecretsError};
use lath_guest::http::Exchange;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Confidant;

wasip2::http::proxy::export!(Confidant);

impl Guest for Confidant {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        let told = match store::get(&exchange.param("name").unwrap_or_default()) {
            Ok(secret) => match reveal(&secret) {
                SecretValue::String(text) => format!("a text of {} bytes", text.len()),
                SecretValue::Bytes(bytes) => format!("{} bytes", bytes.len()),
            },
            Err(SecretsError::NotFound) => "not found".to_owned(),
            Err(SecretsError::Upstream(why) | SecretsError::Io(why)) => why,
        };
        exchange.text(200, &told);
    }
}
