//! Every message of the recording decodes with our types and encodes to the same JSON. What is not ours to decode is
//! named here, kind by kind; any other message fails the test.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use lath_wasmcloud::subject::{Control, Model, ToProvider};
use lath_wasmcloud::wadm::{self, Manifest};
use lath_wasmcloud::{
    AuctionAck, AuctionComponent, AuctionProvider, ClaimsEntry, ComponentSpec, DeleteLabel, DeleteLink,
    Event, HealthReply, HostData, HostDescription, HostInventory, Link, NamedConfig, ProviderAuctionAck,
    ProviderLink, PutLabel, Reply, ScaleComponent, ShutDownProvider, StartProvider, StopHost, StopProvider,
    StoredClaims, UpdateComponent,
};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

#[derive(serde::Deserialize)]
struct Line {
    subject: String,
    reply: Option<String>,
    text: Option<String>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

fn lines() -> Vec<Line> {
    let text = fs::read_to_string(folder().join("wire.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Decodes, encodes, and compares as JSON.
fn same<T: Serialize + DeserializeOwned>(text: &str) -> Result<(), String> {
    let value: T = serde_json::from_str(text).map_err(|error| format!("does not decode: {error}"))?;
    let (said, ours): (Value, _) =
        (serde_json::from_str(text).unwrap(), serde_json::to_value(&value).unwrap());
    if said == ours { Ok(()) } else { Err(format!("becomes {ours}")) }
}

/// The same, where an empty payload is a way to say nothing.
fn same_or_empty<T: Serialize + DeserializeOwned>(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { same::<T>(text) }
}

fn empty(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { Err("is not empty".to_owned()) }
}

/// Either what the request is answered with, or why it was not done.
fn answer<T: Serialize + DeserializeOwned>(text: &str) -> Result<(), String> {
    same::<T>(text).or_else(|why| same::<wadm::Failure>(text).map_err(|_| why))
}

/// A request and what answers it.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Control(Control<'a>),
    Provider(ToProvider),
    Model(Model<'a>),
    Wrpc,
}

fn control(request: Control<'_>, text: &str) -> Result<(), String> {
    match request {
        Control::PutRegistries => same::<BTreeMap<String, lath_wasmcloud::RegistryCredentials>>(text),
        Control::Ping
        | Control::Inventory(_)
        | Control::Claims
        | Control::Links
        | Control::Config(_)
        | Control::DeleteConfig(_) => empty(text),
        Control::StopHost(_) => same_or_empty::<StopHost>(text),
        Control::PutLink => same::<Link>(text),
        Control::DeleteLink => same::<DeleteLink>(text),
        Control::PutConfig(_) => same::<NamedConfig>(text),
        Control::AuctionComponent => same::<AuctionComponent>(text),
        Control::ScaleComponent(_) => same::<ScaleComponent>(text),
        Control::UpdateComponent(_) => same::<UpdateComponent>(text),
        Control::AuctionProvider => same::<AuctionProvider>(text),
        Control::StartProvider(_) => same::<StartProvider>(text),
        Control::StopProvider(_) => same::<StopProvider>(text),
        Control::PutLabel(_) => same::<PutLabel>(text),
        Control::DeleteLabel(_) => same::<DeleteLabel>(text),
    }
}

fn control_reply(request: Control<'_>, text: &str) -> Result<(), String> {
    match request {
        Control::Ping => same::<Reply<HostDescription>>(text),
        Control::Inventory(_) => same::<Reply<HostInventory>>(text),
        Control::Claims => same::<Reply<Vec<ClaimsEntry>>>(text),
        Control::Links => same::<Reply<Vec<Link>>>(text),
        Control::Config(_) => same::<Reply<NamedConfig>>(text),
        Control::AuctionComponent => same::<Reply<AuctionAck>>(text),
        Control::AuctionProvider => same::<Reply<ProviderAuctionAck>>(text),
        Control::PutRegistries
        | Control::StopHost(_)
        | Control::PutLink
        | Control::DeleteLink
        | Control::PutConfig(_)
        | Control::DeleteConfig(_)
        | Control::ScaleComponent(_)
        | Control::UpdateComponent(_)
        | Control::StartProvider(_)
        | Control::StopProvider(_)
        | Control::PutLabel(_)
        | Control::DeleteLabel(_) => same::<Reply<()>>(text),
    }
}

fn to_provider(what: ToProvider, text: &str) -> Result<(), String> {
    match what {
        ToProvider::Health => empty(text),
        ToProvider::ShutDown => same::<ShutDownProvider>(text),
        ToProvider::PutLink | ToProvider::DeleteLink => same::<ProviderLink>(text),
        ToProvider::Config => same::<NamedConfig>(text),
    }
}

fn model(request: Model<'_>, text: &str) -> Result<(), String> {
    match request {
        Model::List | Model::GetAll | Model::Versions(_) | Model::Status(_) | Model::History(_) => {
            empty(text)
        }
        Model::Put => same::<Manifest>(text),
        Model::Get(_) => same_or_empty::<wadm::GetModel>(text),
        Model::Delete(_) => same_or_empty::<wadm::DeleteModel>(text),
        Model::Deploy(_) => same_or_empty::<wadm::DeployModel>(text),
        Model::Undeploy(_) => same_or_empty::<BTreeMap<String, IgnoredNothing>>(text),
    }
}

/// No value at all.
#[derive(Debug, Serialize, serde::Deserialize)]
enum IgnoredNothing {}

fn model_reply(request: Model<'_>, text: &str) -> Result<(), String> {
    match request {
        Model::List => same::<Vec<wadm::ModelSummary>>(text),
        Model::GetAll => answer::<wadm::ListReply>(text),
        Model::Get(_) => answer::<wadm::GetReply>(text),
        Model::Put => answer::<wadm::PutReply>(text),
        Model::Delete(_) => answer::<wadm::DeleteReply>(text),
        Model::Versions(_) => answer::<wadm::VersionsReply>(text),
        Model::Deploy(_) | Model::Undeploy(_) => answer::<wadm::DeployReply>(text),
        Model::Status(_) => answer::<wadm::StatusReply>(text),
        Model::History(_) => same::<wadm::Failure>(text),
    }
}

/// What a subject says that a message is, with how it is decoded.
fn request(subject: &str) -> Option<Asked<'_>> {
    if let Some(rest) = subject.strip_prefix("wasmbus.ctl.v1.default.") {
        return Control::read(rest).map(Asked::Control);
    }
    if let Some((_, rest)) =
        subject.strip_prefix("wasmbus.rpc.default.").and_then(|rest| rest.split_once('.'))
    {
        return ToProvider::read(rest).map(Asked::Provider);
    }
    if let Some(rest) = subject.strip_prefix("wadm.api.default.model.") {
        return Model::read(rest).map(Asked::Model);
    }
    subject.contains(".wrpc.0.0.1.").then_some(Asked::Wrpc)
}

/// Messages that nobody asked for by a request of theirs; None when the subject is of no such kind.
fn told(subject: &str, text: &str) -> Option<(&'static str, Result<(), String>)> {
    let event = |text: &str| same::<Event>(text).or_else(|why| same::<wadm::Event>(text).map_err(|_| why));
    let bucket = subject.strip_prefix("$KV.");
    Some(match (subject, bucket) {
        // Buckets: an empty value is a mark of a deletion.
        (_, Some(_)) if text.is_empty() => ("deletion", Ok(())),
        (_, Some(key)) if key.starts_with("CONFIGDATA_default.") => ("config", same::<NamedConfig>(text)),
        (_, Some(key)) if key.starts_with("LATTICEDATA_default.COMPONENT_") => {
            ("spec", same::<ComponentSpec>(text))
        }
        (_, Some(key)) if key.starts_with("LATTICEDATA_default.CLAIMS_") => {
            ("claims", same::<StoredClaims>(text))
        }
        (_, Some("wadm_manifests.default")) => ("names", same::<Vec<String>>(text)),
        (_, Some(key)) if key.starts_with("wadm_manifests.default-") => {
            ("model", same::<wadm::StoredModel>(text))
        }
        (_, Some("wadm_state.host_default")) => {
            ("state of hosts", same::<BTreeMap<String, wadm::StoredHost>>(text))
        }
        (_, Some("wadm_state.component_default")) => {
            ("state of components", same::<BTreeMap<String, wadm::StoredComponent>>(text))
        }
        (_, Some("wadm_state.provider_default")) => {
            ("state of providers", same::<BTreeMap<String, wadm::StoredProvider>>(text))
        }
        // The bucket of the key-value provider: values of components.
        (_, Some(key)) if key.starts_with("default.") => ("value", Ok(())),
        _ if subject.starts_with("wasmbus.evt.default.") => ("event", same::<Event>(text)),
        _ if subject.starts_with("wadm.evt.default.") => ("event of wadm", same::<wadm::Event>(text)),
        _ if subject.starts_with("wadm_event_consumer.evt.default.") => ("event for wadm", event(text)),
        _ if subject.starts_with("wadm.status.default.") => ("status", same::<wadm::Status>(text)),
        ("wadm.cmd.default", _) => ("command", same::<wadm::Command>(text)),
        ("wadm.notify.default", _) => ("notification", same::<wadm::Notification>(text)),
        ("mark", _) => ("mark", Ok(())),
        _ => return None,
    })
}

#[test]
fn every_message_decodes_with_our_types_and_means_the_same() {
    let lines = lines();
    let mut asked: BTreeMap<&str, Asked<'_>> = BTreeMap::new();
    let (mut counts, mut wrong) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for line in &lines {
        let text = line.text.as_deref().unwrap_or_default();
        let request = request(&line.subject);
        if let (Some(request), Some(reply)) = (request, &line.reply) {
            asked.insert(reply, request);
        }
        let (kind, result) = match request {
            Some(Asked::Control(request)) => ("control request", control(request, text)),
            Some(Asked::Provider(what)) => ("to a provider", to_provider(what, text)),
            Some(Asked::Model(request)) => ("request to wadm", model(request, text)),
            // Binary: `wrpc` decodes invocations.
            Some(Asked::Wrpc) => ("invocation", Ok(())),
            None => match (told(&line.subject, text), asked.get(line.subject.as_str())) {
                (Some(told), _) => told,
                (None, Some(Asked::Control(request))) => ("control reply", control_reply(*request, text)),
                (None, Some(Asked::Model(request))) => ("reply of wadm", model_reply(*request, text)),
                (None, Some(Asked::Provider(ToProvider::Health))) => ("health", same::<HealthReply>(text)),
                (None, Some(Asked::Provider(ToProvider::ShutDown))) => {
                    ("last word", if text == "shutting down" { Ok(()) } else { Err("is another".to_owned()) })
                }
                (None, Some(Asked::Provider(_))) => ("reply of a provider", Err("has no reply".to_owned())),
                // Frames of invocations go to inboxes of their own, and so do answers of JetStream, which are empty.
                (None, Some(Asked::Wrpc) | None) if line.subject.starts_with("_INBOX.") => {
                    let json = serde_json::from_str::<IgnoredAny>(text).is_ok_and(|_| text.starts_with('{'));
                    ("frame", if json { Err("is JSON that nobody asked for".to_owned()) } else { Ok(()) })
                }
                (None, Some(Asked::Wrpc) | None) => ("unknown", Err("is of no kind".to_owned())),
            },
        };
        *counts.entry(kind).or_default() += 1;
        if let Err(why) = result {
            wrong.push(format!("{kind} {}: {why}\n    {text}", line.subject));
        }
    }
    println!("{counts:#?}");
    assert!(wrong.is_empty(), "{} messages:\n{}", wrong.len(), wrong.join("\n"));
    let kinds =
        ["control request", "control reply", "request to wadm", "reply of wadm", "event", "to a provider"];
    assert!(kinds.iter().all(|kind| counts.get(kind).is_some_and(|count| *count > 10)), "{counts:?}");
}

#[test]
fn host_data_are_read_and_written_as_a_host_does() {
    same::<HostData>(&fs::read_to_string(folder().join("host-data.json")).unwrap()).unwrap();
    let least: HostData = serde_json::from_str(r#"{"env_values":{},"link_definitions":[]}"#).unwrap();
    assert_eq!(least.otel_config.protocol, "Http");
}
