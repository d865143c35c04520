//! The loop: news or time → snapshot → plan → check → commit → execute. The only caller of `plan()`.
//!
//! An app is visited by one task at a time, and only by news of it, by its own `wake_at`, or by an answer to one of
//! its commands: what one app does costs the others nothing. Nothing is sent that is not committed, nothing is
//! committed or sent outside of this manager's term.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::app::{AppState, AppStatus, Problem};
use lath_control_api::{AppName, Epoch, EventData, HostId};
use lath_control_api_client::{Stored, WriteError, envelope};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::{DesiredRecord, PlanInput, PlanOutput, plan};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::execute::{Answer, Executor, Verdict};
use crate::failpoint::Failpoint;
use crate::observe::Snapshot;
use crate::records::Slot;
use crate::troubles::problem;
use crate::wake::Dirty;
use crate::webhook::Webhooks;

/// Apps that are visited at once.
const VISITS: usize = 16;
/// Commits of one visit. A record needs a few in a row at most; more would be a defect, and must not spin.
const COMMITS: usize = 10;
/// Shortest time to the next visit that the plan asks for by itself.
const SPIN_GUARD: Duration = Duration::from_millis(20);
/// Time to the next try when the store does not answer, or when hosts have to be heard first.
const SOON: Duration = Duration::from_millis(500);
/// Time to the next try when only people or another version can help.
const SELDOM: Duration = Duration::from_secs(15);

/// Plans one app from what is known now.
///
/// # Errors
/// When the planner itself fails: a defect, which concerns this app only.
pub(crate) fn judge(
    context: &Context,
    snapshot: &Snapshot,
    epoch: Epoch,
    record: &DesiredRecord,
    revisions: &Revisions,
) -> Result<PlanOutput, Problem> {
    let now = snapshot.now(&context.clock).unwrap_or_else(|| context.clock.now());
    let input =
        PlanInput { now, epoch, limits: &context.limits, observed: &snapshot.state, record, revisions };
    // The input is only read, so a panic leaves nothing half-changed.
    catch_unwind(AssertUnwindSafe(|| plan(&input))).map_err(|_| {
        problem("planner-failed", "planning this app failed; please report it with the manager's log")
    })
}

/// What is said of an app that cannot be planned.
pub(crate) fn unplanned_status(app: &AppName, record: Option<&DesiredRecord>, problem: Problem) -> AppStatus {
    AppStatus {
        app: app.clone(),
        state: AppState::Degraded,
        message: problem.message.clone(),
        revision: record.and_then(|record| record.revision),
        generation: record.map(|record| record.generation).unwrap_or_default(),
        rollout: None,
        last: record.and_then(|record| record.history.iter().find(|entry| entry.outcome.is_some()).cloned()),
        components: Vec::new(),
        problems: vec![problem],
        routes: Vec::new(),
        description: None,
    }
}

/// Keeps apps as their records say.
#[derive(Debug)]
pub(crate) struct Reconciler {
    context: Arc<Context>,
    executor: Executor,
    webhooks: Webhooks,
    /// The term that this acts in.
    acting: Option<Epoch>,
    agenda: BTreeMap<AppName, Agenda>,
    visits: JoinSet<Outcome>,
    /// Who is visited by which task.
    visited: HashMap<Id, AppName>,
    /// Commands that hosts refused, by app and host.
    refused: BTreeMap<(AppName, HostId), Problem>,
    published: BTreeMap<AppName, AppStatus>,
}

#[derive(Debug, Default)]
struct Agenda {
    /// When the app is to be visited next.
    due: Option<Instant>,
    visiting: bool,
    /// The record that was committed last.
    latest: Option<Latest>,
}

/// A record that this manager has committed, which may be newer than the news of it.
#[derive(Debug, Clone)]
struct Latest {
    stored: Arc<Stored<DesiredRecord>>,
    /// [`crate::records::Apps::era`] of its number.
    era: u64,
}

