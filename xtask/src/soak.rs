//! `cargo xtask soak`: builds what a soak needs as it is deployed, and hands over to the program that carries it out.
//! Its arguments, and what it says and proves, are not known here; see `docs/soak.md`.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::nats;
use crate::workspace::{Workspace, run};

/// Where the program finds the `lath` to soak; the tests read the same variable.
const LATH: &str = "LATH_BIN";

/// Builds and soaks; an error when a promise was broken.
pub(crate) fn soak(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let nats = nats::find_or_fetch(workspace)?;
    // A task of its own, whose list goes beside: standard output belongs to the report, which machines read.
    let mut components = Command::new(std::env::current_exe().context("cannot find out where xtask is")?);
    run(components.arg("components").stdout(std::io::stderr()))?;
    eprintln!("building lath and the soak in release; the first time takes many minutes on a small machine");
    let mut build = workspace.cargo();
    run(build.args(["build", "--release", "--workspace", "--bin", "lath", "--bin", "lath-soak"]))?;
    let programs = workspace.target()?.join("release");
    let mut soak = Command::new(programs.join("lath-soak"));
    soak.current_dir(workspace.root()).args(arguments);
    run(soak.env(LATH, programs.join("lath")).env(nats::VARIABLE, nats))
}
