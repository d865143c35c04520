//! A lattice in virtual time: many histories of faults, each from one seed.
//!
//! Real are the planner and the decisions of hosts. Modelled, as plainly as will do: the network, the key-value
//! store, the loop and lease of managers, a host's disk, preparation of code, and calls in flight. Nothing of a run
//! depends on anything but its seed. After every step it is checked what must never be ([`run`] tells the first
//! thing that was); at the end all faults are over, and the lattice must have come to rest on one revision.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod apps;
mod check;
mod host;
mod manager;
mod message;
mod network;
mod profile;
mod rest;
mod rng;
mod store;
mod trace;
mod users;
mod world;

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where everything came from.
    pub seed: u64,
    /// Hash over everything that happened, in order.
    pub hash: u64,
    /// Which kind of run the seed chose.
    pub profile: &'static str,
    /// The first thing that must never be and was.
    pub broken: Option<String>,
    /// How much happened: events, plans committed, commands sent, faults that took effect.
    pub counts: Counts,
    /// The last lines of the trace, or all of them when they were asked for.
    pub lines: Vec<String>,
}

/// How much happened in a run. A fault that did not happen proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events of any kind.
    pub events: u64,
    /// Records that managers committed.
    pub commits: u64,
    /// Commands that managers sent.
    pub commands: u64,
    /// Commands that hosts refused.
    pub refusals: u64,
    /// Faults that took effect.
    pub faults: u64,
}

/// How a run is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Keep every line of the trace.
    pub all_lines: bool,
    /// Build this bug into the models.
    #[cfg(feature = "sabotage")]
    pub sabotage: Option<Sabotage>,
}

/// Deliberate bugs, each of which some run must notice.
#[cfg(feature = "sabotage")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A manager sends what a plan says before the record is written.
    SendsBeforeCommit,
    /// A manager takes hosts' apps for deleted while it has not listed the store.
    EmptyListIsDelete,
    /// The store writes records without comparing their numbers.
    WritesBlindly,
    /// A manager takes the lease over without beginning a new epoch.
    KeepsEpoch,
    /// A manager plans on news only.
    NeverWakes,
    /// A host says that a unit is idle while it has calls in flight.
    DropsCalls,
    /// A host answers for what it has not written to its disk.
    ForgetsJournal,
    /// A host says that a unit is ready before it is.
    ReadyTooEarly,
}

#[cfg(feature = "sabotage")]
impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::SendsBeforeCommit,
        Self::EmptyListIsDelete,
        Self::WritesBlindly,
        Self::KeepsEpoch,
        Self::NeverWakes,
        Self::DropsCalls,
        Self::ForgetsJournal,
        Self::ReadyTooEarly,
    ];
}

/// Runs one history.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    world::World::new(seed, options).run()
}
