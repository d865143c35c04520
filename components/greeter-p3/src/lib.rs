//! `greeter` for WASI 0.3, and `oracle`, whose functions are `async`. Keeps no state.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen_p3::generate!({
        path: "../wit/demo",
        world: "greets-and-tells",
        runtime_path: "::wit_bindgen_p3::rt",
    });

    use super::Greeter;
    export!(Greeter);
}

use bindings::exports::lath::demo::greeter::{self, Greeting, Shape, Specimen};
use bindings::exports::lath::demo::oracle;
use lath_guest::{VERSION, config};
use wasip3::clocks::monotonic_clock;

struct Greeter;

impl greeter::Guest for Greeter {
    fn greet(name: String) -> Result<Greeting, String> {
        if name.is_empty() {
            return Err("whom to greet? the name is empty".to_owned());
        }
        let word = config::get("word")?.unwrap_or_else(|| "Hello".to_owned());
        Ok(Greeting { text: format!("{word}, {name}"), version: VERSION.to_owned() })
    }

    /// Gives everything back as it came: the other greeter is the one to check codecs by.
    fn shapes(
        specimen: Specimen,
        shapes: Vec<Shape>,
        note: Option<String>,
    ) -> (Specimen, Vec<Shape>, Option<String>) {
        (specimen, shapes, note)
    }
}

impl oracle::Guest for Greeter {
    async fn ask(question: String, wait_ms: u32) -> Result<String, String> {
        monotonic_clock::wait_for(u64::from(wait_ms) * 1_000_000).await;
        if question.is_empty() {
            return Err("there is no question".to_owned());
        }
        Ok(format!("{question} Yes."))
    }
}
