//! Tells, once, that the host is connected and takes commands: in the log, and in a file for whoever started it.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use lath_control_api::HostId;
use lath_control_api_client::Connection;
use tokio_util::sync::CancellationToken;

use crate::files;

/// Longest wait for the server to have our subscriptions, before the next try.
const CONFIRM: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) identity: (HostId, String),
    pub(crate) file: Option<PathBuf>,
    pub(crate) connection: Connection,
}

impl Ready {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.wait() => self.tell(),
        }
    }

    async fn wait(&self) {
        let mut link = self.connection.link();
        loop {
            if link.wait_for(|link| link.up).await.is_err() {
                return std::future::pending().await;
            }
            // Without an answer on a connection that is up, the server is slow, or does not let us write to ourselves.
            if self.connection.round_trip(CONFIRM).await.is_some() || self.connection.is_up() {
                return;
            }
        }
    }

    fn tell(&self) {
        let (host, name) = &self.identity;
        tracing::info!(%host, name, "ready");
        let Some(path) = &self.file else { return };
        let text = serde_json::json!({ "host": host, "name": name, "pid": std::process::id() }).to_string();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        if let Err(error) = files::write_atomically(&path, text.as_bytes(), &OpenOptions::new()) {
            tracing::error!(file = %path.display(), %error, "the ready file cannot be written");
        }
    }
}
