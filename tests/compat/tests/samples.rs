//! Every message of the control interface and of wadm in the recording, and every sample of their references, is read by the
//! published types and by ours, and means the same: what one of them writes, the other reads as it read the original.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use lath_wasmcloud as ours;
use lath_wasmcloud::subject::{Control, Model};
use lath_wasmcloud::wadm;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wadm_types::api as model;
use wasmcloud_control_interface as control;

type Texts = BTreeMap<String, String>;

#[derive(serde::Deserialize)]
struct Line {
    subject: String,
    reply: Option<String>,
    text: Option<String>,
}

fn recording() -> Vec<Line> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wasmcloud/tests/recordings/wire.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `T` makes of a text, as it writes it.
fn read<T: Serialize + DeserializeOwned>(whose: &str, text: &str) -> Result<Value, String> {
    let value: T = serde_json::from_str(text).map_err(|error| format!("{whose} do not read it: {error}"))?;
    Ok(serde_json::to_value(value).unwrap())
}

/// Reads with the types of both.
fn same<Theirs, Ours>(text: &str) -> Result<(), String>
where
    Theirs: Serialize + DeserializeOwned,
    Ours: Serialize + DeserializeOwned,
{
    let (theirs, ours) = (read::<Theirs>("theirs", text)?, read::<Ours>("ours", text)?);
    if read::<Theirs>("theirs", &ours.to_string())? != theirs {
        return Err(format!("what ours write means something else to theirs: {ours} instead of {theirs}"));
    }
    if read::<Ours>("ours", &theirs.to_string())? != ours {
        return Err(format!("what theirs write means something else to ours: {theirs} instead of {ours}"));
    }
    Ok(())
}

/// The same; an empty text says nothing.
fn same_or_empty<Theirs, Ours>(text: &str) -> Result<(), String>
where
    Theirs: Serialize + DeserializeOwned,
    Ours: Serialize + DeserializeOwned,
{
    if text.is_empty() { Ok(()) } else { same::<Theirs, Ours>(text) }
}

fn control_request(request: Control<'_>, text: &str) -> Result<(), String> {
    match request {
        Control::Ping
        | Control::Inventory(_)
        | Control::Claims
        | Control::Links
        | Control::Config(_)
        | Control::DeleteConfig(_) => same_or_empty::<Value, Value>(text),
        Control::PutRegistries => same::<
            BTreeMap<String, control::RegistryCredential>,
            BTreeMap<String, ours::RegistryCredentials>,
        >(text),
        Control::StopHost(_) => same_or_empty::<control::StopHostCommand, ours::StopHost>(text),
        Control::PutLink => same::<control::Link, ours::Link>(text),
        Control::DeleteLink => same::<control::DeleteInterfaceLinkDefinitionRequest, ours::DeleteLink>(text),
        Control::PutConfig(_) => same::<Texts, ours::NamedConfig>(text),
        Control::AuctionComponent => same::<control::ComponentAuctionRequest, ours::AuctionComponent>(text),
        Control::ScaleComponent(_) => same::<control::ScaleComponentCommand, ours::ScaleComponent>(text),
        Control::UpdateComponent(_) => same::<control::UpdateComponentCommand, ours::UpdateComponent>(text),
        Control::AuctionProvider => same::<control::ProviderAuctionRequest, ours::AuctionProvider>(text),
        Control::StartProvider(_) => same::<control::StartProviderCommand, ours::StartProvider>(text),
        Control::StopProvider(_) => same::<control::StopProviderCommand, ours::StopProvider>(text),
        Control::PutLabel(_) => same::<control::HostLabel, ours::PutLabel>(text),
        Control::DeleteLabel(_) => same::<control::HostLabelIdentifier, ours::DeleteLabel>(text),
    }
}

