//! The interface as guests see it: records, containers, and each function, given to the provider behind it. What
//! streams is in `wit/values.rs`.

mod values;

use std::sync::Arc;

use futures::future::BoxFuture;
use lath_wrpc::blobstore::{Ask, Object, created_at, done, object_info, truth};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;

use super::way::Way;
use super::{Links, NAME, Outcome};
use crate::capability::bus;
use crate::engine::{CallContext, CallState};

pub(super) use values::{IncomingValue, StreamObjectNames};

/// What is told of a container.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
struct ContainerMetadata {
    name: String,
    #[component(name = "created-at")]
    created_at: u64,
}

/// What is told of an object.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
struct ObjectMetadata {
    name: String,
    container: String,
    #[component(name = "created-at")]
    created_at: u64,
    size: u64,
}

/// An object by the name of its container and its own.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
struct ObjectId {
    container: String,
    object: String,
}

impl ObjectId {
    fn as_object(&self) -> Object<'_> {
        Object { container: &self.container, name: &self.object }
    }
}

type Context<'a> = StoreContextMut<'a, CallState>;
type Answering<'a, T> = Box<dyn Future<Output = wasmtime::Result<(T,)>> + Send + 'a>;

/// A container in the table of a call's store.
#[derive(Clone)]
struct Container {
    way: Arc<Way>,
    name: Arc<str>,
}

/// Adds the interface under the name that the component imports it by.
pub(super) fn add(linker: &mut Linker<CallState>, import: &str) -> wasmtime::Result<()> {
    let interface = import.split_once('@').map_or(import, |(name, _)| name);
    let mut instance = linker.instance(import)?;
    match interface {
        "wasi:blobstore/types" => {
            values::add_outgoing(&mut instance)?;
            values::add_incoming(&mut instance)
        }
        "wasi:blobstore/container" => {
            add_container(&mut instance)?;
            values::add_data(&mut instance)?;
            values::add_names(&mut instance)
        }
        _ => add_blobstore(&mut instance),
    }
}

/// What travels along with the calls that a component makes.
fn context(store: &Context<'_>) -> CallContext {
    let mut ctx = store.data().ctx.clone();
    ctx.hops = ctx.hops.saturating_add(1);
    ctx
}

/// The provider that has the container of this name.
fn way(store: &Context<'_>, container: &str) -> Outcome<Arc<Way>> {
    let links = store.data().unit.bound.get::<Links>(NAME);
    links.map_or_else(
        || Err("no link leads to a provider of containers".to_owned()),
        |links| links.of(container, store.data().choices.of(bus::BLOBSTORE)),
    )
}

fn push<T: Send + 'static>(
    store: &mut Context<'_>,
    made: Outcome<T>,
) -> wasmtime::Result<Outcome<Resource<T>>> {
    Ok(match made {
        Ok(made) => Ok(store.data_mut().ctx().table.push(made)?),
        Err(why) => Err(why),
    })
}

fn copy<T: Clone + Send + 'static>(store: &mut Context<'_>, handle: &Resource<T>) -> wasmtime::Result<T> {
    Ok(store.data_mut().ctx().table.get(handle)?.clone())
}

fn add_resource<T: Send + 'static>(
    instance: &mut LinkerInstance<'_, CallState>,
    name: &str,
) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |mut store, handle| {
        store.data_mut().ctx().table.delete(Resource::<T>::new_own(handle))?;
        Ok(())
    })
}

/// An operation at the provider of a container, as a host function wants it.
fn at<'a, T: Send + 'a>(
    store: &Context<'_>,
    container: &str,
    operation: impl FnOnce(Arc<Way>, CallContext) -> BoxFuture<'a, Outcome<T>>,
) -> Answering<'a, Outcome<T>> {
    match way(store, container) {
        Ok(way) => {
            let outcome = operation(way, context(store));
            Box::new(async move { Ok((outcome.await,)) })
        }
        Err(why) => Box::new(std::future::ready(Ok((Err(why),)))),
    }
}

/// The same of one that the component has opened.
fn on<'a, T: Send + 'a>(
    mut store: Context<'_>,
    handle: &Resource<Container>,
    operation: impl FnOnce(Container, CallContext) -> BoxFuture<'a, Outcome<T>>,
) -> Answering<'a, Outcome<T>> {
    match copy(&mut store, handle) {
        Ok(container) => {
            let outcome = operation(container, context(&store));
            Box::new(async move { Ok((outcome.await,)) })
        }
        Err(error) => Box::new(std::future::ready(Err(error))),
    }
}

