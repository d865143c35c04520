//! Linked functions with bytes in them, whose values pass whole: one copy out of the caller, one into the callee.
//!
//! Through dynamic values a `list<u8>` becomes as many values as it has bytes. Which signatures go this way is listed in
//! [`way`] and nowhere else; any other goes by values. Nothing but the form of the values differs between the two ways.

use lath_wrpc::codec::Whole;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower, Type, Val};

use crate::engine::FunctionTypes;
use crate::engine::choice::Linked;
use crate::engine::encoded::{self, Answer};
use crate::engine::unit::CallState;

/// Adds a linked function to the imports of a component.
pub(crate) type Add = fn(&mut LinkerInstance<'_, CallState>, &str, Linked) -> wasmtime::Result<()>;

/// The two ends of a function whose values pass whole.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// Of its caller.
    pub(crate) add: Add,
    /// Of its callee, for calls from other hosts.
    pub(crate) answer: Answer,
}

/// The way of a function with these types, when its values pass whole.
pub(crate) fn way(types: &FunctionTypes) -> Option<Way> {
    if types.is_async {
        return None;
    }
    taking_bytes::<(Vec<u8>,)>(types)
        .or_else(|| taking_bytes::<(String, Vec<u8>)>(types))
        .or_else(|| taking_bytes::<(Vec<u8>, Vec<u8>)>(types))
        .or_else(|| giving_bytes::<()>(types))
        .or_else(|| giving_bytes::<(String,)>(types))
        .or_else(|| giving_bytes::<(String, String)>(types))
}

fn taking_bytes<P: Values>(types: &FunctionTypes) -> Option<Way> {
    P::fit(&types.params).then_some(())?;
    giving_bytes::<P>(types)
        .or_else(|| shape::<P, ()>(types))
        .or_else(|| shape::<P, (String,)>(types))
        .or_else(|| shape::<P, (Result<(), String>,)>(types))
        .or_else(|| shape::<P, (Result<String, String>,)>(types))
}

fn giving_bytes<P: Values>(types: &FunctionTypes) -> Option<Way> {
    P::fit(&types.params).then_some(())?;
    shape::<P, (Vec<u8>,)>(types)
        .or_else(|| shape::<P, (Option<Vec<u8>>,)>(types))
        .or_else(|| shape::<P, (Result<Vec<u8>, String>,)>(types))
        .or_else(|| shape::<P, (Result<Option<Vec<u8>>, String>,)>(types))
}

fn shape<P: Values, R: Values>(types: &FunctionTypes) -> Option<Way> {
    let way = Way { add: add::<P, R>, answer: encoded::answer::<P, R> };
    (P::fit(&types.params) && R::fit(&types.results)).then_some(way)
}

fn add<P: Values, R: Values>(
    instance: &mut LinkerInstance<'_, CallState>,
    name: &str,
    linked: Linked,
) -> wasmtime::Result<()> {
    instance.func_wrap_async(name, move |store: StoreContextMut<'_, CallState>, params: P| {
        let linked = linked.clone().chosen(store.data());
        Box::new(async move { linked.call_typed::<P, R>(store, params).await })
    })
}

/// Parameters or results of a function.
pub(crate) trait Values: ComponentNamedList + Lift + Lower + Whole + Send + Sync + 'static {
    /// Whether they are of these types.
    fn fit(types: &[Type]) -> bool;

    /// Items of lists in them, each of which is a value of its own among dynamic values.
    fn items(&self) -> usize;

    /// The same as dynamic values.
    fn into_vals(self) -> Vec<Val>;

    /// From dynamic values; none when they are of other types.
    fn of_vals(vals: Vec<Val>) -> Option<Self>;
}

impl Values for () {
    fn fit(types: &[Type]) -> bool {
        types.is_empty()
    }

    fn items(&self) -> usize {
        0
    }

    fn into_vals(self) -> Vec<Val> {
        Vec::new()
    }

    fn of_vals(vals: Vec<Val>) -> Option<Self> {
        vals.is_empty().then_some(())
    }
}

impl<A: Value> Values for (A,) {
    fn fit(types: &[Type]) -> bool {
        matches!(types, [a] if A::fits(a))
    }

    fn items(&self) -> usize {
        self.0.items()
    }

    fn into_vals(self) -> Vec<Val> {
        vec![self.0.into_val()]
    }

    fn of_vals(vals: Vec<Val>) -> Option<Self> {
        let [a] = <[Val; 1]>::try_from(vals).ok()?;
        Some((A::of_val(a)?,))
    }
}

impl<A: Value, B: Value> Values for (A, B) {
    fn fit(types: &[Type]) -> bool {
        matches!(types, [a, b] if A::fits(a) && B::fits(b))
    }

    fn items(&self) -> usize {
        self.0.items().saturating_add(self.1.items())
    }

    fn into_vals(self) -> Vec<Val> {
        vec![self.0.into_val(), self.1.into_val()]
    }

