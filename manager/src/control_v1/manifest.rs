//! The manifest of what was started by hand: made from what was asked for, the links that begin at it, and the values of
//! the configs that both name. The same three give the same text.

mod named;

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::{ComponentId, HostId, Labels, Limits, annotation};
use lath_manifests::manifest::Policy;
use lath_wasmcloud::{ComponentLimits, Link, Texts};
use serde_json::{Value, json};

use super::records::{Kind, Started};
use named::{Named, Taken};

pub(super) use named::{Reference, is_secret};

/// A capability that is part of its callers, to which a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capability {
    pub(super) image: String,
    pub(super) config: Vec<String>,
}

/// What a manifest is made from beside what was asked for.
#[derive(Debug, Default)]
pub(super) struct Surroundings<'a> {
    pub(super) links: &'a [Link],
    pub(super) configs: BTreeMap<String, Texts>,
    /// By the id of the link's target.
    pub(super) capabilities: BTreeMap<String, Capability>,
    /// Ids of providers to which links lead.
    pub(super) providers: BTreeSet<String>,
}

impl Surroundings<'_> {
    /// Names of every config that the manifest holds.
    pub(super) fn names<'a>(&'a self, started: &'a Started) -> BTreeSet<&'a str> {
        let of_links =
            self.links.iter().flat_map(|link| link.source_config.iter().chain(&link.target_config));
        let of_targets = self.links.iter().filter_map(|link| self.capabilities.get(&link.target));
        let names = started.config.iter().chain(of_links).chain(of_targets.flat_map(|target| &target.config));
        names.map(String::as_str).collect()
    }
}

/// The manifest of `id`, as JSON.
pub(super) fn write(id: &ComponentId, started: &Started, around: &Surroundings<'_>) -> String {
    let mut configs = Named::new(&around.configs);
    let own = component(id, started, around, &mut configs);
    let mut components = vec![own];
    let targets: BTreeSet<&str> = around.links.iter().map(|link| link.target.as_str()).collect();
    for target in targets {
        components.push(match around.capabilities.get(target) {
            Some(Capability { image, config }) => {
                let Taken { config, secrets } = configs.take(config);
                json!({
                    "name": name(target),
                    "type": "capability",
                    "properties": { "image": image, "id": target, "config": config, "secrets": secrets },
                })
            }
            // Whatever answers under this id, or nothing yet: it is no part of this app.
            None => json!({
                "name": name(target),
                "type": if around.providers.contains(target) { "capability" } else { "component" },
                "properties": { "application": { "name": foreign(target, started), "component": name(target) }, "id": target },
            }),
        });
    }
    // A start by hand is to be there soon. Readiness still counts.
    let rollout = json!({
        "name": "rollout",
        "type": Policy::ROLLOUT,
        "properties": { "min_healthy_time": "0s" },
    });
    let policies: Vec<Value> = std::iter::once(rollout).chain(configs.policies()).collect();
    json!({
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": {
            "name": started.app.as_str(),
            "annotations": { "description": format!("{id}, started by hand") },
        },
        "spec": {
            "components": components,
            "policies": policies,
        },
    })
    .to_string()
}

fn component(
    id: &ComponentId,
    started: &Started,
    around: &Surroundings<'_>,
    configs: &mut Named<'_>,
) -> Value {
    let (kind, capability) = match started.kind {
        Kind::Component => ("component", false),
        Kind::Capability => ("capability", true),
    };
    let mut traits = vec![scaler(&started.places, capability)];
    if !capability {
        traits.extend(limits(started.limits.as_ref()));
    }
    for link in around.links {
        let (source, target) = (configs.take(&link.source_config), configs.take(&link.target_config));
        traits.push(json!({
            "type": "link",
            "properties": {
                "name": link.name,
                "namespace": link.wit_namespace,
                "package": link.wit_package,
                "interfaces": link.interfaces,
                "source": { "config": source.config, "secrets": source.secrets },
                "target": {
                    "name": name(&link.target),
                    "config": target.config,
                    "secrets": target.secrets,
                },
            },
        }));
    }
    traits.push(json!({ "type": "annotations.lath/v1", "properties": annotations(started) }));
    let Taken { config, secrets } = configs.take(&started.config);
    json!({
        "name": name(id.as_str()),
        "type": kind,
        "properties": {
            "image": reference(&started.image),
            "id": id,
            "config": config,
            "secrets": secrets,
        },
        "traits": traits,
    })
}

