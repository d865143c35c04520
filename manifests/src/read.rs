//! Reads values of the document as what a field takes, and says what is wrong with those that are not.
//!
//! No field of a manifest is named here: a [`Shape`] comes with its names.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::{Key, NodeId, Value, parse_integer};
use crate::report::{At, Report, Spanned, shown};
use crate::suggest::closest;
use crate::units;

/// The fields of one kind of mapping.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What people call it, such as `a link`.
    pub(crate) what: &'static str,
    /// Its definition in the JSON Schema, for the test that compares the two.
    #[cfg(test)]
    pub(crate) schema: &'static str,
    /// Every field that it may have.
    pub(crate) fields: &'static [&'static str],
    /// What 1.x did with a field that is not among them.
    pub(crate) unknown: Unknown,
}

/// What becomes of a field that is not known. A near miss of a known one is refused in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// An error.
    Refuse,
    /// A warning.
    Ignore,
}

/// A mapping whose fields have been looked through.
#[derive(Debug, Clone)]
pub(crate) struct Object<'t> {
    /// Where to point when something is missing: its first key, or the whole when it is empty.
    pub(crate) at: At,
    shape: &'static Shape,
    entries: &'t [(Key, NodeId)],
    /// Fields that are there under a name with a slip in it, which is reported already.
    misspelt: Vec<&'static str>,
}

/// One pair of a mapping of text to text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'t> {
    pub(crate) key: Spanned<&'t str>,
    pub(crate) value: Spanned<&'t str>,
}

impl<'t> Object<'t> {
    /// The value of a field; `None` when it is not there or empty.
    pub(crate) fn get(&self, report: &Report<'t>, name: &str) -> Option<NodeId> {
        let (_, id) = self.entries.iter().find(|(key, _)| &*key.text == name)?;
        (*report.tree.value(*id) != Value::Null).then_some(*id)
    }

    /// The value of a field and its key; `None` when it is not there or empty.
    pub(crate) fn get_with_key(&self, report: &Report<'t>, name: &str) -> Option<(NodeId, At)> {
        self.get(report, name).zip(self.key(name))
    }

    /// The key of a field, to point at.
    pub(crate) fn key(&self, name: &str) -> Option<At> {
        let (key, id) = self.entries.iter().find(|(key, _)| &*key.text == name)?;
        Some(At { span: key.span, node: *id })
    }

    /// The value of a field that must be there.
    pub(crate) fn required(&self, report: &mut Report<'t>, name: &str) -> Option<NodeId> {
        let value = self.get(report, name);
        if value.is_none() && !self.misspelt.contains(&name) {
            let what = self.shape.what;
            let (at, message) = match self.key(name) {
                Some(key) => (key, format!("`{name}` of {what} has no value")),
                None => (self.at, format!("{what} needs the field `{name}`")),
            };
            report.add(
                at,
                "",
                Diagnostic::error(code::MISSING_FIELD, message).help(format!("add `{name}: …`")),
            );
        }
        value
    }
}

impl<'t> Report<'t> {
    /// A value as a mapping of known fields.
    pub(crate) fn object(&mut self, id: NodeId, shape: &'static Shape) -> Option<Object<'t>> {
        let Value::Map(entries) = self.tree.value(id) else {
            self.wrong_type(id, &format!("{} is a mapping", shape.what));
            return None;
        };
        let mut misspelt = Vec::new();
        for (key, value) in entries {
            if !shape.fields.contains(&&*key.text) {
                misspelt.extend(self.unknown_field(key, *value, shape));
            }
        }
        let span = entries.first().map_or_else(|| self.tree.span(id), |(key, _)| key.span);
        Some(Object { at: At { span, node: id }, shape, entries, misspelt })
    }

    /// The field that was meant, if one is near.
    fn unknown_field(&mut self, key: &Key, value: NodeId, shape: &'static Shape) -> Option<&'static str> {
        let near = closest(&key.text, shape.fields.iter().copied());
        let name = shown(&key.text);
        let at = At { span: key.span, node: value };
        let what = shape.what;
        if near.is_none() && shape.unknown == Unknown::Ignore {
            let message = format!("the field `{name}` has no meaning in {what} and is ignored");
            self.add(at, "", Diagnostic::warning(code::IGNORED_FIELD, message).help("remove it"));
            return None;
        }
        let message = format!("the field `{name}` is not known in {what}");
        let help = near.map_or_else(
            || format!("{what} may have {}", listed(shape.fields)),
            |near| format!("did you mean `{near}`?"),
        );
        self.add(at, "", Diagnostic::error(code::UNKNOWN_FIELD, message).help(help));
        near
    }

    /// A value as a list.
    pub(crate) fn list(&mut self, id: NodeId, what: &str) -> &'t [NodeId] {
        if let Value::List(items) = self.tree.value(id) {
            return items;
        }
        self.wrong_type(id, &format!("{what} are a list"));
        &[]
    }

    /// A value as text.
    pub(crate) fn text(&mut self, id: NodeId) -> Option<Spanned<&'t str>> {
        let at = self.at(id);
        let (found, raw) = match self.tree.value(id) {
            Value::Text(text) => return Some(Spanned { value: text, at }),
            Value::Number(raw) => ("a number", raw.to_string()),
            Value::Bool(value) => ("a truth value", value.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.wrong_type(id, &format!("{} must be text", self.name(id)));
                return None;
            }
        };
        let message = format!("{} is {found}, and must be text", self.name(id));
        let diagnostic = Diagnostic::error(code::UNQUOTED, message)
            .help(format!("put it in quotes: `\"{}\"`", shown(&raw)));
        self.add(at, "", diagnostic);
        None
    }