    fn of_vals(vals: Vec<Val>) -> Option<Self> {
        let [a, b] = <[Val; 2]>::try_from(vals).ok()?;
        Some((A::of_val(a)?, B::of_val(b)?))
    }
}

/// One value.
pub(crate) trait Value: Lift + Lower + Whole + Send + Sync + 'static {
    fn fits(ty: &Type) -> bool;

    /// Only parameters are counted, which hold no lists but bytes themselves.
    fn items(&self) -> usize {
        0
    }

    fn into_val(self) -> Val;

    fn of_val(val: Val) -> Option<Self>;
}

impl Value for Vec<u8> {
    fn fits(ty: &Type) -> bool {
        matches!(ty, Type::List(list) if list.ty() == Type::U8)
    }

    fn items(&self) -> usize {
        self.len()
    }

    fn into_val(self) -> Val {
        Val::List(self.into_iter().map(Val::U8).collect())
    }

    fn of_val(val: Val) -> Option<Self> {
        let Val::List(items) = val else { return None };
        let byte = |item| if let Val::U8(byte) = item { Some(byte) } else { None };
        items.into_iter().map(byte).collect()
    }
}

impl Value for String {
    fn fits(ty: &Type) -> bool {
        matches!(ty, Type::String)
    }

    fn into_val(self) -> Val {
        Val::String(self)
    }

    fn of_val(val: Val) -> Option<Self> {
        if let Val::String(text) = val { Some(text) } else { None }
    }
}

impl<T: Value> Value for Option<T> {
    fn fits(ty: &Type) -> bool {
        matches!(ty, Type::Option(option) if T::fits(&option.ty()))
    }

    fn into_val(self) -> Val {
        Val::Option(self.map(|value| Box::new(value.into_val())))
    }

    fn of_val(val: Val) -> Option<Self> {
        let Val::Option(value) = val else { return None };
        match value {
            Some(value) => T::of_val(*value).map(Some),
            None => Some(None),
        }
    }
}

impl<T: Payload, E: Payload> Value for Result<T, E> {
    fn fits(ty: &Type) -> bool {
        matches!(ty, Type::Result(result) if T::fits(result.ok().as_ref()) && E::fits(result.err().as_ref()))
    }

    fn into_val(self) -> Val {
        Val::Result(match self {
            Ok(value) => Ok(value.into_payload()),
            Err(error) => Err(error.into_payload()),
        })
    }

    fn of_val(val: Val) -> Option<Self> {
        let Val::Result(result) = val else { return None };
        match result {
            Ok(value) => T::of_payload(value).map(Ok),
            Err(error) => E::of_payload(error).map(Err),
        }
    }
}

/// What a case of a result holds: a value, or nothing.
pub(crate) trait Payload: Lift + Lower + Whole + Send + Sync + 'static {
    fn fits(ty: Option<&Type>) -> bool;

    fn into_payload(self) -> Option<Box<Val>>;

    fn of_payload(payload: Option<Box<Val>>) -> Option<Self>;
}

impl Payload for () {
    fn fits(ty: Option<&Type>) -> bool {
        ty.is_none()
    }

    fn into_payload(self) -> Option<Box<Val>> {
        None
    }

    fn of_payload(payload: Option<Box<Val>>) -> Option<Self> {
        payload.is_none().then_some(())
    }
}

impl<T: Value> Payload for T {
    fn fits(ty: Option<&Type>) -> bool {
        ty.is_some_and(T::fits)
    }

    fn into_payload(self) -> Option<Box<Val>> {
        Some(Box::new(self.into_val()))
    }

    fn of_payload(payload: Option<Box<Val>>) -> Option<Self> {
        T::of_val(*payload?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<T: Value + Clone + PartialEq + std::fmt::Debug>(value: T) {
        assert_eq!(T::of_val(value.clone().into_val()), Some(value));
    }

    #[test]
    fn values_and_dynamic_values_are_the_same() {
        comes_back(vec![1_u8, 2, 255]);
        comes_back("text".to_owned());
        comes_back(Some(vec![0_u8]));
        comes_back(None::<Vec<u8>>);
        comes_back(Ok::<(), String>(()));
        comes_back(Err::<(), String>("no".to_owned()));
        comes_back(Ok::<Option<Vec<u8>>, String>(Some(vec![7])));
        assert_eq!(
            <(String, Vec<u8>)>::of_vals(("k".to_owned(), vec![1]).into_vals()),
            Some(("k".to_owned(), vec![1]))
        );
        assert_eq!(<(Vec<u8>,)>::of_vals(vec![Val::String("x".to_owned())]), None);
        assert_eq!(<(Vec<u8>,)>::of_vals(vec![Val::List(vec![Val::U16(1)])]), None);
        assert_eq!(<()>::of_vals(vec![Val::Bool(true)]), None);
    }
}
