//! The smallest web app: says a greeting from its config, and which version and request it was. No state and no
//! calls to others. A config that it does not understand makes every answer a 500 that names the key.

use lath_guest::http::Exchange;
use lath_guest::{VERSION, config, fault};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        let greeting = match greeting() {
            Ok(greeting) => greeting,
            Err(reason) => return exchange.text(500, &reason),
        };
        match (exchange.method(), exchange.path()) {
            (_, "/healthz") => exchange.text(200, "ok"),
            (Method::Post, "/echo") => exchange.echo(),
            (_, "/echo") => exchange.text(405, "/echo takes POST"),
            _ => match fault::is_due() {
                Ok(false) => hello(exchange, &greeting),
                Ok(true) => exchange.text(500, "a fault, as the config says"),
                Err(reason) => exchange.text(500, &reason),
            },
        }
    }
}

/// Every path is answered, so that routes by path can be seen to arrive.
fn hello(exchange: Exchange, greeting: &str) {
    #[derive(serde::Serialize)]
    struct Answer<'a> {
        component: &'a str,
        version: &'a str,
        greeting: &'a str,
        path: &'a str,
        request_id: &'a str,
    }

    let path = exchange.path().to_owned();
    let request_id = exchange.request_id();
    let answer =
        Answer { component: "http-hello", version: VERSION, greeting, path: &path, request_id: &request_id };
    exchange.json(200, &answer);
}

fn greeting() -> Result<String, String> {
    let greeting = config::get("greeting")?.unwrap_or_else(|| "hello".to_owned());
    match config::get("mode")?.as_deref() {
        None | Some("plain") => Ok(greeting),
        Some("shout") => Ok(greeting.to_uppercase()),
        Some(other) => Err(format!("config key `mode` is `{other}`; allowed are `plain` and `shout`")),
    }
}