fn control_reply(request: Control<'_>, text: &str) -> Result<(), String> {
    fn reply<Theirs, Ours>(text: &str) -> Result<(), String>
    where
        Theirs: Serialize + DeserializeOwned,
        Ours: Serialize + DeserializeOwned,
    {
        same::<control::CtlResponse<Theirs>, ours::Reply<Ours>>(text)
    }
    match request {
        Control::Ping => reply::<control::Host, ours::HostDescription>(text),
        Control::Inventory(_) => reply::<control::HostInventory, ours::HostInventory>(text),
        Control::Claims => reply::<Vec<Texts>, Vec<ours::ClaimsEntry>>(text),
        Control::Links => reply::<Vec<control::Link>, Vec<ours::Link>>(text),
        Control::Config(_) => reply::<Texts, ours::NamedConfig>(text),
        Control::AuctionComponent => reply::<control::ComponentAuctionAck, ours::AuctionAck>(text),
        Control::AuctionProvider => reply::<control::ProviderAuctionAck, ours::ProviderAuctionAck>(text),
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
        | Control::DeleteLabel(_) => reply::<(), ()>(text),
    }
}

fn model_request(request: Model<'_>, text: &str) -> Result<(), String> {
    match request {
        Model::List | Model::GetAll | Model::Versions(_) | Model::Status(_) | Model::History(_) => {
            same_or_empty::<Value, Value>(text)
        }
        Model::Put => same::<wadm_types::Manifest, wadm::Manifest>(text),
        Model::Get(_) => same_or_empty::<model::GetModelRequest, wadm::GetModel>(text),
        Model::Delete(_) => same_or_empty::<model::DeleteModelRequest, wadm::DeleteModel>(text),
        Model::Deploy(_) => same_or_empty::<model::DeployModelRequest, wadm::DeployModel>(text),
        Model::Undeploy(_) => same_or_empty::<model::UndeployModelRequest, BTreeMap<String, Value>>(text),
    }
}

