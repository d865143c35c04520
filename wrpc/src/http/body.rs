//! Bodies: the chunks of a `stream<u8>` and the trailers after them.
//!
//! On the wire a body is a `stream<u8>` (`chunks.rs`). Data is passed on as it comes.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use futures::stream::unfold;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::head::{Inline, MAX_HEAD, get_trailers, put_trailers};
use crate::channel::{StreamError, StreamReader, StreamWriter};
use crate::chunks::{Chunks, END, send_chunk};
use crate::codec::wire::WireError;
use crate::failure::{Failure, FailureCode};

/// How long trailers may stay away after the body has ended. They are sent together; a peer that died between
/// the two must not hold up whoever waits for the end.
const TRAILERS_WITHIN: Duration = Duration::from_secs(30);

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, StreamError>> + Send>>;

/// A body that is read from the lattice while it arrives. A body that was cut off ends with an error.
pub struct IncomingBody {
    frames: Option<Frames>,
    /// The other direction of the exchange, which lasts as long as this one is wanted.
    upload: Option<AbortOnDropHandle<()>>,
}

impl IncomingBody {
    /// `inline` is what the head brought; what it did not is read from the channels.
    pub(super) fn new(inline: Inline, body: StreamReader, trailers: StreamReader) -> Self {
        let state = Reading::Body { chunks: Chunks::default(), inline, body, trailers };
        Self { frames: Some(Box::pin(unfold(state, Reading::next))), upload: None }
    }

    pub(super) fn with_upload(mut self, upload: AbortOnDropHandle<()>) -> Self {
        self.upload = Some(upload);
        self
    }
}

impl fmt::Debug for IncomingBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingBody").field("ended", &self.frames.is_none()).finish_non_exhaustive()
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let Some(frames) = &mut self.frames else { return Poll::Ready(None) };
        let next = frames.as_mut().poll_next(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.frames = None;
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.frames.is_none() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// Where a reader is in a body.
enum Reading {
    Body { chunks: Chunks, inline: Inline, body: StreamReader, trailers: StreamReader },
    Trailers { inline: Inline, trailers: StreamReader },
    Done,
}

impl Reading {
    async fn next(self) -> Option<(Result<Frame<Bytes>, StreamError>, Self)> {
        let (inline, trailers) = match self {
            Self::Body { chunks, mut inline, body, trailers } => {
                if let Some(data) = inline.body.take() {
                    return Some((Ok(Frame::data(data)), Self::Trailers { inline, trailers }));
                }
                let mut source = (chunks, body);
                match source.0.read(&mut source.1).await {
                    Ok(Some(data)) => {
                        let (chunks, body) = source;
                        return Some((Ok(Frame::data(data)), Self::Body { chunks, inline, body, trailers }));
                    }
                    Ok(None) => (inline, trailers),
                    Err(error) => return Some((Err(error), Self::Done)),
                }
            }
            Self::Trailers { inline, trailers } => (inline, trailers),
            Self::Done => return None,
        };
        let fields = match inline.trailers {
            Some(fields) => Ok(fields),
            None => {
                let read = timeout(TRAILERS_WITHIN, read_trailers(trailers)).await;
                read.unwrap_or(Err(StreamError::Idle { idle: TRAILERS_WITHIN }))
            }
        };
        match fields {
            Ok(fields) => fields.map(|fields| (Ok(Frame::trailers(fields)), Self::Done)),
            Err(error) => Some((Err(error), Self::Done)),
        }
    }
}

async fn read_trailers(mut reader: StreamReader) -> Result<Option<HeaderMap>, StreamError> {
    let mut bytes = BytesMut::new();
    loop {
        match get_trailers(&bytes) {
            Ok(fields) => return Ok(fields),
            Err(WireError::Invalid(why)) => return Err(StreamError::Malformed(why)),
            Err(WireError::Truncated) => {}
        }
        let more = reader.read().await?.ok_or(StreamError::Truncated)?;
        if bytes.len() + more.len() > MAX_HEAD {
            return Err(StreamError::Malformed("the trailers are larger than 1 MiB"));
        }
        bytes.extend_from_slice(&more);
    }
}

/// Sends a body to its end. A body that fails is ended with a failure, so that its reader does not take what
/// came for the whole.
///
/// # Errors
/// When the reader wants no more, or cannot be reached.
pub(super) async fn send<B>(
    body: B,
    mut data: StreamWriter,
    mut trailers: StreamWriter,
) -> Result<(), StreamError>
where
    B: Body<Data = Bytes>,
    B::Error: fmt::Display,
{
    let mut fields = None;
    let mut body = pin!(body);
    while let Some(frame) = body.frame().await.map(|frame| frame.map_err(failed)) {
        let frame = match frame {
            Ok(frame) => frame,
            Err(failure) => {
                data.fail(&failure).await;
                trailers.fail(&failure).await;
                return Ok(());
            }
        };
        match frame.into_data() {
            Ok(chunk) => send_chunk(&mut data, chunk).await?,
            Err(other) => fields = other.into_trailers().ok(),
        }
    }
    data.write(END).await?;
    data.end().await?;
    let mut bytes = BytesMut::new();
    put_trailers(&mut bytes, fields.as_ref());
    trailers.write(bytes.freeze()).await?;
    trailers.end().await
}

/// Made at once, so that the body's own error need not cross threads.
fn failed(error: impl fmt::Display) -> Failure {
    Failure::new(FailureCode::Aborted, format!("the body failed: {error}"))
}
