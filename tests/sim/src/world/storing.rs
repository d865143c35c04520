//! The store in a run: what it is asked, and who hears of what was written.

use lath_control_api::{AppName, Revision};
use lath_manager_planner::record::{DesiredRecord, Stage};

use super::World;
use crate::message::{Answer, Ask, Message};
use crate::network::Node;
use crate::store::Written;

impl World {
    pub(super) fn store_hears(&mut self, message: Message) {
        let Message::Ask { from, id, ask } = message else { return };
        let answer = match ask {
            Ask::Lease => Answer::Lease(self.store.lease()),
            Ask::TakeLease { expected, lease } => Answer::Written(self.store.write_lease(expected, lease)),
            Ask::Apps => Answer::Apps { era: self.store.era, apps: self.store.apps().clone() },
            Ask::App(app) => Answer::App(self.store.app(&app).cloned()),
            Ask::Write { expected, record } => {
                let app = record.app.clone();
                let written = self.store.write(expected, record);
                if written != Written::Conflict {
                    self.counts.commits += 1;
                    self.stored(&format!("m{}", from.manager), &app);
                }
                Answer::Written(written)
            }
            Ask::Delete { app, expected } => {
                let written = self.store.delete(&app, expected);
                if let Written::Done(number) = written {
                    self.checker.stored(&app, None, None, self.now);
                    self.note("store", &format!("{app} is deleted"));
                    self.tell_managers(&Message::Changed { era: self.store.era, number, app, record: None });
                }
                Answer::Written(written)
            }
        };
        self.send(&Node::Store, &Node::Manager(from.manager), &Message::Answer { to: from, id, answer });
    }

    pub(super) fn tell_managers(&mut self, message: &Message) {
        for manager in 0..self.managers.len() {
            self.send(&Node::Store, &Node::Manager(manager), message);
        }
    }

    /// A record was written: everybody who watches is told.
    pub(super) fn stored(&mut self, by: &str, app: &AppName) {
        self.last_deed = self.now;
        let Some(held) = self.store.app(app).cloned() else { return };
        self.checker.stored(app, Some(&held.record), self.store.specs(app), self.now);
        let record = &held.record;
        let (generation, step) = (record.generation, record.step);
        let line = format!("commits {app} g{generation}.{step} {}", describe(record));
        self.note(by, &line);
        let message = Message::Changed {
            era: self.store.era,
            number: held.number,
            app: app.clone(),
            record: Some(held.record),
        };
        self.tell_managers(&message);
    }
}

/// What a record leads to, in a few words.
fn describe(record: &DesiredRecord) -> String {
    let revision = |revision: Option<Revision>| revision.map_or_else(|| "-".to_owned(), |r| r.to_string());
    let from_to = format!("r{}>r{}", revision(record.serving), revision(record.revision));
    let Some(rollout) = &record.rollout else {
        return format!("{from_to} {:?}", record.wanted);
    };
    let stage = match &rollout.stage {
        Stage::Shifting { shifted, .. } => format!("shifting {}", shifted.len()),
        Stage::Warm { .. } => "warm".to_owned(),
        Stage::Preparing
        | Stage::Emptying
        | Stage::Settling
        | Stage::RollingBack
        | Stage::Stopping
        | Stage::Stuck => format!("{:?}", rollout.stage).to_lowercase(),
    };
    let problem = rollout.problem.as_ref();
    let problem = problem.map(|problem| format!(" for {}: {}", problem.reason, problem.message));
    format!("{from_to} {stage}{}", problem.unwrap_or_default())
}
