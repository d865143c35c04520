//! What a manager knows of the store: by news of writes, by answers, and by lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::{AppName, ApplyRequest, Fence, HostInventory, Step, Timestamp};

use lath_manager_planner::DesiredRecord;

use super::{Manager, Out, View, Waiting};
use crate::message::{Answer, Ask, Known, Message};
use crate::store::{Apps, Held, Number, Written};

impl Manager {
    pub(super) fn hear_store(&mut self, waiting: Waiting, answer: Answer, view: View<'_>, out: &mut Out) {
        match (waiting, answer) {
            (Waiting::Lease { look_again }, Answer::Lease(found)) => {
                self.lease_found(look_again, found, view, out);
            }
            (Waiting::TakeLease { epoch, begun }, Answer::Written(written)) => {
                self.lease_written(epoch, begun, written, view, out);
            }
            (Waiting::Apps, Answer::Apps { era, head, apps }) => {
                self.hear_list(era, head, &apps, view.now, out);
            }
            (Waiting::App(app), Answer::App(found)) => self.hear_app(&app, found, view, out),
            (Waiting::Write { era, record }, Answer::Written(Written::Done(number))) if era == self.era => {
                let app = record.app.clone();
                self.visited(&app, view.now);
                if self.seen.get(&app).is_none_or(|seen| *seen < number) {
                    self.know(&app, Some(Held { number, spoilt: false, record }), number, view.now);
                }
            }
            (Waiting::Write { record, .. }, Answer::Written(_)) => self.read_again(&record.app.clone(), out),
            (Waiting::Delete(app), Answer::Written(Written::Done(number))) => {
                self.visited(&app, view.now);
                self.know(&app, None, number, view.now);
            }
            (Waiting::Delete(app), Answer::Written(Written::Conflict)) => self.read_again(&app, out),
            (Waiting::Restore, _) => self.ask(Ask::Apps, Waiting::Apps, out),
            // The store answers what it was asked.
            (_, _) => {}
        }
    }

    /// What is read may be older than what is known: it is planned by then, and whoever writes over it is refused.
    fn hear_app(&mut self, app: &AppName, found: Option<Held>, view: View<'_>, out: &mut Out) {
        self.visited(app, view.now);
        let seen = self.seen.get(app).copied().unwrap_or_default();
        match found {
            Some(held) if held.number >= seen => {
                let number = held.number;
                self.know(app, Some(held), number, view.now);
            }
            Some(old) if old.spoilt => {}
            Some(old) => {
                if let Some(epoch) = self.acts(view.now) {
                    self.visit_by(app, &old, epoch, view, out);
                }
            }
            // The news of its end are on their way, or the next list has it.
            None => self.due(app, view.now.plus(super::SELDOM)),
        }
    }

    /// A list replaces what is known. What is missing in it is left alone, not deleted. One of another past of the
    /// store shows that writes were lost: the decisions at hand are written again.
    pub(super) fn hear_list(&mut self, era: u64, head: Number, apps: &Apps, now: Timestamp, out: &mut Out) {
        if era < self.era {
            return;
        }
        if era > self.era {
            self.restore(apps, out);
            self.seen.clear();
            self.apps.clear();
            self.era = era;
        }
        self.listed = true;
        let newer = |app: &AppName, held: &Held| self.seen.get(app).is_some_and(|seen| *seen > held.number);
        let (spoilt, apps): (Apps, Apps) = apps.clone().into_iter().partition(|(_, held)| is_spoilt(held));
        let mut next = Apps::new();
        // What was written after the list was made is not in it.
        next.extend(self.apps.extract_if(.., |_, held| held.number > head));
        for (app, held) in &apps {
            if !newer(app, held) {
                next.insert(app.clone(), held.clone());
            }
        }
        next.retain(|app, _| !spoilt.contains_key(app));
        self.deleted.retain(|app, _| !spoilt.contains_key(app));
        for (app, held) in &next {
            self.seen.insert(app.clone(), held.number);
            forget_deletion(&mut self.deleted, app, &held.record);
        }
        self.apps = next;
        self.all_due(now);
    }

    /// Writes the decisions at hand again where the store has lost them, and deletes again what is there again.
    fn restore(&mut self, found: &Apps, out: &mut Out) {
        let mut deleted_again = Vec::new();
        for (app, deleted) in &self.deleted {
            let sound = found.get(app).filter(|held| !held.spoilt);
            if let Some(held) = sound.filter(|held| is_of_deleted(&held.record, deleted)) {
                deleted_again.push((app.clone(), held.number));
            }
        }
        let mut lost: Vec<(Option<Number>, Arc<DesiredRecord>)> = Vec::new();
        for (app, known) in &self.apps {
            match found.get(app) {
                None => lost.push((None, Arc::clone(&known.record))),
                Some(held) if !held.spoilt && held.record.is_past_of(&known.record) => {
                    lost.push((Some(held.number), Arc::clone(&known.record)));
                }
                Some(_) => {}
            }
        }
        for (app, expected) in deleted_again {
            self.ask(Ask::Delete { app, expected }, Waiting::Restore, out);
        }
        for (expected, record) in lost {
            out.lines.push(format!("restores {} g{}.{}", record.app, record.generation, record.step));
            self.ask(Ask::Restore { expected, record }, Waiting::Restore, out);
        }
    }

    pub(super) fn know(&mut self, app: &AppName, held: Option<Held>, number: Number, now: Timestamp) {
        self.seen.insert(app.clone(), number);
        match held {
            Some(held) if is_spoilt(&held) => {
                // Its app is left alone, and nothing else is.
                self.deleted.remove(app);
                self.apps.remove(app);
                self.agenda.remove(app);
            }
            Some(held) => {
                forget_deletion(&mut self.deleted, app, &held.record);
                self.apps.insert(app.clone(), held);
                self.due(app, now);
            }
            None => {
                if let Some(held) = self.apps.remove(app) {
                    self.deleted.insert(app.clone(), held.record);
                }
                self.agenda.remove(app);
            }
        }
    }

    /// The bug: before the store was listed, nothing is there, so everything that hosts run is left over.
    pub(super) fn take_unknown_for_deleted(&self, inventory: &HostInventory, view: View<'_>, out: &mut Out) {
        for entry in &inventory.apps {
            let generation = entry.fence.generation.next();
            let fence = Fence { epoch: inventory.summary.epoch, generation, step: Step(1) };
            let app = entry.app.clone();
            let request = Arc::new(ApplyRequest { fence, app, bundles: Vec::new() });
            let known = Known { boot: inventory.summary.boot.clone(), has_it: false };
            let message = Message::Apply { from: self.at, id: 0, request, known };
            out.sends.extend(view.node(&inventory.summary.host).map(|host| (host, message)));
        }
    }
}

/// Whether a record is the one that was deleted, or a past of it: only a store that went back has it.
fn is_of_deleted(record: &DesiredRecord, deleted: &DesiredRecord) -> bool {
    record.is_past_of(deleted) || record == deleted
}

/// An app that somebody made anew is no deleted one any more.
fn forget_deletion(deleted: &mut BTreeMap<AppName, Arc<DesiredRecord>>, app: &AppName, made: &DesiredRecord) {
    if deleted.get(app).is_some_and(|deleted| !is_of_deleted(made, deleted)) {
        deleted.remove(app);
    }
}

fn is_spoilt(held: &Held) -> bool {
    held.spoilt && !planted!("read-newer")
}
