//! The first call of a function that is sent on to a process: whether anybody serves it there.
//!
//! The server tells a caller that nobody serves a function only when the caller itself has published the call, and here the
//! host does. So for the first call of each function the host listens in on the caller's inbox: what comes there is the
//! process taking the call, or the server saying that there is nobody, which is passed on. From then on it is known.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use lath_wrpc::{Failure, FailureCode};
use tokio::time::timeout;

/// How long it is listened for what comes first.
const LISTEN: Duration = Duration::from_secs(2);
/// Most functions of processes that are known. What is forgotten is only listened for once more.
const MOST: usize = 10_000;

/// The functions that are known to be served, by their subjects.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<BTreeSet<String>>>);

/// A first call that is about to be sent on.
pub(super) struct First {
    nats: async_nats::Client,
    known: Known,
    subject: String,
    reply: Subject,
    inbox: Subscriber,
}

impl Known {
    /// To be asked before a call is sent on; nothing where it is known that the function is served.
    pub(super) async fn first(
        &self,
        nats: &async_nats::Client,
        subject: &str,
        reply: &Subject,
    ) -> Option<First> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(subject) {
            return None;
        }
        // Before the call on the same connection: the server has it when the call comes.
        let inbox = nats.subscribe(reply.clone()).await.ok()?;
        let (nats, subject, reply) = (nats.clone(), subject.to_owned(), reply.clone());
        Some(First { nats, known: self.clone(), subject, reply, inbox })
    }

    fn learn(&self, subject: String) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(subject);
    }
}

impl First {
    /// Listens for what comes first, and tells the caller if that is that nobody serves the function.
    pub(super) async fn listen(mut self) {
        let Ok(Some(first)) = timeout(LISTEN, self.inbox.next()).await else { return };
        if first.status != Some(StatusCode::NO_RESPONDERS) {
            return self.known.learn(self.subject);
        }
        let failure =
            Failure::new(FailureCode::BadParams, format!("the provider does not serve `{}`", self.subject));
        let told = self.nats.publish_with_headers(self.reply, failure.headers(), Bytes::new()).await;
        if told.is_err() {
            tracing::debug!("a caller could not be told that nobody serves its function");
        }
    }
}
