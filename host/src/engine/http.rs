//! An HTTP request answered by a component, head and body streaming both ways.
//!
//! Until the head of its answer the guest runs within the request: dropped, it is gone. What is left of it then
//! goes on in a task of its own, as it must be stopped in time even if nobody reads the body; most guests have
//! ended by then and need no task. A body that is dropped early gives the guest a moment to end. The call is in
//! flight until the guest has ended and the body was read or dropped. A failure is counted when it happens, a good
//! end when all of that is over.

mod answer;

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use crate::engine::body::{Body, BodyError, Bounded};
use crate::engine::call::{check_hops, log_trap};
use crate::engine::counts::{Answered, unfinished};
use crate::engine::exports::HttpExport;
use crate::engine::failure::bounded;
use crate::engine::http_p3;
use crate::engine::kept::Live;
use crate::engine::prepared::Admitted;
use crate::engine::watch::Watch;
use crate::engine::{CallContext, CallError, InFlight, Outcome, Prepared};

use answer::Answer;

/// Authority of a request that names none, as HTTP/1.0 allows.
const NO_AUTHORITY: http::HeaderValue = http::HeaderValue::from_static("localhost");

/// An answer whose head is there.
pub(super) struct Given {
    pub(super) response: Response<WasiBody>,
    /// Learns that the body was read, where the guest asks for that.
    pub(super) told: Option<oneshot::Sender<()>>,
}

/// The head of an answer, or why there is none.
type Head = Result<Given, NoAnswer>;

/// Why a guest that has answered gave no answer.
#[derive(Debug)]
enum NoAnswer {
    /// Its body is announced with more bytes than it may have.
    TooLarge(u64),
    /// The error that the component answers with.
    Error(String),
}

/// What the task of the guest and the reader of the answer share. The call is over when both have let go of it.
struct Exchange {
    begun: Instant,
    /// When the call must have ended.
    due: Instant,
    /// Whether its end is still to be counted.
    counts: AtomicBool,
    /// The head of the answer, once it was given.
    head: OnceLock<Answered>,
    /// How the guest ended. Set before its store is dropped, hence before the body can end because of it.
    ended: OnceLock<Result<(), CallError>>,
    /// The body of the request broke off on its way here.
    cut: AtomicBool,
    /// The body of the request had more bytes than the component takes, and was cut off there.
    oversized: AtomicBool,
    /// The body of the answer broke off though the guest ended well: it left it unfinished.
    broken: AtomicBool,
    /// Nobody reads the body of the answer any more.
    unread: AtomicBool,
    /// And that was before its end: the caller has left.
    left: AtomicBool,
    call: InFlight,
}

impl InFlight {
    /// Has the component answer a request. The body of the answer ends in an error when the component fails
    /// after it has sent the head.
    ///
    /// # Errors
    /// As [`CallError`] tells, when there is no head of an answer.
    pub async fn http(self, request: Request<Body>, ctx: CallContext) -> Result<Response<Body>, CallError> {
        self.prepared.counters.begun();
        Exchange::new(self, &ctx, true).answer(request, ctx).await
    }

    /// As [`InFlight::http`] for requests that no user made: they do not show in the counts.
    pub(crate) async fn http_uncounted(
        self,
        request: Request<Body>,
        ctx: CallContext,
    ) -> Result<Response<Body>, CallError> {
        Exchange::new(self, &ctx, false).answer(request, ctx).await
    }
}

