//! What a component can be asked: its HTTP handler and its functions, found once when it is linked.
//!
//! Functions whose resources are not the component's own, or whose streams no link carries, are not listed: nobody
//! could call them. Those with resources, streams and futures are called within the host only.

use std::collections::BTreeSet;
use std::sync::Arc;

use lath_wrpc::Export;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p3::bindings::ServiceIndices;

use crate::engine::base::Tasks;
use crate::engine::encoded::Answer;
use crate::engine::handles::{Resources, function_types, resources_of};
use crate::engine::targets::FunctionTypes;
use crate::engine::typed;
use crate::engine::unit::CallState;

/// What a component exports.
#[derive(Debug, Default)]
pub struct Exports {
    /// Whether it answers HTTP requests: it exports `wasi:http/incoming-handler` or `wasi:http/handler` of a version
    /// that this host knows.
    pub handles_http: bool,
    /// Its functions.
    pub functions: Vec<ExportedFunction>,
    /// The instances and names of those of plain values, for all who serve them.
    pub(crate) names: Arc<FunctionNames>,
    /// The resources of its interfaces.
    pub(crate) resources: Resources,
    pub(crate) http: Option<HttpExport>,
}

/// Functions by instance and name, as the lattice is told of them.
pub(crate) type FunctionNames = BTreeSet<Arc<Export>>;

/// How a component answers HTTP requests.
pub(crate) enum HttpExport {
    /// `wasi:http/incoming-handler` of 0.2.
    Incoming(ProxyIndices),
    /// `wasi:http/handler` of 0.3.
    Handler(ServiceIndices),
}

impl std::fmt::Debug for HttpExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Incoming(_) => "Incoming",
            Self::Handler(_) => "Handler",
        })
    }
}

impl HttpExport {
    /// The way that a component has; the newer one of two.
    pub(crate) fn of(pre: &InstancePre<CallState>, tasks: Tasks) -> Option<Self> {
        let handler = match tasks {
            Tasks::One => None,
            Tasks::Many => ServiceIndices::new(pre).ok().map(Self::Handler),
        };
        handler.or_else(|| ProxyIndices::new(pre).ok().map(Self::Incoming))
    }
}

/// One function that a component exports.
#[derive(Debug)]
pub struct ExportedFunction {
    /// The interface with its version, such as `lath:demo/greeter@0.1.0`; none for a function outside interfaces.
    pub instance: Option<String>,
    /// The function's name in it.
    pub name: String,
    /// What it takes and gives.
    pub types: FunctionTypes,
    /// How it answers calls from other hosts, when its values pass whole.
    pub(crate) answer: Option<Answer>,
    pub(crate) index: ComponentExportIndex,
}

/// Place of a function in [`Exports::functions`] of one prepared component; worthless for any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportedFunctionId(usize);

