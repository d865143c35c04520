//! An HTTP request answered by a component, head and body streaming both ways.
//!
//! Until the head of its answer the guest runs within the request: dropped, it is gone. What is left of it then
//! goes on in a task of its own, as it must be stopped in time even if nobody reads the body; most guests have
//! ended by then and need no task. A body that is dropped early gives the guest a moment to end. The call is in
//! flight until the guest has ended and the body was read or dropped.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::engine::body::{Body, BodyError};
use crate::engine::call::{check_hops, log_trap};
use crate::engine::counts::Recorder;
use crate::engine::failure::bounded;
use crate::engine::prepared::Admitted;
use crate::engine::watch::Watch;
use crate::engine::{CallContext, CallError, InFlight, Outcome};

/// Authority of a request that names none, as HTTP/1.0 allows.
const NO_AUTHORITY: http::HeaderValue = http::HeaderValue::from_static("localhost");

type Head = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// What the task of the guest and the reader of the answer share.
struct Exchange {
    call: InFlight,
    counters: bool,
    /// How the guest ended. Set before its store is dropped, hence before the body can end because of it.
    ended: OnceLock<Result<(), CallError>>,
    /// Nobody reads the body any more.
    unread: AtomicBool,
}

impl InFlight {
    /// Has the component answer a request. The body of the answer ends in an error when the component fails
    /// after it has sent the head.
    ///
    /// # Errors
    /// As [`CallError`] tells, when there is no head of an answer.
    pub async fn http(self, request: Request<Body>, ctx: CallContext) -> Result<Response<Body>, CallError> {
        Exchange::new(self, true).answer(request, ctx).await
    }

    /// As [`InFlight::http`] for requests that no user made: they do not show in the counts.
    pub(crate) async fn http_uncounted(
        self,
        request: Request<Body>,
        ctx: CallContext,
    ) -> Result<Response<Body>, CallError> {
        Exchange::new(self, false).answer(request, ctx).await
    }
}

impl Exchange {
    fn new(call: InFlight, counters: bool) -> Arc<Self> {
        Arc::new(Self { call, counters, ended: OnceLock::new(), unread: AtomicBool::new(false) })
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Body>,
        ctx: CallContext,
    ) -> Result<Response<Body>, CallError> {
        let (sender, mut head) = oneshot::channel();
        // On the heap, because it may move into a task. A panic of the host is that request's alone (I2).
        let mut guest =
            Box::pin(AssertUnwindSafe(Arc::clone(&self).run(request, ctx, sender)).catch_unwind());
        let answered = tokio::select! {
            // The guest first: when it ends at once, there is nothing to leave to a task.
            biased;
            _ended = &mut guest => head.await,
            answered = &mut head => {
                if answered.is_ok() {
                    // `Prepared::idle` waits for it; its deadline, a stop of its unit, or a reader that is gone
                    // ends it.
                    tokio::spawn(guest);
                } else {
                    // It has thrown the place for its answer away; how it ends says more.
                    let _ended = guest.await;
                }
                answered
            }
        };
        match answered {
            Ok(Ok(response)) => {
                Ok(response.map(|inner| Answer { inner, exchange: self, ended: false }.boxed_unsync()))
            }
            Ok(Err(code)) => {
                Err(CallError::Failed(bounded(&format!("the component answered with the error {code:?}"))))
            }
            Err(_no_head) => match self.ended.get() {
                Some(Err(error)) => Err(error.clone()),
                Some(Ok(())) | None => Err(CallError::Trap("its handler ended without an answer".into())),
            },
        }
    }

