//! The WebAssembly engine of a host: from the bytes of a component to answered calls.
//!
//! Compile, link, call: nothing here knows of NATS, manifests, routes or revisions' order. What a component may
//! use is set on the store of each call, and no store serves a second call. This folder is the one place of the
//! host that holds `unsafe`: to map compiled code that the cache has verified.
//!
//! Read in this order: `failure`, `targets`, `pool`, `base`, `code`, `cache`, `link`, `handles`, `linked`, `choice`, `exports`,
//! `unit`, `limits`, `watch`, `gate`, `room`, `lanes`, `kept`, `prepared`, `probe`, `typed`, `call`, `encoded`, `crossing`,
//! `session`, `under_way`, `pipes`, `body`, `http`, `http_p3`, `http_link`, `counts`.

mod base;
pub mod body;
mod cache;
mod call;
mod choice;
mod code;
mod counts;
mod crossing;
mod encoded;
mod exports;
mod failure;
mod gate;
mod handles;
mod http;
pub(crate) mod http_link;
mod http_p3;
mod kept;
mod lanes;
mod limits;
mod link;
mod linked;
mod pipes;
mod pool;
mod prepared;
mod probe;
mod room;
mod session;
mod targets;
#[cfg(test)]
pub(crate) mod tests;
mod typed;
mod under_way;
pub(crate) mod unit;
mod watch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lath_control_api::{ComponentSpec, Digest};
use lath_telemetry::Spans;
use tokio::sync::Semaphore;

pub use body::{Body, BodyError};
pub use code::Code;
pub(crate) use encoded::Unanswered;
pub(crate) use exports::FunctionNames;
pub use exports::{ExportedFunction, ExportedFunctionId, Exports};
pub(crate) use failure::bounded;
pub use failure::{CallError, Outcome, PrepareError};
pub use handles::Handles;
pub(crate) use link::Beside;
pub use pool::Pooling;
pub use prepared::{Closed, InFlight, Prepared};
pub use targets::{
    CallContext, Caller, FunctionTypes, MAX_HOPS, RemoteCall, RemoteRequest, RequestError, Targets,
};
pub(crate) use unit::CallState;
pub use unit::UnitIdentity;

use crate::capability::bound::Bindings;
use crate::capability::outside::{Outside, OutsideError};
use crate::capability::preopens::FilesRoot;
use base::Bases;
use kept::Kept;
use lanes::Lanes;
use pool::Machine;
use prepared::Places;
use room::Room;
use unit::{Unit, Ways};

/// How often running guests give way, and the grain of every stop.
const TICK: Duration = Duration::from_millis(10);
/// The same while guests take turns: as long as one keeps a processor to itself.
const SHORT_TICK: Duration = Duration::from_millis(1);
/// Time between two looks at instances that nothing calls.
const SWEEP: Duration = Duration::from_millis(500);

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where compiled code is kept between starts; nowhere when absent.
    pub cache_dir: Option<PathBuf>,
    /// Where instances live.
    pub pooling: Pooling,
    /// Larger components are refused before anything reads them.
    pub max_component_bytes: u64,
    /// Compilations at the same time. At least 1.
    pub compile_workers: usize,
    /// The ways out for what components are granted; as the system has them when absent.
    pub outside: Option<Outside>,
    /// The folder below which components may be given folders; none are given by default.
    pub files: FilesRoot,
    /// Who records what is called.
    pub spans: Spans,
}

impl Default for EngineConfig {
    /// No cache, a pool that suits the machine, 128 MiB, half of the processors, no folders.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            cache_dir: None,
            pooling: Pooling::Auto,
            max_component_bytes: 128 << 20,
            compile_workers: (processors / 2).max(1),
            outside: None,
            files: FilesRoot::default(),
            spans: Spans::default(),
        }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No way of allocation works here.
    #[error("the WebAssembly engine cannot be set up with {allocation}: {cause}")]
    Setup {
        /// The last way that was tried.
        allocation: String,
        /// What the engine said.
        cause: String,
    },
    /// The directory for compiled code cannot be used.
    #[error("the directory for compiled code {} cannot be used", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is no way out of the host.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// The host could not start a thread.
    #[error("no thread for the engine")]
    Thread(#[source] std::io::Error),
}

