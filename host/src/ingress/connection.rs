//! One HTTP connection, version 1 or 2, from its first byte to its end.
//!
//! Connections do not belong to routes or revisions: each request looks its target up anew.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::body::Keeping;
use crate::ingress::answer::Front;
use crate::ingress::pulse::Pulse;

/// Largest head of a request, in bytes; also the most that is buffered of one.
const HEAD: usize = 64 << 10;
/// Streams of one HTTP/2 connection at the same time.
const STREAMS: u32 = 128;
/// Test of a silent HTTP/2 connection, and how long its answer may take.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(15);
/// When we leave, how long a connection that is being kept alive may still bring a request: closing it at once
/// would break the request that its client is just sending.
const LINGER: Duration = Duration::from_secs(2);

/// What the requests of one connection share. Nothing in it is written to by other connections.
struct Talk {
    address: SocketAddr,
    front: Arc<Front>,
    pulse: Pulse,
    /// We leave: answers say that they are the last. Whoever asked the token would take a lock for each request.
    leaving: AtomicBool,
}

/// A request whose answer is not written.
struct UnderWay(Arc<Talk>);

impl UnderWay {
    fn begin(talk: &Arc<Talk>) -> Self {
        talk.pulse.begin();
        Self(Arc::clone(talk))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.pulse.end();
    }
}

/// Serves the requests of a connection until it ends, or until `stop` and what is under way is finished.
pub(crate) async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    front: Arc<Front>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let talk = Arc::new(Talk { address, front, pulse: Pulse::default(), leaving: AtomicBool::new(false) });
    let service = service_fn(|request: Request<Incoming>| {
        let under_way = UnderWay::begin(&talk);
        async move {
            let talk = &under_way.0;
            let old = request.version() < Version::HTTP_2;
            if !old {
                talk.pulse.multiplexed();
            }
            let mut response = talk.front.answer(talk.address, request).await;
            if old && talk.leaving.load(Ordering::Relaxed) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Keeping::new(body, under_way)))
        }
    });
    let builder = builder(tasks);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let leaving = async {
        stop.cancelled().await;
        talk.leaving.store(true, Ordering::Relaxed);
        tokio::time::sleep(LINGER).await;
    };
    let ended = tokio::select! {
        // First what the next answer is to know.
        biased;
        () = leaving => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        ended = connection.as_mut() => ended,
        () = talk.pulse.lost() => return,
    };
    if let Err(error) = ended {
        // Clients come and go; what they were promised is counted with the call.
        tracing::trace!(%address, error, "a connection broke off");
    }
}

fn builder(tasks: TaskTracker) -> Builder<Owned> {
    let mut builder = Builder::new(Owned(tasks));
    builder.http1().max_buf_size(HEAD);
    let header_list = u32::try_from(HEAD).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(header_list)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}

/// Runs the tasks that an HTTP/2 connection needs as tasks of its listener, so that they have an owner.
#[derive(Debug, Clone)]
struct Owned(TaskTracker);

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
