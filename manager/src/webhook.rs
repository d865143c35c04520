//! Asking a policy's webhook whether a rollout may go on.
//!
//! One question of an app is asked at a time. What it answers goes into the app's record, where the plan finds it; a
//! webhook that cannot be reached is asked again until the rollout's deadline ends that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{AppName, Generation, Step};
use lath_manager_planner::{WebhookAsk, steer};
use reqwest::{Client, redirect};
use serde_json::json;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::failpoint::Failpoint;

/// Pause before a webhook is asked again that could not be reached.
const AGAIN: Duration = Duration::from_secs(2);
/// Most of an answer's text that is kept, in bytes.
const TEXT: usize = 1_024;
/// Tries to write an answer down while others write the same record.
const TRIES: u32 = 10;

/// Asks webhooks.
#[derive(Debug)]
pub(crate) struct Webhooks {
    context: Arc<Context>,
    client: Option<Client>,
    asked: BTreeMap<AppName, (Generation, Step)>,
    flights: JoinSet<(AppName, Settled)>,
}

/// Whether a question has its answer in the record; until then it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    Yes,
    No,
}

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Agreed,
    Refused(String),
    /// Nobody answered, or with an error of his own.
    Nobody(String),
}

impl Webhooks {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        // A redirect is no answer: it would send the question somewhere that no policy names.
        let client = Client::builder().redirect(redirect::Policy::none()).build();
        let client = client.inspect_err(|error| tracing::error!(%error, "webhooks cannot be asked")).ok();
        Self { context, client, asked: BTreeMap::new(), flights: JoinSet::new() }
    }

    /// Asks, unless this very question is on its way.
    pub(crate) fn ask(&mut self, app: &AppName, ask: WebhookAsk) {
        let about = (ask.generation, ask.step);
        let Some(client) = self.client.clone().filter(|_| self.asked.get(app) != Some(&about)) else {
            return;
        };
        self.asked.insert(app.clone(), about);
        let (context, app) = (Arc::clone(&self.context), app.clone());
        self.flights.spawn(async move {
            Failpoint::WebhookAsk.before();
            let answer = question(&client, &app, &ask).await;
            Failpoint::WebhookAsk.after();
            let settled = match &answer {
                Answer::Nobody(why) => {
                    tracing::warn!(%app, %why, "the webhook of a rollout gave no answer");
                    tokio::time::sleep(AGAIN).await;
                    Settled::No
                }
                Answer::Agreed | Answer::Refused(_) => note(&context, &app, &ask, answer).await,
            };
            (app, settled)
        });
    }

    /// An app whose question has had its turn. Pends while none is on its way.
    pub(crate) async fn next(&mut self) -> AppName {
        loop {
            match self.flights.join_next().await {
                Some(Ok((app, settled))) => {
                    // A plan of an older record may still want to ask what has been answered: it is not asked twice.
                    if settled == Settled::No {
                        self.asked.remove(&app);
                    }
                    return app;
                }
                Some(Err(error)) => tracing::error!(%error, "a webhook's question ended without an outcome"),
                None => std::future::pending().await,
            }
        }
    }

    /// Ends all questions, at the end of a term.
    pub(crate) fn clear(&mut self) {
        self.asked.clear();
        self.flights.abort_all();
    }
}

async fn question(client: &Client, app: &AppName, ask: &WebhookAsk) -> Answer {
    let WebhookAsk { webhook, step, generation, from, to } = ask;
    let body = json!({
        "apiVersion": "lath/v1", "kind": "RolloutQuestion",
        "app": app, "from": from, "to": to, "generation": generation, "step": step,
    });
    let request = client
        .post(&webhook.url)
        .timeout(webhook.timeout)
        .header("content-type", "application/json")
        .body(body.to_string());
    let mut response = match request.send().await {
        Ok(response) => response,
        // The address may hold a secret, so it is not repeated.
        Err(error) => return Answer::Nobody(error.without_url().to_string()),
    };
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend(chunk.iter().take(TEXT - text.len()));
        if text.len() >= TEXT {
            break;
        }
    }
    let said = String::from_utf8_lossy(&text);
    let said: String = said.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    let (status, said) = (response.status(), said.trim());
    if status.is_success() {
        Answer::Agreed
    } else if status.is_server_error() {
        Answer::Nobody(format!("status {status}: {said}"))
    } else {
        Answer::Refused(format!("status {}: {said}", status.as_u16()))
    }
}

/// Writes the answer into the app's record, unless the question is over.
async fn note(context: &Context, app: &AppName, ask: &WebhookAsk, answer: Answer) -> Settled {
    let (agreed, text) = match answer {
        Answer::Agreed => (true, String::new()),
        Answer::Refused(text) => (false, text),
        Answer::Nobody(_) => return Settled::No,
    };
    for _ in 0..TRIES {
        let Ok(Some(stored)) = context.records.read(app).await else { return Settled::No };
        let (generation, step) = (ask.generation, ask.step);
        let next = steer::webhook_answered(&stored.value, generation, step, agreed, text.clone());
        let Some(next) = next else { return Settled::Yes };
        if context.records.commit(next, Some(stored.revision)).await.is_ok() {
            tracing::info!(%app, agreed, "the webhook of a rollout has answered");
            context.wake.apps([app.clone()]);
            return Settled::Yes;
        }
    }
    Settled::No
}
