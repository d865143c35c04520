//! The verbs of `wash`, the tool of wasmCloud 1.x, with its arguments and its JSON: `get`, `start`, `stop`, `update`,
//! `config`, `link`, `label`, `scale component`, `call` and `spy`.
//!
//! They speak the control interface of 1.x, and call components as it does, so they work with lattices of 1.x, too. What is printed as JSON has no
//! head, as `wash` prints it.

mod call;
mod config;
mod get;
mod hosts;
mod label;
mod link;
mod spy;
mod start;
mod stop;
mod wait;

use std::time::Duration;

use clap::{Args, Subcommand};
use futures::StreamExt as _;
use lath_control_api_client::async_nats;
use lath_wasmcloud::subject::ControlPrefix;
use lath_wasmcloud::{Reply, subject};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};

pub(crate) use call::CallArgs;
pub(crate) use label::LabelArgs;
pub(crate) use spy::SpyArgs;
pub(crate) use start::{ScaleComponentArgs, UpdateCommand};

/// What can be asked about a lattice.
#[derive(Debug, Subcommand)]
pub(crate) enum GetCommand {
    /// Hosts that answer
    Hosts(get::HostsArgs),
    /// What hosts run
    Inventory(get::InventoryArgs),
    /// Links of what was started by hand
    Links(get::LinksArgs),
    /// What signed components say of themselves
    Claims(get::ClaimsArgs),
}

/// What can be started by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum StartCommand {
    /// A component
    Component(start::StartComponentArgs),
    /// A capability provider
    Provider(start::StartProviderArgs),
}

/// What can be stopped by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum StopCommand {
    /// A component
    Component(stop::StopComponentArgs),
    /// A capability provider
    Provider(stop::StopProviderArgs),
    /// A host
    Host(stop::StopHostArgs),
}

/// Named configs of the lattice.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Put a config, in place of the one of that name
    Put(config::PutArgs),
    /// Print a config
    Get(config::NameArgs),
    /// Delete a config
    #[command(alias = "delete")]
    Del(config::NameArgs),
}

/// Links of what was started by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// Put a link
    Put(link::PutArgs),
    /// List links
    #[command(alias = "get")]
    Query(get::LinksArgs),
    /// Delete a link
    #[command(alias = "delete")]
    Del(link::DelArgs),
}

/// How long is waited.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PatienceArgs {
    /// Longest wait for an answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    timeout_ms: u64,
}

impl PatienceArgs {
    const fn time(self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

pub(crate) async fn get(command: GetCommand, call: &Call) -> Result<Exit, Failure> {
    match command {
        GetCommand::Hosts(args) => get::hosts(args, call).await,
        GetCommand::Inventory(args) => get::inventory(args, call).await,
        GetCommand::Links(args) => get::links(args, call).await,
        GetCommand::Claims(args) => get::claims(args, call).await,
    }
}

pub(crate) async fn start(command: StartCommand, call: &Call) -> Result<Exit, Failure> {
    match command {
        StartCommand::Component(args) => Box::pin(start::component(args, call)).await,
        StartCommand::Provider(args) => Box::pin(start::provider(args, call)).await,
    }
}

pub(crate) async fn scale(args: ScaleComponentArgs, call: &Call) -> Result<Exit, Failure> {
    start::scale(args, call).await
}

pub(crate) async fn update(command: UpdateCommand, call: &Call) -> Result<Exit, Failure> {
    start::update(command, call).await
}

pub(crate) async fn stop(command: StopCommand, call: &Call) -> Result<Exit, Failure> {
    match command {
        StopCommand::Component(args) => Box::pin(stop::component(args, call)).await,
        StopCommand::Provider(args) => Box::pin(stop::provider(args, call)).await,
        StopCommand::Host(args) => stop::host(args, call).await,
    }
}

pub(crate) async fn config(command: ConfigCommand, call: &Call) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Put(args) => config::put(args, call).await,
        ConfigCommand::Get(args) => config::get(args, call).await,
        ConfigCommand::Del(args) => config::delete(args, call).await,
    }
}

pub(crate) async fn link(command: LinkCommand, call: &Call) -> Result<Exit, Failure> {
    match command {
        LinkCommand::Put(args) => link::put(args, call).await,
        LinkCommand::Query(args) => get::links(args, call).await,
        LinkCommand::Del(args) => link::delete(args, call).await,
    }
}

