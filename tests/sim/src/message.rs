//! What processes say to one another in the model, and everything else that is due at some time.

use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::{ApiError, AppName, ApplyReply, ApplyRequest, HostId, HostInventory, HostSummary};
use lath_manager_planner::DesiredRecord;

use crate::host::Word;
use crate::network::Node;
use crate::profile::Fault;
use crate::store::{Held, LeaseRecord, Number, Written};

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
        summary: Box<HostSummary>,
    },
    Inventory {
        inventory: Arc<HostInventory>,
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
        record: Option<Arc<DesiredRecord>>,
    },
    LostWrites {
        era: u64,
        apps: BTreeMap<AppName, Held>,
    },
}

/// What a manager asks the store.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Lease,
    TakeLease { expected: Option<Number>, lease: LeaseRecord },
    Apps,
    App(AppName),
    Write { expected: Number, record: Arc<DesiredRecord> },
    Delete { app: AppName, expected: Number },
}

/// What the store answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Lease(Option<(Number, LeaseRecord)>),
    Apps { era: u64, apps: BTreeMap<AppName, Held> },
    App(Option<Held>),
    Written(Written),
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
    Word(HostId, Word),
    HostTick(HostId, u64),
    ManagerTick(ManagerRun),
    /// An answer that has not come by now does not count any more.
    GiveUp(ManagerRun, RequestId),
    User(usize),
    Fault(Fault),
    HostStarts(HostId),
    /// A host that goes in order has waited long enough.
    HostEnds(HostId, u64),
    ManagerStarts(usize),
    Heal(Node, Node),
    StoreReturns,
    /// All faults are over.
    Quiet,
}
