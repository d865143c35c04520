//! Receiving a request that was invoked on a component, and sending its response.
//!
//! The response's body is sent by whoever responds, so that the call's permit is held as long as it lasts.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, request};
use http_body::Body;

use super::body::{self, IncomingBody};
use super::error_code::ErrorCode;
use super::head::{Inline, MAX_HEAD, get_request, put_error, put_response};
use crate::channel::StreamError;
use crate::codec::wire::WireError;
use crate::failure::{Failure, FailureCode};
use crate::serve::Call;

/// Reads the request of a call to [`super::incoming_export`]. Its head is complete; its body streams.
///
/// # Errors
/// When the parameters are not a request. The caller has been told then.
pub async fn receive(mut call: Call) -> Result<(Request<IncomingBody>, Responder), Failure> {
    let received = match read_head(&mut call).await {
        Ok((head, inline)) => match <[_; 2]>::try_from(call.take_streams()) {
            Ok([body, trailers]) => Ok(Request::from_parts(head, IncomingBody::new(inline, body, trailers))),
            Err(_) => Err(Failure::new(FailureCode::Internal, "a call without its streams is no request")),
        },
        Err(failure) => Err(failure),
    };
    match received {
        Ok(request) => Ok((request, Responder { call })),
        Err(failure) => {
            // When it cannot be told, the caller's deadline tells it.
            let _ = call.finish(Err(failure.clone())).await;
            Err(failure)
        }
    }
}

async fn read_head(call: &mut Call) -> Result<(request::Parts, Inline), Failure> {
    let mut gathered = BytesMut::new();
    // A 1.x caller says late that the head is complete, and the head itself shows it.
    while let Some(bytes) = call.next_params().await? {
        let whole = if gathered.is_empty() { get_request(&bytes) } else { Err(WireError::Truncated) };
        let result = match whole {
            Err(WireError::Truncated) => {
                gathered.extend_from_slice(&bytes);
                get_request(&gathered)
            }
            other => other,
        };
        match result {
            Ok(head) => return Ok(head),
            Err(WireError::Invalid(why)) => return Err(Failure::new(FailureCode::BadParams, why)),
            Err(WireError::Truncated) if gathered.len() > MAX_HEAD => {
                return Err(Failure::new(FailureCode::TooLarge, "the head of the request is over 1 MiB"));
            }
            Err(WireError::Truncated) => {}
        }
    }
    Err(Failure::new(FailureCode::BadParams, "the head of the request is incomplete"))
}

/// Answers one request. Dropping it ends the call as a failure.
#[derive(Debug)]
pub struct Responder {
    call: Call,
}

impl Responder {
    /// The call: its headers say who calls and in which trace, its deadline how long the caller waits for the
    /// head of the response.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// Sends the response and its body to the end. A body that fails is ended as a failure.
    ///
    /// # Errors
    /// When the caller wants no more of the body, or the connection is gone.
    pub async fn respond<B>(self, response: Response<B>) -> Result<(), StreamError>
    where
        B: Body<Data = Bytes>,
        B::Error: fmt::Display,
    {
        let (head, body) = response.into_parts();
        let mut bytes = BytesMut::with_capacity(256);
        put_response(&mut bytes, &head);
        let responding = self.call.respond(bytes.freeze()).await?;
        let (data, trailers) = (responding.writer("0.0"), responding.writer("0.1"));
        body::send(body, data, trailers).await
    }

    /// Answers that there is no response, and why.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn error(self, code: &ErrorCode) -> Result<(), StreamError> {
        let mut bytes = BytesMut::new();
        put_error(&mut bytes, code);
        self.call.finish(Ok(bytes.freeze())).await
    }

    /// Ends the call as a failure that is not one of HTTP, such as a trap.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn fail(self, failure: Failure) -> Result<(), StreamError> {
        self.call.finish(Err(failure)).await
    }
}
