//! The chunks of a `stream<u8>`, taken out of the bytes of a channel and put into them.
//!
//! On the wire a stream is a sequence of chunks, each a length and as many bytes, ended by a chunk of length 0
//! and the end of the channel. Data is passed on as it comes, without waiting for a chunk to be whole and
//! without a copy. What the bytes mean is not known here.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::channel::{StreamError, StreamReader, StreamWriter};
use crate::codec::wire::put_len;

/// The chunk that ends a stream.
pub(crate) const END: Bytes = Bytes::from_static(&[0]);

/// Chunks up to this size are sent in one message with their length; larger ones are not copied for it.
const COPY_BELOW: usize = 16 << 10;

/// Takes the lengths out of the bytes of a channel.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
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
    /// The next bytes of the stream, whole chunks or parts of them; nothing at its end.
    pub(crate) async fn read(&mut self, stream: &mut StreamReader) -> Result<Option<Bytes>, StreamError> {
        loop {
            match self.step()? {
                Step::Data(data) => return Ok(Some(data)),
                Step::End => return Ok(None),
                Step::NeedMore => self.buffer = stream.read().await?.ok_or(StreamError::Truncated)?,
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

/// Sends bytes of the stream. The chunk [`END`] ends it.
pub(crate) async fn send_chunk(data: &mut StreamWriter, mut chunk: Bytes) -> Result<(), StreamError> {
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

    /// All data of a stream that arrives in these messages, and whether it ended.
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
