//! Questions about revisions: what one says, and what two of them differ in.

use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::app::{DiffRequest, RevisionDiff, RevisionRequest, RevisionShown};
use lath_control_api::{ApiError, AppName, Digest, ErrorCode, Revision};
use lath_manager_planner::DesiredRecord;
use lath_manager_planner::diff::differences;
use lath_manager_planner::record::Resolved;

use super::read::{no_app, unreadable};
use crate::context::Context;
use crate::revisions::{Known, RevisionError};

/// A revision as it was accepted; the deployed one, or the last one that was, when none is named.
pub(crate) async fn show(context: &Context, ask: RevisionRequest) -> Result<RevisionShown, ApiError> {
    let record = record(context, &ask.app).await?;
    let last = || record.history.iter().find_map(|entry| entry.revision);
    let wanted = ask.revision.or(record.revision).or_else(last);
    let wanted =
        wanted.ok_or_else(|| ApiError::new(ErrorCode::NotFound, format!("`{}` has no revision", ask.app)))?;
    let known = revision(context, &record, wanted).await?;
    let of = |tag: &Revision| *tag == wanted;
    let tags = record.tags.iter().filter(|(_, revision)| of(revision)).map(|(tag, _)| tag.clone()).collect();
    let held = &known.record;
    let code = |(reference, image): (&String, &Resolved)| match image {
        Resolved::Code { digest } => Some((reference.clone(), digest.clone())),
        Resolved::Builtin { .. } => None,
    };
    let images: BTreeMap<String, Digest> = held.images.iter().filter_map(code).collect();
    Ok(RevisionShown {
        app: ask.app,
        revision: wanted,
        manifest: held.manifest.clone(),
        images,
        configs: held.pinned.configs.clone(),
        content: held.content.clone(),
        scale: held.scale.clone(),
        repeats: held.repeats,
        created: held.created,
        cause: held.cause.clone(),
        tags,
        completed: record.good.contains(&wanted),
        failed: record.failed.get(&wanted).cloned(),
    })
}

/// What two revisions differ in.
pub(crate) async fn diff(context: &Context, ask: DiffRequest) -> Result<RevisionDiff, ApiError> {
    let DiffRequest { app, from, to } = ask;
    let record = record(context, &app).await?;
    let spec = async |number| {
        let known = revision(context, &record, number).await?;
        known.spec.clone()
    };
    let (old, new) = (spec(from).await?, spec(to).await?);
    let (changes, _) = differences(Some(&old), &new);
    Ok(RevisionDiff { app, from, to, changes })
}

async fn record(context: &Context, app: &AppName) -> Result<DesiredRecord, ApiError> {
    let record = context.records.read(app).await.map_err(|error| unreadable(&error))?;
    record.map(|stored| stored.value).ok_or_else(|| no_app(context, app))
}

async fn revision(
    context: &Context,
    record: &DesiredRecord,
    number: Revision,
) -> Result<Arc<Known>, ApiError> {
    let app = &record.app;
    context.records.revisions.get(app, number).await.map_err(|error| match error {
        RevisionError::Read(error) => unreadable(&error),
        RevisionError::Missing { .. } => {
            ApiError::new(ErrorCode::NotFound, format!("`{app}` has no revision {number}"))
                .with_help(format!("revisions go from 1 to {}: lath history {app}", record.last_revision))
        }
        RevisionError::Unusable { .. } => ApiError::new(ErrorCode::UnfitRevision, error.to_string())
            .with_help(format!("choose another one: lath history {app}")),
    })
}
