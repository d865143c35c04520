//! The schema against the reader's fields, and against the committed files.
//!
//! To write those anew: `LATH_BLESS=1 cargo test -p lath-manifests schema`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::draft::SHAPES;
use crate::manifest::{Inconclusive, RollbackRule, Strategy};
use crate::read::Unknown;

#[test]
fn the_schema_has_the_fields_that_the_reader_knows() {
    let schema = schema(Edition::Draft07);
    for shape in SHAPES {
        let definition = match shape.schema {
            "Manifest" => &schema,
            name => &schema["definitions"][name],
        };
        let described: BTreeSet<&str> =
            definition["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let read: BTreeSet<&str> = shape.fields.iter().copied().collect();
        assert_eq!(described, read, "{}", shape.schema);
        let closed = definition["additionalProperties"] == serde_json::json!(false);
        assert_eq!(closed, shape.unknown == Unknown::Refuse, "{}", shape.schema);
    }
}

#[test]
fn the_schema_has_the_properties_and_words_of_rollouts() {
    let schema = schema(Edition::Draft07);
    let definition = &schema["definitions"]["RolloutProperties"];
    let described: BTreeSet<&str> =
        definition["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(described, BTreeSet::from(crate::rollout::PROPERTIES));
    assert_eq!(definition["additionalProperties"], serde_json::json!(false));
    for (name, words) in [
        ("RolloutStrategy", Strategy::ALL.map(Strategy::as_str).as_slice()),
        ("RolloutInconclusive", &Inconclusive::ALL.map(Inconclusive::as_str)),
        ("RolloutRollback", &RollbackRule::ALL.map(RollbackRule::as_str)),
        ("RolloutTruth", &["true", "false"]),
    ] {
        assert_eq!(schema["definitions"][name]["enum"], serde_json::json!(words), "{name}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the committed files are compared with what is generated")]
fn the_committed_schemas_are_current() {
    for (edition, name) in
        [(Edition::Draft07, "manifest.draft-07.json"), (Edition::Draft2020, "manifest.2020-12.json")]
    {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
        let generated = serde_json::to_string_pretty(&schema(edition)).unwrap() + "\n";
        if std::env::var_os("LATH_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == generated,
            "{name} is out of date: LATH_BLESS=1 cargo test -p lath-manifests schema"
        );
    }
}