    /// Runs the guest to its end.
    async fn run(self: Arc<Self>, request: Request<Body>, ctx: CallContext, head: oneshot::Sender<Head>) {
        let prepared = &*self.call.prepared;
        let mut recorder = Recorder::start(self.counters.then_some(&prepared.counters));
        let begun = Instant::now();
        let answered = Arc::new(OnceLock::new());
        let noted = Arc::clone(&answered);
        let on_head = move |result: Head| {
            let outcome = match &result {
                Ok(response) if !response.status().is_server_error() => Outcome::Succeeded,
                // A component that answers 500 has answered, but not well: gates must see it.
                Ok(_) | Err(_) => Outcome::Failed,
            };
            let _only = noted.set((outcome, begun.elapsed()));
            // Whoever asked may have gone away; the guest learns of it when it writes.
            let _unread = head.send(result);
        };
        let ended = self.handle(request, ctx, on_head).await;
        let outcome = match (ended, answered.get()) {
            (Ok(()), Some((outcome, took))) => {
                recorder.answered_after(*took);
                *outcome
            }
            (Ok(()), None) => Outcome::Trapped,
            (Err(error), _) => error.outcome(),
        };
        recorder.end(outcome);
    }

    /// Makes an instance and calls its handler.
    async fn handle(
        &self,
        mut request: Request<Body>,
        mut ctx: CallContext,
        on_head: impl FnOnce(Head) + Send + Sync + 'static,
    ) -> Result<(), CallError> {
        let prepared = &*self.call.prepared;
        let watch = prepared.watch(prepared.deadline(&ctx)).unless_unread(&self.unread);
        let _instance = match self.admit(&ctx, &watch).await {
            Ok(instance) => instance,
            Err(error) => return self.end(Err(error)),
        };
        let Some(proxy) = &prepared.proxy else {
            let missing = "the component exports no wasi:http/incoming-handler";
            return self.end(Err(CallError::NoSuchFunction(missing.into())));
        };
        ctx.deadline = Some(watch.deadline());
        name_authority(&mut request);
        let mut store = prepared.unit.store(prepared.pre.engine(), ctx);
        // Declared after the store, hence dropped before it: a panic of the host does not pass for a good end.
        let _cut = Cut(self);
        let ran = watch
            .over(async {
                let mut http = store.data_mut().http();
                let request = http.new_incoming_request(Scheme::Http, request)?;
                let answer = http.new_response_outparam_from_callback(on_head)?;
                let handler = proxy.instantiate_async(&mut store).await?;
                handler.wasi_http_incoming_handler().call_handle(&mut store, request, answer).await
            })
            .await;
        self.end(match ran {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                log_trap(prepared, &error);
                Err(watch.verdict(CallError::of_guest(&error, store.data().memory.refusal())))
            }
            Err(stopped) => Err(stopped),
        })
    }

    async fn admit(&self, ctx: &CallContext, watch: &Watch<'_>) -> Result<Admitted<'_>, CallError> {
        let prepared = &*self.call.prepared;
        check_hops(ctx, &prepared.unit.identity.id)?;
        prepared.admit(ctx, watch).await
    }

    /// Notes how the guest ended, for whoever reads the body.
    fn end(&self, ended: Result<(), CallError>) -> Result<(), CallError> {
        let _first = self.ended.set(ended.clone());
        ended
    }
}

/// Notes a bad end when nothing else was noted.
struct Cut<'a>(&'a Exchange);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        let _only_if_unset = self.0.ended.set(Err(CallError::Failed("the host failed in the call".into())));
    }
}

/// Gives a request an authority when it has none: guests may rely on one.
fn name_authority(request: &mut Request<Body>) {
    if request.uri().authority().is_none() && !request.headers().contains_key(http::header::HOST) {
        request.headers_mut().insert(http::header::HOST, NO_AUTHORITY);
    }
}

/// The body of an answer as the guest writes it.
struct Answer {
    inner: HyperOutgoingBody,
    exchange: Arc<Exchange>,
    ended: bool,
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
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            // The engine ends the body in the same way when the guest has finished it and when its store went
            // away. A guest that fails right after it has finished is not told apart: the call failed anyway.
            None => match self.exchange.ended.get() {
                Some(Err(error)) => Some(Err(BodyError::Call(error.clone()))),
                Some(Ok(())) | None => None,
            },
            Some(Err(error)) => Some(Err(match self.exchange.ended.get() {
                Some(Err(error)) => BodyError::Call(error.clone()),
                Some(Ok(())) | None => {
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

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.ended {
            self.exchange.unread.store(true, Ordering::Relaxed);
        }
    }
}
