//! A value on its way in: read at once, or by a stream while it arrives.
//!
//! Nothing of it is kept but what has arrived and was not read. A value that was cut off is an error, never a short one.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use lath_wrpc::blobstore::{Ask, Data, Object, object_info};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::Outcome;
use super::way::Way;
use crate::engine::CallContext;
use crate::provider::Called;

/// Bytes that are read ahead to find out how many there are.
const LOOK_AHEAD: usize = 1 << 20;
/// Pieces that wait for a component that reads by a stream; each was one message.
const PIECES: usize = 2;

/// A value that a component may read.
pub(super) struct Value {
    way: Arc<Way>,
    data: Data,
    /// Pieces that were read ahead.
    ahead: VecDeque<Bytes>,
    ended: bool,
    part: Part,
    /// Keeps the process of the provider.
    _called: Option<Called>,
}

/// Which part of which object it is.
pub(super) struct Part {
    pub(super) container: String,
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Part {
    fn object(&self) -> Object<'_> {
        Object { container: &self.container, name: &self.name }
    }
}

impl Value {
    /// Asks for a part of an object.
    pub(super) async fn get(way: Arc<Way>, part: Part, ctx: &CallContext) -> Outcome<Self> {
        let answer = way.ask(Ask::GetContainerData(part.object(), part.start, part.end), ctx).await?;
        let data = Data::begin(&answer.results, answer.streams, answer.version);
        let data = data.map_err(|error| way.told(&error))?;
        Ok(Self { way, data, ahead: VecDeque::new(), ended: false, part, _called: answer.called })
    }

    /// All of it, at most `most` bytes.
    pub(super) async fn whole(mut self, most: usize) -> Outcome<Vec<u8>> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.read().await? {
            if bytes.len() > most - whole.len() {
                return Err(format!(
                    "the value has more than {most} bytes, as many as are copied into a component at once: read it by \
                     its stream, or in parts"
                ));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    /// A stream of it.
    pub(super) fn stream(mut self) -> Reading {
        let (sender, pieces) = mpsc::channel(PIECES);
        let task = tokio::spawn(async move {
            loop {
                let read = self.read().await;
                let over = !matches!(read, Ok(Some(_)));
                let Some(piece) = read.transpose() else { return };
                if sender.send(piece).await.is_err() || over {
                    return;
                }
            }
        });
        Reading { pieces, next: Next::Nothing, _task: AbortOnDropHandle::new(task) }
    }

    /// How many bytes it has: counted where they are few, and else known of the object where the value is all of it.
    pub(super) async fn size(&mut self, ctx: &CallContext) -> Outcome<u64> {
        let ahead = self.look_ahead().await?;
        if self.ended {
            return Ok(ahead);
        }
        let Part { start, end, name, .. } = &self.part;
        let asked = Ask::GetObjectInfo(self.part.object());
        let (_, size) = self.way.plain(asked, ctx, object_info).await?;
        // Whether the last place is a part of the value is not agreed among providers.
        if *end >= size {
            return Ok(size.saturating_sub(*start));
        }
        Err(format!(
            "the size of the bytes {start} to {end} of `{name}`, more than 1 MiB, is known only when they were read"
        ))
    }

    async fn read(&mut self) -> Outcome<Option<Bytes>> {
        if let Some(bytes) = self.ahead.pop_front() {
            return Ok(Some(bytes));
        }
        if self.ended {
            return Ok(None);
        }
        let read = self.data.read().await.map_err(|error| self.way.told(&error));
        self.ended = !matches!(read, Ok(Some(_)));
        read
    }

    /// Reads until enough was read, or all; how much that is.
    async fn look_ahead(&mut self) -> Outcome<u64> {
        let mut ahead: usize = self.ahead.iter().map(Bytes::len).sum();
        while ahead < LOOK_AHEAD && !self.ended {
            let read = self.data.read().await.map_err(|error| self.way.told(&error))?;
            self.ended = read.is_none();
            ahead += read.as_ref().map_or(0, Bytes::len);
            self.ahead.extend(read);
        }
        Ok(ahead as u64)
    }
}

/// The stream that a component reads.
pub(super) struct Reading {
    pieces: mpsc::Receiver<Outcome<Bytes>>,
    next: Next,
    /// Reads on, whatever the component waits for.
    _task: AbortOnDropHandle<()>,
}

/// What a component reads next.
enum Next {
    /// It has to wait.
    Nothing,
    Bytes(Bytes),
    Failed(String),
    End,
}

impl Reading {
    fn take(&mut self, piece: Option<Outcome<Bytes>>) {
        self.next = match piece {
            Some(Ok(bytes)) => Next::Bytes(bytes),
            Some(Err(why)) => Next::Failed(why),
            None => Next::End,
        };
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Reading {
    async fn ready(&mut self) {
        if matches!(self.next, Next::Nothing) {
            let piece = self.pieces.recv().await;
            self.take(piece);
        }
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Reading {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if matches!(self.next, Next::Nothing) {
            match self.pieces.try_recv() {
                Ok(piece) => self.take(Some(piece)),
                Err(mpsc::error::TryRecvError::Empty) => return Ok(Bytes::new()),
                Err(mpsc::error::TryRecvError::Disconnected) => self.take(None),
            }
        }
        match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Nothing => Ok(Bytes::new()),
            Next::Bytes(mut bytes) => {
                let piece = bytes.split_to(size.min(bytes.len()));
                if !bytes.is_empty() {
                    self.next = Next::Bytes(bytes);
                }
                Ok(piece)
            }
            Next::Failed(why) => {
                self.next = Next::End;
                Err(StreamError::LastOperationFailed(wasmtime::format_err!("{why}")))
            }
            Next::End => {
                self.next = Next::End;
                Err(StreamError::Closed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(pieces: Vec<Outcome<Bytes>>) -> Reading {
        let (sender, receiver) = mpsc::channel(8);
        for piece in pieces {
            sender.try_send(piece).unwrap();
        }
        let _task = AbortOnDropHandle::new(tokio::spawn(std::future::ready(())));
        Reading { pieces: receiver, next: Next::Nothing, _task }
    }

    #[tokio::test]
    async fn a_component_reads_as_much_as_it_wants_until_the_end() {
        let mut stream = reading(vec![Ok(Bytes::from_static(b"hello")), Ok(Bytes::from_static(b" world"))]);
        stream.ready().await;
        assert_eq!(stream.read(4).unwrap(), "hell");
        assert_eq!(stream.read(0).unwrap(), "");
        assert_eq!(stream.read(100).unwrap(), "o");
        assert_eq!(stream.read(100).unwrap(), " world");
        for _ in 0..2 {
            stream.ready().await;
            assert!(matches!(stream.read(100), Err(StreamError::Closed)));
        }
    }

    #[tokio::test]
    async fn a_value_that_was_cut_off_is_an_error_in_the_words_of_the_provider() {
        let mut stream = reading(vec![Ok(Bytes::from_static(b"half")), Err("the disk is gone".to_owned())]);
        assert_eq!(stream.read(100).unwrap(), "half");
        stream.ready().await;
        let error = stream.read(100).unwrap_err();
        assert!(error.to_string().contains("the disk is gone"), "{error}");
        assert!(matches!(stream.read(100), Err(StreamError::Closed)));
    }
}
