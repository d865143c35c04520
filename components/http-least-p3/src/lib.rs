//! `http-least` for WASI 0.3.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};
use wit_bindgen_p3::spawn_local;

struct Least;

wasip3::http::service::export!(Least);

impl Guest for Least {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let (mut output, body) = wit_stream::new();
        let (ending, ended) = wit_future::new(|| Ok(None));
        // Nobody waits for what comes after the body.
        drop(ending);
        spawn_local(async move {
            // A caller that went away wants no more.
            let _unwanted = output.write_all(b"hello\n".to_vec()).await;
        });
        Ok(Response::new(Fields::new(), Some(body), ended).0)
    }
}