/// What came of a visit.
#[derive(Debug)]
enum Outcome {
    /// The record says what the plan wants; its commands are to be sent.
    Planned { latest: Latest, plan: Box<PlanOutput>, snapshot: Arc<Snapshot> },
    /// There is no such app, or not any more.
    Gone(Option<Box<AppStatus>>),
    /// Nothing was done, and nothing can be for now.
    Broken { status: Box<AppStatus> },
    /// Nothing was done; to be tried again soon.
    Later(Duration),
}

impl Reconciler {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let executor = Executor::new(context.client.clone(), context.standing.clone());
        let webhooks = Webhooks::new(Arc::clone(&context));
        Self {
            context,
            executor,
            webhooks,
            acting: None,
            agenda: BTreeMap::new(),
            visits: JoinSet::new(),
            visited: HashMap::new(),
            refused: BTreeMap::new(),
            published: BTreeMap::new(),
        }
    }

    /// Runs until `shutdown`; what is being committed then is finished.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let (wake, mut standing) = (self.context.wake.clone(), self.context.standing.clone());
        self.context.records.loaded().await;
        self.follow_term();
        loop {
            self.start_visits();
            let next = self.next_due();
            tokio::select! {
                () = shutdown.cancelled() => break,
                Ok(()) = standing.changed() => self.follow_term(),
                dirty = wake.take() => self.note(dirty),
                Some(ended) = self.visits.join_next_with_id() => self.visit_ended(ended).await,
                answer = self.executor.next() => self.answered(&answer),
                app = self.webhooks.next() => self.due(app, Instant::now()),
                () = tokio::time::sleep_until(next) => {}
            }
        }
        while self.visits.join_next().await.is_some() {}
    }

    fn follow_term(&mut self) {
        let now = self.context.standing.borrow().epoch();
        if now == self.acting {
            return;
        }
        self.acting = now;
        self.executor.clear();
        self.webhooks.clear();
        self.refused.clear();
        self.published.clear();
        self.context.troubles.clear();
        for agenda in self.agenda.values_mut() {
            agenda.due = None;
            agenda.latest = None;
        }
        if now.is_some() {
            self.note(Dirty { all: true, ..Dirty::default() });
        }
    }

    fn note(&mut self, dirty: Dirty) {
        if self.acting.is_none() {
            return;
        }
        let now = Instant::now();
        if dirty.all {
            let known: Vec<AppName> = self.context.records.apps().slots.keys().cloned().collect();
            known.into_iter().for_each(|app| self.due(app, now));
        }
        dirty.apps.into_iter().for_each(|app| self.due(app, now));
    }

    fn due(&mut self, app: AppName, at: Instant) {
        let agenda = self.agenda.entry(app).or_default();
        agenda.due = Some(agenda.due.map_or(at, |due| due.min(at)));
    }

    fn next_due(&self) -> Instant {
        let waiting = self.agenda.values().filter(|agenda| !agenda.visiting);
        let first = waiting.filter_map(|agenda| agenda.due).min();
        let idle = Instant::now() + Duration::from_secs(60);
        // With all hands full, the end of a visit is what comes next.
        if self.visits.len() >= VISITS { idle } else { first.unwrap_or(idle) }
    }

    fn start_visits(&mut self) {
        let Some(epoch) = self.acting.filter(|epoch| self.context.standing.borrow().may_act(*epoch)) else {
            return;
        };
        let now = Instant::now();
        for (app, agenda) in &mut self.agenda {
            if self.visits.len() >= VISITS {
                return;
            }
            if !agenda.visiting && agenda.due.is_some_and(|due| due <= now) {
                agenda.due = None;
                agenda.visiting = true;
                let visit = visit(Arc::clone(&self.context), app.clone(), agenda.latest.clone(), epoch);
                let task = self.visits.spawn(visit);
                self.visited.insert(task.id(), app.clone());
            }
        }
    }

    async fn visit_ended(&mut self, ended: Result<(Id, Outcome), tokio::task::JoinError>) {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, outcome),
            Err(error) => {
                tracing::error!(%error, "a visit ended without an outcome");
                (error.id(), Outcome::Later(SELDOM))
            }
        };
        let Some(app) = self.visited.remove(&task) else { return };
        if let Some(agenda) = self.agenda.get_mut(&app) {
            agenda.visiting = false;
        }
        let now = Instant::now();
        match outcome {
            Outcome::Planned { latest, plan, snapshot } => self.planned(&app, latest, *plan, &snapshot).await,
            Outcome::Gone(status) => {
                if let Some(status) = status {
                    self.publish(*status).await;
                }
                self.executor.forget(&app);
                self.refused.retain(|(owner, _), _| *owner != app);
                self.context.troubles.set(&app, Vec::new());
                self.published.remove(&app);
                // News that came during the visit may be of a new app of that name.
                self.agenda.retain(|name, agenda| *name != app || agenda.due.is_some());
            }
            Outcome::Broken { status } => {
                if self.context.troubles.set(&app, status.problems.clone()) {
                    tracing::error!(%app, message = %status.message, "the app is left alone");
                }
                self.publish(*status).await;
                self.due(app, now + SELDOM);
            }
            Outcome::Later(pause) => self.due(app, now + pause),
        }
    }

    async fn planned(&mut self, app: &AppName, latest: Latest, plan: PlanOutput, snapshot: &Snapshot) {
        let pending = |host: &HostId| plan.commands.iter().any(|command| command.host == *host);
        self.refused.retain(|(owner, host), _| owner != app || pending(host));
        let of_app = self.refused.iter().filter(|((owner, _), _)| owner == app);
        self.context.troubles.set(app, of_app.map(|(_, problem)| problem.clone()).collect());
        if let Some(ask) = plan.webhook {
            self.webhooks.ask(app, ask);
        }
        let again = self.executor.offer(app, plan.commands, &snapshot.state);
        let woken = plan.wake_at.map(|time| self.context.clock.at(time).max(Instant::now() + SPIN_GUARD));
        if let Some(agenda) = self.agenda.get_mut(app) {
            agenda.latest = Some(latest);
        }
        for at in again.into_iter().chain(woken) {
            self.due(app.clone(), at);
        }
        let mut status = plan.status;
        self.context.troubles.add_to(&mut status);
        self.publish(status).await;
    }

    fn answered(&mut self, answer: &Answer) {
        match answer.verdict() {
            Verdict::Taken | Verdict::Silent => {}
            Verdict::OutOfDate => self.context.observed.refresh(&answer.host),
            Verdict::Refused(error) => {
                let name = self.context.observed.snapshot().state.name_of(&answer.host);
                tracing::error!(app = %answer.app, host = %answer.host, %error, "a host refuses a command");
                let refusal = Problem {
                    host: Some(answer.host.clone()),
                    host_name: Some(name),
                    ..problem("command-refused", error.message)
                };
                self.refused.insert((answer.app.clone(), answer.host.clone()), refusal);
            }
        }
        if self.acting.is_some() {
            self.due(answer.app.clone(), Instant::now());
        }
    }

    /// Tells those who follow an app what has changed.
    async fn publish(&mut self, status: AppStatus) {
        if self.published.get(&status.app) == Some(&status) {
            return;
        }
        let client = &self.context.client;
        let (subject, about) = (client.subjects().app_event(&status.app), status.app.to_string());
        let data = EventData::App(Box::new(status.clone()));
        let event = envelope(&self.context.identity.run, &about, self.context.clock.now(), data);
        Failpoint::StatusPublish.before();
        if let Err(error) = client.publish_event(subject, &event).await {
            tracing::debug!(app = %about, %error, "a status event was not sent");
        }
        Failpoint::StatusPublish.after();
        // Without a reader there is nobody to tell.
        let _ = self.context.told.send(status.clone());
        self.published.insert(status.app.clone(), status);
    }
}

