//! `http-hello` for WASI 0.3, with what only a component of 0.3 does: it answers while it reads, waits without
//! holding anything up, and sends trailers.
//!
//! - `POST /echo`: the body and its trailers back, untouched by the component; `POST /upper`: in upper case, each
//!   piece through the component, with their count in a trailer.
//! - `/events?count=N&ms=T`: N server-sent events, T ms apart.
//! - `/fetch?url=http://AUTHORITY/PATH`: the answer of another server, through `wasi:http/client`.
//! - `/tcp?to=HOST:PORT`: says `ping` there and answers what it hears; `/listen`: waits for others, if it may.
//! - `/trap`, `/late-trap` (after the head), `/leak` (a body that never ends), `/error`, `/loop`.

mod sockets;

use lath_guest::{VERSION, config};
use lath_guest_p3::{Asked, body};
use wasip3::clocks::monotonic_clock;
use wasip3::exports::http::handler::Guest;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::wit_bindgen::rt::async_support::StreamResult;
use wasip3::{wit_future, wit_stream};
use wit_bindgen_p3::spawn_local;

/// Most bytes of a body that are in the component at once.
const PIECE: usize = 64 << 10;

struct Hello;

wasip3::http::service::export!(Hello);

impl Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let asked = Asked::of(&request);
        let posted = matches!(request.get_method(), Method::Post);
        Ok(match asked.path() {
            "/healthz" => asked.text(200, "ok"),
            "/echo" if posted => {
                let (body, ending) = body(request);
                asked.passing_on(200, "application/octet-stream", body, ending)
            }
            "/upper" if posted => upper(&asked, request),
            "/echo" | "/upper" => asked.text(405, "it takes POST"),
            "/events" => events(&asked),
            "/fetch" => return fetch(&asked).await,
            "/tcp" => told(&asked, sockets::tcp(&asked.param("to").unwrap_or_default()).await),
            "/lookup" => told(&asked, sockets::lookup(&asked.param("name").unwrap_or_default()).await),
            "/listen" => told(&asked, sockets::listen()),
            "/trap" => std::process::abort(),
            "/late-trap" => asked.stream(200, "text/plain", None, async |mut output| {
                let _unwanted = output.write_all(b"this much\n".to_vec()).await;
                std::process::abort();
            }),
            "/leak" => leak(&asked),
            "/error" => return Err(ErrorCode::LoopDetected),
            "/loop" => loop {
                std::hint::spin_loop();
            },
            _ => hello(&asked),
        })
    }
}

/// What came of it, or why nothing did.
fn told(asked: &Asked, result: Result<String, String>) -> Response {
    match result {
        Ok(heard) => asked.text(200, &heard),
        Err(reason) => asked.text(502, &reason),
    }
}

/// Every other path is answered, so that routes by path can be seen to arrive.
fn hello(asked: &Asked) -> Response {
    #[derive(serde::Serialize)]
    struct Answer<'a> {
        component: &'a str,
        version: &'a str,
        greeting: &'a str,
        path: &'a str,
        request_id: &'a str,
    }

    let greeting = match config::get("greeting") {
        Ok(greeting) => greeting.unwrap_or_else(|| "hello".to_owned()),
        Err(reason) => return asked.text(500, &reason),
    };
    let answer = Answer {
        component: "http-hello-p3",
        version: VERSION,
        greeting: &greeting,
        path: asked.path(),
        request_id: &asked.request_id(),
    };
    asked.json(200, &answer)
}

/// Reads and writes at the same time, piece by piece.
fn upper(asked: &Asked, request: Request) -> Response {
    let (mut input, ending) = body(request);
    let (mut output, answer) = wit_stream::new();
    let (trailers, ended) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        let (mut pieces, mut buffer) = (0_u64, Vec::with_capacity(PIECE));
        loop {
            let (result, mut piece) = input.read(buffer).await;
            if !piece.is_empty() {
                pieces += 1;
                piece.make_ascii_uppercase();
                piece = output.write_all(piece).await;
                if !piece.is_empty() {
                    // Whoever asked has gone away.
                    return;
                }
            }
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
            piece.reserve(PIECE);
            buffer = piece;
        }
        drop(output);
        let given = match ending.await {
            Ok(given) => given.map_or_else(Fields::new, |given| given.clone()),
            Err(code) => {
                let _unwanted = trailers.write(Err(code)).await;
                return;
            }
        };
        let _refused = given.set("x-pieces", &[pieces.to_string().into_bytes()]);
        let _unwanted = trailers.write(Ok(Some(given))).await;
    });
    asked.passing_on(200, "application/octet-stream", answer, ended)
}

fn events(asked: &Asked) -> Response {
    let (count, pause) = (asked.number("count", 3), asked.number("ms", 100));
    asked.stream(200, "text/event-stream", None, async move |mut output| {
        for number in 1..=count {
            if number > 1 {
                monotonic_clock::wait_for(pause.saturating_mul(1_000_000)).await;
            }
            let event = format!("id: {number}\ndata: event {number}\n\n");
            if !output.write_all(event.into_bytes()).await.is_empty() {
                return;
            }
        }
    })
}

/// One request, and its answer as it comes.
async fn fetch(asked: &Asked) -> Result<Response, ErrorCode> {
    let url = asked.param("url").unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (_, ended) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, ended, None);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let set = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(&format!("/{path}"))));
    if set.is_err() {
        return Ok(asked.text(400, "the address is refused"));
    }
    let response = match client::send(request).await {
        Ok(response) => response,
        Err(code) => return Ok(asked.text(502, &format!("{code:?}"))),
    };
    let status = response.get_status_code();
    let (_, received) = wit_future::new(|| Ok(()));
    let (body, ending) = Response::consume_body(response, received);
    Ok(asked.passing_on(status, "application/octet-stream", body, ending))
}

/// The writer is never given back, so the body has no end.
fn leak(asked: &Asked) -> Response {
    asked.stream(200, "text/plain", None, async |mut output| {
        let _unwanted = output.write_all(b"this much\n".to_vec()).await;
        std::mem::forget(output);
    })
}