impl Exchange {
    fn new(call: InFlight, ctx: &CallContext, counts: bool) -> Arc<Self> {
        let begun = Instant::now();
        Arc::new(Self {
            begun,
            due: call.prepared.deadline_from(begun, ctx),
            counts: AtomicBool::new(counts),
            head: OnceLock::new(),
            ended: OnceLock::new(),
            cut: AtomicBool::new(false),
            oversized: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            left: AtomicBool::new(false),
            call,
        })
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Body>,
        ctx: CallContext,
    ) -> Result<Response<Body>, CallError> {
        let (sender, mut head) = oneshot::channel();
        let head_only = request.method() == Method::HEAD;
        let apart = self.call.prepared.runs_apart(&ctx);
        // A panic of the host is that request's alone (I2).
        let run = AssertUnwindSafe(Arc::clone(&self).run(request, ctx, sender)).catch_unwind();
        let (prepared, run) = (Arc::clone(&self.call.prepared), Box::pin(run));
        let mut guest = Guest::begin(async move { drop(prepared.run(run).await) }, apart);
        guest.go_on();
        let answered = match head.try_recv() {
            Ok(answered) => Some(answered),
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => tokio::select! {
                biased;
                () = &mut guest => head.await.ok(),
                answered = &mut head => answered.ok(),
            },
        };
        if answered.is_none() {
            // It has thrown the place for its answer away; how it ends says more.
            (&mut guest).await;
        }
        let oversized = self.oversized.load(Ordering::Relaxed);
        let answer = match answered {
            // A guest that could not read on has mostly nothing better to say than that it failed.
            Some(Ok(given)) if oversized && given.response.status().is_server_error() => {
                Err(self.too_large())
            }
            Some(Ok(Given { response, told })) => {
                let missing = if head_only { Some(0) } else { announced(&response) };
                let (head, inner) = response.into_parts();
                let mut answer = Answer::new(inner, self, missing, told);
                let body = if head_only {
                    answer.boxed_unsync()
                } else {
                    let ready = answer.ready(&mut guest);
                    answer.after(ready)
                };
                Ok(Response::from_parts(head, body))
            }
            Some(Err(_)) | None if oversized => Err(self.too_large()),
            Some(Err(NoAnswer::TooLarge(bytes))) => Err(CallError::Failed(format!(
                "the body of the answer has {bytes} bytes, which is too large"
            ))),
            Some(Err(NoAnswer::Error(code))) => {
                Err(CallError::Failed(bounded(&format!("the component answered with the error {code}"))))
            }
            None => match self.ended.get() {
                Some(Err(error)) => Err(error.clone()),
                Some(Ok(())) | None => Err(CallError::Trap("its handler ended without an answer".into())),
            },
        };
        // `Prepared::idle` waits for it; its deadline, a stop of its unit, or a reader that is gone ends it.
        guest.leave();
        answer
    }

    /// Runs the guest to its end.
    async fn run(self: Arc<Self>, request: Request<Body>, ctx: CallContext, head: oneshot::Sender<Head>) {
        let ended = self.handle(request, ctx, head).await;
        match (ended, self.head.get()) {
            // Its answer may still be read, and break off.
            (Ok(()), Some(_)) => {}
            (Ok(()), None) => self.count(self.blame(Outcome::Trapped)),
            (Err(error), _) => self.count(self.blame(error.outcome())),
        }
    }

    /// Notes the head of the answer and passes it on.
    fn answered(&self, head: Head, head_only: bool, asker: oneshot::Sender<Head>) {
        let most = self.call.prepared.unit.limits.response_body_bytes;
        let head = head.and_then(|given| match announced(&given.response) {
            Some(bytes) if bytes > most && !head_only => Err(NoAnswer::TooLarge(bytes)),
            Some(_) | None => Ok(given),
        });
        let outcome = match &head {
            Ok(given) if given.response.status().is_server_error() => self.blame(Outcome::Answered5xx),
            // Such a head announces another one, which does not come.
            Ok(given) if given.response.status().is_informational() => Outcome::Failed,
            Ok(_) => Outcome::Succeeded,
            Err(_) => self.blame(Outcome::Failed),
        };
        let _only = self.head.set(Answered { outcome, after: self.begun.elapsed() });
        // Whoever asked may have gone away; the guest learns of it when it writes.
        let _unread = asker.send(head);
    }

