//! What users ask for, as a change of the record. Nothing is stored or sent here.

use std::collections::BTreeMap;

use lath_control_api::app::{Cause, ChangeKind, ChangeReply, ScaleRequest};
use lath_control_api::{ApiError, AppName, Digest, ErrorCode, Revision, Step, Timestamp};

use crate::planted::planted;
use crate::record::{DesiredRecord, Pinned, Resolved, RevisionRecord, SCHEMA, Wanted};
use crate::{rollout, versions};

/// Most tags of an app.
const MAX_TAGS: usize = 100;

/// An accepted change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The record to commit; none when nothing has to change.
    pub record: Option<DesiredRecord>,
    /// The revision to write before the record is committed, if the change makes one.
    pub revision: Option<RevisionRecord>,
    /// What the user is told.
    pub reply: ChangeReply,
}

/// A manifest to be deployed, with its images resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct DeployAsk {
    /// The app that the manifest names.
    pub app: AppName,
    /// The manifest's text.
    pub manifest: String,
    /// What its owner calls it.
    pub version: String,
    /// What its image references stand for.
    pub images: BTreeMap<String, Resolved>,
    /// What its other names that lead out of it stand for.
    pub pinned: Pinned,
    /// Who and why.
    pub cause: Cause,
    /// Refuse unless this revision is deployed; 0 stands for none.
    pub if_revision: Option<Revision>,
    /// Properties of the rollout policy that differ this time.
    pub overrides: BTreeMap<String, String>,
}

/// Deploys a manifest. `current` is the revision that `record` names as wanted.
///
/// # Errors
/// When another revision is deployed than the caller expects.
pub fn deploy(
    record: Option<&DesiredRecord>,
    current: Option<&RevisionRecord>,
    ask: DeployAsk,
    now: Timestamp,
) -> Result<Change, ApiError> {
    check_expected(record, &ask.app, ask.if_revision)?;
    let content = RevisionRecord::content_of(&ask.manifest, &ask.images, &ask.pinned, &BTreeMap::new());
    if let Some(record) = record.filter(|record| runs(record, current, &content)) {
        return Ok(unchanged(record));
    }
    let mut next = record.cloned().unwrap_or_else(|| DesiredRecord::new(ask.app.clone()));
    let number = next.last_revision.next();
    let revision = RevisionRecord {
        schema: SCHEMA,
        app: ask.app,
        revision: number,
        manifest: ask.manifest,
        images: ask.images,
        pinned: ask.pinned,
        content,
        scale: BTreeMap::new(),
        repeats: None,
        version: ask.version.clone(),
        only_put: false,
        created: now,
        cause: ask.cause.clone(),
    };
    let from = start(&mut next, ChangeKind::Deploy, Some(number), ask.cause, ask.overrides, now);
    versions::note(&mut next, &ask.version, number);
    Ok(changed(next, from, Some(revision)))
}

impl Change {
    /// The same change, whose rollout differs from the policy in these properties.
    #[must_use]
    pub fn overriding(mut self, overrides: BTreeMap<String, String>) -> Self {
        if let Some(rollout) = self.record.as_mut().and_then(|record| record.rollout.as_mut()) {
            rollout.overrides = overrides;
        }
        self
    }
}

/// The revision to go back to: `to`, or the newest good one that differs from what is wanted now.
///
/// # Errors
/// When there is none, or when `to` failed or was never good.
pub fn rollback_target(
    record: &DesiredRecord,
    to: Option<Revision>,
    content_of: impl Fn(Revision) -> Option<Digest>,
) -> Result<Revision, ApiError> {
    let app = &record.app;
    if let Some(failed) = record.failed.keys().next_back().filter(|_| planted!("rollback-to-failed")) {
        return Ok(*failed);
    }
    if let Some(to) = to {
        if let Some(problem) = record.failed.get(&to) {
            return Err(ApiError::new(
                ErrorCode::UnfitRevision,
                format!("revision {to} of `{app}` failed: {}", problem.message),
            )
            .with_help(format!("choose a revision that completed: lath history {app}")));
        }
        if !record.good.contains(&to) {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("`{app}` has no revision {to} that completed"),
            )
            .with_help(format!("lath history {app}")));
        }
        return Ok(to);
    }
    // In the middle of a rollout, going back means to what serves.
    if let Some(serving) =
        record.serving.filter(|serving| record.rollout.is_some() && Some(*serving) != record.revision)
    {
        return Ok(serving);
    }
    let wanted = record.revision.and_then(&content_of);
    let differs = |revision: &&Revision| wanted.is_none() || content_of(**revision) != wanted;
    record.good.iter().rev().find(differs).copied().ok_or_else(|| {
        ApiError::new(ErrorCode::NoPrevious, format!("`{app}` has no earlier revision to go back to"))
            .with_help(format!("lath history {app}"))
    })
}

