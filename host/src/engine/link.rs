//! From the imports of a component to where each goes: a capability of the host, a link, or a refusal that says
//! what would have provided it.
//!
//! Every import is judged before anything is refused, so that one look at the message tells all that is missing.

use std::sync::Arc;

use lath_control_api::{Builtin, ComponentId, ComponentSpec, LinkSpec, Reason, Transport, WitInterface};
use wasmtime::AsContextMut as _;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker, LinkerInstance, ResourceType};

use crate::capability::bound::Bindings;
use crate::capability::bus::{self, Offer};
use crate::capability::{self, Provision};
use crate::engine::choice::{Linked, OneOf};
use crate::engine::code::Code;
use crate::engine::crossing;
use crate::engine::handles::{Resources, function_types, resources_of};
use crate::engine::http_link::{HttpLink, add_handler};
use crate::engine::linked::LinkedFunction;
use crate::engine::typed;
use crate::engine::unit::CallState;
use crate::engine::{FunctionTypes, PrepareError, Targets};

/// A component that must serve on the host of its caller, because what the caller calls it with does not leave a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beside {
    /// The target of the link.
    pub(crate) target: ComponentId,
    /// Which interface and function, or which link, needs it, and why.
    pub(crate) because: String,
}

/// A component whose imports are connected.
pub(crate) struct Connected {
    pub(crate) pre: InstancePre<CallState>,
    /// Each target once.
    pub(crate) beside: Vec<Beside>,
    /// Functions that links to components carry.
    pub(crate) linked: Vec<Arc<LinkedFunction>>,
}

/// Most missing imports that a message lists.
const MAX_LISTED: usize = 10;

/// Where an import goes.
enum Way<'a> {
    /// The host has it already in the linker of every component.
    Core,
    /// The host adds it for this component.
    Capability,
    /// The component chooses by it among its links.
    Bus,
    /// A capability that a link leads to answers it.
    Linked(&'a dyn capability::bound::Capability),
    /// Links carry its functions.
    Link(OneOf<&'a LinkSpec>, Vec<(String, FunctionTypes)>),
    /// Links carry its requests: `wasi:http/handler`.
    Handler(OneOf<&'a LinkSpec>),
    /// It holds types only; nothing has to be there.
    TypesOnly,
}

impl Way<'_> {
    /// Whether what answers it holds nothing of the unit or its links.
    const fn is_the_same_for_all(&self) -> bool {
        match self {
            Self::Core | Self::Capability | Self::TypesOnly => true,
            Self::Bus | Self::Linked(_) | Self::Link(..) | Self::Handler(_) => false,
        }
    }
}

/// What the imports of a component may be answered with.
struct Around<'a> {
    links: &'a [LinkSpec],
    bound: &'a Bindings,
    /// Whether the component chooses among its links. One that does not has one of each interface.
    chooses: bool,
}

/// What the functions of links are made with.
struct Making<'a> {
    targets: &'a Arc<dyn Targets>,
    resources: Arc<Resources>,
    /// All links of the component.
    links: &'a [LinkSpec],
}

