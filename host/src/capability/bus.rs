//! `wasmcloud:bus/lattice`: a component with several links of an interface says over which of them its next calls go.
//!
//! What was chosen is of one call of the component and ends with it. In 1.x all calls of a component share it, so that
//! two at the same time disturb one another. A link that there is not cannot be chosen: what a call keeps is never more
//! than one name for each interface that the component has links of.

use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::{LinkName, LinkSpec, WitInterface};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};

use crate::engine::{CallState, bounded};

/// The interface, without its version.
pub(crate) const LATTICE: &str = "wasmcloud:bus/lattice";

/// What the interfaces of key-value are chosen as: a bucket is opened over one link, and everything is done there.
pub(crate) const KEYVALUE: &str = "wasi:keyvalue";
/// The same of containers.
pub(crate) const BLOBSTORE: &str = "wasi:blobstore";
/// What the ways to send requests are chosen as: in 0.2 and 0.3 they go over the same links.
pub(crate) const REQUESTS: &str = "wasi:http/outgoing-handler";

type Context<'a> = StoreContextMut<'a, CallState>;

/// Whether the interface is answered in this version: any of 1.x, where nothing is told of a choice that cannot be, and
/// any of 2.x.
pub(crate) fn answers(version: &str) -> bool {
    !version.contains('-') && (is_first(version) || version.starts_with("2."))
}

fn is_first(version: &str) -> bool {
    version.starts_with("1.")
}

/// Whether an import is the interface.
pub(crate) fn is(import: &str) -> bool {
    import.split_once('@').is_some_and(|(name, version)| name == LATTICE && answers(version))
}

/// What an interface is chosen as: itself, unless its links belong together with those of others.
pub(crate) fn subject(interface: &WitInterface) -> String {
    let WitInterface { namespace, package, interface: name } = interface;
    match (&**namespace, &**package, &**name) {
        ("wasi", "keyvalue", "store" | "atomics" | "batch") => KEYVALUE.to_owned(),
        ("wasi", "blobstore", "blobstore" | "container" | "types") => BLOBSTORE.to_owned(),
        ("wasi", "http", "outgoing-handler" | "client") => REQUESTS.to_owned(),
        _ => interface.to_string(),
    }
}

/// What one call has chosen: a link for each subject of which it has not the usual one.
#[derive(Debug, Default)]
pub(crate) struct Choices(Vec<(Arc<str>, LinkName)>);

impl Choices {
    /// The link that was chosen for a subject.
    pub(crate) fn of(&self, subject: &str) -> Option<&LinkName> {
        self.0.iter().find(|(chosen, _)| **chosen == *subject).map(|(_, name)| name)
    }

    /// Chooses a link for a subject, or the usual one again.
    pub(crate) fn set(&mut self, subject: &Arc<str>, name: Option<LinkName>) {
        self.0.retain(|(chosen, _)| chosen != subject);
        self.0.extend(name.map(|name| (Arc::clone(subject), name)));
    }

    /// Forgets everything; false when there was nothing.
    pub(crate) fn forget(&mut self) -> bool {
        let some = !self.0.is_empty();
        self.0.clear();
        some
    }
}

/// The links that a component can choose among.
#[derive(Debug, Default)]
pub(crate) struct Offer(BTreeMap<Arc<str>, Vec<LinkName>>);

/// An interface that a component has named.
struct Target {
    /// Its name, for people.
    interface: String,
    /// What it is chosen as; none when no link carries it.
    subject: Option<Arc<str>>,
}

impl Offer {
    /// What there is among the links of a component.
    pub(crate) fn of(links: &[LinkSpec]) -> Self {
        let mut offer = BTreeMap::<Arc<str>, Vec<LinkName>>::new();
        for link in links {
            for name in &link.interfaces {
                let (namespace, package) = (link.namespace.clone(), link.package.clone());
                let interface = WitInterface { namespace, package, interface: name.clone() };
                let names = offer.entry(subject(&interface).into()).or_default();
                if !names.contains(&link.name) {
                    names.push(link.name.clone());
                }
            }
        }
        Self(offer)
    }

