//! `cargo xtask bench`: builds what is measured and what it is measured beside, and hands over to the programs of
//! `benches`. What is measured is not known here; see `docs/benchmarks.md`. Everything is built as a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{Workspace, output, run};
use crate::{components, nats};

/// The alternative for HTTP: the engine that we use too, with its own server.
const WASMTIME: &str = "48.0.8";
/// Built by itself: it counts instructions, and needs no engine that compiles.
const COUNTED: &str = "lath-counted";
/// The suite that only counts instructions.
const INSTRUCTIONS: &str = "instructions";
/// The counts on record.
const RECORD: &str = "benches/counted/record.json";
/// What is written anew by a whole run.
const DOCUMENT: &str = "docs/benchmarks.md";

/// What is asked of the measurements.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BenchArgs {
    /// Less of everything, in a few minutes; writes no document
    #[arg(long)]
    quick: bool,
    /// Only this suite, or `instructions`; may be repeated
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Another revision of Lath, measured in alternation with this one
    #[arg(long, value_name = "REV")]
    against: Option<String>,
}

/// Builds and measures; an error when a measurement cannot be made, or instructions have become too many.
pub(crate) fn bench(workspace: &Workspace, args: &BenchArgs) -> Result<()> {
    let asked = |name: &str| args.suite.iter().any(|suite| suite == name);
    let suites: Vec<&String> = args.suite.iter().filter(|suite| *suite != INSTRUCTIONS).collect();
    let whole = args.suite.is_empty() && !args.quick && args.against.is_none();
    if (whole || asked(INSTRUCTIONS)) && !count(workspace)? {
        println!("valgrind is not here: no instructions were counted");
    }
    if suites.is_empty() && asked(INSTRUCTIONS) {
        return Ok(());
    }
    let nats_server = nats::find_or_fetch(workspace)?;
    components::build(workspace, components::Guests::Rust, components::Wanted::UpToDate)?;
    let before = match &args.against {
        Some(revision) => Some(build_revision(workspace, revision)?),
        None => None,
    };
    let programs = build(workspace)?;
    let mut command = Command::new(programs.join("lath-bench"));
    command.current_dir(workspace.root()).env(nats::VARIABLE, &nats_server).arg("run");
    command.arg("--lath").arg(programs.join("lath")).arg("--hyper").arg(programs.join("bare-hyper"));
    command.args(suites.iter().flat_map(|suite| ["--suite", suite.as_str()]));
    if args.quick {
        command.arg("--quick");
    }
    if let Some(before) = before {
        return run(command.arg("--against").arg(before));
    }
    // What is not here leaves its column empty.
    for (flag, built) in [("--upstream", build_upstream(workspace)), ("--wasmtime", wasmtime(workspace))] {
        match built {
            Ok(program) => drop(command.arg(flag).arg(program)),
            Err(error) => eprintln!("without {}: {error:#}", flag.trim_start_matches('-')),
        }
    }
    if whole {
        command.args(["--docs", DOCUMENT, "--told", &told(workspace)?]);
    }
    run(&mut command)
}

/// Counts instructions and compares them with the record. False when valgrind is not here.
pub(crate) fn count(workspace: &Workspace) -> Result<bool> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Ok(false);
    }
    // Alone, so that the engine is not built with what compiles.
    run(workspace.cargo().args(["build", "--release", "--package", COUNTED]))?;
    let program = workspace.target()?.join("release").join(COUNTED);
    run(Command::new(program).current_dir(workspace.root()).arg(RECORD))?;
    Ok(true)
}

/// Builds what is measured of this checkout; gives the folder.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    // With the whole workspace selected, dependencies have the features that the tests use.
    cargo.args(["build", "--release", "--workspace"]);
    run(cargo.args(["--bin", "lath", "--bin", "lath-bench", "--bin", "bare-hyper"]))?;
    Ok(workspace.target()?.join("release"))
}

/// Builds `lath` of another revision, from a checkout of its own that shares what is built of dependencies.
fn build_revision(workspace: &Workspace, revision: &str) -> Result<PathBuf> {
    let commit = output(git(workspace).args(["rev-parse", "--verify", &format!("{revision}^{{commit}}")]))?;
    let (commit, target) = (commit.trim(), workspace.target()?);
    let folder = target.join("against");
    let program = folder.join(format!("lath-{commit}"));
    if program.is_file() {
        return Ok(program);
    }
    let checkout = folder.join("checkout");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    remove_checkout(workspace, &checkout)?;
    run(git(workspace).args(["worktree", "add", "--detach"]).arg(&checkout).arg(commit))?;
    let mut cargo = workspace.cargo();
    cargo.current_dir(&checkout).args(["build", "--release", "--workspace", "--bin", "lath", "--target-dir"]);
    let built = run(cargo.arg(&target)).and_then(|()| {
        fs::copy(target.join("release/lath"), &program)
            .with_context(|| format!("cannot write {}", program.display()))
    });
    remove_checkout(workspace, &checkout)?;
    built.map(|_| program)
}

fn remove_checkout(workspace: &Workspace, checkout: &Path) -> Result<()> {
    if checkout.exists() {
        run(git(workspace).args(["worktree", "remove", "--force"]).arg(checkout))?;
    }
    Ok(())
}

fn git(workspace: &Workspace) -> Command {
    let mut git = Command::new("git");
    git.current_dir(workspace.root());
    git
}

/// The last wRPC of the 1.x world over NATS.
fn build_upstream(workspace: &Workspace) -> Result<PathBuf> {
    run(workspace.upstream_cargo().args(["build", "--release", "--locked"]))?;
    Ok(workspace.upstream_target().join("release/upstream-wrpc"))
}

/// The `wasmtime` of the command line, built once.
fn wasmtime(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.tools();
    let program = root.join("bin/wasmtime");
    let said = output(Command::new(&program).arg("--version"));
    if said.is_ok_and(|said| said.contains(WASMTIME)) {
        return Ok(program);
    }
    println!("building wasmtime {WASMTIME} to compare with; the first time takes many minutes");
    let mut cargo = workspace.cargo();
    cargo.args(["install", "wasmtime-cli", "--version", WASMTIME, "--locked", "--root"]);
    run(cargo.arg(&root))?;
    Ok(program)
}

/// What the document says of a run.
fn told(workspace: &Workspace) -> Result<String> {
    let day = output(Command::new("date").arg("+%-d %B %Y"))?;
    let revision = output(git(workspace).args(["describe", "--always", "--dirty"]))?;
    let (day, revision) = (day.trim(), revision.trim());
    Ok(format!(
        "Measured on {day} at `{revision}` by `cargo xtask bench`; clients, servers and nats-server on one machine: "
    ))
}
