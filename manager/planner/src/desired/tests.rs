//! What a manifest asks of hosts, and what is refused because it cannot be given.

use super::*;
use crate::example::App;

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
    let secret = "image: 'file://front-1.wasm', secrets: [{name: key, properties: {policy: vault, key: k}}]";
    let vault = "{name: vault, type: policy.secret.wasmcloud.dev/v1alpha1, properties: {backend: b}}";
    let cases = [
        (one_component(secret, vault), "secret `key`"),
        (
            one_component("image: 'file://front-1.wasm', config: [{name: global}]", ""),
            "configuration `global`",
        ),
        (
            one_component("application: {name: other, component: back}", "")
                .replace("type: component", "type: capability"),
            "`back` of app `other`",
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
