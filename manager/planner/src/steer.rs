//! What people tell a rollout, and what is heard from outside about it, as a change of the record.

use lath_control_api::app::{Cause, ChangeKind, ChangeReply, Problem, RolloutAction};
use lath_control_api::{ApiError, ErrorCode, Generation, Step, Timestamp};

use crate::change::reply;
use crate::record::{DesiredRecord, Pause, Promotion, Rollout, Stage, Wanted, WebhookAnswer};
use crate::rollout::take_back;

/// Does what somebody asks of the app's rollout. `Retry` of one that is over is a deploy, and not done here; see
/// [`retries`].
///
/// # Errors
/// When there is no rollout, or none of which that can be asked.
pub fn steer(
    record: &DesiredRecord,
    action: RolloutAction,
    cause: &Cause,
    now: Timestamp,
) -> Result<Option<DesiredRecord>, ApiError> {
    let rollout = record.rollout.as_ref().filter(|_| record.wanted == Wanted::Run);
    let rollout = rollout.ok_or_else(|| nothing_moves(record))?;
    let goes_on = matches!(rollout.stage, Stage::Preparing | Stage::Emptying | Stage::Shifting { .. })
        && rollout.problem.is_none();
    match action {
        RolloutAction::Pause if goes_on => {
            let why = words(cause, "paused");
            Ok(rollout
                .paused
                .is_none()
                .then(|| with(record, |rollout| rollout.paused = Some(Pause { since: now, why }))))
        }
        RolloutAction::Resume if goes_on => Ok(rollout.paused.is_some().then(|| resumed(record, now))),
        RolloutAction::Promote | RolloutAction::PromoteFull if goes_on || is_warm(rollout) => {
            let promotion = if action == RolloutAction::Promote { Promotion::Step } else { Promotion::Full };
            Ok(Some(with(record, |rollout| {
                rollout.promotion = promotion;
                rollout.paused = None;
                rollout.progressed = now;
            })))
        }
        RolloutAction::Abort if is_warm(rollout) && record.serving.is_some() => {
            Ok(Some(leave_warm(record, rollout, cause, now)))
        }
        RolloutAction::Abort if rollout.stage == Stage::RollingBack => Ok(None),
        RolloutAction::Abort if goes_on || is_held(rollout) => {
            Ok(Some(take_back(record, rollout, aborted(cause), now)))
        }
        RolloutAction::Retry if is_held(rollout) || rollout.stage == Stage::Stuck => {
            Ok(Some(tried_again(record, rollout, now)))
        }
        RolloutAction::Pause
        | RolloutAction::Resume
        | RolloutAction::Promote
        | RolloutAction::PromoteFull
        | RolloutAction::Abort
        | RolloutAction::Retry => Err(refused(record, rollout, action)),
    }
}

/// Whether a retry means to deploy once more what has failed: the last change did not end well and nothing moves.
#[must_use]
pub fn retries(record: &DesiredRecord) -> Option<lath_control_api::Revision> {
    use lath_control_api::app::Outcome;
    let last = record.history.first().filter(|_| record.rollout.is_none())?;
    let failed = matches!(last.outcome, Some(Outcome::RolledBack | Outcome::Failed));
    last.revision.filter(|_| failed)
}

/// The webhook has answered a question of this generation and step. None when that is over.
#[must_use]
pub fn webhook_answered(
    record: &DesiredRecord,
    generation: Generation,
    step: Step,
    agreed: bool,
    text: String,
) -> Option<DesiredRecord> {
    let current = record.generation == generation && record.step == step && record.rollout.is_some();
    current.then(|| with(record, |rollout| rollout.webhook = Some(WebhookAnswer { step, agreed, text })))
}

/// What the caller is told of the record that comes of it.
#[must_use]
pub fn replied(record: &DesiredRecord, next: Option<&DesiredRecord>) -> ChangeReply {
    ChangeReply { unchanged: next.is_none(), ..reply(next.unwrap_or(record)) }
}

fn with(record: &DesiredRecord, change: impl FnOnce(&mut Rollout)) -> DesiredRecord {
    let mut next = record.clone();
    next.rollout.iter_mut().next().map(change);
    next
}

const fn is_warm(rollout: &Rollout) -> bool {
    matches!(rollout.stage, Stage::Warm { .. }) && rollout.problem.is_none()
}

