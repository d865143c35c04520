//! What two revisions differ in, in the words of their manifests.

mod instances;
mod limits;
mod policy;

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::plan::Difference;
use lath_control_api::{
    ComponentName, ComponentSpec, HttpRoute, IncomingLink, LinkSpec, ProviderTarget, SecretRef,
};
use lath_manifests::manifest::{Scaling, Spread};

use crate::desired::{AppSpec, ComponentPlan};

/// Each difference, components in order of their names, and the components in which nothing differs.
#[must_use]
pub fn differences(old: Option<&AppSpec>, new: &AppSpec) -> (Vec<Difference>, Vec<ComponentName>) {
    let none = BTreeMap::new();
    let before = old.map_or(&none, |old| &old.components);
    let names: BTreeSet<&ComponentName> = before.keys().chain(new.components.keys()).collect();
    let (mut found, mut same) = (Vec::new(), Vec::new());
    for name in names {
        let mut of_this = Of { component: Some(name), found: Vec::new() };
        match (before.get(name), new.components.get(name)) {
            (Some(old), Some(new)) => of_this.plans(old, new),
            (None, Some(new)) => of_this.note("component", None, Some(describe(new))),
            (Some(old), None) => of_this.note("component", Some(describe(old)), None),
            (None, None) => {}
        }
        if of_this.found.is_empty() {
            same.push(name.clone());
        }
        found.append(&mut of_this.found);
    }
    let mut of_app = Of { component: None, found: Vec::new() };
    // Of the first revision only what differs from the usual policy is worth a word.
    let usual = policy::properties(&[]);
    let before = old.map_or_else(|| usual.clone(), |old| policy::properties(&old.rollouts));
    of_app.pairs("rollout", &before, &policy::properties(&new.rollouts));
    if old.is_none() {
        of_app.found.iter_mut().for_each(|one| one.before = None);
    }
    of_app.compare("description", old.and_then(|old| old.description.clone()), new.description.clone());
    found.append(&mut of_app.found);
    (found, same)
}

struct Of<'a> {
    component: Option<&'a ComponentName>,
    found: Vec<Difference>,
}

