//! Chooses by `wasmcloud:bus` over which of its links it asks, again and again within one request, and answers with a list
//! of what it heard. `by` has the names of links with commas between them; an empty one is no choice. `interface` is what
//! is chosen, in place of the interface that is asked.
//!
//! - `/greet?name=NAME&by=LINK,…[&interface=NAMESPACE:PACKAGE/INTERFACE]`: a greeter.
//! - `/fetch?path=PATH&by=LINK,…`: whoever answers the requests that it sends.

mod fetch;

mod bus {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/bus",
        world: "imports",
    });
}

mod demo {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/demo",
        world: "calls-greeter",
    });
}

use bus::wasmcloud::bus::lattice::{CallTargetInterface, set_link_name};
use demo::lath::demo::greeter;
use lath_guest::http::Exchange;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Chooser;

wasip2::http::proxy::export!(Chooser);

impl Guest for Chooser {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        let param = |key| exchange.param(key).unwrap_or_default();
        let (interface, asked) = match exchange.path() {
            "/greet" => ("lath:demo/greeter", param("name")),
            "/fetch" => ("wasi:http/outgoing-handler", param("path")),
            _ => {
                return exchange
                    .text(404, "there are /greet?name=NAME&by=LINKS and /fetch?path=PATH&by=LINKS");
            }
        };
        let chosen = exchange.param("interface").unwrap_or_else(|| interface.to_owned());
        let ask = |link: &str| {
            choose(link, &chosen)?;
            match interface {
                "lath:demo/greeter" => greeter::greet(&asked).map(|greeting| greeting.text),
                _ => fetch::fetch(&asked),
            }
        };
        let heard: Vec<String> =
            param("by").split(',').map(|link| ask(link).unwrap_or_else(|error| error)).collect();
        exchange.json(200, &heard);
    }
}

/// Has calls of the interface go over the link of this name.
fn choose(link: &str, interface: &str) -> Result<(), String> {
    if link.is_empty() {
        return Ok(());
    }
    let (namespace, rest) = interface.split_once(':').unwrap_or(("", interface));
    let (package, name) = rest.split_once('/').unwrap_or((rest, ""));
    set_link_name(link, vec![CallTargetInterface::new(namespace, package, name)])
}
