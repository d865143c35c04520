//! What a manifest asks of hosts, and what is refused because it cannot be given.

use lath_control_api::{
    ApiError, Builtin, ErrorCode, Grants, ProviderTarget, SecretRef, UnverifiedLinks, WireId, Workload,
};

use super::*;
use crate::example::App;
use crate::record::{Pinned, Resolved, SharedAs};

fn routes(line: &str) -> Vec<String> {
    App::new("shop", line)
        .spec(1)
        .routes()
        .map(|route| format!("{} -> {}", route.describe(), route.target))
        .collect()
}

/// Expands a manifest that is written out, its images resolved as examples are.
fn expanded(manifest: &str) -> Result<AppSpec, ApiError> {
    let loaded = lath_manifests::load(manifest.as_bytes()).unwrap();
    let mut revision = App::new("shop", "front=1 http=>front").revision(1);
    revision.manifest = manifest.to_owned();
    expand(&loaded.manifest, &revision)
}

const VAULT: &str =
    "{name: vault, type: policy.secret.wasmcloud.dev/v1alpha1, properties: {backend: b, role: shop}}";

fn one_component(properties: &str, policies: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: shop}}
spec:
  policies: [{policies}]
  components:
    - name: front
      type: component
      properties: {{{properties}}}
"
    )
}

#[test]
fn a_link_of_the_http_server_is_a_route() {
    assert_eq!(routes("http=>front front=1"), ["default address -> shop-front"]);
    assert_eq!(routes("http=>front,address=0.0.0.0:8000 front=1,id=api"), ["0.0.0.0:8000 -> api"]);
    assert_eq!(routes("http=>front,port=81 front=1"), ["127.0.0.1:81 -> shop-front"]);
    assert_eq!(
        routes("http=>front,config.default_address=127.0.0.1:9 front=1"),
        ["127.0.0.1:9 -> shop-front"]
    );
    assert_eq!(
        routes("http=>front,path=/cart/,host=Shop.Test front=1"),
        ["default address/cart host=shop.test -> shop-front"]
    );
    assert_eq!(routes("http=>front,path=/ front=1"), ["default address -> shop-front"]);
}

#[test]
fn a_route_keeps_its_timeout() {
    let spec = App::new("shop", "http=>front,timeout_ms=250 front=1").spec(1);
    assert_eq!(spec.routes().next().unwrap().timeout_ms, Some(250));
}

#[test]
fn a_component_has_no_routes() {
    assert!(routes("front=1,to=back back=1").is_empty());
}

/// The manifest's own rules refuse these already; this is the second door, for manifests that were stored before a
/// rule was there.
#[test]
fn keys_that_cannot_be_read_are_named() {
    for (key, value) in [("address", "nowhere"), ("port", "0x"), ("timeout_ms", "soon")] {
        let revision = App::new("shop", "http=>front,address=127.0.0.1:1 front=1").revision(1);
        let mut manifest = lath_manifests::load(revision.manifest.as_bytes()).unwrap().manifest;
        let listen = &mut manifest.components[0].links[0].source_config[0].properties;
        *listen = Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        let error = expand(&manifest, &revision).unwrap_err();
        let named = format!("`{key}` of `http` is `{value}`");
        assert_eq!((error.code, error.message, error.help.is_some()), (ErrorCode::BadRequest, named, true));
    }
}

#[test]
fn config_is_merged_and_a_later_one_wins() {
    let spec = expanded(&one_component(
        "image: 'file://front-1.wasm', config: [{name: a, properties: {k: old, only: x}}, {name: b, properties: {k: new}}]",
        "",
    ))
    .unwrap();
    let config = &spec.components.values().next().unwrap().spec.config;
    let pairs: Vec<_> = config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(pairs, ["k=new", "only=x"]);
}

