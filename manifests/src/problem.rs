//! What is wrong with one text, wherever it was written: in a manifest, or as an argument of a command.
//!
//! No document and no report here. Readers of single values return it; who called them knows the place of the text.

use std::ops::Range;

use crate::code;
use crate::report::shown;

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    /// What is wrong, with the name of what was read.
    pub(crate) message: String,
    /// What is allowed, or what was probably meant.
    pub(crate) help: String,
    pub(crate) place: Place,
}

/// What of a property is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its name.
    Name,
    /// Its whole text.
    Value,
    /// These bytes of its text.
    Part(Range<usize>),
}

impl Problem {
    /// A problem of a whole text.
    pub(crate) fn new(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: help.into(), place: Place::Value }
    }

    /// The same, with something else to blame.
    pub(crate) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// A text that is not a number with a unit.
    pub(crate) fn unit(what: &str, text: &str, rule: impl Into<String>) -> Self {
        Self::new(code::UNIT, format!("{what} cannot be `{}`", shown(text)), rule)
    }

    /// A number outside its bounds, which are as one would write them.
    pub(crate) fn range(what: &str, text: &str, low: &str, high: &str) -> Self {
        let message = format!("{what} is {}, and must be from {low} to {high}", shown(text));
        Self::new(code::OUT_OF_RANGE, message, format!("choose a value from {low} to {high}"))
    }
}

impl From<Problem> for Vec<Problem> {
    fn from(problem: Problem) -> Self {
        vec![problem]
    }
}
