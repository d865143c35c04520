//! A component without a way in from outside: others reach it by a link to `lath:demo/greeter`. It keeps no
//! state. What `shapes` does to each type is promised in the WIT, because codec tests compute it again.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/demo",
        world: "greets",
    });

    use super::Greeter;
    export!(Greeter);
}

mod change;

use bindings::exports::lath::demo::greeter::{Greeting, Guest, Shape, Specimen};
use change::Change;
use lath_guest::{VERSION, config, fault};

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> Result<Greeting, String> {
        if name.is_empty() {
            return Err("whom to greet? the name is empty".to_owned());
        }
        if fault::is_due()? {
            // Its caller has no answer for that: the call ends in a trap.
            std::process::abort();
        }
        let word = config::get("word")?.unwrap_or_else(|| "Hello".to_owned());
        Ok(Greeting { text: format!("{word}, {name}"), version: VERSION.to_owned() })
    }

    fn shapes(
        specimen: Specimen,
        shapes: Vec<Shape>,
        note: Option<String>,
    ) -> (Specimen, Vec<Shape>, Option<String>) {
        (specimen.change(), shapes.change(), note.change())
    }
}