impl Of<'_> {
    fn note(&mut self, what: &str, before: Option<String>, after: Option<String>) {
        let component = self.component.cloned();
        self.found.push(Difference { component, what: what.to_owned(), before, after });
    }

    fn compare(&mut self, what: &str, before: Option<String>, after: Option<String>) {
        let empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        if before != after && !(empty(&before) && empty(&after)) {
            self.note(what, before.filter(|text| !text.is_empty()), after.filter(|text| !text.is_empty()));
        }
    }

    fn plans(&mut self, old: &ComponentPlan, new: &ComponentPlan) {
        self.compare("id", Some(old.id.to_string()), Some(new.id.to_string()));
        self.compare("image", Some(image(&old.spec)), Some(image(&new.spec)));
        self.compare("instances", Some(scaling(&old.scaling)), Some(scaling(&new.scaling)));
        self.pairs("config", &old.spec.config, &new.spec.config);
        self.pairs("environment", &old.spec.grants.env, &new.spec.grants.env);
        let hosts = |spec: &ComponentSpec| {
            let entries = spec.grants.allowed_hosts.iter().map(ToString::to_string);
            entries.collect::<Vec<_>>().join(", ")
        };
        self.compare("allowed hosts", Some(hosts(&old.spec)), Some(hosts(&new.spec)));
        let arguments = |spec: &ComponentSpec| {
            (!spec.grants.arguments.is_empty()).then(|| format!("{:?}", spec.grants.arguments))
        };
        self.compare("arguments", arguments(&old.spec), arguments(&new.spec));
        let folders = |spec: &ComponentSpec| {
            let folders: Vec<_> = spec.grants.preopens.iter().map(ToString::to_string).collect();
            Some(folders.join("; "))
        };
        self.compare("folders", folders(&old.spec), folders(&new.spec));
        self.pairs("limit", &limits::properties(&old.spec.limits), &limits::properties(&new.spec.limits));
        let process = |plan: &ComponentPlan| plan.spec.wire_id(&plan.id).map(|id| id.to_string());
        self.compare("process", process(old), process(new));
        let policies = [&old.spec, &new.spec].map(|spec| instances::policy(spec.instance_policy));
        let [before, after] = policies;
        self.compare("instance policy", before, after);
        let probe = |spec: &ComponentSpec| {
            spec.probe.as_ref().map(|probe| {
                let question = match &probe.function {
                    Some(function) => format!("call of {function}"),
                    None => format!("GET {}", probe.path),
                };
                let again = probe.period_ms.map(|ms| format!(", every {ms} ms")).unwrap_or_default();
                format!("{question} within {} ms, {} tries{again}", probe.timeout_ms, probe.attempts)
            })
        };
        self.compare("probe", probe(&old.spec), probe(&new.spec));
        self.secrets("secret", &old.spec.secrets, &new.spec.secrets);
        self.links(&old.spec.links, &new.spec.links);
        self.incoming(&old.spec.incoming, &new.spec.incoming);
        self.routes(&old.spec.routes, &new.spec.routes);
        if self.found.is_empty() && !old.asks_the_same(new) {
            self.note("spec", Some("another".to_owned()), Some("another".to_owned()));
        }
    }

    fn pairs(&mut self, what: &str, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let (before, after) = (old.get(key), new.get(key));
            if before != after {
                self.note(&format!("{what} {key}"), before.cloned(), after.cloned());
            }
        }
    }

    fn links(&mut self, old: &[LinkSpec], new: &[LinkSpec]) {
        let by_key = |links: &[LinkSpec]| {
            links.iter().map(|link| (link_name(link), link.clone())).collect::<BTreeMap<_, _>>()
        };
        let (old, new) = (by_key(old), by_key(new));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) => {
                    let what = format!("link {name}");
                    self.compare(&what, Some(interfaces(old)), Some(interfaces(new)));
                    self.pairs(&format!("{what} config"), &old.source_config, &new.source_config);
                    self.pairs(&format!("{what} target config"), &old.target_config, &new.target_config);
                    self.secrets(&format!("{what} secret"), &old.source_secrets, &new.source_secrets);
                    self.secrets(&format!("{what} target secret"), &old.target_secrets, &new.target_secrets);
                    self.compare(&format!("{what} answered by"), answering(old), answering(new));
                    let named = |link: &LinkSpec| link.transport.name().map(str::to_owned);
                    self.compare(&format!("{what} transport"), named(old), named(new));
                }
                (before, after) => {
                    self.note(&format!("link {name}"), before.map(interfaces), after.map(interfaces));
                }
            }
        }
    }

    /// References as people write them; a value is nowhere near.
    fn secrets(&mut self, what: &str, old: &[SecretRef], new: &[SecretRef]) {
        let texts = |secrets: &[SecretRef]| {
            secrets.iter().map(|one| (one.name.clone(), secret(one))).collect::<BTreeMap<_, _>>()
        };
        self.pairs(what, &texts(old), &texts(new));
    }

    /// Links of the own app that lead to a provider. What they carry is told at their sources.
    fn incoming(&mut self, old: &[IncomingLink], new: &[IncomingLink]) {
        let keys =
            |links: &[IncomingLink]| links.iter().map(|link| link.key().to_string()).collect::<BTreeSet<_>>();
        let (old, new) = (keys(old), keys(new));
        for gone in old.difference(&new) {
            self.note("link from", Some(gone.clone()), None);
        }
        for come in new.difference(&old) {
            self.note("link from", None, Some(come.clone()));
        }
    }

    fn routes(&mut self, old: &[HttpRoute], new: &[HttpRoute]) {
        let text = |route: &HttpRoute| {
            let timeout = route.timeout_ms.map(|time| format!(" within {time} ms")).unwrap_or_default();
            format!("{} -> {}{timeout}", route.describe(), route.target)
        };
        let texts = |routes: &[HttpRoute]| routes.iter().map(text).collect::<BTreeSet<_>>();
        let (old, new) = (texts(old), texts(new));
        for gone in old.difference(&new) {
            self.note("route", Some(gone.clone()), None);
        }
        for come in new.difference(&old) {
            self.note("route", None, Some(come.clone()));
        }
    }
}

