//! One line of the table: what was measured, what else does the same work, and what was to be reached.

use std::fmt;

use serde::Serialize;

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Calls, requests or answers in a second.
    PerSecond,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Bytes, in KiB.
    KiB,
    /// Bytes, in MiB.
    MiB,
    /// MiB in a second.
    MiBPerSecond,
    /// KiB in a second.
    KiBPerSecond,
}

/// A measured value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Value {
    /// How much.
    pub amount: f64,
    /// Of what.
    pub unit: Unit,
}

impl Value {
    /// A number of calls in a second.
    #[must_use]
    pub const fn per_second(amount: f64) -> Self {
        Self { amount, unit: Unit::PerSecond }
    }

    /// A time, as microseconds.
    #[must_use]
    pub const fn us(time: std::time::Duration) -> Self {
        Self { amount: time.as_secs_f64() * 1e6, unit: Unit::Us }
    }

    /// A time, as milliseconds.
    #[must_use]
    pub const fn ms(time: std::time::Duration) -> Self {
        Self { amount: time.as_secs_f64() * 1e3, unit: Unit::Ms }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { amount, unit } = *self;
        match unit {
            Unit::PerSecond if amount >= 10_000.0 => write!(f, "{:.1} k/s", amount / 1e3),
            Unit::PerSecond => write!(f, "{} /s", three(amount)),
            Unit::Us => write!(f, "{} µs", three(amount)),
            Unit::Ms => write!(f, "{} ms", three(amount)),
            Unit::KiB => write!(f, "{} KiB", three(amount)),
            Unit::MiB => write!(f, "{} MiB", three(amount)),
            Unit::MiBPerSecond => write!(f, "{} MiB/s", three(amount)),
            Unit::KiBPerSecond => write!(f, "{} KiB/s", three(amount)),
        }
    }
}

/// Three digits that mean something.
fn three(amount: f64) -> String {
    let size = amount.abs();
    if size >= 100.0 {
        format!("{amount:.0}")
    } else if size >= 10.0 {
        format!("{amount:.1}")
    } else {
        format!("{amount:.2}")
    }
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Aim {
    /// Ours is at least so many times the other's.
    TimesAtLeast(f64),
    /// Ours is at most so many times the other's.
    TimesAtMost(f64),
    /// Ours is at most so much, in its own unit.
    AtMost(f64),
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The suite that it belongs to.
    pub suite: &'static str,
    /// What is done.
    pub work: String,
    /// How Lath does it.
    pub ours: Value,
    /// Who else does it, and how.
    pub other: Option<(String, Value)>,
    /// What is to be reached; none for a figure that only tells.
    pub aim: Option<Aim>,
}

impl Row {
    /// A line of ours alone.
    #[must_use]
    pub fn new(suite: &'static str, work: impl Into<String>, ours: Value) -> Self {
        Self { suite, work: work.into(), ours, other: None, aim: None }
    }

    /// The same beside another one's value.
    #[must_use]
    pub fn beside(mut self, other: impl Into<String>, value: Value) -> Self {
        self.other = Some((other.into(), value));
        self
    }

    /// The same with what is to be reached.
    #[must_use]
    pub const fn aim(mut self, aim: Aim) -> Self {
        self.aim = Some(aim);
        self
    }

    /// Ours divided by the other's.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let (_, other) = self.other.as_ref()?;
        (other.amount > 0.0).then(|| self.ours.amount / other.amount)
    }

    /// Whether the aim is reached; none without an aim, or without the value to judge it by.
    #[must_use]
    pub fn reached(&self) -> Option<bool> {
        match self.aim? {
            Aim::TimesAtLeast(times) => self.ratio().map(|ratio| ratio >= times),
            Aim::TimesAtMost(times) => self.ratio().map(|ratio| ratio <= times),
            Aim::AtMost(most) => Some(self.ours.amount <= most),
        }
    }

    /// The columns of the table, as text.
    #[must_use]
    pub fn columns(&self) -> [String; 7] {
        let (who, other) = self
            .other
            .as_ref()
            .map_or_else(Default::default, |(who, value)| (who.clone(), value.to_string()));
        let aim = self.aim.map_or_else(String::new, |aim| match aim {
            Aim::TimesAtLeast(times) => format!("≥ {times}x"),
            Aim::TimesAtMost(times) => format!("≤ {times}x"),
            Aim::AtMost(most) => format!("≤ {}", Value { amount: most, ..self.ours }),
        });
        let reached = match self.reached() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
        [self.work.clone(), self.ours.to_string(), who, other, ratio, aim, reached.to_owned()]
    }
}

/// The heads of [`Row::columns`].
pub const HEADS: [&str; 7] = ["work", "Lath", "alternative", "its value", "ratio", "aim", "reached"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_judged_by_what_it_is_about() {
        let row = Row::new("x", "calls", Value::per_second(50.0)).beside("raw", Value::per_second(100.0));
        assert_eq!(row.clone().aim(Aim::TimesAtLeast(0.5)).reached(), Some(true));
        assert_eq!(row.clone().aim(Aim::TimesAtLeast(0.6)).reached(), Some(false));
        assert_eq!(row.clone().aim(Aim::TimesAtMost(0.4)).reached(), Some(false));
        assert_eq!(row.aim(Aim::AtMost(50.0)).reached(), Some(true));
        let alone = Row::new("x", "calls", Value::per_second(1.0)).aim(Aim::TimesAtLeast(1.0));
        assert_eq!(alone.reached(), None);
    }
}
