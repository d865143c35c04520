//! Asking a component how it is: before it gets traffic, and while it runs. A question shows in no count.
//!
//! What follows from an answer is not decided here, but for one thing: how many bad answers make a component ail.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{Probe, Reason};
use wasmtime::component::Val;

use crate::engine::prepared::host_failed;
use crate::engine::{CallContext, CallError, PrepareError, Prepared, body};

/// Pause between two tries of a probe before the start.
const PAUSE: Duration = Duration::from_millis(200);
/// Most bytes of an answer that go into a message.
const TEXT: usize = 200;
/// Traps and missed deadlines in a row, without a call in between that ended well, after which a component ails. One
/// request that a component cannot digest is mostly tried again a few times.
pub(crate) const BAD_CALLS: u32 = 5;
/// How long they count. Without calls nobody knows whether the next one would end well, and it is not to be called
/// unhealthy for ever for what one caller sent.
const BAD_FOR: Duration = Duration::from_secs(60);

impl Prepared {
    /// Asks until the answer is good, at most as often as the probe says.
    ///
    /// # Errors
    /// [`Reason::ProbeFailed`] with what was wrong with the last answer.
    pub async fn probe(self: &Arc<Self>, probe: &Probe) -> Result<(), PrepareError> {
        let mut last = String::new();
        for attempt in 1..=probe.attempts.max(1) {
            if attempt > 1 {
                tokio::time::sleep(PAUSE).await;
            }
            match self.ask(probe).await {
                Ok(()) => return Ok(()),
                Err(problem) => last = problem,
            }
        }
        let message = format!("{} was not answered well: {last}", question(probe));
        Err(PrepareError::new(Reason::ProbeFailed, message))
    }

    /// Asks again and again while the component runs. Never ends by itself; nothing is asked without a period.
    pub(crate) async fn keep_asking(self: &Arc<Self>, probe: &Probe) {
        let Some(period) = probe.period_ms.map(Duration::from_millis) else { return };
        let most = probe.failures.unwrap_or(Probe::DEFAULT_FAILURES).max(1);
        let mut bad = 0;
        loop {
            tokio::time::sleep(period).await;
            match self.ask(probe).await {
                Ok(()) => {
                    bad = 0;
                    self.probed.store(None);
                }
                Err(problem) => {
                    bad += 1;
                    if bad >= most {
                        let message = format!("{} fails: {problem}", question(probe));
                        self.probed.store(Some(Arc::new(message)));
                    }
                }
            }
        }
    }

    /// Why the component ails, if it does: what its calls or its probe say now.
    pub(crate) fn ails(&self) -> Option<(Reason, String)> {
        if let Some(message) = self.probed.load().as_deref() {
            return Some((Reason::ProbeFailed, message.clone()));
        }
        let bad = self.counters.bad_in_a_row(BAD_FOR);
        // No number that grows with each call: it would be news each time.
        let message = || format!("the last {BAD_CALLS} calls or more ended in traps or at their deadline");
        (bad >= BAD_CALLS).then(|| (Reason::CallsFail, message()))
    }

    async fn ask(self: &Arc<Self>, probe: &Probe) -> Result<(), String> {
        match &probe.function {
            Some(function) => self.ask_function(function, probe).await,
            None => self.ask_http(probe).await,
        }
    }

    async fn ask_http(self: &Arc<Self>, probe: &Probe) -> Result<(), String> {
        let call = self.begin().map_err(|closed| closed.to_string())?;
        let request = http::Request::get(&probe.path)
            .header(http::header::HOST, "probe.invalid")
            .body(body::empty())
            .map_err(|error| format!("the path is not valid: {error}"))?;
        let ctx = CallContext::within(Duration::from_millis(probe.timeout_ms));
        let response = call.http_uncounted(request, ctx).await.map_err(|error| error.to_string())?;
        let (head, answer) = response.into_parts();
        let text = body::beginning(answer, TEXT).await;
        if head.status.is_success() {
            // The whole answer counts: a body that breaks off is no good answer.
            return text.map(drop).map_err(|error| format!("status {}, then {error}", head.status.as_u16()));
        }
        let text = text.unwrap_or_default();
        Err(format!("status {}: {}", head.status.as_u16(), String::from_utf8_lossy(&text)))
    }

    async fn ask_function(self: &Arc<Self>, function: &str, probe: &Probe) -> Result<(), String> {
        let call = self.begin().map_err(|closed| closed.to_string())?;
        let (instance, name) = match function.rsplit_once('.') {
            Some((instance, name)) => (Some(instance), name),
            None => (None, function),
        };
        let found =
            self.exports().find(instance, name).and_then(|id| self.exports().get(id).map(|of| (id, of)));
        let (id, types) = match found {
            Some((id, exported)) if exported.types.params.is_empty() => (id, exported.types.results.len()),
            Some(_) => return Err("it takes parameters, and a probe gives none".into()),
            None => return Err("the component has no such function".into()),
        };
        let ctx = CallContext::within(Duration::from_millis(probe.timeout_ms));
        let asked = Box::pin(async move {
            let mut results = vec![Val::Bool(false); types];
            call.call_uncounted(id, &mut results, ctx).await.map(|()| results)
        });
        let answered: Result<Vec<Val>, CallError> =
            self.run(asked).await.unwrap_or_else(|| Err(host_failed()));
        match answered.map_err(|error| error.to_string())?.as_slice() {
            [] | [Val::Bool(true) | Val::Result(Ok(_))] => Ok(()),
            [Val::Bool(false)] => Err("it gives false".into()),
            [Val::Result(Err(Some(problem)))] => Err(format!("it gives the error {problem:?}")),
            [Val::Result(Err(None))] => Err("it gives an error".into()),
            _ => Err("it gives neither a truth value nor a result".into()),
        }
    }
}

/// What is asked, in words.
fn question(probe: &Probe) -> String {
    match &probe.function {
        Some(function) => format!("the call of {function}"),
        None => format!("GET {}", probe.path),
    }
}
