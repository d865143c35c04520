//! Both ends of a link within an app, compared when the second of them is made ready: what does not fit is found before
//! anything is called.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lath_control_api::{AppName, ComponentId, Reason, Revision};

use crate::engine::{Caller, PrepareError, Prepared};

/// Revisions that are kept before those of which nothing is left are looked for.
const FEW: usize = 64;

/// Components that were made ready, by what they call one another in.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends(Arc<Mutex<Revisions>>);

#[derive(Debug, Default)]
struct Revisions {
    all: BTreeMap<(AppName, Revision), Units>,
    /// How many there were when it was last looked for those that are over.
    swept: usize,
}

/// Components of one revision.
#[derive(Debug, Default)]
struct Units {
    all: BTreeMap<ComponentId, Weak<Prepared>>,
    /// Those that call others.
    calling: BTreeMap<ComponentId, Weak<Prepared>>,
}

impl Ends {
    /// Compares a component with those of its revision that are here, and keeps it for those that come.
    ///
    /// # Errors
    /// `ImportUnsatisfied` when one of both calls the other with a function that is not there, or of other types.
    pub(super) fn meet(&self, unit: &Arc<Prepared>) -> Result<(), PrepareError> {
        let Caller { app, id, revision } = unit.caller();
        let mut revisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        revisions.sweep();
        let units = revisions.all.entry((app.clone(), *revision)).or_default();
        let called = unit.linked.iter().filter_map(|function| units.all.get(function.target())?.upgrade());
        let callers = units.calling.values().filter_map(Weak::upgrade);
        called
            .map(|callee| fits(unit, &callee))
            .chain(callers.map(|caller| fits(&caller, unit)))
            .collect::<Result<(), PrepareError>>()?;
        units.all.insert(id.clone(), Arc::downgrade(unit));
        if !unit.linked.is_empty() {
            units.calling.insert(id.clone(), Arc::downgrade(unit));
        }
        Ok(())
    }
}

impl Revisions {
    /// Forgets revisions of which nothing is left, whenever there are twice as many as there were.
    fn sweep(&mut self) {
        if self.all.len() < (2 * self.swept).max(FEW) {
            return;
        }
        self.all.retain(|_, units| units.all.values().any(|unit| unit.strong_count() > 0));
        self.swept = self.all.len();
    }
}

/// Whether `callee` answers what `caller` calls it with.
fn fits(caller: &Prepared, callee: &Prepared) -> Result<(), PrepareError> {
    let id = &callee.caller().id;
    let mut to_it = caller.linked.iter().filter(|function| function.target() == id);
    to_it.try_for_each(|function| function.fits(callee)).map_err(|problem| {
        let message = format!("the link of `{}` to `{id}` does not fit: {problem}", caller.caller().id);
        PrepareError::new(Reason::ImportUnsatisfied, message)
    })
}