#[test]
fn grants_are_the_components_own_or_the_apps() {
    let policy =
        "{name: out, type: policy.grants.lath/v1, properties: {allowed_hosts: 'https://a.test, b.test'}}";
    let image = "image: 'file://front-1.wasm'";
    let of_app = expanded(&one_component(image, policy)).unwrap();
    let grants = |spec: &AppSpec| spec.components.values().next().unwrap().spec.grants.clone();
    let written: Vec<_> = grants(&of_app).allowed_hosts.iter().map(ToString::to_string).collect();
    assert_eq!(written, ["https://a.test", "https://b.test"]);
    let own = "
      traits: [{type: grants, properties: {allowed_hosts: [], env: {TZ: UTC}, arguments: [front]}}]
";
    let own = expanded(&(one_component(image, policy) + own)).unwrap();
    assert!(grants(&own).allowed_hosts.is_empty());
    assert_eq!(
        (grants(&own).env["TZ"].as_str(), grants(&own).arguments.as_slice()),
        ("UTC", &["front".to_owned()][..])
    );
    let (found, _) = crate::diff::differences(Some(&of_app), &own);
    let words: Vec<_> = found.iter().map(|difference| difference.what.as_str()).collect();
    assert_eq!(words, ["environment TZ", "allowed hosts", "arguments"]);
    let none = expanded(&one_component(image, "")).unwrap();
    assert_eq!(grants(&none), Grants::default());
}

#[test]
fn a_component_of_another_app_is_linked_to_and_not_placed() {
    let links = "
      traits:
        - {type: link, properties: {namespace: a, package: b, interfaces: [c], target: {name: back}}}
        - {type: annotations.lath/v1, properties: {by: me}}
    - name: back
      type: component
      properties: {application: {name: other, component: back}, id: elsewhere}
";
    let spec = expanded(&(one_component("image: 'file://front-1.wasm'", "") + links)).unwrap();
    let names: Vec<&str> = spec.components.keys().map(ComponentName::as_str).collect();
    assert_eq!(names, ["front"]);
    let front = &spec.components.values().next().unwrap().spec;
    assert_eq!(front.links[0].target.as_str(), "elsewhere");
    assert_eq!(front.annotations["by"], "me");
}

#[test]
fn what_cannot_be_given_is_refused_by_name() {
    let secret =
        "image: 'builtin://http-server', secrets: [{name: key, properties: {policy: vault, key: k}}]";
    let cases = [
        (
            one_component(secret, VAULT).replace("type: component", "type: capability"),
            "`front` is built into hosts and takes no secrets, but is given `key`",
        ),
        (
            one_component("application: {name: other, component: http}", "").replace("type: component", "type: capability")
                + "      traits: [{type: link, properties: {namespace: a, package: b, interfaces: [c], target: {name: back}}}]
    - {name: back, type: component, properties: {image: 'file://front-1.wasm'}}
",
            "`front` is a provider of app `other`, and no link of another app begins at it",
        ),
        (one_component("image: 'file://elsewhere.wasm'", ""), "`file://elsewhere.wasm` of `front`"),
        (one_component("image: 'builtin://http-server'", ""), "capability built into hosts"),
    ];
    for (manifest, named) in cases {
        let error = expanded(&manifest).unwrap_err();
        assert!(error.message.contains(named), "{} does not name {named}", error.message);
        assert_eq!(error.code, ErrorCode::ImageUnsupported);
        assert!(error.help.is_some());
    }
    let error =
        expanded(&one_component("image: 'file://front-1.wasm', config: [{name: global}]", "")).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidManifest);
    assert!(error.message.contains("configuration `global`"), "{error}");
    assert!(error.help.unwrap().contains("lath config put global"));
}

#[test]
fn r7_the_same_revision_is_the_same_bytes() {
    let app = App::new("shop", "http=>front,daemon front=1,to=back,config.a=b,x3 back=1,probe");
    assert_eq!(app.spec(4), app.spec(4));
    let contents = |number| {
        let spec = app.spec(number);
        spec.components.values().map(|plan| plan.spec.content()).collect::<Vec<_>>()
    };
    assert_eq!(contents(4), contents(9), "the number of a revision is no part of a spec's content");
}

