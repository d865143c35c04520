//! Examples load and mean what was recorded; invalid ones give the recorded diagnostics.
//!
//! To record anew: `LATH_BLESS=1 cargo test -p lath-manifests golden`, then read the difference.

use std::fmt::Write as _;

use lath_manifests::{Diagnostic, Severity, code, load, locate};

use crate::files::{Example, examples, recorded};

#[test]
fn examples_mean_what_was_recorded() {
    let mut same = true;
    for folder in ["", "from-1x"] {
        for example in examples(folder) {
            let loaded = load(&example.bytes).unwrap_or_else(|found| panic!("{}: {found:#?}", example.name));
            let shown = format!("{}{:#?}\n", show(&loaded.warnings, &example.bytes), loaded.manifest);
            same &= recorded(&format!("tests/it/expected/{}.txt", example.name), &shown);
            if folder.is_empty() {
                assert!(loaded.warnings.is_empty(), "{}: {:#?}", example.name, loaded.warnings);
            }
        }
    }
    assert!(same, "LATH_BLESS=1 cargo test -p lath-manifests golden, then read the difference");
}

#[test]
fn invalid_examples_are_refused_as_recorded() {
    let mut same = true;
    for example in examples("invalid") {
        let found = load(&example.bytes).map(|loaded| loaded.manifest).expect_err(&example.name);
        check_shape(&example, &found);
        let shown = show(&found, &example.bytes);
        same &= recorded(&format!("examples/invalid/{}.expected", example.name), &shown);
    }
    assert!(same, "LATH_BLESS=1 cargo test -p lath-manifests golden, then read the difference");
}

/// What holds for every refusal, whatever it says.
fn check_shape(example: &Example, found: &[Diagnostic]) {
    let name = &example.name;
    assert!(found.iter().any(|diagnostic| diagnostic.severity == Severity::Error), "{name}");
    let places: Vec<_> = found.iter().map(|d| d.labels.first().map(|label| label.span.start)).collect();
    assert!(places.is_sorted(), "{name}: {places:?}");
    for diagnostic in found {
        assert!(code::explain(&diagnostic.code).is_some(), "{name}: {}", diagnostic.code);
        assert_ne!(diagnostic.code, "E0300", "{name}");
        assert!(!diagnostic.message.ends_with('.'), "{name}: {}", diagnostic.message);
        let json = serde_json::to_string(diagnostic).unwrap();
        assert_eq!(serde_json::from_str::<Diagnostic>(&json).unwrap(), *diagnostic);
        if diagnostic.code != "E0304" {
            assert!(diagnostic.help.is_some(), "{name}: {}", diagnostic.message);
        }
        if !diagnostic.pointer.is_empty() {
            assert!(
                locate(&example.bytes, &diagnostic.pointer).unwrap().is_some(),
                "{name}: {}",
                diagnostic.pointer
            );
        }
    }
}

#[test]
fn every_code_is_shown_by_an_example() {
    // These need more than a file that one would want to keep: see `bounds.rs` and the tests of `document.rs`.
    let generated = ["E0300", "E0302", "E0303", "E0306", "E0399"];
    let mut seen = std::collections::BTreeSet::new();
    for folder in ["", "from-1x", "invalid"] {
        for example in examples(folder) {
            let found = load(&example.bytes).map_or_else(|found| found, |loaded| loaded.warnings);
            seen.extend(found.into_iter().map(|diagnostic| diagnostic.code.into_owned()));
        }
    }
    let missing: Vec<&str> = code::ALL
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| !seen.contains(*code) && !generated.contains(code))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn show(found: &[Diagnostic], bytes: &[u8]) -> String {
    let mut shown = String::new();
    for diagnostic in found {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(shown, "{severity}[{}]: {}", diagnostic.code, diagnostic.message).unwrap();
        for label in &diagnostic.labels {
            let span = label.span;
            let source =
                String::from_utf8_lossy(&bytes[span.start.min(bytes.len())..span.end.min(bytes.len())]);
            let source: String = source.chars().take(40).flat_map(char::escape_debug).collect();
            let text = if label.text.is_empty() { String::new() } else { format!("  {}", label.text) };
            writeln!(shown, "  --> {}:{} [{source}]{text}", span.line, span.column).unwrap();
        }
        if !diagnostic.pointer.is_empty() {
            writeln!(shown, "  at {}", diagnostic.pointer).unwrap();
        }
        for note in &diagnostic.notes {
            writeln!(shown, "  note: {note}").unwrap();
        }
        if let Some(help) = &diagnostic.help {
            writeln!(shown, "  help: {help}").unwrap();
        }
        shown.push('\n');
    }
    shown
}
