//! A visit of an app: plan, commit, plan again, and send what the committed record says.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{AppName, Epoch, Timestamp};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::{DesiredRecord, PlanInput, PlanOutput, plan};

use super::{Manager, Out, SOON, STOOD_STILL, View, Waiting};
use crate::message::Ask;
use crate::store::Held;

/// Shortest time to the next visit that the plan asks for by itself.
const SPIN_GUARD: Duration = Duration::from_millis(20);

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
        let Some(Held { number, record }) = self.apps.get(app).cloned() else {
            self.agenda.remove(app);
            return;
        };
        let none = Revisions::new();
        let revisions = view.store.specs(app).unwrap_or(&none);
        let output = self.judge(&record, revisions, epoch, view.now);
        out.broken.extend(
            output.violations.iter().map(|violation| format!("{}: {}", violation.id, violation.message)),
        );
        if !output.violations.is_empty() {
            return;
        }
        if output.forget {
            out.lines.push(format!("forgets {app}"));
            self.begin(app);
            let ask = Ask::Delete { app: app.clone(), expected: number };
            self.ask(ask, Waiting::Delete(app.clone()), out);
            return;
        }
        let Some(next) = output.record.clone() else {
            self.planned(app, output, view, out);
            return;
        };
        #[cfg(feature = "sabotage")]
        if self.sabotage == Some(crate::Sabotage::SendsBeforeCommit) {
            self.offer(app, output.commands, view, out);
        }
        let next = Arc::new(next);
        self.begin(app);
        let ask = Ask::Write { expected: number, record: Arc::clone(&next) };
        self.ask(ask, Waiting::Write { era: self.era, record: next }, out);
    }

    fn planned(&mut self, app: &AppName, output: PlanOutput, view: View<'_>, out: &mut Out) {
        self.offer(app, output.commands, view, out);
        #[cfg(feature = "sabotage")]
        if self.sabotage == Some(crate::Sabotage::NeverWakes) {
            return;
        }
        if let Some(at) = output.wake_at {
            self.due(app, at.max(view.now.plus(SPIN_GUARD)));
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
