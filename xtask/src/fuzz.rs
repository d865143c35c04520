//! `cargo xtask fuzz`: builds the programs of `fuzz` with instruments in them and lets each make up inputs for a time.
//! What must hold is not known here; see `docs/fuzzing.md`. New inputs that reach new code are kept below `target`, what
//! breaks a promise in `fuzz/findings`, where the tests run it again from then on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, output, run};

/// Instruments of libFuzzer, as cargo-fuzz sets them, but for the address sanitizer, which no stable compiler has. What
/// we look for are panics, broken promises, hangs and hunger; our crates have next to no `unsafe`.
const INSTRUMENTS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Counters of code that is split over units are found by no linker.
    "-Ccodegen-units=1",
];

/// Folders with good seeds that are there for something else, for each target that has some.
const SEEDS: &[(&str, &str)] = &[("bundle", "control-api/tests/samples"), ("manifest", "manifests/examples")];

/// The target that needs a WebAssembly engine, and the feature that brings it: the others are built without.
const WITH_ENGINE: &str = "values";

/// What is asked of the fuzzing.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FuzzArgs {
    /// Which target; all, one after another, if none is named
    target: Option<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Put what was found to reach new code, made as small as it gets, beside the seeds in fuzz/corpus
    #[arg(long)]
    keep: bool,
}

/// Builds and runs; an error when an input broke a promise.
pub(crate) fn fuzz(workspace: &Workspace, args: &FuzzArgs) -> Result<()> {
    let known = targets(workspace)?;
    let chosen = match &args.target {
        None => known,
        Some(name) if known.contains(name) => vec![name.clone()],
        Some(name) => bail!("there is no target `{name}`; there are {}", known.join(", ")),
    };
    let mut failed = Vec::new();
    for name in &chosen {
        let folder = build(workspace, name)?;
        println!("== {name}: {} s", args.seconds);
        let files = Files::of(workspace, name)?;
        if let Err(error) = run(&mut files.fuzz(&folder, args.seconds)) {
            eprintln!("error: {error:#}");
            failed.push(name.as_str());
        }
        if args.keep {
            run(&mut files.merge(&folder))?;
        }
    }
    if !failed.is_empty() {
        bail!(
            "{} failed; each finding is a file below fuzz/findings, told above with its reason",
            failed.join(", ")
        );
    }
    Ok(())
}

/// The names of all targets, in order.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        names.push(name.with_context(|| format!("{} has no name", path.display()))?.to_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds a target; gives the folder it is in.
fn build(workspace: &Workspace, target: &str) -> Result<PathBuf> {
    println!("building {target} with instruments; the first time takes minutes on a small machine");
    let said = output(Command::new("rustc").arg("-vV"))?;
    let host =
        said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not say its host")?;
    let mut cargo = workspace.fuzz_cargo();
    // With a target that is named, build scripts and macros get no instruments.
    cargo.args(["build", "--release", "--locked", "--target", host]);
    cargo.args(["--bin", target]);
    if target == WITH_ENGINE {
        cargo.args(["--features", WITH_ENGINE]);
    }
    run(cargo.env("RUSTFLAGS", INSTRUMENTS.join(" "))).context(
        "the targets of fuzzing do not build; libFuzzer needs a C++ compiler, such as the package g++",
    )?;
    Ok(workspace.fuzz_target().join(host).join("release"))
}

/// Where the inputs of a target are.
struct Files {
    name: String,
    root: PathBuf,
    /// Inputs that were found to reach new code.
    found: PathBuf,
    /// Inputs that are kept in the repository.
    kept: PathBuf,
    /// Inputs that broke a promise.
    findings: PathBuf,
}

impl Files {
    fn of(workspace: &Workspace, name: &str) -> Result<Self> {
        let fuzz = workspace.root().join("fuzz");
        let files = Self {
            name: name.to_owned(),
            root: workspace.root().to_owned(),
            found: workspace.fuzz_target().join("found").join(name),
            kept: fuzz.join("corpus").join(name),
            findings: fuzz.join("findings").join(name),
        };
        for folder in [&files.found, &files.kept, &files.findings] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(files)
    }

    fn fuzz(&self, programs: &Path, seconds: u32) -> Command {
        let mut program = self.program(programs);
        program.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        // An input that takes longer, or more, is a finding: all that is read here is small.
        program.args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=4096", "-use_value_profile=1"]);
        program.arg(format!("-artifact_prefix={}/", self.findings.display()));
        let dictionary = self.root.join(format!("fuzz/dictionaries/{}.dict", self.name));
        if dictionary.is_file() {
            program.arg(format!("-dict={}", dictionary.display()));
        }
        // New inputs go into the first folder; the others are only read.
        program.args([&self.found, &self.kept, &self.findings]);
        for (_, seeds) in SEEDS.iter().filter(|(name, _)| *name == self.name) {
            program.arg(self.root.join(seeds));
        }
        program
    }

    fn merge(&self, programs: &Path) -> Command {
        let mut program = self.program(programs);
        program.args(["-merge=1", "-max_len=4096"]).args([&self.kept, &self.found]);
        program
    }

    fn program(&self, programs: &Path) -> Command {
        let mut program = Command::new(programs.join(&self.name));
        program.current_dir(&self.root);
        program
    }
}
