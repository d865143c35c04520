//! The two set-ups of the engine, and which of them a component needs.
//!
//! WASI 0.3 gives a component several tasks at once. A store for that costs every call something, and must not be run
//! inside the future of another store, so components that have one task at a time keep a set-up without it. Units of
//! both call each other: what passes between stores is values, never handles of the engine.

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::{Component, Linker};

use crate::capability;
use crate::engine::EngineError;
use crate::engine::cache::Cache;
use crate::engine::pool::{self, Allocation, Machine, Pooling};
use crate::engine::unit::CallState;

/// How many tasks a component has at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tasks {
    /// One: everything up to WASI 0.2.
    One,
    /// Any number: WASI 0.3, and whatever has `async` functions, streams or futures.
    Many,
}

/// One set-up: the engine, what every component of it gets, and its compiled code on disk.
pub(crate) struct Base {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) linker: Linker<CallState>,
    pub(crate) cache: Option<Cache>,
}

/// Both set-ups. Compiled code of one is worthless in the other.
pub(crate) struct Bases {
    one: Base,
    many: Base,
    pub(crate) allocation: Allocation,
}

impl Bases {
    /// Sets both up, in the best way to allocate instances that works on this machine.
    pub(crate) fn new(
        pooling: Pooling,
        machine: Machine,
        cache_dir: Option<&Path>,
    ) -> Result<Self, EngineError> {
        let (one, allocation) = set_up(Tasks::One, pooling, machine)?;
        // A reservation of address space would be the second of that size, and it may be limited.
        let second = if machine.address_space.is_some() { Pooling::Off } else { pooling };
        let (many, _) = set_up(Tasks::Many, second, machine)?;
        let base = |wasmtime: wasmtime::Engine, tasks| {
            let cache = cache_dir.map(|path| {
                Cache::open(path, &wasmtime)
                    .map_err(|source| EngineError::Cache { path: path.to_owned(), source })
            });
            let mut linker = Linker::new(&wasmtime);
            let added = match tasks {
                Tasks::One => capability::add_core(&mut linker),
                Tasks::Many => capability::add_core_async(&mut linker),
            };
            added.map_err(|error| EngineError::Setup {
                allocation: allocation.to_string(),
                cause: format!("{error:#}"),
            })?;
            Ok::<_, EngineError>(Base { wasmtime, linker, cache: cache.transpose()? })
        };
        Ok(Self { one: base(one, Tasks::One)?, many: base(many, Tasks::Many)?, allocation })
    }

    pub(crate) const fn of(&self, tasks: Tasks) -> &Base {
        match tasks {
            Tasks::One => &self.one,
            Tasks::Many => &self.many,
        }
    }

    /// Both, in the order in which they are tried.
    pub(crate) fn each(&self) -> [(Tasks, &Base); 2] {
        [(Tasks::One, &self.one), (Tasks::Many, &self.many)]
    }

    /// The engines alone, for the compiler.
    pub(crate) fn compilers(&self) -> Arc<Compilers> {
        Arc::new(Compilers { one: self.one.wasmtime.clone(), many: self.many.wasmtime.clone() })
    }
}

/// The engines, as the compiler needs them.
#[derive(Clone)]
pub(crate) struct Compilers {
    one: wasmtime::Engine,
    many: wasmtime::Engine,
}

impl Compilers {
    /// Compiles in the set-up that the component needs.
    ///
    /// # Errors
    /// What the engine says. It is the larger of the two that has the last word.
    pub(crate) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<(Tasks, Component)> {
        if !is_of_03(bytes)
            && let Ok(component) = Component::from_binary(&self.one, bytes)
        {
            return Ok((Tasks::One, component));
        }
        // Refused for its types, before anything of it was compiled; or broken, and then it is here too.
        Component::from_binary(&self.many, bytes).map(|component| (Tasks::Many, component))
    }
}

/// Whether a component says by a name that it is of WASI 0.3.
fn is_of_03(bytes: &[u8]) -> bool {
    let Ok(shape) = lath_artifacts::recognise(bytes) else { return false };
    shape.imports.iter().chain(&shape.exports).any(|name| {
        let version = name.strip_prefix("wasi:").and_then(|name| name.split_once('@'));
        version.is_some_and(|(_, version)| version.starts_with("0.3."))
    })
}

fn set_up(
    tasks: Tasks,
    pooling: Pooling,
    machine: Machine,
) -> Result<(wasmtime::Engine, Allocation), EngineError> {
    let (candidates, why) = Allocation::candidates(pooling, machine);
    let mut refused =
        EngineError::Setup { allocation: "nothing".into(), cause: "there is no way to try".into() };
    for allocation in candidates {
        match wasmtime::Engine::new(&pool::config(allocation, tasks)) {
            Ok(engine) => {
                tracing::info!(?tasks, %allocation, why, "WebAssembly engine ready");
                return Ok((engine, allocation));
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::warn!(?tasks, %allocation, cause, "this way to allocate instances does not work here");
                refused = EngineError::Setup { allocation: allocation.to_string(), cause };
            }
        }
    }
    Err(refused)
}