/// Plans an app and commits what the plan changes, until there is nothing to change.
async fn visit(context: Arc<Context>, app: AppName, latest: Option<Latest>, epoch: Epoch) -> Outcome {
    let apps = context.records.apps();
    let era = apps.era;
    let mut stored = match apps.slots.get(&app) {
        None => return Outcome::Gone(None),
        Some(Slot::Poison(cause)) => {
            let status = unplanned_status(&app, None, problem("corrupt-record", cause.clone()));
            return Outcome::Broken { status: Box::new(status) };
        }
        Some(Slot::Sound(heard)) => match latest {
            Some(Latest { stored, era: then }) if then == era && stored.revision > heard.revision => stored,
            Some(_) | None => Arc::clone(heard),
        },
    };
    for _ in 0..COMMITS {
        let broken = |problem: Problem| Outcome::Broken {
            status: Box::new(unplanned_status(&app, Some(&stored.value), problem)),
        };
        let revisions = match context.records.revisions.needed_by(&stored.value).await {
            Ok(revisions) => revisions,
            Err(crate::revisions::RevisionError::Read(error)) => {
                tracing::warn!(%app, %error, "a revision cannot be read now");
                return Outcome::Later(SOON);
            }
            Err(error) => return broken(problem("corrupt-revision", error.to_string())),
        };
        let snapshot = context.observed.snapshot();
        if snapshot.now(&context.clock).is_none() || !context.standing.borrow().may_act(epoch) {
            return Outcome::Later(SOON);
        }
        let plan = match judge(&context, &snapshot, epoch, &stored.value, &revisions) {
            Ok(plan) => plan,
            Err(problem) => return broken(problem),
        };
        if let Some(violation) = plan.violations.first() {
            let message = format!("{}: {}", violation.id, violation.message);
            return broken(problem("invariant", message));
        }
        if plan.forget {
            return forget(&context, &stored, plan).await;
        }
        let Some(next) = plan.record.clone() else {
            let latest = Latest { stored, era };
            return Outcome::Planned { latest, plan: Box::new(plan), snapshot };
        };
        stored = match commit(&context, next, &stored).await {
            Ok(stored) => stored,
            Err(outcome) => return outcome,
        };
    }
    Outcome::Later(Duration::ZERO)
}

