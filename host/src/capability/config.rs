//! `wasi:config`: the settings of a component, in the form of today and in the one of the 1.x world.
//!
//! Settings are read from the spec alone. They never change while a unit lives: another value is another unit.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};
use wasmtime_wasi_config::WasiConfig;

use crate::engine::CallState;

/// Why a setting could not be read. Needed for its type only: reading from the spec cannot fail.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Entries = Vec<(String, String)>;

/// Adds `wasi:config/store@0.2.0-rc.1`.
pub(crate) fn add_store(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi_config::add_to_linker(linker, |state| WasiConfig::from(state.variables()))
}

/// Adds `wasi:config/runtime`, which components for 1.x import.
pub(crate) fn add_runtime(linker: &mut Linker<CallState>, instance: &str) -> wasmtime::Result<()> {
    let mut instance = linker.instance(instance)?;
    instance.func_wrap("get", |store: StoreContextMut<'_, CallState>, (key,): (String,)| {
        let value = store.data().unit.config.get(&key).cloned();
        Ok((Ok::<Option<String>, ConfigError>(value),))
    })?;
    instance.func_wrap("get-all", |store: StoreContextMut<'_, CallState>, (): ()| {
        let entries: Entries = store.data().unit.config.clone().into_iter().collect();
        Ok((Ok::<Entries, ConfigError>(entries),))
    })
}