#[test]
fn the_number_of_instances_is_part_of_a_spec() {
    let spec = App::new("shop", "front=1").spec(1);
    let name = spec.components.keys().next().unwrap();
    assert_eq!(spec.spec_for(name, 3).unwrap().max_instances, 3);
    assert_eq!(spec.spec_for(name, 0).unwrap().max_instances, 1);
    assert_eq!(spec.spec_for(&"other".parse().unwrap(), 1), None);
}

#[test]
fn a_capability_in_its_callers_is_placed_nowhere_and_its_settings_are_in_their_links() {
    let manifest = "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: shop}
spec:
  components:
    - name: front
      type: component
      properties: {image: 'file://front-1.wasm'}
      traits:
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target: {name: kv, config: [{name: narrow, properties: {history: '2'}}]}
    - name: kv
      type: capability
      properties:
        image: builtin://keyvalue-nats
        config: [{name: wide, properties: {bucket: carts, history: '9'}}]
";
    let loaded = lath_manifests::load(manifest.as_bytes()).unwrap();
    let mut revision = App::new("shop", "front=1 http=>front").revision(1);
    manifest.clone_into(&mut revision.manifest);
    let builtin = Resolved::Builtin { builtin: Builtin::KeyvalueNats };
    revision.images.insert("builtin://keyvalue-nats".to_owned(), builtin);
    let spec = expand(&loaded.manifest, &revision).unwrap();
    assert_eq!(spec.components.keys().map(ToString::to_string).collect::<Vec<_>>(), ["front"]);
    let link = &spec.components.values().next().unwrap().spec.links[0];
    assert_eq!((link.builtin, link.target.as_str()), (Some(Builtin::KeyvalueNats), "shop-kv"));
    let settings: Vec<_> = link.target_config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(settings, ["bucket=carts", "history=2"], "the link's own settings win");
}

#[test]
fn what_links_are_put_with_is_in_the_policy_of_their_component() {
    let general =
        "{name: all, type: policy.rollout.lath/v1, properties: {hold_time: 700ms, unverified_links: fail}}";
    let own = "{name: own, type: policy.rollout.lath/v1, properties: {components: front, hold_time: 0s}}";
    let of = |policies: &str| {
        let spec = expanded(&one_component("image: 'file://front-1.wasm'", policies)).unwrap();
        let (front, other) = ("front".parse().unwrap(), "other".parse().unwrap());
        (spec.hold(&front).max_time_ms, spec.hold(&other).max_time_ms, spec.unverified_links(&front))
    };
    assert_eq!(of(""), (5_000, 5_000, UnverifiedLinks::Allow));
    assert_eq!(of(general), (700, 700, UnverifiedLinks::Fail));
    assert_eq!(of(&format!("{general}, {own}")), (0, 700, UnverifiedLinks::Allow));
}

#[test]
fn the_lattices_own_configs_are_what_they_were() {
    let manifest = one_component(
        "image: 'file://front-1.wasm', config: [{name: own, properties: {a: '1', b: '1'}}, {name: global}]",
        "",
    );
    let loaded = lath_manifests::load(manifest.as_bytes()).unwrap();
    let mut revision = App::new("shop", "front=1").revision(1);
    manifest.clone_into(&mut revision.manifest);
    let global = BTreeMap::from([("b".to_owned(), "2".to_owned())]);
    revision.pinned.configs.insert("global".to_owned(), global);
    let spec = expand(&loaded.manifest, &revision).unwrap();
    let config = &spec.components.values().next().unwrap().spec.config;
    let pairs: Vec<_> = config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(pairs, ["a=1", "b=2"]);
    let content = |pinned: &Pinned| {
        crate::RevisionRecord::content_of(&manifest, &revision.images, pinned, &BTreeMap::new())
    };
    assert_ne!(content(&revision.pinned), content(&Pinned::default()), "another value is another revision");
}

