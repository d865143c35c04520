//! Finds a docker-registry to test with, or unpacks Debian's package of it. Nothing is installed: the package is
//! checked by apt and unpacked beside our other tools, so that no service begins to run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, output, run};

/// Names the docker-registry to use; set for the tests as well, which read the same variable.
pub(crate) const VARIABLE: &str = "LATH_DOCKER_REGISTRY";

const PROGRAM: &str = "docker-registry";

/// The docker-registry that `LATH_DOCKER_REGISTRY` names, else one on the `PATH`, else an unpacked one.
pub(crate) fn find_or_fetch(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        version(&named).with_context(|| format!("{VARIABLE} is set to {}", named.display()))?;
        return Ok(named);
    }
    if let Some(found) = on_path() {
        return Ok(found);
    }
    let fetched = workspace.tools().join(PROGRAM);
    if version(&fetched).is_err() {
        fetch(workspace, &fetched)?;
    }
    Ok(fetched)
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|file| file.is_file())
}

fn version(registry: &Path) -> Result<String> {
    output(Command::new(registry).arg("--version"))
}

fn fetch(workspace: &Workspace, program: &Path) -> Result<()> {
    let folder = workspace.tools().join(format!(".fetch-registry-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    println!("fetching {PROGRAM} with apt-get");
    let fetched = fetch_into(&folder, program);
    // Whether it went well or not, only the finished program stays.
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display())).and(fetched)
}

fn fetch_into(folder: &Path, program: &Path) -> Result<()> {
    run(Command::new("apt-get").args(["download", "--quiet", PROGRAM]).current_dir(folder)).with_context(
        || {
            format!(
                "cannot fetch {PROGRAM}; on Debian and its kin run `apt-get update` before, \
             elsewhere install it and set {VARIABLE}"
            )
        },
    )?;
    let package = fs::read_dir(folder)?.next().context("apt-get left no package")??.path();
    let unpacked = folder.join("unpacked");
    run(Command::new("dpkg").arg("-x").arg(&package).arg(&unpacked))?;
    let found = unpacked.join("usr/bin").join(PROGRAM);
    if version(&found).is_err() {
        bail!("{} holds no {PROGRAM} that runs here", package.display());
    }
    fs::rename(&found, program).with_context(|| format!("cannot write {}", program.display()))
}
