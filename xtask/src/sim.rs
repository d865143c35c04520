//! `cargo xtask sim`: builds the simulation as fast as it gets, with every check on, and hands over to it. What it does
//! and says is not known here; see `docs/simulation.md`.

use anyhow::Result;

use crate::workspace::{Workspace, run};

/// What is asked of the simulation.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct SimArgs {
    /// How many histories to run
    #[arg(long, value_name = "N", required_unless_present_any = ["seed", "bugs"])]
    seeds: Option<u64>,
    /// The first of them; without --seeds the only one, and everything that happened in it is shown
    #[arg(long, value_name = "S", conflicts_with = "bugs")]
    seed: Option<u64>,
    /// Plants each of the deliberate bugs and looks for the first seed that notices it
    #[arg(long)]
    bugs: bool,
}

/// Builds and simulates; an error when an invariant was broken, or a bug stayed unnoticed.
pub(crate) fn sim(workspace: &Workspace, args: SimArgs) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--quiet", "--profile", "sim", "--package", "lath-sim", "--bin", "simulate"]);
    if args.bugs {
        cargo.args(["--features", "planted-bugs"]);
    }
    cargo.arg("--");
    for (name, value) in [("--seeds", args.seeds), ("--seed", args.seed)] {
        if let Some(value) = value {
            cargo.args([name, &value.to_string()]);
        }
    }
    if args.bugs {
        cargo.arg("--bugs");
    }
    run(&mut cargo)
}
