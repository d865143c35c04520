//! `model.list`, `model.get`, `model.versions` and `model.status`.

use futures::{StreamExt as _, future, stream};
use lath_control_api::{AppName, ErrorCode, Revision};
use lath_manager_planner::DesiredRecord;
use lath_manager_planner::record::Wanted;
use lath_manager_planner::versions::Version;
use lath_manifests::json;
use lath_wasmcloud::wadm::{
    Failure, GetModel, GetReply, GetResult, ListReply, Manifest, ModelSummary, Status, StatusInfo,
    StatusKind, StatusReply, StatusResult, VersionInfo, VersionsReply,
};

use super::{body, failure, not_found, record, refused, status};
use crate::api::{read, versions};
use crate::context::Context;
use crate::control_v1::is_by_hand;
use crate::records::Slot;

/// Apps of a list that are looked at at once.
const AT_ONCE: usize = 16;

/// An array alone, which is what `wash` asks for.
pub(super) async fn list(context: &Context) -> Result<Vec<ModelSummary>, Failure> {
    let apps = context.records.apps();
    let asked: Vec<_> = apps
        .slots
        .iter()
        .map(|(app, slot)| async move {
            match slot {
                Slot::Sound(stored) => listed(context, &stored.value).await,
                Slot::Poison(cause) => Some(unreadable(app, cause)),
            }
        })
        .collect();
    Ok(stream::iter(asked).buffered(AT_ONCE).filter_map(future::ready).collect().await)
}

pub(super) async fn get_all(context: &Context) -> Result<ListReply, Failure> {
    let models = list(context).await?;
    let message = "Successfully fetched list of applications".to_owned();
    Ok(ListReply { result: GetResult::Success, message, models })
}

/// Without a version the newest one, whatever is deployed.
pub(super) async fn get(context: &Context, name: &str, bytes: &[u8]) -> Result<GetReply, Failure> {
    let ask: GetModel = body(bytes, "get")?;
    let missing = |message| GetReply { result: GetResult::NotFound, message, manifest: None };
    let Some(record) = record(context, name).await?.map(|stored| stored.value) else {
        return Ok(missing(not_found(name)));
    };
    let all = versions::all(&record);
    let (of, wanted) = match &ask.version {
        Some(version) => (format!(" {version}"), all.iter().find(|known| known.name == *version)),
        None => (String::new(), all.last()),
    };
    let Some(version) = wanted else {
        let version = ask.version.unwrap_or_default();
        return Ok(missing(format!("Application {name} with version {version} doesn't exist")));
    };
    let manifest = manifest(context, &record.app, version.revision, &version.name).await?;
    let message = format!("Successfully fetched application {name}{of}");
    Ok(GetReply { result: GetResult::Success, message, manifest: Some(manifest) })
}

pub(super) async fn versions(context: &Context, name: &str) -> Result<VersionsReply, Failure> {
    let Some(record) = record(context, name).await?.map(|stored| stored.value) else {
        return Ok(VersionsReply {
            result: GetResult::NotFound,
            message: not_found(name),
            versions: Vec::new(),
        });
    };
    let deployed = versions::deployed(context, &record).await;
    let info = |known: Version| VersionInfo {
        deployed: Some(&known.name) == deployed.as_ref(),
        version: known.name,
    };
    let mut all: Vec<VersionInfo> = versions::all(&record).into_iter().map(info).collect();
    // What runs is told of although it is of before there were names.
    if let Some(version) = deployed.filter(|_| !all.iter().any(|known| known.deployed)) {
        all.insert(0, VersionInfo { version, deployed: true });
    }
    let message = format!("Successfully fetched versions for application {name}");
    Ok(VersionsReply { result: GetResult::Success, message, versions: all })
}

/// As by wadm, an app that is not there is one that is not deployed.
pub(super) async fn status(context: &Context, name: &str) -> Result<StatusReply, Failure> {
    let status = match name.parse::<AppName>() {
        Ok(app) => match read::status(context, app).await {
            Ok(found) => status::of(context, &found).await,
            Err(error) if error.code == ErrorCode::NotFound => Status::default(),
            Err(error) => return Err(refused(&error)),
        },
        Err(_) => Status::default(),
    };
    let message = format!("Successfully fetched status for application {name}");
    Ok(StatusReply { result: StatusResult::Ok, message, status: Some(status) })
}

/// What a list says of an app, by the store's own record: what was just deleted is not told of. None when there is nothing
/// to say.
async fn listed(context: &Context, heard: &DesiredRecord) -> Option<ModelSummary> {
    let read = record(context, heard.app.as_str()).await;
    let now = read.map_or_else(|_| Some(heard.clone()), |found| found.map(|stored| stored.value))?;
    if now.wanted == Wanted::Forget || is_started_by_hand(context, &now).await {
        return None;
    }
    Some(summary(context, &now).await)
}

/// Whether nobody has a manifest of it: wadm's clients undeploy all that they are told of.
async fn is_started_by_hand(context: &Context, record: &DesiredRecord) -> bool {
    let Some(newest) = versions::all(record).pop() else { return false };
    let known = context.records.revisions.get(&record.app, newest.revision).await;
    known.is_ok_and(|known| known.spec.as_ref().is_ok_and(|spec| is_by_hand(spec)))
}

async fn summary(context: &Context, record: &DesiredRecord) -> ModelSummary {
    let detailed_status = match read::status(context, record.app.clone()).await {
        Ok(found) => status::of(context, &found).await,
        Err(error) => broken(&error.message),
    };
    let all = versions::all(record);
    let newest = all.last();
    let deployed_version = versions::deployed(context, record).await;
    let version = newest.map(|known| known.name.clone()).or_else(|| deployed_version.clone());
    let description = match newest {
        Some(known) => {
            let manifest = manifest(context, &record.app, known.revision, &known.name).await.ok();
            let text =
                manifest.as_ref().and_then(|manifest| manifest.pointer("/metadata/annotations/description"));
            text.and_then(|text| text.as_str()).map(str::to_owned)
        }
        None => None,
    };
    let name = record.app.to_string();
    summarise(name, version.unwrap_or_default(), description, deployed_version, detailed_status)
}

fn summarise(
    name: String,
    version: String,
    description: Option<String>,
    deployed_version: Option<String>,
    detailed_status: Status,
) -> ModelSummary {
    let StatusInfo { kind, message } = detailed_status.status.clone();
    ModelSummary {
        name,
        version,
        description,
        deployed_version,
        // Old readers do not know the word.
        status: if kind == StatusKind::Waiting { StatusKind::Undeployed } else { kind },
        status_message: Some(message).filter(|message| !message.is_empty()),
        detailed_status,
    }
}

fn unreadable(app: &AppName, cause: &str) -> ModelSummary {
    summarise(app.to_string(), String::new(), None, None, broken(cause))
}

fn broken(cause: &str) -> Status {
    let status = StatusInfo { kind: StatusKind::Failed, message: cause.to_owned() };
    Status { status, ..Status::default() }
}

/// A manifest as 1.x tells it, with its name in it.
async fn manifest(
    context: &Context,
    app: &AppName,
    revision: Revision,
    version: &str,
) -> Result<Manifest, Failure> {
    let known = context.records.revisions.get(app, revision).await;
    let known = known.map_err(|error| failure(error.to_string()))?;
    json::named(known.record.manifest.as_bytes(), version)
        .map_err(|found| failure(found.first().map(ToString::to_string).unwrap_or_default()))
}
