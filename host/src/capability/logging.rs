//! `wasi:logging`: what a component says with a level, given to the host's log beside what it prints.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use crate::engine::CallState;

/// How much a line matters, as the interface has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the engine makes them from the guest's values")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error | Level::Critical => Self::ERROR,
        }
    }
}

/// Adds the interface under the name that the component imports it by.
pub(crate) fn add(linker: &mut Linker<CallState>, instance: &str) -> wasmtime::Result<()> {
    linker.instance(instance)?.func_wrap(
        "log",
        |store: StoreContextMut<'_, CallState>, (level, context, message): (Level, String, String)| {
            let CallState { unit, ctx, .. } = store.data();
            unit.log.logged(level.into(), ctx.trace.as_deref(), &context, &message);
            Ok(())
        },
    )
}
