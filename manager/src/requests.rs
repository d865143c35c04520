//! Requests on a subject, of which each manager of the lattice takes some: one task each, at most [`AT_ONCE`] of them.

use std::time::Duration;

use futures::StreamExt;
use lath_control_api_client::async_nats::{Message, Subscriber};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// Requests that are worked on at once; further ones wait in the connection.
const AT_ONCE: usize = 32;
/// Time for the last requests to come in after the server was told to send no more.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Requests as they come in.
#[derive(Debug)]
pub(crate) struct Requests(Subscriber);

impl Requests {
    /// Begins to take requests on `subject`, each of which one member of `group` gets.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(crate) async fn listen(context: &Context, subject: String, group: String) -> anyhow::Result<Self> {
        let requests = context.client.connection().nats().queue_subscribe(subject, group).await?;
        Ok(Self(requests))
    }

    /// Answers until `shutdown`, then finishes what was taken on.
    pub(crate) async fn run<F>(mut self, shutdown: CancellationToken, answer: impl Fn(Message) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = tasks.join_next() => {}
                request = self.0.next(), if tasks.len() < AT_ONCE => match request {
                    Some(request) => drop(tasks.spawn(answer(request))),
                    None => break,
                },
            }
        }
        // What the server has sent us already is answered; the next request goes to another manager.
        let rest = async {
            let _ = self.0.drain().await;
            while let Some(request) = self.0.next().await {
                tasks.spawn(answer(request));
            }
        };
        // Without a connection nothing says that this was the last one.
        let _ = tokio::time::timeout(LAST_REQUESTS, rest).await;
        while tasks.join_next().await.is_some() {}
    }
}