fn model_reply(request: Model<'_>, text: &str) -> Result<(), String> {
    // A request that cannot be read is answered in a form that no published type has.
    if serde_json::from_str::<wadm::Failure>(text).is_ok_and(|_| !text.contains("status")) {
        return Ok(());
    }
    match request {
        Model::List => same::<Vec<model::ModelSummary>, Vec<wadm::ModelSummary>>(text),
        Model::GetAll => same::<model::ListModelsResponse, wadm::ListReply>(text),
        Model::Get(_) => same::<model::GetModelResponse, wadm::GetReply>(text),
        Model::Put => same::<model::PutModelResponse, wadm::PutReply>(text),
        Model::Delete(_) => same::<model::DeleteModelResponse, wadm::DeleteReply>(text),
        Model::Versions(_) => same::<model::VersionResponse, wadm::VersionsReply>(text),
        Model::Deploy(_) | Model::Undeploy(_) => same::<model::DeployModelResponse, wadm::DeployReply>(text),
        Model::Status(_) => same::<model::StatusResponse, wadm::StatusReply>(text),
        // It answers with a failure only.
        Model::History(_) => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum Asked<'a> {
    Control(Control<'a>),
    Model(Model<'a>),
}

fn asked(subject: &str) -> Option<Asked<'_>> {
    if let Some(rest) = subject.strip_prefix("wasmbus.ctl.v1.default.") {
        return Control::read(rest).map(Asked::Control);
    }
    subject.strip_prefix("wadm.api.default.model.").and_then(Model::read).map(Asked::Model)
}

#[test]
fn what_was_recorded_means_the_same_to_the_published_types_and_to_ours() {
    let lines = recording();
    let mut requests: BTreeMap<&str, Asked<'_>> = BTreeMap::new();
    let (mut counts, mut wrong) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for line in &lines {
        let text = line.text.as_deref().unwrap_or_default();
        let request = asked(&line.subject);
        if let (Some(request), Some(reply)) = (request, &line.reply) {
            requests.insert(reply, request);
        }
        let (kind, result) = match (request, requests.get(line.subject.as_str())) {
            (Some(Asked::Control(request)), _) => ("control request", control_request(request, text)),
            (Some(Asked::Model(request)), _) => ("request to wadm", model_request(request, text)),
            (None, Some(Asked::Control(request))) => ("control reply", control_reply(*request, text)),
            (None, Some(Asked::Model(request))) => ("reply of wadm", model_reply(*request, text)),
            (None, None) if line.subject.starts_with("wadm.status.default.") => {
                ("status", same::<model::Status, wadm::Status>(text))
            }
            // Events, buckets, and what goes to providers: no published client has types for them.
            (None, None) => continue,
        };
        *counts.entry(kind).or_default() += 1;
        if let Err(why) = result {
            wrong.push(format!("{kind} {}: {why}\n    {text}", line.subject));
        }
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{} messages:\n{}", wrong.len(), wrong.join("\n"));
    let kinds = ["control request", "control reply", "request to wadm", "reply of wadm", "status"];
    assert!(kinds.iter().all(|kind| counts.get(kind).is_some_and(|count| *count > 5)), "{counts:?}");
}

/// The samples of the references of both interfaces, whole.
#[test]
fn samples_mean_the_same_to_the_published_types_and_to_ours() {
    same::<control::CtlResponse<Value>, ours::Reply<Value>>(
        r#"{"success": true, "message": "", "response": {}}"#,
    )
    .unwrap();
    same::<control::CtlResponse<control::Host>, ours::Reply<ours::HostDescription>>(
        r#"{"success":true,"message":"","response":{"rpc_host":"nats://127.0.0.1:4222","ctl_host":"nats://127.0.0.1:4222","friendly_name":"quiet-river-1234","id":"NAAA","labels":{"hostcore.arch":"x86_64","hostcore.os":"linux","hostcore.osfamily":"unix"},"lattice":"default","uptime_human":"12s","uptime_seconds":12,"version":"1.9.2"}}"#,
    )
    .unwrap();
    let link = r#"{"source_id":"app","target":"kv","name":"default","wit_namespace":"wasi","wit_package":"keyvalue","interfaces":["store"],"source_config":[],"target_config":["app-kv"]}"#;
    same::<control::Link, ours::Link>(link).unwrap();
    same::<model::Status, wadm::Status>(
        r#"{"status":{"type":"reconciling","message":"Scaling component on 1 host(s)"},"scalers":[{"id":"9f","kind":"SpreadScaler","name":"shop-api","status":{"type":"deployed"}}],"version":"v1.2.0","components":[]}"#,
    )
    .unwrap();
    // The event's frame and what lies in the bucket have no type in the published clients, but for the event's frame.
    let event = r#"{"specversion":"1.0","id":"018d32ce-6133-2f9d-0b69-1437b25cf59c","type":"com.wasmcloud.lattice.component_scaled","source":"NAAA","datacontenttype":"application/json","time":"2024-01-22T20:13:22.611283Z","data":{"annotations":{},"component_id":"app","host_id":"NAAA","image_ref":"ghcr.io/acme/app:1.0.0","max_instances":1}}"#;
    same::<cloudevents::Event, ours::Event>(event).unwrap();
    let spec: ours::ComponentSpec =
        serde_json::from_str(&format!(r#"{{"url":"ghcr.io/acme/app:1.0.0","links":[{link}]}}"#)).unwrap();
    assert_eq!((spec.url.as_str(), spec.links.len()), ("ghcr.io/acme/app:1.0.0", 1));
    let claims = r#"{"call_alias":"","issuer":"A","name":"app","revision":"0","subject":"M","tags":["a"],"version":"0.1.0"}"#;
    let stored: ours::StoredClaims = serde_json::from_str(claims).unwrap();
    assert!(matches!(stored, ours::StoredClaims::Component { name, .. } if name == "app"));
}
