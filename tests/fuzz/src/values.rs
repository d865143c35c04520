//! Values of components from another host: bytes that are read as values are written back to bytes that mean the same,
//! no longer than those that came; none of the shorter ones can be read. Values that can be read whole are the same.
//!
//! The first byte of an input chooses the types, the others are the message.

use std::sync::LazyLock;

use lath_wrpc::codec::{DecodeError, decode, decode_whole, encode, encode_whole, supported};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Type};
use wasmtime::{Config, Engine};

/// Larger messages only take longer.
const MAX_MESSAGE: usize = 4 << 10;

/// Parameters of one function each: definitions of types that have to be named, and the types.
const FUNCTIONS: &[(&str, &[&str])] = &[
    ("", &["bool", "u8", "s8", "u16", "u32", "u64", "s16", "s32", "s64", "f32", "f64", "char"]),
    ("", &["string"]),
    ("", &["string", "string", "u64"]),
    ("(type $l (list u8))", &["$l"]),
    ("(type $l (list string)) (type $ll (list $l))", &["$ll", "string"]),
    ("(type $t (tuple u8 string)) (type $l (list $t)) (type $o (option $l))", &["$o"]),
    ("(type $o (option u8)) (type $oo (option $o)) (type $r (result $oo (error string)))", &["$r"]),
    ("(type $n (result)) (type $e (result (error u64))) (type $l (list $n))", &["$l", "$e"]),
    ("(type $t (record (field \"a\" u16) (field \"b\" string))) (import \"t\" (type $n (eq $t)))", &["$n", "$n"]),
    (
        "(type $v (variant (case \"none\") (case \"one\" u8) (case \"text\" string))) (import \"t\" (type $n (eq $v)))
         (type $l (list $n))",
        &["$l"],
    ),
    ("(type $e (enum \"red\" \"green\" \"blue\")) (import \"t\" (type $n (eq $e))) (type $l (list $n))", &["$l"]),
    (
        "(type $f (flags \"a\" \"b\" \"c\" \"d\" \"e\" \"f\" \"g\" \"h\" \"i\" \"j\")) (import \"t\" (type $n (eq $f)))
         (type $l (list $n))",
        &["$l"],
    ),
    ("(type $l (list u32 4)) (type $m (map string $l))", &["$m"]),
    ("(type $l (list f64)) (type $c (list char)) (type $s (list s64))", &["$l", "$c", "$s"]),
    ("(type $l (list u8)) (type $o (option $l)) (type $r (result $o (error string)))", &["string", "$r"]),
];

/// The last of the functions, whose values can be read whole too.
type Whole = (String, Result<Option<Vec<u8>>, String>);

pub(crate) fn check(bytes: &[u8]) {
    static TYPES: LazyLock<Vec<Vec<Type>>> =
        LazyLock::new(|| FUNCTIONS.iter().map(|(definitions, params)| types(definitions, params)).collect());
    let Some((choice, message)) = bytes.split_first() else { return };
    let function = usize::from(*choice) % TYPES.len();
    let types = &TYPES[function];
    if message.len() > MAX_MESSAGE {
        return;
    }
    check_message(message, types);
    if function + 1 == TYPES.len() {
        check_whole(message, types);
    }
}

/// Both ways read the same messages, refuse the others for the same reason, and write the same bytes.
fn check_whole(message: &[u8], types: &[Type]) {
    match (decode_whole::<Whole>(message), decode(message, types)) {
        (Ok(whole), Ok(values)) => {
            let written = encode_whole(&whole).expect("what was read can be written");
            assert_eq!(written, encode(&values, types).expect("what was read can be written"), "{whole:?}");
        }
        (whole, values) => assert_eq!(whole.err(), values.err(), "the two ways differ"),
    }
}

fn check_message(message: &[u8], types: &[Type]) {
    let values = match decode(message, types) {
        Ok(values) => values,
        Err(DecodeError::Unsupported(_)) => panic!("every type here has a form"),
        Err(DecodeError::Trailing(left)) => {
            assert!(left > 0 && left <= message.len());
            let used = message.len() - left;
            assert!(decode(&message[..used], types).is_ok(), "the part before the rest cannot be read alone");
            return;
        }
        Err(DecodeError::Truncated | DecodeError::Invalid(_) | DecodeError::TooLarge) => return,
    };
    let written = encode(&values, types).expect("what was read can be written");
    assert!(written.len() <= message.len(), "{} bytes became {}", message.len(), written.len());
    let again = decode(&written, types).expect("what was written can be read");
    // Compared as bytes: a number that is none does not equal itself.
    assert_eq!(encode(&again, types).expect("and written again"), written, "{values:?}");
    if let Some((_, shorter)) = message.split_last() {
        assert_eq!(decode(shorter, types), Err(DecodeError::Truncated), "a message without its end was read");
    }
}

/// The types of the parameters of a function, written as component text: definitions, then the parameters.
fn types(definitions: &str, params: &[&str]) -> Vec<Type> {
    let params: String =
        params.iter().enumerate().map(|(number, ty)| format!("(param \"p{number}\" {ty})")).collect();
    let text = format!("(component {definitions} (import \"f\" (func {params})))");
    let mut config = Config::new();
    config.wasm_component_model_fixed_length_lists(true);
    config.wasm_component_model_map(true);
    let engine = Engine::new(&config).expect("an engine");
    let binary = wat::parse_str(&text).expect("a component");
    let component = Component::new(&engine, binary).expect("a component of imports");
    let component_type = component.component_type();
    let functions = component_type.imports(&engine).filter_map(|(_, import)| match import.ty {
        ComponentItem::ComponentFunc(function) => Some(function),
        _ => None,
    });
    let types: Vec<Type> =
        functions.flat_map(|function| function.params().map(|(_, ty)| ty).collect::<Vec<_>>()).collect();
    assert!(!types.is_empty() && types.iter().all(|ty| supported(ty).is_ok()), "{text}");
    types
}
