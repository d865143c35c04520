//! The names of objects: a `stream<string>`, read one by one as they arrive.

use bytes::{Buf as _, BytesMut};

use super::answer::{BlobError, Ending, whole};
use super::ask::Version;
use crate::channel::{StreamError, StreamReader};
use crate::codec::wire::{Reader, WireError};

/// Longest name of an object that is taken. Stores of objects allow some thousand bytes at most.
const MAX_NAME: usize = 64 << 10;

/// The names of the objects in a container, as they arrive.
#[derive(Debug)]
pub struct Names {
    list: Chunked,
    /// None once it has ended.
    stream: Option<StreamReader>,
    ending: Ending,
}

impl Names {
    /// Reads the results of [`super::Ask::ListContainerObjects`]. `streams` are those of the invocation.
    ///
    /// # Errors
    /// As [`BlobError`] tells.
    pub fn begin(results: &[u8], streams: Vec<StreamReader>, version: Version) -> Result<Self, BlobError> {
        let mut streams = streams.into_iter();
        whole(results, |reader| {
            let stream = streams.next().ok_or(WireError::Invalid("a stream has no channel"))?;
            let list = Chunked::inline(reader)?;
            let pending = list.left == 0;
            Ok(Self {
                list,
                stream: pending.then_some(stream),
                ending: match version {
                    Version::V0_1_0 => Ending::Untold,
                    Version::V0_2_0 => Ending::read(reader, &mut streams)?,
                },
            })
        })
    }

    /// The next name; nothing at the end. To be waited for to its end: what a wait that was given up had read is lost.
    ///
    /// # Errors
    /// As [`BlobError`] tells. Nothing more comes then.
    pub async fn read(&mut self) -> Result<Option<String>, BlobError> {
        loop {
            match self.list.step() {
                Ok(Step::Name(name)) => return Ok(Some(name)),
                Ok(Step::NeedMore) => {}
                Ok(Step::End) => {
                    self.stream = None;
                    return self.take_ending().of_ended().await.map(|()| None);
                }
                Err(error) => {
                    self.stream = None;
                    return Err(error.into());
                }
            }
            // Without a stream there was only what came with the results.
            let Some(mut stream) = self.stream.take() else {
                return self.take_ending().of_ended().await.map(|()| None);
            };
            match stream.read().await.and_then(|bytes| bytes.ok_or(StreamError::Truncated)) {
                Ok(bytes) => self.list.buffer.extend_from_slice(&bytes),
                Err(error) => return Err(self.take_ending().of_broken(error).await),
            }
            self.stream = Some(stream);
        }
    }

    fn take_ending(&mut self) -> Ending {
        std::mem::replace(&mut self.ending, Ending::Untold)
    }
}

/// Takes names out of lists that follow one another; an empty one is the last.
#[derive(Debug, Default)]
struct Chunked {
    /// Bytes that arrived and were not read.
    buffer: BytesMut,
    /// Names of the current list that are still to come.
    left: usize,
    ended: bool,
}

enum Step {
    Name(String),
    NeedMore,
    End,
}

impl Chunked {
    /// The list that came with the results: empty where lists follow on a channel.
    fn inline(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let left = reader.length()?;
        let mut list = Self { left, ..Self::default() };
        // Each takes a byte at least: the count is not trusted before.
        for _ in 0..left {
            crate::codec::wire::put_bytes(&mut list.buffer, reader.bytes()?);
        }
        Ok(list)
    }

    fn step(&mut self) -> Result<Step, StreamError> {
        if self.ended {
            return Ok(Step::End);
        }
        if self.left == 0 {
            let Some(count) = self.take(|reader| reader.length())? else { return Ok(Step::NeedMore) };
            self.left = count;
            self.ended = count == 0;
            if self.ended {
                return Ok(Step::End);
            }
        }
        let Some(name) = self.take(|reader| reader.str().map(str::to_owned))? else {
            return Ok(Step::NeedMore);
        };
        self.left -= 1;
        Ok(Step::Name(name))
    }

    /// Reads a value and takes its bytes; nothing where more of it is to come.
    fn take<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
    ) -> Result<Option<T>, StreamError> {
        let mut reader = Reader::new(&self.buffer);
        match read(&mut reader) {
            Ok(value) => {
                let read = self.buffer.len() - reader.remaining();
                self.buffer.advance(read);
                Ok(Some(value))
            }
            Err(WireError::Truncated) if self.buffer.len() <= MAX_NAME => Ok(None),
            Err(WireError::Truncated) => {
                Err(StreamError::Malformed("the name of an object is larger than 64 KiB"))
            }
            Err(WireError::Invalid(why)) => Err(StreamError::Malformed(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::wire::{put_bytes, put_len};

    /// All names in these messages, and whether the last list was among them.
    fn read(messages: &[&[u8]]) -> Result<(Vec<String>, bool), StreamError> {
        let (mut list, mut names) = (Chunked::default(), Vec::new());
        for message in messages {
            list.buffer.extend_from_slice(message);
            loop {
                match list.step()? {
                    Step::Name(name) => names.push(name),
                    Step::NeedMore => break,
                    Step::End => return Ok((names, true)),
                }
            }
        }
        Ok((names, false))
    }

    #[test]
    fn lists_end_with_an_empty_one_only() {
        let both = || vec!["a".to_owned(), "bc".to_owned()];
        assert_eq!(read(&[b"\x02\x01a\x02bc", b"\0"]), Ok((both(), true)));
        assert_eq!(read(&[b"\x01\x01a\x01\x02", b"bc"]), Ok((both(), false)));
        assert_eq!(read(&[b"\0"]), Ok((Vec::new(), true)));
        assert!(read(&[b"\x01\x01\xff"]).is_err());
        let long = [&b"\x01\xff\xff\x7f"[..], &[b'x'; MAX_NAME]].concat();
        assert!(read(&[&long]).is_err());
    }

    #[test]
    fn a_list_that_came_along_is_read() {
        let mut list = Chunked::inline(&mut Reader::new(b"\x02\x01a\0")).unwrap();
        assert!(matches!(list.step(), Ok(Step::Name(name)) if name == "a"));
        assert!(matches!(list.step(), Ok(Step::Name(name)) if name.is_empty()));
        assert!(matches!(list.step(), Ok(Step::NeedMore)));
        assert!(Chunked::inline(&mut Reader::new(b"\xff\xff\xff\xff\x0f")).is_err());
    }

    proptest! {
        #[test]
        fn the_cuts_of_messages_mean_nothing(lists: Vec<Vec<String>>, cut in 1_usize..7) {
            let mut wire = BytesMut::new();
            for list in lists.iter().filter(|list| !list.is_empty()) {
                put_len(&mut wire, list.len());
                list.iter().for_each(|name| put_bytes(&mut wire, name.as_bytes()));
            }
            put_len(&mut wire, 0);
            let messages: Vec<_> = wire.chunks(cut).collect();
            prop_assert_eq!(read(&messages), Ok((lists.concat(), true)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = read(&[&bytes]);
        }
    }
}
