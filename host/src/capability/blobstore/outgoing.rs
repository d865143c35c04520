//! A value on its way out: what a component has written and the provider has not got yet, and the task between the two.
//!
//! A component may write before it says where to, or the other way round. What was written is kept until then, in a
//! bounded amount; afterwards the component writes as fast as the provider takes it. A value is whole when it is
//! finished, and cut off when it is dropped before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use lath_wrpc::blobstore::{Ask, BlobError, Object, Upload, written};
use lath_wrpc::{Progress, StreamError as Broken};
use tokio::sync::Notify;
use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::Outcome;
use super::way::{Taken, Way, results};
use crate::engine::CallContext;
use crate::wrpc_call::deadline;

/// Bytes of one value that the host keeps at most: as far as its writer is ahead of the provider.
const MOST_AHEAD: usize = 1 << 20;
/// Bytes that the host keeps at most for all calls of one component.
const MOST_KEPT: usize = 64 << 20;
/// Most bytes of one write: those of a chunk on the wire.
const PIECE: usize = 64 << 10;

/// Counts what the host keeps for all calls of a component.
#[derive(Debug, Default)]
pub(super) struct Kept(AtomicUsize);

impl Kept {
    fn take(&self, bytes: usize) -> bool {
        let more = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= MOST_KEPT);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A value in the table of a call's store.
pub(super) struct OutgoingValue {
    body: Arc<Body>,
    opened: bool,
    sending: Sending,
}

enum Sending {
    /// It was given to no container.
    Not,
    UnderWay(AbortOnDropHandle<Outcome<()>>),
    Over(Outcome<()>),
}

impl OutgoingValue {
    pub(super) fn new(kept: Arc<Kept>) -> Self {
        Self { body: Arc::new(Body::new(kept)), opened: false, sending: Sending::Not }
    }

    /// The stream to write to; there is one.
    pub(super) fn open(&mut self) -> Option<Writing> {
        if std::mem::replace(&mut self.opened, true) {
            return None;
        }
        Some(Writing(Arc::clone(&self.body)))
    }

    /// What is to be written; a value is written once.
    pub(super) fn body(&self) -> Outcome<Arc<Body>> {
        match self.sending {
            Sending::Not => Ok(Arc::clone(&self.body)),
            Sending::UnderWay(_) | Sending::Over(_) => {
                Err("the value was written already: each is written once".to_owned())
            }
        }
    }

    /// The value is on its way to an object.
    pub(super) fn is_sent_by(&mut self, task: AbortOnDropHandle<Outcome<()>>) {
        self.sending = Sending::UnderWay(task);
    }

    /// The value has arrived, or has not.
    pub(super) fn has_ended(&mut self, outcome: Outcome<()>) {
        self.sending = Sending::Over(outcome);
    }

    /// Says that the value is whole, and waits until the provider has it.
    pub(super) async fn finish(self) -> Outcome<()> {
        match self.sending {
            Sending::Not => {
                Err("the value was given to no container: `write-data` comes before `finish`".to_owned())
            }
            Sending::UnderWay(task) => {
                self.body.finish();
                ended(task).await
            }
            Sending::Over(outcome) => outcome,
        }
    }
}

/// Begins to write a value to an object.
pub(super) async fn begin(
    way: &Arc<Way>,
    object: Object<'_>,
    body: &Arc<Body>,
    ctx: &CallContext,
) -> Outcome<AbortOnDropHandle<Outcome<()>>> {
    let taken = way.take(Ask::WriteContainerData(object), ctx).await?;
    body.set(|state| state.has_place = true);
    let (way, body, ctx) = (Arc::clone(way), Sender(Arc::clone(body)), ctx.clone());
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        let sent = timeout_at(deadline(&ctx).into(), send(&way, &body.0, taken)).await;
        let outcome =
            sent.unwrap_or_else(|_| Err("the time of the call was over before the value".to_owned()));
        if let Err(why) = &outcome {
            body.0.fail(why);
        }
        outcome
    })))
}

/// What takes the bytes out of a body. Once it has gone, nobody waits for room.
struct Sender(Arc<Body>);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.fail("the value is sent no further");
    }
}

/// The outcome of a task that [`begin`] has given.
pub(super) async fn ended(task: AbortOnDropHandle<Outcome<()>>) -> Outcome<()> {
    task.await.unwrap_or_else(|_| Err("the host has failed to send the value".to_owned()))
}

