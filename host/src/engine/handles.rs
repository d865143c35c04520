//! What the types of functions say of handles: resources, streams and futures, which belong to one store.
//!
//! Plain values go from store to store as they are. Handles are kept where they were made, and something that stands
//! for them goes along; which of them a function has is found here, once, when a component is linked.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, ResourceType, Type};

use crate::engine::exports::compatible;
use crate::engine::targets::FunctionTypes;

/// What the values of a function hold beside plain data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handles {
    /// Handles of resources, owned or borrowed.
    pub resources: bool,
    /// Streams or futures.
    pub streams: bool,
}

impl Handles {
    /// Whether there are any. Such a function is called within one host only.
    #[must_use]
    pub const fn any(self) -> bool {
        self.resources || self.streams
    }

    /// What they are, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.resources, self.streams) {
            (true, true) => "resources and streams",
            (false, true) => "streams or futures",
            (true, false) => "resources",
            (false, false) => "plain values",
        }
    }
}

/// The types of a function, or which part of it no link carries.
pub(crate) fn function_types(function: &ComponentFunc) -> Result<FunctionTypes, String> {
    let params: Box<[Type]> = function.params().map(|(_, ty)| ty).collect();
    let results: Box<[Type]> = function.results().collect();
    let mut handles = Handles::default();
    params.iter().chain(&results).try_for_each(|ty| find(ty, &mut handles))?;
    Ok(FunctionTypes { params, results, is_async: function.async_(), handles })
}

fn find(ty: &Type, handles: &mut Handles) -> Result<(), String> {
    match ty {
        Type::Own(_) | Type::Borrow(_) => handles.resources = true,
        Type::Stream(stream) => {
            handles.streams = true;
            element("stream", stream.ty().as_ref())?;
        }
        Type::Future(future) => {
            handles.streams = true;
            element("future", future.ty().as_ref())?;
        }
        Type::ErrorContext => return Err("an error context".into()),
        _ => {}
    }
    parts(ty).iter().try_for_each(|part| find(part, handles))
}

/// Checks that streams or futures of it are among those of [`pipes`](crate::engine::pipes).
fn element(of: &str, ty: Option<&Type>) -> Result<(), String> {
    let carried = match ty {
        None => true,
        Some(Type::List(list)) => is_listed(&list.ty()),
        Some(Type::Result(result)) => {
            let simple = |ty: Option<Type>| ty.is_none_or(|ty| matches!(ty, Type::String));
            simple(result.ok()) && simple(result.err())
        }
        Some(ty) => is_simple(ty),
    };
    if carried {
        return Ok(());
    }
    Err(format!(
        "a {of} of {} (links carry those of numbers, bool, char, string, lists of u8, u32, u64, s32, f32, f64 or \
         string, and results of strings)",
        ty.map_or("nothing", kind)
    ))
}

/// Whether streams of lists of it are carried.
const fn is_listed(ty: &Type) -> bool {
    matches!(ty, Type::U8 | Type::U32 | Type::U64 | Type::S32 | Type::Float32 | Type::Float64 | Type::String)
}

const fn is_simple(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Bool
            | Type::S8
            | Type::U8
            | Type::S16
            | Type::U16
            | Type::S32
            | Type::U32
            | Type::S64
            | Type::U64
            | Type::Float32
            | Type::Float64
            | Type::Char
            | Type::String
    )
}

/// What kind of type it is, for people.
const fn kind(ty: &Type) -> &'static str {
    match ty {
        Type::List(_) => "such lists",
        Type::FixedLengthList(_) => "lists of fixed length",
        Type::Map(_) => "maps",
        Type::Record(_) => "records",
        Type::Tuple(_) => "tuples",
        Type::Variant(_) => "variants",
        Type::Enum(_) => "enums",
        Type::Option(_) => "options",
        Type::Result(_) => "results of anything but strings",
        Type::Flags(_) => "flags",
        Type::Own(_) | Type::Borrow(_) => "resources",
        Type::Stream(_) => "streams",
        Type::Future(_) => "futures",
        Type::ErrorContext => "error contexts",
        _ => "plain values",
    }
}

/// The types that a value of the type holds, in the order in which it holds them.
fn parts(ty: &Type) -> Vec<Type> {
    match ty {
        Type::List(list) => vec![list.ty()],
        Type::FixedLengthList(list) => vec![list.ty()],
        Type::Map(map) => vec![map.key(), map.value()],
        Type::Record(record) => record.fields().map(|field| field.ty).collect(),
        Type::Tuple(tuple) => tuple.types().collect(),
        Type::Variant(variant) => variant.cases().filter_map(|case| case.ty).collect(),
        Type::Option(option) => vec![option.ty()],
        Type::Result(result) => [result.ok(), result.err()].into_iter().flatten().collect(),
        _ => Vec::new(),
    }
}

/// What two types that hold resources must share beside what they hold: the kind, names, and where something is.
fn form(ty: &Type) -> Vec<String> {
    match ty {
        Type::List(_) => vec!["list".into()],
        Type::FixedLengthList(_) => vec!["fixed list".into()],
        Type::Map(_) => vec!["map".into()],
        Type::Tuple(_) => vec!["tuple".into()],
        Type::Option(_) => vec!["option".into()],
        Type::Record(record) => record.fields().map(|field| field.name.to_owned()).collect(),
        Type::Variant(variant) => {
            variant.cases().map(|case| format!("{}:{}", case.name, case.ty.is_some())).collect()
        }
        Type::Result(result) => vec![format!("result:{}:{}", result.ok().is_some(), result.err().is_some())],
        _ => vec!["other".into()],
    }
}

