//! Runs of many seeds, in shares so that they run beside each other.

use std::collections::BTreeMap;
use std::ops::Range;

use lath_sim::{Options, Report, run};

/// Seeds that are run when nothing else is said.
const SEEDS: u64 = 2_000;
/// Seeds that failed once, one in a line with what it showed.
const KEPT: &str = include_str!("../../seeds.txt");

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number of seeds"))
}

fn fails(report: &Report) -> String {
    let broken = report.broken.as_deref().unwrap_or_default();
    format!(
        "seed {} ({}): {broken}\n{}\nrun it alone with LATH_SIM_SEED={}",
        report.seed,
        report.profile,
        report.lines.join("\n"),
        report.seed
    )
}

fn holds(seed: u64) -> Report {
    let report = run(seed, Options::default());
    assert!(report.broken.is_none(), "{}", fails(&report));
    report
}

/// One of four shares of the seeds.
fn share(number: u64) -> Range<u64> {
    let seeds = from_environment("LATH_SIM_SEEDS").unwrap_or(SEEDS);
    number * seeds / 4..(number + 1) * seeds / 4
}

fn all_hold(seeds: Range<u64>) {
    let mut profiles: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for seed in seeds {
        let report = holds(seed);
        let (runs, faults) = profiles.entry(report.profile).or_default();
        *runs += 1;
        *faults += report.counts.faults + report.counts.refusals;
    }
    println!("runs and faults by profile: {profiles:?}");
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
    for line in KEPT.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let seed = line.split_whitespace().next().expect("a seed at the beginning of the line");
        holds(seed.parse().expect("a seed"));
    }
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