/// Sends what is written until the value is whole, and waits for the outcome. A provider that refuses in the middle ends
/// it there.
async fn send(way: &Way, body: &Body, taken: Taken) -> Outcome<()> {
    let told = |error: BlobError| way.told(&error);
    // Kept until the end: the process stays for that long.
    let Taken { version, mut invocation, first, called: _called } = taken;
    let (writer, first) = match first {
        Progress::Accepted(mut writers) => (writers.pop(), Progress::Accepted(Vec::new())),
        first @ Progress::Results(..) => (None, first),
    };
    let answer = async {
        let (results, streams) = results(first, &mut invocation).await?;
        written(&results, streams, version).await
    };
    tokio::pin!(answer);
    let Some(writer) = writer else {
        // It has answered without a look at the data: hardly well.
        return answer.await.map_err(told);
    };
    let pumped = pump(body, Upload::new(writer));
    tokio::pin!(pumped);
    tokio::select! {
        biased;
        pumped = &mut pumped => match pumped {
            // Not wanting the rest is the provider's right; its answer tells what it made of it.
            Ok(()) | Err(Stop::Stream(Broken::Unwanted)) => answer.await.map_err(told),
            Err(Stop::Stream(error)) => Err(told(error.into())),
            Err(Stop::Writer(why)) => Err(why),
        },
        answer = &mut answer => match answer {
            Ok(()) => match pumped.await {
                Ok(()) | Err(Stop::Stream(_)) => Ok(()),
                Err(Stop::Writer(why)) => Err(why),
            },
            Err(error) => Err(told(error)),
        },
    }
}

/// Why the rest of a value is not sent.
enum Stop {
    Stream(Broken),
    Writer(String),
}

async fn pump(body: &Body, mut upload: Upload) -> Result<(), Stop> {
    loop {
        match body.next().await {
            Next::Bytes(bytes) => {
                let sent = bytes.len();
                upload.write(bytes).await.map_err(Stop::Stream)?;
                body.sent(sent);
            }
            Next::End => return upload.end().await.map_err(Stop::Stream),
            Next::Failed(why) => {
                upload.fail(&why).await;
                return Err(Stop::Writer(why));
            }
        }
    }
}

/// The bytes between the component and the task.
pub(super) struct Body {
    state: Mutex<State>,
    changed: Notify,
    kept: Arc<Kept>,
}

#[derive(Default)]
struct State {
    written: BytesMut,
    /// Bytes that are kept: those that are written, and those that are being sent.
    ahead: usize,
    /// Whether they go somewhere.
    has_place: bool,
    /// Whether the component has dropped its stream.
    is_closed: bool,
    is_whole: bool,
    failed: Option<String>,
}

/// What comes next out of a body.
enum Next {
    Bytes(Bytes),
    End,
    Failed(String),
}

impl Body {
    fn new(kept: Arc<Kept>) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), kept }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    /// Whether the component has written all that it writes.
    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// The value is whole.
    pub(super) fn finish(&self) {
        self.set(|state| (state.is_closed, state.is_whole) = (true, true));
    }

    /// Nothing more is sent.
    fn fail(&self, why: &str) {
        self.set(|state| {
            state.failed.get_or_insert_with(|| why.to_owned());
        });
    }

    /// Bytes were sent and are kept no more.
    fn sent(&self, bytes: usize) {
        self.set(|state| state.ahead = state.ahead.saturating_sub(bytes));
        self.kept.give(bytes);
    }

    async fn next(&self) -> Next {
        self.until(|state| {
            if let Some(why) = &state.failed {
                return Some(Next::Failed(why.clone()));
            }
            if !state.written.is_empty() {
                return Some(Next::Bytes(state.written.split().freeze()));
            }
            state.is_whole.then_some(Next::End)
        })
        .await
    }

    /// Waits until `look` sees something.
    async fn until<T>(&self, look: impl Fn(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look: what changes after it wakes.
            changed.as_mut().enable();
            let seen = look(&mut self.state());
            if let Some(seen) = seen {
                return seen;
            }
            changed.await;
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.kept.give(self.state().ahead);
    }
}

/// Bytes that may be written now; none while the provider has to catch up.
fn room(state: &State) -> StreamResult<usize> {
    let failed = |why: &str| Err(StreamError::LastOperationFailed(wasmtime::format_err!("{why}")));
    if let Some(why) = &state.failed {
        return failed(why);
    }
    if state.is_closed {
        return Err(StreamError::Closed);
    }
    match MOST_AHEAD.saturating_sub(state.ahead) {
        0 if state.has_place => Ok(0),
        0 => failed(
            "1 MiB is kept of a value that was given to no container: call `write-data` before more is written",
        ),
        room => Ok(room.min(PIECE)),
    }
}