/// It has failed and waits for people, with everything as it was.
fn is_held(rollout: &Rollout) -> bool {
    rollout.problem.is_some() && !matches!(rollout.stage, Stage::RollingBack | Stage::Stuck)
}

/// The time and the counts of a step that stood still say nothing: it begins anew.
fn resumed(record: &DesiredRecord, now: Timestamp) -> DesiredRecord {
    with(record, |rollout| {
        rollout.paused = None;
        begin_step_anew(rollout, now);
    })
}

fn begin_step_anew(rollout: &mut Rollout, now: Timestamp) {
    rollout.progressed = now;
    rollout.window = None;
    if let Stage::Shifting { healthy_since, .. } = &mut rollout.stage {
        *healthy_since = None;
    }
}

/// A newer decision: hosts try once more what has failed.
fn tried_again(record: &DesiredRecord, rollout: &Rollout, now: Timestamp) -> DesiredRecord {
    let mut next = record.clone();
    next.generation = record.generation.next();
    next.step = Step(1);
    if let Some(revision) = record.revision {
        next.failed.remove(&revision);
    }
    let stage = if rollout.stage == Stage::Stuck { Stage::RollingBack } else { rollout.stage.clone() };
    let problem = rollout.problem.clone().filter(|_| stage == Stage::RollingBack);
    let mut rollout = Rollout { stage, problem, webhook: None, ..rollout.clone() };
    begin_step_anew(&mut rollout, now);
    next.rollout = Some(rollout);
    next
}

/// Back to the revision that is still warm: a change of its own, as the one before has ended well.
fn leave_warm(record: &DesiredRecord, rollout: &Rollout, cause: &Cause, now: Timestamp) -> DesiredRecord {
    let mut next = record.clone();
    next.generation = record.generation.next();
    next.step = Step(1);
    next.begin_history(ChangeKind::Rollback, record.revision, cause.clone(), now);
    if let Some(entry) = next.history.first_mut() {
        entry.revision = record.serving;
    }
    let (kind, stage) = (ChangeKind::Rollback, Stage::RollingBack);
    next.rollout =
        Some(Rollout { kind, stage, progressed: now, promotion: Promotion::None, ..rollout.clone() });
    next
}

fn aborted(cause: &Cause) -> Problem {
    Problem {
        reason: "aborted".to_owned(),
        message: words(cause, "aborted"),
        component: None,
        host: None,
        host_name: None,
    }
}

fn words(cause: &Cause, what: &str) -> String {
    let by = if cause.by.is_empty() { String::new() } else { format!(" by {}", cause.by) };
    let why = cause.message.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{what}{by}{why}")
}

fn nothing_moves(record: &DesiredRecord) -> ApiError {
    let app = &record.app;
    ApiError::new(ErrorCode::Conflict, format!("no rollout of `{app}` is on its way"))
        .with_help(format!("what has happened: lath history {app}"))
}

fn refused(record: &DesiredRecord, rollout: &Rollout, action: RolloutAction) -> ApiError {
    let app = &record.app;
    let (now, help) = match &rollout.stage {
        Stage::Settling => (
            "the new revision has taken over already and the old one is going",
            format!("to go back to it: lath rollback {app}"),
        ),
        Stage::Warm { .. } => (
            "the new revision has all traffic, and the old one is kept warm",
            format!("to switch back: lath rollout abort {app}; to end it: lath rollout promote {app}"),
        ),
        Stage::RollingBack => ("it is being taken back", format!("watch it: lath rollout watch {app}")),
        Stage::Stuck => ("going back has failed", format!("try it again: lath rollout retry {app}")),
        _ if rollout.problem.is_some() => (
            "it has failed and is held",
            format!("go on: lath rollout retry {app}; go back: lath rollout abort {app}"),
        ),
        _ => ("nothing of it has failed", format!("watch it: lath rollout watch {app}")),
    };
    let what = match action {
        RolloutAction::Pause => "paused",
        RolloutAction::Resume => "resumed",
        RolloutAction::Promote | RolloutAction::PromoteFull => "promoted",
        RolloutAction::Abort => "aborted",
        RolloutAction::Retry => "tried again",
    };
    ApiError::new(ErrorCode::Conflict, format!("the rollout of `{app}` cannot be {what}: {now}"))
        .with_help(help)
}
