//! Sending a request to a component or provider and getting its response, both streaming.
//!
//! The body of the request goes out in a task that belongs to the response: it ends when the response's body
//! is dropped. Which component gets the request is decided before.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::body::{self, IncomingBody};
use super::error_code::ErrorCode;
use super::head::{RequestOptions, get_response, put_options, put_request};
use super::{OUTGOING, STREAMS};
use crate::HeaderMap;
use crate::channel::StreamWriter;
use crate::client::Client;
use crate::codec::DecodeError;
use crate::codec::wire::WireError;
use crate::invoke::{InvokeError, Params, Progress};
use crate::subject::Target;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The invocation failed.
    #[error("the request did not get through")]
    Invoke(#[from] InvokeError),
    /// The handler answered with an error.
    #[error("the handler answered with an error")]
    Code(#[source] ErrorCode),
}

/// Sends `request` to the `handle` function of `target` (see [`super::target`]) and waits for the head of the
/// response until `deadline`. `headers` are those of the invocation, such as [`crate::SOURCE_ID`]; the
/// request's own are in the request. `options` are sent to outgoing handlers only.
///
/// # Errors
/// When no response came.
pub async fn handle<B>(
    client: &Client,
    target: &Target,
    headers: HeaderMap,
    request: Request<B>,
    options: Option<RequestOptions>,
    deadline: Instant,
) -> Result<Response<IncomingBody>, HttpError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: fmt::Display,
{
    try_handle(client, target, headers, &mut request.map(Some), options, deadline).await
}

/// The same with a request that can be sent again: its body is taken out of it when a callee has taken the call, so that
/// it is whole as long as it is there.
///
/// # Errors
/// When no response came, or the request has no body any more.
pub async fn try_handle<B>(
    client: &Client,
    target: &Target,
    headers: HeaderMap,
    request: &mut Request<Option<B>>,
    options: Option<RequestOptions>,
    deadline: Instant,
) -> Result<Response<IncomingBody>, HttpError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: fmt::Display,
{
    if request.body().is_none() {
        return Err(InvokeError::Protocol("the body of the request is gone".to_owned()).into());
    }
    let mut bytes = BytesMut::with_capacity(512);
    put_request(&mut bytes, request);
    if target.as_str().contains(OUTGOING) {
        put_options(&mut bytes, options.as_ref());
    }
    let params = Params { headers, bytes: bytes.freeze(), streams: STREAMS, result_streams: STREAMS };
    let mut invocation = client.start(target, params, deadline).await?;
    let mut upload = None;
    loop {
        match invocation.next().await? {
            Progress::Accepted(writers) => match request.body_mut().take() {
                // Most requests have no body, and need no task to say so.
                Some(body) if body.is_end_stream() => upload_body(body, writers).await,
                Some(body) => upload = Some(AbortOnDropHandle::new(tokio::spawn(upload_body(body, writers)))),
                None => {}
            },
            Progress::Results(results, readers) => {
                let response = respond(&results, readers)?;
                return Ok(match upload {
                    Some(upload) => response.map(|body| body.with_upload(upload)),
                    None => response,
                });
            }
        }
    }
}

async fn upload_body<B>(body: B, writers: Vec<StreamWriter>)
where
    B: Body<Data = Bytes>,
    B::Error: fmt::Display,
{
    if let Ok([data, trailers]) = <[StreamWriter; 2]>::try_from(writers)
        && let Err(error) = body::send(body, data, trailers).await
    {
        // Not wanting the rest of a request is a callee's right; its response tells what it made of it.
        tracing::debug!(%error, "the body of a request was not sent to its end");
    }
}

fn respond(
    results: &[u8],
    readers: Vec<crate::channel::StreamReader>,
) -> Result<Response<IncomingBody>, HttpError> {
    let decoded = get_response(results).map_err(|error| match error {
        // A 1.x callee that fails ends the results early.
        WireError::Truncated => InvokeError::Interrupted,
        WireError::Invalid(why) => InvokeError::Decode(DecodeError::Invalid(why)),
    })?;
    let (head, inline) = decoded.map_err(HttpError::Code)?;
    let Ok([body, trailers]) = <[_; 2]>::try_from(readers) else {
        return Err(InvokeError::Protocol("a response without its streams".to_owned()).into());
    };
    Ok(Response::from_parts(head, IncomingBody::new(inline, body, trailers)))
}
