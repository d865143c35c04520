//! The value codec: the worked examples byte by byte, round trips over every type, and bytes from nowhere.

use lath_wrpc::codec::{DecodeError, EncodeError, decode, encode, supported};
use proptest::prelude::*;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Type, Val};
use wasmtime::{Config, Engine};

/// The types of the parameters of a function, written as component text: definitions, then the parameters.
fn types(definitions: &str, params: &[&str]) -> Vec<Type> {
    let params: String = params.iter().enumerate().map(|(i, ty)| format!("(param \"p{i}\" {ty})")).collect();
    let text = format!("(component {definitions} (import \"f\" (func {params})))");
    let mut config = Config::new();
    config.wasm_component_model_fixed_length_lists(true);
    config.wasm_component_model_map(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, wat::parse_str(&text).unwrap()).unwrap();
    let component_type = component.component_type();
    let Some(ComponentItem::ComponentFunc(func)) =
        component_type.imports(&engine).next().map(|(_, item)| item.ty)
    else {
        panic!("the import is no function")
    };
    func.params().map(|(_, ty)| ty).collect()
}

/// Type definitions that a component must export or import under a name to use them.
fn named(kind: &str) -> Vec<Type> {
    types(&format!("(type $t {kind}) (import \"t\" (type $n (eq $t)))"), &["$n"])
}

fn golden(types: &[Type], values: &[Val], wire: &[u8]) {
    assert_eq!(encode(values, types).unwrap(), wire);
    assert_eq!(decode(wire, types).unwrap(), values);
}

fn text(text: &str) -> Val {
    Val::String(text.to_owned())
}

#[test]
fn scalars_have_their_bytes() {
    let all =
        types("", &["bool", "u8", "s8", "u16", "u32", "u64", "s16", "s32", "s64", "f32", "f64", "char"]);
    let values = [
        Val::Bool(true),
        Val::U8(200),
        Val::S8(-2),
        Val::U16(200),
        Val::U32(624_485),
        Val::U64(u64::MAX),
        Val::S16(-123),
        Val::S32(-123_456),
        Val::S64(i64::MIN),
        Val::Float32(1.5),
        Val::Float64(-2.0),
        Val::Char('é'),
    ];
    let wire = [
        &[1, 200, 0xfe][..],
        &[0xc8, 0x01],
        &[0xe5, 0x8e, 0x26],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x85, 0x7f],
        &[0xc0, 0xbb, 0x78],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f],
        &[0, 0, 0xc0, 0x3f],
        &[0, 0, 0, 0, 0, 0, 0, 0xc0],
        &[0xc3, 0xa9],
    ]
    .concat();
    golden(&all, &values, &wire);
}

#[test]
fn the_recorded_greeting_and_increment() {
    // default.greeter.wrpc.0.0.1.demo:greet/greeter@0.1.0.greet, and atomics.increment of a 1.x host.
    golden(&types("", &["string"]), &[text("/bob")], b"\x04/bob");
    let increment = types("", &["string", "string", "u64"]);
    golden(&increment, &[text("default"), text("hits"), Val::U64(1)], b"\x07default\x04hits\x01");
}

#[test]
fn compounds_have_their_bytes() {
    let bytes = types("(type $l (list u8))", &["$l"]);
    golden(&bytes, &[Val::List(vec![Val::U8(1), Val::U8(255)])], &[2, 1, 255]);
    let pairs = types("(type $t (tuple u8 string)) (type $l (list $t))", &["$l"]);
    let pair = |n, s| Val::Tuple(vec![Val::U8(n), text(s)]);
    golden(&pairs, &[Val::List(vec![pair(1, "a"), pair(2, "")])], b"\x02\x01\x01a\x02\x00");
    let options = types(
        "(type $o (option u8)) (type $r (result u8 (error string))) (type $n (result))",
        &["$o", "$r", "$n"],
    );
    let some = |value| Some(Box::new(value));
    golden(
        &options,
        &[Val::Option(some(Val::U8(7))), Val::Result(Err(some(text("no")))), Val::Result(Ok(None))],
        b"\x01\x07\x01\x02no\x00",
    );
    golden(
        &options,
        &[Val::Option(None), Val::Result(Ok(some(Val::U8(9)))), Val::Result(Err(None))],
        &[0, 0, 9, 1],
    );
}

#[test]
fn named_types_have_their_bytes() {
    let record = named("(record (field \"a\" u16) (field \"b\" bool))");
    let fields = vec![("a".to_owned(), Val::U16(300)), ("b".to_owned(), Val::Bool(true))];
    golden(&record, &[Val::Record(fields)], &[0xac, 0x02, 1]);
    let variant = named("(variant (case \"none\") (case \"one\" u8))");
    golden(&variant, &[Val::Variant("none".to_owned(), None)], &[0]);
    golden(&variant, &[Val::Variant("one".to_owned(), Some(Box::new(Val::U8(5))))], &[1, 5]);
    golden(&named("(enum \"red\" \"green\")"), &[Val::Enum("green".to_owned())], &[1]);
    // 17 flags take 3 bytes.
    let names: String = (0..17).map(|i| format!(" \"f{i}\"")).collect();
    let flags = named(&format!("(flags{names})"));
    golden(&flags, &[Val::Flags(vec!["f0".to_owned(), "f9".to_owned(), "f16".to_owned()])], &[1, 2, 1]);
}

