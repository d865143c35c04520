//! Whatever the bytes are: an answer, in time, of the promised shape.
#![expect(clippy::disallowed_methods, reason = "tests measure how long an answer takes")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lath_manifests::limits::MAX_DIAGNOSTICS;
use lath_manifests::manifest::{Scaling, Source};
use lath_manifests::rollout::PROPERTIES;
use lath_manifests::{Severity, load};
use proptest::prelude::*;

use crate::files::examples;

/// Words that make a difference somewhere, so that mutations get past the reader of YAML.
const WORDS: &[&str] = &[
    "name",
    "type",
    "traits",
    "link",
    "spread",
    "instances",
    "-1",
    "0",
    "1e9",
    "~",
    "true",
    "\"\"",
    "[]",
    "{}",
    "&a ",
    "*a",
    "\t",
    "\n",
    "  ",
    "- ",
    ": ",
    "#",
    "'",
    "\"",
    "---\n",
    "!!str ",
    "<<: ",
    "é",
    "\u{feff}",
    "latest",
    "default",
    "file://",
    "builtin://",
    "%",
    "$",
    "{{",
    "|",
    ">",
];

#[derive(Debug, Clone)]
enum Edit {
    Remove { at: usize, count: usize },
    Insert { at: usize, word: usize },
    Copy { from: usize, count: usize, to: usize },
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = 0..4_000usize;
    prop_oneof![
        (place.clone(), 1..40usize).prop_map(|(at, count)| Edit::Remove { at, count }),
        (place.clone(), 0..WORDS.len()).prop_map(|(at, word)| Edit::Insert { at, word }),
        (place.clone(), 1..200usize, place).prop_map(|(from, count, to)| Edit::Copy { from, count, to }),
    ]
}

fn apply(text: &mut Vec<char>, edit: &Edit) {
    let within = |at: usize, length: usize| at % (length + 1);
    match *edit {
        Edit::Remove { at, count } => {
            let start = within(at, text.len());
            let end = (start + count).min(text.len());
            text.drain(start..end);
        }
        Edit::Insert { at, word } => {
            let at = within(at, text.len());
            text.splice(at..at, WORDS[word].chars());
        }
        Edit::Copy { from, count, to } => {
            let start = within(from, text.len());
            let copied = text[start..(start + count).min(text.len())].to_vec();
            let to = within(to, text.len());
            text.splice(to..to, copied);
        }
    }
}

/// Loads, and checks what is promised of every answer.
fn check(bytes: &[u8]) {
    let began = Instant::now();
    let answer = load(bytes);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(answer, load(bytes), "the same bytes give the same answer");
    match answer {
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|warning| warning.severity == Severity::Warning));
            check_manifest(&loaded.manifest);
        }
        Err(found) => {
            assert!(found.iter().any(|diagnostic| diagnostic.severity == Severity::Error));
            assert!(found.iter().all(|diagnostic| diagnostic.code != "E0300"), "{found:?}");
            assert!(found.len() <= MAX_DIAGNOSTICS + 1);
            let text = str::from_utf8(bytes);
            for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
                if let (Ok(text), true) = (text, label.span.end <= bytes.len()) {
                    assert!(text.get(label.span.start..label.span.end).is_some(), "{label:?}");
                }
                assert!(label.span.line >= 1 && label.span.column >= 1, "{label:?}");
                assert!(label.span.start <= label.span.end && label.span.start <= bytes.len(), "{label:?}");
            }
        }
    }
}

/// What the types of a manifest promise beyond their fields.
fn check_manifest(manifest: &lath_manifests::Manifest) {
    assert!(!manifest.components.is_empty());
    for component in &manifest.components {
        for link in &component.links {
            assert_ne!(link.target, component.name);
            assert!(manifest.component(&link.target).is_some());
            assert!(!link.interfaces.is_empty());
        }
        match &component.scaling {
            Scaling::None => {}
            Scaling::Spread { spreads, .. } => assert!(spreads.iter().any(|spread| spread.weight > 0)),
            Scaling::Daemon { spreads, .. } => assert!(!spreads.is_empty()),
        }
        if let Source::Shared { app, .. } = &component.source {
            assert_ne!(*app, manifest.name);
            assert!(component.config.is_empty() && component.secrets.is_empty());
        }
        for secret in &component.secrets {
            assert!(manifest.policies.iter().any(|policy| policy.name == secret.policy));
        }
    }
    check_rollouts(manifest);
}

/// Each component has one policy at most, and all have the rest.
fn check_rollouts(manifest: &lath_manifests::Manifest) {
    assert!(manifest.rollouts.iter().filter(|policy| policy.components.is_empty()).count() <= 1);
    let limited: Vec<_> = manifest.rollouts.iter().flat_map(|policy| &policy.components).collect();
    let unique: std::collections::BTreeSet<_> = limited.iter().collect();
    assert_eq!(limited.len(), unique.len());
    assert!(limited.iter().all(|name| manifest.component(name).is_some()));
    for policy in &manifest.rollouts {
        assert!(policy.min_healthy_time < policy.progress_deadline);
        assert_eq!(policy.steps.last().map(|step| step.weight), Some(100));
    }
}

/// A manifest with one rollout policy.
fn with_policy(properties: &BTreeMap<String, String>) -> String {
    let policy = serde_json::json!({
        "name": "careful", "type": "policy.rollout.lath/v1", "properties": properties,
    });
    let component = serde_json::json!({
        "name": "api", "type": "component", "properties": { "image": "registry.example/api:1.0.0" },
    });
    let manifest = serde_json::json!({
        "apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "metadata": { "name": "shop" },
        "spec": { "policies": [policy], "components": [component] },
    });
    manifest.to_string()
}

/// Texts of rollout policies that are nearly right.
fn property() -> impl Strategy<Value = (String, String)> {
    let words = [
        "5%",
        "25%/1m",
        "100%",
        "errors",
        "p95",
        "samples",
        "<=",
        ">=",
        "+1%",
        "1.5x",
        "20",
        ",",
        " ",
        "/",
        "label zone",
        ":",
        "a",
        "api",
        "canary",
        "rolling",
        "true",
        "http://",
        "host",
        "@",
        "0s",
        "1h",
        "é",
        "\u{1f600}",
        "\"",
        "\\",
    ];
    let text = proptest::collection::vec(prop::sample::select(words.to_vec()), 0..8)
        .prop_map(|words| words.concat());
    (prop::sample::select(PROPERTIES.to_vec()).prop_map(str::to_owned), text)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        check(&bytes);
    }

    #[test]
    fn random_words_get_an_answer(words in proptest::collection::vec(0..WORDS.len(), 0..300)) {
        let text: String = words.into_iter().map(|word| WORDS[word]).collect();
        check(text.as_bytes());
    }

    #[test]
    fn rollout_policies_get_an_answer(properties in proptest::collection::vec(property(), 0..6)) {
        let properties: BTreeMap<String, String> = properties.into_iter().collect();
        check(with_policy(&properties).as_bytes());
    }

    #[test]
    fn mutated_examples_get_an_answer(which in any::<prop::sample::Index>(), edits in proptest::collection::vec(edit(), 1..8)) {
        let all: Vec<_> = ["", "from-1x", "invalid"].into_iter().flat_map(examples).collect();
        let mut text: Vec<char> = String::from_utf8_lossy(&which.get(&all).bytes).chars().collect();
        for edit in &edits {
            apply(&mut text, edit);
        }
        check(text.into_iter().collect::<String>().as_bytes());
    }
}