#[test]
fn references_to_secrets_are_resolved_and_a_later_one_wins() {
    let secrets = "secrets: [{name: key, properties: {policy: vault, key: old}}, \
        {name: key, properties: {policy: vault, key: k, field: f, version: '3'}}]";
    let spec = expanded(&one_component(&format!("image: 'file://front-1.wasm', {secrets}"), VAULT)).unwrap();
    let expected = SecretRef {
        name: "key".into(),
        backend: "b".into(),
        key: "k".into(),
        field: Some("f".into()),
        version: Some("3".into()),
        properties: BTreeMap::from([("role".into(), "shop".into())]),
    };
    assert_eq!(spec.components.values().next().unwrap().spec.secrets, [expected]);
    let old = App::new("shop", "front=1,secret.key=a").spec(1);
    let new = App::new("shop", "front=1,secret.key=b").spec(2);
    assert!(Difference::between(Some(&old), Some(&new)).changed.contains(&"front".parse().unwrap()));
    let (found, _) = crate::diff::differences(Some(&old), &new);
    let texts: Vec<_> =
        found.iter().map(|one| (one.what.as_str(), one.before.as_deref(), one.after.as_deref())).collect();
    assert_eq!(texts, [("secret key", Some("a of vault, role shop"), Some("b of vault, role shop"))]);
}

fn plan<'a>(spec: &'a AppSpec, name: &str) -> &'a ComponentPlan {
    &spec.components[&name.parse::<ComponentName>().unwrap()]
}

fn wire_id(spec: &AppSpec) -> WireId {
    let kv = plan(spec, "kv");
    kv.spec.wire_id(&kv.id).unwrap()
}

fn answered_by(spec: &AppSpec, name: &str) -> Option<ProviderTarget> {
    plan(spec, name).spec.links[0].provider.clone()
}

#[test]
fn both_ends_of_a_link_to_a_provider_know_of_it() {
    let spec = App::new("shop", "kv=!1,config.url=a front=1,to=kv,with.bucket=carts back=1,to=kv").spec(1);
    let kv = plan(&spec, "kv");
    assert!(
        kv.capability
            && matches!(&kv.spec.workload, Workload::Provider { image } if image.reference.ends_with(".par"))
    );
    let sources: Vec<_> = kv.spec.incoming.iter().map(|link| link.source.as_str()).collect();
    assert_eq!(sources, ["shop-back", "shop-front"]);
    assert_eq!(kv.spec.incoming[1].target_config["bucket"], "carts");
    let expected = Some(ProviderTarget::Process { wire_id: wire_id(&spec) });
    assert_eq!((answered_by(&spec, "front"), answered_by(&spec, "back")), (expected.clone(), expected));
    // The order in the manifest is nothing to a process.
    let other = App::new("shop", "back=1,to=kv front=1,to=kv,with.bucket=carts kv=!1,config.url=a").spec(2);
    assert_eq!(
        other.components,
        App::new("shop", "kv=!1,config.url=a front=1,to=kv,with.bucket=carts back=1,to=kv")
            .spec(2)
            .components
    );
}

