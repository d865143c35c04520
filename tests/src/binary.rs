//! Where the programs are that tests start, and building `lath` so that it is never older than its source. What the
//! programs are told is not decided here.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The checkout.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().expect("the package has a parent folder").to_owned()
}

/// The `lath` to test: what `LATH_BIN` names, else one that is built now if its source has changed.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn lath() -> &'static Path {
    static LATH: OnceLock<PathBuf> = OnceLock::new();
    LATH.get_or_init(|| match std::env::var_os("LATH_BIN").filter(|named| !named.is_empty()) {
        Some(named) => named.into(),
        None => built_lath(),
    })
}

/// The nats-server to test with: what `LATH_NATS_SERVER` names, else the one that xtask fetched, else one on `PATH`.
#[must_use]
pub fn nats_server() -> PathBuf {
    if let Some(named) = std::env::var_os("LATH_NATS_SERVER").filter(|named| !named.is_empty()) {
        return named.into();
    }
    let fetched = workspace().join("target/tools/nats-server");
    if fetched.is_file() { fetched } else { "nats-server".into() }
}

/// Tests run in many processes at once: one builds, and the others find that this run has built.
fn built_lath() -> PathBuf {
    // …/target/PROFILE/deps/it-HASH
    let test = std::env::current_exe().expect("a test knows its own file");
    let profile = test.ancestors().nth(2).expect("a test is in the folder of a profile");
    let lath = profile.join("lath");
    let note = profile.join(".lath-tests-run");
    let noted = File::options().create(true).truncate(false).read(true).write(true).open(note);
    let mut noted = noted.expect("cannot open the note of builds");
    noted.lock().expect("cannot lock the note of builds");

    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_default();
    let mut last = String::new();
    noted.read_to_string(&mut last).expect("cannot read the note of builds");
    if run.is_empty() || last != run || !lath.is_file() {
        build(profile);
        noted.set_len(0).expect("cannot empty the note of builds");
        noted.seek(SeekFrom::Start(0)).expect("cannot rewind the note of builds");
        noted.write_all(run.as_bytes()).expect("cannot write the note of builds");
    }
    fs::canonicalize(&lath).unwrap_or_else(|error| panic!("{} is missing: {error}", lath.display()))
}

fn build(profile: &Path) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With the whole workspace selected, dependencies have the features that the tests were built with, and none
    // of them is compiled a second time.
    for (name, _) in std::env::vars_os() {
        // What cargo tells a test about its package would reach the build scripts of dependencies, and those that look
        // at it (ring's does) would run again, with all that depends on them, once here and once in the next build.
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"]
            .iter()
            .any(|of| text.starts_with(of))
        {
            cargo.env_remove(&name);
        }
    }
    cargo.current_dir(workspace()).args([
        "build",
        "--quiet",
        "--workspace",
        "--bin",
        "lath",
        "--features=lath-manager/failpoints",
    ]);
    cargo.arg("--target-dir").arg(profile.parent().expect("a profile is in a target folder"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.output().expect("cannot start cargo");
    assert!(built.status.success(), "lath does not build\n{}", String::from_utf8_lossy(&built.stderr));
}
