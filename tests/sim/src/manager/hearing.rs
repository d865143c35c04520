//! What a manager makes of what hosts say and of what a webhook answers.

use std::sync::Arc;

use lath_control_api::{AppName, HostCalls, HostInventory, HostSummary, Timestamp};
use lath_manager_planner::observed::News;
use lath_manager_planner::steer;

use super::{Manager, Opinion, Out, View, Waiting};
use crate::message::{Message, Verdict};

impl Manager {
    pub(crate) fn hear(&mut self, message: Message, view: View<'_>, out: &mut Out) {
        match message {
            Message::Beat { summary } => self.hear_beat(&summary, view, out),
            Message::Inventory { inventory } => self.hear_inventory(&inventory, view, out),
            Message::Calls { calls } => self.hear_calls(&calls, view.now),
            Message::Stopped { host, boot } => {
                let news = self.observed.stopped(&host, &boot);
                self.report(news, &[], view.now);
            }
            Message::Applied { to, id, answer } if to == self.at => {
                if let Some(Waiting::Apply { app, host, fence }) = self.waiting.remove(&id) {
                    self.answered((&app, &host, fence), Some(*answer), view, out);
                }
            }
            Message::Answer { to, id, answer } if to == self.at => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    self.hear_store(waiting, answer, view, out);
                }
            }
            Message::Changed { era, number, app, held } => {
                if era == self.era && self.seen.get(&app).is_none_or(|seen| *seen < number) {
                    self.know(&app, held, number, view.now);
                }
            }
            Message::LostWrites { era, head, apps } => self.hear_list(era, head, &apps, view.now, out),
            // Of an earlier run of this process, or not for managers.
            Message::Applied { .. }
            | Message::Answer { .. }
            | Message::Apply { .. }
            | Message::AskInventory { .. }
            | Message::Ask { .. } => {}
        }
        self.visit_due(view, out);
    }

    fn hear_beat(&mut self, summary: &HostSummary, view: View<'_>, out: &mut Out) {
        self.lease.obeyed = self.lease.obeyed.max(summary.epoch);
        let news = self.observed.heard(summary.clone(), view.now);
        self.report(news, &[], view.now);
        let known = self.observed.host(&summary.host);
        if news != News::None && known.is_some_and(|known| !known.is_current()) {
            self.ask_host(view.node(&summary.host), out);
        }
    }

    fn hear_inventory(&mut self, inventory: &Arc<HostInventory>, view: View<'_>, out: &mut Out) {
        let host = &inventory.summary.host;
        self.lease.obeyed = self.lease.obeyed.max(inventory.summary.epoch);
        if planted!("empty-list-is-delete") && !self.apps_are_known() {
            self.take_unknown_for_deleted(inventory, view, out);
        }
        let held = self.observed.host(host).and_then(|known| known.inventory.as_ref());
        let differs = |app: &&AppName| {
            let entry = |of: &HostInventory| of.apps.iter().position(|entry| entry.app == **app);
            let before = held.and_then(|held| held.apps.get(entry(held)?));
            before != entry(inventory).and_then(|at| inventory.apps.get(at))
        };
        let changed: Vec<AppName> = self.apps.keys().filter(differs).cloned().collect();
        let news = self.observed.inventory((**inventory).clone(), view.now);
        self.report(news, &changed, view.now);
    }

    fn hear_calls(&mut self, calls: &HostCalls, now: Timestamp) {
        let changed = self.observed.calls(calls);
        if !changed.is_empty() {
            self.seen_so_far += 1;
            changed.iter().for_each(|app| self.due(app, now));
        }
    }

    fn report(&mut self, news: News, changed: &[AppName], now: Timestamp) {
        match news {
            News::None | News::Alive => {}
            News::Inventory => {
                self.seen_so_far += 1;
                changed.iter().for_each(|app| self.due(app, now));
            }
            News::Host => {
                self.seen_so_far += 1;
                self.all_due(now);
            }
        }
    }

    /// A webhook has answered, or has not in time: then it is asked again while the step lasts.
    pub(crate) fn hear_webhook(&mut self, verdict: &Verdict, view: View<'_>, out: &mut Out) {
        let Verdict { app, generation, step, agreed } = verdict;
        let Some(agenda) = self.agenda.get_mut(app) else { return };
        agenda.asking = None;
        agenda.memo = None;
        let may_write = !agenda.visiting && self.acts(view.now).is_some();
        self.due(app, view.now);
        let held = self.apps.get(app).cloned().filter(|_| may_write);
        let next = held.as_ref().zip(*agreed).and_then(|(held, agreed)| {
            steer::webhook_answered(&held.record, *generation, *step, agreed, "so the model says".to_owned())
        });
        if let Some((held, next)) = held.zip(next) {
            self.commit(app, &held, next, Opinion::default(), out);
        }
        self.visit_due(view, out);
    }

    const fn apps_are_known(&self) -> bool {
        self.listed
    }
}