fn describe(plan: &ComponentPlan) -> String {
    format!("{}, {}", image(&plan.spec), scaling(&plan.scaling))
}

fn image(spec: &ComponentSpec) -> String {
    let reference = spec.workload.reference();
    match spec.workload.image() {
        Some(image) => format!("{reference} ({})", image.digest.short()),
        None => reference.to_owned(),
    }
}

fn link_name(link: &LinkSpec) -> String {
    let name = if link.name.0 == "default" { String::new() } else { format!(" ({})", link.name.0) };
    format!("{}:{} -> {}{name}", link.namespace, link.package, link.target_name)
}

/// `KEY of BACKEND`, with the field, version and properties that it has.
fn secret(secret: &SecretRef) -> String {
    let SecretRef { name: _, backend, key, field, version, properties } = secret;
    let field = field.iter().map(|field| format!(", field {field}"));
    let version = version.iter().map(|version| format!(", version {version}"));
    let properties = properties.iter().map(|(key, value)| format!(", {key} {value}"));
    let rest: String = field.chain(version).chain(properties).collect();
    format!("{key} of {backend}{rest}")
}

/// The provider at the other end, where it is one.
fn answering(link: &LinkSpec) -> Option<String> {
    match link.provider.as_ref()? {
        ProviderTarget::Process { wire_id } => Some(wire_id.to_string()),
        ProviderTarget::Elsewhere => Some(format!("{}, a provider of another app", link.target)),
    }
}

fn interfaces(link: &LinkSpec) -> String {
    link.interfaces.join(", ")
}

fn scaling(scaling: &Scaling) -> String {
    let places = |spreads: &[Spread]| {
        let text = |spread: &Spread| {
            let wants = spread.requirements.0.iter().map(|(key, value)| format!("{key}={value}"));
            let wants: Vec<String> = wants.collect();
            if wants.is_empty() {
                spread.name.clone()
            } else {
                format!("{} {}", spread.weight, wants.join(","))
            }
        };
        let texts: Vec<String> =
            spreads.iter().filter(|spread| spread.name != Spread::DEFAULT_NAME).map(text).collect();
        if texts.is_empty() { String::new() } else { format!(" ({})", texts.join("; ")) }
    };
    match scaling {
        Scaling::None => "0".to_owned(),
        Scaling::Spread { instances, spreads } => format!("{instances}{}", places(spreads)),
        Scaling::Daemon { instances, spreads } => format!("{instances} on every host{}", places(spreads)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::App;

    #[test]
    fn every_kind_of_change_has_its_word() {
        let spec = |line: &str, number| App::new("shop", line).spec(number);
        let old = spec("front=v1 back=v1", 1);
        let (found, same) = differences(Some(&old), &spec("front=v1 back=v1", 2));
        assert_eq!((found.len(), same.len()), (0, 2));
        let (found, same) = differences(Some(&old), &spec("front=v2x3 cache=v1 policy.strategy=canary", 2));
        let words: Vec<String> = found
            .iter()
            .map(|one| format!("{} {}", one.component.as_ref().map_or("", ComponentName::as_str), one.what))
            .collect();
        assert_eq!(
            words,
            ["back component", "cache component", "front image", " rollout steps", " rollout strategy"],
            "{found:#?}"
        );
        assert!(same.is_empty());
        // A change of a bound or a time is a change, also where there are as many of them as before.
        let gated = |gates: &str| spec(&format!("front=v1 back=v1 policy.gates={gates}"), 1);
        let (found, _) = differences(Some(&gated("errors<=1%")), &gated("errors<=5%"));
        let texts: Vec<_> = found.iter().map(|one| (one.before.as_deref(), one.after.as_deref())).collect();
        let gates = (Some("errors<=1%, samples>=20"), Some("errors<=5%, samples>=20"));
        assert_eq!(texts, [gates], "{found:#?}");
        let (found, _) = differences(None, &old);
        assert!(found.iter().all(|one| one.before.is_none()), "{found:#?}");
    }
}
