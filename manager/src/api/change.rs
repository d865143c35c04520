//! Changes: what users ask for becomes a revision and a new record, or a refusal that changed nothing.
//!
//! The revision is written first and the record last, by compare-and-set: only the record makes a change happen. When
//! somebody else was faster, everything is judged again from what is there now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::app::{
    AppRequest, Cause, ChangeReply, DeployRequest, RollbackRequest, RolloutAction, RolloutRequest,
    ScaleRequest, TagRequest, Tags,
};
use lath_control_api::plan::Plan;
use lath_control_api::{ApiError, AppName, ComponentName, ErrorCode, Generation, Revision, Timestamp};
use lath_control_api_client::{Stored, WriteError};
use lath_manager_planner::change::{self, Change, DeployAsk};
use lath_manager_planner::preview::{Preview, plan_id, preview};
use lath_manager_planner::record::{Pinned, Rollout};
use lath_manager_planner::versions::PutAsk;
use lath_manager_planner::{AppSpec, DesiredRecord, RevisionRecord, admit, steer, versions};
use lath_manifests::limits::MAX_INSTANCES;
use lath_manifests::manifest::{Manifest, RollbackRule, RolloutPolicy, Scaling};
use lath_manifests::rollout::override_policy;
use lath_manifests::{Diagnostic, Loaded};

use super::images::{self, Presence};
use super::pinned;
use super::read::{no_app, unreadable};
use crate::context::Context;
use crate::records::Slot;
use crate::revisions::{Known, RevisionError, Written, expanded};

/// Times that a change is judged anew because somebody else was faster: in the middle of a rollout the manager itself
/// writes the record every few milliseconds.
const TRIES: u32 = 30;
/// Pause before the second try; grows with each further one.
const PAUSE: Duration = Duration::from_millis(4);

type Record = Option<Stored<DesiredRecord>>;

/// What is to be done, or why not, as judged from the record that is there.
enum Tried {
    /// It is done, or there was nothing to do.
    Done(ChangeReply),
    /// Somebody else was faster.
    Again,
}

/// A change that is asked for, ready to be judged by any record.
pub(super) enum Ask {
    Deploy { ask: DeployAsk, plan: Option<String> },
    Put(PutAsk),
    ForgetVersion { app: AppName, version: String, cause: Cause },
    Rollback(RollbackRequest),
    Steer { app: AppName, action: RolloutAction, cause: Cause, if_generation: Option<Generation> },
    Scale(ScaleRequest),
    Repin { app: AppName, cause: Cause },
    Tag(TagRequest),
    Stop { app: AppName, cause: Cause },
    Forget { app: AppName, cause: Cause },
}

/// Makes a revision of a manifest and asks for its rollout.
pub(crate) async fn deploy(context: &Context, ask: DeployRequest) -> Result<ChangeReply, ApiError> {
    deploy_as(context, ask, None).await
}

/// The same for a manifest that has this name already; none when it is in the manifest or is to be made.
pub(super) async fn deploy_as(
    context: &Context,
    ask: DeployRequest,
    version: Option<String>,
) -> Result<ChangeReply, ApiError> {
    let (plan, dry_run) = (ask.plan.clone(), ask.dry_run);
    let (mut ask, warnings) = read(context, ask, Presence::Required).await?;
    ask.version = version.unwrap_or(ask.version);
    let mut reply = carry_out(context, &Ask::Deploy { ask, plan }, dry_run).await?;
    reply.notes.extend(warnings.iter().map(ToString::to_string));
    Ok(reply)
}

