//! One exchange in which both sides speak at the same time: each word is sent when the one before has come back.

use std::io::{Read as _, Write};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, Method, OutgoingBody};

use crate::{Answer, outgoing};

/// What follows the body of the request: how many words it had.
const TRAILER: &str = "words";

/// Talks to somebody who says every word again; words have commas between them.
pub(crate) fn talk(url: &str, words: &str) -> Result<Answer, String> {
    let told = |error: std::io::Error| format!("body: {error}");
    let fields = Fields::new();
    for (name, value) in [("te", "trailers"), ("trailer", TRAILER)] {
        fields.append(name, value.as_bytes()).map_err(|error| format!("header: {error:?}"))?;
    }
    let request = outgoing::request(url, &Method::Post, fields)?;
    let sent = request.body().map_err(|()| "no body")?;
    let future = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    let response = outgoing::answered(&future).map_err(|code| format!("{code:?}"))?;
    let body = response.consume().map_err(|()| "no body")?;
    let mut heard = Vec::new();
    {
        let mut input = body.stream().map_err(|()| "no stream")?;
        let mut output = sent.write().map_err(|()| "no stream")?;
        for word in words.split(',') {
            output.write_all(word.as_bytes()).and_then(|()| Write::flush(&mut output)).map_err(told)?;
            let mut back = vec![0; word.len()];
            input.read_exact(&mut back).map_err(told)?;
            heard.push(String::from_utf8_lossy(&back).into_owned());
        }
        drop(output);
        let trailers = Fields::new();
        let count = heard.len().to_string();
        trailers.append(TRAILER, count.as_bytes()).map_err(|error| format!("trailer: {error:?}"))?;
        OutgoingBody::finish(sent, Some(trailers)).map_err(|code| format!("{code:?}"))?;
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).map_err(told)?;
        if !rest.is_empty() {
            heard.push(String::from_utf8_lossy(&rest).into_owned());
        }
    }
    Ok(Answer {
        status: Some(response.status()),
        heard: Some(heard.join(" ")),
        trailers: Some(trailers(body)?),
        ..Answer::default()
    })
}

/// What follows a body that was read to its end.
fn trailers(body: IncomingBody) -> Result<Vec<String>, String> {
    let future = IncomingBody::finish(body);
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(fields))) => {
            let entries = fields.map(|fields| fields.entries()).unwrap_or_default().into_iter();
            Ok(entries.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(&value))).collect())
        }
        Some(Ok(Err(code))) => Err(format!("{code:?}")),
        Some(Err(())) | None => Err("no trailers".to_owned()),
    }
}
