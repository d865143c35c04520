//! Streams and futures between two stores: what one guest writes is handed to the other a piece at a time.
//!
//! There is room for one piece on the way, so a writer is as fast as its reader. A reader that leaves is seen by the
//! writer, as in one store. A writer that is lost with its store makes the reader fail: nobody takes a part for the
//! whole. Their elements are of types that are known when the host is built: those of `elements!` below. All others are
//! refused by `handles::element` when a component is linked.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::PollSender;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, ComponentType, Destination, FutureAny, FutureConsumer, FutureReader, Lift, Lower, Source,
    StreamAny, StreamConsumer, StreamProducer, StreamReader, StreamResult, Val, VecBuffer,
};

use crate::engine::unit::CallState;

/// Most bytes of a piece as far as the size of its elements is known.
const PIECE_BYTES: usize = 64 << 10;
/// Most elements of a piece whose elements lie elsewhere, such as strings.
const PIECE_ITEMS: usize = 1024;

/// The streams and futures that lead out of one store and into it.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    /// The store is thrown away: whatever is not at its end yet is lost.
    ending: AtomicBool,
    out: AtomicUsize,
    into: AtomicUsize,
    changed: Notify,
}

impl Pipes {
    /// Says that the store is about to be thrown away.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Whether anything leads out of the store or into it.
    pub(crate) fn is_open(&self) -> bool {
        self.out.load(Ordering::SeqCst) + self.into.load(Ordering::SeqCst) > 0
    }

