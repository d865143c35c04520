//! The model of the key-value store: compare-and-set, numbers that only grow, and what users ask for.
//!
//! Revisions of apps lie beside the records, as in the real store, and are never lost here: whoever writes a record
//! has written its revision before.

use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::{AppName, Epoch, Revision};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::change::{self, Change};
use lath_manager_planner::{AppSpec, DesiredRecord, RevisionRecord, example};

/// Number of a write.
pub(crate) type Number = u64;

/// A key and what is there: none when it was deleted.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) number: Number,
    pub(crate) record: Arc<DesiredRecord>,
}

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
    apps: BTreeMap<AppName, Held>,
    lease: Option<(Number, LeaseRecord)>,
    records: BTreeMap<(AppName, Revision), RevisionRecord>,
    specs: BTreeMap<AppName, Revisions>,
    /// Grows when the store loses writes.
    pub(crate) era: u64,
    #[cfg(feature = "sabotage")]
    pub(crate) ignores_numbers: bool,
}

/// What a write came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    Done(Number),
    Conflict,
}

impl Store {
    fn next(&mut self) -> Number {
        self.number += 1;
        self.number
    }

    /// Numbers at which the writer expected the key: none stands for a key that is not there.
    fn is_expected(&self, found: Option<Number>, expected: Option<Number>) -> bool {
        #[cfg(feature = "sabotage")]
        if self.ignores_numbers {
            return true;
        }
        found == expected
    }

    pub(crate) fn lease(&self) -> Option<(Number, LeaseRecord)> {
        self.lease.clone()
    }

    pub(crate) fn write_lease(&mut self, expected: Option<Number>, lease: LeaseRecord) -> Written {
        // The lease is compared also by a store that has forgotten how to: what is sabotaged are the records.
        if self.lease.as_ref().map(|(number, _)| *number) != expected {
            return Written::Conflict;
        }
        let number = self.next();
        self.lease = Some((number, lease));
        Written::Done(number)
    }

    pub(crate) fn app(&self, app: &AppName) -> Option<&Held> {
        self.apps.get(app)
    }

    pub(crate) fn apps(&self) -> &BTreeMap<AppName, Held> {
        &self.apps
    }

    /// Contents of an app's revisions.
    pub(crate) fn specs(&self, app: &AppName) -> Option<&Revisions> {
        self.specs.get(app)
    }

    pub(crate) fn write(&mut self, expected: Number, record: Arc<DesiredRecord>) -> Written {
        let found = self.apps.get(&record.app).map(|held| held.number);
        if !self.is_expected(found, Some(expected)) {
            return Written::Conflict;
        }
        Written::Done(self.put(record))
    }

    fn put(&mut self, record: Arc<DesiredRecord>) -> Number {
        let number = self.next();
        self.apps.insert(record.app.clone(), Held { number, record });
        number
    }

    pub(crate) fn delete(&mut self, app: &AppName, expected: Number) -> Written {
        if !self.is_expected(self.apps.get(app).map(|held| held.number), Some(expected)) {
            return Written::Conflict;
        }
        self.apps.remove(app);
        Written::Done(self.next())
    }

    /// Takes a user's change in, as the API of a manager does: read, change, write, and again on a conflict.
    pub(crate) fn change(&mut self, app: &AppName, change: Change) -> bool {
        if let Some(revision) = change.revision {
            let spec: Arc<AppSpec> = Arc::new(example::expand(&revision));
            self.specs.entry(app.clone()).or_default().insert(revision.revision, spec);
            self.records.insert((app.clone(), revision.revision), revision);
        }
        let Some(record) = change.record else { return false };
        self.put(Arc::new(record));
        true
    }

    /// The revision that an app's record wants.
    pub(crate) fn current(&self, app: &AppName) -> Option<&RevisionRecord> {
        let wanted = self.apps.get(app)?.record.revision?;
        self.records.get(&(app.clone(), wanted))
    }

    /// The revision to go back to.
    pub(crate) fn previous(&self, app: &AppName) -> Option<&RevisionRecord> {
        let held = self.apps.get(app)?;
        let content =
            |revision| self.records.get(&(app.clone(), revision)).map(|record| record.content.clone());
        let target = change::rollback_target(&held.record, None, content).ok()?;
        self.records.get(&(app.clone(), target))
    }

    /// Loses every write of a record since `then`. Numbers go on growing: an implementation of the real store whose
    /// numbers come again is beyond what compare-and-set can survive, and is told apart by its era.
    pub(crate) fn go_back(&mut self, then: &Self) {
        self.apps = then.apps.clone();
        self.era += 1;
        let apps: Vec<AppName> = self.apps.keys().cloned().collect();
        for app in apps {
            let number = self.next();
            if let Some(held) = self.apps.get_mut(&app) {
                held.number = number;
            }
        }
    }
}