/// Commits the next record, or reads the one that somebody else has put there.
async fn commit(
    context: &Context,
    next: DesiredRecord,
    over: &Stored<DesiredRecord>,
) -> Result<Arc<Stored<DesiredRecord>>, Outcome> {
    let app = next.app.clone();
    match context.records.commit(next, Some(over.revision)).await {
        Ok(stored) => {
            let DesiredRecord { generation, step, .. } = stored.value;
            tracing::info!(%app, %generation, %step, "committed");
            Ok(Arc::new(stored))
        }
        Err(WriteError::Conflict { .. }) => match context.records.read(&app).await {
            Ok(Some(stored)) => Ok(Arc::new(stored)),
            Ok(None) => Err(Outcome::Gone(None)),
            Err(error) => {
                tracing::warn!(%app, %error, "the record cannot be read now");
                Err(Outcome::Later(SOON))
            }
        },
        Err(error) => {
            tracing::warn!(%app, %error, "the record was not committed");
            Err(Outcome::Later(SOON))
        }
    }
}

async fn forget(context: &Context, stored: &Stored<DesiredRecord>, plan: PlanOutput) -> Outcome {
    let app = &stored.value.app;
    Failpoint::AppForget.before();
    let forgotten = context.records.forget(stored).await;
    Failpoint::AppForget.after();
    match forgotten {
        Ok(()) => {
            tracing::info!(%app, "forgotten");
            // The plan tells of the way there, and this is its end.
            let gone =
                AppStatus { state: AppState::Stopped, message: String::new(), rollout: None, ..plan.status };
            Outcome::Gone(Some(Box::new(gone)))
        }
        Err(error) => {
            tracing::warn!(%app, %error, "the app could not be forgotten yet");
            Outcome::Later(SOON)
        }
    }
}
