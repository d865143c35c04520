//! `cargo xtask test`: all that must hold before a change is merged, in stages. What a stage runs is here, what it
//! checks is not. Later stages run although an earlier one failed, so that one run shows everything that is wrong.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::{Workspace, output, run};
use crate::{bench, check, components, nats, registry};

/// Moments at which tests end a manager, as by kill -9; only tests are built with them.
const FAILPOINTS: &str = "--features=lath-manager/failpoints";

/// Builds what tests start, with the features of the tests.
const BUILD_LATH: [&str; 5] = ["build", "--workspace", "--bin", "lath", FAILPOINTS];

/// Which `lath` tests start.
const LATH_BIN: &str = "LATH_BIN";

/// The package whose tests start whole lattices.
const SYSTEM_TESTS: &str = "lath-tests";

/// Histories of the simulation that every change goes through, always the same ones.
const SEEDS: &str = "20000";

/// How much is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Without the tests that start whole lattices, those against old peers, doc tests, and most of the simulation.
    Quick,
    Whole,
}

struct Stage {
    name: &'static str,
    run: fn(&Workspace, Extent) -> Result<()>,
    /// Without this stage's success there is no point in starting.
    needs: &'static [&'static str],
    quick: bool,
}

const STAGES: &[Stage] = &[
    Stage { name: "formatting", run: formatting, needs: &[], quick: true },
    Stage { name: "layers", run: |workspace, _| check::check(workspace), needs: &[], quick: true },
    Stage { name: "nats-server", run: nats_server, needs: &[], quick: true },
    Stage { name: "docker-registry", run: docker_registry, needs: &[], quick: true },
    Stage { name: "components", run: guests, needs: &[], quick: true },
    Stage { name: "clippy, guests", run: clippy_guests, needs: &[], quick: true },
    Stage { name: "clippy", run: clippy, needs: &[], quick: true },
    Stage { name: "tests, guests", run: tests_guests, needs: &[], quick: true },
    Stage { name: "compat", run: compat, needs: &["nats-server", "components"], quick: false },
    Stage { name: "doc tests", run: doc_tests, needs: &[], quick: false },
    Stage { name: "simulation", run: simulation, needs: &[], quick: false },
    Stage { name: "instructions", run: instructions, needs: &[], quick: false },
    // Last, so that a run ends with what its tests say.
    Stage {
        name: "tests",
        run: tests,
        needs: &["nats-server", "docker-registry", "components"],
        quick: true,
    },
];

enum Outcome {
    Passed,
    Failed,
    Skipped { needs: &'static str },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => write!(f, "passed"),
            Self::Failed => write!(f, "FAILED"),
            Self::Skipped { needs } => write!(f, "skipped: needs {needs}"),
        }
    }
}

struct Line {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// Runs every stage, prints each with its duration and a table at the end; an error if one of them failed.
pub(crate) fn test(workspace: &Workspace, extent: Extent) -> Result<()> {
    let started = Instant::now();
    let mut lines: Vec<Line> = Vec::new();
    for stage in STAGES.iter().filter(|stage| stage.quick || extent == Extent::Whole) {
        let line = run_stage(workspace, extent, stage, &lines);
        println!("== {}: {} in {}", line.name, line.outcome, seconds(line.took));
        lines.push(line);
    }
    print_table(&lines, started.elapsed());
    let failed: Vec<_> = lines.iter().filter(|line| !matches!(line.outcome, Outcome::Passed)).collect();
    if !failed.is_empty() {
        let names: Vec<_> = failed.iter().map(|line| line.name).collect();
        bail!("{} of {} stages did not pass: {}", failed.len(), lines.len(), names.join("; "));
    }
    Ok(())
}

fn run_stage(workspace: &Workspace, extent: Extent, stage: &Stage, before: &[Line]) -> Line {
    println!("\n== {}", stage.name);
    let passed = |needed: &&str| {
        before.iter().any(|line| line.name == *needed && matches!(line.outcome, Outcome::Passed))
    };
    if let Some(needs) = stage.needs.iter().find(|needed| !passed(needed)) {
        return Line { name: stage.name, outcome: Outcome::Skipped { needs }, took: Duration::ZERO };
    }
    let started = Instant::now();
    let outcome = match (stage.run)(workspace, extent) {
        Ok(()) => Outcome::Passed,
        Err(error) => {
            eprintln!("error: {error:#}");
            Outcome::Failed
        }
    };
    Line { name: stage.name, outcome, took: started.elapsed() }
}

fn print_table(lines: &[Line], took: Duration) {
    println!();
    for line in lines {
        println!("{:<16} {:>9}  {}", line.name, seconds(line.took), line.outcome);
    }
    println!("{:<16} {:>9}", "all", seconds(took));
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn formatting(workspace: &Workspace, _: Extent) -> Result<()> {
    run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    run(workspace.guests_cargo().args(["fmt", "--all", "--check"]))?;
    run(workspace.fuzz_cargo().args(["fmt", "--check"]))?;
    run(workspace.upstream_cargo().args(["fmt", "--check"]))
}

fn clippy(workspace: &Workspace, _: Extent) -> Result<()> {
    run(workspace.cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        FAILPOINTS,
        "--",
        "--deny",
        "warnings",
    ]))
}

