//! Waiting for the event that tells what became of a command: an acknowledgement only says that it was taken on.

use std::time::Duration;

use futures::StreamExt as _;
use lath_control_api_client::async_nats::Subscriber;
use lath_wasmcloud::{Event, EventData, subject};

use super::Lattice;
use crate::failure::{Exit, Failure};

/// Events of the lattice, from before the command.
pub(super) struct Events(Subscriber);

impl Lattice {
    pub(super) async fn events(&self) -> Result<Events, Failure> {
        let all = subject::event(self.session.target.lattice.as_str(), "*");
        let broken = |error: &dyn std::error::Error| Failure::new(Exit::Unreachable, error.to_string());
        let events = self.nats().subscribe(all).await.map_err(|error| broken(&error))?;
        self.nats().flush().await.map_err(|error| broken(&error))?;
        Ok(Events(events))
    }
}

impl Events {
    /// The end of what `judge` recognises in the events of a host; a failure when there is none in time.
    pub(super) async fn until(
        mut self,
        within: Duration,
        host: &str,
        what: &str,
        judge: impl Fn(&EventData) -> Option<Result<(), String>>,
    ) -> Result<(), Failure> {
        let found = async {
            while let Some(message) = self.0.next().await {
                let Ok(event) = serde_json::from_slice::<Event>(&message.payload) else { continue };
                if event.source != host {
                    continue;
                }
                if let Some(ended) = judge(&event.data) {
                    return ended;
                }
            }
            Err("the connection is closed".to_owned())
        };
        match tokio::time::timeout(within, found).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::new(Exit::Failed, format!("{what}: {error}"))),
            Err(_) => Err(Failure::new(
                Exit::TimedOut,
                format!("{what}: no word of it within {} s", within.as_secs_f32()),
            )
            .help("lath get inventory")),
        }
    }
}
