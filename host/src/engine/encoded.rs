//! Calls whose values come or go as the bytes of the wire, because one of their ends is on another host.
//!
//! Bytes in the signatures that `typed` lists are copied as they are; any other values pass through dynamic ones.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use lath_wrpc::codec::{self, DecodeError, EncodeError};

use crate::engine::exports::ExportedFunctionId;
use crate::engine::prepared::host_failed;
use crate::engine::typed::Values;
use crate::engine::{CallContext, CallError, InFlight};

/// Why a call that came in bytes has none for an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// They are not parameters of the function.
    #[error(transparent)]
    Params(#[from] DecodeError),
    /// The call has failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What the function has given has no bytes.
    #[error(transparent)]
    Results(#[from] EncodeError),
}

/// Answers a call of a function whose values pass whole.
pub(crate) type Answer = for<'a> fn(
    InFlight,
    ExportedFunctionId,
    &'a [u8],
    CallContext,
) -> BoxFuture<'a, Result<Bytes, Unanswered>>;

impl InFlight {
    /// As [`InFlight::call`] with the encoded tuple of parameters, for that of the results.
    pub(crate) async fn call_encoded(
        self,
        function: ExportedFunctionId,
        params: &[u8],
        ctx: CallContext,
    ) -> Result<Bytes, Unanswered> {
        let prepared = Arc::clone(self.prepared());
        let Some(found) = prepared.exports().get(function) else {
            return Err(CallError::NoSuchFunction("it belongs to another component".into()).into());
        };
        if let Some(answer) = found.answer {
            return answer(self, function, params, ctx).await;
        }
        let params = codec::decode(params, &found.types.params)?;
        let results = self.call(function, params, ctx).await?;
        Ok(codec::encode(&results, &found.types.results)?)
    }
}

/// The way of functions that take `P` and give `R`.
pub(crate) fn answer<P: Values, R: Values>(
    callee: InFlight,
    function: ExportedFunctionId,
    params: &[u8],
    ctx: CallContext,
) -> BoxFuture<'_, Result<Bytes, Unanswered>> {
    Box::pin(async move {
        let params = codec::decode_whole::<P>(params)?;
        let prepared = Arc::clone(callee.prepared());
        let call = Box::pin(async move { callee.call_typed::<P, R>(function, params, ctx).await });
        let results = prepared.run(call).await.unwrap_or_else(|| Err(host_failed()))?;
        Ok(codec::encode_whole(&results)?)
    })
}

/// What it means to a caller that its parameters have no bytes.
pub(crate) fn unsent(error: &EncodeError) -> CallError {
    CallError::Failed(error.to_string())
}

/// What it means to a caller that an answer is not of the types that it knows.
pub(crate) fn unread(error: &DecodeError) -> CallError {
    CallError::Failed(match error {
        // Short results are how a callee of 1.x shows that it failed.
        DecodeError::Truncated => "the target failed without a reason".to_owned(),
        other => format!("the target gave results of other types: {other}"),
    })
}
