//! What can happen in a step, as checks see it.

use std::sync::Arc;

use lath_control_api::app::RolloutAction;
use lath_control_api::{AppName, ApplyRequest, Epoch, HostInventory, Timestamp};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::record::DesiredRecord;

use crate::host::{Face, Host, Outcome};
use crate::message::{Basis, Known, ManagerRun};
use crate::store::Store;

/// A step that was made.
pub(crate) enum Fact<'a> {
    Stored(Stored<'a>),
    Sent(Sent<'a>),
    /// A manager acts in an epoch from now on.
    Began {
        by: ManagerRun,
        epoch: Epoch,
    },
    Obeyed(Obeyed<'a>),
    Changed(Changed<'a>),
    /// A host tells what runs on it.
    Reported {
        host: &'a Host,
        inventory: &'a HostInventory,
    },
}

/// A record is in the store, or is gone from it.
pub(crate) struct Stored<'a> {
    pub(crate) app: &'a AppName,
    pub(crate) by: Writer<'a>,
    pub(crate) before: Option<&'a Arc<DesiredRecord>>,
    pub(crate) after: Option<&'a Arc<DesiredRecord>>,
    pub(crate) store: &'a Store,
    pub(crate) hosts: &'a [Host],
    pub(crate) now: Timestamp,
}

/// Who wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Writer<'a> {
    /// A manager by a plan.
    Plan(&'a Basis),
    /// A manager by what was lost.
    Restore,
    User {
        what: &'static str,
        action: Option<RolloutAction>,
    },
    /// The store itself, which has gone back in time.
    Time,
}

impl<'a> Stored<'a> {
    /// Both records of a step of a manager.
    pub(super) fn plan(&self) -> Option<(&'a DesiredRecord, &'a DesiredRecord)> {
        match self.by {
            Writer::Plan(_) => Some((self.before?, self.after?)),
            Writer::Restore | Writer::User { .. } | Writer::Time => None,
        }
    }

    pub(super) fn revisions(&self) -> Option<&'a Revisions> {
        self.store.specs(self.app)
    }
}

/// A command was sent.
pub(crate) struct Sent<'a> {
    pub(crate) by: ManagerRun,
    /// The host's place among all, and itself.
    pub(crate) at: usize,
    pub(crate) host: &'a Host,
    pub(crate) request: &'a Arc<ApplyRequest>,
    pub(crate) known: &'a Known,
    pub(crate) now: Timestamp,
}

/// A host has obeyed a command, or has died of it and will go on with it.
pub(crate) struct Obeyed<'a> {
    pub(crate) at: usize,
    pub(crate) host: &'a Host,
    pub(crate) request: &'a Arc<ApplyRequest>,
    /// It said that it knew it.
    pub(crate) unchanged: bool,
    pub(crate) outcome: &'a Outcome,
    pub(crate) before: &'a Face,
}

/// A host has done something.
pub(crate) struct Changed<'a> {
    pub(crate) at: usize,
    pub(crate) host: &'a Host,
    pub(crate) cause: Cause,
    pub(crate) before: &'a Face,
    pub(crate) outcome: &'a Outcome,
    pub(crate) hosts: &'a [Host],
    pub(crate) now: Timestamp,
}

/// Why a host has done something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Command,
    /// A unit could not be prepared.
    Failure,
    /// Other news of a unit.
    News,
    Time,
    Start,
}