fn add_blobstore(instance: &mut LinkerInstance<'_, CallState>) -> wasmtime::Result<()> {
    instance.func_wrap_async("create-container", |mut store: Context<'_>, (name,): (String,)| {
        Box::new(async move {
            let (found, ctx) = (way(&store, &name), context(&store));
            let made = match found {
                Ok(way) => {
                    let made = way.plain(Ask::CreateContainer(&name), &ctx, done).await;
                    made.map(|()| Container { way, name: name.into() })
                }
                Err(why) => Err(why),
            };
            Ok((push(&mut store, made)?,))
        })
    })?;
    instance.func_wrap_async("get-container", |mut store: Context<'_>, (name,): (String,)| {
        Box::new(async move {
            let (found, ctx) = (way(&store, &name), context(&store));
            let found = match found {
                Ok(way) => match way.plain(Ask::ContainerExists(&name), &ctx, truth).await {
                    Ok(true) => Ok(Container { way, name: name.into() }),
                    Ok(false) => Err(format!("there is no container `{name}`")),
                    Err(why) => Err(why),
                },
                Err(why) => Err(why),
            };
            Ok((push(&mut store, found)?,))
        })
    })?;
    instance.func_wrap_async("delete-container", |store: Context<'_>, (name,): (String,)| {
        at(&store, &name.clone(), |way, ctx| {
            Box::pin(async move { way.plain(Ask::DeleteContainer(&name), &ctx, done).await })
        })
    })?;
    instance.func_wrap_async("container-exists", |store: Context<'_>, (name,): (String,)| {
        at(&store, &name.clone(), |way, ctx| {
            Box::pin(async move { way.plain(Ask::ContainerExists(&name), &ctx, truth).await })
        })
    })?;
    instance.func_wrap_async("copy-object", |store: Context<'_>, (from, to): (ObjectId, ObjectId)| {
        between(&store, from, to, copied)
    })?;
    instance.func_wrap_async("move-object", |store: Context<'_>, (from, to): (ObjectId, ObjectId)| {
        between(&store, from, to, moved)
    })
}

// Functions of their own, since a variant is one for some lifetime and not for any.
fn copied<'a>(from: Object<'a>, to: Object<'a>) -> Ask<'a> {
    Ask::CopyObject(from, to)
}

fn moved<'a>(from: Object<'a>, to: Object<'a>) -> Ask<'a> {
    Ask::MoveObject(from, to)
}

/// An operation that a provider does between two of its objects.
fn between<'a>(
    store: &Context<'_>,
    from: ObjectId,
    to: ObjectId,
    ask: impl for<'b> FnOnce(Object<'b>, Object<'b>) -> Ask<'b> + Send + 'a,
) -> Answering<'a, Outcome<()>> {
    let (ways, ctx) =
        (way(store, &from.container).and_then(|one| Ok((one, way(store, &to.container)?))), context(store));
    Box::new(async move {
        let (way, other) = match ways {
            Ok(ways) => ways,
            Err(why) => return Ok((Err(why),)),
        };
        if !Arc::ptr_eq(&way, &other) {
            let (from, to) = (&from.container, &to.container);
            return Ok((Err(format!(
                "`{from}` and `{to}` are behind different links: read the object from one and write it to the other"
            )),));
        }
        Ok((way.plain(ask(from.as_object(), to.as_object()), &ctx, done).await,))
    })
}

fn add_container(instance: &mut LinkerInstance<'_, CallState>) -> wasmtime::Result<()> {
    add_resource::<Container>(instance, "container")?;
    instance.func_wrap(
        "[method]container.name",
        |mut store: Context<'_>, (handle,): (Resource<Container>,)| {
            let container = copy(&mut store, &handle)?;
            Ok((Outcome::Ok(container.name.as_ref().to_owned()),))
        },
    )?;
    instance.func_wrap_async(
        "[method]container.info",
        |store: Context<'_>, (handle,): (Resource<Container>,)| {
            on(store, &handle, |Container { way, name }, ctx| {
                Box::pin(async move {
                    let created_at = way.plain(Ask::GetContainerInfo(&name), &ctx, created_at).await?;
                    Ok(ContainerMetadata { name: name.as_ref().to_owned(), created_at })
                })
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.delete-object",
        |store: Context<'_>, (handle, object): (Resource<Container>, String)| {
            on(store, &handle, |Container { way, name }, ctx| {
                Box::pin(async move {
                    let object = Object { container: &name, name: &object };
                    way.plain(Ask::DeleteObject(object), &ctx, done).await
                })
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.delete-objects",
        |store: Context<'_>, (handle, objects): (Resource<Container>, Vec<String>)| {
            on(store, &handle, |Container { way, name }, ctx| {
                Box::pin(async move { way.plain(Ask::DeleteObjects(&name, &objects), &ctx, done).await })
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.has-object",
        |store: Context<'_>, (handle, object): (Resource<Container>, String)| {
            on(store, &handle, |Container { way, name }, ctx| {
                Box::pin(async move {
                    let object = Object { container: &name, name: &object };
                    way.plain(Ask::HasObject(object), &ctx, truth).await
                })
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.object-info",
        |store: Context<'_>, (handle, object): (Resource<Container>, String)| {
            on(store, &handle, |Container { way, name }, ctx| {
                Box::pin(async move {
                    let asked = Ask::GetObjectInfo(Object { container: &name, name: &object });
                    let (created_at, size) = way.plain(asked, &ctx, object_info).await?;
                    Ok(ObjectMetadata { name: object, container: name.as_ref().to_owned(), created_at, size })
                })
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.clear",
        |store: Context<'_>, (handle,): (Resource<Container>,)| {
            on(store, &handle, |Container { way, name }, ctx| {
                Box::pin(async move { way.plain(Ask::ClearContainer(&name), &ctx, done).await })
            })
        },
    )
}