/// What a deploy would do. Code that the caller has and the lattice has not is no obstacle yet.
pub(crate) async fn plan(context: &Context, ask: DeployRequest) -> Result<Plan, ApiError> {
    let (ask, warnings) = read(context, ask, Presence::Optional).await?;
    let app = ask.app.clone();
    let record = context.records.read(&app).await.map_err(|error| unreadable(&error))?;
    let deploy = Ask::Deploy { ask: ask.clone(), plan: None };
    let change = deploy.judge(context, value(&record)).await?;
    let current = wanted_revision(context, value(&record)).await?;
    // An unchanged deploy makes no revision: the one that is there is what it would lead to.
    let revision = match (&change.revision, &current) {
        (Some(revision), _) => revision.clone(),
        (None, Some(current)) => current.record.clone(),
        (None, None) => return Err(no_app(context, &app)),
    };
    if change.revision.is_some() {
        check(context, value(&record), &revision).await?;
    }
    let mut needed = value(&record).map(DesiredRecord::needed_revisions).unwrap_or_default();
    needed.extend(value(&record).and_then(|record| record.revision));
    let known = context.records.revisions.some(&app, &needed).await;
    let revisions = known
        .into_iter()
        .filter_map(|(number, known)| Some((number, Arc::clone(known.spec.as_ref().ok()?))))
        .collect();
    let snapshot = context.observed.snapshot();
    let mut plan = preview(&Preview {
        now: snapshot.now(&context.clock).unwrap_or_else(|| context.clock.now()),
        observed: &snapshot.state,
        limits: &context.limits,
        record: value(&record),
        change: &change,
        revision: &revision,
        spec: &expanded(&revision)?,
        revisions: &revisions,
    });
    plan.notes.extend(warnings.iter().map(ToString::to_string));
    Ok(plan)
}

/// Says how a rollout goes on.
pub(crate) async fn rollout(context: &Context, ask: RolloutRequest) -> Result<ChangeReply, ApiError> {
    let RolloutRequest { app, action, cause, if_generation, dry_run } = ask;
    carry_out(context, &Ask::Steer { app, action, cause, if_generation }, dry_run).await
}

/// Sets the number of instances of a component.
pub(crate) async fn scale(context: &Context, ask: ScaleRequest) -> Result<ChangeReply, ApiError> {
    let dry_run = ask.dry_run;
    carry_out(context, &Ask::Scale(ask), dry_run).await
}

/// Rolls an app out anew with what the names stand for now that its manifest leaves open.
pub(crate) async fn repin(context: &Context, app: AppName, cause: Cause) -> Result<ChangeReply, ApiError> {
    carry_out(context, &Ask::Repin { app, cause }, false).await
}

/// Gives a revision a name, or takes it away.
pub(crate) async fn tag(context: &Context, ask: TagRequest) -> Result<Tags, ApiError> {
    let (app, dry_run) = (ask.app.clone(), ask.dry_run);
    carry_out(context, &Ask::Tag(ask), dry_run).await?;
    let record = context.records.read(&app).await.map_err(|error| unreadable(&error))?;
    let tags = value(&record).map(|record| record.tags.clone()).unwrap_or_default();
    Ok(Tags { app, tags })
}

/// The deploy that a request asks for.
async fn read(
    context: &Context,
    ask: DeployRequest,
    presence: Presence,
) -> Result<(DeployAsk, Vec<Diagnostic>), ApiError> {
    let Loaded { manifest, warnings } = lath_manifests::load(ask.manifest.as_bytes()).map_err(invalid)?;
    suits(&manifest, &ask.rollout)?;
    let pinned = pinned::pin(context, &manifest).await?;
    let images = images::resolve(context, &manifest, &ask.pushed, presence).await?;
    let DeployRequest { manifest: text, cause, if_revision, rollout: overrides, .. } = ask;
    let version = manifest.version.unwrap_or_else(made_version);
    let app = manifest.name;
    let deploy = DeployAsk { app, manifest: text, version, images, pinned, cause, if_revision, overrides };
    Ok((deploy, warnings))
}

/// A name for a manifest whose owner has given it none; later ones sort later.
pub(super) fn made_version() -> String {
    ulid::Ulid::generate().to_string()
}

/// Whether the policies of a manifest can be changed like that for one rollout.
fn suits(manifest: &Manifest, overrides: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let usual = RolloutPolicy::default();
    for policy in manifest.rollouts.iter().chain(manifest.rollouts.is_empty().then_some(&usual)) {
        if let Err(problems) = override_policy(policy, overrides) {
            let message = format!("this rollout cannot go like that: {}", problems.join("; "));
            return Err(ApiError::new(ErrorCode::InvalidManifest, message)
                .with_help("the properties of a rollout are those of the policy in docs/manifest.md"));
        }
    }
    Ok(())
}

