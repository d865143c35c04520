//! Whatever the texts of properties are: an answer, and one that keeps its promises.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::manifest::{self, RolloutPolicy};
use crate::problem::Place;
use crate::report::shown;
use crate::rollout::{COMPONENTS, Given, PROPERTIES, override_policy, read};

/// Words that bring a text past the first look at it.
const WORDS: &[&str] = &[
    "errors",
    "traps",
    "p95",
    "samples",
    "<=",
    ">=",
    "%",
    "x",
    "+",
    "-",
    ".",
    ",",
    " ",
    "/",
    ":",
    "label ",
    "zone",
    "promote",
    "0",
    "1",
    "5",
    "99",
    "100",
    "1000001",
    "4294967296",
    "18446744073709551616",
    "ms",
    "s",
    "h",
    "http://",
    "https://",
    "@",
    "#",
    "[",
    "]",
    "%20",
    "a",
    "é",
    "\u{1f600}",
    "\0",
    "\n",
    "\"",
    "≤",
];

fn text() -> impl Strategy<Value = String> {
    let words =
        proptest::collection::vec(prop::sample::select(WORDS), 0..12).prop_map(|words| words.concat());
    prop_oneof![any::<String>(), words]
}

fn given() -> impl Strategy<Value = BTreeMap<String, String>> {
    let name = prop_oneof![9 => prop::sample::select(&PROPERTIES[..]).prop_map(str::to_owned), 1 => text()];
    proptest::collection::btree_map(name, text(), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_texts_are_the_answer_keeps_its_promises(given in given()) {
        let pairs: Vec<Given<'_>> = given.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let reading = read(RolloutPolicy::default(), &pairs);
        for (index, problem) in &reading.problems {
            let (name, text) = pairs[*index];
            prop_assert!(!problem.message.is_empty() && !problem.help.is_empty());
            prop_assert!(problem.message.contains(&format!("`{}`", shown(name))), "{problem:?}");
            if let Place::Part(part) = &problem.place {
                prop_assert!(text.get(part.clone()).is_some(), "{problem:?}");
            }
        }
        let answer = override_policy(&RolloutPolicy::default(), &given);
        let components = given.contains_key(COMPONENTS);
        prop_assert_eq!(answer.is_ok(), reading.problems.is_empty() && !components);
        if let Ok(policy) = answer {
            check(&policy);
        }
    }
}

/// What the types promise beyond their fields.
fn check(policy: &RolloutPolicy) {
    assert!((1..=20).contains(&policy.steps.len()));
    assert!(policy.steps.is_sorted_by(|a, b| a.weight < b.weight));
    assert_eq!(policy.steps.last().map(|step| step.weight), Some(100));
    assert!(!policy.max_parallel.is_zero());
    let stuck = policy.max_surge.is_zero() && policy.max_unavailable.is_zero();
    assert!(!stuck || policy.strategy == manifest::Strategy::Recreate);
    assert!(policy.min_healthy_time < policy.progress_deadline);
    assert!((1..=1_000_000).contains(&policy.gates.samples));
}
