//! The statuses of apps on `wadm.status.{lattice}.{app}`, kept by the stream `wadm_status` as wadm keeps them: the last
//! ones of each app, however old.
//!
//! Only the manager that acts tells, and only what differs from what was told last, also by the manager before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::app::AppStatus;
use lath_control_api::{AppName, Generation};
use lath_control_api_client::async_nats::jetstream::{Context as JetStream, stream};
use lath_wasmcloud::wadm::Status;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::status;
use crate::api::read;
use crate::context::Context;
use crate::failpoint::Failpoint;

/// The stream of wadm; one that is there is used as it is.
const STREAM: &str = "wadm_status";
/// What it keeps.
const SUBJECTS: &str = "wadm.status.*.*";
/// Statuses of one app that it keeps.
const KEPT: i64 = 10;
/// Time for one request to the stream.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Tells how apps stand.
#[derive(Debug)]
pub(super) struct Stream {
    context: Arc<Context>,
    jetstream: JetStream,
    /// Whether the stream is known to be there.
    ready: bool,
    /// What was told of each app last.
    last: BTreeMap<AppName, Status>,
    /// Whether it was complained that the stream cannot be used.
    complained: bool,
}

impl Stream {
    /// Makes the stream if it is not there. When that fails now it is tried again with the first status.
    pub(super) async fn open(context: Arc<Context>) -> Self {
        let jetstream = context.client.connection().jetstream(TIMEOUT);
        let mut stream = Self { context, jetstream, ready: false, last: BTreeMap::new(), complained: false };
        if let Err(error) = stream.ensure().await {
            stream.complain(&error);
        }
        stream
    }

    /// Tells until `shutdown`.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut told = self.context.told.subscribe();
        while let Some(news) = shutdown.run_until_cancelled(told.recv()).await {
            match news {
                Ok(status) => self.tell(&status).await,
                Err(RecvError::Lagged(_)) => self.tell_all().await,
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Tells of every app, after news was missed.
    async fn tell_all(&mut self) {
        for status in read::list(&self.context).await.apps {
            self.tell(&status).await;
        }
    }

    async fn tell(&mut self, app: &AppStatus) {
        // What was never deployed has no status, by wadm.
        if app.generation == Generation(0) || self.context.standing.borrow().epoch().is_none() {
            self.last.remove(&app.app);
            return;
        }
        let subject = format!("wadm.status.{}.{}", self.context.client.subjects().lattice(), app.app);
        let status = status::of(&self.context, app).await;
        if let Err(error) = self.publish(&subject, app, &status).await {
            self.complain(&error);
            self.ready = false;
            self.last.remove(&app.app);
        } else {
            self.complained = false;
            self.last.insert(app.app.clone(), status);
        }
    }

    async fn publish(&mut self, subject: &str, app: &AppStatus, status: &Status) -> anyhow::Result<()> {
        if !self.ready {
            self.ensure().await?;
        }
        let before = match self.last.get(&app.app) {
            Some(before) => Some(before.clone()),
            None => self.kept(subject).await,
        };
        if before.as_ref() == Some(status) {
            return Ok(());
        }
        let payload = serde_json::to_vec(status)?;
        Failpoint::WadmStatus.before();
        self.jetstream.publish(subject.to_owned(), payload.into()).await?.await?;
        Failpoint::WadmStatus.after();
        Ok(())
    }

    fn complain(&mut self, error: &anyhow::Error) {
        if !self.complained {
            tracing::warn!(%error, "the stream {STREAM} takes no statuses; trying on with each new one");
        }
        self.complained = true;
    }

    async fn ensure(&mut self) -> anyhow::Result<()> {
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECTS.to_owned()],
            max_messages_per_subject: KEPT,
            allow_direct: true,
            ..stream::Config::default()
        };
        self.jetstream.get_or_create_stream(config).await?;
        self.ready = true;
        Ok(())
    }

    /// What the stream has of an app; nothing when it cannot be asked, so that one status too many is told.
    async fn kept(&self, subject: &str) -> Option<Status> {
        let stream = self.jetstream.get_stream(STREAM).await.ok()?;
        let last = stream.get_last_raw_message_by_subject(subject).await.ok()?;
        serde_json::from_slice(&last.payload).ok()
    }
}
