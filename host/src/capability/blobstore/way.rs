//! How one provider is asked, in the version of the interface that it serves.
//!
//! Providers serve 0.2.0 or only 0.1.0, and none says which. The newer version is tried first; that nobody serves it is
//! told at once, and before anything was done. What was found is remembered for a while, not for ever: the provider may
//! be another one by then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lath_control_api::LinkSpec;
use lath_wrpc::blobstore::{Ask, BlobError, Version};
use lath_wrpc::{FailureCode, Invocation, InvokeError, Progress, StreamReader};

use super::{Calls, Outcome};
use crate::engine::{CallContext, Caller, UnitIdentity, bounded};
use crate::provider::Called;
use crate::wrpc_call::{Outgoing, Streams, chain, deadline};

/// Longest wait for an answer that needs no more than a look.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a provider is asked in the older version first, once it was found to serve that alone.
const OLDER_FOR: Duration = Duration::from_secs(60);
/// Rounds through both versions while nobody serves either.
const ROUNDS: usize = 3;
/// Pause between them: a process that is replaced is away for a moment.
const PAUSE: Duration = Duration::from_millis(20);

/// The provider of one link.
pub(super) struct Way {
    calls: Arc<Calls>,
    caller: Caller,
    link: LinkSpec,
    /// Until when the older version is tried first.
    older: Mutex<Option<Instant>>,
}

/// A call that the provider has taken.
pub(super) struct Taken {
    pub(super) version: Version,
    pub(super) invocation: Invocation,
    /// What it said first.
    pub(super) first: Progress,
    pub(super) called: Option<Called>,
}

/// What the provider answered.
pub(super) struct Answer {
    pub(super) version: Version,
    pub(super) results: Bytes,
    pub(super) streams: Vec<StreamReader>,
    /// Keeps the process, for as long as the streams are read.
    pub(super) called: Option<Called>,
}

/// Why a try came to nothing.
enum Miss {
    /// Nobody serves this version.
    Unserved(String),
    /// It did not start, and may when it is tried again.
    NotNow(String),
    /// It is over.
    Failed(String),
}

impl Way {
    pub(super) fn new(calls: Arc<Calls>, unit: &UnitIdentity, link: &LinkSpec) -> Self {
        let caller = Caller { app: unit.app.clone(), id: unit.id.clone(), revision: unit.revision };
        Self { calls, caller, link: link.clone(), older: Mutex::new(None) }
    }

    /// Asks, and waits for the results; streams may still come.
    pub(super) async fn ask(&self, ask: Ask<'_>, ctx: &CallContext) -> Outcome<Answer> {
        let taken = self.take(ask, ctx).await?;
        taken.answer().await.map_err(|error| self.told(&error.into()))
    }

    /// Asks what is answered by results alone.
    pub(super) async fn plain<T>(
        &self,
        ask: Ask<'_>,
        ctx: &CallContext,
        read: impl FnOnce(&[u8]) -> Result<T, BlobError>,
    ) -> Outcome<T> {
        let answer = self.ask(ask, ctx).await?;
        read(&answer.results).map_err(|error| self.told(&error))
    }

