//! The front of an app of two components: takes HTTP requests and asks `lath:demo/greeter` through a link. It
//! must not know where the greeter runs. What the greeter refuses is the caller's mistake, a 400 with its text.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/demo",
        world: "calls-greeter",
    });
}

use bindings::lath::demo::greeter;
use lath_guest::fault::{self, Fault};
use lath_guest::http::Exchange;
use lath_guest::{VERSION, config};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// Whom `/` greets when the request names nobody.
const ANYBODY: &str = "world";

struct Front;

wasip2::http::proxy::export!(Front);

impl Guest for Front {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        match exchange.path() {
            "/healthz" => exchange.text(200, "ok"),
            "/" => {
                let name = exchange.param("name").unwrap_or_else(|| ANYBODY.to_owned());
                greet(exchange, &name);
            }
            "/greet" => {
                let name = exchange.param("name").unwrap_or_default();
                greet(exchange, &name);
            }
            _ => exchange.text(404, "there are /, /greet?name=NAME and /healthz"),
        }
    }
}

fn greet(exchange: Exchange, name: &str) {
    #[derive(serde::Serialize)]
    struct Answer<'a> {
        component: &'a str,
        version: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        mark: Option<&'a str>,
        greeter: &'a str,
        text: &'a str,
        request_id: &'a str,
    }

    let request_id = exchange.request_id();
    let mark = match fault::begin(&request_id) {
        Ok(Some(Fault::Trap)) => std::process::abort(),
        Ok(Some(Fault::Error)) => return exchange.text(500, "a fault, as the config says"),
        Ok(None) => config::get("mark"),
        Err(reason) => Err(reason),
    };
    let mark = match mark {
        Ok(mark) => mark,
        Err(reason) => return exchange.text(500, &reason),
    };
    match greeter::greet(name) {
        Ok(greeting) => {
            let answer = Answer {
                component: "http-front",
                version: VERSION,
                mark: mark.as_deref(),
                greeter: &greeting.version,
                text: &greeting.text,
                request_id: &request_id,
            };
            exchange.json(200, &answer);
        }
        Err(reason) => exchange.text(400, &reason),
    }
}
