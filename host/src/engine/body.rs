//! Bodies of HTTP messages on their way into and out of components.
//!
//! A body is never collected: frames pass one by one, and whoever reads slowly holds up only the writer. Only what of an
//! answer is there with its head stays together with it (`http/answer.rs`).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

use crate::engine::CallError;

/// A body that passes through the host.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The call that writes it has failed.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The connection that it comes from has failed.
    #[error("{0}")]
    Connection(String),
    /// It has more bytes than the component takes.
    #[error("the body has more than {0} bytes, which is the limit of the component")]
    TooLarge(u64),
}

impl From<BodyError> for wasmtime_wasi_http::Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(most) => Self::HttpRequestBodySize(Some(most)),
            BodyError::Call(_) | BodyError::Connection(_) => Self::InternalError(Some(error.to_string())),
        }
    }
}

/// A body that breaks off with [`BodyError::TooLarge`] when it has more than a number of bytes.
pub(crate) struct Bounded {
    inner: Body,
    most: u64,
    /// Bytes that may still come; nothing comes any more when absent.
    left: Option<u64>,
}

impl Bounded {
    /// `inner`, of at most `most` bytes.
    pub(crate) const fn new(inner: Body, most: u64) -> Self {
        Self { inner, most, left: Some(most) }
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(left) = self.left else { return Poll::Ready(None) };
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            ended_or_pending => return ended_or_pending,
        };
        self.left = left.checked_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        Poll::Ready(Some(match self.left {
            Some(_) => Ok(frame),
            None => Err(BodyError::TooLarge(self.most)),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is there already.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// `body`, which gives `kept` free when it is dropped and is the same in all else: an announced length stays announced.
pub(crate) fn keeping<B>(body: B, kept: impl Send + 'static) -> UnsyncBoxBody<Bytes, B::Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    Keeping::new(Box::pin(body), kept).boxed_unsync()
}

/// A body that gives something free when it is dropped, as [`keeping`] makes them.
#[derive(Debug)]
pub(crate) struct Keeping<B, K> {
    body: B,
    _kept: K,
}

impl<B, K> Keeping<B, K> {
    pub(crate) const fn new(body: B, kept: K) -> Self {
        Self { body, _kept: kept }
    }
}

// What is kept is never pinned.
impl<B: Unpin, K> Unpin for Keeping<B, K> {}

impl<B: http_body::Body<Data = Bytes> + Unpin, K> http_body::Body for Keeping<B, K> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Reads a body to its end and keeps its first `most` bytes.
///
/// # Errors
/// When it breaks off.
pub async fn beginning(mut body: Body, most: usize) -> Result<Vec<u8>, BodyError> {
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let room = most.saturating_sub(kept.len());
            kept.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;

    #[test]
    fn a_body_that_keeps_something_has_the_same_length_and_end() {
        let kept = std::sync::Arc::new(());
        let body = keeping(full("12345"), std::sync::Arc::clone(&kept));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
        assert!(!http_body::Body::is_end_stream(&body));
        assert!(http_body::Body::is_end_stream(&keeping(empty(), ())));
        drop(body);
        assert_eq!(std::sync::Arc::strong_count(&kept), 1);
    }

    #[tokio::test]
    async fn i3_a_body_may_have_as_many_bytes_as_its_limit() {
        for (bytes, fits) in [(9, true), (10, true), (11, false)] {
            let frames = (0..bytes).map(|_| Ok(Frame::data(Bytes::from_static(b"x"))));
            let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
            let read = beginning(Bounded::new(body, 10).boxed_unsync(), usize::MAX).await;
            let expected = if fits { Ok(vec![b'x'; bytes]) } else { Err(BodyError::TooLarge(10)) };
            assert_eq!(read, expected);
        }
    }
}