/// The engine. One for each process; a clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    bases: Bases,
    max_component_bytes: u64,
    compiler: code::Compiler,
    compiling: Arc<Semaphore>,
    room: Arc<Room>,
    lanes: Arc<Lanes>,
    kept: Arc<Kept>,
    outside: Outside,
    files: FilesRoot,
    spans: Spans,
    /// Compiled code that somebody uses, and the gate through which one at a time makes it.
    codes: Mutex<HashMap<Digest, Shared>>,
    _clock: Clock,
}

#[derive(Clone)]
struct Shared {
    code: Weak<Code>,
    gate: Arc<Semaphore>,
}

impl Engine {
    /// Sets the engine up: the best way to allocate instances that works on this machine.
    ///
    /// # Errors
    /// When none does, or the directory for compiled code cannot be used.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let machine = Machine::here();
        let bases = Bases::new(config.pooling, machine, config.cache_dir.as_deref())?;
        let outside = match config.outside {
            Some(outside) => outside,
            None => Outside::new(None)?,
        };
        let instances = bases.allocation.instances(machine);
        let kept = Arc::new(Kept::new(instances / 2));
        let lanes = Arc::new(Lanes::new());
        let clock =
            Clock::start(&bases, Arc::clone(&kept), Arc::clone(&lanes)).map_err(EngineError::Thread)?;
        let inner = Inner {
            max_component_bytes: config.max_component_bytes,
            compiler: code::Compiler::start().map_err(EngineError::Thread)?,
            compiling: Arc::new(Semaphore::new(config.compile_workers.max(1))),
            room: Arc::new(Room::new(instances)),
            bases,
            lanes,
            kept,
            outside,
            files: config.files,
            spans: config.spans,
            codes: Mutex::new(HashMap::new()),
            _clock: clock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How instances are allocated, for people.
    #[must_use]
    pub fn allocation(&self) -> String {
        self.inner.bases.allocation.to_string()
    }

    /// Makes `bytes` runnable, or takes what was compiled before. One copy in memory for each digest.
    ///
    /// # Errors
    /// [`Reason::NotAComponent`](lath_control_api::Reason::NotAComponent),
    /// [`Reason::DigestMismatch`](lath_control_api::Reason::DigestMismatch) or
    /// [`Reason::CompileFailed`](lath_control_api::Reason::CompileFailed), with what was found instead.
    pub async fn compile(&self, digest: &Digest, bytes: Bytes) -> Result<Arc<Code>, PrepareError> {
        if let Some(code) = self.cached(digest).await {
            return Ok(code);
        }
        code::recognise(&bytes, self.inner.max_component_bytes)?;
        let shared = self.shared(digest);
        let _alone = shared.gate.acquire().await;
        if let Some(code) = self.in_memory(digest) {
            return Ok(code);
        }
        let worker = Arc::clone(&self.inner.compiling).acquire_owned().await.ok();
        let (compiler, engines) = (&self.inner.compiler, self.inner.bases.compilers());
        let compiled = code::compile(compiler, engines, digest.clone(), bytes, worker).await?;
        if let Some(cache) = self.inner.bases.of(compiled.tasks).cache.clone() {
            let (digest, component) = (digest.clone(), compiled.component.clone());
            let token = compiled.signed.as_ref().map(|signed| signed.token.clone());
            let store = move || cache.store(&digest, &component, token.as_deref());
            // A failure to keep it was logged; a panic there must not cost the code that is here.
            let _kept = tokio::task::spawn_blocking(store).await;
        }
        Ok(self.keep(digest, compiled))
    }

    /// What was compiled before and is in memory or on disk: its bytes are not needed.
    pub async fn cached(&self, digest: &Digest) -> Option<Arc<Code>> {
        if let Some(code) = self.in_memory(digest) {
            return Some(code);
        }
        let shared = self.shared(digest);
        let _alone = shared.gate.acquire().await;
        if let Some(code) = self.in_memory(digest) {
            return Some(code);
        }
        let (inner, wanted) = (Arc::clone(&self.inner), digest.clone());
        let load = move || {
            let mut bases = inner.bases.each().into_iter();
            bases.find_map(|(tasks, base)| {
                let (component, signed) = base.cache.as_ref()?.load(&base.wasmtime, &wanted)?;
                Some(code::Compiled { component, tasks, signed })
            })
        };
        let loaded = tokio::task::spawn_blocking(load).await.ok().flatten();
        loaded.map(|compiled| self.keep(digest, compiled))
    }

    /// Checks every import against the host's capabilities and the links of the spec, and makes the component
    /// ready for calls.
    ///
    /// # Errors
    /// [`Reason::ImportUnsatisfied`](lath_control_api::Reason::ImportUnsatisfied) with each import that leads nowhere;
    /// [`Reason::ConfigInvalid`](lath_control_api::Reason::ConfigInvalid) with a folder that cannot be given.
    pub fn link(
        &self,
        code: Arc<Code>,
        unit: UnitIdentity,
        spec: &ComponentSpec,
        targets: &Arc<dyn Targets>,
    ) -> Result<Arc<Prepared>, PrepareError> {
        self.link_bound(code, unit, spec, targets, Bindings::default())
    }

    /// As [`Engine::link`], with what the component got of the capabilities that its links lead to.
    pub(crate) fn link_bound(
        &self,
        code: Arc<Code>,
        unit: UnitIdentity,
        spec: &ComponentSpec,
        targets: &Arc<dyn Targets>,
        bound: Bindings,
    ) -> Result<Arc<Prepared>, PrepareError> {
        let base = &self.inner.bases.of(code.tasks()).linker;
        let connected = link::link(base, &code, spec, targets, &bound)?;
        let folders = self.inner.files.grant(&spec.grants.preopens)?;
        let ways = Ways { outside: &self.inner.outside, targets, spans: &self.inner.spans };
        let unit = Arc::new(Unit::new(unit, spec, (bound, folders), &ways));
        let places = Places {
            room: Arc::clone(&self.inner.room),
            lanes: Arc::clone(&self.inner.lanes),
            kept: Arc::clone(&self.inner.kept),
        };
        Ok(Arc::new(Prepared::new(code, unit, spec, connected, places)))
    }

    fn in_memory(&self, digest: &Digest) -> Option<Arc<Code>> {
        self.codes().get(digest)?.code.upgrade()
    }

    fn shared(&self, digest: &Digest) -> Shared {
        let mut codes = self.codes();
        // Whoever is compiled or waited for stays; the rest was thrown away by its last user.
        codes.retain(|_, shared| shared.code.strong_count() > 0 || Arc::strong_count(&shared.gate) > 1);
        codes
            .entry(digest.clone())
            .or_insert_with(|| Shared { code: Weak::new(), gate: Arc::new(Semaphore::new(1)) })
            .clone()
    }

    fn keep(&self, digest: &Digest, compiled: code::Compiled) -> Arc<Code> {
        let code = Arc::new(Code::new(digest.clone(), compiled));
        if let Some(shared) = self.codes().get_mut(digest) {
            shared.code = Arc::downgrade(&code);
        }
        code
    }

    fn codes(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Shared>> {
        self.inner.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("allocation", &self.inner.bases.allocation).finish_non_exhaustive()
    }
}

/// Counts the epochs of both engines up at every tick, and has idle instances thrown away, until it is dropped.
struct Clock {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    fn start(bases: &Bases, kept: Arc<Kept>, lanes: Arc<Lanes>) -> std::io::Result<Self> {
        let engines = bases.each().map(|(_, base)| base.wasmtime.weak());
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("lath-epoch".into()).spawn(move || {
            let (mut tick, mut swept) = (TICK, Instant::now());
            while stopped.recv_timeout(tick) == Err(mpsc::RecvTimeoutError::Timeout) {
                for engine in &engines {
                    let Some(engine) = engine.upgrade() else { return };
                    engine.increment_epoch();
                }
                tick = if lanes.have_turned() { SHORT_TICK } else { TICK };
                if swept.elapsed() >= SWEEP {
                    kept.sweep();
                    swept = Instant::now();
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It ends at once: its channel is gone. A panic in it has nothing left to harm.
            let _ended = thread.join();
        }
    }
}

/// A number of bytes for people.
fn mebibytes(bytes: usize) -> String {
    const MIB: usize = 1 << 20;
    if bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else if bytes < MIB {
        format!("{bytes} bytes")
    } else {
        format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB)
    }
}
