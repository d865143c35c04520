//! Answers HTTP requests by calls of `lath:bench/echo` through a link, as many and as large as the request says:
//! `/bytes?size=N&times=T`, and so with `/nothing`, `/number`, `/text` and `/rows` (of about N bytes). With `times=0` the
//! value is made and nothing is called, so that the difference is the calls.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/bench",
        world: "calls-echo",
    });
}

use bindings::lath::bench::echo::{self, Row};
use lath_guest::http::Exchange;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// About as many bytes as a row takes.
const ROW: usize = 64;

struct Bench;

wasip2::http::proxy::export!(Bench);

impl Guest for Bench {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        let size = usize::try_from(exchange.number("size", 16)).unwrap_or(usize::MAX).min(16 << 20);
        let times = exchange.number("times", 1);
        let length = match exchange.path() {
            "/nothing" => {
                (0..times).for_each(|_| echo::nothing());
                0
            }
            "/number" => (0..times).fold(0, |last, _| echo::number(last)),
            "/text" => length(repeat("x".repeat(size), times, |text| echo::text(&text)).len()),
            "/bytes" => length(repeat(vec![7_u8; size], times, |bytes| echo::bytes(&bytes)).len()),
            "/rows" => length(repeat(rows(size.div_ceil(ROW)), times, |rows| echo::rows(&rows)).len()),
            _ => return exchange.text(404, "there are /nothing, /number, /text, /bytes and /rows"),
        };
        exchange.text(200, &length.to_string());
    }
}

fn repeat<T>(first: T, times: u64, call: impl Fn(T) -> T) -> T {
    (0..times).fold(first, |value, _| call(value))
}

fn rows(count: usize) -> Vec<Row> {
    let row = |id: usize| Row {
        id: id as u64,
        name: format!("row {id}"),
        score: 0.5,
        tags: vec!["one".to_owned(), "another".to_owned()],
    };
    (0..count).map(row).collect()
}

fn length(length: usize) -> u64 {
    length as u64
}
