//! Settings of links and the bounds of buckets in memory. What operations do is tested through a component, with each
//! backend alike (`tests/it/keyvalue.rs` of the workspace).

use std::collections::BTreeMap;

use lath_control_api::{Revision, Transport};

use super::*;
use crate::capability::bound::Capabilities;

fn link(name: &str, builtin: Builtin, settings: &[(&str, &str)]) -> LinkSpec {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    LinkSpec {
        name: LinkName(name.to_owned()),
        namespace: "wasi".into(),
        package: "keyvalue".into(),
        interfaces: vec!["store".into()],
        target: "shop-kv".parse().unwrap(),
        target_name: "kv".parse().unwrap(),
        source_config: BTreeMap::new(),
        target_config: settings.collect(),
        builtin: Some(builtin),
        provider: None,
        source_secrets: Vec::new(),
        target_secrets: Vec::new(),
        transport: Transport::default(),
    }
}

fn unit() -> UnitIdentity {
    UnitIdentity {
        lattice: "default".parse().unwrap(),
        app: "shop".parse().unwrap(),
        component: "front".parse().unwrap(),
        id: "shop-front".parse().unwrap(),
        revision: Revision(1),
    }
}

fn stores(settings: &[(&str, &str)]) -> Result<memory::Stores, String> {
    memory::Stores::new(Memory::default(), &link("default", Builtin::KeyvalueMemory, settings))
}

#[tokio::test]
async fn a_full_bucket_says_so_and_keeps_what_it_has() {
    let bucket = stores(&[("max_bytes", "300")]).unwrap().open("b").await.unwrap();
    bucket.set("a".into(), vec![0; 100]).await.unwrap();
    bucket.set("b".into(), vec![0; 70]).await.unwrap();
    assert!(
        matches!(bucket.set("c".into(), vec![0; 1]).await, Err(Error::Other(text)) if text.contains("300"))
    );
    assert_eq!(bucket.get("a").await.unwrap().unwrap().len(), 100);
    // Room that is given back can be used again, to the byte.
    bucket.delete("b").await.unwrap();
    bucket.set("b".into(), vec![0; 70]).await.unwrap();
    assert!(bucket.set("b".into(), vec![0; 71]).await.is_err());
}

#[tokio::test]
async fn a_chosen_link_has_every_bucket_that_is_opened() {
    let memory = Memory::default();
    let store = |name: &str| {
        let target = format!("shop-{name}").parse().unwrap();
        let link = LinkSpec { target, ..link(name, Builtin::KeyvalueMemory, &[]) };
        let stores: Arc<dyn Store> = Arc::new(memory::Stores::new(memory.clone(), &link).unwrap());
        (LinkName(name.to_owned()), stores)
    };
    let links = Links { stores: ["default", "cache"].map(store).into() };
    let name = |name: &str| LinkName(name.to_owned());
    let (default, cache, none) = (name("default"), name("cache"), name("none"));
    let set = async |bucket: &str, chosen: Option<&LinkName>, value: &str| {
        links.open(bucket, chosen).await.unwrap().set("k".into(), value.into()).await.unwrap();
    };
    let get = async |bucket: &str, chosen: Option<&LinkName>| {
        let value = links.open(bucket, chosen).await.unwrap().get("k").await.unwrap();
        value.map(|value| String::from_utf8(value).unwrap())
    };
    set("", None, "by default").await;
    set("", Some(&cache), "chosen").await;
    assert_eq!(get("", None).await.as_deref(), Some("by default"));
    assert_eq!(get("default", Some(&default)).await.as_deref(), Some("by default"));
    // The one bucket by both ways of choosing.
    assert_eq!(get("cache", None).await.as_deref(), Some("chosen"));
    assert_eq!(get("cache", Some(&cache)).await.as_deref(), Some("chosen"));
    // Once a link is chosen, the name of another one is that of a bucket.
    assert_eq!(get("cache", Some(&default)).await, None);
    assert!(matches!(links.open("", Some(&none)).await, Err(Error::NoSuchStore)));
}

#[tokio::test]
async fn the_number_of_buckets_has_a_bound() {
    let stores = stores(&[]).unwrap();
    for number in 0..1_000 {
        let _ = stores.open(&number.to_string()).await.unwrap();
    }
    assert!(stores.open("0").await.is_ok());
    assert!(matches!(stores.open("one more").await, Err(Error::Other(text)) if text.contains("1000")));
}

#[test]
fn settings_of_memory_are_checked() {
    for (settings, named) in [
        ([("max_byte", "1")], "`max_byte`"),
        ([("max_bytes", "0")], "`0`"),
        ([("max_bytes", "many")], "`many`"),
        ([("max_bytes", "1073741825")], "1 to 1073741824"),
    ] {
        let problem = stores(&settings).unwrap_err();
        assert!(problem.contains(named), "{problem}");
    }
}

#[test]
fn numbers_are_read_and_added_within_their_bounds() {
    assert_eq!(number(b"41").and_then(|found| sum(found, 1)), Ok(42));
    for wrong in [b"".as_slice(), b"x", b"-1", b"18446744073709551616", b"\xff"] {
        assert!(number(wrong).is_err(), "{wrong:?}");
    }
    assert!(sum(u64::MAX, 1).is_err());
}

#[tokio::test]
async fn nats_settings_are_checked_and_named_by_their_link() {
    // Nobody answers there, and nobody is asked: settings are judged without a network.
    let client =
        async_nats::ConnectOptions::new().retry_on_initial_connect().connect("127.0.0.1:9").await.unwrap();
    let keyvalue: Arc<dyn Capability> = Arc::new(Keyvalue::new(client));
    let capabilities = Capabilities::new([keyvalue]);
    let bind = async |settings: &[(&str, &str)]| {
        let links = vec![link("default", Builtin::KeyvalueNats, settings)];
        let spec =
            lath_control_api::ComponentSpec { links, ..crate::engine::tests::spec(&bytes::Bytes::new()) };
        capabilities.bind(&unit(), &spec).await.map(drop).map_err(|error| error.message)
    };
    assert_eq!(bind(&[("bucket", "carts"), ("history", "3"), ("storage", "memory")]).await, Ok(()));
    for (key, value, named) in [
        ("bucket", "a b", "A-Z a-z 0-9 - _"),
        ("bucket", "lath-records-default", "belong to the lattice"),
        ("bucket", "LATTICEDATA_default", "belong to the lattice"),
        ("history", "65", "from 1 to 64"),
        ("replicas", "0", "from 1 to 5"),
        ("ttl_seconds", "soon", "`soon`"),
        ("storage", "tape", "`file` or `memory`"),
        ("cluster_uri", "nats://else", "another NATS"),
        ("bukket", "x", "`bukket` is not known"),
    ] {
        let problem = bind(&[(key, value)]).await.unwrap_err();
        assert!(problem.contains(named) && problem.contains("link `default` to `kv`"), "{problem}");
    }
}
