//! Links that begin at a component of another app: routes of this one, or refused with what to do instead.

use std::sync::Arc;

use super::*;
use crate::admit::admit;
use crate::desired::{AppSpec, Difference, expand};
use crate::example::App;

/// An app with `front`, and `http` of app `web` with these links.
fn taker(app: &str, links: &[(&str, &str)]) -> String {
    let link = |(name, config): &(&str, &str)| {
        format!(
            "
        - type: link
          properties:
            name: {name}
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: {{name: front}}
            source: {{config: [{{name: {name}, properties: {{{config}}}}}]}}"
        )
    };
    let links: String = links.iter().map(link).collect();
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: {app}}}
spec:
  components:
    - name: front
      type: component
      properties: {{image: 'file://front-1.wasm'}}
      traits: [{{type: spreadscaler, properties: {{instances: 1}}}}]
    - name: http
      type: capability
      properties: {{application: {{name: web, component: http}}}}
      traits:{links}
"
    )
}

/// What `component` of an app with this line is for others.
fn shared_by(line: &str, component: &str) -> SharedAs {
    let app = App::new("web", line);
    let manifest = lath_manifests::load(app.manifest().as_bytes()).unwrap().manifest;
    let (kind, shared) = shared_as(&manifest, &app.revision(1), &component.parse().unwrap()).unwrap();
    assert_eq!(kind, Kind::Capability);
    shared.unwrap()
}

fn server(line: &str) -> SharedAs {
    shared_by(line, "http")
}

