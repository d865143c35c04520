//! What lists of config names stand for: pairs for a manifest, and, under names that begin with `SECRET`, references to
//! secrets, as `wash` and wadm keep them among the configs.

use std::collections::{BTreeMap, BTreeSet};

use lath_manifests::manifest::Policy;
use lath_wasmcloud::Texts;
use serde_json::{Value, json};

/// What the name of a reference to a secret begins with.
const SECRET: &str = "SECRET";
/// Type of a stored reference.
const REFERENCE: &str = "secret.wasmcloud.dev/v1alpha1";

/// Whether a config of this name is a reference to a secret.
pub(in crate::control_v1) fn is_secret(name: &str) -> bool {
    name.starts_with(SECRET)
}

/// Configs by their values. A manifest names each but once, so those that are used again get a number.
pub(super) struct Named<'a> {
    pub(super) values: &'a BTreeMap<String, Texts>,
    used: BTreeSet<String>,
    /// Policies of the secrets, in the order in which they came.
    policies: Vec<Value>,
}

/// What a list of names has become.
pub(super) struct Taken {
    pub(super) config: Vec<Value>,
    pub(super) secrets: Vec<Value>,
}

impl<'a> Named<'a> {
    pub(super) const fn new(values: &'a BTreeMap<String, Texts>) -> Self {
        Self { values, used: BTreeSet::new(), policies: Vec::new() }
    }

    pub(super) fn take(&mut self, names: &[String]) -> Taken {
        let (secrets, config): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| is_secret(name));
        let config = config.into_iter().map(|name| {
            let values = self.values.get(name).cloned().unwrap_or_default();
            json!({ "name": self.unique(name), "properties": values })
        });
        let config = config.collect();
        Taken { config, secrets: secrets.into_iter().map(|name| self.secret(name)).collect() }
    }

    /// The policies that the secrets need.
    pub(super) fn policies(self) -> Vec<Value> {
        self.policies
    }

    fn unique(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        let mut number = 2_u32;
        while !self.used.insert(unique.clone()) {
            unique = format!("{name}.{number}");
            number += 1;
        }
        unique
    }

    fn secret(&mut self, name: &str) -> Value {
        // A reference that is none has been refused before.
        let stored = self.values.get(name).and_then(|values| Reference::read(name, values).ok());
        let Reference { name, key, field, version, policy } = stored.unwrap_or_default();
        let known = self.policies.iter().find(|known| known["properties"] == policy);
        let policy = known.map(|known| known["name"].clone()).unwrap_or_else(|| {
            let name = format!("secrets-{}", self.policies.len() + 1);
            self.policies.push(json!({ "name": name, "type": Policy::SECRET, "properties": policy }));
            Value::String(name)
        });
        let mut properties = json!({ "policy": policy, "key": key });
        for (what, value) in [("field", field), ("version", version)] {
            if let (Some(value), Some(properties)) = (value, properties.as_object_mut()) {
                properties.insert(what.to_owned(), Value::String(value));
            }
        }
        json!({ "name": name, "properties": properties })
    }
}

/// A reference to a secret, read from its pairs.
#[derive(Debug, Default, PartialEq)]
pub(in crate::control_v1) struct Reference {
    name: String,
    key: String,
    field: Option<String>,
    version: Option<String>,
    /// Properties of the policy, the backend among them.
    policy: Value,
}

impl Reference {
    /// # Errors
    /// Says what of it is missing.
    pub(in crate::control_v1) fn read(stored_as: &str, values: &Texts) -> Result<Self, String> {
        let part = |part: &str| values.get(part).filter(|text| !text.is_empty()).cloned();
        let needed =
            |what: &str| part(what).ok_or_else(|| format!("Secret reference {stored_as} has no `{what}`"));
        if let Some(other) = part("type").filter(|kind| kind != REFERENCE) {
            return Err(format!("Secret reference {stored_as} is of the type {other}, not {REFERENCE}"));
        }
        let mut policy = serde_json::Map::new();
        if let Some(text) = part("policy") {
            let found: Value = serde_json::from_str(&text).map_err(|error| {
                format!("the policy of secret reference {stored_as} cannot be read: {error}")
            })?;
            let properties = found.get("properties").and_then(Value::as_object);
            for (key, value) in properties.into_iter().flatten() {
                let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                policy.insert(key.clone(), Value::String(text));
            }
        }
        policy.insert("backend".to_owned(), Value::String(needed("backend")?));
        Ok(Self {
            name: needed("name")?,
            key: needed("key")?,
            field: part("field"),
            version: part("version"),
            policy: Value::Object(policy),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Texts {
        [
            ("name", "token"),
            ("type", REFERENCE),
            ("backend", "vault"),
            ("key", "kv/shop"),
            ("field", "token"),
            ("policy", r#"{"type":"properties.secret.wasmcloud.dev/v1alpha1","properties":{"role":"shop","retries":3}}"#),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn a_reference_keeps_all_that_wadm_wrote() {
        let values = BTreeMap::from([
            ("SECRET_shop-token".to_owned(), stored()),
            ("plain".to_owned(), Texts::from([("a".into(), "b".into())])),
        ]);
        let mut named = Named::new(&values);
        let names = ["SECRET_shop-token", "plain", "plain"].map(str::to_owned);
        let taken = named.take(&names);
        assert_eq!(taken.config.len(), 2);
        assert_eq!(taken.config[1]["name"], "plain.2");
        assert_eq!(taken.secrets.len(), 1);
        assert_eq!(taken.secrets[0]["name"], "token");
        assert_eq!(
            taken.secrets[0]["properties"],
            json!({ "policy": "secrets-1", "key": "kv/shop", "field": "token" })
        );
        // The same policy again is the same one.
        named.take(&names);
        let policies = named.policies();
        assert_eq!(policies.len(), 1);
        assert_eq!(policies[0]["properties"], json!({ "backend": "vault", "role": "shop", "retries": "3" }));
    }

    #[test]
    fn what_is_missing_is_named() {
        for part in ["name", "backend", "key"] {
            let mut values = stored();
            values.remove(part);
            let why = Reference::read("SECRET_x", &values).unwrap_err();
            assert!(why.contains("SECRET_x") && why.contains(part), "{why}");
        }
        let mut values = stored();
        values.insert("policy".into(), "{".into());
        assert!(Reference::read("SECRET_x", &values).unwrap_err().contains("cannot be read"));
        values.insert("type".into(), "other".into());
        assert!(Reference::read("SECRET_x", &values).unwrap_err().contains("of the type other"));
    }
}