/// Only for their own target: guests use its instructions. In release, to share the build with the artefacts.
fn clippy_guests(workspace: &Workspace, _: Extent) -> Result<()> {
    let mut cargo = workspace.guests_cargo();
    cargo.args(["clippy", "--workspace", "--release", "--locked", "--target", components::TARGET]);
    run(cargo.args(["--", "--deny", "warnings"]))
}

/// Where valgrind is: what takes more instructions than on record is told, however busy the machine is.
fn instructions(workspace: &Workspace, _: Extent) -> Result<()> {
    if !bench::count(workspace)? {
        println!("valgrind is not here: no instructions were counted");
    }
    Ok(())
}

fn nats_server(workspace: &Workspace, _: Extent) -> Result<()> {
    println!("{}", nats::find_or_fetch(workspace)?.display());
    Ok(())
}

fn docker_registry(workspace: &Workspace, _: Extent) -> Result<()> {
    println!("{}", registry::find_or_fetch(workspace)?.display());
    Ok(())
}

fn guests(workspace: &Workspace, _: Extent) -> Result<()> {
    components::build(workspace, components::Guests::All, components::Wanted::UpToDate).map(drop)
}

/// What the guests share has no need of a host and is tested on this machine; the guests themselves are run by
/// the tests of the main workspace.
fn tests_guests(workspace: &Workspace, _: Extent) -> Result<()> {
    run(workspace.guests_cargo().args(["test", "--release", "--locked", "--package", "lath-guest", "--lib"]))
}

fn tests(workspace: &Workspace, extent: Extent) -> Result<()> {
    // Built here once: a test that builds it would be as slow as the build.
    run(workspace.cargo().args(BUILD_LATH))?;
    let mut cargo = workspace.cargo();
    if output(workspace.cargo().args(["nextest", "--version"])).is_ok() {
        // A failing test must not hide the others.
        cargo.args(["nextest", "run", "--workspace", "--no-fail-fast", FAILPOINTS]);
    } else {
        cargo.args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", FAILPOINTS]);
    }
    if extent == Extent::Quick {
        cargo.args(["--exclude", SYSTEM_TESTS]);
    }
    cargo.env(nats::VARIABLE, nats::find_or_fetch(workspace)?);
    run(cargo.env(registry::VARIABLE, registry::find_or_fetch(workspace)?))
}

/// With the profile and the features of the tests, so that little is built for it. `cargo xtask sim` is faster, from
/// the second run on.
fn simulation(workspace: &Workspace, _: Extent) -> Result<()> {
    run(workspace.cargo().args(["build", "--workspace", "--bin", "simulate", FAILPOINTS]))?;
    let mut simulate = Command::new(workspace.target()?.join("debug/simulate"));
    run(simulate.current_dir(workspace.root()).args(["--seeds", SEEDS]))
}

/// Lath against unmodified peers of the 1.x world, in a workspace of its own. Not with clippy, which would go through all
/// that those peers bring a second time.
fn compat(workspace: &Workspace, _: Extent) -> Result<()> {
    run(workspace.compat_cargo().args(["fmt", "--all", "--check"]))?;
    let mut tests = workspace.compat_cargo();
    tests.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    // Clients are tested against a whole lattice, with the `lath` of the other tests, so that it is built once.
    run(workspace.cargo().args(BUILD_LATH))?;
    tests.env(LATH_BIN, workspace.target()?.join("debug/lath"));
    run(tests.env(nats::VARIABLE, nats::find_or_fetch(workspace)?))
}

fn doc_tests(workspace: &Workspace, _: Extent) -> Result<()> {
    run(workspace.cargo().args(["test", "--workspace", "--doc", FAILPOINTS]))
}