/// The stream that the component writes to.
pub(super) struct Writing(Arc<Body>);

#[wasmtime_wasi::async_trait]
impl Pollable for Writing {
    async fn ready(&mut self) {
        self.0.until(|state| (!matches!(room(state), Ok(0))).then_some(())).await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Writing {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > room(&self.0.state())? {
            return Err(StreamError::trap("more was written than `check-write` allows"));
        }
        if !self.0.kept.take(bytes.len()) {
            let why = "64 MiB of this component's values wait for their provider on this host";
            self.0.fail(why);
            return Err(StreamError::LastOperationFailed(wasmtime::format_err!("{why}")));
        }
        self.0.set(|state| {
            state.ahead += bytes.len();
            state.written.extend_from_slice(&bytes);
        });
        Ok(())
    }

    /// Says nothing of what has arrived: `finish` does.
    fn flush(&mut self) -> StreamResult<()> {
        match &self.0.state().failed {
            Some(why) => Err(StreamError::LastOperationFailed(wasmtime::format_err!("{why}"))),
            None => Ok(()),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        room(&self.0.state())
    }

    async fn cancel(&mut self) {
        self.0.set(|state| state.is_closed = true);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn value() -> (OutgoingValue, Writing) {
        let mut value = OutgoingValue::new(Arc::default());
        let writing = value.open().unwrap();
        (value, writing)
    }

    #[tokio::test]
    async fn what_is_written_first_is_kept_until_its_bound() {
        let (mut value, mut writing) = value();
        assert!(value.open().is_none(), "there is one stream");
        for _ in 0..MOST_AHEAD / PIECE {
            assert_eq!(writing.check_write().unwrap(), PIECE);
            writing.write(Bytes::from(vec![1; PIECE])).unwrap();
        }
        // A component that waits for room is not left waiting.
        writing.ready().await;
        assert!(matches!(writing.check_write(), Err(StreamError::LastOperationFailed(_))));
        let error = value.finish().await.unwrap_err();
        assert!(error.contains("`write-data`"), "{error}");
    }

    #[tokio::test]
    async fn a_writer_waits_for_the_provider_and_its_end_is_the_end_once_it_is_finished() {
        let (value, mut writing) = value();
        let body = value.body().unwrap();
        body.set(|state| state.has_place = true);
        for _ in 0..MOST_AHEAD / PIECE {
            writing.write(Bytes::from(vec![1; PIECE])).unwrap();
        }
        assert_eq!(writing.check_write().unwrap(), 0);
        assert!(writing.ready().now_or_never().is_none());
        let Next::Bytes(bytes) = body.next().await else { panic!("bytes were written") };
        assert_eq!(bytes.len(), MOST_AHEAD);
        assert!(writing.ready().now_or_never().is_none(), "what is being sent is kept as well");
        body.sent(bytes.len());
        writing.ready().await;
        writing.write(Bytes::from_static(b"last")).unwrap();
        writing.cancel().await;
        assert!(matches!(writing.check_write(), Err(StreamError::Closed)));
        assert!(matches!(body.next().await, Next::Bytes(bytes) if bytes == "last"));
        assert!(body.next().now_or_never().is_none(), "it is not said that it is whole");
        body.finish();
        assert!(matches!(body.next().await, Next::End));
        body.sent(4);
        assert_eq!(body.kept.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_writer_whose_value_has_gone_is_not_left_waiting() {
        let (value, mut writing) = value();
        let body = value.body().unwrap();
        body.set(|state| state.has_place = true);
        for _ in 0..MOST_AHEAD / PIECE {
            writing.write(Bytes::from(vec![1; PIECE])).unwrap();
        }
        assert!(writing.ready().now_or_never().is_none());
        drop(Sender(body));
        writing.ready().await;
        assert!(matches!(writing.check_write(), Err(StreamError::LastOperationFailed(_))));
    }

    #[test]
    fn all_values_of_a_component_have_one_bound_and_give_back() {
        let kept: Arc<Kept> = Arc::default();
        assert!(kept.take(MOST_KEPT - 4) && !kept.take(5));
        let mut value = OutgoingValue::new(Arc::clone(&kept));
        let mut writing = value.open().unwrap();
        writing.write(Bytes::from_static(b"1234")).unwrap();
        assert!(writing.write(Bytes::from_static(b"5")).is_err());
        assert!(writing.check_write().is_err(), "the value is lost");
        drop((value, writing));
        assert!(kept.take(4));
    }
}