#[test]
fn fixed_lists_and_maps_have_a_form() {
    let fixed = types("(type $l (list u8 3))", &["$l"]);
    golden(&fixed, &[Val::FixedLengthList(vec![Val::U8(1), Val::U8(2), Val::U8(3)])], &[1, 2, 3]);
    let map = types("(type $m (map string u8))", &["$m"]);
    golden(&map, &[Val::Map(vec![(text("a"), Val::U8(1))])], b"\x01\x01a\x01");
}

#[test]
fn what_cannot_travel_is_named_before_anything_runs() {
    for (definitions, kind) in [
        ("(type $s (stream u8)) (type $p (list $s))", "stream"),
        ("(type $f (future u8)) (type $p (option $f))", "future"),
        ("(import \"r\" (type $r (sub resource))) (type $o (own $r)) (type $p (list $o))", "resource"),
        ("(import \"r\" (type $r (sub resource))) (type $p (borrow $r))", "resource"),
    ] {
        let text = format!("(component {definitions} (import \"f\" (func (param \"p\" $p))))");
        let mut config = Config::new();
        config.wasm_component_model_async(true);
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, wat::parse_str(&text).unwrap()).unwrap();
        let component_type = component.component_type();
        let params: Vec<Type> = component_type
            .imports(&engine)
            .find_map(|(_, item)| match item.ty {
                ComponentItem::ComponentFunc(func) => Some(func.params().map(|(_, ty)| ty).collect()),
                _ => None,
            })
            .unwrap();
        assert_eq!(supported(&params[0]).unwrap_err().kind, kind);
        assert!(matches!(decode(&[1, 1], &params), Err(DecodeError::Unsupported(_))), "{kind}");
    }
    assert!(supported(&types("(type $l (list string))", &["$l"])[0]).is_ok());
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let one = types("", &["u8"]);
    assert!(matches!(encode(&[], &one), Err(EncodeError::Count { values: 0, types: 1 })));
    assert!(matches!(encode(&[Val::U16(1)], &one), Err(EncodeError::Mismatch { expected: "u8" })));
    let list = types("(type $l (list u8))", &["$l"]);
    let mixed = Val::List(vec![Val::U8(1), Val::Bool(true)]);
    assert!(matches!(encode(&[mixed], &list), Err(EncodeError::Mismatch { expected: "u8" })));
    let variant = named("(variant (case \"none\") (case \"one\" u8))");
    for bad in [Val::Variant("two".to_owned(), None), Val::Variant("one".to_owned(), None)] {
        assert!(encode(&[bad], &variant).is_err());
    }
    let flags = named("(flags \"a\" \"b\")");
    assert!(matches!(
        encode(&[Val::Flags(vec!["a".to_owned(), "z".to_owned()])], &flags),
        Err(EncodeError::UnknownName(name)) if name == "z"
    ));
}

#[test]
fn bytes_that_do_not_fit_are_refused() {
    let cases: &[(&[Type], &[u8], DecodeError)] = &[
        (&types("", &["string"]), b"\x05abc", DecodeError::Truncated),
        (&types("", &["string"]), b"\x02\xff\xff", DecodeError::Invalid("a string is not UTF-8")),
        (&types("", &["u8"]), &[1, 2], DecodeError::Trailing(1)),
        (&types("", &["bool"]), &[2], DecodeError::Invalid("a bool is neither 0 nor 1")),
        (&named("(enum \"a\" \"b\")"), &[2], DecodeError::Invalid("an enum has no such case")),
        (&named("(flags \"a\" \"b\")"), &[4], DecodeError::Invalid("a bit is set that is no flag")),
        (&types("", &["char"]), &[0xed, 0xa0, 0x80], DecodeError::Invalid("a character is not UTF-8")),
        (&types("", &[]), &[], DecodeError::Trailing(0)),
    ];
    for (types, bytes, error) in cases {
        match decode(bytes, types) {
            Ok(values) => assert!(values.is_empty() && *error == DecodeError::Trailing(0), "{values:?}"),
            Err(found) => assert_eq!(found, *error),
        }
    }
}

