//! Values that hold handles, on their way from one store to another.
//!
//! The values are copied as they are; a handle in them is of no use elsewhere and only marks its place. What stands
//! for the handles goes beside them, in the order of these places, which are the same on both sides.

use std::sync::Arc;

use wasmtime::component::{Resource, ResourceAny, ResourceDynamic, Val};
use wasmtime::{AsContextMut as _, StoreContextMut};

use crate::engine::pipes::{self, Travelling};
use crate::engine::session::Session;
use crate::engine::unit::CallState;

/// What stands for a handle among parameters.
pub(crate) enum Passed {
    /// A resource of the callee, which gets it back.
    Own(u32),
    /// A resource of the callee, lent for the call.
    Borrow(u32),
    /// A stream or future.
    Pipe(Box<dyn Travelling>),
}

/// What stands for a handle among results.
pub(crate) enum Given {
    /// A resource that the callee has made: its key in the session, and its number among those that the callee exports.
    Own { key: u32, number: usize },
    /// A stream or future.
    Pipe(Box<dyn Travelling>),
}

/// A resource of another component that a guest holds.
pub(crate) struct Held {
    pub(crate) session: Arc<Session>,
    pub(crate) key: u32,
}

/// Calls `found` on each place of a handle in `values`, in order.
pub(crate) fn each_handle<E>(
    values: &mut [Val],
    found: &mut impl FnMut(&mut Val) -> Result<(), E>,
) -> Result<(), E> {
    for value in values {
        match value {
            Val::Resource(_) | Val::Future(_) | Val::Stream(_) => found(value)?,
            Val::List(items) | Val::Tuple(items) | Val::FixedLengthList(items) => each_handle(items, found)?,
            Val::Record(fields) => {
                for (_, field) in fields {
                    each_handle(std::slice::from_mut(field), found)?;
                }
            }
            Val::Map(entries) => {
                for (key, value) in entries {
                    each_handle(std::slice::from_mut(key), found)?;
                    each_handle(std::slice::from_mut(value), found)?;
                }
            }
            Val::Variant(_, Some(inner))
            | Val::Option(Some(inner))
            | Val::Result(Ok(Some(inner)) | Err(Some(inner))) => {
                each_handle(std::slice::from_mut(&mut **inner), found)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes the handles of `params` out of the store of a caller whose call goes to `session`.
///
/// # Errors
/// When a resource is of another instance.
pub(crate) fn pass(
    mut store: StoreContextMut<'_, CallState>,
    session: &Arc<Session>,
    params: &mut [Val],
) -> wasmtime::Result<Vec<Passed>> {
    let mut passed = Vec::new();
    each_handle(params, &mut |value| {
        passed.push(match value {
            Val::Resource(handle) => pass_resource(&mut store, session, *handle)?,
            Val::Stream(stream) => Passed::Pipe(pipes::take_stream(stream, store.as_context_mut())?),
            Val::Future(future) => Passed::Pipe(pipes::take_future(future, store.as_context_mut())?),
            _ => wasmtime::bail!("a handle that no link carries"),
        });
        Ok::<_, wasmtime::Error>(())
    })?;
    Ok(passed)
}

fn pass_resource(
    store: &mut StoreContextMut<'_, CallState>,
    session: &Arc<Session>,
    handle: ResourceAny,
) -> wasmtime::Result<Passed> {
    let handle = ResourceDynamic::try_from_resource_any(handle, &mut *store)?;
    let place = Resource::<Held>::new_own(handle.rep());
    let table = store.data_mut().table();
    let held = table.get(&place)?;
    if !Arc::ptr_eq(&held.session, session) {
        wasmtime::bail!("a resource of another instance of the component");
    }
    let key = held.key;
    if handle.owned() {
        table.delete(place)?;
        Ok(Passed::Own(key))
    } else {
        Ok(Passed::Borrow(key))
    }
}

/// Puts what was `given` into the places in `results`, as handles of the caller's store. `numbers` has the number
/// that the caller knows each resource of the callee by.
///
/// # Errors
/// When the caller holds as many handles as it may.
pub(crate) fn receive(
    mut store: StoreContextMut<'_, CallState>,
    session: &Arc<Session>,
    numbers: &[Option<u32>],
    results: &mut [Val],
    given: Vec<Given>,
) -> wasmtime::Result<()> {
    let mut given = given.into_iter();
    each_handle(results, &mut |place| {
        *place = match given.next() {
            Some(Given::Own { key, number }) => {
                let Some(number) = numbers.get(number).copied().flatten() else {
                    wasmtime::bail!("a resource that the caller does not know");
                };
                let held = Held { session: Arc::clone(session), key };
                let rep = store.data_mut().table().push(held)?.rep();
                let handle = ResourceDynamic::new_own(rep, number);
                Val::Resource(handle.try_into_resource_any(&mut store)?)
            }
            Some(Given::Pipe(pipe)) => pipe.put(store.as_context_mut())?,
            None => wasmtime::bail!("the callee has given too few handles"),
        };
        Ok(())
    })
}

/// The guest has dropped a resource of another component.
///
/// # Errors
/// When there is none; the engine has let the guest drop what it does not hold.
pub(crate) fn dropped(mut store: StoreContextMut<'_, CallState>, rep: u32) -> wasmtime::Result<()> {
    let held = store.data_mut().table().delete(Resource::<Held>::new_own(rep))?;
    held.session.drop_resource(held.key);
    Ok(())
}
