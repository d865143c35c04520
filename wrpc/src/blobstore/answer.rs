//! What a provider answers: plain outcomes, data that streams from it, and how a stream ended.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::ask::Version;
use crate::channel::{StreamError, StreamReader, StreamWriter};
use crate::chunks::{Chunks, END, send_chunk};
use crate::codec::DecodeError;
use crate::codec::wire::{Reader, WireError};
use crate::failure::{Failure, FailureCode};
use crate::invoke::InvokeError;

/// How long a provider may take to say how a stream ended, once it has ended.
const WORDS_WITHIN: Duration = Duration::from_secs(30);
/// The same for a stream that was cut off: its failure may have come already, and may never come.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);
/// Most bytes of an outcome that comes on a channel of its own.
const MAX_WORDS: usize = 64 << 10;

/// Why an operation gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The provider did not do it: its words.
    #[error("{0}")]
    Refused(String),
    /// The answer is missing or makes no sense.
    #[error(transparent)]
    Answer(#[from] InvokeError),
    /// A stream was cut off.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl From<WireError> for BlobError {
    fn from(error: WireError) -> Self {
        Self::Answer(match error {
            // A 1.x callee that fails ends the results early.
            WireError::Truncated => InvokeError::Interrupted,
            WireError::Invalid(why) => InvokeError::Decode(DecodeError::Invalid(why)),
        })
    }
}

/// The outcome of an operation that gives nothing.
///
/// # Errors
/// As [`BlobError`] tells.
pub fn done(results: &[u8]) -> Result<(), BlobError> {
    whole(results, |_| Ok(()))
}

/// The outcome of a question for yes or no.
///
/// # Errors
/// As [`BlobError`] tells.
pub fn truth(results: &[u8]) -> Result<bool, BlobError> {
    whole(results, |reader| reader.bit("a bool is neither 0 nor 1"))
}

/// When a container was made, as the provider counts time.
///
/// # Errors
/// As [`BlobError`] tells.
pub fn created_at(results: &[u8]) -> Result<u64, BlobError> {
    whole(results, |reader| reader.unsigned(64))
}

/// When an object was made, as the provider counts time, and its size in bytes.
///
/// # Errors
/// As [`BlobError`] tells.
pub fn object_info(results: &[u8]) -> Result<(u64, u64), BlobError> {
    whole(results, |reader| Ok((reader.unsigned(64)?, reader.unsigned(64)?)))
}

/// The outcome of writing, once all data was sent: waits for it where it comes later than the results.
///
/// # Errors
/// As [`BlobError`] tells.
pub async fn written(results: &[u8], streams: Vec<StreamReader>, version: Version) -> Result<(), BlobError> {
    match version {
        Version::V0_1_0 => done(results),
        Version::V0_2_0 => {
            let mut streams = streams.into_iter();
            let ending = whole(results, |reader| Ending::read(reader, &mut streams))?;
            // Bounded by the idle time of streams; storing what was sent takes as long as it takes.
            ending.wait().await
        }
    }
}

/// Reads `result<T, string>`.
pub(super) fn outcome<'a>(results: &'a [u8]) -> Result<Reader<'a>, BlobError> {
    let mut reader = Reader::new(results);
    if reader.bit("a result is neither 0 nor 1")? {
        return Err(BlobError::Refused(reader.str()?.to_owned()));
    }
    Ok(reader)
}

/// Reads `result<T, string>`, which must be all there is.
pub(super) fn whole<T>(
    results: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<T, BlobError> {
    let mut reader = outcome(results)?;
    let value = read(&mut reader)?;
    match reader.remaining() {
        0 => Ok(value),
        left => Err(InvokeError::Decode(DecodeError::Trailing(left)).into()),
    }
}

/// A `future<result<_, string>>`: how a stream ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// Nothing more is said than that it ended.
    Untold,
    /// It came with the results.
    Told(Result<(), String>),
    /// It comes on a channel of its own.
    ToCome(StreamReader),
}

impl Ending {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        streams: &mut impl Iterator<Item = StreamReader>,
    ) -> Result<Self, WireError> {
        let stream = streams.next().ok_or(WireError::Invalid("a future has no channel"))?;
        if reader.bit("a future is neither 0 nor 1")? {
            return read_told(reader).map(Self::Told);
        }
        Ok(Self::ToCome(stream))
    }

    /// Waits for what is said of the end of a stream that has ended.
    pub(super) async fn of_ended(self) -> Result<(), BlobError> {
        let told = timeout(WORDS_WITHIN, self.wait()).await;
        told.unwrap_or_else(|_| Err(StreamError::Idle { idle: WORDS_WITHIN }.into()))
    }

    /// The provider's words for a stream that was cut off by `error`, where it says any.
    pub(super) async fn of_broken(self, error: StreamError) -> BlobError {
        let told = timeout(LAST_WORDS_WITHIN, self.wait()).await;
        if let Ok(Err(refused @ BlobError::Refused(_))) = told { refused } else { error.into() }
    }

    async fn wait(self) -> Result<(), BlobError> {
        let mut stream = match self {
            Self::Untold => return Ok(()),
            Self::Told(told) => return told.map_err(BlobError::Refused),
            Self::ToCome(stream) => stream,
        };
        let mut bytes = BytesMut::new();
        loop {
            match read_told(&mut Reader::new(&bytes)) {
                Ok(told) => return told.map_err(BlobError::Refused),
                Err(WireError::Invalid(why)) => return Err(StreamError::Malformed(why).into()),
                Err(WireError::Truncated) => {}
            }
            let more = stream.read().await?.ok_or(StreamError::Truncated)?;
            if bytes.len() + more.len() > MAX_WORDS {
                return Err(StreamError::Malformed("an outcome is larger than 64 KiB").into());
            }
            bytes.extend_from_slice(&more);
        }
    }
}

