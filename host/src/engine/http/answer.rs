//! The body of an answer: counted, bounded, and told from one that breaks off.
//!
//! What the guest writes without waiting goes out with the head: a short answer is one packet of known length, and no task
//! is left to write it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

use crate::engine::CallError;
use crate::engine::body::{Body, BodyError};
use crate::engine::http::{Exchange, Guest};

/// A part of a body, or why there is no more.
type Piece = Result<Frame<Bytes>, BodyError>;

/// Most bytes of a body that are taken before its head goes out.
const READY: usize = 64 << 10;
/// How often the guest may write on before its head goes out: one that computes for each piece would keep it back for long.
const TURNS: usize = 4;

/// The body of an answer as the guest writes it.
pub(super) struct Answer {
    inner: WasiBody,
    exchange: Arc<Exchange>,
    ended: bool,
    /// Bytes that are still to come, if the head says how many there are: who has them all need not ask for the end.
    missing: Option<u64>,
    /// Bytes that may still come by the limit of the component.
    left: u64,
    /// Told when it has been read to its end.
    told: Option<oneshot::Sender<()>>,
}

impl Answer {
    /// The answer of `exchange`. `missing`: as many bytes as its head announces, if it does; `told`: who learns that it was
    /// read, if anybody does.
    pub(super) fn new(
        inner: WasiBody,
        exchange: Arc<Exchange>,
        missing: Option<u64>,
        told: Option<oneshot::Sender<()>>,
    ) -> Self {
        let left = exchange.call.prepared.unit.limits.response_body_bytes;
        Self { inner, exchange, ended: false, missing, left, told }
    }

    /// What of it is there already, or comes as soon as `guest` gets to it without waiting. Never waits itself.
    pub(super) fn ready(&mut self, guest: &mut Guest) -> VecDeque<Piece> {
        // Whoever reads on asks again.
        let mut cx = Context::from_waker(Waker::noop());
        let (mut pieces, mut bytes, mut turns) = (VecDeque::new(), 0, 0);
        // Whether the guest has room to write that it did not have before.
        let mut moved = false;
        while bytes < READY {
            match Pin::new(&mut *self).poll_frame(&mut cx) {
                Poll::Ready(Some(piece)) => {
                    bytes += piece.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
                    pieces.push_back(piece);
                    moved = true;
                }
                Poll::Ready(None) => break,
                Poll::Pending if moved && turns < TURNS && !guest.has_ended() => {
                    moved = false;
                    turns += 1;
                    guest.go_on();
                }
                Poll::Pending => break,
            }
        }
        if self.ended && !guest.has_ended() {
            // It may have waited for this.
            guest.go_on();
        }
        pieces
    }

    /// A body of `pieces` and then the rest.
    pub(super) fn after(self, pieces: VecDeque<Piece>) -> Body {
        if pieces.is_empty() { self.boxed_unsync() } else { Begun { pieces, rest: self }.boxed_unsync() }
    }

    /// Tells the guest that its answer was read.
    fn tell(&mut self) {
        if let Some(told) = self.told.take() {
            // A guest that has ended does not ask.
            let _unheard = told.send(());
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame,
        };
        self.ended = !matches!(frame, Some(Ok(_)));
        if frame.is_none() {
            self.tell();
        } else if self.ended {
            self.told = None;
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.missing = self.missing.map(|missing| missing.saturating_sub(bytes));
                match self.left.checked_sub(bytes) {
                    Some(left) => {
                        self.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(self.too_long())),
                }
            }
            // The engine ends the body in the same way when the guest has finished it and when its store went
            // away. A guest that fails right after it has finished is not told apart: the call failed anyway.
            None => match self.exchange.ended.get() {
                Some(Err(error)) => Some(Err(BodyError::Call(error.clone()))),
                Some(Ok(())) | None => None,
            },
            Some(Err(error)) => Some(Err(match self.exchange.ended.get() {
                Some(Err(error)) => BodyError::Call(error.clone()),
                Some(Ok(())) | None => {
                    self.exchange.broken.store(true, Ordering::Relaxed);
                    BodyError::Call(CallError::Failed(format!("the body broke off: {error}")))
                }
            })),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

impl Answer {
    /// The guest writes on where its answer must end: that is its failure, and it is stopped like one that nobody reads.
    fn too_long(&mut self) -> BodyError {
        self.ended = true;
        self.exchange.broken.store(true, Ordering::Relaxed);
        self.exchange.unread.store(true, Ordering::Relaxed);
        let most = self.exchange.call.prepared.unit.limits.response_body_bytes;
        BodyError::Call(CallError::Failed(format!("the body of the answer has more than {most} bytes")))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.ended {
            let whole = self.missing == Some(0);
            self.exchange.left.store(!whole, Ordering::Relaxed);
            self.exchange.unread.store(true, Ordering::Relaxed);
            if whole {
                self.tell();
            }
        }
    }
}

/// A body of which the beginning, or all, is there.
struct Begun {
    pieces: VecDeque<Piece>,
    rest: Answer,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(piece)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let mut hint =
            if self.rest.ended { http_body::SizeHint::with_exact(0) } else { self.rest.size_hint() };
        let mut here = 0;
        for piece in &self.pieces {
            match piece.as_ref().map(Frame::data_ref) {
                Ok(Some(data)) => here += data.len() as u64,
                // Trailers follow only bodies whose length is not told, and what breaks off has none.
                Ok(None) | Err(_) => return http_body::SizeHint::new(),
            }
        }
        // In this order: neither may be beyond the other.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + here);
        }
        hint.set_lower(hint.lower() + here);
        hint
    }
}
