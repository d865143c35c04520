//! Gives back what it is given: the least that a linked call can do, so that what is measured is the call.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/bench",
        world: "echoes",
    });

    use super::Echoer;
    export!(Echoer);
}

use bindings::exports::lath::bench::echo::{Guest, Row};

struct Echoer;

impl Guest for Echoer {
    fn nothing() {}

    fn number(value: u64) -> u64 {
        value
    }

    fn text(value: String) -> String {
        value
    }

    fn bytes(value: Vec<u8>) -> Vec<u8> {
        value
    }

    fn rows(value: Vec<Row>) -> Vec<Row> {
        value
    }
}
