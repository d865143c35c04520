//! Runs many seeds on all cores and says what they came to; `cargo xtask sim` calls it.
//!
//! `simulate SEEDS FIRST` runs so many from the first on; `simulate --seed N` runs one and prints all of it;
//! `simulate --bugs SEEDS` looks for the seed that notices each planted bug.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command line at the edge of the simulation: it has arguments, threads and a clock"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lath_sim::{BUGS, Counts, Options, Report, checks, run};

/// Seeds that a thread takes at once.
const SHARE: u64 = 64;
/// Failing seeds after which nothing more is run.
const ENOUGH: usize = 20;
/// Time between two words on how far it is.
const WORD: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    match words.as_slice() {
        ["--seed", seed] => number(seed).map_or_else(usage, one),
        ["--bugs", seeds] => number(seeds).map_or_else(usage, bugs),
        [seeds, first] => {
            number(seeds).zip(number(first)).map_or_else(usage, |(seeds, first)| many(seeds, first))
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: simulate SEEDS FIRST | simulate --seed N | simulate --bugs SEEDS");
    ExitCode::FAILURE
}

/// Runs one seed and prints everything that happened.
fn one(seed: u64) -> ExitCode {
    let report = run(seed, Options { all_lines: true, ..Options::default() });
    println!("{}", report.lines.join("\n"));
    println!(
        "\nseed {seed} ({}): {} events, {} plans",
        report.profile, report.counts.events, report.counts.plans
    );
    match report.broken {
        None => {
            println!("everything holds");
            ExitCode::SUCCESS
        }
        Some(broken) => {
            println!("{broken}");
            ExitCode::FAILURE
        }
    }
}

/// What many runs came to.
#[derive(Default)]
struct All {
    runs: u64,
    profiles: BTreeMap<&'static str, u64>,
    counts: Counts,
    failed: Vec<Report>,
}

impl All {
    fn take(&mut self, other: Self) {
        self.runs += other.runs;
        for (profile, runs) in other.profiles {
            *self.profiles.entry(profile).or_default() += runs;
        }
        self.counts.add(&other.counts);
        self.failed.extend(other.failed);
    }
}

/// Runs `seeds` seeds from `first` on, on all cores.
fn many(seeds: u64, first: u64) -> ExitCode {
    let begun = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let all = Mutex::new(All::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(seeds, first, &next, &all))).collect();
        scope.spawn(|| tell(begun, seeds, &all, &done));
        workers.into_iter().for_each(|worker| drop(worker.join()));
        done.store(true, Ordering::Relaxed);
    });
    let mut all = all.into_inner().unwrap_or_default();
    all.failed.sort_by_key(|report| report.seed);
    summarise(&all, begun.elapsed(), threads);
    let Some(worst) = all.failed.first() else { return ExitCode::SUCCESS };
    println!("\n{}\n", worst.lines.join("\n"));
    for report in &all.failed {
        println!(
            "seed {} ({}): {}",
            report.seed,
            report.profile,
            report.broken.as_deref().unwrap_or_default()
        );
    }
    println!("replay the first: cargo xtask sim --seed {}", worst.seed);
    ExitCode::FAILURE
}

fn work(seeds: u64, first: u64, next: &AtomicU64, all: &Mutex<All>) {
    loop {
        let from = next.fetch_add(SHARE, Ordering::Relaxed);
        let enough = all.lock().is_ok_and(|all| all.failed.len() >= ENOUGH);
        if from >= seeds || enough {
            return;
        }
        let mut some = All::default();
        for seed in from..(from + SHARE).min(seeds) {
            let report = run(first + seed, Options::default());
            some.runs += 1;
            *some.profiles.entry(report.profile).or_default() += 1;
            some.counts.add(&report.counts);
            if report.broken.is_some() {
                some.failed.push(report);
            }
        }
        if let Ok(mut all) = all.lock() {
            all.take(some);
        }
    }
}

fn tell(begun: Instant, seeds: u64, all: &Mutex<All>, done: &AtomicBool) {
    let mut last = Instant::now();
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        if last.elapsed() >= WORD {
            last = Instant::now();
            if let Ok(all) = all.lock() {
                let seconds = begun.elapsed().as_secs();
                eprintln!("{} of {seeds} runs in {seconds} s, {} failed", all.runs, all.failed.len());
            }
        }
    }
}

fn summarise(all: &All, took: Duration, threads: usize) {
    let All { runs, profiles, counts, failed } = all;
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((kind, one, other), times) in &counts.happened {
        let name = if other.is_empty() { (*one).to_owned() } else { format!("{one} > {other}") };
        kinds.entry(kind).or_default().push(format!("{name}: {times}"));
    }
    let of_profiles: Vec<String> =
        profiles.iter().map(|(profile, runs)| format!("{profile}: {runs}")).collect();
    println!("profiles: {}", of_profiles.join(", "));
    for (kind, names) in kinds {
        println!("{kind}: {}", names.join(", "));
    }
    let rules = checks().count();
    println!(
        "{runs} runs on {threads} threads in {:.1} s ({:.0} runs a second), {} events, {} plans, {} commits, {} commands, {} refusals, {} faults, {rules} checks after every step: {} failed",
        took.as_secs_f64(),
        f64::from(u32::try_from(*runs).unwrap_or(u32::MAX)) / took.as_secs_f64(),
        counts.events,
        counts.plans,
        counts.commits,
        counts.commands,
        counts.refusals,
        counts.faults,
        failed.len()
    );
}

/// Looks for the first seed that notices each planted bug.
fn bugs(seeds: u64) -> ExitCode {
    if !cfg!(feature = "planted-bugs") {
        eprintln!("built without the feature planted-bugs: cargo xtask sim --bugs");
        return ExitCode::FAILURE;
    }
    let mut missed = 0;
    for bug in BUGS {
        let options = Options { bug: Some(bug.name), ..Options::default() };
        match (0..seeds).find_map(|seed| run(seed, options).broken.map(|broken| (seed, broken))) {
            Some((seed, broken)) => println!("{:<22} seed {seed:<5} {broken}", bug.name),
            None => {
                missed += 1;
                println!("{:<22} NOT NOTICED in {seeds} seeds: {}", bug.name, bug.does);
            }
        }
    }
    println!("{} bugs, {missed} of them not noticed", BUGS.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
