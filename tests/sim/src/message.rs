//! What processes say to one another in the model, and everything else that is due at some time.

use std::sync::Arc;

use lath_control_api::{
    ApiError, AppName, ApplyReply, ApplyRequest, Generation, HostCalls, HostId, HostInventory, HostSummary,
    Step,
};
use lath_manager_planner::DesiredRecord;

use crate::host::Word;
use crate::network::Node;
use crate::profile::Fault;
use crate::store::{Apps, Held, LeaseRecord, Number, Written};
use crate::users::OfHost;

/// A run of a manager's process, so that what was meant for an earlier one is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManagerRun {
    pub(crate) manager: usize,
    pub(crate) run: u64,
}

/// Number of a request, to tell its answer.
pub(crate) type RequestId = u64;

/// What a message says.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// To a host.
    Apply {
        from: ManagerRun,
        id: RequestId,
        request: Arc<ApplyRequest>,
        known: Known,
    },
    AskInventory {
        from: ManagerRun,
    },
    /// From a host.
    Applied {
        to: ManagerRun,
        id: RequestId,
        answer: Box<Result<ApplyReply, ApiError>>,
    },
    Beat {
        summary: Arc<HostSummary>,
    },
    Inventory {
        inventory: Arc<HostInventory>,
    },
    Calls {
        calls: Arc<HostCalls>,
    },
    Stopped {
        host: HostId,
        boot: String,
    },
    /// To the store.
    Ask {
        from: ManagerRun,
        id: RequestId,
        ask: Ask,
    },
    /// From the store.
    Answer {
        to: ManagerRun,
        id: RequestId,
        answer: Answer,
    },
    Changed {
        era: u64,
        number: Number,
        app: AppName,
        held: Option<Held>,
    },
    LostWrites {
        era: u64,
        head: Number,
        apps: Arc<Apps>,
    },
}

/// What the sender of a command knew of the host; no part of the real message, for the checks alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its run.
    pub(crate) boot: String,
    /// It holds this very decision, confirmed.
    pub(crate) has_it: bool,
}

/// What a manager asks the store.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Lease,
    TakeLease {
        expected: Option<Number>,
        lease: LeaseRecord,
    },
    Apps,
    App(AppName),
    Write {
        expected: Number,
        record: Arc<DesiredRecord>,
        basis: Basis,
    },
    Delete {
        app: AppName,
        expected: Number,
    },
    /// To have a decision again that was lost.
    Restore {
        expected: Option<Number>,
        record: Arc<DesiredRecord>,
    },
}

/// What a manager's write rests on; no part of the real message, for the checks alone.
#[derive(Debug, Clone)]
pub(crate) struct Basis {
    pub(crate) record: Arc<DesiredRecord>,
    /// By the counts that the manager knew, a gate of the step at hand did not hold.
    pub(crate) gate_failed: bool,
    /// By what hosts had told the manager, more hosts than may be away did not run the new revision.
    pub(crate) unready: bool,
}

/// What the store answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Lease(Option<(Number, LeaseRecord)>),
    /// As of the write with the number `head`.
    Apps {
        era: u64,
        head: Number,
        apps: Arc<Apps>,
    },
    App(Option<Held>),
    Written(Written),
}

/// A webhook's word on a step.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) app: AppName,
    pub(crate) generation: Generation,
    pub(crate) step: Step,
    /// None: it has not answered in time.
    pub(crate) agreed: Option<bool>,
}

/// Everything that is due at some time.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Deliver {
        from: Node,
        to: Node,
        message: Message,
    },
    /// An edge of a host has news of a unit.
    Word(usize, Box<Word>),
    HostTick(usize, u64),
    /// A host tells what has changed since it last did.
    HostTells(usize, u64),
    ManagerTick(ManagerRun),
    /// An answer that has not come by now does not count any more.
    GiveUp(ManagerRun, RequestId),
    Webhook(ManagerRun, Box<Verdict>),
    User(usize),
    OfHost(OfHost),
    Fault(Fault),
    HostStarts(usize),
    /// A host that goes in order has waited long enough.
    HostEnds(usize, u64),
    ManagerStarts(usize),
    Cut(Node, Node),
    Heal(Node, Node),
    StoreReturns,
    StoreAnswersRightly,
    /// All faults are over.
    Quiet,
}