/// Each place is a spread of its own, for the one host that has its id.
fn scaler(places: &BTreeMap<HostId, u32>, capability: bool) -> Value {
    let total: u64 = places.values().map(|count| if capability { 1 } else { u64::from(*count) }).sum();
    let spread = places.iter().map(|(host, count)| {
        let weight = if capability { 1 } else { *count };
        json!({ "name": host, "weight": weight, "requirements": { Labels::HOST_ID: host } })
    });
    let spread: Vec<Value> = spread.collect();
    json!({ "type": "spreadscaler", "properties": { "instances": total, "spread": spread } })
}

/// Bounds of 1.x are decimal numbers; what is none is ignored, as there, and what is out of bounds is brought within.
fn limits(given: Option<&ComponentLimits>) -> Option<Value> {
    let number = |text: Option<&String>| text.and_then(|text| text.trim().parse::<u64>().ok());
    let mut properties = serde_json::Map::new();
    if let Some(bytes) = number(given.and_then(|given| given.max_memory_limit.as_ref())) {
        let (least, most) = (*Limits::MEMORY_BYTES.start(), *Limits::MEMORY_BYTES.end());
        let kibibytes = bytes.clamp(least, most) >> 10;
        properties.insert("memory".to_owned(), json!(format!("{kibibytes}Ki")));
    }
    if let Some(seconds) = number(given.and_then(|given| given.max_execution_time.as_ref())) {
        let most = *Limits::INVOCATION_DEADLINE_MS.end() / 1_000;
        properties.insert("invocation_deadline".to_owned(), json!(format!("{}s", seconds.clamp(1, most))));
    }
    (!properties.is_empty()).then(|| json!({ "type": "limits", "properties": properties }))
}

fn annotations(started: &Started) -> Texts {
    let mut all = started.annotations.clone();
    all.retain(|key, _| !key.starts_with(annotation::OWN));
    all.insert(annotation::BY_HAND.to_owned(), "true".to_owned());
    if reference(&started.image) != started.image {
        all.insert(annotation::ASKED_IMAGE.to_owned(), started.image.clone());
    }
    all
}

/// The image as manifests write it: 1.x cuts these schemes off.
pub(super) fn reference(image: &str) -> &str {
    let schemes = ["oci://", "https://", "http://"];
    schemes.iter().find_map(|scheme| image.strip_prefix(scheme)).unwrap_or(image)
}

/// A name within the manifest: the id, where that is short enough for a name.
fn name(id: &str) -> String {
    if id.len() <= 63 { id.to_owned() } else { format!("{}-{}", short(id, 50), digits(id)) }
}

/// The app of another component: what was started by hand is called after its id.
fn foreign(target: &str, started: &Started) -> String {
    let app = name(target);
    if app == started.app.as_str() { format!("{}-2", short(&app, 60)) } else { app }
}