    fn target(&self, namespace: String, package: String, interface: String) -> Target {
        let interface = WitInterface { namespace, package, interface };
        let subject = self.0.get_key_value(&*subject(&interface)).map(|(subject, _)| Arc::clone(subject));
        Target { interface: bounded(&interface.to_string()), subject }
    }

    /// Whether the link `name` carries every one of `targets`; gives what they are chosen as.
    fn choose(&self, name: &LinkName, targets: Vec<Target>) -> Result<Vec<Arc<str>>, String> {
        let judged = targets.into_iter().map(|Target { interface, subject }| {
            let Some((subject, names)) = subject.as_ref().and_then(|subject| self.0.get_key_value(subject))
            else {
                let carried = listed(self.0.keys());
                let there = if carried.is_empty() { "has no links" } else { "has links of " };
                return Err(format!("no link carries `{interface}`: the component {there}{carried}"));
            };
            if names.contains(name) {
                return Ok(Arc::clone(subject));
            }
            Err(format!("no link `{name}` carries `{interface}`: its links are {}", listed(names)))
        });
        judged.collect::<Result<_, _>>().map_err(|problem| bounded(&problem))
    }
}

fn listed(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Adds the interface under the name that the component imports it by.
pub(crate) fn add(linker: &mut Linker<CallState>, import: &str, offer: &Arc<Offer>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(import)?;
    instance.resource("call-target-interface", ResourceType::host::<Target>(), |mut store, handle| {
        store.data_mut().table().delete(Resource::<Target>::new_own(handle))?;
        Ok(())
    })?;
    let named = Arc::clone(offer);
    instance.func_wrap(
        "[constructor]call-target-interface",
        move |mut store: Context<'_>, (namespace, package, interface): (String, String, String)| {
            let target = named.target(namespace, package, interface);
            Ok((store.data_mut().table().push(target)?,))
        },
    )?;
    let offer = Arc::clone(offer);
    if import.rsplit_once('@').is_some_and(|(_, version)| is_first(version)) {
        return instance.func_wrap(
            "set-link-name",
            move |mut store: Context<'_>, (name, targets): (String, Vec<Resource<Target>>)| {
                if let Err(problem) = set(&mut store, &offer, name, targets)? {
                    store.data().unit.log.failed(&format!("set-link-name has changed nothing: {problem}"));
                }
                Ok(())
            },
        );
    }
    instance.func_wrap(
        "set-link-name",
        move |mut store: Context<'_>, (name, targets): (String, Vec<Resource<Target>>)| {
            Ok((set(&mut store, &offer, name, targets)?,))
        },
    )
}

