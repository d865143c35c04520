//! A provider on the published SDK. It greets with the word of the caller's link, or of its own config; keeps keys and values
//! in memory, of which the bucket `headers` has those of the call itself, and objects; and calls the component of a link that
//! begins at it, again and again, noting how each call went.
//!
//! Config: `word`; `version`, which it says of itself; `fail-at-start`; `unhealthy`; `objects`, which is `older` for the
//! older version of the interface alone. Links to it: `word`. Links from it: `report`, the file that calls are noted in.

mod objects;
mod serving;

mod bindings {
    wit_bindgen_wrpc::generate!({
        world: "greeting-provider",
        path: "wit",
        generate_all,
    });
}

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bindings::exports::lath::demo::greeter::Greeting;
use bindings::exports::wrpc::keyvalue::{atomics, store};
use bytes::Bytes;
use objects::Objects;
use tokio::task::JoinHandle;
use wasmcloud_provider_sdk::provider::{InvocationStreams, WrpcClient};
use wasmcloud_provider_sdk::{
    Context, HealthCheckRequest, HealthCheckResponse, LinkConfig, LinkDeleteInfo, Provider,
    ProviderInitConfig, get_connection, load_host_data, run_provider, serve_provider_exports,
};

/// Words of links by source and link name.
type Words = BTreeMap<(String, String), String>;

#[derive(Clone, Default)]
struct Greeter {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    config: Mutex<HashMap<String, String>>,
    secret: Mutex<Option<String>>,
    words: Mutex<Words>,
    values: Mutex<BTreeMap<(String, String), Bytes>>,
    objects: Mutex<Objects>,
    calling: Mutex<BTreeMap<String, JoinHandle<()>>>,
}

// On several threads the published transport loses a message now and then (`tests/values.rs` says how).
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let data = load_host_data()?;
    if let Some(words) = data.config.get("fail-at-start") {
        eprintln!("{words}");
        std::process::exit(3);
    }
    let provider = Greeter::default();
    let shutdown = run_provider(provider.clone(), "greeter").await?;
    let connection = get_connection();
    let client = connection.get_wrpc_client(connection.provider_key()).await?;
    serve_provider_exports(&client, provider, shutdown, serve).await.context("cannot serve")
}

async fn serve(client: &WrpcClient, provider: Greeter) -> Result<InvocationStreams> {
    let mut all = bindings::serve(client, provider.clone()).await?;
    all.extend(match provider.config("objects").as_deref() {
        Some("older") => serving::serve_older(client, provider).await?,
        _ => serving::serve_newer(client, provider).await?,
    });
    Ok(all)
}

impl Greeter {
    fn config(&self, key: &str) -> Option<String> {
        self.shared.config.lock().unwrap().get(key).cloned()
    }
}

impl Provider for Greeter {
    async fn init(&self, config: impl ProviderInitConfig) -> Result<()> {
        *self.shared.config.lock().unwrap() = config.get_config().clone();
        let secret = config.get_secrets().get("password").and_then(|secret| secret.as_string());
        *self.shared.secret.lock().unwrap() = secret.map(str::to_owned);
        Ok(())
    }

    async fn receive_link_config_as_target(&self, link: LinkConfig<'_>) -> Result<()> {
        let place = (link.source_id.to_owned(), link.link_name.to_owned());
        let secret = link.secrets.get("word").and_then(|secret| secret.as_string()).map(str::to_owned);
        let word = secret.or_else(|| link.config.get("word").cloned());
        self.shared.words.lock().unwrap().insert(place, word.unwrap_or_default());
        Ok(())
    }

    async fn delete_link_as_target(&self, link: impl LinkDeleteInfo) -> Result<()> {
        let place = (link.get_source_id().to_owned(), link.get_link_name().to_owned());
        self.shared.words.lock().unwrap().remove(&place);
        Ok(())
    }

    async fn receive_link_config_as_source(&self, link: LinkConfig<'_>) -> Result<()> {
        let target = link.target_id.to_owned();
        let report = link.config.get("report").cloned().context("the link has no `report`")?;
        let calls = tokio::spawn(call(target.clone(), report));
        if let Some(before) = self.shared.calling.lock().unwrap().insert(target, calls) {
            before.abort();
        }
        Ok(())
    }

    async fn delete_link_as_source(&self, link: impl LinkDeleteInfo) -> Result<()> {
        if let Some(calls) = self.shared.calling.lock().unwrap().remove(link.get_target_id()) {
            calls.abort();
        }
        Ok(())
    }

