//! What streams, as guests see it: values on their way out and in, and the names of objects.

use std::sync::Arc;

use lath_wrpc::blobstore::{Ask, Names, Object};
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::{Container, Context, add_resource, context, copy, push};
use crate::capability::blobstore::incoming::{Part, Value};
use crate::capability::blobstore::outgoing::{self, OutgoingValue};
use crate::capability::blobstore::way::Way;
use crate::capability::blobstore::{Links, NAME, Outcome};
use crate::engine::CallState;
use crate::provider::Called;

/// Bytes of names that are copied into a component at once; it asks again for more.
const MOST_NAMES: usize = 4 << 20;
/// What each name takes beside its bytes.
const NAME_COST: usize = 32;

/// What a component reads, in the table of a call's store. A function takes it out while it waits for more.
pub(crate) struct Held<T>(Option<T>);

/// A value on its way in.
pub(crate) type IncomingValue = Held<Value>;
/// Names of objects.
pub(crate) type StreamObjectNames = Held<Listing>;

/// The names of the objects in a container, with what keeps the provider's process.
pub(crate) struct Listing {
    way: Arc<Way>,
    names: Names,
    _called: Option<Called>,
}

/// Takes it out, unless another function works on it: a component of many tasks may ask for both.
fn take<T: Send + 'static>(
    store: &mut Context<'_>,
    handle: &Resource<Held<T>>,
) -> wasmtime::Result<Outcome<T>> {
    let held = store.data_mut().ctx().table.get_mut(handle)?;
    Ok(held.0.take().ok_or_else(|| "another function reads it at this moment".to_owned()))
}

fn give_back<T: Send + 'static>(
    store: &mut Context<'_>,
    handle: &Resource<Held<T>>,
    taken: T,
) -> wasmtime::Result<()> {
    store.data_mut().ctx().table.get_mut(handle)?.0 = Some(taken);
    Ok(())
}

fn remove<T: Send + 'static>(
    store: &mut Context<'_>,
    handle: Resource<Held<T>>,
) -> wasmtime::Result<Outcome<T>> {
    let held = store.data_mut().ctx().table.delete(handle)?;
    Ok(held.0.ok_or_else(|| "another function reads it at this moment".to_owned()))
}

