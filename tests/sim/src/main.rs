//! Runs many seeds on all cores and says what they came to; `cargo xtask sim` builds it and hands its arguments over.
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

/// Seeds that a planted bug may hide for when nothing else is said.
const BUG_SEEDS: u64 = 2_000;

/// Two fifths of a run are allocations; this allocator takes less time for them than the system's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "usage: simulate --seeds N [--seed FIRST]   so many histories, from that seed on (0)
       simulate --seed N                   one history, and everything that happened in it
       simulate --bugs [--seeds N]         for each planted bug the first seed that notices it; needs the
                                           feature `planted-bugs`";

/// What is asked for.
#[derive(Debug, Default)]
struct Asked {
    seeds: Option<u64>,
    seed: Option<u64>,
    bugs: bool,
}

impl Asked {
    /// None when the words are not understood.
    fn read(words: impl Iterator<Item = String>) -> Option<Self> {
        let (mut asked, mut words) = (Self::default(), words);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bugs" => asked.bugs = true,
                "--seeds" => asked.seeds = Some(words.next()?.replace('_', "").parse().ok()?),
                "--seed" => asked.seed = Some(words.next()?.replace('_', "").parse().ok()?),
                _ => return None,
            }
        }
        Some(asked)
    }
}

fn main() -> ExitCode {
    match Asked::read(std::env::args().skip(1)) {
        Some(Asked { bugs: true, seeds, seed: None }) => bugs(seeds.unwrap_or(BUG_SEEDS)),
        Some(Asked { bugs: false, seeds: Some(seeds), seed }) => many(seeds, seed.unwrap_or(0)),
        Some(Asked { bugs: false, seeds: None, seed: Some(seed) }) => one(seed),
        Some(_) | None => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
    }
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
    let Some(first) = all.failed.first() else { return ExitCode::SUCCESS };
    println!("\n{}\n", first.lines.join("\n"));
    for Report { seed, profile, broken, .. } in &all.failed {
        println!("seed {seed} ({profile}): {}", broken.as_deref().unwrap_or_default());
    }
    println!("to replay the first: cargo xtask sim --seed {}", first.seed);
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
            let report = tried(first + seed);
            some.runs += 1;
            *some.profiles.entry(report.profile).or_default() += 1;
            some.counts.add(&report.counts);
            if let Some(broken) = &report.broken {
                eprintln!("seed {} ({}): {broken}", report.seed, report.profile);
                some.failed.push(report);
            }
        }
        if let Ok(mut all) = all.lock() {
            all.take(some);
        }
    }
}

/// Runs one history. That something panicked in it is what it shows.
fn tried(seed: u64) -> Report {
    std::panic::catch_unwind(|| run(seed, Options::default())).unwrap_or_else(|_| Report {
        seed,
        hash: 0,
        profile: "unknown",
        broken: Some("I2: it panicked".to_owned()),
        counts: Counts::default(),
        lines: Vec::new(),
    })
}

fn tell(begun: Instant, seeds: u64, all: &Mutex<All>, done: &AtomicBool) {
    let mut last = Instant::now();
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        if last.elapsed() >= WORD {
            last = Instant::now();
            if let Ok(all) = all.lock() {
                let seconds = begun.elapsed().as_secs();
                eprintln!("{} of {seeds} seeds in {seconds} s, {} failed", all.runs, all.failed.len());
            }
        }
    }
}

fn summarise(all: &All, took: Duration, threads: usize) {
    let All { runs, profiles, counts, failed } = all;
    let list = |names: Vec<String>| names.join(", ");
    println!(
        "kinds of runs: {}",
        list(profiles.iter().map(|(name, runs)| format!("{name} {runs}")).collect())
    );
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((kind, one, other), times) in &counts.happened {
        let name = if other.is_empty() { (*one).to_owned() } else { format!("{one} > {other}") };
        kinds.entry(kind).or_default().push(format!("{name} {times}"));
    }
    for (kind, names) in kinds {
        println!("{kind}: {}", list(names));
    }
    let Counts { events, plans, commits, commands, refusals, faults, .. } = counts;
    println!(
        "steps: {events} events, {plans} plans, {commits} commits, {commands} commands, {refusals} of them refused, {faults} faults; {} invariants after every step",
        checks().count()
    );
    let seconds = took.as_secs_f64();
    let speed = f64::from(u32::try_from(*runs).unwrap_or(u32::MAX)) / seconds;
    println!(
        "{runs} seeds in {seconds:.1} s on {threads} threads, {speed:.0} a second: {} failed",
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
