use super::*;
use crate::artifact::Image;
use crate::bundle::Grants;
use crate::id::Revision;
use crate::limits::{InstancePolicy, Limits};

fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

fn link(source: &str) -> IncomingLink {
    IncomingLink {
        source: id(source),
        name: LinkName::default(),
        namespace: "wasi".into(),
        package: "keyvalue".into(),
        interfaces: vec!["store".into()],
        source_config: BTreeMap::new(),
        target_config: BTreeMap::from([("bucket".into(), "carts".into())]),
        source_secrets: Vec::new(),
        target_secrets: Vec::new(),
    }
}

fn spec() -> ComponentSpec {
    ComponentSpec {
        revision: Revision(4),
        workload: Workload::Provider {
            image: Image { reference: "registry.test/kv:1".into(), digest: Digest::of(b"kv") },
        },
        max_instances: 1,
        instance_policy: InstancePolicy::default(),
        limits: Limits::default(),
        config: BTreeMap::from([("url".into(), "redis://one".into())]),
        links: Vec::new(),
        secrets: Vec::new(),
        incoming: vec![link("shop-api")],
        grants: Grants::default(),
        routes: Vec::new(),
        probe: None,
        annotations: BTreeMap::new(),
    }
}

fn secret() -> SecretRef {
    SecretRef {
        name: "token".into(),
        backend: "vault".into(),
        key: "kv/shop".into(),
        field: None,
        version: None,
        properties: BTreeMap::new(),
    }
}

#[test]
fn a_process_is_another_one_when_what_it_starts_with_changes() {
    let first = spec();
    let wire = |spec: &ComponentSpec| spec.wire_id(&id("shop-kv")).unwrap();
    let same = [
        ComponentSpec { revision: Revision(9), ..spec() },
        ComponentSpec { max_instances: 7, ..spec() },
        ComponentSpec { annotations: BTreeMap::from([("a".into(), "b".into())]), ..spec() },
        ComponentSpec {
            workload: Workload::Provider {
                image: Image { reference: "registry.test/kv:2".into(), digest: Digest::of(b"kv") },
            },
            ..spec()
        },
    ];
    for other in same {
        assert_eq!(wire(&other), wire(&first));
    }
    let with_secret = IncomingLink { target_secrets: vec![secret()], ..link("shop-api") };
    let others = [
        ComponentSpec { config: BTreeMap::new(), ..spec() },
        ComponentSpec { secrets: vec![secret()], ..spec() },
        ComponentSpec { incoming: vec![link("shop-api"), link("shop-cart")], ..spec() },
        ComponentSpec { incoming: vec![with_secret], ..spec() },
        ComponentSpec {
            workload: Workload::Provider {
                image: Image { reference: "registry.test/kv:1".into(), digest: Digest::of(b"other") },
            },
            ..spec()
        },
    ];
    for other in others {
        assert_ne!(wire(&other), wire(&first));
    }
}

#[test]
fn the_content_of_a_process_is_frozen() {
    // Hosts of two versions of Lath must agree on it, and an update must not start every provider anew.
    let wire = spec().wire_id(&id("shop-kv")).unwrap();
    assert_eq!(wire.as_str(), "shop-kv-899ce670");
}

#[test]
fn only_a_provider_has_a_process() {
    let image = Image { reference: "api.wasm".into(), digest: Digest::of(b"api") };
    let component = ComponentSpec { workload: Workload::Component { image }, ..spec() };
    assert_eq!(component.process(), None);
    assert_eq!(component.wire_id(&id("shop-api")), None);
}

#[test]
fn a_wire_id_is_one_token_and_read_back() {
    let longest = "a".repeat(127);
    for provider in ["kv", "shop-kv", longest.as_str()] {
        let wire = WireId::of(&id(provider), &Digest::of(b"x"));
        assert_eq!(wire.as_str().parse::<WireId>().unwrap(), wire);
        assert!(!wire.as_str().contains('.'));
    }
    for bad in ["", "kv", "kv-12", "kv-0123456G", "kv.a-01234567", "-01234567", "kv-0123456A"] {
        assert!(bad.parse::<WireId>().is_err(), "{bad}");
    }
}