    /// Resolves when nothing can pass through the store any more without a guest that runs.
    async fn still(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.out.load(Ordering::SeqCst) == 0 || self.into.load(Ordering::SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// Resolves when the guest has ended all that it goes on with after its results, and nothing passes through it.
pub(crate) async fn settled(accessor: &Accessor<CallState>) {
    let pipes = accessor.with(|mut store| Arc::clone(&store.get().pipes));
    std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
    pipes.still().await;
}

/// One end of a pipe in one store, counted while it is there.
struct End {
    pipes: Arc<Pipes>,
    is_out: bool,
}

impl End {
    fn new(pipes: Arc<Pipes>, is_out: bool) -> Self {
        let count = if is_out { &pipes.out } else { &pipes.into };
        count.fetch_add(1, Ordering::SeqCst);
        Self { pipes, is_out }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let count = if self.is_out { &self.pipes.out } else { &self.pipes.into };
        count.fetch_sub(1, Ordering::SeqCst);
        self.pipes.changed.notify_waiters();
    }
}

/// The reading end of a pipe on its way to another store.
pub(crate) trait Travelling: Send {
    /// Puts it into `store`.
    ///
    /// # Errors
    /// When the store takes no more of them.
    fn put(self: Box<Self>, store: StoreContextMut<'_, CallState>) -> wasmtime::Result<Val>;
}

/// What a stream or future may be of.
trait Element: ComponentType + Lift + Lower + Send + Sync + Unpin + 'static {}

impl<T: ComponentType + Lift + Lower + Send + Sync + Unpin + 'static> Element for T {}

/// Gives `$try` every type of element, until one fits. Those that are used most come first; each costs code of its own,
/// so lists of what is rarely in lists are not among them.
macro_rules! elements {
    ($try:ident) => {
        elements!($try: u8, String, u32, (), Result<(), String>, Result<String, String>, Result<(), ()>,
            Result<String, ()>, bool, i8, u16, i16, i32, u64, i64, f32, f64, char);
elements!($try: Vec<u8>, Vec<String>, Vec<u32>, Vec<u64>, Vec<i32>, Vec<f32>, Vec<f64>);
    };
    ($try:ident: $($element:ty),*) => { $( $try!($element); )* };
}

/// Takes a stream out of its store.
///
/// # Errors
/// When it is of something that no link carries, which was refused before.
pub(crate) fn take_stream(
    stream: &StreamAny,
    mut store: StoreContextMut<'_, CallState>,
) -> wasmtime::Result<Box<dyn Travelling>> {
    macro_rules! attempt {
        ($element:ty) => {
            if let Ok(reader) = stream.clone().try_into_stream_reader::<$element>() {
                return lead_out::<$element>(reader, &mut store);
            }
        };
    }
    elements!(attempt);
    wasmtime::bail!("a stream of such elements is not carried over links")
}

/// As [`take_stream`].
pub(crate) fn take_future(
    future: &FutureAny,
    mut store: StoreContextMut<'_, CallState>,
) -> wasmtime::Result<Box<dyn Travelling>> {
    macro_rules! attempt {
        ($element:ty) => {
            if let Ok(reader) = future.clone().try_into_future_reader::<$element>() {
                return hand_out::<$element>(reader, &mut store);
            }
        };
    }
    elements!(attempt);
    wasmtime::bail!("a future of such a value is not carried over links")
}

fn lead_out<T: Element>(
    reader: StreamReader<T>,
    store: &mut StoreContextMut<'_, CallState>,
) -> wasmtime::Result<Box<dyn Travelling>> {
    let (to, from) = mpsc::channel(1);
    let lost = Arc::new(AtomicBool::new(false));
    let end = End::new(Arc::clone(&store.data().pipes), true);
    reader.pipe(&mut *store, Outlet { to: PollSender::new(to), lost: Arc::clone(&lost), end })?;
    Ok(Box::new(StreamOnItsWay { from, lost }))
}

fn hand_out<T: Element>(
    reader: FutureReader<T>,
    store: &mut StoreContextMut<'_, CallState>,
) -> wasmtime::Result<Box<dyn Travelling>> {
    let (to, from) = oneshot::channel();
    let end = End::new(Arc::clone(&store.data().pipes), true);
    reader.pipe(&mut *store, Giver { to: Some(to), _end: end })?;
    Ok(Box::new(FutureOnItsWay { from }))
}

/// The end of a stream in the store of its writer.
struct Outlet<T> {
    to: PollSender<Vec<T>>,
    /// The writer was lost, which is no end of the stream.
    lost: Arc<AtomicBool>,
    end: End,
}

impl<T: Element> StreamConsumer<CallState> for Outlet<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, CallState>,
        mut source: Source<'_, T>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let outlet = self.get_mut();
        match outlet.to.poll_reserve(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        }
        let offered = source.remaining(&mut store);
        // A writer that asks whether there is room learns that there is.
        if offered > 0 {
            let mut piece = Vec::with_capacity(offered.min(piece_items::<T>()));
            source.read(&mut store, &mut piece)?;
            if outlet.to.send_item(piece).is_err() {
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        // Before the sender goes, so that who reads sees both.
        if self.end.pipes.ending.load(Ordering::SeqCst) {
            self.lost.store(true, Ordering::SeqCst);
        }
    }
}

/// Most elements of a piece.
const fn piece_items<T>() -> usize {
    match size_of::<T>() {
        0 => PIECE_ITEMS,
        1..=8 => PIECE_BYTES / size_of::<T>(),
        _ => PIECE_ITEMS,
    }
}

/// A stream between two stores.
struct StreamOnItsWay<T> {
    from: mpsc::Receiver<Vec<T>>,
    lost: Arc<AtomicBool>,
}

impl<T: Element> Travelling for StreamOnItsWay<T> {
    fn put(self: Box<Self>, mut store: StoreContextMut<'_, CallState>) -> wasmtime::Result<Val> {
        let end = End::new(Arc::clone(&store.data().pipes), false);
        let inlet = Inlet { from: self.from, lost: self.lost, next: None, _end: end };
        let reader = StreamReader::new(&mut store, inlet)?;
        Ok(Val::Stream(reader.try_into_stream_any(&mut store)?))
    }
}

/// The end of a stream in the store of its reader.
struct Inlet<T> {
    from: mpsc::Receiver<Vec<T>>,
    lost: Arc<AtomicBool>,
    /// A piece that came while the reader only asked whether there was one.
    next: Option<Vec<T>>,
    _end: End,
}

impl<T: Element> StreamProducer<CallState> for Inlet<T> {
    type Item = T;
    type Buffer = VecBuffer<T>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, CallState>,
        mut destination: Destination<'a, T, VecBuffer<T>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let inlet = self.get_mut();
        if inlet.next.is_none() {
            match inlet.from.poll_recv(cx) {
                Poll::Ready(Some(piece)) => inlet.next = Some(piece),
                Poll::Ready(None) if inlet.lost.load(Ordering::SeqCst) => return Poll::Ready(Err(lost())),
                Poll::Ready(None) => return Poll::Ready(Ok(StreamResult::Dropped)),
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if destination.remaining(store) != Some(0)
            && let Some(piece) = inlet.next.take()
        {
            destination.set_buffer(piece.into());
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// The end of a future in the store of its writer.
struct Giver<T> {
    to: Option<oneshot::Sender<T>>,
    _end: End,
}

impl<T: Element> FutureConsumer<CallState> for Giver<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, CallState>,
        mut source: Source<'_, T>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut given = None;
        source.read(&mut store, &mut given)?;
        if let (Some(value), Some(to)) = (given, self.get_mut().to.take()) {
            // Nobody waits for it any more.
            let _unwanted = to.send(value);
        }
        Poll::Ready(Ok(()))
    }
}

/// A future between two stores.
struct FutureOnItsWay<T> {
    from: oneshot::Receiver<T>,
}

impl<T: Element> Travelling for FutureOnItsWay<T> {
    fn put(self: Box<Self>, mut store: StoreContextMut<'_, CallState>) -> wasmtime::Result<Val> {
        let end = End::new(Arc::clone(&store.data().pipes), false);
        let mut from = self.from;
        let reader = FutureReader::new(&mut store, async move {
            let _end = end;
            (&mut from).await.map_err(|_| lost())
        })?;
        Ok(Val::Future(reader.try_into_future_any(&mut store)?))
    }
}

/// Why a reader fails whose writer is lost.
fn lost() -> wasmtime::Error {
    wasmtime::Error::msg("the writer of a stream or future has ended before it")
}
