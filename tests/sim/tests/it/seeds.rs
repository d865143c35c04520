//! Some seeds, and those that failed once. `cargo xtask test` runs many more, by the program.

use std::collections::BTreeMap;

use lath_sim::{Options, Report, run};

/// Seeds that are run here.
const SEEDS: u64 = 300;
/// Seeds that failed once, one in a line with what it showed.
const KEPT: &str = include_str!("../../seeds.txt");

/// Fails with every seed that failed, and with the trace of the first.
fn none_failed(failed: &[Report]) {
    let Some(first) = failed.first() else { return };
    let line = |report: &Report| {
        let broken = report.broken.as_deref().unwrap_or_default();
        format!("seed {} ({}): {broken}", report.seed, report.profile)
    };
    let all: Vec<String> = failed.iter().map(line).collect();
    let trace = first.lines.join("\n");
    panic!("{trace}\n\n{}\nto replay the first: cargo xtask sim --seed {}", all.join("\n"), first.seed);
}

fn all_hold(seeds: impl Iterator<Item = u64>) {
    let mut profiles: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in seeds {
        let report = run(seed, Options::default());
        let (runs, faults) = profiles.entry(report.profile).or_default();
        *runs += 1;
        *faults += report.counts.faults + report.counts.refusals;
        if report.broken.is_some() {
            failed.push(report);
        }
    }
    println!("runs and faults by profile: {profiles:?}");
    none_failed(&failed);
}

#[test]
fn some_seeds_hold() {
    all_hold(0..SEEDS);
}

#[test]
fn seeds_that_failed_once_hold() {
    let lines = KEPT.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let seed = |line: &str| line.split_whitespace().next().and_then(|seed| seed.parse().ok());
    all_hold(lines.map(|line| seed(line).unwrap_or_else(|| panic!("no seed at the beginning of `{line}`"))));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..40 {
        let (first, again) = (run(seed, Options::default()), run(seed, Options::default()));
        assert_eq!(first, again, "seed {seed}");
    }
}
