//! Messages between NATS and components: what components send, and what they have subscribed to by their link.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use client_nats::{Client, Message};
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wasmcloud_provider_sdk::provider::WrpcClient;
use wasmcloud_provider_sdk::{Context, get_connection};

use crate::Courier;
use crate::bindings::exports::wasmcloud::messaging::consumer;
use crate::bindings::wasmcloud::messaging::handler::handle_message;
use crate::bindings::wasmcloud::messaging::types::BrokerMessage;

/// Messages of one subscription that a component has at the same time.
const AT_ONCE: usize = 64;
/// How long a component may take for one.
const PATIENCE: Duration = Duration::from_secs(10);

impl consumer::Handler<Option<Context>> for Courier {
    async fn request(
        &self,
        _: Option<Context>,
        subject: String,
        body: Bytes,
        timeout_ms: u32,
    ) -> Result<Result<BrokerMessage, String>> {
        let nats = self.nats()?;
        let asked = timeout(Duration::from_millis(timeout_ms.into()), nats.request(subject, body)).await;
        Ok(match asked {
            Ok(Ok(answer)) => Ok(broker_message(answer)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        })
    }

    async fn publish(&self, _: Option<Context>, message: BrokerMessage) -> Result<Result<(), String>> {
        let nats = self.nats()?;
        let BrokerMessage { subject, body, reply_to } = message;
        let sent = match reply_to {
            Some(reply) => nats.publish_with_reply(subject, reply, body).await,
            None => nats.publish(subject, body).await,
        };
        if let Err(error) = sent {
            return Ok(Err(error.to_string()));
        }
        Ok(nats.flush().await.map_err(|error| error.to_string()))
    }
}

/// Subscribes for the component `target`, and gives it what comes.
pub(crate) async fn subscribe(
    nats: &Client,
    target: &str,
    subscriptions: &str,
    report: &str,
) -> Result<Vec<JoinHandle<()>>> {
    let component = get_connection().get_wrpc_client(target).await?;
    let report = Arc::new(Mutex::new(OpenOptions::new().create(true).append(true).open(report)?));
    let mut held = Vec::new();
    for subscription in subscriptions.split(',') {
        let mut subscriber = match subscription.split_once('|') {
            Some((subject, queue)) => nats.queue_subscribe(subject.to_owned(), queue.to_owned()).await?,
            None => nats.subscribe(subscription.to_owned()).await?,
        };
        let (component, report) = (component.clone(), Arc::clone(&report));
        held.push(tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(AT_ONCE));
            while let Some(message) = subscriber.next().await {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let (component, report) = (component.clone(), Arc::clone(&report));
                tokio::spawn(async move {
                    deliver(&component, message, &report).await;
                    drop(place);
                });
            }
        }));
    }
    nats.flush().await?;
    Ok(held)
}

async fn deliver(component: &WrpcClient, message: Message, report: &Mutex<File>) {
    let message = broker_message(message);
    let outcome = match timeout(PATIENCE, handle_message(component, None, &message)).await {
        Ok(Ok(Ok(()))) => format!("ok {}", message.subject),
        Ok(Ok(Err(told))) => format!("refused {told}"),
        Ok(Err(error)) => format!("failed {error:#}"),
        Err(_) => "failed no answer".to_owned(),
    };
    writeln!(report.lock().unwrap(), "{outcome}").unwrap();
}

fn broker_message(message: Message) -> BrokerMessage {
    BrokerMessage {
        subject: message.subject.to_string(),
        body: message.payload,
        reply_to: message.reply.map(|reply| reply.to_string()),
    }
}
