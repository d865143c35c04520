//! How a linked call leaves a component: the words that engine and host exchange about it.
//!
//! No decision about where a call goes is made here; [`Targets`] makes it. The engine only asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use lath_control_api::{AppName, ComponentId, LinkSpec, Revision};
use lath_telemetry::TraceContext;
use wasmtime::component::Type;
use wasmtime_wasi_http::{Error, RequestOptions};

use crate::engine::handles::Handles;
use crate::engine::{Body, CallError, InFlight};

/// Most components that one call may pass through, so that a circle of links ends in an error instead of in
/// the exhaustion of the host. Real chains are a few hops long.
pub const MAX_HOPS: u32 = 32;

/// Who makes a linked call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The caller's app.
    pub app: AppName,
    /// The caller's id.
    pub id: ComponentId,
    /// The revision that the caller runs as; the callee of the same app is chosen by it.
    pub revision: Revision,
}

/// What travels along with a call, from where it entered to its last hop.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// When the call must have ended. The callee's own limit applies as well; the earlier one wins.
    pub deadline: Option<Instant>,
    /// When the head of an HTTP answer must be there, if its caller does not wait as long as the call may take.
    pub answer_by: Option<Instant>,
    /// The caller's trace.
    pub trace: Option<Arc<TraceContext>>,
    /// Components that the call has passed through before; refused at [`MAX_HOPS`].
    pub hops: u32,
}

impl CallContext {
    /// A call that begins here and must end within `time`.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(time), ..Self::default() }
    }
}

/// Types of a function, from its component.
#[derive(Debug, Clone)]
pub struct FunctionTypes {
    /// Types of the parameters, in order.
    pub params: Box<[Type]>,
    /// Types of the results, in order: none or one.
    pub results: Box<[Type]>,
    /// Whether it is an `async func`. That is how its caller waits for it, and nothing that its callee must share.
    pub is_async: bool,
    /// What they hold beside plain data.
    pub handles: Handles,
}

impl FunctionTypes {
    /// Whether values for `self` can be given to a function of `other` and its results taken back.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.params == other.params && self.results == other.results
    }
}

/// Finds who answers a linked call.
pub trait Targets: Send + Sync + 'static {
    /// Begins a call of `target` on this host, on the unit that suits `caller`; `None` when it does not serve here.
    fn local(&self, caller: &Caller, target: &ComponentId) -> Option<InFlight>;

    /// As [`Targets::local`], for a call that cannot leave this host: another revision here is better than none.
    fn beside(&self, caller: &Caller, target: &ComponentId) -> Option<InFlight> {
        self.local(caller, target)
    }

    /// Calls `function` of `instance` over `link` on another host.
    ///
    /// What comes is the encoded tuple of results (`lath_wrpc::codec`). The future ends by the deadline of `ctx` at the
    /// latest.
    fn remote<'a>(&'a self, call: RemoteCall<'a>) -> BoxFuture<'a, Result<Bytes, CallError>>;

    /// Has the target of a link answer an HTTP request on another host, or a provider send it out.
    ///
    /// The head of the answer is there by the deadline of `ctx` at the latest; its body may outlast that.
    fn remote_http<'a>(
        &'a self,
        request: RemoteRequest<'a>,
    ) -> BoxFuture<'a, Result<Response<Body>, RequestError>>;
}

/// Why a request over a link has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The call has failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The provider has taken the request, and this came of it outside.
    #[error("{0}")]
    Outside(Error),
}

/// One HTTP request that goes over a link and that this host cannot answer itself.
#[derive(Debug)]
pub struct RemoteRequest<'a> {
    /// Who sends it.
    pub caller: &'a Caller,
    /// The link that it goes over; names the target.
    pub link: &'a LinkSpec,
    /// The request.
    pub request: Request<Body>,
    /// Where the target is a provider that sends the request out: the times that its sender allows for that. None where
    /// the target answers it itself.
    pub outward: Option<RequestOptions>,
    /// Deadline, trace and hops of the call.
    pub ctx: CallContext,
}

/// One linked call that this host cannot answer itself.
#[derive(Debug)]
pub struct RemoteCall<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// The link that the call goes over; names the target.
    pub link: &'a LinkSpec,
    /// The interface as the caller imports it, with its version: `lath:demo/greeter@0.1.0`.
    pub instance: &'a str,
    /// The function in the interface.
    pub function: &'a str,
    /// The encoded tuple of parameters (`lath_wrpc::codec`).
    pub params: Bytes,
    /// Deadline, trace and hops of the call.
    pub ctx: CallContext,
}
