//! Labels of hosts and what a spread requires of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a host says of itself, such as `zone=a`. Keys and values are opaque texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

/// Why labels cannot be those of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// More than [`Labels::MOST`].
    #[error("{count} labels; a host has {} at most", Labels::MOST)]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A key without a character.
    #[error("a label has no key")]
    NoKey,
    /// A key or value over [`Labels::MAX_TEXT`].
    #[error("label `{key}`: key and value may have {} bytes at most", Labels::MAX_TEXT)]
    TooLong {
        /// The beginning of the key.
        key: String,
    },
    /// A key or value that cannot be written down for people, or not as `KEY=VALUE`.
    #[error("label `{key}`: a key has no `=`, and neither key nor value has control characters")]
    Unreadable {
        /// The key, made readable.
        key: String,
    },
}

impl Labels {
    /// Most labels of a host.
    pub const MOST: usize = 64;
    /// Most bytes of a key, and of a value.
    pub const MAX_TEXT: usize = 253;
    /// Beginning of the keys by which a host says what it is, as in 1.x. Nobody else sets them.
    pub const BUILTIN: &'static str = "hostcore.";
    /// A requirement that just one host meets: the one with this id. Hosts do not list it among their labels.
    pub const HOST_ID: &'static str = "hostcore.id";

    /// Checks that a host may have these labels.
    ///
    /// # Errors
    /// With the first one that cannot be, or their number.
    pub fn check(&self) -> Result<(), LabelError> {
        if self.0.len() > Self::MOST {
            return Err(LabelError::TooMany { count: self.0.len() });
        }
        self.0.iter().try_for_each(|(key, value)| Self::check_one(key, value))
    }

    /// Checks one label.
    ///
    /// # Errors
    /// When its key or value cannot be that of a label.
    pub fn check_one(key: &str, value: &str) -> Result<(), LabelError> {
        let readable = || key.escape_debug().take(Self::MAX_TEXT).collect();
        let unreadable = |text: &str| text.chars().any(char::is_control);
        if key.is_empty() {
            Err(LabelError::NoKey)
        } else if key.len().max(value.len()) > Self::MAX_TEXT {
            Err(LabelError::TooLong { key: readable() })
        } else if key.contains('=') || unreadable(key) || unreadable(value) {
            Err(LabelError::Unreadable { key: readable() })
        } else {
            Ok(())
        }
    }
}

/// Labels that a host must have, each with exactly this value. Empty means any host will do.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Requirements(pub BTreeMap<String, String>);

impl Requirements {
    /// The first requirement that `labels` does not meet, if any: key and wanted value.
    #[must_use]
    pub fn unmet<'a>(&'a self, labels: &Labels) -> Option<(&'a str, &'a str)> {
        let unmet = self.0.iter().find(|(key, value)| labels.0.get(*key) != Some(*value));
        unmet.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether `labels` meets every requirement.
    #[must_use]
    pub fn met_by(&self, labels: &Labels) -> bool {
        self.unmet(labels).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_few_short_and_readable() {
        let longest = "x".repeat(Labels::MAX_TEXT);
        Labels::check_one(&longest, &longest).unwrap();
        Labels::check_one("zone", "").unwrap();
        let too_long = format!("{longest}x");
        assert_eq!(Labels::check_one("", "a"), Err(LabelError::NoKey));
        assert!(matches!(Labels::check_one("zone", &too_long), Err(LabelError::TooLong { .. })));
        for (key, value) in [("a=b", "c"), ("a\n", "c"), ("a", "\u{1b}[2J")] {
            let refused = Labels::check_one(key, value).unwrap_err();
            assert!(matches!(refused, LabelError::Unreadable { .. }), "{key:?} {value:?}");
            assert!(!refused.to_string().contains(char::is_control), "{refused}");
        }
        let many = |count: usize| Labels((0..count).map(|n| (n.to_string(), String::new())).collect());
        many(Labels::MOST).check().unwrap();
        assert_eq!(many(Labels::MOST + 1).check(), Err(LabelError::TooMany { count: 65 }));
    }

    #[test]
    fn a_requirement_compares_values_exactly() {
        let labels = Labels(BTreeMap::from([("zone".into(), "a".into())]));
        let wants = |key: &str, value: &str| Requirements(BTreeMap::from([(key.into(), value.into())]));
        assert!(Requirements::default().met_by(&labels));
        assert!(wants("zone", "a").met_by(&labels));
        assert_eq!(wants("zone", "A").unmet(&labels), Some(("zone", "A")));
        assert!(!wants("region", "a").met_by(&labels));
    }
}