/// Chooses a link for all of these interfaces, or for none of them.
fn set(
    store: &mut Context<'_>,
    offer: &Offer,
    name: String,
    targets: Vec<Resource<Target>>,
) -> wasmtime::Result<Result<(), String>> {
    let state = store.data_mut();
    let targets = targets.into_iter().map(|target| state.table().delete(target));
    let targets = targets.collect::<Result<Vec<Target>, _>>()?;
    let name = LinkName(name);
    Ok(offer.choose(&name, targets).map(|subjects| {
        let name = (name != LinkName::default()).then_some(name);
        for subject in &subjects {
            state.choose(subject, name.as_ref());
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::demo_link;

    fn link(name: &str, package: &str, interface: &str) -> LinkSpec {
        let package = package.to_owned();
        LinkSpec {
            name: LinkName(name.to_owned()),
            namespace: "wasi".into(),
            package,
            ..demo_link(interface, "x")
        }
    }

    fn choose(offer: &Offer, name: &str, interfaces: &[[&str; 3]]) -> Result<Vec<String>, String> {
        let named = interfaces.iter().map(|interface| interface.map(str::to_owned));
        let targets =
            named.map(|[namespace, package, name]| offer.target(namespace, package, name)).collect();
        let subjects = offer.choose(&LinkName(name.to_owned()), targets)?;
        Ok(subjects.iter().map(|subject| subject.as_ref().to_owned()).collect())
    }

    #[test]
    fn links_are_chosen_by_what_they_carry() {
        let offer = Offer::of(&[
            link("default", "keyvalue", "store"),
            link("cache", "keyvalue", "store"),
            link("default", "http", "client"),
            demo_link("greeter", "x"),
        ]);
        let greeter = ["lath", "demo", "greeter"];
        assert_eq!(choose(&offer, "cache", &[["wasi", "keyvalue", "store"]]).unwrap(), [KEYVALUE]);
        // These go along with `store`.
        assert_eq!(choose(&offer, "cache", &[["wasi", "keyvalue", "atomics"]]).unwrap(), [KEYVALUE]);
        assert_eq!(choose(&offer, "default", &[["wasi", "http", "outgoing-handler"]]).unwrap(), [REQUESTS]);
        assert_eq!(choose(&offer, "default", &[greeter]).unwrap(), ["lath:demo/greeter"]);
        assert_eq!(choose(&offer, "anything", &[]).unwrap(), [""; 0]);
        // All of them, or none.
        let problem = choose(&offer, "cache", &[["wasi", "keyvalue", "store"], greeter]).unwrap_err();
        assert_eq!(problem, "no link `cache` carries `lath:demo/greeter`: its links are `default`");
        let problem = choose(&offer, "nowhere", &[["wasi", "keyvalue", "store"]]).unwrap_err();
        assert_eq!(
            problem,
            "no link `nowhere` carries `wasi:keyvalue/store`: its links are `default`, `cache`"
        );
        let problem = choose(&offer, "default", &[["wasi", "keyvalue", "watcher"]]).unwrap_err();
        for part in ["no link carries `wasi:keyvalue/watcher`", "has links of `lath:demo/greeter`"] {
            assert!(problem.contains(part), "{part} is not in: {problem}");
        }
        let problem = choose(&Offer::default(), "default", &[greeter]).unwrap_err();
        assert!(problem.ends_with("the component has no links"), "{problem}");
    }

    #[test]
    fn a_refusal_has_a_bound_whatever_was_asked_for() {
        let (offer, long) = (Offer::of(&[demo_link("greeter", "x")]), "x\n".repeat(100_000));
        for problem in [
            choose(&offer, &long, &[["lath", "demo", "greeter"]]).unwrap_err(),
            choose(&offer, "default", &[[&long, &long, &long]]).unwrap_err(),
        ] {
            assert!(problem.len() < 3_000 && !problem.contains('\n'), "{problem}");
        }
    }

    #[test]
    fn a_choice_lasts_until_it_is_changed_or_forgotten() {
        let (subject, other): (Arc<str>, Arc<str>) = (KEYVALUE.into(), REQUESTS.into());
        let mut choices = Choices::default();
        assert!(!choices.forget());
        for name in ["a", "b"] {
            choices.set(&subject, Some(LinkName(name.to_owned())));
            assert_eq!(choices.of(KEYVALUE).unwrap().0, name);
        }
        choices.set(&other, Some(LinkName("a".to_owned())));
        choices.set(&subject, None);
        assert_eq!((choices.of(KEYVALUE), choices.of(REQUESTS).unwrap().0.as_str()), (None, "a"));
        assert!(choices.forget());
        assert_eq!(choices.of(REQUESTS), None);
    }

    #[test]
    fn all_released_versions_are_answered() {
        for version in ["1.0.0", "2.0.0", "2.0.1"] {
            assert!(is(&format!("{LATTICE}@{version}")), "{version}");
        }
        for other in ["wasmcloud:bus/lattice", "wasmcloud:bus/lattice@3.0.0", "wasmcloud:bus/error@2.0.1"] {
            assert!(!is(other), "{other}");
        }
    }
}