/// Connects every import of `code`.
///
/// # Errors
/// [`Reason::ImportUnsatisfied`] with every import that leads nowhere.
pub(crate) fn link(
    base: &Linker<CallState>,
    code: &Code,
    spec: &ComponentSpec,
    targets: &Arc<dyn Targets>,
    bound: &Bindings,
) -> Result<Connected, PrepareError> {
    let component = &code.component;
    let engine = component.engine();
    let (mut ways, mut problems) = (Vec::new(), Vec::new());
    let ty = component.component_type();
    let chooses = ty.imports(engine).any(|(name, _)| bus::is(name));
    let around = Around { links: &spec.links, bound, chooses };
    for (name, import) in ty.imports(engine) {
        let way = match import.ty {
            ComponentItem::ComponentInstance(instance) => way(name, &instance, engine, &around),
            ComponentItem::Type(_) => Ok(Way::TypesOnly),
            ComponentItem::ComponentFunc(_) => {
                Err(format!("`{name}`: a function outside an interface cannot be linked"))
            }
            ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::Resource(_) => Err(format!("`{name}`: only interfaces can be imported")),
        };
        match way {
            Ok(way) => ways.push((name, way)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() && ways.iter().all(|(_, way)| way.is_the_same_for_all()) {
        let making = Making { targets, resources: Arc::default(), links: &spec.links };
        let connect = || connect_all(base, component, ways, problems, &making, &mut Vec::new());
        let pre = code.unlinked(connect)?;
        return Ok(Connected { pre, beside: asked_beside(&spec.links), linked: Vec::new() });
    }
    let making = Making { targets, resources: Arc::new(Resources::imported(component)), links: &spec.links };
    problems.extend(misplaced(&ways, &making.resources));
    problems.extend(sent_away(&ways));
    let beside = [beside(&ways), asked_beside(&spec.links)].concat();
    let mut linked = Vec::new();
    let pre = connect_all(base, component, ways, problems, &making, &mut linked)?;
    Ok(Connected { pre, beside, linked })
}

/// Functions of links whose resources do not come from the component that the link leads to.
fn misplaced(ways: &[(&str, Way<'_>)], resources: &Resources) -> Vec<String> {
    let home = |instance: &str| {
        ways.iter().find_map(|(name, way)| match way {
            Way::Link(links, _) if *name == instance => Some(links),
            _ => None,
        })
    };
    let mut problems = Vec::new();
    for (name, link, function, types) in linked_functions(ways) {
        for ty in resources_of(types) {
            let Some(resource) = resources.of(ty) else { continue };
            let (of, from) = (&resource.name, &resource.instance);
            let problem = match home(from) {
                Some(links) if links.each().any(|home| home.target == link.target) => continue,
                Some(links) => format!(
                    "the link of `{from}` leads to `{}`, and the link of `{name}` to `{}`: lead both to one \
                     component",
                    links.usual.target, link.target
                ),
                None => {
                    "it is the host's own, which no link carries; give bytes, strings, a resource of the \
                         interface itself, or in WASI 0.3 a stream"
                        .to_owned()
                }
            };
            problems.push(format!(
                "`{name}`: its function `{function}` has the resource `{of}` of `{from}`: {problem}"
            ));
        }
    }
    problems
}

/// The targets that must serve on the same host.
fn beside(ways: &[(&str, Way<'_>)]) -> Vec<Beside> {
    let mut found: Vec<Beside> = Vec::new();
    for (name, link, function, types) in linked_functions(ways) {
        if types.handles.any() && found.iter().all(|other| other.target != link.target) {
            let because = format!(
                "the function `{function}` of `{name}` has {}, which do not leave a host",
                types.handles.name()
            );
            found.push(Beside { target: link.target.clone(), because });
        }
    }
    found
}

/// The targets of links that are not to leave the host.
fn asked_beside(links: &[LinkSpec]) -> Vec<Beside> {
    let inprocess = links.iter().filter(|link| link.transport == Transport::Inprocess);
    let asked = inprocess.map(|link| Beside {
        target: link.target.clone(),
        because: format!("the link `{}` to `{}` has `transport: inprocess`", link.name, link.target_name),
    });
    asked.collect()
}

/// Functions of links over the lattice that cannot go there.
fn sent_away(ways: &[(&str, Way<'_>)]) -> Vec<String> {
    let sent = linked_functions(ways)
        .filter(|(_, link, _, types)| link.transport == Transport::Wrpc && types.handles.any());
    let problem = |(name, link, function, types): (&str, &LinkSpec, &str, &FunctionTypes)| {
        format!(
            "`{name}`: its function `{function}` has {}, which do not leave a host, and the link `{}` to `{}` has \
             `transport: wrpc`: leave `transport` out",
            types.handles.name(),
            link.name,
            link.target_name
        )
    };
    sent.map(problem).collect()
}

/// Every function that goes over a link: interface, link, name, types.
fn linked_functions<'a>(
    ways: &'a [(&'a str, Way<'a>)],
) -> impl Iterator<Item = (&'a str, &'a LinkSpec, &'a str, &'a FunctionTypes)> {
    ways.iter().flat_map(|(name, way)| {
        let of_links = match way {
            Way::Link(links, functions) => Some((links, functions)),
            _ => None,
        };
        of_links.into_iter().flat_map(move |(links, functions)| {
            links.each().flat_map(move |link| {
                functions.iter().map(move |(function, types)| (*name, *link, function.as_str(), types))
            })
        })
    })
}

/// Connects what can be, so that all problems are told at once.
fn connect_all(
    base: &Linker<CallState>,
    component: &Component,
    ways: Vec<(&str, Way<'_>)>,
    mut problems: Vec<String>,
    making: &Making<'_>,
    linked: &mut Vec<Arc<LinkedFunction>>,
) -> Result<InstancePre<CallState>, PrepareError> {
    let mut linker = base.clone();
    for (name, way) in ways {
        let connected = connect(&mut linker, name, way, making, linked);
        problems.extend(connected.err().map(|error| format!("`{name}`: {error:#}")));
    }
    if !problems.is_empty() {
        return Err(unsatisfied(&problems));
    }
    linker.instantiate_pre(component).map_err(|error| unsatisfied(&[format!("{error:#}")]))
}

fn way<'a>(
    name: &str,
    instance: &ComponentInstance,
    engine: &wasmtime::Engine,
    around: &Around<'a>,
) -> Result<Way<'a>, String> {
    let interface = WitInterface::of_instance(name);
    let links = interface.as_ref().and_then(|interface| carrying(around.links, interface));
    let links = links.map(|links| if around.chooses { links } else { links.only() });
    match (capability::provision(name), links) {
        (Provision::Always, _) => Ok(Way::Core),
        (Provision::OfLinks, _) => Ok(Way::Bus),
        (Provision::Unlinked, None) => Ok(Way::Capability),
        (_, Some(links)) => match answering(name, &links, around.bound)? {
            Some(capability) => Ok(Way::Linked(capability)),
            None if is_handler(name) => Ok(Way::Handler(links)),
            None => Ok(Way::Link(links, functions(name, instance, engine)?)),
        },
        (Provision::OtherVersion(here), None) => {
            Err(format!("`{name}`: this host has the interface in {here}"))
        }
        (Provision::Unknown, None) if holds_types_only(instance, engine) => Ok(Way::TypesOnly),
        (Provision::Unknown, None) => Err(match interface {
            Some(interface) => format!(
                "`{name}`: no link carries it and the host has no such capability; {}",
                remedy(&interface, around.links)
            ),
            None => format!("`{name}`: it is no interface of a package, so no link can carry it"),
        }),
    }
}

/// What to change so that something answers an interface.
fn remedy(wanted: &WitInterface, links: &[LinkSpec]) -> String {
    let WitInterface { namespace, package, interface } = wanted;
    let of_package = |link: &&LinkSpec| link.namespace == *namespace && link.package == *package;
    if let Some(link) = links.iter().find(of_package) {
        let (target, carried) = (&link.target_name, link.interfaces.join(", "));
        return format!(
            "the `link` to `{target}` carries [{carried}] of `{namespace}:{package}`: add `{interface}` to its \
             interfaces, or link another component that exports it"
        );
    }
    let to = capability::provided_by(wanted).unwrap_or("a component that exports it");
    format!(
        "give the component a `link` trait with namespace `{namespace}`, package `{package}` and interfaces \
         [`{interface}`], to {to}"
    )
}

/// Whether an import is the handler of WASI 0.3, whose requests pass through the host.
fn is_handler(name: &str) -> bool {
    name.strip_prefix("wasi:http/handler@").is_some_and(|version| version.starts_with("0.3."))
}

/// The capability that answers for what all of `links` lead to; none where components or providers do themselves.
fn answering<'a>(
    name: &str,
    links: &OneOf<&'a LinkSpec>,
    bound: &'a Bindings,
) -> Result<Option<&'a dyn capability::bound::Capability>, String> {
    let behind = |link: &LinkSpec| match link.builtin {
        Some(builtin) => linked(name, builtin, bound).map(Some),
        None => Ok(spoken_for(name, bound).filter(|_| link.provider.is_some())),
    };
    let usual = behind(links.usual)?;
    for link in links.each() {
        if behind(link)?.map(|capability| capability.name()) != usual.map(|capability| capability.name()) {
            return Err(format!(
                "`{name}`: its link `{}` to `{}` and its link `{}` to `{}` lead to a capability and to a component, \
                 between which no call can choose: let all lead to capabilities, or all to components",
                links.usual.name, links.usual.target_name, link.name, link.target_name
            ));
        }
    }
    Ok(usual)
}

/// The capability behind a builtin, if it has the interface in the version that is asked for.
fn linked<'a>(
    name: &str,
    builtin: Builtin,
    bound: &'a Bindings,
) -> Result<&'a dyn capability::bound::Capability, String> {
    let capability = bound.behind(builtin).ok_or_else(|| format!("`{name}`: {builtin} is not linked"))?;
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let offered = capability.interfaces().iter();
    match offered.clone().find(|offered| offered.name == interface) {
        Some(offered) if offered.versions.contains(&version) => Ok(capability),
        Some(offered) => Err(format!("`{name}`: {builtin} has it in {}", offered.versions.join(" or "))),
        None => {
            let names: Vec<&str> = offered.map(|offered| offered.name).collect();
            Err(format!("`{name}`: {builtin} does not answer it; it answers {}", names.join(", ")))
        }
    }
}

/// The capability that speaks for a provider, in this version of an interface that components have in another form.
fn spoken_for<'a>(name: &str, bound: &'a Bindings) -> Option<&'a dyn capability::bound::Capability> {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let capability = bound.answering(interface)?;
    let mut offered = capability.interfaces().iter();
    offered
        .any(|offered| offered.name == interface && offered.versions.contains(&version))
        .then_some(capability)
}

/// The links of an interface; where none carries it, those to providers that name another interface of the package, where
/// that is enough.
fn carrying<'a>(links: &'a [LinkSpec], interface: &WitInterface) -> Option<OneOf<&'a LinkSpec>> {
    let of_package = |link: &&LinkSpec| {
        link.provider.is_some() && link.namespace == interface.namespace && link.package == interface.package
    };
    OneOf::of(links.iter().filter(|link| link.carries(interface))).or_else(|| {
        capability::goes_with_its_package(interface).then(|| OneOf::of(links.iter().filter(of_package)))?
    })
}

