//! A manifest as JSON in the form that 1.x keeps and tells: old spellings become the new ones, and what is text there is
//! text here.
//!
//! The shape is not judged: whoever asks has loaded the manifest before.

use serde_json::{Map, Value};

use crate::diagnostic::Diagnostic;
use crate::{document, report};

/// The manifest as JSON.
///
/// # Errors
/// When the bytes are no document.
pub fn of(bytes: &[u8]) -> Result<Value, Vec<Diagnostic>> {
    let tree = document::parse(bytes).map_err(report::finish)?;
    let mut manifest = tree.to_json(tree.root());
    for field in ["labels", "annotations"] {
        manifest.pointer_mut(&format!("/metadata/{field}")).map(texts);
    }
    for policy in items(manifest.pointer_mut("/spec/policies")) {
        policy.pointer_mut("/properties").map(texts);
    }
    for component in items(manifest.pointer_mut("/spec/components")) {
        modernise_component(component);
    }
    Ok(manifest)
}

/// The manifest as JSON with this `version`, whatever it had.
///
/// # Errors
/// When the bytes are no document.
pub fn named(bytes: &[u8], version: &str) -> Result<Value, Vec<Diagnostic>> {
    let mut manifest = of(bytes)?;
    if let Some(Value::Object(metadata)) = manifest.get_mut("metadata") {
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        if !annotations.is_object() {
            *annotations = Value::Object(Map::new());
        }
        if let Value::Object(annotations) = annotations {
            annotations.insert("version".to_owned(), version.into());
        }
    }
    Ok(manifest)
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

fn modernise_component(component: &mut Value) {
    match component.get("type").and_then(Value::as_str) {
        Some("actor") => set(component, "type", "component".into()),
        Some("provider") => set(component, "type", "capability".into()),
        _ => {}
    }
    configs(component.pointer_mut("/properties/config"));
    for trait_ in items(component.get_mut("traits")) {
        let kind = trait_.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(properties) = trait_.get_mut("properties") else { continue };
        match kind.as_str() {
            "spreadscaler" | "daemonscaler" => modernise_scaler(properties),
            "link" => modernise_link(properties),
            _ => {}
        }
    }
}

fn modernise_scaler(properties: &mut Value) {
    let map = properties.as_object_mut();
    if let Some((map, replicas)) = map.and_then(|map| map.remove("replicas").map(|old| (map, old))) {
        map.entry("instances").or_insert(replicas);
    }
    for spread in items(properties.get_mut("spread")) {
        // Readers of 1.x want the field.
        if let Some(spread) = spread.as_object_mut() {
            texts(spread.entry("requirements").or_insert_with(|| Value::Object(Map::new())));
        }
    }
}

fn modernise_link(properties: &mut Value) {
    let Some(link) = properties.as_object_mut() else { return };
    let (source, target) = (link.remove("source_config"), link.remove("target_config"));
    if let Some(name) = link.get("target").and_then(Value::as_str) {
        let mut end = Map::from_iter([("name".to_owned(), Value::from(name))]);
        end.extend(target.map(|config| ("config".to_owned(), config)));
        link.insert("target".to_owned(), Value::Object(end));
    }
    if let (false, Some(config)) = (link.contains_key("source"), source) {
        let end = Map::from_iter([("config".to_owned(), config)]);
        link.insert("source".to_owned(), Value::Object(end));
    }
    for end in ["source", "target"] {
        configs(link.get_mut(end).and_then(|end| end.get_mut("config")));
    }
}

fn configs(list: Option<&mut Value>) {
    for config in items(list) {
        config.get_mut("properties").map(texts);
    }
}

/// Numbers and booleans that stand where a text belongs.
fn texts(pairs: &mut Value) {
    for value in pairs.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if value.is_number() || value.is_boolean() {
            *value = value.to_string().into();
        }
    }
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn old_spellings_become_the_new_ones() {
        let old = b"metadata: {name: a}
spec:
  components:
    - name: c
      type: actor
      properties: {image: x, config: [{name: n, properties: {port: 80, on: true}}]}
      traits:
        - type: spreadscaler
          properties: {replicas: 3, spread: [{name: s}]}
        - type: link
          properties:
            target: kv
            target_config: [{name: t}]
            source_config: [{name: s, properties: {a: b}}]
        - type: other
          properties: {replicas: 3}
";
        let new = json!({
            "metadata": {"name": "a", "annotations": {"version": "v1"}},
            "spec": {"components": [{
                "name": "c",
                "type": "component",
                "properties": {
                    "image": "x",
                    "config": [{"name": "n", "properties": {"port": "80", "on": "true"}}],
                },
                "traits": [
                    {"type": "spreadscaler",
                     "properties": {"instances": 3, "spread": [{"name": "s", "requirements": {}}]}},
                    {"type": "link", "properties": {
                        "target": {"name": "kv", "config": [{"name": "t"}]},
                        "source": {"config": [{"name": "s", "properties": {"a": "b"}}]},
                    }},
                    {"type": "other", "properties": {"replicas": 3}},
                ],
            }]},
        });
        assert_eq!(named(old, "v1").unwrap(), new);
        assert_eq!(named(new.to_string().as_bytes(), "v1").unwrap(), new, "and what is new stays as it is");
        assert!(of(b"[").is_err());
    }
}
