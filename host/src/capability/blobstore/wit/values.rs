//! What streams, as guests see it: values on their way out and in, and the names of objects.

use std::sync::Arc;

use lath_wrpc::blobstore::{Ask, Names, Object};
use tokio::sync::Mutex;
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::{Container, Context, add_resource, context, copy, push};
use crate::capability::blobstore::incoming::{IncomingValue, Part};
use crate::capability::blobstore::outgoing::{self, OutgoingValue};
use crate::capability::blobstore::way::Way;
use crate::capability::blobstore::{Links, NAME, Outcome};
use crate::engine::CallState;
use crate::provider::Called;

/// Bytes of names that are copied into a component at once; it asks again for more.
const MOST_NAMES: usize = 4 << 20;
/// What each name takes beside its bytes.
const NAME_COST: usize = 32;

/// Names of objects in the table of a call's store, with what keeps the provider's process.
#[derive(Clone)]
pub(crate) struct StreamObjectNames {
    way: Arc<Way>,
    names: Arc<Mutex<(Names, Option<Called>)>>,
}

/// What streams out of containers and into them.
pub(super) fn add_data(instance: &mut LinkerInstance<'_, CallState>) -> wasmtime::Result<()> {
    instance.func_wrap_async(
        "[method]container.get-data",
        |mut store: Context<'_>, (handle, name, start, end): (Resource<Container>, String, u64, u64)| {
            Box::new(async move {
                let (container, ctx) = (copy(&mut store, &handle)?, context(&store));
                let part = Part { container: container.name.as_ref().to_owned(), name, start, end };
                let value = IncomingValue::get(container.way, part, &ctx).await;
                Ok((push(&mut store, value)?,))
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
                let names = match way.ask(Ask::ListContainerObjects(&name), &ctx).await {
                    Ok(answer) => Names::begin(&answer.results, answer.streams, answer.version)
                        .map(|names| Arc::new(Mutex::new((names, answer.called))))
                        .map_err(|error| way.told(&error)),
                    Err(why) => Err(why),
                };
                Ok((push(&mut store, names.map(|names| StreamObjectNames { way, names }))?,))
            })
        },
    )
}

impl StreamObjectNames {
    /// Up to `most` names and `bytes` bytes of them go to `take`; how many, and whether there are no more.
    async fn read(&self, most: u64, bytes: usize, mut take: impl FnMut(String)) -> Outcome<(u64, bool)> {
        let mut names = self.names.lock().await;
        let (mut count, mut left) = (0, bytes);
        while count < most && left > 0 {
            match names.0.read().await.map_err(|error| self.way.told(&error))? {
                Some(name) => {
                    left = left.saturating_sub(name.len() + NAME_COST);
                    count += 1;
                    take(name);
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
                let (names, mut read) = (copy(&mut store, &handle)?, Vec::new());
                let outcome = names.read(most, MOST_NAMES, |name| read.push(name)).await;
                Ok((outcome.map(|(_, ended)| (read, ended)),))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]stream-object-names.skip-stream-object-names",
        |mut store: Context<'_>, (handle, most): (Resource<StreamObjectNames>, u64)| {
            Box::new(async move {
                let names = copy(&mut store, &handle)?;
                Ok((names.read(most, usize::MAX, drop).await,))
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
                let value = store.data_mut().ctx().table.delete(handle)?;
                Ok((value.whole(most).await,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[static]incoming-value.incoming-value-consume-async",
        |mut store: Context<'_>, (handle,): (Resource<IncomingValue>,)| {
            Box::new(async move {
                let value = store.data_mut().ctx().table.delete(handle)?;
                let stream = value.stream().await.map(|stream| Box::new(stream) as DynInputStream);
                Ok((push(&mut store, stream)?,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]incoming-value.size",
        |mut store: Context<'_>, (handle,): (Resource<IncomingValue>,)| {
            Box::new(async move {
                let (value, ctx) = (copy(&mut store, &handle)?, context(&store));
                // The function has no error to give.
                let size = value.size(&ctx).await.map_err(|why| wasmtime::format_err!("{why}"))?;
                Ok((size,))
            })
        },
    )
}
