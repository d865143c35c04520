//! In which order apps are deployed: one that takes a component of another app after that app.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The apps of which a manifest takes components.
pub(super) fn owners(manifest: &Value) -> BTreeSet<String> {
    let components = manifest.pointer("/spec/components").and_then(Value::as_array);
    let owner =
        |component: &Value| Some(component.pointer("/properties/application/name")?.as_str()?.to_owned());
    components.into_iter().flatten().filter_map(owner).collect()
}

/// All apps, each after those that it takes components of, as far as that goes: of a circle somebody is the first.
pub(super) fn owners_first(takes_of: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut left: BTreeMap<&String, &BTreeSet<String>> = takes_of.iter().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let waits = |owners: &BTreeSet<String>| owners.iter().any(|owner| left.contains_key(owner));
        let free = left.iter().filter(|(_, owners)| !waits(owners)).map(|(app, _)| *app);
        let mut next: Vec<&String> = free.collect();
        if next.is_empty() {
            next.extend(left.keys().take(1).copied());
        }
        for app in next {
            left.remove(app);
            order.push(app.clone());
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn owners_are_those_of_shared_components() {
        let manifest = json!({"spec": {"components": [
            {"name": "a", "properties": {"image": "x"}},
            {"name": "b", "properties": {"application": {"name": "web", "component": "http"}}},
        ]}});
        assert_eq!(owners(&manifest), BTreeSet::from(["web".to_owned()]));
        assert!(owners(&json!({"spec": 1})).is_empty());
    }

    #[test]
    fn owners_come_first_and_circles_end() {
        let order = |takes: &[(&str, &[&str])]| {
            let owners = |of: &[&str]| of.iter().map(|owner| (*owner).to_owned()).collect();
            owners_first(&takes.iter().map(|(app, of)| ((*app).to_owned(), owners(of))).collect())
        };
        assert_eq!(order(&[("a", &["web"]), ("b", &["a", "gone"]), ("web", &[])]), ["web", "a", "b"]);
        assert_eq!(order(&[("a", &["b"]), ("b", &["a"]), ("c", &["b"])]), ["a", "b", "c"]);
        assert_eq!(order(&[("a", &["a"])]), ["a"]);
    }
}
