//! Groups of hosts by a label: `label zone: a, b, c`.
//!
//! Which hosts there are is not known here; a value that no host has makes a wave of none.

use super::part::Part;
use crate::code;
use crate::label::{KEY_RULE, MAX_HOST_VALUE, is_key};
use crate::limits::MAX_WAVE_VALUES;
use crate::manifest::Waves;
use crate::problem::Problem;
use crate::report::shown;

/// How waves are written, for messages.
const RULE: &str = "write `label KEY: VALUE, VALUE`, such as `label zone: a, b`";

/// The groups of a text.
pub(super) fn read(text: &str) -> Result<Waves, Vec<Problem>> {
    let Some((label, values)) = Part::whole(text).split_once(':') else {
        return Err(vec![Problem::new(code::POLICY, format!("`waves` cannot be `{}`", shown(text)), RULE)]);
    };
    let label = read_label(label.trimmed());
    let values: Vec<Part<'_>> = values.listed().collect();
    if values.len() > MAX_WAVE_VALUES {
        let count = values.len();
        let message = format!("`waves` has {count} values, and at most {MAX_WAVE_VALUES} are allowed");
        return Err(vec![Problem::new(
            code::COUNT,
            message,
            "leave some out: hosts with none of them come last",
        )]);
    }
    let mut problems = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let repeated = values.iter().take(index).any(|other| other.text == value.text);
        problems.extend(check_value(*value, repeated));
    }
    let label = label.map_err(|problem| problems.insert(0, problem));
    match label {
        Ok(label) if problems.is_empty() => {
            Ok(Waves { label, values: values.iter().map(|value| value.text.to_owned()).collect() })
        }
        Ok(_) | Err(()) => Err(problems),
    }
}

/// The key in `label KEY`.
fn read_label(part: Part<'_>) -> Result<String, Problem> {
    let (word, key) = part.leading(|c| !c.is_whitespace());
    let key = key.trimmed();
    if word.text != "label" {
        let message = format!("`waves` cannot begin with `{}`", shown(part.text));
        return Err(Problem::new(code::POLICY, message, RULE).at(part.place()));
    }
    if is_key(key.text) {
        return Ok(key.text.to_owned());
    }
    let message = format!("`waves` cannot have the label `{}`", shown(key.text));
    let place = if key.text.is_empty() { word } else { key };
    Err(Problem::new(code::POLICY, message, format!("{KEY_RULE}; {RULE}")).at(place.place()))
}

fn check_value(value: Part<'_>, repeated: bool) -> Option<Problem> {
    let text = value.text;
    let (message, help) = if text.is_empty() {
        ("a value of `waves` is empty".to_owned(), "write the value of a label, or remove the comma")
    } else if text.len() > MAX_HOST_VALUE || text.chars().any(char::is_control) {
        let message = format!("`waves` cannot have the value `{}`", shown(text));
        (message, "a value has up to 253 bytes, without control characters")
    } else if repeated {
        (
            format!("`waves` has the value `{}` twice", shown(text)),
            "a group has one turn: leave one of them out",
        )
    } else {
        return None;
    };
    Some(Problem::new(code::POLICY, message, help).at(value.place()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_are_values_of_a_label_in_order() {
        let waves = read("label zone: b, a").unwrap();
        assert_eq!((waves.label.as_str(), waves.values), ("zone", vec!["b".to_owned(), "a".to_owned()]));
        let waves = read("  label  topology.example/zone :eu west:1,x").unwrap();
        assert_eq!(waves.label, "topology.example/zone");
        assert_eq!(waves.values, ["eu west:1", "x"]);
    }

    #[test]
    fn each_bad_part_is_named() {
        for (text, expected) in [
            ("", ["`waves` cannot be ``"].as_slice()),
            ("zone", &["`waves` cannot be `zone`"]),
            ("label zone a, b", &["`waves` cannot be `label zone a, b`"]),
            ("zone: a, b", &["`waves` cannot begin with `zone`"]),
            ("labels zone: a", &["`waves` cannot begin with `labels zone`"]),
            ("label: a", &["`waves` cannot have the label ``"]),
            ("label a b: c", &["`waves` cannot have the label `a b`"]),
            ("label -z: a", &["`waves` cannot have the label `-z`"]),
            ("label zone:", &["a value of `waves` is empty"]),
            ("label zone: a,, a", &["a value of `waves` is empty", "has the value `a` twice"]),
            ("zone: a, a", &["`waves` cannot begin with `zone`", "has the value `a` twice"]),
            ("label zone: a\u{7}", &["`waves` cannot have the value"]),
        ] {
            let found = read(text).unwrap_err();
            assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
            for (problem, expected) in found.iter().zip(expected) {
                assert!(problem.message.contains(expected), "{text}: {problem:?}");
            }
        }
    }

    #[test]
    fn the_bounds_of_values_are_exact() {
        let many = |count: usize| {
            let values: Vec<String> = (0..count).map(|value| value.to_string()).collect();
            read(&format!("label zone: {}", values.join(","))).map(|waves| waves.values.len())
        };
        for count in [1, MAX_WAVE_VALUES - 1, MAX_WAVE_VALUES] {
            assert_eq!(many(count), Ok(count));
        }
        assert_eq!(many(MAX_WAVE_VALUES + 1).unwrap_err()[0].code, code::COUNT);
        let long = |bytes: usize| read(&format!("label zone: {}", "x".repeat(bytes)));
        assert!(long(MAX_HOST_VALUE - 1).is_ok() && long(MAX_HOST_VALUE).is_ok());
        assert_eq!(long(MAX_HOST_VALUE + 1).unwrap_err().len(), 1);
    }
}