fn functions(
    name: &str,
    instance: &ComponentInstance,
    engine: &wasmtime::Engine,
) -> Result<Vec<(String, FunctionTypes)>, String> {
    let mut functions = Vec::new();
    for (function, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(ty) => {
                let types = function_types(&ty).map_err(|part| {
                    format!("`{name}`: its function `{function}` has {part}, which no link carries")
                })?;
                functions.push((function.to_owned(), types));
            }
            ComponentItem::Type(_) | ComponentItem::Resource(_) => {}
            ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::ComponentInstance(_) => {
                return Err(format!("`{name}`: its export `{function}` is neither a function nor a type"));
            }
        }
    }
    Ok(functions)
}

fn holds_types_only(instance: &ComponentInstance, engine: &wasmtime::Engine) -> bool {
    instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
}

fn connect(
    linker: &mut Linker<CallState>,
    name: &str,
    way: Way<'_>,
    making: &Making<'_>,
    all: &mut Vec<Arc<LinkedFunction>>,
) -> wasmtime::Result<()> {
    let Making { targets, resources, links: of_all } = making;
    match way {
        Way::Core | Way::TypesOnly => Ok(()),
        Way::Capability => capability::add(linker, name),
        Way::Bus => bus::add(linker, name, &Arc::new(Offer::of(of_all))),
        Way::Linked(capability) => capability.add(linker, name),
        Way::Handler(links) => {
            let links = links.map(|link| HttpLink::new(link, targets));
            add_handler(linker, name, &subject(name), links)
        }
        Way::Link(links, functions) => {
            let links = links.map(|link| Arc::new((*link).clone()));
            let subject = subject(name);
            let mut instance = linker.instance(name)?;
            for resource in resources.iter().filter(|resource| resource.instance == name) {
                let Some(number) = resources.number(resource.ty) else { continue };
                let ty = ResourceType::host_dynamic(number);
                instance.resource(&resource.name, ty, crossing::dropped)?;
            }
            for (function, types) in functions {
                let over = links.map(|link| {
                    let linked = LinkedFunction::new(
                        Arc::clone(targets),
                        Arc::clone(link),
                        name.to_owned(),
                        (function.clone(), types.clone()),
                        Arc::clone(resources),
                    );
                    let linked = Arc::new(linked);
                    if link.provider.is_none() {
                        all.push(Arc::clone(&linked));
                    }
                    linked
                });
                connect_function(&mut instance, &function, Linked::new(&subject, over))?;
            }
            Ok(())
        }
    }
}

