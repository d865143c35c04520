//! Proof that the checks check: each deliberate bug is noticed within some seeds.

use lath_sim::{BUGS, Bug, Options, run};

/// Seeds that a bug may hide for. Most are noticed within fifty.
const SEEDS: u64 = 2_000;

/// The first seed that notices a bug, and what it says of it.
fn noticed(bug: &Bug) -> Option<(u64, String)> {
    let options = Options { bug: Some(bug.name), ..Options::default() };
    (0..SEEDS).find_map(|seed| run(seed, options).broken.map(|broken| (seed, broken)))
}

/// Looks for every second bug, so that two tests share the work.
fn look(first: usize) {
    let mut hidden = Vec::new();
    for bug in BUGS.iter().skip(first).step_by(2) {
        match noticed(bug) {
            Some((seed, broken)) => println!("{}: seed {seed}: {broken}", bug.name),
            None => hidden.push(format!("{}: {}", bug.name, bug.does)),
        }
    }
    assert!(hidden.is_empty(), "not noticed in {SEEDS} seeds:\n{}", hidden.join("\n"));
}

#[test]
fn one_half_of_the_bugs_is_noticed() {
    look(0);
}

#[test]
fn the_other_half_of_the_bugs_is_noticed() {
    look(1);
}
