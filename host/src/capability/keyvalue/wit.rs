//! The interface as guests see it: types, the resource `bucket`, and each function, given to the store behind it.

use std::sync::Arc;

use futures::future::BoxFuture;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;

use super::{Bucket, Links, MAX_BATCH, NAME, check_key, check_value};
use crate::capability::bus;
use crate::engine::{CallContext, CallState};

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum KeyvalueError {
    /// There is no store behind the name.
    #[component(name = "no-such-store")]
    NoSuchStore,
    /// The component may not use it.
    #[component(name = "access-denied")]
    AccessDenied,
    /// Something else, in words.
    #[component(name = "other")]
    Other(String),
}

/// Keys, and where to go on.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
struct KeyResponse {
    keys: Vec<String>,
    cursor: Option<u64>,
}

type Outcome<T> = Result<T, KeyvalueError>;
type Pair = (String, Vec<u8>);
type Held = Arc<dyn Bucket>;
type Context<'a> = StoreContextMut<'a, CallState>;

/// A bucket in the table of a call's store.
struct Open(Held);

/// The bucket of a handle, for a call; `open` is the span that it is asked in.
fn bucket(
    store: &mut Context<'_>,
    handle: &Resource<Open>,
    open: Option<&lath_telemetry::Open>,
) -> wasmtime::Result<Held> {
    let held = Arc::clone(&store.data_mut().ctx().table.get(handle)?.0);
    let ctx = &store.data().ctx;
    let in_call = match open {
        Some(open) => {
            let trace = Some(Arc::new(open.context().clone()));
            held.in_call(&CallContext { trace, ..ctx.clone() })
        }
        None => held.in_call(ctx),
    };
    Ok(in_call.unwrap_or(held))
}

/// Adds the interface under the name that the component imports it by.
pub(super) fn add(linker: &mut Linker<CallState>, import: &str) -> wasmtime::Result<()> {
    let interface = import.split_once('@').map_or(import, |(name, _)| name);
    match interface {
        "wasi:keyvalue/store" => add_store(linker, import),
        "wasi:keyvalue/atomics" => add_atomics(linker, import),
        _ => add_batch(linker, import),
    }
}

/// An operation on a bucket, as a host function wants it. `name` is that of its span.
fn on<'a, T: Send + 'a>(
    mut store: Context<'_>,
    name: &'static str,
    handle: &Resource<Open>,
    operation: impl FnOnce(Held) -> BoxFuture<'a, Outcome<T>>,
) -> Box<dyn Future<Output = wasmtime::Result<(Outcome<T>,)>> + Send + 'a> {
    let open = store.data().open_span(name);
    match bucket(&mut store, handle, open.as_ref()) {
        Ok(bucket) => {
            let outcome = operation(bucket);
            Box::new(async move {
                let outcome = outcome.await;
                if let (Some(mut open), Err(error)) = (open, &outcome) {
                    open.fail("keyvalue", &format_args!("{error:?}"));
                }
                Ok((outcome,))
            })
        }
        Err(error) => Box::new(std::future::ready(Err(error))),
    }
}