pub(crate) async fn label(args: LabelArgs, call: &Call) -> Result<Exit, Failure> {
    label::label(args, call).await
}

pub(crate) async fn call(args: CallArgs, call: &Call) -> Result<Exit, Failure> {
    call::call(args, call).await
}

pub(crate) async fn spy(args: SpyArgs, call: &Call) -> Result<Exit, Failure> {
    spy::spy(args, call).await
}

/// A lattice as the control interface of 1.x has it.
#[derive(Debug)]
pub(crate) struct Lattice {
    session: Session,
    /// What subjects begin with.
    topics: ControlPrefix,
    patience: Duration,
}

impl Lattice {
    async fn open(call: &Call, patience: PatienceArgs) -> Result<Self, Failure> {
        Self::over(call.session().await?, patience.time())
    }

    /// By a connection that is there, with the longest wait for an answer.
    pub(crate) fn over(session: Session, patience: Duration) -> Result<Self, Failure> {
        Ok(Self { session, topics: Call::prefix(subject::CONTROL_PREFIX_VARIABLE)?, patience })
    }

    fn nats(&self) -> &async_nats::Client {
        self.session.control.connection().nats()
    }

    fn subject(&self, asked: &subject::Control<'_>) -> String {
        format!("{}{asked}", self.topics.of(self.session.target.lattice.as_str()))
    }

    /// The answer to a request; a refusal is a failure.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        asked: subject::Control<'_>,
        payload: Vec<u8>,
    ) -> Result<Reply<T>, Failure> {
        self.ask_with(asked, async_nats::HeaderMap::new(), payload).await
    }

    /// The same, of a request with headers.
    pub(crate) async fn ask_with<T: DeserializeOwned>(
        &self,
        asked: subject::Control<'_>,
        headers: async_nats::HeaderMap,
        payload: Vec<u8>,
    ) -> Result<Reply<T>, Failure> {
        let subject = self.subject(&asked);
        let request = async_nats::Request::new().payload(payload.into()).timeout(Some(self.patience));
        let request = if headers.is_empty() { request } else { request.headers(headers) };
        let answer = self.nats().send_request(subject, request).await.map_err(|error| {
            let lattice = &self.session.target.lattice;
            Failure::new(Exit::Unreachable, format!("nobody in lattice {lattice} has answered: {error}"))
                .help("lath doctor")
        })?;
        // A refusal has no data, whatever the data would be.
        let said: Reply<IgnoredAny> = read(&answer.payload)?;
        if !said.success {
            return Err(Failure::new(Exit::Failed, said.message));
        }
        read(&answer.payload)
    }

    /// The same, where the answer is only whether it was taken, with its words.
    async fn tell(&self, asked: subject::Control<'_>, payload: &impl Serialize) -> Result<String, Failure> {
        Ok(self.ask::<Value>(asked, encode(payload)?).await?.message)
    }

    /// What all who answer within `window` say.
    async fn gather<T: DeserializeOwned>(
        &self,
        asked: subject::Control<'_>,
        payload: Vec<u8>,
        window: Duration,
    ) -> Result<Vec<T>, Failure> {
        let broken = |error: &dyn std::error::Error| Failure::new(Exit::Unreachable, error.to_string());
        let inbox = self.nats().new_inbox();
        let mut answers = self.nats().subscribe(inbox.clone()).await.map_err(|error| broken(&error))?;
        let sent = self.nats().publish_with_reply(self.subject(&asked), inbox, payload.into()).await;
        sent.map_err(|error| broken(&error))?;
        let mut found = Vec::new();
        let gather = async {
            while let Some(answer) = answers.next().await {
                if answer.payload.is_empty() {
                    // "No responders": nobody will answer.
                    return;
                }
                found.extend(read::<Reply<T>>(&answer.payload).ok().and_then(|reply| reply.response));
            }
        };
        // Nobody knows how many there are.
        let _ = tokio::time::timeout(window, gather).await;
        Ok(found)
    }
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(payload)
        .map_err(|error| Failure::new(Exit::Failed, format!("an answer cannot be read: {error}")))
}

pub(crate) fn encode(payload: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(payload)
        .map_err(|error| Failure::new(Exit::Failed, format!("the request cannot be written: {error}")))
}

/// `key=value`, as configs, labels and constraints are given.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_what_stands_after_the_first_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(pair("a").is_err() && pair("=a").is_err());
    }
}
