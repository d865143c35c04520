//! What people ask for in a run, and when: of apps, and of hosts.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::app::{Cause, RolloutAction, ScaleRequest};
use lath_control_api::{AppName, Revision, Timestamp};
use lath_manager_planner::change::{self, Change};
use lath_manager_planner::record::Rollout;
use lath_manager_planner::{DesiredRecord, steer};
use lath_manifests::manifest::RollbackRule;

use crate::apps::{self, Habit, Manifest, NAMES};
use crate::rng::Rng;
use crate::store::Store;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: Duration,
    pub(crate) app: AppName,
    pub(crate) what: What,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Deploy(Arc<Manifest>),
    /// To the newest good revision, or to any that there ever was.
    Rollback(Option<u64>),
    /// Whatever a rollout can be told as it is then; the number chooses.
    Steer(u64),
    Scale(u32),
    Tag(u64),
    Undeploy,
    Delete,
}

impl What {
    /// For coverage and the trace.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Deploy(_) => "deploy",
            Self::Rollback(None) => "rollback",
            Self::Rollback(Some(_)) => "rollback to a revision",
            Self::Steer(_) => "steer",
            Self::Scale(_) => "scale",
            Self::Tag(_) => "tag",
            Self::Undeploy => "undeploy",
            Self::Delete => "delete",
        }
    }
}

/// What became of a request.
pub(crate) struct Asked {
    pub(crate) change: Change,
    /// What a rollout was told.
    pub(crate) action: Option<RolloutAction>,
}

/// The requests of a run that lasts `active`, in their order.
pub(crate) fn requests(habit: Habit, rng: &mut Rng, active: Duration) -> Vec<Request> {
    let count = 3 + rng.below(7);
    let last = u64::try_from(active.as_millis()).unwrap_or(u64::MAX);
    let mut requests: Vec<Request> = Vec::new();
    for number in 0..count {
        // Most of it happens to one app.
        let name = if rng.chance(200) { NAMES[1] } else { NAMES[0] };
        let Ok(app) = name.parse() else { continue };
        let what = match rng.below(24) {
            _ if number == 0 => What::Deploy(apps::manifest(name, habit, rng)),
            0..=9 => What::Deploy(apps::manifest(name, habit, rng)),
            11 => What::Rollback(None),
            12 => What::Rollback(Some(rng.below(6))),
            13 => What::Undeploy,
            10 | 14 => What::Delete,
            15 | 16 => What::Scale(1 + u32::try_from(rng.below(6)).unwrap_or(0)),
            17 => What::Tag(rng.below(4)),
            _ => What::Steer(rng.next()),
        };
        let at = if number == 0 { rng.millis(0, 3_000) } else { rng.millis(1, last) };
        requests.push(Request { at, app, what });
    }
    requests.sort_by_key(|request| request.at);
    requests
}

/// The change that a request comes to, judged by `record`; none when it is refused.
pub(crate) fn judge(
    request: &Request,
    record: Option<&DesiredRecord>,
    store: &Store,
    rng: &mut Rng,
    now: Timestamp,
) -> Option<Asked> {
    let app = &request.app;
    let current = record.and_then(|record| store.revision(app, record.revision?));
    let plain = |change: Change| Some(Asked { change, action: None });
    match &request.what {
        What::Deploy(manifest) => plain(change::deploy(record, current, manifest.ask(rng), now).ok()?),
        What::Rollback(to) => {
            let record = record?;
            may_be_left(store, record)?;
            let content = |revision| store.revision(app, revision).map(|record| record.content.clone());
            let target = change::rollback_target(record, to.map(Revision), content).ok()?;
            let target = store.revision(app, target)?;
            plain(change::rollback(record, current, target, Cause::default(), None, now).ok()?)
        }
        What::Steer(dice) => steer(record?, *dice, store, now),
        What::Scale(instances) => {
            let name = if rng.chance(700) { "front" } else { "http" };
            let ask = ScaleRequest {
                app: app.clone(),
                component: name.parse().ok()?,
                instances: *instances,
                cause: Cause::default(),
                if_revision: None,
                dry_run: false,
            };
            plain(change::scale(record?, current, &ask, now).ok()?)
        }
        What::Tag(revision) => {
            let revision = Some(Revision(*revision)).filter(|revision| revision.0 > 0);
            let next = change::tag(record?, "live", revision).ok()?;
            let reply = steer::replied(record?, next.as_ref());
            plain(Change { record: next, revision: None, reply })
        }
        What::Undeploy => plain(change::undeploy(app, Some(record?), Cause::default(), now)),
        What::Delete => plain(change::delete(app, Some(record?), Cause::default(), now)),
    }
}

/// Tells the rollout something that fits it, mostly.
fn steer(record: &DesiredRecord, dice: u64, store: &Store, now: Timestamp) -> Option<Asked> {
    use RolloutAction::{Abort, Pause, Promote, PromoteFull, Resume, Retry};
    let rollout = record.rollout.as_ref();
    let paused = rollout.is_some_and(|rollout| rollout.paused.is_some());
    let failed = rollout.is_none_or(|rollout| rollout.problem.is_some());
    let fitting = match (paused, failed) {
        (true, _) => [Resume, Resume, Promote, PromoteFull, Abort, Pause],
        (false, true) => [Retry, Retry, Retry, Abort, Abort, Promote],
        (false, false) => [Pause, Pause, Promote, Promote, PromoteFull, Abort],
    };
    let action = *fitting.get(usize::try_from(dice % 6).unwrap_or(0))?;
    if action == Abort {
        may_be_left(store, record)?;
    }
    let cause = Cause::default();
    if let (Retry, Some(failed)) = (action, steer::retries(record)) {
        let failed = store.revision(&record.app, failed)?;
        let current = record.revision.and_then(|revision| store.revision(&record.app, revision));
        let change = change::retry(record, current, failed, cause, now);
        return Some(Asked { change, action: Some(action) });
    }
    let next = steer::steer(record, action, &cause, now).ok()?;
    let reply = steer::replied(record, next.as_ref());
    Some(Asked { change: Change { record: next, revision: None, reply }, action: Some(action) })
}

/// As the API does: a revision whose policy forbids to leave it is not left once it has had traffic.
fn may_be_left(store: &Store, record: &DesiredRecord) -> Option<()> {
    let untouched = record.rollout.as_ref().is_some_and(Rollout::is_untouched);
    let Some(revision) = record.revision.filter(|_| !untouched) else { return Some(()) };
    let spec = store.specs(&record.app)?.get(&revision)?;
    spec.rollouts.iter().all(|policy| policy.rollback != RollbackRule::Forbidden).then_some(())
}

/// What people ask of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfHost {
    Drain,
    Undrain,
    /// It has another zone from now on.
    Label,
}

impl OfHost {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::Label => "label",
        }
    }
}

/// When somebody asks something of some host.
pub(crate) fn of_hosts(rng: &mut Rng, active: Duration) -> Vec<(Duration, OfHost)> {
    if !rng.chance(350) {
        return Vec::new();
    }
    let last = u64::try_from(active.as_millis()).unwrap_or(u64::MAX);
    let count = 1 + rng.below(3);
    let one = |rng: &mut Rng| {
        let what = rng.pick(&[OfHost::Drain, OfHost::Drain, OfHost::Undrain, OfHost::Label]).copied();
        (rng.millis(1, last), what.unwrap_or(OfHost::Drain))
    };
    (0..count).map(|_| one(rng)).collect()
}
