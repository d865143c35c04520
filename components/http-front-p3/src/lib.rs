//! `http-front` for WASI 0.3: asks `lath:demo/greeter` through a link, and answers as the other does. Whether the
//! greeter is of 0.2 or of 0.3 it must not know.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen_p3::generate!({
        path: "../wit/demo",
        world: "calls-greeter",
        runtime_path: "::wit_bindgen_p3::rt",
    });
}

use bindings::lath::demo::greeter;
use lath_guest::VERSION;
use lath_guest_p3::Asked;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};

struct Front;

wasip3::http::service::export!(Front);

impl Guest for Front {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let asked = Asked::of(&request);
        Ok(match asked.path() {
            "/healthz" => asked.text(200, "ok"),
            "/" => greet(&asked, &asked.param("name").unwrap_or_else(|| "world".to_owned())),
            "/greet" => greet(&asked, &asked.param("name").unwrap_or_default()),
            _ => asked.text(404, "there are /, /greet?name=NAME and /healthz"),
        })
    }
}

fn greet(asked: &Asked, name: &str) -> Response {
    #[derive(serde::Serialize)]
    struct Answer<'a> {
        component: &'a str,
        version: &'a str,
        greeter: &'a str,
        text: &'a str,
        request_id: &'a str,
    }

    match greeter::greet(name) {
        Ok(greeting) => {
            let answer = Answer {
                component: "http-front-p3",
                version: VERSION,
                greeter: &greeting.version,
                text: &greeting.text,
                request_id: &asked.request_id(),
            };
            asked.json(200, &answer)
        }
        Err(reason) => asked.text(400, &reason),
    }
}
