//! `cargo xtask`: builds, checks and tests the repository, so that a person and the CI type the same. Only the
//! choice of a task is here. Every task is a module that can be read alone.

mod bench;
mod check;
mod components;
mod demo;
mod fuzz;
mod nats;
mod registry;
mod sim;
mod soak;
mod test;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, checks and tests Lath.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure, beside what else does the same work, and print one table; docs/benchmarks.md
    Bench(bench::BenchArgs),
    /// Check the layers between our crates, find files that no `mod` reaches, list the largest files
    Check,
    /// Build the guest components into target/components
    Components {
        /// Also those in Python and JavaScript, whose tools are fetched first
        #[arg(long)]
        all: bool,
        /// Build every one anew, also those that are up to date
        #[arg(long)]
        anew: bool,
    },
    /// The whole story in one run: a lattice, a deploy, an upgrade under load, a rollback, each step checked
    Demo {
        /// Leave the lattice running and say what to try next
        #[arg(long)]
        keep: bool,
    },
    /// Make up inputs for all that reads what comes from outside; docs/fuzzing.md
    Fuzz(fuzz::FuzzArgs),
    /// Histories of a lattice in virtual time, full of faults, each from its seed; docs/simulation.md
    Sim(sim::SimArgs),
    /// Rollouts one after another under load, half of them made to fail, with an account of every request; docs/soak.md
    #[command(disable_help_flag = true)]
    Soak {
        /// `--rollouts`, `--rate` and others: see `cargo xtask soak --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Formatting, clippy, layers, and all tests against a real nats-server and real components
    Test {
        /// Leave out the tests that start whole lattices (package lath-tests), those against old peers and the doc tests
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match task {
        Task::Bench(args) => bench::bench(&workspace, args),
        Task::Check => check::check(&workspace),
        Task::Components { all, anew } => {
            let guests = if *all { components::Guests::All } else { components::Guests::Rust };
            let wanted = if *anew { components::Wanted::Anew } else { components::Wanted::UpToDate };
            components::build(&workspace, guests, wanted).map(drop)
        }
        Task::Demo { keep } => {
            let after = if *keep { demo::After::Keep } else { demo::After::Stop };
            demo::demo(&workspace, after)
        }
        Task::Fuzz(args) => fuzz::fuzz(&workspace, args),
        Task::Sim(args) => sim::sim(&workspace, *args),
        Task::Soak { arguments } => soak::soak(&workspace, arguments),
        Task::Test { quick } => {
            let extent = if *quick { test::Extent::Quick } else { test::Extent::Whole };
            test::test(&workspace, extent)
        }
    }
}
