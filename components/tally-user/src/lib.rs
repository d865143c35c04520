//! Uses `lath:handles/tallies` through a link, in one way for each path, and answers with what it was told. Where the
//! tallies are kept it must not know.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/handles",
        world: "uses-tallies",
    });
}

use std::cell::RefCell;

use bindings::lath::handles::tallies::{self, Tally};
use lath_guest::http::Exchange;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

thread_local! {
    /// What `/keep` has kept for later requests.
    static KEPT: RefCell<Vec<Tally>> = const { RefCell::new(Vec::new()) };
}

struct User;

wasip2::http::proxy::export!(User);

impl Guest for User {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        let text = used(exchange.path(), u32::try_from(exchange.number("n", 3)).unwrap_or(u32::MAX));
        exchange.text(if text.is_some() { 200 } else { 404 }, &text.unwrap_or_default());
    }
}

fn used(path: &str, n: u32) -> Option<String> {
    Some(match path {
        "/healthz" => "ok".to_owned(),
        "/add" => {
            let tally = Tally::new(1);
            let sums: Vec<_> = (1..=n).map(|by| tally.add(by)).collect();
            format!("{sums:?}")
        }
        "/living" => {
            let before = Tally::living();
            let first = Tally::new(1);
            let second = first.copy();
            let both = Tally::living();
            drop(first);
            let one = Tally::living();
            drop(second);
            format!("{before} {both} {one} {}", Tally::living())
        }
        "/merge" => {
            let (into, from) = (Tally::new(40), Tally::new(2));
            let sum = tallies::merge(&into, from);
            format!("{sum} {} {}", into.add(0), Tally::living())
        }
        "/largest" => match tallies::largest((0..n).map(Tally::new).collect()) {
            Ok((sum, largest)) => {
                format!("{sum} {:?} {}", largest.as_ref().map(|tally| tally.add(0)), Tally::living())
            }
            Err(reason) => reason,
        },
        "/calls" => format!("{} {}", tallies::calls(), tallies::calls()),
        "/calls-of-one" => {
            let _holds_it = Tally::new(0);
            format!("{} {}", tallies::calls(), tallies::calls())
        }
        "/many" => {
            let many: Vec<_> = (0..n).map(Tally::new).collect();
            format!("{} {}", many.len(), Tally::living())
        }
        "/keep" => {
            KEPT.with_borrow_mut(|kept| kept.push(Tally::new(n)));
            format!("{}", KEPT.with_borrow(Vec::len))
        }
        "/trap" => {
            Tally::new(0).fail();
            "it did not trap".to_owned()
        }
        "/hang" => {
            Tally::new(0).hang();
            "it did not hang".to_owned()
        }
        "/overflow" => format!("{}", Tally::new(u32::MAX).add(1)),
        _ => return None,
    })
}
