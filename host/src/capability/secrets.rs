//! `wasmcloud:secrets`: the secrets of a component, which it gets as handles and reveals one by one.
//!
//! The values were had from their backends when the component was prepared, and live in its unit; nothing is asked here.

use lath_wasmcloud::SecretValue as Value;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;

use crate::engine::CallState;

/// Why a component does not get a secret.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
enum SecretsError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
    #[component(name = "not-found")]
    NotFound,
}

/// A value that was revealed. It has no form for logs.
#[derive(Clone, ComponentType, Lift, Lower)]
#[component(variant)]
enum SecretValue {
    #[component(name = "string")]
    String(String),
    #[component(name = "bytes")]
    Bytes(Vec<u8>),
}

/// A handle: the name under which the component was given the secret.
struct Handle(String);

type Context<'a> = StoreContextMut<'a, CallState>;

/// Adds the interface under the name that the component imports it by.
pub(crate) fn add(linker: &mut Linker<CallState>, import: &str) -> wasmtime::Result<()> {
    let mut instance = linker.instance(import)?;
    if import.starts_with("wasmcloud:secrets/reveal") {
        return instance.func_wrap("reveal", |mut store: Context<'_>, (handle,): (Resource<Handle>,)| {
            let name = store.data_mut().ctx().table.get(&handle)?.0.clone();
            match store.data().unit.bound.secret(&name) {
                Some(Value::String(text)) => Ok((SecretValue::String(text.clone()),)),
                Some(Value::Bytes(bytes)) => Ok((SecretValue::Bytes(bytes.clone()),)),
                None => Err(wasmtime::Error::msg("a handle of a secret that is not there")),
            }
        });
    }
    instance.resource("secret", ResourceType::host::<Handle>(), |mut store, handle| {
        store.data_mut().ctx().table.delete(Resource::<Handle>::new_own(handle))?;
        Ok(())
    })?;
    instance.func_wrap("get", |mut store: Context<'_>, (name,): (String,)| {
        if store.data().unit.bound.secret(&name).is_none() {
            return Ok((Err(SecretsError::NotFound),));
        }
        let handle = store.data_mut().ctx().table.push(Handle(name))?;
        Ok((Ok::<Resource<Handle>, SecretsError>(handle),))
    })
}
