//! The model of the key-value store: compare-and-set, numbers that only grow, and what users ask for.
//!
//! Revisions of apps lie beside the records, as in the real store: whoever writes a record has written its revision
//! before, and whoever deletes an app deletes them with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::{AppName, Epoch, Revision};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::{DesiredRecord, RevisionRecord};

use crate::apps;

/// Number of a write.
pub(crate) type Number = u64;

/// A record as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) number: Number,
    /// It cannot be read: bytes that are no record, or one that a newer manager wrote.
    pub(crate) spoilt: bool,
    pub(crate) record: Arc<DesiredRecord>,
}

/// The records of all apps.
pub(crate) type Apps = BTreeMap<AppName, Held>;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseRecord {
    pub(crate) holder: usize,
    pub(crate) epoch: Epoch,
}

/// All that is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    number: Number,
    apps: Apps,
    lease: Option<(Number, LeaseRecord)>,
    records: BTreeMap<AppName, BTreeMap<Revision, Arc<RevisionRecord>>>,
    specs: BTreeMap<AppName, Revisions>,
    /// Grows when the store loses writes.
    pub(crate) era: u64,
}

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Done(Number),
    Conflict,
}

impl Store {
    fn next(&mut self) -> Number {
        self.number += 1;
        self.number
    }

    fn is_expected(&self, app: &AppName, expected: Option<Number>) -> bool {
        planted!("write-without-cas") || self.apps.get(app).map(|held| held.number) == expected
    }

    pub(crate) fn lease(&self) -> Option<(Number, LeaseRecord)> {
        self.lease.clone()
    }

    pub(crate) fn write_lease(&mut self, expected: Option<Number>, lease: LeaseRecord) -> Written {
        if self.lease.as_ref().map(|(number, _)| *number) != expected {
            return Written::Conflict;
        }
        let number = self.next();
        self.lease = Some((number, lease));
        Written::Done(number)
    }

    /// Number of the last write.
    pub(crate) const fn head(&self) -> Number {
        self.number
    }

    pub(crate) fn app(&self, app: &AppName) -> Option<&Held> {
        self.apps.get(app)
    }

    pub(crate) fn apps(&self) -> &Apps {
        &self.apps
    }

    /// Contents of an app's revisions.
    pub(crate) fn specs(&self, app: &AppName) -> Option<&Revisions> {
        self.specs.get(app)
    }

    pub(crate) fn revision(&self, app: &AppName, revision: Revision) -> Option<&RevisionRecord> {
        self.records.get(app)?.get(&revision).map(AsRef::as_ref)
    }

    /// Writes a record in place of the one with that number, or as the first of its app.
    pub(crate) fn write(&mut self, expected: Option<Number>, record: Arc<DesiredRecord>) -> Written {
        if !self.is_expected(&record.app, expected) {
            return Written::Conflict;
        }
        let number = self.next();
        self.apps.insert(record.app.clone(), Held { number, spoilt: false, record });
        Written::Done(number)
    }

    /// Has something in the place of an app's record that no manager can read. Returns its number.
    pub(crate) fn spoil(&mut self, app: &AppName) -> Option<Number> {
        let number = self.number + 1;
        let held = self.apps.get_mut(app).filter(|held| !held.spoilt)?;
        held.number = number;
        held.spoilt = true;
        self.number = number;
        Some(number)
    }

    /// Deletes an app and its revisions.
    pub(crate) fn delete(&mut self, app: &AppName, expected: Number) -> Written {
        if !self.is_expected(app, Some(expected)) {
            return Written::Conflict;
        }
        if let Some(Held { record, .. }) = self.apps.remove(app) {
            let last = record.last_revision;
            if let Some(records) = self.records.get_mut(app) {
                records.retain(|revision, _| *revision > last);
            }
            if let Some(specs) = self.specs.get_mut(app) {
                specs.retain(|revision, _| *revision > last);
            }
        }
        Written::Done(self.next())
    }

    /// Writes a revision, unless its number was given already.
    pub(crate) fn write_revision(&mut self, revision: RevisionRecord) -> bool {
        let (app, number) = (revision.app.clone(), revision.revision);
        let records = self.records.entry(app.clone()).or_default();
        if records.get(&number).is_some_and(|held| **held != revision) {
            return false;
        }
        self.specs.entry(app).or_default().insert(number, Arc::new(apps::expand(&revision)));
        records.insert(number, Arc::new(revision));
        true
    }

    /// Loses every write of a record since `then`. Numbers go on growing: that the real store's numbers come again is
    /// told apart by the era. Returns the revisions as they were, which managers have in their memory.
    pub(crate) fn go_back(&mut self, then: &Self) -> Memory {
        let memory = Memory { records: self.records.clone(), specs: self.specs.clone() };
        self.apps = then.apps.clone();
        self.era += 1;
        let apps: Vec<AppName> = self.apps.keys().cloned().collect();
        for app in apps {
            let number = self.next();
            if let Some(held) = self.apps.get_mut(&app) {
                held.number = number;
            }
        }
        for (app, records) in &then.records {
            let kept = self.records.entry(app.clone()).or_default();
            kept.extend(records.iter().map(|(revision, record)| (*revision, Arc::clone(record))));
        }
        for (app, specs) in &then.specs {
            let kept = self.specs.entry(app.clone()).or_default();
            kept.extend(specs.iter().map(|(revision, spec)| (*revision, Arc::clone(spec))));
        }
        memory
    }

    /// Loses everything, revisions and lease included. Returns the revisions, which managers have in their memory.
    pub(crate) fn lose_all(&mut self) -> Memory {
        self.era += 1;
        self.apps.clear();
        self.lease = None;
        Memory { records: std::mem::take(&mut self.records), specs: std::mem::take(&mut self.specs) }
    }

    /// Has the revisions again that a record needs.
    pub(crate) fn remember(&mut self, record: &DesiredRecord, memory: &Memory) {
        let app = &record.app;
        for revision in record.needed_revisions() {
            let records = memory.records.get(app).and_then(|records| records.get(&revision));
            let specs = memory.specs.get(app).and_then(|specs| specs.get(&revision));
            let (Some(found), Some(spec)) = (records, specs) else { continue };
            self.records.entry(app.clone()).or_default().entry(revision).or_insert_with(|| Arc::clone(found));
            self.specs.entry(app.clone()).or_default().entry(revision).or_insert_with(|| Arc::clone(spec));
        }
    }
}

/// Revisions that a store has lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    records: BTreeMap<AppName, BTreeMap<Revision, Arc<RevisionRecord>>>,
    specs: BTreeMap<AppName, Revisions>,
}
