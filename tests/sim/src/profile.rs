//! How rough a run is: which faults there may be, and how often. Chosen by the seed.

use crate::rng::Rng;

/// What may go wrong, each in a thousand messages or events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Profile {
    /// For the trace.
    pub(crate) name: &'static str,
    /// Messages that are lost.
    pub(crate) loss: u64,
    /// Messages that come twice.
    pub(crate) duplication: u64,
    /// Messages that are late by up to `lateness_ms`.
    pub(crate) late: u64,
    /// How late, at most.
    pub(crate) lateness_ms: u64,
    /// Fetches that fail for now.
    pub(crate) flaky_fetch: u64,
    /// Commands in the middle of which a host dies.
    pub(crate) dies_applying: u64,
    /// Happenings to hosts, managers, links and the store.
    pub(crate) faults: Vec<Fault>,
    /// How many of them.
    pub(crate) fault_count: u64,
    /// Managers that run.
    pub(crate) managers: usize,
}

/// A kind of happening that nobody planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A host's process dies and starts again.
    HostCrash,
    /// A host's process stands still for a while.
    HostFreeze,
    /// A host dies, and its disk with it.
    HostWipe,
    /// A host goes in order and comes back.
    HostStop,
    /// A manager's process dies and starts again.
    ManagerCrash,
    /// A manager's process stands still for a while.
    ManagerFreeze,
    /// A link is cut in one direction or both.
    Partition,
    /// Nothing reaches the store.
    StoreAway,
    /// The store loses its last writes.
    StoreBack,
}

/// Faults that a lattice may have all at once.
const ALL: [Fault; 8] = [
    Fault::HostCrash,
    Fault::HostFreeze,
    Fault::HostWipe,
    Fault::HostStop,
    Fault::ManagerCrash,
    Fault::ManagerFreeze,
    Fault::Partition,
    Fault::StoreAway,
];

impl Profile {
    /// Some runs are calm, some have one kind of fault, some have all of them.
    pub(crate) fn choose(rng: &mut Rng) -> Self {
        let managers = 1 + usize::from(rng.chance(500));
        let base = Self { managers, fault_count: 1 + rng.below(4), ..Self::default() };
        match rng.below(10) {
            0 | 1 => Self { name: "calm", managers, ..Self::default() },
            2 => Self { name: "lossy", loss: 100, duplication: 50, late: 100, lateness_ms: 2_000, ..base },
            3 => Self { name: "late", duplication: 100, late: 300, lateness_ms: 20_000, ..base },
            4..=6 => {
                let fault = rng.pick(&ALL).copied().unwrap_or(Fault::HostCrash);
                Self { name: "one fault", faults: vec![fault], ..base }
            }
            7 => Self { name: "managers", managers: 2, faults: Self::of_managers(), fault_count: 6, ..base },
            8 => Self { name: "store", faults: vec![Fault::StoreBack, Fault::StoreAway], ..base },
            _ => Self::chaos(base),
        }
    }

    fn of_managers() -> Vec<Fault> {
        vec![Fault::ManagerCrash, Fault::ManagerFreeze]
    }

    fn chaos(base: Self) -> Self {
        let (loss, duplication, late, lateness_ms) = (50, 50, 100, 5_000);
        let (flaky_fetch, dies_applying, faults, fault_count) = (100, 10, ALL.to_vec(), 8);
        let messages = Self { loss, duplication, late, lateness_ms, ..base };
        Self { name: "chaos", flaky_fetch, dies_applying, faults, fault_count, ..messages }
    }

    /// The same without any fault: the quiet tail.
    pub(crate) fn quiet(&self) -> Self {
        Self { name: "quiet", managers: self.managers, ..Self::default() }
    }

    /// Whether nothing can go wrong but what users ask for.
    pub(crate) fn is_calm(&self) -> bool {
        self.loss + self.duplication + self.late + self.flaky_fetch + self.dies_applying == 0
            && self.faults.is_empty()
    }
}