/// What streams out of containers and into them.
pub(super) fn add_data(instance: &mut LinkerInstance<'_, CallState>) -> wasmtime::Result<()> {
    instance.func_wrap_async(
        "[method]container.get-data",
        |mut store: Context<'_>, (handle, name, start, end): (Resource<Container>, String, u64, u64)| {
            Box::new(async move {
                let (container, ctx) = (copy(&mut store, &handle)?, context(&store));
                let part = Part { container: container.name.as_ref().to_owned(), name, start, end };
                let value = Value::get(container.way, part, &ctx).await;
                Ok((push(&mut store, value.map(|value| Held(Some(value))))?,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.write-data",
        |mut store: Context<'_>,
         (handle, name, value): (Resource<Container>, String, Resource<OutgoingValue>)| {
            Box::new(async move {
                let (container, ctx) = (copy(&mut store, &handle)?, context(&store));
                let body = match store.data_mut().ctx().table.get(&value)?.body() {
                    Ok(body) => body,
                    Err(why) => return Ok((Err(why),)),
                };
                let object = Object { container: &container.name, name: &name };
                let task = match outgoing::begin(&container.way, object, &body, &ctx).await {
                    Ok(task) => task,
                    Err(why) => return Ok((Err(why),)),
                };
                if !body.is_closed() {
                    store.data_mut().ctx().table.get_mut(&value)?.is_sent_by(task);
                    return Ok((Outcome::Ok(()),));
                }
                // It has written all before, as some do who never call `finish`.
                body.finish();
                let outcome = outgoing::ended(task).await;
                store.data_mut().ctx().table.get_mut(&value)?.has_ended(outcome.clone());
                Ok((outcome,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.list-objects",
        |mut store: Context<'_>, (handle,): (Resource<Container>,)| {
            Box::new(async move {
                let (Container { way, name }, ctx) = (copy(&mut store, &handle)?, context(&store));
                let listing = match way.ask(Ask::ListContainerObjects(&name), &ctx).await {
                    Ok(answer) => match Names::begin(&answer.results, answer.streams, answer.version) {
                        Ok(names) => Ok(Held(Some(Listing { way, names, _called: answer.called }))),
                        Err(error) => Err(way.told(&error)),
                    },
                    Err(why) => Err(why),
                };
                Ok((push(&mut store, listing)?,))
            })
        },
    )
}

impl Listing {
    /// Up to `most` names and `bytes` bytes of them go to `give`; how many, and whether there are no more.
    async fn read(&mut self, most: u64, bytes: usize, mut give: impl FnMut(String)) -> Outcome<(u64, bool)> {
        let (mut count, mut left) = (0, bytes);
        while count < most && left > 0 {
            match self.names.read().await.map_err(|error| self.way.told(&error))? {
                Some(name) => {
                    left = left.saturating_sub(name.len() + NAME_COST);
                    count += 1;
                    give(name);
                }
                None => return Ok((count, true)),
            }
        }
        Ok((count, false))
    }
}

pub(super) fn add_names(instance: &mut LinkerInstance<'_, CallState>) -> wasmtime::Result<()> {
    add_resource::<StreamObjectNames>(instance, "stream-object-names")?;
    instance.func_wrap_async(
        "[method]stream-object-names.read-stream-object-names",
        |mut store: Context<'_>, (handle, most): (Resource<StreamObjectNames>, u64)| {
            Box::new(async move {
                let mut listing = match take(&mut store, &handle)? {
                    Ok(listing) => listing,
                    Err(why) => return Ok((Err(why),)),
                };
                let mut names = Vec::new();
                let read = listing.read(most, MOST_NAMES, |name| names.push(name)).await;
                give_back(&mut store, &handle, listing)?;
                Ok((read.map(|(_, ended)| (names, ended)),))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]stream-object-names.skip-stream-object-names",
        |mut store: Context<'_>, (handle, most): (Resource<StreamObjectNames>, u64)| {
            Box::new(async move {
                let mut listing = match take(&mut store, &handle)? {
                    Ok(listing) => listing,
                    Err(why) => return Ok((Err(why),)),
                };
                let skipped = listing.read(most, usize::MAX, drop).await;
                give_back(&mut store, &handle, listing)?;
                Ok((skipped,))
            })
        },
    )
}

pub(super) fn add_outgoing(instance: &mut LinkerInstance<'_, CallState>) -> wasmtime::Result<()> {
    add_resource::<OutgoingValue>(instance, "outgoing-value")?;
    instance.func_wrap("[static]outgoing-value.new-outgoing-value", |mut store: Context<'_>, (): ()| {
        let links = store.data().unit.bound.get::<Links>(NAME);
        let kept = links.map_or_else(Arc::default, |links| Arc::clone(&links.kept));
        Ok((store.data_mut().ctx().table.push(OutgoingValue::new(kept))?,))
    })?;
    instance.func_wrap(
        "[method]outgoing-value.outgoing-value-write-body",
        |mut store: Context<'_>, (handle,): (Resource<OutgoingValue>,)| {
            let table = store.data_mut().ctx().table;
            let Some(stream) = table.get_mut(&handle)?.open() else { return Ok((Err(()),)) };
            let stream: DynOutputStream = Box::new(stream);
            Ok((Ok(table.push(stream)?),))
        },
    )?;
    instance.func_wrap_async(
        "[static]outgoing-value.finish",
        |mut store: Context<'_>, (handle,): (Resource<OutgoingValue>,)| {
            Box::new(async move {
                let value = store.data_mut().ctx().table.delete(handle)?;
                Ok((value.finish().await,))
            })
        },
    )
}

pub(super) fn add_incoming(instance: &mut LinkerInstance<'_, CallState>) -> wasmtime::Result<()> {
    add_resource::<IncomingValue>(instance, "incoming-value")?;
    instance.func_wrap_async(
        "[static]incoming-value.incoming-value-consume-sync",
        |mut store: Context<'_>, (handle,): (Resource<IncomingValue>,)| {
            Box::new(async move {
                let most = usize::try_from(store.data().unit.limits.host_call_bytes).unwrap_or(usize::MAX);
                Ok((match remove(&mut store, handle)? {
                    Ok(value) => value.whole(most).await,
                    Err(why) => Err(why),
                },))
            })
        },
    )?;
    instance.func_wrap(
        "[static]incoming-value.incoming-value-consume-async",
        |mut store: Context<'_>, (handle,): (Resource<IncomingValue>,)| {
            let stream = remove(&mut store, handle)?.map(|value| Box::new(value.stream()) as DynInputStream);
            Ok((push(&mut store, stream)?,))
        },
    )?;
    instance.func_wrap_async(
        "[method]incoming-value.size",
        |mut store: Context<'_>, (handle,): (Resource<IncomingValue>,)| {
            Box::new(async move {
                // The function has no error to give.
                let trap = |why: String| wasmtime::format_err!("{why}");
                let (mut value, ctx) = (take(&mut store, &handle)?.map_err(trap)?, context(&store));
                let size = value.size(&ctx).await;
                give_back(&mut store, &handle, value)?;
                Ok((size.map_err(trap)?,))
            })
        },
    )
}
