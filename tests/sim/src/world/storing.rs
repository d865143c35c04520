//! The store in a run: what it is asked, and who hears of what was written.

use std::sync::Arc;

use lath_control_api::{AppName, Revision};
use lath_manager_planner::record::{DesiredRecord, Stage};

use super::World;
use crate::check::{Fact, Stored, Writer, stage_name};
use crate::message::{Answer, Ask, Message};
use crate::network::Node;
use crate::store::{Number, Written};

impl World {
    pub(super) fn store_hears(&mut self, message: Message) {
        let Message::Ask { from, id, ask } = message else { return };
        let who = format!("m{}", from.manager);
        let answer = match ask {
            Ask::Lease => Answer::Lease(self.store.lease()),
            Ask::TakeLease { expected, lease } => Answer::Written(self.store.write_lease(expected, lease)),
            Ask::Apps => self.list(),
            Ask::App(app) => {
                let apps = self.store_answers.as_ref().unwrap_or_else(|| self.store.apps());
                Answer::App(apps.get(&app).cloned())
            }
            Ask::Write { expected, record, basis } => {
                let before = self.store.app(&record.app).map(|held| Arc::clone(&held.record));
                let app = record.app.clone();
                let written = self.store.write(Some(expected), record);
                if written != Written::Conflict {
                    self.counts.commits += 1;
                    self.stored(&who, &app, before.as_ref(), Writer::Plan(&basis));
                }
                Answer::Written(written)
            }
            Ask::Restore { expected, record } => {
                let before = self.store.app(&record.app).map(|held| Arc::clone(&held.record));
                self.store.remember(&record, &self.memory);
                let app = record.app.clone();
                let written = self.store.write(expected, record);
                if written != Written::Conflict {
                    self.count("store", "lost decision restored");
                    self.stored(&who, &app, before.as_ref(), Writer::Restore);
                }
                Answer::Written(written)
            }
            Ask::Delete { app, expected } => {
                let written = self.store.delete(&app, expected);
                if let Written::Done(number) = written {
                    self.is_deleted(app, number);
                }
                Answer::Written(written)
            }
        };
        self.send(Node::Store, Node::Manager(from.manager), &Message::Answer { to: from, id, answer });
    }

    /// A complete list, or what the store takes for one.
    fn list(&self) -> Answer {
        let (apps, head) = match &self.store_answers {
            Some(apps) if !apps.is_empty() => {
                (apps.clone(), apps.values().map(|held| held.number).max().unwrap_or_default())
            }
            Some(apps) => (apps.clone(), self.store.head()),
            None => (self.store.apps().clone(), self.store.head()),
        };
        Answer::Apps { era: self.store.era, head, apps: Arc::new(apps) }
    }

    fn is_deleted(&mut self, app: AppName, number: Number) {
        let (hosts, store, now) = (&self.hosts, &self.store, self.now);
        let by = Writer::Restore;
        let fact = Stored { app: &app, by, before: None, after: None, store, hosts, now };
        self.checker.see(&Fact::Stored(fact));
        self.note("store", &format!("{app} is deleted"));
        self.tell_managers(&Message::Changed { era: self.store.era, number, app, held: None });
    }

    pub(super) fn tell_managers(&mut self, message: &Message) {
        self.publish(Node::Store, message);
    }

    /// A record was written over `before`: everybody who watches is told.
    pub(super) fn stored(
        &mut self,
        who: &str,
        app: &AppName,
        before: Option<&Arc<DesiredRecord>>,
        by: Writer<'_>,
    ) {
        self.last_deed = self.now;
        let Some(held) = self.store.app(app).cloned() else { return };
        self.see_stored(app, before, by);
        let record = Arc::clone(&held.record);
        let (generation, step) = (record.generation, record.step);
        let line = format!("commits {app} g{generation}.{step} {}", describe(&record));
        self.note(who, &line);
        let (era, number, app) = (self.store.era, held.number, app.clone());
        let message = Message::Changed { era, number, app, held: Some(held) };
        self.tell_managers(&message);
    }

    pub(super) fn see_stored(&mut self, app: &AppName, before: Option<&Arc<DesiredRecord>>, by: Writer<'_>) {
        let (hosts, store, now) = (&self.hosts, &self.store, self.now);
        let after = self.store.app(app).map(|held| &held.record);
        self.checker.see(&Fact::Stored(Stored { app, by, before, after, store, hosts, now }));
    }
}

/// What a record leads to, in a few words.
fn describe(record: &DesiredRecord) -> String {
    let revision = |revision: Option<Revision>| revision.map_or_else(|| "-".to_owned(), |r| r.to_string());
    let from_to = format!("r{}>r{}", revision(record.serving), revision(record.revision));
    let Some(rollout) = &record.rollout else {
        return format!("{from_to} {}", stage_name(record));
    };
    let share = match &rollout.stage {
        Stage::Shifting { shifted, weight, rung, .. } => {
            format!(" rung {rung}: {} % on {}", weight.percent(), shifted.len())
        }
        _ => String::new(),
    };
    let paused = if rollout.paused.is_some() { " paused" } else { "" };
    let problem = rollout.problem.as_ref();
    let problem = problem.map(|problem| format!(" for {}: {}", problem.reason, problem.message));
    format!("{from_to} {}{share}{paused}{}", stage_name(record), problem.unwrap_or_default())
}
