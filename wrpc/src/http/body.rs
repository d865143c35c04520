//! Bodies: the chunks of a `stream<u8>` and the trailers after them.
//!
//! On the wire a body is a sequence of chunks, each a length and as many bytes, ended by a chunk of length 0
//! and the end of the channel. Data is passed on as it comes, without waiting for a chunk to be whole and
//! without a copy.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::Stream;
use futures::stream::unfold;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::head::{Inline, MAX_HEAD, get_trailers, put_trailers};
use crate::channel::{StreamError, StreamReader, StreamWriter};
use crate::codec::wire::{WireError, put_len};
use crate::failure::{Failure, FailureCode};

/// Chunks up to this size are sent in one message with their length; larger ones are not copied for it.
const COPY_BELOW: usize = 16 << 10;

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

/// Takes the lengths out of the bytes of a body.
#[derive(Debug, Default)]
struct Chunks {
    /// Bytes that arrived and were not given out.
    buffer: Bytes,
    /// Bytes of the current chunk that are still to come.
    left: usize,
    /// The part of a length that has been read, and its bits.
    length: u64,
    shift: u32,
    ended: bool,
}

enum Step {
    Data(Bytes),
    NeedMore,
    End,
}

impl Chunks {
    async fn read(&mut self, body: &mut StreamReader) -> Result<Option<Bytes>, StreamError> {
        loop {
            match self.step()? {
                Step::Data(data) => return Ok(Some(data)),
                Step::End => return Ok(None),
                Step::NeedMore => self.buffer = body.read().await?.ok_or(StreamError::Truncated)?,
            }
        }
    }

    fn step(&mut self) -> Result<Step, StreamError> {
        while self.left == 0 && !self.ended {
            let Some(&byte) = self.buffer.first() else { return Ok(Step::NeedMore) };
            self.buffer.advance(1);
            self.length |= u64::from(byte & 0x7f) << self.shift;
            self.shift += 7;
            if byte & 0x80 != 0 {
                if self.shift >= 35 {
                    return Err(StreamError::Malformed("a chunk's length is too long"));
                }
                continue;
            }
            self.left = u32::try_from(self.length)
                .ok()
                .and_then(|length| usize::try_from(length).ok())
                .ok_or(StreamError::Malformed("a chunk is larger than 4 GiB"))?;
            self.ended = self.left == 0;
            (self.length, self.shift) = (0, 0);
        }
        if self.ended {
            return Ok(Step::End);
        }
        if self.buffer.is_empty() {
            return Ok(Step::NeedMore);
        }
        let data = self.buffer.split_to(self.left.min(self.buffer.len()));
        self.left -= data.len();
        Ok(Step::Data(data))
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
    data.write(Bytes::from_static(&[0])).await?;
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

async fn send_chunk(data: &mut StreamWriter, mut chunk: Bytes) -> Result<(), StreamError> {
    // A length is 32 bits on the wire; an empty chunk would be the end.
    while !chunk.is_empty() {
        let piece = chunk.split_to(chunk.len().min(1 << 30));
        let mut bytes = BytesMut::with_capacity(if piece.len() < COPY_BELOW { piece.len() + 5 } else { 5 });
        put_len(&mut bytes, piece.len());
        if piece.len() < COPY_BELOW {
            bytes.extend_from_slice(&piece);
            data.write(bytes.freeze()).await?;
        } else {
            data.write(bytes.freeze()).await?;
            data.write(piece).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All data of a body that arrives in these messages, and whether it ended.
    fn read(messages: &[&[u8]]) -> Result<(Vec<u8>, bool), StreamError> {
        let mut chunks = Chunks::default();
        let mut data = Vec::new();
        for message in messages {
            chunks.buffer = Bytes::copy_from_slice(message);
            loop {
                match chunks.step()? {
                    Step::Data(bytes) => data.extend_from_slice(&bytes),
                    Step::NeedMore => break,
                    Step::End => return Ok((data, true)),
                }
            }
        }
        Ok((data, false))
    }

    #[test]
    fn chunks_end_with_an_empty_one_only() {
        assert_eq!(read(&[b"\x05hello", b"\x00"]), Ok((b"hello".to_vec(), true)));
        assert_eq!(read(&[b"\x05hello"]), Ok((b"hello".to_vec(), false)));
        assert_eq!(read(&[b"\x05hel"]), Ok((b"hel".to_vec(), false)));
        assert_eq!(read(&[b"\x00"]), Ok((Vec::new(), true)));
        assert!(read(&[b"\xff\xff\xff\xff\xff\x00"]).is_err());
        assert!(read(&[b"\xff\xff\xff\xff\x7f"]).is_err());
    }

    proptest! {
        #[test]
        fn the_cuts_of_messages_mean_nothing(chunks: Vec<Vec<u8>>, cut in 1_usize..7) {
            let mut wire = BytesMut::new();
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                put_len(&mut wire, chunk.len());
                wire.extend_from_slice(chunk);
            }
            put_len(&mut wire, 0);
            let messages: Vec<_> = wire.chunks(cut).collect();
            prop_assert_eq!(read(&messages), Ok((chunks.concat(), true)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = read(&[&bytes]);
        }
    }
}