    /// What a message calls a value: the key that it stands under.
    fn name(&self, id: NodeId) -> String {
        // A pointer costs a walk through the siblings of every level.
        let pointer = if self.full() { String::new() } else { self.tree.pointer(id) };
        match pointer.rsplit('/').next() {
            Some(step) if !step.is_empty() && step.parse::<usize>().is_err() => {
                format!("`{}`", shown(&step.replace("~1", "/").replace("~0", "~")))
            }
            _ => "this".to_owned(),
        }
    }

    /// A value as a number with a unit, as written: text, or a bare number that the unit's reader will refuse.
    pub(crate) fn quantity(&mut self, id: NodeId) -> Option<Spanned<&'t str>> {
        match self.tree.value(id) {
            Value::Number(raw) => Some(Spanned { value: raw, at: self.at(id) }),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => self.text(id),
        }
    }

    /// A value as a whole number within bounds.
    pub(crate) fn whole(&mut self, id: NodeId, what: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let (low, high) = (*range.start(), *range.end());
        let Value::Number(raw) = self.tree.value(id) else {
            self.wrong_type(id, &format!("{what} is a whole number from {low} to {high}, without quotes"));
            return None;
        };
        let Some(number) = whole_of(raw) else {
            let message =
                format!("{what} is a whole number from {low} to {high}, and this is {}", shown(raw));
            let at = self.at(id);
            let help = "write it with digits only, without fraction and exponent";
            self.add(at, "", Diagnostic::error(code::WRONG_TYPE, message).help(help));
            return None;
        };
        let fitting = u32::try_from(number).ok().filter(|number| range.contains(number));
        if fitting.is_none() {
            let message = format!("{what} is {}, and must be from {low} to {high}", shown(raw));
            let at = self.at(id);
            let help = if number < i128::from(low) { low } else { high };
            let help = format!("the nearest value that is allowed is {help}");
            self.add(at, "", Diagnostic::error(code::OUT_OF_RANGE, message).help(help));
        }
        fitting
    }

    /// A mapping of text to text.
    pub(crate) fn pairs(&mut self, id: NodeId, what: &str) -> Vec<Pair<'t>> {
        let Value::Map(entries) = self.tree.value(id) else {
            self.wrong_type(id, &format!("{what} are a mapping of text to text"));
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (key, id) in entries {
            let at = At { span: key.span, node: *id };
            if let Some(value) = self.text(*id) {
                pairs.push(Pair { key: Spanned { value: &key.text, at }, value });
            }
        }
        pairs
    }

    /// The same where numbers and truth values stand for the text that they are written as: what other tools made of it
    /// is not ours to refuse.
    pub(crate) fn loose_pairs(&mut self, id: NodeId, what: &str) -> Vec<Pair<'t>> {
        let tree = self.tree;
        let Value::Map(entries) = tree.value(id) else { return self.pairs(id, what) };
        let mut pairs = Vec::new();
        for (key, id) in entries {
            let value: Option<&'t str> = match tree.value(*id) {
                Value::Number(text) => Some(text),
                Value::Bool(value) => Some(if *value { "true" } else { "false" }),
                Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                    self.text(*id).map(|text| text.value)
                }
            };
            let key = Spanned { value: &*key.text, at: At { span: key.span, node: *id } };
            let at = self.at(*id);
            pairs.extend(value.map(|value| Pair { key, value: Spanned { value, at } }));
        }
        pairs
    }

    /// A duration within bounds.
    pub(crate) fn duration(
        &mut self,
        text: Spanned<&str>,
        what: &str,
        range: &RangeInclusive<Duration>,
    ) -> Option<Duration> {
        units::duration_within(text.value, what, range).map_err(|found| self.problem(text.at, found)).ok()
    }

    /// A size in bytes within bounds.
    pub(crate) fn size(
        &mut self,
        text: Spanned<&str>,
        what: &str,
        range: &RangeInclusive<u64>,
    ) -> Option<u64> {
        units::size_within(text.value, what, range).map_err(|found| self.problem(text.at, found)).ok()
    }

    /// Says that a value is of another kind than the field takes.
    pub(crate) fn wrong_type(&mut self, id: NodeId, wanted: &str) {
        let found = self.tree.value(id).noun();
        let at = self.at(id);
        let diagnostic = Diagnostic::error(code::WRONG_TYPE, format!("{wanted}, and this is {found}"));
        let help = match self.tree.value(id) {
            Value::Text(text) if matches!(&**text, "yes" | "no" | "on" | "off") => {
                "YAML reads only `true` and `false` as truth values"
            }
            Value::Text(text) if text.starts_with('0') => "write the number without quotes and leading zeros",
            Value::Text(text) if parse_integer(text).is_some() => "write the number without quotes",
            Value::Null => "give it a value, or remove the field",
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                "compare it with an example, or with the JSON Schema"
            }
        };
        self.add(at, "", diagnostic.help(help));
    }
}

/// A whole number, also one beyond every bound: digits that do not fit are the largest there is.
fn whole_of(raw: &str) -> Option<i128> {
    let negative = raw.starts_with('-');
    let digits = raw.strip_prefix(['-', '+']).unwrap_or(raw);
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        let beyond = if negative { i128::MIN } else { i128::MAX };
        return Some(parse_integer(raw).unwrap_or(beyond));
    }
    parse_integer(raw)
}

/// Names for a message: `a`, `b` and `c`.
pub(crate) fn listed(names: &[&str]) -> String {
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => format!("`{last}`"),
        Some((last, rest)) => {
            let rest: Vec<String> = rest.iter().map(|name| format!("`{name}`")).collect();
            format!("{} and `{last}`", rest.join(", "))
        }
    }
}
