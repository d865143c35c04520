//! Reading bytes: bounds, encodings, places.

use super::*;
use crate::limits::{MAX_ALIASED_NODES, MAX_DEPTH};

fn refused(bytes: &[u8]) -> Diagnostic {
    parse(bytes).map(|tree| tree.to_json(tree.root())).unwrap_err().remove(0)
}

fn json(text: &str) -> serde_json::Value {
    let tree = parse(text.as_bytes()).unwrap();
    tree.to_json(tree.root())
}

#[test]
fn xm01_a_file_without_a_document_is_empty() {
    for text in ["", "# only a comment\n", "\u{feff}"] {
        assert_eq!(refused(text.as_bytes()).code, "E0301", "{text:?}");
    }
}

#[test]
fn xm02_one_document_a_file() {
    let found = refused(b"a: 1\n---\nb: 2\n");
    assert_eq!((found.code.as_ref(), found.labels[0].span.line), ("E0305", 2));
}

#[test]
fn xm03_only_utf8_with_or_without_a_mark() {
    assert_eq!(json("\u{feff}a: 1\n"), serde_json::json!({"a": 1}));
    let found = refused(b"ok: 1\nbad: \xff\n");
    assert_eq!(
        (found.code.as_ref(), found.labels[0].span.line, found.labels[0].span.column),
        ("E0303", 2, 6)
    );
    assert_eq!(found.labels[0].span.start, 11);
    assert_eq!(refused(b"\xff\xfea\x00").code, "E0303");
    assert_eq!(refused(b"a: \"b\x00\"").code, "E0303");
}

#[test]
fn xm04_a_tab_is_named_with_its_place() {
    let found = refused(b"metadata:\n\tname: a\n");
    assert_eq!((found.code.as_ref(), found.labels[0].span.line), ("E0304", 2));
    assert!(found.message.contains("tab"), "{}", found.message);
}

#[test]
fn xm05_json_is_read_as_json_is_written() {
    let text = "{\n\t\"a\": [1, -2.5, true, null, \"x\\/y\\u00e9\\ud83d\\ude00\"],\n\t\"b\": {}\n}";
    assert_eq!(json(text), serde_json::from_str::<serde_json::Value>(text).unwrap());
}

#[test]
fn xm06_a_repeated_key_names_both_places() {
    let found = refused(b"a: 1\nb: 2\na: 3\n");
    assert_eq!(found.code, "E0308");
    assert_eq!(found.labels.iter().map(|label| label.span.line).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn xm09_tags_merge_keys_and_keys_that_are_no_text_are_refused() {
    for text in [
        "a: !!binary aGk=",
        "a: !!python/object x",
        "a: !x {b: 1}",
        "b: {<<: {c: 1}}",
        "1: a",
        "~: a",
        "[a]: b",
    ] {
        assert_eq!(refused(text.as_bytes()).code, "E0309", "{text}");
    }
    assert_eq!(json("a: !!str 1.10"), serde_json::json!({"a": "1.10"}));
}

#[test]
fn xm10_alias_bombs_stop_at_the_bound() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        laughs +=
            &format!("a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}, *a{before}]\n");
    }
    assert_eq!(refused(laughs.as_bytes()).code, "E0307");
    let many = format!("a: &a x\nb: [{}]\n", "*a, ".repeat(MAX_ALIASED_NODES + 1));
    assert_eq!(refused(many.as_bytes()).code, "E0307");
    let fits = format!("a: &a x\nb: [{}]\n", "*a, ".repeat(MAX_ALIASED_NODES));
    assert!(parse(fits.as_bytes()).is_ok());
    assert_eq!(refused(b"a: &a [1, *a]").code, "E0307");
    assert_eq!(refused(b"a: *nothing").code, "E0304");
}

#[test]
fn xm11_depth_is_bounded_without_a_deep_stack() {
    for text in ["[".repeat(100_000), "- ".repeat(10_000), "{a: ".repeat(10_000)] {
        assert_eq!(refused(text.as_bytes()).code, "E0306");
    }
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(refused(nested(MAX_DEPTH + 1).as_bytes()).code, "E0306");
    // An alias carries its own depth with it.
    let half = MAX_DEPTH / 2;
    let aliased =
        |levels: usize| format!("- &a {}\n- {}*a{}\n", nested(half), "[".repeat(levels), "]".repeat(levels));
    assert!(parse(aliased(half - 1).as_bytes()).is_ok());
    assert_eq!(refused(aliased(half).as_bytes()).code, "E0306");
}

#[test]
fn xm12_size_is_checked_before_anything_else() {
    assert_eq!(refused(&vec![b'\xff'; MAX_BYTES + 1]).code, "E0302");
    assert_eq!(refused(&vec![b'['; MAX_BYTES]).code, "E0306");
}

#[test]
fn pointers_lead_there_and_back() {
    let tree = parse("a:\n  - b/c: 1\n    d~: [2, 3]\n".as_bytes()).unwrap();
    for (pointer, line, column) in [("", 1, 1), ("/a/0/b~1c", 2, 10), ("/a/0/d~0/1", 3, 13)] {
        let id = tree.resolve(pointer).unwrap();
        assert_eq!(tree.pointer(id), pointer);
        assert_eq!((tree.span(id).line, tree.span(id).column), (line, column), "{pointer}");
    }
    assert_eq!(tree.resolve("/a/1"), None);
    assert_eq!(tree.resolve("a"), None);
}

#[test]
fn places_count_bytes_for_tools_and_characters_for_people() {
    let text = "\u{feff}é: \"ü\"\n";
    let tree = parse(text.as_bytes()).unwrap();
    let span = tree.span(tree.resolve("/é").unwrap());
    assert_eq!((span.line, span.column), (1, 4));
    assert_eq!(&text[span.start..span.end], "\"ü\"");
}

#[test]
fn a_part_of_a_text_has_its_place_where_the_file_has_it_byte_by_byte() {
    let part = |document: &str, pointer: &str, part: Range<usize>| {
        let tree = parse(document.as_bytes()).unwrap();
        let span = tree.part(tree.resolve(pointer).unwrap(), &part)?;
        Some((document[span.start..span.end].to_owned(), span.line, span.column))
    };
    let found = |text: &str, line, column| Some((text.to_owned(), line, column));
    assert_eq!(part("a: b\nk: éx, yé z # no\n", "/k", 5..8), found("yé", 2, 8));
    assert_eq!(part("k: 'éx, yé'", "/k", 5..8), found("yé", 1, 9));
    assert_eq!(part("\u{feff}k: \"x, y\"", "/k", 3..4), found("y", 1, 8));
    assert_eq!(part("{\"k\": [\"x, y\"]}", "/k/0", 3..4), found("y", 1, 12));
    assert_eq!(part("a: &a x, y\nk: *a\n", "/k", 3..4), found("y", 1, 10));
    assert_eq!(part("k: x\n", "/k", 1..1), found("", 1, 5));
    assert_eq!(part("k: !!str 12345", "/k", 3..4), found("4", 1, 13));
    // Written in another way than it is read, or not there at all.
    for document in
        ["k: \"x\\t y\"", "k: 'x'', y'", "k: x,\n  y z\n", "k: |\n  x, y\n", "{k: \"x,\ny z\"}", "k: 12345"]
    {
        assert_eq!(part(document, "/k", 3..4), None, "{document}");
    }
    for range in [4..5, 0..9] {
        assert_eq!(part("k: éx", "/k", range.clone()), None, "{range:?}");
    }
    assert_eq!(part("k: éx", "/k", 1..2), None);
}
