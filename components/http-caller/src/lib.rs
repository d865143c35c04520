//! Reaches out as the request says, and answers what came of it: HTTP, TCP, UDP, lookups of names, files, and what it
//! sees of its surroundings. It sends what it is given without mending it, so that tests can hand it every trick.
//!
//! - `?url=SCHEME://AUTHORITY/PATH[&method=…][&headers=NAME:VALUE|…][&patience=MS]`: one request; a redirect is not followed.
//! - `/talk?url=…&words=A,B,…`: one request whose body and answer go on at the same time, with trailers at both ends.
//! - `/tcp?to=HOST:PORT`, `/udp?to=HOST:PORT`: says `ping` and answers what it hears.
//! - `/listen`, `/lookup?name=NAME`, `/see`.
//! - `/file?do=read|write|remove|folder|rename|copy|list&path=PATH[&to=TEXT]`.

mod files;
mod outgoing;
mod sockets;
mod talk;

use lath_guest::http::Exchange;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Caller;

wasip2::http::proxy::export!(Caller);

/// What came of it.
#[derive(Debug, Default, serde::Serialize)]
struct Answer {
    /// Status of an HTTP answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Where a redirect leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// What was heard or seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<String>,
    /// What followed the body of an answer: each as `NAME: VALUE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trailers: Option<Vec<String>>,
    /// Why nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Guest for Caller {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        let param = |key| exchange.param(key).unwrap_or_default();
        let result = match exchange.path() {
            "/tcp" => sockets::tcp(&param("to")),
            "/udp" => sockets::udp(&param("to")),
            "/listen" => sockets::listen(),
            "/lookup" => sockets::lookup(&param("name")),
            "/file" => files::act(&param("do"), &param("path"), &param("to")),
            "/see" => Ok(Answer { heard: Some(see()), ..Answer::default() }),
            "/talk" => talk::talk(&param("url"), &param("words")),
            _ => {
                let patience = exchange.param("patience").map(|_| exchange.number("patience", 0));
                outgoing::send(&param("url"), &param("method"), &param("headers"), patience)
            }
        };
        let answer = result.unwrap_or_else(|error| Answer { error: Some(error), ..Answer::default() });
        exchange.json(200, &answer);
    }
}

/// Arguments, variables, and what stands in the root and the working folder.
fn see() -> String {
    let arguments: Vec<String> = std::env::args().collect();
    let variables: Vec<(String, String)> = std::env::vars().collect();
    let folders = ["/", ".", "..", "/proc/self/environ"]
        .map(|path| std::fs::read_dir(path).map(|_| ()).or_else(|_| std::fs::read(path).map(|_| ())).is_ok());
    format!("arguments {arguments:?}, variables {variables:?}, folders {folders:?}")
}
