//! Questions: answered from what this manager knows, whether it acts or not.

use lath_control_api::app::{AppList, AppStatus, History, HostList, KnownHost, ManagerInfo};
use lath_control_api::{ApiError, AppName, ErrorCode, Subjects};
use lath_control_api_client::ReadError;
use lath_manager_planner::DesiredRecord;

use crate::context::Context;
use crate::reconcile::{judge, unplanned_status};
use crate::records::Slot;
use crate::troubles::problem;

/// How an app stands, by the store's own record: a change that was just accepted shows at once.
pub(crate) async fn status(context: &Context, app: AppName) -> Result<AppStatus, ApiError> {
    match context.records.read(&app).await {
        Ok(Some(stored)) => Ok(status_of(context, &stored.value).await),
        Ok(None) => Err(no_app(context, &app)),
        Err(ReadError::Malformed(malformed)) => {
            Ok(unplanned_status(&app, None, problem("corrupt-record", malformed.cause)))
        }
        Err(ReadError::NoBucket { .. } | ReadError::Unavailable { .. }) => {
            let apps = context.records.apps();
            match apps.slots.get(&app) {
                Some(slot) => Ok(status_in(context, &app, slot).await),
                None => Err(no_app(context, &app)),
            }
        }
    }
}

/// The changes of an app.
pub(crate) async fn history(context: &Context, app: AppName) -> Result<History, ApiError> {
    match context.records.read(&app).await {
        Ok(Some(stored)) => Ok(History { app, entries: stored.value.history, tags: stored.value.tags }),
        Ok(None) => Err(no_app(context, &app)),
        Err(error) => Err(unreadable(&error)),
    }
}

/// How every app stands, as last heard of.
pub(crate) async fn list(context: &Context) -> AppList {
    let known = context.records.apps();
    let mut apps = Vec::with_capacity(known.slots.len());
    for (app, slot) in &known.slots {
        apps.push(status_in(context, app, slot).await);
    }
    AppList { apps }
}

/// Every host that is known.
pub(crate) fn hosts(context: &Context) -> HostList {
    let snapshot = context.observed.snapshot();
    let (state, lost_after) = (&snapshot.state, context.limits.lost_after);
    let now = snapshot.now(&context.clock).unwrap_or_else(|| context.clock.now());
    let mut hosts: Vec<KnownHost> = state
        .hosts()
        .map(|(id, known)| KnownHost {
            summary: known.summary.clone(),
            silent_ms: u64::try_from(now.since(known.heard).as_millis()).unwrap_or(u64::MAX),
            lost: !state.is_alive(id, now, lost_after),
        })
        .collect();
    hosts.sort_by(|a, b| (&a.summary.name, &a.summary.host).cmp(&(&b.summary.name, &b.summary.host)));
    HostList { hosts }
}

/// Who answers.
pub(crate) fn manager(context: &Context) -> ManagerInfo {
    let standing = context.standing.borrow();
    let acting = standing.epoch();
    ManagerInfo {
        manager: context.identity.run.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        acting: acting.is_some(),
        epoch: acting.unwrap_or(standing.highest),
        apis: vec![Subjects::API.to_owned()],
        time: context.clock.now(),
    }
}

async fn status_in(context: &Context, app: &AppName, slot: &Slot) -> AppStatus {
    match slot {
        Slot::Sound(stored) => status_of(context, &stored.value).await,
        Slot::Poison(cause) => unplanned_status(app, None, problem("corrupt-record", cause.clone())),
    }
}

/// What the plan says of the record; whatever it would change or send is left to the manager that acts.
async fn status_of(context: &Context, record: &DesiredRecord) -> AppStatus {
    let revisions = match context.records.revisions.needed_by(record).await {
        Ok(revisions) => revisions,
        Err(error) => {
            return unplanned_status(
                &record.app,
                Some(record),
                problem("corrupt-revision", error.to_string()),
            );
        }
    };
    let snapshot = context.observed.snapshot();
    let epoch = context.standing.borrow().highest;
    let mut status = match judge(context, &snapshot, epoch, record, &revisions) {
        Ok(plan) => plan.status,
        Err(problem) => unplanned_status(&record.app, Some(record), problem),
    };
    context.troubles.add_to(&mut status);
    status
}

/// There is no app of that name.
pub(crate) fn no_app(context: &Context, app: &AppName) -> ApiError {
    let lattice = context.client.subjects().lattice();
    ApiError::new(ErrorCode::NotFound, format!("there is no app `{app}` in lattice `{lattice}`"))
        .with_help("list the apps: lath apps")
}

/// The store's failure to give a record, for those who asked.
pub(crate) fn unreadable(error: &ReadError) -> ApiError {
    match error {
        ReadError::Malformed(malformed) => ApiError::new(ErrorCode::Internal, malformed.to_string())
            .with_help("restore the record from a backup, or remove the key and deploy again"),
        ReadError::NoBucket { .. } | ReadError::Unavailable { .. } => {
            ApiError::new(ErrorCode::StoreUnavailable, error.to_string())
                .with_help("check NATS and JetStream: lath doctor")
        }
    }
}