/// Whether a value of one type is one of the other; `same` judges resources.
fn alike(one: &Type, other: &Type, same: &dyn Fn(ResourceType, ResourceType) -> bool) -> bool {
    match (one, other) {
        (Type::Own(one), Type::Own(other)) | (Type::Borrow(one), Type::Borrow(other)) => same(*one, *other),
        (one, other) => {
            let (inner, theirs) = (parts(one), parts(other));
            if inner.is_empty() {
                return one == other;
            }
            std::mem::discriminant(one) == std::mem::discriminant(other)
                && form(one) == form(other)
                && inner.len() == theirs.len()
                && inner.iter().zip(&theirs).all(|(one, other)| alike(one, other, same))
        }
    }
}

/// The resources that a function takes or gives.
pub(crate) fn resources_of(types: &FunctionTypes) -> Vec<ResourceType> {
    fn add(ty: &Type, found: &mut Vec<ResourceType>) {
        if let Type::Own(resource) | Type::Borrow(resource) = ty {
            found.push(*resource);
        }
        parts(ty).iter().for_each(|part| add(part, found));
    }
    let mut found = Vec::new();
    types.params.iter().chain(&types.results).for_each(|ty| add(ty, &mut found));
    found
}

/// A resource by the names that a component has for it.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) ty: ResourceType,
    /// The interface with its version.
    pub(crate) instance: String,
    pub(crate) name: String,
    /// Where it is found in an instance, of a resource that the component exports.
    pub(crate) index: Option<ComponentExportIndex>,
}

/// The resources that a component imports, or those that it exports. One may be there under several names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resources(Vec<Resource>);

impl Resources {
    /// Those of the interfaces that `component` imports.
    pub(crate) fn imported(component: &Component) -> Self {
        let engine = component.engine();
        let mut found = Vec::new();
        for (instance, import) in component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(items) = import.ty else { continue };
            for (name, item) in items.exports(engine) {
                if let ComponentItem::Resource(ty) = item.ty {
                    let (instance, name) = (instance.to_owned(), name.to_owned());
                    found.push(Resource { ty, instance, name, index: None });
                }
            }
        }
        Self(found)
    }

    /// Those of the interfaces that `component` exports.
    pub(crate) fn exported(component: &Component) -> Self {
        let engine = component.engine();
        let mut found = Vec::new();
        for (instance, export) in component.component_type().exports(engine) {
            let ComponentItem::ComponentInstance(items) = export.ty else { continue };
            let parent = component.get_export_index(None, instance);
            for (name, item) in items.exports(engine) {
                if let ComponentItem::Resource(ty) = item.ty {
                    let index = component.get_export_index(parent.as_ref(), name);
                    let (instance, name) = (instance.to_owned(), name.to_owned());
                    found.push(Resource { ty, instance, name, index });
                }
            }
        }
        Self(found)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.0.iter()
    }

    /// The first of its names.
    pub(crate) fn of(&self, ty: ResourceType) -> Option<&Resource> {
        self.0.iter().find(|resource| resource.ty == ty)
    }

    /// Its number among them, the same for all of its names.
    pub(crate) fn number(&self, ty: ResourceType) -> Option<u32> {
        let position = self.0.iter().position(|resource| resource.ty == ty)?;
        u32::try_from(position).ok()
    }

    /// For each of these, as a callee exports them, the number that its caller has for it, if any.
    pub(crate) fn numbers_in(&self, caller: &Self) -> Vec<Option<u32>> {
        let of = |resource: &Resource| {
            let found = caller.0.iter().find(|theirs| is_same(resource, theirs))?;
            caller.number(found.ty)
        };
        // A resource with several names is known to its caller by any of them.
        let numbers: Vec<Option<u32>> = self.0.iter().map(of).collect();
        let known = |resource: &Resource| {
            let mut names = self.0.iter().zip(&numbers).filter(|(other, _)| other.ty == resource.ty);
            names.find_map(|(_, number)| *number)
        };
        self.0.iter().map(known).collect()
    }
}

fn is_same(one: &Resource, other: &Resource) -> bool {
    one.name == other.name && compatible(&one.instance, &other.instance)
}

/// Whether what `caller` passes can be given to `callee` and its results taken back, each with the resources of its
/// component.
pub(crate) fn same_types(
    (caller, theirs): (&FunctionTypes, &Resources),
    (callee, own): (&FunctionTypes, &Resources),
) -> bool {
    if !caller.handles.resources {
        return caller.same(callee);
    }
    let same = |one: ResourceType, other: ResourceType| {
        let mut names = theirs.0.iter().filter(|resource| resource.ty == one);
        names.any(|name| own.0.iter().any(|found| found.ty == other && is_same(name, found)))
    };
    let all = |ones: &[Type], others: &[Type]| {
        ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| alike(one, other, &same))
    };
    all(&caller.params, &callee.params) && all(&caller.results, &callee.results)
}
