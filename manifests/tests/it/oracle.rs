//! Another parser, the one that 1.x managers used, reads the same documents as the same values.
//!
//! Only documents that both accept are compared: ours refuses repeated keys, tags and merge keys, and has bounds.

use lath_manifests::load;
use proptest::prelude::*;

use crate::files::examples;

/// Our reading of free-form values, seen through a trait that is kept as it was written.
fn ours(document: &str) -> Option<serde_json::Value> {
    let indented = document.replace('\n', "\n            ");
    let manifest = format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: shop
spec:
  components:
    - name: api
      type: capability
      properties: {{ image: \"r.example/i:1\" }}
      traits:
        - type: somebody-elses
          properties:
            {indented}
"
    );
    let loaded = load(manifest.as_bytes()).ok()?;
    Some(loaded.manifest.components[0].other_traits.first()?.properties.clone())
}

fn theirs(document: &str) -> Option<serde_json::Value> {
    yaml_serde::from_str(document).ok()
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9.+_-]{1,6}",
        "[-+]?[0-9]{1,4}(\\.[0-9]{1,3})?(e[0-9])?",
        "'[a-z :#]{0,8}'",
        "\"[a-z \\\\]{0,1}[nt]{1}[a-z:#]{0,5}\"",
        prop::sample::select(vec![
            "true",
            "False",
            "null",
            "~",
            "yes",
            "0x1f",
            "0o17",
            "0777",
            "1e3",
            "-.5",
            "1.",
            "2026-01-01",
            "1:30"
        ])
        .prop_map(str::to_owned),
    ]
}

/// A document in flow style, whose keys are distinct.
fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::vec(inner, 0..4).prop_map(|items| {
                let pairs: Vec<String> =
                    items.iter().enumerate().map(|(index, item)| format!("k{index}: {item}")).collect();
                format!("{{ {} }}", pairs.join(", "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn both_parsers_read_the_same_values(document in value()) {
        if let (Some(ours), Some(theirs)) = (ours(&document), theirs(&document)) {
            prop_assert_eq!(ours, theirs, "{}", document);
        }
    }
}

#[test]
fn block_styles_are_read_alike() {
    for document in [
        "a: |\n  two\n  lines\nb: >-\n  folded\n  text\n",
        "- a: 1\n  b: [x, 'y: z', \"q\\u00e9\"]\n-\n  - nested\n  - 2.50\n",
        "a: b c # comment\n\nd: 'it''s'\n",
        "a: &x { k: v }\nb: *x\n",
        "a: |+\n  kept\n\nb: 1\n",
    ] {
        assert_eq!(ours(document.trim_end()), theirs(document.trim_end()), "{document}");
        assert!(ours(document.trim_end()).is_some(), "{document}");
    }
}

#[test]
fn what_is_no_yaml_to_one_is_none_to_the_other() {
    for example in examples("invalid") {
        let text = String::from_utf8_lossy(&example.bytes).into_owned();
        let syntax = load(&example.bytes).is_err_and(|found| {
            found.iter().any(|diagnostic| ["E0304", "E0305", "E0308"].contains(&&*diagnostic.code))
        });
        if yaml_serde::from_str::<serde_json::Value>(&text).is_err() && !syntax {
            // What is left are documents that are empty, repeat too much, or use tags.
            let found = load(&example.bytes).unwrap_err();
            let expected = ["E0301", "E0307", "E0309"];
            assert!(found.iter().any(|diagnostic| expected.contains(&&*diagnostic.code)), "{}", example.name);
        }
    }
}