/// Goes back to `target`, as a new revision that repeats it. `current` is the revision that is wanted now.
///
/// # Errors
/// When another revision is deployed than the caller expects.
pub fn rollback(
    record: &DesiredRecord,
    current: Option<&RevisionRecord>,
    target: &RevisionRecord,
    cause: Cause,
    if_revision: Option<Revision>,
    now: Timestamp,
) -> Result<Change, ApiError> {
    check_expected(Some(record), &record.app, if_revision)?;
    if runs(record, current, &target.content) {
        return Ok(unchanged(record));
    }
    Ok(repeat(record, target, ChangeKind::Rollback, cause, now))
}

/// Sets the number of instances of a component, on top of what `current`, the revision that is wanted, says.
///
/// # Errors
/// When nothing is deployed, or another revision than the caller expects.
pub fn scale(
    record: &DesiredRecord,
    current: Option<&RevisionRecord>,
    ask: &ScaleRequest,
    now: Timestamp,
) -> Result<Change, ApiError> {
    let app = &record.app;
    check_expected(Some(record), app, ask.if_revision)?;
    let Some(current) = current.filter(|_| record.wanted == Wanted::Run) else {
        return Err(not_deployed(app));
    };
    let mut scaled = current.clone();
    scaled.scale.insert(ask.component.clone(), ask.instances);
    scaled.content =
        RevisionRecord::content_of(&scaled.manifest, &scaled.images, &scaled.pinned, &scaled.scale);
    if runs(record, Some(current), &scaled.content) {
        return Ok(unchanged(record));
    }
    let mut change = repeat(record, &scaled, ChangeKind::Scale, ask.cause.clone(), now);
    if let Some(revision) = &mut change.revision {
        revision.repeats = None;
    }
    Ok(change)
}

/// Takes other values of what the manifest of `current`, the revision that is wanted, names and does not say. Its code and
/// the instances that were set by hand stay.
///
/// # Errors
/// When nothing is deployed.
pub fn repin(
    record: &DesiredRecord,
    current: Option<&RevisionRecord>,
    pinned: Pinned,
    cause: Cause,
    now: Timestamp,
) -> Result<Change, ApiError> {
    let Some(current) = current.filter(|_| record.wanted == Wanted::Run) else {
        return Err(not_deployed(&record.app));
    };
    let mut next = RevisionRecord { pinned, ..current.clone() };
    next.content = RevisionRecord::content_of(&next.manifest, &next.images, &next.pinned, &next.scale);
    if runs(record, Some(current), &next.content) {
        return Ok(unchanged(record));
    }
    let mut change = repeat(record, &next, ChangeKind::Deploy, cause, now);
    if let Some(revision) = &mut change.revision {
        revision.repeats = None;
    }
    Ok(change)
}

fn not_deployed(app: &AppName) -> ApiError {
    ApiError::new(ErrorCode::Conflict, format!("`{app}` is not deployed"))
        .with_help(format!("deploy it first: lath deploy {app}@REVISION"))
}

/// Gives a revision a name, or takes the name away.
///
/// # Errors
/// When the tag is no name, or the app has no such revision that was ever deployed.
pub fn tag(
    record: &DesiredRecord,
    tag: &str,
    revision: Option<Revision>,
) -> Result<Option<DesiredRecord>, ApiError> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let is_name = (1..=64).contains(&tag.len())
        && tag.chars().all(allowed)
        && !tag.chars().all(|char| char.is_ascii_digit());
    if !is_name {
        let message = format!("`{}` is no tag", tag.escape_debug());
        return Err(ApiError::new(ErrorCode::BadRequest, message)
            .with_help("1 to 64 letters, digits, `-`, `_` and `.`, and not only digits"));
    }
    let app = &record.app;
    if let Some(unknown) = revision.filter(|revision| *revision > record.last_revision || revision.0 == 0) {
        return Err(ApiError::new(ErrorCode::NotFound, format!("`{app}` has no revision {unknown}"))
            .with_help(format!("lath history {app}")));
    }
    if revision.is_some() && record.tags.len() >= MAX_TAGS && !record.tags.contains_key(tag) {
        return Err(ApiError::new(ErrorCode::TooLarge, format!("`{app}` has {MAX_TAGS} tags already"))
            .with_help(format!("take one away: lath revision untag {app} TAG")));
    }
    if record.tags.get(tag).copied() == revision {
        return Ok(None);
    }
    let mut next = record.clone();
    match revision {
        Some(revision) => next.tags.insert(tag.to_owned(), revision),
        None => next.tags.remove(tag),
    };
    Ok(Some(next))
}

