//! Runs of many seeds, in shares so that they run beside each other.

use std::collections::BTreeMap;
use std::ops::Range;

use lath_sim::{Options, Report, run};

/// Seeds that are run when nothing else is said.
const SEEDS: u64 = 1_600;
/// Seeds that failed once, one in a line with what it showed.
const KEPT: &str = include_str!("../../seeds.txt");

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number of seeds"))
}

/// Fails with every seed that failed, and with the trace of the first.
fn none_failed(failed: &[Report]) {
    let Some(first) = failed.first() else { return };
    let line = |report: &Report| {
        let broken = report.broken.as_deref().unwrap_or_default();
        format!("seed {} ({}): {broken}", report.seed, report.profile)
    };
    let all: Vec<String> = failed.iter().map(line).collect();
    let trace = first.lines.join("\n");
    panic!("{trace}\n\n{}\nrun one alone with LATH_SIM_SEED={}", all.join("\n"), first.seed);
}

/// One of four shares of the seeds.
fn share(number: u64) -> Range<u64> {
    let seeds = from_environment("LATH_SIM_SEEDS").unwrap_or(SEEDS);
    number * seeds / 4..(number + 1) * seeds / 4
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
fn first_quarter_of_the_seeds_holds() {
    all_hold(share(0));
}

#[test]
fn second_quarter_of_the_seeds_holds() {
    all_hold(share(1));
}

#[test]
fn third_quarter_of_the_seeds_holds() {
    all_hold(share(2));
}

#[test]
fn last_quarter_of_the_seeds_holds() {
    all_hold(share(3));
}

#[test]
fn seeds_that_failed_once_hold() {
    let lines = KEPT.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let seed = |line: &str| line.split_whitespace().next().and_then(|seed| seed.parse().ok());
    all_hold(lines.map(|line| seed(line).expect("a seed at the beginning of the line")));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..40 {
        let (first, again) = (run(seed, Options::default()), run(seed, Options::default()));
        assert_eq!(first, again, "seed {seed}");
    }
}

#[test]
fn a_seed_that_is_asked_for() {
    let Some(seed) = from_environment("LATH_SIM_SEED") else { return };
    let report = run(seed, Options { all_lines: true, ..Options::default() });
    println!("{}", report.lines.join("\n"));
    println!("{:?} {:?}", report.profile, report.counts);
    assert!(report.broken.is_none(), "seed {seed}: {}", report.broken.unwrap_or_default());
}
