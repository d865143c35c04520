//! What an unquoted word of YAML is: nothing, a truth value, a number or text.
//!
//! The core schema of YAML 1.2, as the 1.x manager read it: `yes` and `on` are text, and so is a number with
//! leading zeros, because people write those for codes and not for counts.

use super::Value;

/// The value of a plain scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.into()),
        _ => Value::Text(text.into()),
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    is_decimal(unsigned)
        || based(unsigned, "0x", 16)
        || based(unsigned, "0o", 8)
        || based(unsigned, "0b", 2)
        || matches!(unsigned, ".inf" | ".Inf" | ".INF")
        || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn based(text: &str, prefix: &str, radix: u32) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
}

/// Digits, a fraction, an exponent; `01` is not one, `0.1` and `01.5` are.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let leading_zero = text == whole && whole.len() > 1 && whole.starts_with('0');
    let any_digit = !whole.is_empty() || !fraction.is_empty();
    any_digit && !leading_zero && digits(whole) && digits(fraction) && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xm09_words_are_told_from_numbers() {
        for number in [
            "0",
            "-1",
            "+7",
            "1.10",
            "1e3",
            ".5",
            "5.",
            "0x1F",
            "0o17",
            "1000000000000",
            ".inf",
            "-.inf",
            ".nan",
        ] {
            assert!(matches!(resolve(number), Value::Number(_)), "{number}");
        }
        for text in
            ["0777", "1.2.3", "yes", "on", "1e", "-", ".", "0x", "1_000", "v1", "e3", "--1", "64Mi", "30s"]
        {
            assert!(matches!(resolve(text), Value::Text(_)), "{text}");
        }
        assert!(matches!(resolve("~"), Value::Null));
        assert!(matches!(resolve("True"), Value::Bool(true)));
    }
}
