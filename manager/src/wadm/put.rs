//! `model.put`: a manifest is kept and nothing is deployed.

use std::time::Duration;

use lath_control_api::{AppName, ErrorCode};
use lath_control_api_client::async_nats::Message;
use lath_manifests::limits::MAX_BYTES;
use lath_wasmcloud::wadm::{Failure, PutReply, PutResult};
use serde::de::IgnoredAny;

use super::{cause, failure, header, images, record, refused};
use crate::api::versions;
use crate::context::Context;

/// Longest wait for this manager to hear of what it has just written.
const HEARD: Duration = Duration::from_millis(500);

pub(super) async fn put(context: &Context, request: &Message) -> Result<PutReply, Failure> {
    let manifest = text(request)?;
    let put = versions::put(context, manifest, images(request)?, cause(request)).await;
    let put = put.map_err(|error| match error.code {
        // Word for word as wadm says it: clients look for a part of it.
        ErrorCode::Conflict => failure(error.message),
        ErrorCode::InvalidManifest => failure(all_problems(&error)),
        _ => refused(&error),
    })?;
    be_heard(context, &put.app).await;
    let name = put.app.as_str();
    let versions = record(context, name).await?.map(|stored| stored.value.versions).unwrap_or_default();
    // Others may have put theirs in the meantime; what was before ours is what stands before it.
    let at = versions.iter().position(|known| known.name == put.version).unwrap_or_default();
    let before = at.checked_sub(1).and_then(|at| versions.get(at)).map(|known| known.name.as_str());
    let result = if before.is_some() { PutResult::NewVersion } else { PutResult::Created };
    Ok(PutReply {
        result,
        total_versions: versions.len(),
        // The version of before, which is how wadm has always said it.
        message: format!("Successfully put manifest {name} {}", before.unwrap_or_default()),
        name: name.to_owned(),
        current_version: put.version,
    })
}

/// Waits until this manager has heard of the app from the store: whoever lists next finds it.
async fn be_heard(context: &Context, app: &AppName) {
    let heard = async {
        while !context.records.apps().slots.contains_key(app) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let _ = tokio::time::timeout(HEARD, heard).await;
}

/// The manifest's text in the format that the request names. YAML is read as JSON is: it contains it.
fn text(request: &Message) -> Result<String, Failure> {
    let wrong = |detail: String| failure(format!("Unable to parse manifest: {detail}"));
    let body = &request.payload;
    if body.len() > MAX_BYTES {
        return Err(wrong(format!("it has {} bytes, and at most {MAX_BYTES} are allowed", body.len())));
    }
    match header(request, "Content-Type") {
        Some("application/json") => {
            serde_json::from_slice::<IgnoredAny>(body).map_err(|error| wrong(error.to_string()))?;
        }
        Some("application/yaml") | None => {}
        Some(other) => {
            let other = other.escape_debug();
            let words = format!("Unsupported content type {other} given. Wadm supports YAML and JSON");
            return Err(wrong(words));
        }
    }
    String::from_utf8(body.to_vec()).map_err(|error| wrong(error.to_string()))
}

/// All that is wrong with a manifest, where wadm says the first.
fn all_problems(error: &lath_control_api::ApiError) -> String {
    let found: Vec<lath_manifests::Diagnostic> =
        error.details.clone().and_then(|details| serde_json::from_value(details).ok()).unwrap_or_default();
    let errors = found.iter().filter(|found| found.severity == lath_manifests::Severity::Error);
    let said: Vec<String> = errors.map(ToString::to_string).collect();
    if said.is_empty() { error.message.clone() } else { said.join("; ") }
}