fn read_told(reader: &mut Reader<'_>) -> Result<Result<(), String>, WireError> {
    if reader.bit("a result is neither 0 nor 1")? {
        return Ok(Err(reader.str()?.to_owned()));
    }
    Ok(Ok(()))
}

/// The data of an object, as they arrive.
#[derive(Debug)]
pub struct Data {
    /// What came with the results: then that is all.
    inline: Option<Bytes>,
    chunks: Chunks,
    /// None once it has ended.
    stream: Option<StreamReader>,
    ending: Ending,
}

impl Data {
    /// Reads the results of [`super::Ask::GetContainerData`]. `streams` are those of the invocation.
    ///
    /// # Errors
    /// As [`BlobError`] tells.
    pub fn begin(results: &[u8], streams: Vec<StreamReader>, version: Version) -> Result<Self, BlobError> {
        let mut streams = streams.into_iter();
        whole(results, |reader| {
            let stream = streams.next().ok_or(WireError::Invalid("a stream has no channel"))?;
            let inline = reader.bytes()?;
            let pending = inline.is_empty();
            Ok(Self {
                inline: (!pending).then(|| Bytes::copy_from_slice(inline)),
                chunks: Chunks::default(),
                stream: pending.then_some(stream),
                ending: match version {
                    Version::V0_1_0 => Ending::Untold,
                    Version::V0_2_0 => Ending::read(reader, &mut streams)?,
                },
            })
        })
    }

    /// The next bytes, at most as many as fit in one message; nothing at the end. To be waited for to its end: what
    /// a wait that was given up had read is lost.
    ///
    /// # Errors
    /// As [`BlobError`] tells. Nothing more comes then.
    pub async fn read(&mut self) -> Result<Option<Bytes>, BlobError> {
        if let Some(inline) = self.inline.take() {
            return Ok(Some(inline));
        }
        if let Some(mut stream) = self.stream.take() {
            match self.chunks.read(&mut stream).await {
                Ok(Some(data)) => {
                    self.stream = Some(stream);
                    return Ok(Some(data));
                }
                Ok(None) => {}
                Err(error) => return Err(self.take_ending().of_broken(error).await),
            }
        }
        self.take_ending().of_ended().await.map(|()| None)
    }

    fn take_ending(&mut self) -> Ending {
        std::mem::replace(&mut self.ending, Ending::Untold)
    }
}

/// The data of an object, on their way to the provider. Dropping it before the end cuts them off.
#[derive(Debug)]
pub struct Upload(StreamWriter);

impl Upload {
    /// On the writer of the one stream of [`super::Ask::WriteContainerData`].
    #[must_use]
    pub fn new(writer: StreamWriter) -> Self {
        Self(writer)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the provider wants no more, or cannot be reached.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        send_chunk(&mut self.0, bytes).await
    }

    /// Says that this was all.
    ///
    /// # Errors
    /// When the connection was lost meanwhile.
    pub async fn end(mut self) -> Result<(), StreamError> {
        self.0.write(END).await?;
        self.0.end().await
    }

    /// Says that the rest does not come.
    pub async fn fail(self, why: &str) {
        self.0.fail(&Failure::new(FailureCode::Aborted, why)).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = (done(&bytes).is_ok(), truth(&bytes).is_ok(), object_info(&bytes).is_ok());
            let _ = read_told(&mut Reader::new(&bytes));
            let _ = Data::begin(&bytes, Vec::new(), Version::V0_2_0).is_ok();
        }
    }

    #[test]
    fn outcomes_are_told_apart_and_nonsense_is_refused() {
        assert!(done(b"\0").is_ok());
        assert!(truth(b"\0\x01").unwrap() && !truth(b"\0\0").unwrap());
        assert_eq!(created_at(b"\0\xac\x02").unwrap(), 300);
        assert_eq!(object_info(b"\0\x07\xac\x02").unwrap(), (7, 300));
        assert!(matches!(done(b"\x01\x04down"), Err(BlobError::Refused(words)) if words == "down"));
        for cut in [&b""[..], b"\x01\x09down"] {
            assert!(matches!(done(cut), Err(BlobError::Answer(InvokeError::Interrupted))), "{cut:?}");
        }
        for bad in [&b"\x02"[..], b"\0\0", b"\x01\x01\xff"] {
            assert!(matches!(done(bad), Err(BlobError::Answer(InvokeError::Decode(_)))), "{bad:?}");
        }
    }

    #[test]
    fn an_outcome_that_came_along_is_read() {
        assert_eq!(read_told(&mut Reader::new(b"\0")), Ok(Ok(())));
        assert_eq!(read_told(&mut Reader::new(b"\x01\x04full")), Ok(Err("full".to_owned())));
        assert_eq!(read_told(&mut Reader::new(b"\x01\x04fu")), Err(WireError::Truncated));
    }
}