/// What an import is chosen as.
fn subject(name: &str) -> String {
    WitInterface::of_instance(name).map_or_else(|| name.to_owned(), |interface| bus::subject(&interface))
}

fn connect_function(
    instance: &mut LinkerInstance<'_, CallState>,
    name: &str,
    linked: Linked,
) -> wasmtime::Result<()> {
    let usual = linked.usual();
    if let Some(typed::Way { add, .. }) = typed::way(usual.types()) {
        return add(instance, name, linked);
    }
    if usual.is_async() {
        return instance.func_new_concurrent(name, move |accessor, _, params, results| {
            let linked = linked.clone();
            Box::pin(async move {
                let (linked, begun) = accessor.with(|mut store| {
                    let linked = linked.chosen(store.get());
                    let begun = linked.begin(store.as_context_mut(), params)?;
                    Ok::<_, wasmtime::Error>((linked, begun))
                })?;
                let received = linked.wait(begun, params, results).await?;
                accessor.with(|mut store| LinkedFunction::finish(store.as_context_mut(), received, results))
            })
        });
    }
    instance.func_new_async(name, move |mut store, _, params, results| {
        let linked = linked.clone().chosen(store.data());
        Box::new(async move {
            let begun = linked.begin(store.as_context_mut(), params)?;
            let received = linked.wait(begun, params, results).await?;
            LinkedFunction::finish(store, received, results)
        })
    })
}

fn unsatisfied(problems: &[String]) -> PrepareError {
    let listed: Vec<&str> = problems.iter().take(MAX_LISTED).map(String::as_str).collect();
    let more = match problems.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let what = if problems.len() == 1 { "an import is" } else { "imports are" };
    PrepareError::new(Reason::ImportUnsatisfied, format!("{what} not satisfied: {}{more}", listed.join("; ")))
}