/// Goes back to an earlier revision.
pub(crate) async fn rollback(context: &Context, ask: RollbackRequest) -> Result<ChangeReply, ApiError> {
    let dry_run = ask.dry_run;
    carry_out(context, &Ask::Rollback(ask), dry_run).await
}

/// Stops an app and keeps its revisions.
pub(crate) async fn undeploy(context: &Context, ask: AppRequest) -> Result<ChangeReply, ApiError> {
    let AppRequest { app, cause, dry_run } = ask;
    carry_out(context, &Ask::Stop { app, cause }, dry_run).await
}

/// Stops an app and forgets it.
pub(crate) async fn delete(context: &Context, ask: AppRequest) -> Result<ChangeReply, ApiError> {
    let AppRequest { app, cause, dry_run } = ask;
    carry_out(context, &Ask::Forget { app, cause }, dry_run).await
}

impl Ask {
    const fn app(&self) -> &AppName {
        match self {
            Self::Deploy { ask, .. } => &ask.app,
            Self::Put(ask) => &ask.app,
            Self::Scale(ask) => &ask.app,
            Self::Tag(ask) => &ask.app,
            Self::Rollback(ask) => &ask.app,
            Self::ForgetVersion { app, .. }
            | Self::Repin { app, .. }
            | Self::Steer { app, .. }
            | Self::Stop { app, .. }
            | Self::Forget { app, .. } => app,
        }
    }

    /// What the change makes of `record`.
    async fn judge(&self, context: &Context, record: Option<&DesiredRecord>) -> Result<Change, ApiError> {
        let now = context.clock.now();
        let there = || record.ok_or_else(|| no_app(context, self.app()));
        match self {
            Self::Deploy { ask, plan } => {
                let current = wanted_revision(context, record).await?;
                let current = current.as_ref().map(|known| &known.record);
                let change = change::deploy(record, current, ask.clone(), now)?;
                hold_to(plan.as_deref(), record, current, &change)?;
                Ok(change)
            }
            Self::Put(ask) => versions::put(record, ask.clone(), now),
            Self::ForgetVersion { version, cause, .. } => {
                forget_version(context, there()?, version, cause, now).await
            }
            Self::Steer { app, action, cause, if_generation } => {
                self.steer(context, there()?, (app, *action, cause), *if_generation).await
            }
            Self::Scale(ask) => {
                let current = wanted_revision(context, record).await?;
                let current = current.as_ref();
                has_component(current.map(AsRef::as_ref), ask)?;
                let current = current.map(|known| &known.record);
                change::scale(there()?, current, ask, now)
            }
            Self::Repin { cause, .. } => {
                let current = wanted_revision(context, record).await?;
                let current = current.as_ref().map(|known| &known.record);
                let pinned = match current {
                    Some(current) => {
                        let manifest =
                            lath_manifests::load(current.manifest.as_bytes()).map_err(invalid)?.manifest;
                        pinned::pin(context, &manifest).await?
                    }
                    None => Pinned::default(),
                };
                change::repin(there()?, current, pinned, cause.clone(), now)
            }
            Self::Tag(ask) => {
                let record = there()?;
                let next = change::tag(record, &ask.tag, ask.revision)?;
                let reply = steer::replied(record, next.as_ref());
                Ok(Change { record: next, revision: None, reply })
            }
            Self::Rollback(ask) => {
                let RollbackRequest { app, to, cause, if_revision, rollout, .. } = ask;
                let record = there()?;
                may_be_left(context, record).await?;
                let wanted = record.good.iter().copied().chain(record.needed_revisions()).collect();
                let known = context.records.revisions.some(app, &wanted).await;
                let content =
                    |revision| known.get(&revision).map(|known: &Arc<Known>| known.record.content.clone());
                let target = change::rollback_target(record, *to, content)?;
                let target = context.records.revisions.get(app, target).await.map_err(no_revision)?;
                let current = record.revision.and_then(|revision| known.get(&revision));
                let current = current.map(|known| &known.record);
                if !rollout.is_empty() {
                    let manifest = target.record.manifest.as_bytes();
                    suits(&lath_manifests::load(manifest).map_err(invalid)?.manifest, rollout)?;
                }
                let cause = cause.clone();
                let change = change::rollback(record, current, &target.record, cause, *if_revision, now)?;
                Ok(change.overriding(rollout.clone()))
            }
            Self::Stop { app, cause } => Ok(change::undeploy(app, Some(there()?), cause.clone(), now)),
            Self::Forget { app, cause } => Ok(change::delete(app, Some(there()?), cause.clone(), now)),
        }
    }
}