    /// What a bad end counts as: a guest that lost its caller on the way may well fail over it.
    fn blame(&self, outcome: Outcome) -> Outcome {
        let lost =
            [&self.cut, &self.oversized, &self.left].into_iter().any(|flag| flag.load(Ordering::Relaxed));
        match (outcome, self.head.get()) {
            (Outcome::Overloaded, _) => outcome,
            // It was seen to be bad before.
            (_, Some(head)) if lost && head.outcome != Outcome::Succeeded => head.outcome,
            _ if lost => Outcome::Abandoned,
            _ => outcome,
        }
    }

    /// Counts the end of the call, if nothing else was counted.
    fn count(&self, outcome: Outcome) {
        self.count_after(outcome, self.begun.elapsed());
    }

    fn count_after(&self, outcome: Outcome, time: Duration) {
        if self.counts.swap(false, Ordering::Relaxed) {
            self.call.prepared.counters.ended(outcome, time);
        }
    }

    /// Makes an instance and calls its handler.
    async fn handle(
        self: &Arc<Self>,
        request: Request<Body>,
        mut ctx: CallContext,
        asker: oneshot::Sender<Head>,
    ) -> Result<(), CallError> {
        let prepared = &*self.call.prepared;
        let watch = prepared
            .watch(self.due)
            .unless_unread(&self.unread)
            .answered_by(ctx.answer_by.take(), &self.head);
        // What is known to be too large needs no instance to be refused.
        if http_body::Body::size_hint(request.body()).lower() > prepared.unit.limits.request_body_bytes {
            return self.end(Err(self.too_large()));
        }
        let _instance = match self.admit(&ctx, &watch).await {
            Ok(instance) => instance,
            Err(error) => return self.end(Err(error)),
        };
        let Some(export) = &prepared.exports().http else {
            let missing = "the component exports no handler of wasi:http";
            return self.end(Err(CallError::NoSuchFunction(missing.into())));
        };
        ctx.deadline = Some(self.due);
        let head_only = request.method() == Method::HEAD;
        let request = self.incoming(request);
        let exchange = Arc::clone(self);
        let on_head = move |head: Result<_, String>| {
            exchange.answered(head.map_err(NoAnswer::Error), head_only, asker);
        };
        let mut live = prepared.live(ctx);
        // Declared after the store, hence dropped before it: a panic of the host does not pass for a good end.
        let _cut = Cut(self);
        let ran = {
            let guest = pin!(async {
                match export {
                    HttpExport::Incoming(proxy) => run_p2(proxy, prepared, &mut live, request, on_head).await,
                    // On the heap: whatever moves the call about would move the room for this, too.
                    HttpExport::Handler(service) => {
                        Box::pin(http_p3::run(service, prepared, &mut live, request, on_head)).await
                    }
                }
            });
            watch.over(prepared.in_turn(guest)).await
        };
        self.end(match ran {
            Ok(Ok(())) => {
                prepared.keep(live);
                Ok(())
            }
            Ok(Err(error)) => {
                log_trap(prepared, live.store.data(), &error);
                Err(watch.verdict(CallError::of_guest(&error, live.store.data().memory.refusal())))
            }
            Err(stopped) => Err(stopped),
        })
    }

