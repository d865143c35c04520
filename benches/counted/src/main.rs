//! Counts the instructions of every case under valgrind, and compares with those that are on record.
//!
//! `lath-counted BASELINE` judges; with `LATH_BLESS=1` it writes the record anew; `lath-counted --case NAME` does the work
//! of one case, which is what valgrind runs. Callgrind is used directly: tools around it keep their baselines as files of
//! one machine and need a program of their own of the same version, and what is wanted is one number for each case in the
//! repository.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints, and stops at once when it cannot measure"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use lath_counted::{cases, counted_region};

/// A case may take this many hundredths more than on record.
const TOLERANCE: f64 = 5.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--case", name] => {
            let case = cases().into_iter().find(|case| case.name == *name).expect("a case of this name");
            let mut work = (case.prepare)();
            // Once before: what is made on first use is not counted.
            work();
            counted_region(&mut *work);
            ExitCode::SUCCESS
        }
        [baseline] => judge(Path::new(baseline)),
        _ => {
            eprintln!("say `lath-counted BASELINE`, the file of the counts on record");
            ExitCode::FAILURE
        }
    }
}

fn judge(file: &Path) -> ExitCode {
    let counts: BTreeMap<String, u64> =
        cases().iter().map(|case| (case.name.to_owned(), count(case.name))).collect();
    if std::env::var_os("LATH_BLESS").is_some() {
        let json = serde_json::to_string_pretty(&counts).expect("numbers have a JSON form");
        std::fs::write(file, format!("{json}\n")).expect("the record can be written");
        println!("{} counts written to {}", counts.len(), file.display());
        return ExitCode::SUCCESS;
    }
    let text = std::fs::read_to_string(file).expect("the counts on record can be read");
    let record: BTreeMap<String, u64> = serde_json::from_str(&text).expect("counts by name");
    let mut bad = 0;
    println!("{:<52} {:>14} {:>14}", "instructions", "now", "on record");
    for (name, now) in &counts {
        let (shown, verdict) = match record.get(name) {
            None => (String::new(), "NOT ON RECORD".to_owned()),
            Some(before) => {
                let change = (*now as f64 / *before as f64 - 1.0) * 100.0;
                let much = if change > TOLERANCE { "  TOO MANY" } else { "" };
                (before.to_string(), format!("{change:+.1} %{much}"))
            }
        };
        bad += usize::from(verdict.chars().next_back().is_some_and(char::is_alphabetic));
        println!("{name:<52} {now:>14} {shown:>14}  {verdict}");
    }
    if bad > 0 {
        eprintln!(
            "{bad} of {} cases take over {TOLERANCE} % more than on record, or are not there;",
            counts.len()
        );
        eprintln!("if that is meant: LATH_BLESS=1 cargo xtask bench --suite instructions");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The instructions of one case.
fn count(name: &str) -> u64 {
    let this = std::env::current_exe().expect("this program");
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=*counted_region*",
    ]);
    let output = valgrind.arg(this).args(["--case", name]).output().expect("valgrind can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    let collected =
        said.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    let count = collected.and_then(|count| count.parse().ok()).filter(|count| *count > 0);
    count.unwrap_or_else(|| unreachable!("valgrind counts what {name} does: {said}"))
}