impl Ask {
    async fn steer(
        &self,
        context: &Context,
        record: &DesiredRecord,
        (app, action, cause): (&AppName, RolloutAction, &Cause),
        if_generation: Option<Generation>,
    ) -> Result<Change, ApiError> {
        if let Some(expected) = if_generation.filter(|expected| *expected != record.generation) {
            let message = format!("`{app}` is at generation {}, not {expected}", record.generation);
            return Err(ApiError::new(ErrorCode::Conflict, message)
                .with_help(format!("look at what changed: lath status {app}")));
        }
        if action == RolloutAction::Abort {
            may_be_left(context, record).await?;
        }
        if let (RolloutAction::Retry, Some(failed)) = (action, steer::retries(record)) {
            let failed = context.records.revisions.get(app, failed).await.map_err(no_revision)?;
            let current = wanted_revision(context, Some(record)).await?;
            let current = current.as_ref().map(|known| &known.record);
            return Ok(change::retry(record, current, &failed.record, cause.clone(), context.clock.now()));
        }
        let next = steer::steer(record, action, cause, context.clock.now())?;
        let reply = steer::replied(record, next.as_ref());
        Ok(Change { record: next, revision: None, reply })
    }
}

/// Refuses to leave a revision that its policy forbids to leave, once it has had traffic.
async fn may_be_left(context: &Context, record: &DesiredRecord) -> Result<(), ApiError> {
    let untouched = record.rollout.as_ref().is_some_and(Rollout::is_untouched);
    let Some(revision) = record.revision.filter(|_| !untouched) else { return Ok(()) };
    let Ok(known) = context.records.revisions.get(&record.app, revision).await else { return Ok(()) };
    let Ok(spec) = &known.spec else { return Ok(()) };
    if spec.rollouts.iter().all(|policy| policy.rollback != RollbackRule::Forbidden) {
        return Ok(());
    }
    let app = &record.app;
    let message = format!(
        "revision {revision} of `{app}` says `rollback: forbidden`: it may not be left for an earlier one"
    );
    Err(ApiError::new(ErrorCode::UnfitRevision, message)
        .with_help("deploy a revision that repairs it, or one whose policy allows to go back"))
}

/// Refuses a deploy that is not what was planned any more.
fn hold_to(
    plan: Option<&str>,
    record: Option<&DesiredRecord>,
    current: Option<&RevisionRecord>,
    change: &Change,
) -> Result<(), ApiError> {
    let (Some(expected), Some(revision)) = (plan, change.revision.as_ref().or(current)) else {
        return Ok(());
    };
    let found = plan_id(record, revision, change);
    if expected == found {
        return Ok(());
    }
    let app = &revision.app;
    let message =
        format!("the plan {expected} of `{app}` does not hold any more: something has changed since");
    Err(ApiError::new(ErrorCode::Conflict, message).with_help("plan again: lath plan FILE"))
}