    async fn health_request(&self, _: &HealthCheckRequest) -> Result<HealthCheckResponse> {
        let message = self.config("unhealthy");
        Ok(HealthCheckResponse { healthy: message.is_none(), message })
    }
}

/// Calls a component until the link goes.
async fn call(target: String, report: String) {
    let Ok(client) = get_connection().get_wrpc_client(&target).await else { return };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(report).unwrap();
    loop {
        let asked = bindings::lath::demo::greeter::greet(&client, None, "ann");
        let outcome = match tokio::time::timeout(Duration::from_secs(10), asked).await {
            Ok(Ok(Ok(greeting))) => format!("ok {}", greeting.version),
            Ok(Ok(Err(error))) => format!("failed {error}"),
            Ok(Err(error)) => format!("failed {error:#}"),
            Err(_) => "failed no answer".to_owned(),
        };
        writeln!(file, "{outcome}").unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl bindings::exports::lath::demo::greeter::Handler<Option<Context>> for Greeter {
    async fn greet(&self, ctx: Option<Context>, name: String) -> Result<Result<Greeting, String>> {
        if name.is_empty() {
            return Ok(Err("nobody to greet".to_owned()));
        }
        let ctx = ctx.unwrap_or_default();
        let source = ctx.component.clone().unwrap_or_default();
        let linked = self.shared.words.lock().unwrap().get(&(source, ctx.link_name().to_owned())).cloned();
        let Some(linked) = linked else { return Ok(Err("nobody has linked this caller".to_owned())) };
        let own = || self.config("word").unwrap_or_else(|| "Hello".to_owned());
        let word = if linked.is_empty() { own() } else { linked };
        let secret = self.shared.secret.lock().unwrap().clone();
        let text = match secret {
            Some(secret) => format!("{word}, {name} ({} letters)", secret.len()),
            None => format!("{word}, {name}"),
        };
        Ok(Ok(Greeting { text, version: self.config("version").unwrap_or_else(|| "v0".to_owned()) }))
    }
}

impl store::Handler<Option<Context>> for Greeter {
    async fn get(
        &self,
        ctx: Option<Context>,
        bucket: String,
        key: String,
    ) -> Result<Result<Option<Bytes>, store::Error>> {
        if bucket == "headers" {
            let header = ctx.and_then(|ctx| ctx.tracing.get(&key).cloned());
            return Ok(Ok(header.map(Bytes::from)));
        }
        Ok(Ok(self.shared.values.lock().unwrap().get(&(bucket, key)).cloned()))
    }

    async fn set(
        &self,
        _: Option<Context>,
        bucket: String,
        key: String,
        value: Bytes,
    ) -> Result<Result<(), store::Error>> {
        if bucket == "locked" {
            return Ok(Err(store::Error::AccessDenied));
        }
        self.shared.values.lock().unwrap().insert((bucket, key), value);
        Ok(Ok(()))
    }

    async fn delete(
        &self,
        _: Option<Context>,
        bucket: String,
        key: String,
    ) -> Result<Result<(), store::Error>> {
        self.shared.values.lock().unwrap().remove(&(bucket, key));
        Ok(Ok(()))
    }

    async fn exists(
        &self,
        _: Option<Context>,
        bucket: String,
        key: String,
    ) -> Result<Result<bool, store::Error>> {
        Ok(Ok(self.shared.values.lock().unwrap().contains_key(&(bucket, key))))
    }

    async fn list_keys(
        &self,
        _: Option<Context>,
        bucket: String,
        _: Option<u64>,
    ) -> Result<Result<store::KeyResponse, store::Error>> {
        let values = self.shared.values.lock().unwrap();
        let keys = values.keys().filter(|(of, _)| *of == bucket).map(|(_, key)| key.clone()).collect();
        Ok(Ok(store::KeyResponse { keys, cursor: None }))
    }
}

impl atomics::Handler<Option<Context>> for Greeter {
    async fn increment(
        &self,
        _: Option<Context>,
        bucket: String,
        key: String,
        delta: u64,
    ) -> Result<Result<u64, store::Error>> {
        let mut values = self.shared.values.lock().unwrap();
        let value = values.entry((bucket, key)).or_default();
        let sum = std::str::from_utf8(value)?.parse::<u64>().unwrap_or(0) + delta;
        *value = sum.to_string().into();
        Ok(Ok(sum))
    }
}
