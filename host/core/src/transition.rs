//! The steps that a host's edges carry out. Data only: what each means stands here, who does it does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use lath_control_api::{AppName, ComponentName, ComponentSpec, Timestamp};

use crate::unit::{LinkTerms, Ticket, UnitKey};

/// One step. The variants stand in the order in which the steps of one decision are carried out.
///
/// The order is what makes a change safe: it is on disk before it has an effect, the new is published before the
/// old is touched, and nothing is closed or stopped that a published route still leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// Write the app's journal entry; without an entry, remove it.
    Persist(AppName),
    /// Stop preparing the unit and forget it. It never took a call.
    Cancel {
        /// Which.
        unit: UnitKey,
    },
    /// Make the unit ready for calls, and tell with this ticket how it goes.
    Prepare {
        /// Which.
        unit: UnitKey,
        /// Stands on every piece of news of this preparation.
        ticket: Ticket,
        /// Name in the manifest.
        component: ComponentName,
        /// What to prepare.
        spec: Arc<ComponentSpec>,
        /// How its links are put to providers.
        terms: LinkTerms,
    },
    /// A unit that was leaving is wanted again: it takes calls. A drain that is watched is off.
    Reopen {
        /// Which.
        unit: UnitKey,
    },
    /// Replace the routes by `Core::routes`, in one store.
    Publish,
    /// No new call is sent to the unit. Tell when none is in flight in it. It still answers calls that others
    /// of its own revision make to finish theirs.
    Drain {
        /// Which.
        unit: UnitKey,
        /// Stands on the news.
        ticket: Ticket,
        /// When the calls that are left will get an error.
        deadline: Timestamp,
    },
    /// No route leads to the unit any more: let it refuse calls, and tell when none is in flight in it.
    Close {
        /// Which.
        unit: UnitKey,
        /// Stands on the news.
        ticket: Ticket,
    },
    /// The unit cannot be started any more, and no route leads to it: let go of what its preparation made. It stays,
    /// and is prepared again later.
    Release {
        /// Which.
        unit: UnitKey,
    },
    /// The unit goes.
    Stop {
        /// Which.
        unit: UnitKey,
        /// Its drain deadline has passed: calls in flight get an error.
        overdue: bool,
    },
    /// The inventory has changed.
    Report,
}

impl Transition {
    const fn rank(&self) -> u8 {
        match self {
            Self::Persist(_) => 0,
            Self::Cancel { .. } => 1,
            Self::Prepare { .. } => 2,
            Self::Reopen { .. } => 3,
            Self::Publish => 4,
            Self::Drain { .. } => 5,
            Self::Close { .. } => 6,
            Self::Release { .. } => 7,
            Self::Stop { .. } => 8,
            Self::Report => 9,
        }
    }
}

/// Gathers the steps of one decision.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    steps: Vec<Transition>,
    publish: bool,
    report: bool,
}

impl Changes {
    pub(crate) fn step(&mut self, step: Transition) {
        self.steps.push(step);
        self.report = true;
    }

    /// Where calls go, or which units may be called, has changed.
    pub(crate) fn routes(&mut self) {
        self.publish = true;
        self.report = true;
    }

    /// Something that the inventory shows has changed.
    pub(crate) fn shown(&mut self) {
        self.report = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && !self.publish && !self.report
    }

    /// A unit that can be started no more and that nobody holds then goes as one that ran, not as one that never did.
    fn stop_what_is_let_go_for_good(&mut self) {
        let cancelled = |step: &Transition| match step {
            Transition::Cancel { unit } => Some(unit.clone()),
            _ => None,
        };
        let cancelled: BTreeSet<UnitKey> = self.steps.iter().filter_map(cancelled).collect();
        let mut stopped = BTreeSet::new();
        for step in &mut self.steps {
            if let Transition::Release { unit } = step
                && cancelled.contains(unit)
            {
                stopped.insert(unit.clone());
                *step = Transition::Stop { unit: unit.clone(), overdue: false };
            }
        }
        self.steps.retain(|step| !matches!(step, Transition::Cancel { unit } if stopped.contains(unit)));
    }

    /// The steps in safe order; the sort is stable, so steps of one kind stay in the order of their units.
    pub(crate) fn into_steps(mut self) -> Vec<Transition> {
        if self.publish {
            self.steps.push(Transition::Publish);
        }
        if self.report {
            self.steps.push(Transition::Report);
        }
        self.stop_what_is_let_go_for_good();
        self.steps.sort_by_key(Transition::rank);
        self.steps.dedup_by(|a, b| a == b && matches!(a, Transition::Persist(_)));
        self.steps
    }
}
