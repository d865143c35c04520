use super::*;

const OLD: &str = r#"# The shop.
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: shop
  annotations: {}
spec:
  components:
    - name: api # what answers
      type: actor
      properties:
        image: ghcr.io/shop/api:1.0.0
      traits:
        - type: spreadscaler
          properties:
            replicas: 3 # enough
        - type: link
          properties:
            # where it keeps things
            target: kv
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target_config:
              - name: bucket
                properties:
                  bucket: shop

            # what it says of itself
            source_config:
            - name: own
              properties: { a: b }
    - name: kv
      type: provider
      properties:
        image: builtin://keyvalue-nats
    - name: http
      type: capability
      properties:
        image: builtin://http-server
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: "api"
            source_config: [{ name: listen, properties: { address: "127.0.0.1:8000" } }]
"#;

const NEW: &str = r#"# The shop.
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: shop
  annotations: {}
spec:
  components:
    - name: api # what answers
      type: component
      properties:
        image: ghcr.io/shop/api:1.0.0
      traits:
        - type: spreadscaler
          properties:
            instances: 3 # enough
        - type: link
          properties:
            # where it keeps things
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target:
              name: kv
              config:
                - name: bucket
                  properties:
                    bucket: shop

            # what it says of itself
            source:
              config:
              - name: own
                properties: { a: b }
    - name: kv
      type: capability
      properties:
        image: builtin://keyvalue-nats
    - name: http
      type: capability
      properties:
        image: builtin://http-server
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: { name: "api" }
            source:
              config: [{ name: listen, properties: { address: "127.0.0.1:8000" } }]
"#;

#[test]
fn old_forms_are_rewritten_in_the_text_and_nothing_else_is_touched() {
    let migrated = migrate(OLD.as_bytes()).unwrap();
    assert_eq!(migrated.text.unwrap(), NEW);
    assert_eq!(migrated.changes.len(), 8, "{:#?}", migrated.changes);
    let again = migrate(NEW.as_bytes()).unwrap();
    assert_eq!((again.text.as_deref(), again.changes.len()), (Some(NEW), 0));
    // Both are the same manifest, which is the one promise.
    assert_eq!(json::of(OLD.as_bytes()).unwrap(), json::of(NEW.as_bytes()).unwrap());
}

#[test]
fn what_cannot_be_rewritten_in_place_is_told_as_data() {
    let json = serde_json::to_string(&serde_json::json!({
        "apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "metadata": {"name": "a", "annotations": {}},
        "spec": {"components": [
            {"name": "c", "type": "actor", "properties": {"image": "ghcr.io/a/c:1"}, "traits": [
                {"type": "spreadscaler", "properties": {"instances": 1}},
                {"type": "link", "properties": {"namespace": "wasi", "package": "keyvalue",
                 "interfaces": ["store"], "target": "kv", "target_config": [{"name": "x", "properties": {"k": "v"}}]}},
            ]},
            {"name": "kv", "type": "capability", "properties": {"image": "builtin://keyvalue-nats"}},
        ]},
    }))
    .unwrap();
    let migrated = migrate(json.as_bytes()).unwrap();
    assert_eq!(migrated.text, None);
    let text = migrated.value.to_string();
    assert!(migrate(text.as_bytes()).unwrap().changes.is_empty());
    let simple = json.replace(",\"target_config\":[{\"name\":\"x\",\"properties\":{\"k\":\"v\"}}]", "");
    assert!(simple.len() < json.len());
    let text = migrate(simple.as_bytes()).unwrap().text.unwrap();
    assert!(text.contains("\"type\":\"component\"") && text.contains(r#"{ "name": "kv" }"#), "{text}");
    assert!(serde_json::from_str::<Value>(&text).is_ok());
}

#[test]
fn autoscaling_of_published_examples_is_kept_and_told() {
    let text = NEW
        .replace(
            "        - type: spreadscaler\n",
            "        - type: autoscaler\n          properties: { minReplicas: 2, cpuTargetAverageUtilization: 70 }\n        - type: spreadscaler\n",
        )
        .replace(
            "spec:\n",
            "spec:\n  policies:\n    - name: scale\n      type: replicas\n      properties: { minReplicas: 2, scaleUpBy: 1.5, on: true }\n",
        );
    let migrated = migrate(text.as_bytes()).unwrap();
    assert_eq!(migrated.text.as_deref(), Some(text.as_str()));
    let codes: Vec<&str> = migrated.notes.iter().map(|note| note.code.as_ref()).collect();
    assert_eq!(codes.iter().filter(|code| **code == code::NOT_YET).count(), 2, "{:#?}", migrated.notes);
    let manifest = load(text.as_bytes()).unwrap().manifest;
    assert_eq!(manifest.components[0].other_traits[0].properties["cpuTargetAverageUtilization"], 70);
    assert_eq!(manifest.policies[0].properties["scaleUpBy"], "1.5");
    assert_eq!(json::of(text.as_bytes()).unwrap()["spec"]["policies"][0]["properties"]["minReplicas"], "2");
}