#[test]
fn what_a_process_starts_with_changes_it_and_its_callers_and_nothing_else() {
    let spec = |line: &str| App::new("shop", line).spec(1);
    let old = spec("kv=!1,config.url=a front=1,to=kv other=1");
    let changed = |new: &AppSpec| {
        let difference = Difference::between(Some(&old), Some(new));
        difference.changed.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for line in [
        "kv=!2,config.url=a front=1,to=kv other=1",
        "kv=!1,config.url=b front=1,to=kv other=1",
        "kv=!1,config.url=a,secret.token=t front=1,to=kv other=1",
        "kv=!1,config.url=a front=1,to=kv,with.bucket=b other=1",
    ] {
        let new = spec(line);
        assert_ne!(wire_id(&new), wire_id(&old), "{line}");
        assert_eq!(changed(&new), ["front"], "{line}");
    }
    // Code of a caller, the number of hosts, links that begin at the provider: the process goes on.
    let cases: [(&str, &[&str]); 3] = [
        ("kv=!1,config.url=a front=2,to=kv other=1", &["front"]),
        ("kv=!1,config.url=a,x2 front=1,to=kv other=1", &[]),
        ("kv=!1,config.url=a,to=other front=1,to=kv other=1", &[]),
    ];
    for (line, named) in cases {
        let new = spec(line);
        assert_eq!(wire_id(&new), wire_id(&old), "{line}");
        assert_eq!(changed(&new), named, "{line}");
        assert!(!Difference::between(Some(&old), Some(&new)).is_trivial(), "{line}");
    }
}

#[test]
fn a_changed_provider_is_told_with_what_it_means_to_its_callers() {
    let old = App::new("shop", "kv=!1,config.url=a front=1,to=kv").spec(1);
    let new = App::new("shop", "kv=!1,config.url=b front=1,to=kv back=1,to=kv").spec(2);
    let (found, _) = crate::diff::differences(Some(&old), &new);
    let words: Vec<_> = found
        .iter()
        .map(|one| format!("{} {}", one.component.as_ref().map_or("", ComponentName::as_str), one.what))
        .collect();
    let expected = [
        "back component",
        "front link lath:demo -> kv answered by",
        "kv config url",
        "kv process",
        "kv link from",
    ];
    assert_eq!(words, expected, "{found:#?}");
}

#[test]
fn a_capability_of_another_app_is_what_its_app_says() {
    let manifest = one_component("image: 'file://front-1.wasm'", "")
        + "      traits:
        - {type: link, properties: {namespace: wasi, package: keyvalue, interfaces: [store], target: {name: kv, config: [{name: c, properties: {bucket: b}}]}}}
    - name: kv
      type: capability
      properties: {application: {name: other, component: kv}}
";
    let front = |shared: Option<SharedAs>| {
        let loaded = lath_manifests::load(manifest.as_bytes()).unwrap();
        let mut revision = App::new("shop", "front=1").revision(1);
        revision.pinned.shared.extend(shared.map(|shared| ("kv".parse().unwrap(), shared)));
        expand(&loaded.manifest, &revision).map(|spec| {
            assert_eq!(spec.components.len(), 1);
            plan(&spec, "front").spec.links[0].clone()
        })
    };
    let link = front(None).unwrap();
    assert_eq!((link.target.as_str(), link.provider), ("other-kv", Some(ProviderTarget::Elsewhere)));
    let shared = |builtin| SharedAs {
        id: "their-kv".parse().unwrap(),
        builtin,
        config: BTreeMap::from([("bucket".into(), "theirs".into()), ("history".into(), "3".into())]),
        spreads: BTreeMap::new(),
    };
    let link = front(Some(SharedAs { config: BTreeMap::new(), ..shared(None) })).unwrap();
    assert_eq!((link.target.as_str(), link.provider), ("their-kv", Some(ProviderTarget::Elsewhere)));
    let link = front(Some(shared(Some(Builtin::KeyvalueNats)))).unwrap();
    assert_eq!((link.builtin, link.provider), (Some(Builtin::KeyvalueNats), None));
    let settings: Vec<_> = link.target_config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(settings, ["bucket=b", "history=3"]);
    let error = front(Some(shared(Some(Builtin::HttpServer)))).unwrap_err();
    assert!(error.message.contains("answers no calls") && error.help.is_some(), "{error}");
}

#[test]
fn a_link_between_two_capabilities_is_nothing() {
    let spec = App::new("shop", "kv=!1,to=other other=!1 front=1,to=kv").spec(1);
    assert!(plan(&spec, "kv").spec.links.is_empty());
    assert!(plan(&spec, "other").spec.incoming.is_empty());
}

#[test]
fn what_bounds_a_component_is_no_part_of_a_provider() {
    let manifest = one_component(
        "image: 'file://front-1.par'",
        "{name: out, type: policy.grants.lath/v1, properties: {allowed_hosts: a.test}}",
    )
    .replace("type: component", "type: capability");
    let mut revision = App::new("shop", "front=!1").revision(1);
    manifest.clone_into(&mut revision.manifest);
    let loaded = lath_manifests::load(manifest.as_bytes()).unwrap();
    let spec = expand(&loaded.manifest, &revision).unwrap();
    assert_eq!(plan(&spec, "front").spec.grants, Grants::default());
}
