//! Durations, sizes and shares as people write them in manifests.
//!
//! A number without a unit is refused: nobody agrees on what it means. Bounds are the business of the field.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::manifest::Share;
use crate::problem::Problem;

/// How a duration is written, for messages.
pub(crate) const DURATION_RULE: &str =
    "a duration is whole numbers with units `h`, `m`, `s` or `ms`, such as `30s` or `2m30s`";
/// How a size is written, for messages.
const SIZE_RULE: &str = "a size is a whole number with the unit `Ki`, `Mi` or `Gi`, such as `64Mi`";
/// How a share is written, for messages.
pub(crate) const SHARE_RULE: &str =
    "a share is a whole number such as `2`, or a percentage from `0%` to `100%`";

/// Units of time from the longest to the shortest, in milliseconds.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 3] = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];

/// A duration such as `2m30s`; each unit at most once, longest first.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = TIME_UNITS.iter();
    let mut total = 0u64;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*millis)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// The duration of `what`, within the bounds of it.
pub(crate) fn duration_within(
    text: &str,
    what: &str,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, Problem> {
    let duration = duration(text).ok_or_else(|| Problem::unit(what, text, DURATION_RULE))?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let [low, high] = [*range.start(), *range.end()].map(show_duration);
    Err(Problem::range(what, text, &low, &high))
}

/// The size of `what` in bytes, within the bounds of it.
pub(crate) fn size_within(text: &str, what: &str, range: &RangeInclusive<u64>) -> Result<u64, Problem> {
    let rule =
        || size_meant(text).map_or_else(|| SIZE_RULE.to_owned(), |meant| format!("did you mean `{meant}`?"));
    let size = size(text).ok_or_else(|| Problem::unit(what, text, rule()))?;
    if range.contains(&size) {
        return Ok(size);
    }
    let [low, high] = [*range.start(), *range.end()].map(show_size);
    Err(Problem::range(what, text, &low, &high))
}

/// A size in bytes such as `64Mi`.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*bytes)
}

/// The size that was probably meant by one with another unit, such as `64MB`.
fn size_meant(text: &str) -> Option<String> {
    let (number, unit) = leading_number(text)?;
    let unit = unit.trim().to_ascii_lowercase();
    let (name, _) = SIZE_UNITS.iter().find(|(name, _)| {
        let first = name.get(..1).unwrap_or_default().to_ascii_lowercase();
        [first.clone(), format!("{first}b"), format!("{first}i"), format!("{first}ib")].contains(&unit)
    })?;
    Some(format!("{number}{name}"))
}

/// A share such as `25%` or `2`.
pub(crate) fn share(text: &str) -> Option<Share> {
    let (number, unit) = leading_number(text)?;
    match unit {
        "" => u32::try_from(number).ok().map(Share::Count),
        "%" => u8::try_from(number).ok().filter(|percent| *percent <= 100).map(Share::Percent),
        _ => None,
    }
}

/// A number such as `1.5`, in units of its `places`th digit after the point, of which it has no more: 1,500 for 3.
pub(crate) fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > places {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// A duration as one would write it in a manifest.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut shown = String::new();
    for (unit, millis) in TIME_UNITS {
        if left >= millis {
            shown.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

/// A size as one would write it in a manifest, in the largest unit that divides it.
fn show_size(bytes: u64) -> String {
    let fitting = SIZE_UNITS.iter().rev().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{bytes} bytes"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xm26_durations_have_units() {
        for (text, millis) in [
            ("30s", 30_000),
            ("2m30s", 150_000),
            ("10ms", 10),
            ("1h", 3_600_000),
            ("0s", 0),
            ("1h5ms", 3_600_005),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in
            ["", "30", "-5s", "1y", "1.5s", "s", "30 s", "30s2m", "1s1s", "18446744073709551615h", "1s2"]
        {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(show_duration(Duration::from_millis(150_001)), "2m30s1ms");
        assert_eq!(show_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn xm34_sizes_have_binary_units() {
        assert_eq!(size("64Mi"), Some(64 << 20));
        for bad in ["", "64", "-1Mi", "64mb", "1EB", "64MiB", "0.5Gi", "Mi", "18446744073709551615Gi"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(size_meant("256mb").as_deref(), Some("256Mi"));
        assert_eq!(size_meant("1KB").as_deref(), Some("1Ki"));
        assert_eq!(size_meant("1EB"), None);
        assert_eq!(show_size(1 << 30), "1Gi");
        assert_eq!(show_size(1), "1 bytes");
    }

    #[test]
    fn decimals_have_a_bounded_number_of_digits() {
        for (text, thousandths) in [("1.5", 1_500), ("0.001", 1), ("12", 12_000), ("0", 0), ("007.25", 7_250)]
        {
            assert_eq!(decimal(text, 3), Some(thousandths), "{text}");
        }
        for bad in ["", ".", "1.", ".5", "1.2345", "1.2.3", "-1", "+1", "1e3", "1,5", "99999999999999999999"]
        {
            assert_eq!(decimal(bad, 3), None, "{bad}");
        }
    }

    #[test]
    fn xm25_shares_are_counts_or_whole_percents() {
        assert_eq!(share("25%"), Some(Share::Percent(25)));
        assert_eq!(share("2"), Some(Share::Count(2)));
        for bad in ["", "150%", "-1", "25.5%", "25 %", "%", "4294967296"] {
            assert_eq!(share(bad), None, "{bad}");
        }
    }
}
