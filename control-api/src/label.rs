//! Labels of hosts and what a spread requires of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a host says of itself, such as `zone=a`. Keys and values are opaque texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

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
    fn a_requirement_compares_values_exactly() {
        let labels = Labels(BTreeMap::from([("zone".into(), "a".into())]));
        let wants = |key: &str, value: &str| Requirements(BTreeMap::from([(key.into(), value.into())]));
        assert!(Requirements::default().met_by(&labels));
        assert!(wants("zone", "a").met_by(&labels));
        assert_eq!(wants("zone", "A").unmet(&labels), Some(("zone", "A")));
        assert!(!wants("region", "a").met_by(&labels));
    }
}
