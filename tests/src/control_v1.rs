//! A tool of wasmCloud 1.x: sends requests of its control interface and hears its events, as raw JSON.

use std::time::Duration;

use futures::StreamExt as _;
use lath_control_api_client::async_nats::{Client, Subscriber};
use serde_json::{Value, json};

use crate::Lattice;

/// Longest wait for an answer or an event.
const PATIENCE: Duration = Duration::from_secs(20);

/// A tool, with all events since it was made.
#[derive(Debug)]
pub struct ToolV1 {
    nats: Client,
    events: Subscriber,
    seen: Vec<Value>,
}

impl ToolV1 {
    /// A tool of the lattice.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn of(lattice: &Lattice) -> Self {
        let nats = lattice.client().await.connection().nats().clone();
        let events = nats.subscribe("wasmbus.evt.default.*").await.expect("the server takes it");
        nats.flush().await.expect("the server answers");
        Self { nats, events, seen: Vec::new() }
    }

    /// The connection, for what is not asked here.
    #[must_use]
    pub const fn nats(&self) -> &Client {
        &self.nats
    }

    /// The answer to a request; `Null` is an empty payload. None when nobody listens there.
    ///
    /// # Panics
    /// When somebody listens and does not answer, or not with JSON.
    pub async fn ask_any(&self, subject: &str, payload: Vec<u8>) -> Option<Value> {
        let asked = self.nats.request(format!("wasmbus.ctl.v1.default.{subject}"), payload.into());
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {subject}")).ok()?;
        Some(serde_json::from_slice(&answer.payload).expect("an answer is JSON"))
    }

    /// The answer to a request that somebody must answer.
    ///
    /// # Panics
    /// When nobody does.
    pub async fn ask(&self, subject: &str, payload: &Value) -> Value {
        let payload = if payload.is_null() { Vec::new() } else { payload.to_string().into_bytes() };
        self.ask_any(subject, payload).await.unwrap_or_else(|| panic!("nobody answers {subject}"))
    }

    /// The data of an answer.
    ///
    /// # Panics
    /// When it is a refusal.
    pub async fn get(&self, subject: &str, payload: &Value) -> Value {
        let answer = self.ask(subject, payload).await;
        assert!(answer["success"] == true && answer["message"] == "", "{subject}: {answer}");
        answer["response"].clone()
    }

    /// Sends a request that must be taken, whatever is said of it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn does(&self, subject: &str, payload: &Value) -> String {
        let answer = self.ask(subject, payload).await;
        assert!(answer["success"] == true, "{subject}: {answer}");
        answer["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Sends a request that must be refused; why.
    ///
    /// # Panics
    /// When it is taken.
    pub async fn refused(&self, subject: &str, payload: &Value) -> String {
        let answer = self.ask(subject, payload).await;
        assert!(answer["success"] == false, "{subject}: {answer}");
        answer["message"].as_str().expect("a refusal has words").to_owned()
    }

    /// The next event of this name whose data fits; its data.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn event(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.events.next()).await;
            let message = message.unwrap_or_else(|_| panic!("no {name}; {:#}", json!(self.seen)));
            let event: Value =
                serde_json::from_slice(&message.expect("the server lives").payload).expect("JSON");
            self.seen.push(event.clone());
            let of_name = event["type"].as_str().is_some_and(|kind| kind.ends_with(&format!(".{name}")));
            if of_name && fits(&event["data"]) {
                return event["data"].clone();
            }
        }
    }

    /// Ids of all hosts.
    pub async fn hosts(&self) -> Vec<String> {
        let inbox = self.nats.new_inbox();
        let mut answers = self.nats.subscribe(inbox.clone()).await.expect("the server takes it");
        let ping = self.nats.publish_with_reply("wasmbus.ctl.v1.default.host.ping", inbox, "".into());
        ping.await.expect("the server takes it");
        let mut hosts = Vec::new();
        while let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(500), answers.next()).await {
            if answer.payload.is_empty() {
                // Nobody listens.
                break;
            }
            let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
            hosts.extend(answer["response"]["id"].as_str().map(str::to_owned));
        }
        hosts.sort();
        hosts
    }
}