    /// Asks, and waits until the provider takes the call.
    pub(super) async fn take(&self, ask: Ask<'_>, ctx: &CallContext) -> Outcome<Taken> {
        let (params, ctx) = (ask.params(), in_time(&ask, ctx));
        let mut missed = String::new();
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            for version in self.versions() {
                match self.once(version, &ask, params.clone(), &ctx).await {
                    Ok(taken) => {
                        self.note(version);
                        return Ok(taken);
                    }
                    // The newer version is the one to be named.
                    Err(Miss::Unserved(_)) if !missed.is_empty() => {}
                    Err(Miss::Unserved(why)) => missed = why,
                    Err(Miss::NotNow(why)) => {
                        missed = why;
                        break;
                    }
                    Err(Miss::Failed(why)) => return Err(why),
                }
            }
        }
        Err(missed)
    }

    async fn once(
        &self,
        version: Version,
        ask: &Ask<'_>,
        params: Bytes,
        ctx: &CallContext,
    ) -> Result<Taken, Miss> {
        let (instance, function) = (version.instance(), ask.function());
        let call = Outgoing { caller: &self.caller, link: &self.link, instance, function, params, ctx };
        let streams = Streams { params: ask.streams(), results: ask.result_streams(version) };
        let (mut invocation, called) = self
            .calls
            .start(&call, streams)
            .await
            .map_err(|error| Miss::Failed(self.unasked(&error.to_string())))?;
        match invocation.next().await {
            Ok(first) => Ok(Taken { version, invocation, first, called }),
            Err(error) => {
                let why = self.unasked(&chain(&error));
                // By a refusal a host says it that has sent the call on to its process.
                let unserved = match &error {
                    InvokeError::Rejected(failure) => failure.code == FailureCode::BadParams,
                    error => matches!(error, InvokeError::NotConnected(_)),
                };
                Err(match (unserved, error.may_retry()) {
                    (true, _) => Miss::Unserved(why),
                    (false, true) => Miss::NotNow(why),
                    (false, false) => Miss::Failed(why),
                })
            }
        }
    }

    /// The versions in the order in which they are tried.
    fn versions(&self) -> [Version; 2] {
        let older = *self.older.lock().unwrap_or_else(PoisonError::into_inner);
        if older.is_some_and(|until| Instant::now() < until) {
            [Version::V0_1_0, Version::V0_2_0]
        } else {
            [Version::V0_2_0, Version::V0_1_0]
        }
    }

    fn note(&self, version: Version) {
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        *older = match (version, *older) {
            (Version::V0_2_0, _) => None,
            // Not longer and longer, or it would never be tried again.
            (Version::V0_1_0, Some(until)) if Instant::now() < until => Some(until),
            (Version::V0_1_0, _) => Instant::now().checked_add(OLDER_FOR),
        };
    }

    /// What a component reads of a failure: the provider's own words where it has said any.
    pub(super) fn told(&self, error: &BlobError) -> String {
        let provider = &self.link.target_name;
        match error {
            BlobError::Refused(words) => bounded(words),
            BlobError::Answer(error) => {
                format!("the provider {provider} gave no answer: {}", chain(error))
            }
            BlobError::Stream(error) => {
                format!("what streams from or to the provider {provider} was cut off: {}", chain(error))
            }
        }
    }

    fn unasked(&self, why: &str) -> String {
        format!("the provider {} cannot be asked: {why}", self.link.target_name)
    }
}

impl Taken {
    /// Waits for the results of a call without a stream among its parameters.
    async fn answer(self) -> Result<Answer, InvokeError> {
        let Self { version, mut invocation, first, called } = self;
        let (results, streams) = results(first, &mut invocation).await?;
        Ok(Answer { version, results, streams, called })
    }
}

/// Waits for the results, from what came first on.
pub(super) async fn results(
    first: Progress,
    invocation: &mut Invocation,
) -> Result<(Bytes, Vec<StreamReader>), InvokeError> {
    let mut next = first;
    loop {
        match next {
            Progress::Results(results, streams) => return Ok((results, streams)),
            Progress::Accepted(_) => next = invocation.next().await?,
        }
    }
}

/// A call has the time of whoever makes it; what needs no more than a look has less, so that a provider that is silent
/// is an error in the component and not its end.
fn in_time(ask: &Ask<'_>, ctx: &CallContext) -> CallContext {
    let due = match ask {
        Ask::ContainerExists(_)
        | Ask::CreateContainer(_)
        | Ask::GetContainerInfo(_)
        | Ask::ListContainerObjects(_)
        | Ask::DeleteObject(_)
        | Ask::GetContainerData(..)
        | Ask::GetObjectInfo(_)
        | Ask::HasObject(_) => (Instant::now() + PATIENCE).min(deadline(ctx)),
        // These take as long as there are data.
        Ask::ClearContainer(_)
        | Ask::DeleteContainer(_)
        | Ask::CopyObject(..)
        | Ask::MoveObject(..)
        | Ask::DeleteObjects(..)
        | Ask::WriteContainerData(_) => deadline(ctx),
    };
    CallContext { deadline: Some(due), ..ctx.clone() }
}
