//! Manifests by the names that their owners gave them: kept without being deployed, and deployed by name.

use std::collections::BTreeMap;

use lath_control_api::app::{Cause, ChangeReply, DeployRequest};
use lath_control_api::{ApiError, AppName, Digest};
use lath_manager_planner::DesiredRecord;
use lath_manager_planner::record::{Resolved, Wanted};
use lath_manager_planner::versions::{PutAsk, Version};
use lath_manifests::json;

use super::change::{Ask, carry_out, deploy_as, invalid, made_version, no_revision};
use crate::context::Context;
use crate::files;

/// A manifest that was kept.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) app: AppName,
    pub(crate) version: String,
}

/// Keeps a manifest; what its owner wrote, byte for byte, unless a name has to be put into it. `images` are in the
/// lattice's store already.
pub(crate) async fn put(
    context: &Context,
    manifest: String,
    images: BTreeMap<String, Digest>,
    cause: Cause,
) -> Result<Put, ApiError> {
    let loaded = lath_manifests::load(manifest.as_bytes()).map_err(invalid)?.manifest;
    let (manifest, version) = match loaded.version {
        Some(version) => (manifest, version),
        None => {
            let version = made_version();
            (json::named(manifest.as_bytes(), &version).map_err(invalid)?.to_string(), version)
        }
    };
    let images = images.into_iter().map(|(image, digest)| (image, Resolved::Code { digest })).collect();
    let put = Put { app: loaded.name.clone(), version: version.clone() };
    let ask = PutAsk { app: loaded.name, manifest, images, version, cause };
    carry_out(context, &Ask::Put(ask), false).await?;
    Ok(put)
}

/// Rolls a version out. What its images stood for when it was carried through before they stand for again, except files
/// that this manager may read: they are what they are now.
pub(crate) async fn deploy(
    context: &Context,
    record: &DesiredRecord,
    version: &Version,
    cause: Cause,
) -> Result<ChangeReply, ApiError> {
    let known = context.records.revisions.get(&record.app, version.revision).await.map_err(no_revision)?;
    // What failed is tried with what its tags stand for now: somebody may have mended it.
    let pinned = known.record.only_put || record.good.contains(&version.revision);
    let manifest = known.record.manifest.clone();
    let loaded = lath_manifests::load(manifest.as_bytes()).map_err(invalid)?.manifest;
    let mut pushed = BTreeMap::new();
    for (image, resolved) in &known.record.images {
        if let (Resolved::Code { digest }, true) = (resolved, pinned || image.starts_with("file://")) {
            pushed.insert(image.clone(), digest.clone());
        }
    }
    files::take_in(context, &loaded, &mut pushed).await?;
    let request = DeployRequest {
        manifest,
        pushed,
        cause,
        if_revision: None,
        dry_run: false,
        rollout: BTreeMap::new(),
        plan: None,
    };
    deploy_as(context, request, Some(version.name.clone())).await
}

/// Takes a version away; with the last one the app goes. Tells whether what runs is stopped by it.
pub(crate) async fn forget(
    context: &Context,
    record: &DesiredRecord,
    version: &str,
    cause: Cause,
) -> Result<(), ApiError> {
    let app = record.app.clone();
    let last = record.versions.iter().all(|known| known.name == version);
    let ask = if last {
        Ask::Forget { app, cause }
    } else {
        Ask::ForgetVersion { app, version: version.to_owned(), cause }
    };
    carry_out(context, &ask, false).await.map(drop)
}

/// The versions of an app, in the order in which their names came. One of before there were names has the one that is
/// deployed, or was carried through last.
pub(crate) fn all(record: &DesiredRecord) -> Vec<Version> {
    let unnamed =
        record.revision.or_else(|| record.good.last().copied()).filter(|_| record.versions.is_empty());
    let unnamed = unnamed.map(|revision| Version { name: revision.to_string(), revision });
    record.versions.iter().cloned().chain(unnamed).collect()
}

/// The name of what is deployed; none when nothing is.
pub(crate) async fn deployed(context: &Context, record: &DesiredRecord) -> Option<String> {
    let revision = record.revision.filter(|_| record.wanted == Wanted::Run)?;
    let known = context.records.revisions.get(&record.app, revision).await.ok()?;
    // What was deployed before there were such names is called by its number.
    let version = &known.record.version;
    Some(if version.is_empty() { revision.to_string() } else { version.clone() })
}
