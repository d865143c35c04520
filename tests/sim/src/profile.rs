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
    /// Nothing that nobody asked for arrives, but heartbeats; to the end of the run.
    pub(crate) deaf: bool,
    /// Counts of calls that are lost.
    pub(crate) counts_lost: u64,
    /// Fetches that fail for now.
    pub(crate) flaky_fetch: u64,
    /// Commands in the middle of which a host dies.
    pub(crate) dies_applying: u64,
    /// Changes of users in the middle of which their manager dies: the revision is written, the record is not.
    pub(crate) orphans: u64,
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
    /// A manager's process dies at a named moment, when it next comes there.
    ManagerDiesAt(Moment),
    /// A manager's process stands still for a while.
    ManagerFreeze,
    /// A link is cut in one direction or both.
    Partition,
    /// Links are cut one after another and healed in another order.
    Swizzle,
    /// Nothing reaches the store.
    StoreAway,
    /// The store answers what was so a while ago.
    StoreStale,
    /// The store answers that there is nothing.
    StoreEmptyAnswers,
    /// In the place of a record there is something that no manager can read.
    RecordSpoilt,
    /// The store loses its last writes.
    StoreBack,
    /// The store loses everything.
    StoreLost,
}

/// Moments at which a manager may die: those failpoints of the real one that touch hosts and records. What lies
/// between a revision and its record is [`Profile::orphans`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A record is about to be written.
    BeforeCommit,
    /// It is on its way to the store.
    AfterCommit,
    /// A command is about to be sent.
    BeforeSend,
    /// It is on its way; others are not.
    AfterSend,
    /// The answer to a command has arrived.
    BeforeAnswer,
    /// It is taken in; nothing has come of it.
    AfterAnswer,
}

impl Moment {
    const ALL: [Self; 6] = [
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::BeforeSend,
        Self::AfterSend,
        Self::BeforeAnswer,
        Self::AfterAnswer,
    ];
}

impl Fault {
    /// Faults that a lattice may have all at once.
    const ALL: [Self; 13] = [
        Self::HostCrash,
        Self::HostFreeze,
        Self::HostWipe,
        Self::HostStop,
        Self::ManagerCrash,
        Self::ManagerDiesAt(Moment::AfterSend),
        Self::ManagerFreeze,
        Self::Partition,
        Self::Swizzle,
        Self::StoreAway,
        Self::StoreStale,
        Self::StoreEmptyAnswers,
        Self::RecordSpoilt,
    ];

    /// For coverage and the trace.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::HostCrash => "host crash",
            Self::HostFreeze => "host freeze",
            Self::HostWipe => "host wipe",
            Self::HostStop => "host stop",
            Self::ManagerCrash => "manager crash",
            Self::ManagerDiesAt(Moment::BeforeCommit) => "manager dies before a commit",
            Self::ManagerDiesAt(Moment::AfterCommit) => "manager dies after a commit",
            Self::ManagerDiesAt(Moment::BeforeSend) => "manager dies before a command",
            Self::ManagerDiesAt(Moment::AfterSend) => "manager dies after a command",
            Self::ManagerDiesAt(Moment::BeforeAnswer) => "manager dies before an answer",
            Self::ManagerDiesAt(Moment::AfterAnswer) => "manager dies after an answer",
            Self::ManagerFreeze => "manager freeze",
            Self::Partition => "partition",
            Self::Swizzle => "swizzle",
            Self::StoreAway => "store away",
            Self::StoreStale => "store stale",
            Self::StoreEmptyAnswers => "store answers empty",
            Self::RecordSpoilt => "record spoilt",
            Self::StoreBack => "store back in time",
            Self::StoreLost => "store lost",
        }
    }

    /// With a moment of its own, where it has one.
    pub(crate) fn drawn(self, rng: &mut Rng) -> Self {
        match self {
            Self::ManagerDiesAt(moment) => {
                Self::ManagerDiesAt(rng.pick(&Moment::ALL).copied().unwrap_or(moment))
            }
            other => other,
        }
    }
}

impl Profile {
    /// Some runs are calm, some have one kind of fault, some have all of them.
    pub(crate) fn choose(rng: &mut Rng) -> Self {
        let managers = 1 + usize::from(rng.chance(500));
        let counts_lost = if rng.chance(150) { 1_000 } else { 0 };
        let base = Self { managers, counts_lost, fault_count: 1 + rng.below(4), ..Self::default() };
        match rng.below(12) {
            0 | 1 => Self { name: "calm", ..base },
            2 => Self {
                name: "lossy",
                loss: 100,
                duplication: 50,
                late: 100,
                lateness_ms: 2_000,
                counts_lost: 300,
                ..base
            },
            3 => Self { name: "late", duplication: 100, late: 300, lateness_ms: 20_000, ..base },
            4 => Self { name: "deaf", deaf: true, ..base },
            5..=7 => {
                let fault = rng.pick(&Fault::ALL).copied().unwrap_or(Fault::HostCrash);
                Self { name: "one fault", faults: vec![fault], ..base }
            }
            8 => Self { name: "managers", managers: 2, faults: Self::of_managers(), fault_count: 6, ..base },
            9 => Self { name: "moments", faults: Self::of_moments(), fault_count: 5, orphans: 300, ..base },
            10 => Self { name: "store", faults: Self::of_store(), ..base },
            _ => Self::chaos(base),
        }
    }

    fn of_managers() -> Vec<Fault> {
        vec![Fault::ManagerCrash, Fault::ManagerFreeze]
    }

    fn of_moments() -> Vec<Fault> {
        vec![Fault::ManagerDiesAt(Moment::BeforeCommit)]
    }

    fn of_store() -> Vec<Fault> {
        let answers = [Fault::StoreStale, Fault::StoreEmptyAnswers, Fault::RecordSpoilt];
        [Fault::StoreBack, Fault::StoreBack, Fault::StoreLost, Fault::StoreAway]
            .into_iter()
            .chain(answers)
            .collect()
    }

    fn chaos(base: Self) -> Self {
        let (loss, duplication, late, lateness_ms) = (50, 50, 100, 5_000);
        let (flaky_fetch, dies_applying, orphans) = (100, 10, 100);
        let (faults, fault_count, counts_lost) = (Fault::ALL.to_vec(), 8, 100);
        let messages = Self { loss, duplication, late, lateness_ms, counts_lost, ..base };
        Self { name: "chaos", flaky_fetch, dies_applying, orphans, faults, fault_count, ..messages }
    }

    /// The same without any fault: the quiet tail.
    pub(crate) fn quiet(&self) -> Self {
        let counts_lost = if self.counts_lost == 1_000 { 1_000 } else { 0 };
        Self { name: "quiet", managers: self.managers, deaf: self.deaf, counts_lost, ..Self::default() }
    }

    /// Whether nothing can go wrong but what users ask for.
    pub(crate) fn is_calm(&self) -> bool {
        self.loss + self.duplication + self.late + self.flaky_fetch + self.dies_applying == 0
            && self.faults.is_empty()
            && !self.deaf
    }
}
