//! A visit of an app: plan, commit, plan again, and send what the committed record says.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{AppName, Epoch, Timestamp};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::{Command, DesiredRecord, PlanInput, PlanOutput, plan};

use super::{Manager, Opinion, Out, SELDOM, SOON, STOOD_STILL, View, Waiting, gates, ready};
use crate::message::{Ask, Basis};
use crate::store::{Held, Number};

/// Shortest time to the next visit that the plan asks for by itself.
const SPIN_GUARD: Duration = Duration::from_millis(20);
/// Every so many visits the same is planned twice.
const TWICE: u64 = 16;

/// What the last plan of an app came to. It holds until something that it was made from changes, or the time that it
/// named itself.
#[derive(Debug, Clone)]
pub(super) struct Memo {
    number: Number,
    seen_so_far: u64,
    epoch: Epoch,
    until: Option<Timestamp>,
    commands: Arc<[Command]>,
}

impl Manager {
    /// Visits every app that is due, if this manager may act.
    pub(super) fn visit_due(&mut self, view: View<'_>, out: &mut Out) {
        let Some(epoch) = self.acts(view.now) else { return };
        let due = self
            .agenda
            .iter()
            .filter(|(_, agenda)| !agenda.visiting && agenda.due.is_some_and(|due| due <= view.now));
        let apps: Vec<AppName> = due.map(|(app, _)| app.clone()).collect();
        for app in apps {
            if view.now.since(self.last_tick) > STOOD_STILL {
                // Hosts must be heard before anything is decided.
                self.due(&app, view.now.plus(SOON));
                continue;
            }
            self.visit(&app, epoch, view, out);
        }
    }

    /// What the planner makes of a record, seen by this manager.
    pub(crate) fn judge(
        &self,
        record: &DesiredRecord,
        revisions: &Revisions,
        epoch: Epoch,
        now: Timestamp,
    ) -> PlanOutput {
        let (limits, observed) = (&self.limits, &self.observed);
        plan(&PlanInput { now, epoch, limits, observed, record, revisions })
    }

    fn visit(&mut self, app: &AppName, epoch: Epoch, view: View<'_>, out: &mut Out) {
        let Some(agenda) = self.agenda.get_mut(app) else { return };
        agenda.due = None;
        let Some(held) = self.apps.get(app).cloned() else {
            self.agenda.remove(app);
            return;
        };
        let still = agenda.memo.as_ref().filter(|memo| {
            (memo.number, memo.seen_so_far, memo.epoch) == (held.number, self.seen_so_far, epoch)
                && memo.until.is_none_or(|until| view.now < until)
        });
        if let Some(memo) = still.cloned() {
            self.offer(app, &memo.commands, view, out);
            if let Some(until) = memo.until {
                self.due(app, until.max(view.now.plus(SPIN_GUARD)));
            }
            return;
        }
        self.visit_by(app, &held, epoch, view, out);
    }

    /// Visits an app whose record is `held`.
    pub(super) fn visit_by(
        &mut self,
        app: &AppName,
        held: &Held,
        epoch: Epoch,
        view: View<'_>,
        out: &mut Out,
    ) {
        let none = Revisions::new();
        let revisions = view.store.specs(app).unwrap_or(&none);
        if held.record.needed_revisions().iter().any(|needed| !revisions.contains_key(needed)) {
            // As the real one does: an app whose revisions cannot be read is left alone.
            self.due(app, view.now.plus(SELDOM));
            return;
        }
        let output = self.judge(&held.record, revisions, epoch, view.now);
        self.visits += 1;
        out.plans += 1;
        if self.visits.is_multiple_of(TWICE) && self.judge(&held.record, revisions, epoch, view.now) != output
        {
            out.broken.push(format!("M9: {app} was planned twice and not in the same way"));
        }
        out.broken.extend(
            output.violations.iter().map(|violation| format!("{}: {}", violation.id, violation.message)),
        );
        if !output.violations.is_empty() {
            return;
        }
        if output.forget {
            out.lines.push(format!("forgets {app}"));
            self.begin(app);
            let ask = Ask::Delete { app: app.clone(), expected: held.number };
            self.ask(ask, Waiting::Delete(app.clone()), out);
            return;
        }
        let Some(next) = output.record.clone() else {
            self.planned(app, (held.number, epoch), output, view, out);
            return;
        };
        if planted!("send-before-commit") {
            self.offer(app, &output.commands, view, out);
        }
        let opinion = Opinion {
            gate_failed: gates::failed(&held.record, revisions, &self.observed),
            unready: ready::is_missing(&held.record, revisions, &self.observed),
        };
        self.commit(app, held, next, opinion, out);
    }

    /// Writes the next record over the one that is held.
    pub(super) fn commit(
        &mut self,
        app: &AppName,
        held: &Held,
        next: DesiredRecord,
        opinion: Opinion,
        out: &mut Out,
    ) {
        self.begin(app);
        let record = Arc::new(next);
        let Opinion { gate_failed, unready } = opinion;
        let basis = Basis { record: Arc::clone(&held.record), gate_failed, unready };
        let ask = Ask::Write { expected: held.number, record: Arc::clone(&record), basis };
        self.ask(ask, Waiting::Write { era: self.era, record }, out);
    }

    fn planned(
        &mut self,
        app: &AppName,
        (number, epoch): (Number, Epoch),
        output: PlanOutput,
        view: View<'_>,
        out: &mut Out,
    ) {
        let commands: Arc<[Command]> = output.commands.into();
        self.offer(app, &commands, view, out);
        let until = output.wake_at;
        if let Some(at) = until {
            self.due(app, at.max(view.now.plus(SPIN_GUARD)));
        }
        let seen_so_far = self.seen_so_far;
        let agenda = self.agenda.entry(app.clone()).or_default();
        agenda.memo = Some(Memo { number, seen_so_far, epoch, until, commands });
        let asked = output.webhook.map(|ask| (ask.generation, ask.step));
        if let Some((generation, step)) = asked.filter(|asked| agenda.asking != Some(*asked)) {
            agenda.asking = asked;
            out.webhooks.push((app.clone(), generation, step));
        }
    }

    fn begin(&mut self, app: &AppName) {
        self.agenda.entry(app.clone()).or_default().visiting = true;
    }

    /// Nothing is on its way for the app any more, and it is to be looked at.
    pub(super) fn visited(&mut self, app: &AppName, now: Timestamp) {
        self.agenda.entry(app.clone()).or_default().visiting = false;
        self.due(app, now);
    }

    /// What the store holds is not known: it is asked before anything else is done.
    pub(super) fn read_again(&mut self, app: &AppName, out: &mut Out) {
        self.begin(app);
        self.ask(Ask::App(app.clone()), Waiting::App(app.clone()), out);
    }
}