fn has_component(current: Option<&Known>, ask: &ScaleRequest) -> Result<(), ApiError> {
    let Some(spec) = current.and_then(|known| known.spec.as_ref().ok()) else { return Ok(()) };
    let (app, component) = (&ask.app, &ask.component);
    let Some(plan) = spec.components.get(component) else {
        let names: Vec<&str> = spec.components.keys().map(ComponentName::as_str).collect();
        return Err(ApiError::new(ErrorCode::NotFound, format!("`{app}` has no component `{component}`"))
            .with_help(format!("it has {}", names.join(", "))));
    };
    if matches!(plan.scaling, Scaling::None) {
        let message = format!("`{component}` of `{app}` has no scaler: nothing says where it should run");
        return Err(ApiError::new(ErrorCode::BadRequest, message)
            .with_help("give it a `spreadscaler` or `daemonscaler` in the manifest"));
    }
    if !(1..=MAX_INSTANCES).contains(&ask.instances) {
        let message = format!("{} instances of `{component}`", ask.instances);
        return Err(ApiError::new(ErrorCode::BadRequest, message)
            .with_help(format!("1 to {MAX_INSTANCES} are allowed; to stop the app: lath undeploy {app}")));
    }
    Ok(())
}

/// Takes a version away, and stops the app if it is the one that is deployed.
async fn forget_version(
    context: &Context,
    record: &DesiredRecord,
    version: &str,
    cause: &Cause,
    now: Timestamp,
) -> Result<Change, ApiError> {
    let current = wanted_revision(context, Some(record)).await?;
    let deployed = current.is_some_and(|known| known.record.version == version);
    let stopped =
        deployed.then(|| change::undeploy(&record.app, Some(record), cause.clone(), now).record).flatten();
    let next = versions::without(stopped.as_ref().unwrap_or(record), version);
    let reply = steer::replied(record, next.as_ref());
    Ok(Change { record: next, revision: None, reply })
}

/// Judges a change by the record that is there, and writes it unless somebody else is faster.
pub(super) async fn carry_out(context: &Context, ask: &Ask, dry_run: bool) -> Result<ChangeReply, ApiError> {
    let app = ask.app();
    let mut number_taken = None;
    for earlier in 0..TRIES {
        tokio::time::sleep(PAUSE * earlier).await;
        let record = context.records.read(app).await.map_err(|error| unreadable(&error))?;
        let basis = skip_number(app, value(&record), number_taken);
        let change = ask.judge(context, basis.as_ref()).await?;
        if let Some(revision) = change.revision.as_ref().filter(|revision| !revision.only_put) {
            check(context, value(&record), revision).await?;
        }
        if dry_run {
            return Ok(change.reply);
        }
        if let Some(revision) = &change.revision {
            match context.records.revisions.write(revision).await.map_err(|error| unwritten(&error))? {
                Written::Stored => {}
                Written::Taken => {
                    number_taken = Some(revision.revision);
                    continue;
                }
            }
        }
        match write(context, change, &record).await? {
            Tried::Done(reply) => return Ok(reply),
            Tried::Again => {}
        }
    }
    Err(ApiError::new(ErrorCode::Conflict, format!("`{app}` is being changed by others at the same time"))
        .with_help(format!("look at what changed, then try again: lath history {app}")))
}

/// The record with a revision number counted as given, which a manager wrote before it died, or which somebody else
/// is writing right now: the next one is taken instead.
fn skip_number(
    app: &AppName,
    record: Option<&DesiredRecord>,
    taken: Option<Revision>,
) -> Option<DesiredRecord> {
    let Some(taken) = taken.filter(|taken| record.is_none_or(|record| record.last_revision < *taken)) else {
        return record.cloned();
    };
    let basis = record.cloned().unwrap_or_else(|| DesiredRecord::new(app.clone()));
    Some(DesiredRecord { last_revision: taken, ..basis })
}

async fn write(context: &Context, change: Change, over: &Record) -> Result<Tried, ApiError> {
    let Some(next) = change.record else { return Ok(Tried::Done(change.reply)) };
    let (app, generation) = (next.app.clone(), next.generation);
    match context.records.commit(next, over.as_ref().map(|over| over.revision)).await {
        Ok(_) => {
            tracing::info!(%app, %generation, revision = ?change.reply.revision, "a change is accepted");
            context.wake.apps([app]);
            Ok(Tried::Done(change.reply))
        }
        Err(WriteError::Conflict { .. }) => Ok(Tried::Again),
        Err(error) => Err(unwritten(&error)),
    }
}