/// Tries a revision once more that has failed, as a new one with the same content.
#[must_use]
pub fn retry(
    record: &DesiredRecord,
    current: Option<&RevisionRecord>,
    failed: &RevisionRecord,
    cause: Cause,
    now: Timestamp,
) -> Change {
    if runs(record, current, &failed.content) {
        return unchanged(record);
    }
    repeat(record, failed, ChangeKind::Deploy, cause, now)
}

/// Deploys what is in `original` as a new revision.
fn repeat(
    record: &DesiredRecord,
    original: &RevisionRecord,
    kind: ChangeKind,
    cause: Cause,
    now: Timestamp,
) -> Change {
    let mut next = record.clone();
    let number = next.last_revision.next();
    let revision = RevisionRecord {
        schema: SCHEMA,
        revision: number,
        repeats: Some(original.repeats.unwrap_or(original.revision)),
        only_put: false,
        created: now,
        cause: cause.clone(),
        ..original.clone()
    };
    let from = start(&mut next, kind, Some(number), cause, BTreeMap::new(), now);
    versions::note(&mut next, &revision.version, number);
    changed(next, from, Some(revision))
}

/// Stops an app. Its revisions stay.
#[must_use]
pub fn undeploy(app: &AppName, record: Option<&DesiredRecord>, cause: Cause, now: Timestamp) -> Change {
    stop(app, record, Wanted::Stop, cause, now)
}

/// Stops an app and forgets it once nothing of it is left.
#[must_use]
pub fn delete(app: &AppName, record: Option<&DesiredRecord>, cause: Cause, now: Timestamp) -> Change {
    stop(app, record, Wanted::Forget, cause, now)
}

fn stop(
    app: &AppName,
    record: Option<&DesiredRecord>,
    wanted: Wanted,
    cause: Cause,
    now: Timestamp,
) -> Change {
    let already = |record: &DesiredRecord| match wanted {
        Wanted::Stop => record.is_stopped_on_request(),
        Wanted::Run | Wanted::Forget => record.wanted == wanted,
    };
    let Some(record) = record else { return unchanged(&DesiredRecord::new(app.clone())) };
    if already(record) {
        return unchanged(record);
    }
    let mut next = record.clone();
    next.wanted = wanted;
    if wanted == Wanted::Forget {
        next.versions.clear();
    }
    let from = start(&mut next, ChangeKind::Undeploy, None, cause, BTreeMap::new(), now);
    // Hosts may drop it at any moment from now on, so nothing counts as serving any more.
    next.serving = None;
    next.base = crate::record::Assignment::default();
    changed(next, from, None)
}

/// Whether `record` is on the way to this content, or there.
fn runs(record: &DesiredRecord, current: Option<&RevisionRecord>, content: &Digest) -> bool {
    let same = current
        .is_some_and(|current| Some(current.revision) == record.revision && current.content == *content);
    let fails = record.rollout.as_ref().is_some_and(|rollout| rollout.problem.is_some());
    record.wanted == Wanted::Run && same && !fails
}

/// Takes the change into the record. Returns the revision that it comes from.
fn start(
    record: &mut DesiredRecord,
    kind: ChangeKind,
    to: Option<Revision>,
    cause: Cause,
    overrides: BTreeMap<String, String>,
    now: Timestamp,
) -> Option<Revision> {
    rollout::supersede(record);
    let from = record.serving;
    record.generation = record.generation.next();
    record.step = Step(1);
    record.revision = to;
    if let Some(to) = to {
        record.wanted = Wanted::Run;
        record.last_revision = to;
    }
    rollout::begin(record, kind, overrides, now);
    record.begin_history(kind, from, cause, now);
    from
}

fn changed(record: DesiredRecord, from: Option<Revision>, revision: Option<RevisionRecord>) -> Change {
    let reply = ChangeReply { from, unchanged: false, ..reply(&record) };
    Change { record: Some(record), revision, reply }
}

fn unchanged(record: &DesiredRecord) -> Change {
    Change { record: None, revision: None, reply: reply(record) }
}

pub(crate) fn reply(record: &DesiredRecord) -> ChangeReply {
    ChangeReply {
        app: record.app.clone(),
        revision: record.revision,
        from: record.serving,
        generation: record.generation,
        unchanged: true,
        notes: Vec::new(),
    }
}

fn check_expected(
    record: Option<&DesiredRecord>,
    app: &AppName,
    expected: Option<Revision>,
) -> Result<(), ApiError> {
    let found = record.and_then(|record| record.revision).unwrap_or(Revision(0));
    match expected {
        Some(expected) if expected != found => {
            Err(ApiError::new(ErrorCode::Conflict, format!("`{app}` is at revision {found}, not {expected}"))
                .with_help(format!("look at what changed: lath history {app}")))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