#[test]
fn a_count_is_not_trusted_before_its_bytes_are_there() {
    // Four thousand million elements in five bytes.
    let lists = types("(type $t (tuple u64 u64)) (type $l (list $t))", &["$l"]);
    assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0x0f], &lists), Err(DecodeError::Truncated));
    // Bytes that are there, but would take gigabytes as values.
    let bytes = types("(type $l (list u8))", &["$l"]);
    let mut wire = vec![0x80, 0x80, 0x80, 0x10];
    wire.resize(wire.len() + (32 << 20), 0);
    assert_eq!(decode(&wire, &bytes), Err(DecodeError::TooLarge));
}

#[test]
fn every_cut_of_a_value_is_truncated() {
    let types = every_type();
    let wire = encode(&sample(), &types).unwrap();
    for cut in 0..wire.len() {
        assert_eq!(decode(&wire[..cut], &types), Err(DecodeError::Truncated), "{cut}");
    }
}

/// A parameter list with every kind of type in it, nested.
fn every_type() -> Vec<Type> {
    types(
        r#"
        (type $c' (variant (case "none") (case "text" string) (case "number" s32)))
        (import "c" (type $c (eq $c')))
        (type $e' (enum "a" "b" "c"))
        (import "e" (type $e (eq $e')))
        (type $g' (flags "x" "y" "z"))
        (import "g" (type $g (eq $g')))
        (type $lc (list $c))
        (type $os (option s64))
        (type $t (tuple u8 char f64))
        (type $r' (record (field "c" $lc) (field "e" $e) (field "g" $g) (field "o" $os) (field "t" $t)))
        (import "r" (type $r (eq $r')))
        (type $lr (list $r))
        (type $res (result $lr (error u16)))
        (type $lu (list u8))
        "#,
        &["$res", "$lu", "bool", "u32"],
    )
}

fn sample() -> Vec<Val> {
    let record = Val::Record(vec![
        ("c".to_owned(), Val::List(vec![Val::Variant("text".to_owned(), Some(Box::new(text("hi"))))])),
        ("e".to_owned(), Val::Enum("c".to_owned())),
        ("g".to_owned(), Val::Flags(vec!["y".to_owned()])),
        ("o".to_owned(), Val::Option(Some(Box::new(Val::S64(-1))))),
        ("t".to_owned(), Val::Tuple(vec![Val::U8(1), Val::Char('𝄞'), Val::Float64(0.5)])),
    ]);
    vec![
        Val::Result(Ok(Some(Box::new(Val::List(vec![record]))))),
        Val::List(vec![Val::U8(1); 3]),
        Val::Bool(true),
        Val::U32(1 << 20),
    ]
}

prop_compose! {
    fn case()(which in 0_u8..3, words in ".{0,8}", number: i32) -> Val {
        match which {
            0 => Val::Variant("none".to_owned(), None),
            1 => Val::Variant("text".to_owned(), Some(Box::new(text(&words)))),
            _ => Val::Variant("number".to_owned(), Some(Box::new(Val::S32(number)))),
        }
    }
}

prop_compose! {
    fn record()(
        cases in prop::collection::vec(case(), 0..5),
        name in prop::sample::select(vec!["a", "b", "c"]),
        flags in prop::sample::subsequence(vec!["x", "y", "z"], 0..=3),
        option: Option<i64>,
        byte: u8,
        letter: char,
        float in -1e300..1e300_f64,
    ) -> Val {
        Val::Record(vec![
            ("c".to_owned(), Val::List(cases)),
            ("e".to_owned(), Val::Enum(name.to_owned())),
            ("g".to_owned(), Val::Flags(flags.into_iter().map(str::to_owned).collect())),
            ("o".to_owned(), Val::Option(option.map(|value| Box::new(Val::S64(value))))),
            ("t".to_owned(), Val::Tuple(vec![Val::U8(byte), Val::Char(letter), Val::Float64(float)])),
        ])
    }
}

prop_compose! {
    fn values()(
        records in prop::collection::vec(record(), 0..5),
        error: u16,
        fails: bool,
        bytes: Vec<u8>,
        bit: bool,
        number: u32,
    ) -> Vec<Val> {
        let result = if fails { Err(Some(Box::new(Val::U16(error)))) } else { Ok(Some(Box::new(Val::List(records)))) };
        vec![
            Val::Result(result),
            Val::List(bytes.into_iter().map(Val::U8).collect()),
            Val::Bool(bit),
            Val::U32(number),
        ]
    }
}

#[test]
fn values_are_read_back_and_no_bytes_panic() {
    let types = every_type();
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(
            &(values(), any::<Vec<u8>>(), any::<prop::sample::Index>(), any::<u8>()),
            |(values, noise, at, flip)| {
                let wire = encode(&values, &types).unwrap();
                prop_assert_eq!(decode(&wire, &types).unwrap(), values);
                let _ = decode(&noise, &types);
                let mut bent = wire.to_vec();
                let place = at.index(bent.len());
                bent[place] ^= flip;
                let _ = decode(&bent, &types);
                Ok(())
            },
        )
        .unwrap();
}