fn add_store(linker: &mut Linker<CallState>, import: &str) -> wasmtime::Result<()> {
    let mut instance = linker.instance(import)?;
    instance.resource("bucket", ResourceType::host::<Open>(), |mut store, handle| {
        store.data_mut().ctx().table.delete(Resource::<Open>::new_own(handle))?;
        Ok(())
    })?;
    instance.func_wrap_async("open", |mut store: Context<'_>, (identifier,): (String,)| {
        Box::new(async move {
            let unit = Arc::clone(&store.data().unit);
            let chosen = store.data().choices.of(bus::KEYVALUE).cloned();
            let Some(links) = unit.bound.get::<Links>(NAME) else {
                return Ok((Err(KeyvalueError::NoSuchStore),));
            };
            Ok((match links.open(&identifier, chosen.as_ref()).await {
                Ok(bucket) => Ok(store.data_mut().ctx().table.push(Open(bucket))?),
                Err(error) => Err(error),
            },))
        })
    })?;
    instance.func_wrap_async(
        "[method]bucket.get",
        |store: Context<'_>, (handle, key): (Resource<Open>, String)| {
            on(store, "wasi:keyvalue/store.get", &handle, |bucket| {
                Box::pin(async move { get(&bucket, &key).await })
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]bucket.set",
        |store: Context<'_>, (handle, key, value): (Resource<Open>, String, Vec<u8>)| {
            on(store, "wasi:keyvalue/store.set", &handle, |bucket| {
                Box::pin(async move { set(&bucket, key, value).await })
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]bucket.delete",
        |store: Context<'_>, (handle, key): (Resource<Open>, String)| {
            on(store, "wasi:keyvalue/store.delete", &handle, |bucket| {
                Box::pin(async move { delete(&bucket, &key).await })
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]bucket.exists",
        |store: Context<'_>, (handle, key): (Resource<Open>, String)| {
            on(store, "wasi:keyvalue/store.exists", &handle, |bucket| {
                Box::pin(async move { Ok(get(&bucket, &key).await?.is_some()) })
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]bucket.list-keys",
        |store: Context<'_>, (handle, cursor): (Resource<Open>, Option<u64>)| {
            on(store, "wasi:keyvalue/store.list-keys", &handle, |bucket| {
                Box::pin(async move {
                    let (keys, cursor) = bucket.keys(cursor.unwrap_or(0)).await?;
                    Ok(KeyResponse { keys, cursor })
                })
            })
        },
    )
}

fn add_atomics(linker: &mut Linker<CallState>, import: &str) -> wasmtime::Result<()> {
    linker.instance(import)?.func_wrap_async(
        "increment",
        |store: Context<'_>, (handle, key, delta): (Resource<Open>, String, u64)| {
            on(store, "wasi:keyvalue/atomics.increment", &handle, |bucket| {
                Box::pin(async move {
                    check_key(&key)?;
                    bucket.increment(key, delta).await
                })
            })
        },
    )
}

fn add_batch(linker: &mut Linker<CallState>, import: &str) -> wasmtime::Result<()> {
    let mut instance = linker.instance(import)?;
    instance.func_wrap_async(
        "get-many",
        |store: Context<'_>, (handle, keys): (Resource<Open>, Vec<String>)| {
            on(store, "wasi:keyvalue/batch.get-many", &handle, |bucket| {
                Box::pin(async move {
                    check_batch(keys.len())?;
                    let mut found: Vec<Option<Pair>> = Vec::with_capacity(keys.len());
                    for key in keys {
                        let value = get(&bucket, &key).await?;
                        found.push(value.map(|value| (key, value)));
                    }
                    Ok(found)
                })
            })
        },
    )?;
    instance.func_wrap_async(
        "set-many",
        |store: Context<'_>, (handle, pairs): (Resource<Open>, Vec<Pair>)| {
            on(store, "wasi:keyvalue/batch.set-many", &handle, |bucket| {
                Box::pin(async move {
                    check_batch(pairs.len())?;
                    for (key, value) in pairs {
                        set(&bucket, key, value).await?;
                    }
                    Ok(())
                })
            })
        },
    )?;
    instance.func_wrap_async(
        "delete-many",
        |store: Context<'_>, (handle, keys): (Resource<Open>, Vec<String>)| {
            on(store, "wasi:keyvalue/batch.delete-many", &handle, |bucket| {
                Box::pin(async move {
                    check_batch(keys.len())?;
                    for key in keys {
                        delete(&bucket, &key).await?;
                    }
                    Ok(())
                })
            })
        },
    )
}

async fn get(bucket: &Held, key: &str) -> Outcome<Option<Vec<u8>>> {
    check_key(key)?;
    bucket.get(key).await
}

async fn set(bucket: &Held, key: String, value: Vec<u8>) -> Outcome<()> {
    check_key(&key)?;
    check_value(&value)?;
    bucket.set(key, value).await
}

async fn delete(bucket: &Held, key: &str) -> Outcome<()> {
    check_key(key)?;
    bucket.delete(key).await
}

fn check_batch(keys: usize) -> Outcome<()> {
    if keys <= MAX_BATCH {
        return Ok(());
    }
    Err(KeyvalueError::Other(format!("{keys} keys at once; at most {MAX_BATCH} are taken")))
}