/// Whether hosts can be asked for the revision, and whether other apps leave it room.
async fn check(
    context: &Context,
    record: Option<&DesiredRecord>,
    revision: &RevisionRecord,
) -> Result<(), ApiError> {
    let spec = expanded(revision)?;
    let own = match record {
        Some(record) => specs(context, record).await,
        None => Vec::new(),
    };
    let mut others = Vec::new();
    for (app, slot) in &context.records.apps().slots {
        if let (true, Slot::Sound(stored)) = (*app != revision.app, slot) {
            others.extend(specs(context, &stored.value).await);
        }
    }
    let snapshot = context.observed.snapshot();
    let default = snapshot.state.hosts().find_map(|(_, host)| host.summary.http_default);
    admit::admit(&spec, &own, &others, default)
}

/// What an app runs and what it is going to; nothing of what cannot be read, which is reported elsewhere.
pub(crate) async fn specs(context: &Context, record: &DesiredRecord) -> Vec<Arc<AppSpec>> {
    let known = context.records.revisions.some(&record.app, &record.needed_revisions()).await;
    known.values().filter_map(|known| known.spec.as_ref().ok()).cloned().collect()
}

async fn wanted_revision(
    context: &Context,
    record: Option<&DesiredRecord>,
) -> Result<Option<Arc<Known>>, ApiError> {
    let wanted = record.and_then(|record| Some((&record.app, record.revision?)));
    let Some((app, revision)) = wanted else { return Ok(None) };
    match context.records.revisions.get(app, revision).await {
        Ok(known) => Ok(Some(known)),
        Err(RevisionError::Read(lath_control_api_client::ReadError::Unavailable { bucket, cause })) => {
            Err(unreadable(&lath_control_api_client::ReadError::Unavailable { bucket, cause }))
        }
        // A revision that is lost or damaged is replaced by deploying.
        Err(_) => Ok(None),
    }
}

fn value(record: &Record) -> Option<&DesiredRecord> {
    record.as_ref().map(|stored| &stored.value)
}

pub(super) fn invalid(diagnostics: Vec<Diagnostic>) -> ApiError {
    let first = diagnostics.first().map(ToString::to_string).unwrap_or_default();
    let rest = match diagnostics.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let error =
        ApiError::new(ErrorCode::InvalidManifest, format!("the manifest is not valid: {first}{rest}"));
    ApiError { details: serde_json::to_value(diagnostics).ok(), ..error }
}

pub(super) fn no_revision(error: RevisionError) -> ApiError {
    match error {
        RevisionError::Read(error) => unreadable(&error),
        RevisionError::Missing { .. } | RevisionError::Unusable { .. } => {
            ApiError::new(ErrorCode::UnfitRevision, error.to_string())
                .with_help("choose another revision with `--to`")
        }
    }
}

fn unwritten(error: &WriteError) -> ApiError {
    let (code, help) = match error {
        WriteError::TooLarge { .. } => {
            (ErrorCode::TooLarge, "make the manifest smaller, or raise `max_payload` of the NATS server")
        }
        WriteError::Encode { .. } => (ErrorCode::Internal, "please report this as a bug"),
        WriteError::Conflict { .. } => (ErrorCode::Conflict, "try again"),
        WriteError::Unavailable { .. } => {
            (ErrorCode::StoreUnavailable, "nothing was changed; check NATS and JetStream: lath doctor")
        }
        WriteError::Unknown { .. } => {
            (ErrorCode::StoreUnavailable, "ask again: what was accepted already is not done twice")
        }
    };
    ApiError::new(code, error.to_string()).with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_that_a_dead_manager_left_behind_blocks_no_deploy() {
        let app: AppName = "shop".parse().unwrap();
        assert_eq!(skip_number(&app, None, None), None);
        let basis = skip_number(&app, None, Some(Revision(1))).unwrap();
        assert_eq!(basis.last_revision, Revision(1));
        let record = DesiredRecord { last_revision: Revision(4), ..DesiredRecord::new(app.clone()) };
        // The number was taken in the meantime by a change that is in the record already.
        assert_eq!(skip_number(&app, Some(&record), Some(Revision(4))).unwrap(), record);
        assert_eq!(skip_number(&app, Some(&record), Some(Revision(5))).unwrap().last_revision, Revision(5));
    }
}
