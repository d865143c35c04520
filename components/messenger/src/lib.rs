//! Sends messages as its requests say, and answers those that it takes, by `wasmcloud:messaging`.
//!
//! - `/publish?subject=…&body=…[&reply-to=…]` sends one; `/request?subject=…&body=…[&ms=…]` waits for the answer. What came of
//!   it is `{"ok": …}`, or `{"error": …}` with status 400.
//! - A message that waits for an answer gets one; another one is told of at its subject with `.heard` behind it. The
//!   message `refuse me` is refused.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/messaging",
        world: "messenger",
    });

    use super::Messenger;
    export!(Messenger);
}

use bindings::exports::wasmcloud::messaging::handler;
use bindings::wasmcloud::messaging::consumer;
use bindings::wasmcloud::messaging::types::BrokerMessage;
use lath_guest::VERSION;
use lath_guest::http::Exchange;
use serde_json::{Value, json};
use wasip2::exports::http::incoming_handler;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// How long an answer is waited for when the request does not say.
const PATIENCE_MS: u64 = 5_000;

struct Messenger;

wasip2::http::proxy::export!(Messenger);

impl incoming_handler::Guest for Messenger {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        match send(&exchange) {
            Ok(outcome) => exchange.json(200, &json!({ "ok": outcome })),
            Err(problem) => exchange.json(400, &json!({ "error": problem })),
        }
    }
}

fn send(exchange: &Exchange) -> Result<Value, String> {
    let param = |key| exchange.param(key).unwrap_or_default();
    let (subject, body) = (param("subject"), param("body").into_bytes());
    match exchange.path() {
        "/publish" => {
            let message = BrokerMessage { subject, body, reply_to: exchange.param("reply-to") };
            consumer::publish(&message).map(|()| Value::Null)
        }
        "/request" => {
            let patience = u32::try_from(exchange.number("ms", PATIENCE_MS)).unwrap_or(u32::MAX);
            let answer = consumer::request(&subject, &body, patience)?;
            Ok(json!(text(&answer.body)))
        }
        other => Err(format!("nothing is done at {other}")),
    }
}

impl handler::Guest for Messenger {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let BrokerMessage { subject, body, reply_to } = message;
        let heard = text(&body);
        if heard == "refuse me" {
            return Err("refused, as it wanted".to_owned());
        }
        let to = reply_to.unwrap_or_else(|| format!("{subject}.heard"));
        let body = format!("{VERSION} heard {heard} at {subject}").into_bytes();
        consumer::publish(&BrokerMessage { subject: to, body, reply_to: None })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
