//! What must never be, judged from outside: by what really is on hosts and in the store, not by what anybody believes.
//!
//! One function for each invariant, by its id in the reliability reference; `L` stands for those of Lath's own that
//! are listed in `docs/simulation.md`. All of them see every step, and say nothing of steps that do not concern them.

mod commands;
mod fact;
mod hosts;
mod memory;
mod promises;
mod records;

use std::collections::BTreeMap;

pub(crate) use fact::{Cause, Changed, Fact, Obeyed, Sent, Stored, Writer};
pub(crate) use memory::{Memory, stage_name};
pub(crate) use promises::policy;

/// What a check says of a step: nothing, that it holds, or how it is broken.
pub(crate) type Said = Option<Result<(), String>>;

/// One invariant.
pub(crate) struct Check {
    pub(crate) id: &'static str,
    /// In words.
    pub(crate) rule: &'static str,
    run: fn(&mut Memory, &Fact<'_>) -> Said,
}

const fn check(id: &'static str, rule: &'static str, run: fn(&mut Memory, &Fact<'_>) -> Said) -> Check {
    Check { id, rule, run }
}

/// All that is checked after every step. What is checked at the end of a run stands in `rest.rs`.
pub(crate) const CHECKS: [Check; 34] = [
    check(
        "R4",
        "nothing planned leaves fewer places than both revisions have, but for max_unavailable",
        hosts::r4,
    ),
    check("R5a", "calls go only to units that are ready", hosts::r5a),
    check(
        "R5c",
        "a host gives up nothing that it is told to go on with, before what is to follow is ready",
        hosts::r5c,
    ),
    check("R5b", "a rollout goes forward only when the new revision is ready where it belongs", records::r5b),
    check("R6", "what was taken is finished, except at the drain deadline", hosts::r6),
    check("R7a", "a revision is always told in the same bytes, in the numbers of its record", commands::r7a),
    check("R7b", "the places to go back to are not lost", records::r7b),
    check("R9", "people go back only to what was good", records::r9),
    check(
        "R10",
        "a rollout moves along the edges of its state chart only, and never back and forth",
        records::r10,
    ),
    check("R11", "nobody works on a change after a newer one", records::r11),
    check("R12", "nothing planned takes the last place of what serves", hosts::r12),
    check("R13a", "counters of a record only grow", records::r13a),
    check("R13b", "a decision that a host holds already changes nothing on it", hosts::r13b),
    check("R14", "a host says of its units what calls find", hosts::r14),
    check("R15", "nobody is told what he has confirmed already", commands::r15),
    check("M3a", "an epoch is one manager's", commands::m3a),
    check("M3b", "one fence stands for one content", commands::m3b),
    check("M3c", "a host obeys no older epoch", hosts::m3c),
    check("M4", "what is written rests on what is written over", records::m4),
    check("M5", "no plan leaves an app with nothing that people want to run", records::m5),
    check("M10", "only what is committed is sent", commands::m10),
    check("M12", "the same command is not sent again at once", commands::m12),
    check("N2", "what was asked for after the store lost writes is not written over", records::n2),
    check("N6", "what is kept of one app is under no key of another", records::n6),
    check("N7", "what cannot be read is neither written over nor deleted", records::n7),
    check("H2", "a host knows after a restart what it has answered for", hosts::h2),
    check("H3", "a host obeys no older decision", hosts::h3),
    check("H7", "what fails takes nothing from what serves", hosts::h7),
    check("L1a", "a candidate has the share on its host that the host was told", hosts::l1a),
    check("L1b", "hosts are told the share that the record has", commands::l1b),
    check("L2", "a gate that fails is followed by no more traffic", promises::l2),
    check("L3", "nothing that waits for a person's word goes on without it", promises::l3),
    check("L4", "while a rollout is paused no traffic moves", promises::l4),
    check("L5", "a rollout that failed and may not go back by itself does not", promises::l5),
];

/// What has been seen of a run so far.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// What was broken, the first first.
    pub(crate) broken: Vec<String>,
    pub(crate) memory: Memory,
    /// How often each check had something to say.
    looked: BTreeMap<&'static str, u64>,
}

impl Checker {
    pub(crate) fn breaks(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    /// A step was made.
    pub(crate) fn see(&mut self, fact: &Fact<'_>) {
        for check in &CHECKS {
            match (check.run)(&mut self.memory, fact) {
                None => {}
                Some(Ok(())) => *self.looked.entry(check.id).or_default() += 1,
                Some(Err(what)) => self.broken.push(format!("{}: {what}", check.id)),
            }
        }
        self.memory.note(fact);
    }

    /// How often each check had something to say, by id.
    pub(crate) fn looked(&self) -> BTreeMap<&'static str, u64> {
        self.looked.clone()
    }
}