impl Exports {
    /// Reads the exports of `component`, of which `pre` is any unit.
    pub(crate) fn of(component: &Component, pre: &InstancePre<CallState>, tasks: Tasks) -> Self {
        let engine = component.engine();
        let resources = Resources::exported(component);
        let exported = |instance: Option<&str>, name: &str, function: &ComponentFunc| {
            let function = exported(component, instance, name, function)?;
            let is_own = |ty| resources.of(ty).is_some();
            resources_of(&function.types).into_iter().all(is_own).then_some(function)
        };
        let mut functions = Vec::new();
        for (name, item) in component.component_type().exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(function) => {
                    functions.extend(exported(None, name, &function));
                }
                ComponentItem::ComponentInstance(instance) => {
                    for (inner, item) in instance.exports(engine) {
                        if let ComponentItem::ComponentFunc(function) = item.ty {
                            functions.extend(exported(Some(name), inner, &function));
                        }
                    }
                }
                ComponentItem::CoreFunc(_)
                | ComponentItem::Module(_)
                | ComponentItem::Component(_)
                | ComponentItem::Type(_)
                | ComponentItem::Resource(_) => {}
            }
        }
        let http = HttpExport::of(pre, tasks);
        let names = functions
            .iter()
            .filter(|function: &&ExportedFunction| !function.types.handles.any())
            .map(|function| Arc::new(Export::plain(function.instance.clone(), function.name.clone())))
            .collect();
        Self { handles_http: http.is_some(), functions, names: Arc::new(names), resources, http }
    }

    /// The function `name` of `instance`. An interface of another version fits when the two are compatible as
    /// semantic versions are: `0.1.x` with `0.1.y`, `1.x` with `1.y`.
    #[must_use]
    pub fn find(&self, instance: Option<&str>, name: &str) -> Option<ExportedFunctionId> {
        let position = |fits: &dyn Fn(&ExportedFunction) -> bool| {
            self.functions.iter().position(|function| function.name == name && fits(function))
        };
        position(&|function| function.instance.as_deref() == instance)
            .or_else(|| {
                let wanted = instance?;
                position(&|function| {
                    function.instance.as_deref().is_some_and(|found| compatible(wanted, found))
                })
            })
            .map(ExportedFunctionId)
    }

    /// The same interface in a version that does not fit.
    pub(crate) fn other_version(&self, wanted: &str) -> Option<&str> {
        let mut instances = self.functions.iter().filter_map(|function| function.instance.as_deref());
        instances
            .find(|found| without_version(found) == without_version(wanted) && !compatible(wanted, found))
    }

    /// The function at `id`; `None` when the id came from another component.
    #[must_use]
    pub fn get(&self, id: ExportedFunctionId) -> Option<&ExportedFunction> {
        self.functions.get(id.0)
    }

    /// Each function with its id.
    pub fn iter(&self) -> impl Iterator<Item = (ExportedFunctionId, &ExportedFunction)> {
        self.functions.iter().enumerate().map(|(at, function)| (ExportedFunctionId(at), function))
    }
}

fn exported(
    component: &Component,
    instance: Option<&str>,
    name: &str,
    function: &ComponentFunc,
) -> Option<ExportedFunction> {
    let types = function_types(function).ok()?;
    let parent = match instance {
        Some(instance) => Some(component.get_export_index(None, instance)?),
        None => None,
    };
    let index = component.get_export_index(parent.as_ref(), name)?;
    let answer = typed::way(&types).map(|way| way.answer);
    Some(ExportedFunction {
        instance: instance.map(str::to_owned),
        name: name.to_owned(),
        types,
        answer,
        index,
    })
}

fn without_version(instance: &str) -> &str {
    instance.split_once('@').map_or(instance, |(name, _)| name)
}

/// Whether two instance names mean the same interface in versions that fit together.
pub(crate) fn compatible(wanted: &str, found: &str) -> bool {
    let (Some((wanted, of)), Some((found, to))) = (wanted.split_once('@'), found.split_once('@')) else {
        return wanted == found;
    };
    wanted == found && track(of).is_some() && track(of) == track(to)
}

/// The part of a version that compatible versions share; `None` for one that fits only itself.
fn track(version: &str) -> Option<(u64, u64)> {
    if version.contains('-') {
        return None;
    }
    let mut numbers = version.split('+').next()?.split('.').map(str::parse::<u64>);
    match (numbers.next()?.ok()?, numbers.next()?.ok()?) {
        (0, 0) => None,
        (0, minor) => Some((0, minor)),
        (major, _) => Some((major, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_as_semantic_versions_do() {
        for (a, b, fits) in [
            ("a:b/c@0.1.0", "a:b/c@0.1.7", true),
            ("a:b/c@1.0.0", "a:b/c@1.9.0", true),
            ("a:b/c@0.1.0", "a:b/c@0.2.0", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.2", false),
            ("a:b/c@0.2.0-draft", "a:b/c@0.2.0", false),
            ("a:b/c", "a:b/c", true),
            ("a:b/c", "a:b/c@1.0.0", false),
            ("a:b/c@1.0.0", "a:b/d@1.0.0", false),
        ] {
            assert_eq!(compatible(a, b), fits, "{a} {b}");
        }
    }
}