/// Expands a manifest of `app` in which `http` is this.
fn expanded(app: &str, manifest: &str, http: Option<SharedAs>) -> Result<AppSpec, ApiError> {
    let loaded = lath_manifests::load(manifest.as_bytes());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{manifest}: {problems:#?}"));
    let mut revision = App::new(app, "front=1").revision(1);
    manifest.clone_into(&mut revision.manifest);
    revision.pinned.shared.extend(http.map(|http| ("http".parse().unwrap(), http)));
    expand(&loaded.manifest, &revision)
}

fn taken(app: &str, links: &[(&str, &str)], line: &str) -> AppSpec {
    expanded(app, &taker(app, links), Some(server(line))).unwrap()
}

fn routes(spec: &AppSpec) -> Vec<String> {
    spec.routes().map(|route| format!("{} -> {}", route.describe(), route.target)).collect()
}

fn http(spec: &AppSpec) -> &ComponentPlan {
    &spec.components[&"http".parse::<ComponentName>().unwrap()]
}

const WEB: &str = "http=>page,config.default_address=0.0.0.0:8080 page=1";

#[test]
fn a_link_from_the_http_server_of_another_app_is_a_route_of_this_one() {
    let path = taken("cart", &[("way", "path: /cart/, timeout_ms: '250'")], WEB);
    assert_eq!(routes(&path), ["0.0.0.0:8080/cart -> cart-front"]);
    assert_eq!(path.routes().next().unwrap().timeout_ms, Some(250));
    assert_eq!(path.components.len(), 2, "what the other app runs is not placed here");
    let plan = http(&path);
    assert_eq!((plan.id.as_str(), plan.capability), ("cart-http", true));
    assert_eq!(plan.spec.workload.builtin(), Some(Builtin::HttpServer));
    for (link, way) in [
        ("address: '127.0.0.1:9'", "127.0.0.1:9"),
        ("port: '81'", "127.0.0.1:81"),
        ("host: Cart.Test", "0.0.0.0:8080 host=cart.test"),
        ("path: /", "0.0.0.0:8080"),
    ] {
        let spec = taken("cart", &[("way", link)], WEB);
        assert_eq!(routes(&spec), [format!("{way} -> cart-front")], "{link}");
    }
    // Where the other app says nothing either, hosts have an address of their own.
    let unsaid = taken("cart", &[("way", "path: /cart")], "http=>page page=1");
    assert_eq!(routes(&unsaid), ["default address/cart -> cart-front"]);
}

#[test]
fn it_is_what_an_http_server_of_its_own_would_be() {
    let shared = taken(
        "shop",
        &[("default", "path: /cart")],
        "http=>page,daemon,config.default_address=0.0.0.0:1 page=1",
    );
    let own =
        App::new("shop", "http=>front,daemon,config.default_address=0.0.0.0:1,path=/cart front=1").spec(1);
    let (shared, own) = (http(&shared), http(&own));
    assert_eq!(shared.spec, own.spec);
    assert_eq!((&shared.id, &shared.scaling), (&own.id, &own.scaling));
}

#[test]
fn it_is_on_every_host_that_the_other_one_may_be_on() {
    let over = |line: &str| {
        let spec = taken("cart", &[("way", "path: /cart")], line);
        let Scaling::Daemon { instances: 1, spreads } = &http(&spec).scaling else { panic!("{spec:#?}") };
        let named = |spread: &Spread| format!("{} {:?}", spread.name, spread.requirements.0);
        spreads.iter().map(named).collect::<Vec<_>>()
    };
    assert_eq!(over("http=>page page=1"), ["default {}"]);
    assert_eq!(over("http=>page,daemon,on.zone=west page=1"), ["s1 {\"zone\": \"west\"}"]);
    let both = ["s1 {\"zone\": \"west\"}", "s2 {\"zone\": \"east\"}"];
    assert_eq!(over("http=>page,x4,on.zone=west,on.zone=east page=1"), both);
    // A spread that gets no share of the other one is no place for this one either.
    assert_eq!(over("http=>page,x1,on.zone=west:90,on.zone=east:10 page=1"), both[..1]);
    let nowhere =
        expanded("cart", &taker("cart", &[("way", "path: /cart")]), Some(server("http=>page,x0 page=1")));
    let error = nowhere.unwrap_err();
    assert!(error.message.contains("app `web`, which runs it nowhere") && error.help.is_some(), "{error}");
}

#[test]
fn apps_have_routes_of_one_server_beside_one_another_and_never_the_same() {
    let spec = |app: &str, path: &str| Arc::new(taken(app, &[("way", &format!("path: {path}"))], WEB));
    let (cart, search) = (spec("cart", "/cart"), spec("search", "/search"));
    let web = Arc::new(App::new("web", WEB).spec(1));
    assert_eq!(admit(&search, &[], &[Arc::clone(&cart), Arc::clone(&web)], None), Ok(()));
    for (thief, owner) in [(spec("thief", "/cart"), "cart"), (spec("thief", "/"), "web")] {
        let error =
            admit(&thief, &[], &[Arc::clone(&cart), search.clone(), Arc::clone(&web)], None).unwrap_err();
        assert_eq!(error.code, ErrorCode::RouteTaken);
        assert!(error.message.ends_with(&format!("is taken by app `{owner}`")), "{error}");
    }
    let twice = expanded("cart", &taker("cart", &[("a", "path: /a"), ("b", "path: /a/")]), Some(server(WEB)));
    assert_eq!(twice.unwrap_err().code, ErrorCode::RouteTaken);
}

#[test]
fn another_route_is_a_change_and_a_server_of_its_own_may_become_that_of_another_app() {
    let own = App::new("cart", "http=>front,path=/cart front=1").spec(1);
    let old = taken("cart", &[("default", "path: /cart")], WEB);
    let new = taken("cart", &[("default", "path: /basket")], WEB);
    assert!(!Difference::between(Some(&old), Some(&new)).is_trivial());
    let (found, _) = crate::diff::differences(Some(&old), &new);
    assert!(found.iter().any(|one| one.what.starts_with("route")), "{found:#?}");
    assert_eq!(admit(&new, &[Arc::new(own), Arc::new(old)], &[], None), Ok(()));
}

#[test]
fn what_would_get_no_request_or_has_no_id_is_refused() {
    let by_path = "http=>page,config.routing_mode=path,path=/page page=1";
    let error =
        expanded("cart", &taker("cart", &[("way", "host: cart.test")]), Some(server(by_path))).unwrap_err();
    assert_eq!(error.message, "`http` of app `web` routes by path, and the link to `front` names no `path`");
    assert!(error.help.is_some());
    assert_eq!(routes(&taken("cart", &[("way", "Path: /c")], by_path)), ["default address/c -> cart-front"]);

    let taken_id = taker("cart", &[("way", "path: /c")])
        .replace("{image: 'file://front-1.wasm'}", "{image: 'file://front-1.wasm', id: cart-http}");
    let error = expanded("cart", &taken_id, Some(server(WEB))).unwrap_err();
    assert_eq!(error.message, "`http` and `front` would both have the id `cart-http`");
    assert_eq!((error.code, error.help.is_some()), (ErrorCode::InvalidManifest, true));
}

#[test]
fn what_is_no_http_server_is_refused_with_what_to_do_instead() {
    let manifest = taker("cart", &[("way", "path: /c")]);
    let cases = [
        (None, "is a provider of app `web`", "a capability of its own with that image"),
        (Some(shared_by("kv=!1", "kv")), "is a provider of app `web`", "into the manifest of `web`"),
        (
            Some(SharedAs { builtin: Some(Builtin::KeyvalueNats), ..server(WEB) }),
            "builtin://keyvalue-nats of app `web`, which calls nobody",
            "with `http` as its target",
        ),
    ];
    for (known, cause, step) in cases {
        let error = expanded("cart", &manifest, known).unwrap_err();
        assert!(error.message.contains(cause), "{error}");
        assert_eq!(error.code, ErrorCode::ImageUnsupported);
        assert!(error.help.as_ref().is_some_and(|help| help.contains(step)), "{error:?}");
    }
    let component = manifest.replace("type: capability", "type: component");
    let error = expanded("cart", &component, None).unwrap_err();
    assert!(error.message.contains("`http` belongs to app `web`"), "{error}");
}

#[test]
fn without_a_link_or_with_one_to_a_capability_alone_there_is_nothing_to_run() {
    let links = taker("cart", &[("way", "path: /c")]);
    let none = links.split("      traits:\n        - type: link").next().unwrap();
    assert_eq!(expanded("cart", none, Some(server(WEB))).unwrap().components.len(), 1);
    let capability = links.replace("target: {name: front}", "target: {name: kv}")
        + "    - {name: kv, type: capability, properties: {application: {name: web, component: kv}}}\n";
    assert_eq!(expanded("cart", &capability, None).unwrap().components.len(), 1);
}