    async fn admit(&self, ctx: &CallContext, watch: &Watch<'_>) -> Result<Admitted<'_>, CallError> {
        let prepared = &*self.call.prepared;
        check_hops(ctx, &prepared.unit.identity.id)?;
        prepared.admit(ctx, watch).await
    }

    /// The request as the guest gets it.
    fn incoming(self: &Arc<Self>, mut request: Request<Body>) -> Request<Body> {
        name_authority(&mut request);
        if http_body::Body::is_end_stream(request.body()) {
            return request;
        }
        let exchange = Arc::clone(self);
        let most = self.call.prepared.unit.limits.request_body_bytes;
        request.map(|body| {
            Bounded::new(body, most)
                .map_err(move |error| {
                    match error {
                        BodyError::Connection(_) => exchange.cut.store(true, Ordering::Relaxed),
                        BodyError::TooLarge(_) => exchange.oversized.store(true, Ordering::Relaxed),
                        BodyError::Call(_) => {}
                    }
                    error
                })
                .boxed_unsync()
        })
    }

    /// The caller has sent more than the component takes.
    fn too_large(&self) -> CallError {
        let most = self.call.prepared.unit.limits.request_body_bytes;
        CallError::TooLarge(format!("the body of a request may have {most} bytes"))
    }

    /// Notes how the guest ended, for whoever reads the body.
    fn end(&self, ended: Result<(), CallError>) -> Result<(), CallError> {
        let _first = self.ended.set(ended.clone());
        ended
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        match (self.ended.get(), self.head.get()) {
            (Some(Ok(())), Some(head)) => {
                let outcome = match head.outcome {
                    Outcome::Succeeded if set(&self.broken) => self.blame(Outcome::Failed),
                    Outcome::Succeeded if set(&self.left) => Outcome::Abandoned,
                    outcome => outcome,
                };
                self.count_after(outcome, head.after);
            }
            // Nobody waited for the guest any more.
            (Some(_) | None, _) => self.count(unfinished(self.due)),
        }
    }
}

/// Has a guest of WASI 0.2 answer, to the end of its handler.
async fn run_p2(
    proxy: &ProxyIndices,
    prepared: &Prepared,
    live: &mut Live,
    request: Request<Body>,
    on_head: impl FnOnce(Result<Given, String>) + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    let instance = live.instance(prepared).await?;
    let mut http = live.store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let answer = http.new_response_outparam_from_callback(move |head| {
        let given = head.map(|response| Given { response, told: None });
        on_head(given.map_err(|code| format!("{code:?}")));
    })?;
    let handler = match &mut live.handler.incoming {
        Some(found) => found,
        none => none.insert(proxy.load(&mut live.store, &instance)?),
    };
    handler.wasi_http_incoming_handler().call_handle(&mut live.store, request, answer).await
}

/// The guest of an exchange: within the request, or in a task of its own.
enum Guest {
    /// On the heap, because it may move into a task.
    Here(BoxFuture<'static, ()>),
    Apart(AbortOnDropHandle<()>),
    Ended,
}

impl Guest {
    fn begin(run: impl Future<Output = ()> + Send + 'static, apart: bool) -> Self {
        let run = run.boxed();
        if apart { Self::Apart(AbortOnDropHandle::new(tokio::spawn(run))) } else { Self::Here(run) }
    }

    const fn has_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// Has it go on as far as it comes at once. What it waits for then wakes nobody: it is for whoever polls it next. The task that
    /// is here anyway would otherwise be woken by each step of the guest, and other threads with it.
    fn go_on(&mut self) {
        let _ended = self.poll_unpin(&mut Context::from_waker(Waker::noop()));
    }

    /// Lets it go on by itself.
    fn leave(self) {
        match self {
            Self::Here(run) => drop(tokio::spawn(run)),
            Self::Apart(task) => drop(task.detach()),
            Self::Ended => {}
        }
    }
}

impl Future for Guest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = match &mut *self {
            Self::Here(run) => run.as_mut().poll(cx),
            Self::Apart(task) => Pin::new(task).poll(cx).map(drop),
            Self::Ended => Poll::Ready(()),
        };
        if polled.is_ready() {
            *self = Self::Ended;
        }
        polled
    }
}

/// Notes a bad end when nothing else was noted.
struct Cut<'a>(&'a Exchange);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        if self.0.ended.get().is_some() {
            return;
        }
        let failed = CallError::Failed("the host failed in the call".into());
        if self.0.ended.set(Err(failed)).is_ok() && std::thread::panicking() {
            self.0.count(Outcome::Failed);
        }
    }
}

/// Bytes of the body that a head announces.
fn announced(head: &Response<WasiBody>) -> Option<u64> {
    if [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status()) {
        return Some(0);
    }
    head.headers().get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Gives a request an authority when it has none: guests may rely on one.
fn name_authority(request: &mut Request<Body>) {
    if request.uri().authority().is_none() && !request.headers().contains_key(http::header::HOST) {
        request.headers_mut().insert(http::header::HOST, NO_AUTHORITY);
    }
}
