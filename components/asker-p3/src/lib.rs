//! Asks `lath:demo/oracle` several questions at once through a link, and answers how long all of them took.
//!
//! `/?times=N&ms=T`: N questions whose answers take T ms each; `/silence` asks nothing, which the oracle refuses.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen_p3::generate!({
        path: "../wit/demo",
        world: "asks-oracle",
        runtime_path: "::wit_bindgen_p3::rt",
    });
}

use bindings::lath::demo::oracle;
use lath_guest_p3::Asked;
use wasip3::clocks::monotonic_clock;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};
use wit_bindgen_p3::spawn_local;

struct Asker;

wasip3::http::service::export!(Asker);

impl Guest for Asker {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let asked = Asked::of(&request);
        if asked.path() == "/silence" {
            let refused = oracle::ask(String::new(), 0).await;
            return Ok(asked.text(400, &format!("{refused:?}")));
        }
        let wait = u32::try_from(asked.number("ms", 0)).unwrap_or(u32::MAX);
        let begun = monotonic_clock::now();
        let questions: Vec<_> = (1..=asked.number("times", 1))
            .map(|number| spawn_local(oracle::ask(format!("Is it {number}?"), wait)))
            .collect();
        let mut answers = Vec::new();
        for question in questions {
            match question.await {
                Some(Ok(answer)) => answers.push(answer),
                None => return Ok(asked.text(500, "a question was not asked")),
                Some(Err(reason)) => return Ok(asked.text(500, &reason)),
            }
        }
        let took = (monotonic_clock::now() - begun) / 1_000_000;
        Ok(asked.text(200, &format!("{} in {took} ms", answers.join(" "))))
    }
}
