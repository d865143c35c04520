//! `model.deploy`, `model.undeploy` and `model.del`.

use std::collections::BTreeMap;

use lath_control_api::app::{AppRequest, Cause};
use lath_manager_planner::record::Wanted;
use lath_wasmcloud::wadm::{
    DeleteModel, DeleteReply, DeleteResult, DeployModel, DeployReply, DeployResult, Failure,
};
use serde_json::Value;

use super::{body, not_found, record, refused};
use crate::api::{change, versions};
use crate::context::Context;

/// The word that stands for the newest version.
const LATEST: &str = "latest";

pub(super) async fn deploy(
    context: &Context,
    name: &str,
    bytes: &[u8],
    cause: Cause,
) -> Result<DeployReply, Failure> {
    let ask: DeployModel = body(bytes, "deploy")?;
    let reply = |result, message, version| DeployReply { result, message, name: name.to_owned(), version };
    let Some(record) = record(context, name).await? else {
        return Ok(reply(DeployResult::NotFound, not_found(name), None));
    };
    let all = versions::all(&record.value);
    let wanted = ask.version.as_deref().filter(|version| *version != LATEST);
    let found = wanted.map_or_else(|| all.last(), |wanted| all.iter().find(|known| known.name == wanted));
    let Some(version) = found else {
        let wanted = wanted.unwrap_or(LATEST);
        let message =
            format!("Application with the name '{name}' does not have a version '{wanted}' to deploy");
        return Ok(reply(DeployResult::Error, message, None));
    };
    let deployed = versions::deploy(context, &record.value, version, cause).await;
    deployed.map_err(|error| refused(&error))?;
    let message = format!("Successfully deployed application {name} {}", version.name);
    Ok(reply(DeployResult::Acknowledged, message, Some(version.name.clone())))
}

pub(super) async fn undeploy(
    context: &Context,
    name: &str,
    bytes: &[u8],
    cause: Cause,
) -> Result<DeployReply, Failure> {
    let _: BTreeMap<String, Value> = body(bytes, "undeploy")?;
    let reply = |result, message| DeployReply { result, message, name: name.to_owned(), version: None };
    let Some(record) = record(context, name).await? else {
        return Ok(reply(DeployResult::NotFound, not_found(name)));
    };
    let message = if record.value.wanted == Wanted::Run {
        let ask = AppRequest { app: record.value.app, cause, dry_run: false };
        change::undeploy(context, ask).await.map_err(|error| refused(&error))?;
        format!("Successfully undeployed application {name}")
    } else {
        format!("Application {name} was already undeployed")
    };
    Ok(reply(DeployResult::Acknowledged, message))
}

/// Unlike wadm, deleting a version that is not there leaves what runs alone.
pub(super) async fn delete(
    context: &Context,
    name: &str,
    bytes: &[u8],
    cause: Cause,
) -> Result<DeleteReply, Failure> {
    let ask: DeleteModel = body(bytes, "delete")?;
    let reply = |result, message, undeploy| DeleteReply { result, message, undeploy };
    let Some(record) = record(context, name).await?.map(|stored| stored.value) else {
        let message = format!("Application {name} doesn't exist or was already deleted");
        return Ok(reply(DeleteResult::Noop, message, false));
    };
    let Some(version) = ask.version else {
        let ask = AppRequest { app: record.app, cause, dry_run: false };
        change::delete(context, ask).await.map_err(|error| refused(&error))?;
        let message = format!("Successfully deleted application {name}");
        return Ok(reply(DeleteResult::Deleted, message, true));
    };
    if !record.versions.iter().any(|known| known.name == version) {
        let message = format!("Application version {version} doesn't exist");
        return Ok(reply(DeleteResult::Noop, message, false));
    }
    let last = record.versions.len() == 1;
    let undeploy = last || versions::deployed(context, &record).await.as_ref() == Some(&version);
    versions::forget(context, &record, &version, cause).await.map_err(|error| refused(&error))?;
    let what = if last { "last version" } else { "version" };
    let of = if last { String::new() } else { format!(" {version}") };
    let message = format!("Successfully deleted {what}{of} of application {name}");
    Ok(reply(DeleteResult::Deleted, message, undeploy))
}
