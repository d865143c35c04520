//! From the imports of a component to where each goes: a capability of the host, a link, or a refusal that says
//! what would have provided it.
//!
//! Every import is judged before anything is refused, so that one look at the message tells all that is missing.

use std::sync::Arc;

use lath_control_api::{Builtin, ComponentSpec, LinkName, LinkSpec, Reason, WitInterface};
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker};

use crate::capability::bound::Bindings;
use crate::capability::{self, Provision};
use crate::engine::code::Code;
use crate::engine::exports::function_types;
use crate::engine::http_link::{HttpLink, add_handler};
use crate::engine::linked::LinkedFunction;
use crate::engine::typed;
use crate::engine::unit::CallState;
use crate::engine::{FunctionTypes, PrepareError, Targets};

/// Most missing imports that a message lists.
const MAX_LISTED: usize = 10;

/// Where an import goes.
enum Way<'a> {
    /// The host has it already in the linker of every component.
    Core,
    /// The host adds it for this component.
    Capability,
    /// A capability that a link leads to answers it.
    Linked(&'a dyn capability::bound::Capability),
    /// A link carries its functions.
    Link(&'a LinkSpec, Vec<(String, FunctionTypes)>),
    /// A link carries its requests: `wasi:http/handler`.
    Handler(&'a LinkSpec),
    /// It holds types only; nothing has to be there.
    TypesOnly,
}

impl Way<'_> {
    /// Whether what answers it holds nothing of the unit or its links.
    const fn is_the_same_for_all(&self) -> bool {
        match self {
            Self::Core | Self::Capability | Self::TypesOnly => true,
            Self::Linked(_) | Self::Link(..) | Self::Handler(_) => false,
        }
    }
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
) -> Result<InstancePre<CallState>, PrepareError> {
    let component = &code.component;
    let engine = component.engine();
    let (mut ways, mut problems) = (Vec::new(), Vec::new());
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        let way = match import.ty {
            ComponentItem::ComponentInstance(instance) => way(name, &instance, engine, &spec.links, bound),
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
        return code.unlinked(|| connect_all(base, component, ways, problems, targets));
    }
    connect_all(base, component, ways, problems, targets)
}

/// Connects what can be, so that all problems are told at once.
fn connect_all(
    base: &Linker<CallState>,
    component: &Component,
    ways: Vec<(&str, Way<'_>)>,
    mut problems: Vec<String>,
    targets: &Arc<dyn Targets>,
) -> Result<InstancePre<CallState>, PrepareError> {
    let mut linker = base.clone();
    for (name, way) in ways {
        let connected = connect(&mut linker, name, way, targets);
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
    links: &'a [LinkSpec],
    bound: &'a Bindings,
) -> Result<Way<'a>, String> {
    let interface = WitInterface::of_instance(name);
    let link = interface.as_ref().and_then(|interface| chosen(links, interface));
    match (capability::provision(name), link) {
        (Provision::Always, _) => Ok(Way::Core),
        (Provision::Unlinked, None) => Ok(Way::Capability),
        (_, Some(LinkSpec { builtin: Some(builtin), .. })) => linked(name, *builtin, bound).map(Way::Linked),
        (_, Some(link)) if is_handler(name) => Ok(Way::Handler(link)),
        (_, Some(link)) => Ok(Way::Link(link, functions(name, instance, engine)?)),
        (Provision::OtherVersion(here), None) => {
            Err(format!("`{name}`: this host has the interface in {here}"))
        }
        (Provision::Unknown, None) if holds_types_only(instance, engine) => Ok(Way::TypesOnly),
        (Provision::Unknown, None) => Err(match interface {
            Some(WitInterface { namespace, package, interface }) => format!(
                "`{name}`: no link carries it and the host has no such capability; give the component a `link` \
                 trait with namespace `{namespace}`, package `{package}` and interfaces [`{interface}`]"
            ),
            None => format!("`{name}`: it is no interface of a package, so no link can carry it"),
        }),
    }
}

/// Whether an import is the handler of WASI 0.3, whose requests pass through the host.
fn is_handler(name: &str) -> bool {
    name.strip_prefix("wasi:http/handler@").is_some_and(|version| version.starts_with("0.3."))
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

/// The link of an interface: the one with the default name, or else the first. Others are for calls that name one.
fn chosen<'a>(links: &'a [LinkSpec], interface: &WitInterface) -> Option<&'a LinkSpec> {
    let mut carrying = links.iter().filter(|link| link.carries(interface));
    let first = carrying.next()?;
    let default = LinkName::default();
    if first.name == default {
        Some(first)
    } else {
        carrying.find(|link| link.name == default).or(Some(first))
    }
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
                let types = function_types(&ty).map_err(|kind| {
                    format!("`{name}`: its function `{function}` has {kind}, which no link carries yet")
                })?;
                functions.push((function.to_owned(), types));
            }
            ComponentItem::Resource(_) => {
                return Err(format!(
                    "`{name}`: it has the resource `{function}`, and no link carries resources yet"
                ));
            }
            ComponentItem::Type(_) => {}
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
    targets: &Arc<dyn Targets>,
) -> wasmtime::Result<()> {
    match way {
        Way::Core | Way::TypesOnly => Ok(()),
        Way::Capability => capability::add(linker, name),
        Way::Linked(capability) => capability.add(linker, name),
        Way::Handler(link) => add_handler(linker, name, HttpLink::new(link, targets)),
        Way::Link(link, functions) => {
            let link = Arc::new(link.clone());
            let mut instance = linker.instance(name)?;
            for (function, types) in functions {
                let linked = Arc::new(LinkedFunction::new(
                    Arc::clone(targets),
                    Arc::clone(&link),
                    name.to_owned(),
                    function.clone(),
                    types,
                ));
                if let Some(add) = typed::way(linked.types()) {
                    add(&mut instance, &function, linked)?;
                    continue;
                }
                if linked.is_async() {
                    instance.func_new_concurrent(&function, move |accessor, _, params, results| {
                        let linked = Arc::clone(&linked);
                        Box::pin(async move {
                            let (unit, ctx) = accessor.with(|mut store| {
                                let state = store.get();
                                (Arc::clone(&state.unit), state.ctx.clone())
                            });
                            linked.call(unit.caller(), ctx, params, results).await
                        })
                    })?;
                    continue;
                }
                instance.func_new_async(&function, move |store, _, params, results| {
                    let linked = Arc::clone(&linked);
                    let (unit, ctx) = (Arc::clone(&store.data().unit), store.data().ctx.clone());
                    Box::new(async move { linked.call(unit.caller(), ctx, params, results).await })
                })?;
            }
            Ok(())
        }
    }
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
