//! Every scenario is run and compared with its transcript. `LATH_BLESS=1` writes what came instead.

use std::fs;
use std::path::PathBuf;

use crate::script::transcript;

#[test]
fn transcripts_are_as_recorded() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10, "{} holds the scenarios", folder.display());
    let bless = std::env::var_os("LATH_BLESS").is_some();
    let mut changed = Vec::new();
    for file in files {
        let recorded = fs::read_to_string(&file).unwrap();
        let found = transcript(&recorded);
        if found == recorded {
            continue;
        }
        if bless {
            fs::write(&file, &found).unwrap();
        } else {
            changed.push(format!("{}\n{}", file.display(), difference(&recorded, &found)));
        }
    }
    assert!(changed.is_empty(), "accept with LATH_BLESS=1 if this is meant:\n{}", changed.join("\n"));
}

/// The first lines that differ.
fn difference(recorded: &str, found: &str) -> String {
    let same = recorded.lines().zip(found.lines()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str, mark: &str| {
        text.lines().skip(same).take(8).map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    format!("from line {}:\n{}{}", same + 1, rest(recorded, "-"), rest(found, "+"))
}
