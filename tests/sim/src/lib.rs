//! A lattice in virtual time: many histories of faults, each from one seed.
//!
//! Real are the planner and the decisions of hosts. Modelled, as plainly as will do: the network, the key-value
//! store, the loop and lease of managers, a host's disk, preparation of code, and calls. Nothing of a run depends on
//! anything but its seed. After every step it is checked what must never be ([`run`] tells the first thing that was);
//! at the end all faults are over, and the lattice must have come to rest and say the truth about it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// Whether a bug is planted here, by its name. Never without the feature. Above the modules, which all see it so.
macro_rules! planted {
    ($name:literal) => {
        cfg!(feature = "planted-bugs") && crate::planted::is_planted($name)
    };
}

mod apps;
mod check;
mod host;
mod manager;
mod message;
mod network;
mod planted;
mod profile;
mod rest;
mod rng;
mod store;
mod trace;
mod users;
mod world;

use std::collections::BTreeMap;

pub use planted::{BUGS, Bug};

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
    /// How much happened.
    pub counts: Counts,
    /// The last lines of the trace, or all of them when they were asked for.
    pub lines: Vec<String>,
}

/// What happened, by kind and names. A fault that did not happen proves nothing, nor does a check that never looked.
pub type Happened = BTreeMap<(&'static str, &'static str, &'static str), u64>;

/// How much happened in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events of any kind.
    pub events: u64,
    /// Plans made.
    pub plans: u64,
    /// Records that managers committed.
    pub commits: u64,
    /// Commands that managers sent.
    pub commands: u64,
    /// Commands that hosts refused.
    pub refusals: u64,
    /// Faults that took effect.
    pub faults: u64,
    /// Faults, acts of people, edges of rollouts, and looks of checks.
    pub happened: Happened,
}

impl Counts {
    /// Adds what happened in another run.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.plans += other.plans;
        self.commits += other.commits;
        self.commands += other.commands;
        self.refusals += other.refusals;
        self.faults += other.faults;
        for (what, times) in &other.happened {
            *self.happened.entry(*what).or_default() += times;
        }
    }
}

/// How a run is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Keep every line of the trace.
    pub all_lines: bool,
    /// Plant this bug; needs the feature `planted-bugs`.
    pub bug: Option<&'static str>,
}

/// Runs one history.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    planted::plant(options.bug.or_else(planted::of_features));
    world::World::new(seed, options).run()
}

/// Every invariant that is checked after every step: its id, and what it says.
pub fn checks() -> impl Iterator<Item = (&'static str, &'static str)> {
    check::CHECKS.iter().map(|check| (check.id, check.rule))
}
