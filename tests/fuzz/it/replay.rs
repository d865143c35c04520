//! Each seed and each earlier finding goes through its check, and each check has a program that fuzzes it.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use lath_fuzz::{BUNDLE, EGRESS, MANIFEST, ROUTES, TARGETS, Target, VALUES};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs every file that is kept for the target; all failures are told, not only the first.
fn replay(target: &Target) {
    let kept = ["corpus", "findings"].map(|folder| root().join("fuzz").join(folder).join(target.name));
    let seeds = target.seeds.iter().map(|seeds| root().join(seeds));
    let mut files = Vec::new();
    for folder in kept.into_iter().chain(seeds) {
        collect(&folder, &mut files);
    }
    assert!(!files.is_empty(), "nothing is kept for {}", target.name);
    let failed: Vec<&PathBuf> = files
        .iter()
        .filter(|file| {
            let bytes = fs::read(file).unwrap();
            catch_unwind(|| (target.check)(&bytes)).is_err()
        })
        .collect();
    println!("{}: {} inputs", target.name, files.len());
    assert!(failed.is_empty(), "{}: {failed:?} break what must hold", target.name);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    // A target without findings has no folder of them.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

#[test]
fn kept_bundles() {
    replay(&BUNDLE);
}

#[test]
fn kept_manifests() {
    replay(&MANIFEST);
}

#[test]
fn kept_values() {
    replay(&VALUES);
}

#[test]
fn kept_routes() {
    replay(&ROUTES);
}

#[test]
fn kept_egress() {
    replay(&EGRESS);
}

#[test]
fn every_check_has_a_program_that_fuzzes_it() {
    let programs = fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap();
    let programs: BTreeSet<String> = programs
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let checks: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(programs, checks);
}