fn short(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

/// Some digits that differ for different texts.
pub(super) fn digits(text: &str) -> String {
    let digest = lath_control_api::Digest::of(text.as_bytes());
    digest.short().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lath_manifests::manifest::{Scaling, Source};

    fn host(letter: char) -> HostId {
        format!("N{}", letter.to_string().repeat(55)).parse().unwrap()
    }

    fn started(image: &str, kind: Kind) -> Started {
        Started {
            app: "hello".parse().unwrap(),
            kind,
            image: image.to_owned(),
            places: BTreeMap::from([(host('A'), 10), (host('B'), 5)]),
            config: vec!["greet".into(), "more".into()],
            annotations: Texts::from([("by".into(), "me: \"#{}\"".into())]),
            limits: None,
            deployed: false,
            pending: false,
        }
    }

    fn link(target: &str, name: &str) -> Link {
        Link {
            source_id: "hello".into(),
            target: target.into(),
            name: name.into(),
            wit_namespace: "wasi".into(),
            wit_package: "keyvalue".into(),
            interfaces: vec!["store".into()],
            source_config: vec!["greet".into()],
            target_config: vec!["bucket".into()],
        }
    }

    fn load(text: &str) -> lath_manifests::Manifest {
        lath_manifests::load(text.as_bytes()).unwrap_or_else(|wrong| panic!("{wrong:?}\n{text}")).manifest
    }

    #[test]
    fn what_was_asked_for_stands_in_the_manifest() {
        let links = [link("kv", "default"), link("kv", "second"), link("other", "third")];
        let texts = |key: &str, value: &str| Texts::from([(key.to_owned(), value.to_owned())]);
        let around = Surroundings {
            links: &links,
            configs: BTreeMap::from([
                ("greet".into(), texts("greeting", "hi: there")),
                ("more".into(), Texts::new()),
                ("bucket".into(), texts("bucket", "b")),
            ]),
            capabilities: BTreeMap::from([(
                "kv".into(),
                Capability { image: "builtin://keyvalue-nats".into(), config: vec!["bucket".into()] },
            )]),
            providers: BTreeSet::new(),
        };
        let asked = Started {
            limits: Some(ComponentLimits {
                max_memory_limit: Some("100000000".into()),
                max_execution_time: Some("7".into()),
            }),
            ..started("oci://ghcr.io/acme/hello:1", Kind::Component)
        };
        let id: ComponentId = "hello".parse().unwrap();
        let manifest = load(&write(&id, &asked, &around));
        let hello = manifest.component(&"hello".parse().unwrap()).unwrap();
        assert_eq!(hello.id, id);
        let Scaling::Spread { instances, spreads } = &hello.scaling else { panic!("{:?}", hello.scaling) };
        assert_eq!((*instances, spreads.len(), spreads[1].weight), (15, 2, 5));
        assert_eq!(spreads[1].requirements.0["hostcore.id"], host('B').as_str());
        assert_eq!(hello.links.len(), 3);
        assert_eq!(hello.limits.invocation_deadline_ms, 7_000);
        assert_eq!(hello.config[0].properties.as_ref().unwrap()["greeting"], "hi: there");
        assert_eq!(hello.other_traits[0].properties["by"], "me: \"#{}\"");
        assert_eq!(hello.other_traits[0].properties[annotation::ASKED_IMAGE], asked.image);
        let other = manifest.component(&"other".parse().unwrap()).unwrap();
        assert!(matches!(other.source, Source::Shared { .. }));
        assert_eq!(other.id.as_str(), "other");
        let names: Vec<&str> = around.names(&asked).into_iter().collect();
        assert_eq!(names, ["bucket", "greet", "more"]);
    }

    #[test]
    fn a_capability_counts_hosts_and_long_ids_fit() {
        let asked = started("wasmcloud+builtin://http-server", Kind::Capability);
        let long = "x".repeat(100);
        let secret = Texts::from(
            [("name", "token"), ("backend", "vault"), ("key", "k")].map(|(a, b)| (a.into(), b.into())),
        );
        let asked = Started { config: vec!["greet".into(), "SECRET_t".into()], ..asked };
        let links = [Link { target: long.clone(), ..link("", "default") }];
        let configs = ["greet", "more", "bucket"].map(|name| (name.to_owned(), Texts::new()));
        let mut around = Surroundings { links: &links, configs: configs.into(), ..Surroundings::default() };
        around.configs.insert("SECRET_t".into(), secret);
        around.providers.insert(long.clone());
        let id: ComponentId = "web".parse().unwrap();
        let manifest = load(&write(&id, &asked, &around));
        let Scaling::Spread { instances, .. } = &manifest.components[0].scaling else { panic!() };
        assert_eq!(*instances, 2);
        assert_eq!(manifest.components[1].id.as_str(), long);
        assert_eq!(manifest.components[1].kind, lath_manifests::manifest::Kind::Capability);
        let secret = &manifest.components[0].secrets[0];
        assert_eq!((secret.name.as_str(), secret.backend.as_str()), ("token", "vault"));
    }
}
