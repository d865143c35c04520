//! From bytes to runnable code: what is refused before the compiler sees it, and the compilation itself.
//!
//! Bytes are judged by what they are, never by a name, and nothing is run that was not compiled here.

use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use bytes::Bytes;
use lath_control_api::{Digest, Reason};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::component::{Component, InstancePre};

use crate::claims::{self, Signed};
use crate::engine::PrepareError;
use crate::engine::base::{Compilers, Tasks};
use crate::engine::exports::Exports;
use crate::engine::unit::CallState;

/// Priority of the compiling threads: on Linux, ten steps below others is a tenth of their share.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// Stack of a compiling thread. Types may nest deeply, and the readers of them recurse (XW07).
const STACK_BYTES: usize = 64 << 20;

/// The threads that compile. One component is compiled by all of them together, which is soon; they give way to
/// the threads that answer calls, so that a new revision does not make the one that serves slow.
pub(crate) struct Compiler {
    threads: ThreadPool,
}

impl Compiler {
    /// One thread for each processor.
    pub(crate) fn start() -> io::Result<Self> {
        let threads = ThreadPoolBuilder::new()
            .thread_name(|number| format!("lath-compile-{number}"))
            .stack_size(STACK_BYTES)
            .start_handler(|_| give_way())
            // Whoever waits for the result learns it from the sender that is gone.
            .panic_handler(|_| tracing::error!("the compiler has panicked"));
        Ok(Self { threads: threads.build().map_err(io::Error::other)? })
    }
}

/// Gives this thread a tenth of what others get of a busy processor, where threads have such a share of their own.
pub(crate) fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "compilation has the priority of calls");
    }
}

/// What compiling gives, now or in an earlier run.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    /// How many tasks it has at once.
    pub(crate) tasks: Tasks,
    /// What its maker has signed.
    pub(crate) signed: Option<Signed>,
}

/// Compiled code of one component, shared by everything that runs it.
pub struct Code {
    pub(crate) component: Component,
    tasks: Tasks,
    digest: Digest,
    signed: Option<Signed>,
    /// It with its imports connected, where the host itself answers all of them: the same for every unit, since what
    /// a unit has of its own is in the store of each call.
    unlinked: OnceLock<InstancePre<CallState>>,
    /// What it can be asked, which no unit changes.
    exports: OnceLock<Arc<Exports>>,
}

impl Code {
    pub(crate) fn new(digest: Digest, Compiled { component, tasks, signed }: Compiled) -> Self {
        Self { component, tasks, digest, signed, unlinked: OnceLock::new(), exports: OnceLock::new() }
    }

    /// What `make` makes, the first time, and that again from then on. Only for units whose imports need nothing of
    /// their own.
    pub(crate) fn unlinked(
        &self,
        make: impl FnOnce() -> Result<InstancePre<CallState>, PrepareError>,
    ) -> Result<InstancePre<CallState>, PrepareError> {
        if let Some(made) = self.unlinked.get() {
            return Ok(made.clone());
        }
        let made = make()?;
        // Of two that made it at the same moment, one keeps its own.
        Ok(self.unlinked.get_or_init(|| made).clone())
    }

    /// What it can be asked, found in `pre`, whichever unit's that is.
    pub(crate) fn exports(&self, pre: &InstancePre<CallState>) -> Arc<Exports> {
        Arc::clone(self.exports.get_or_init(|| Arc::new(Exports::of(&self.component, pre, self.tasks))))
    }

    /// How many tasks it has at once, hence for which engine it was compiled.
    pub(crate) const fn tasks(&self) -> Tasks {
        self.tasks
    }

    /// What its maker has signed, where the signature holds now.
    pub(crate) fn signed(&self) -> Option<&Signed> {
        self.signed.as_ref().filter(|signed| signed.holds_at(claims::now()).is_ok())
    }

    /// Digest of the bytes that it was compiled from.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Refuses what is not a WebAssembly component, and says what it is instead.
pub(crate) fn recognise(bytes: &[u8], most_bytes: u64) -> Result<(), PrepareError> {
    if bytes.len() as u64 > most_bytes {
        let message = format!("the component has {} bytes; at most {most_bytes} are taken", bytes.len());
        return Err(PrepareError::new(Reason::CompileFailed, message));
    }
    let found = match bytes {
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            "a core WebAssembly module; build it for the target wasm32-wasip2, or make it a component with \
             `wasm-tools component new`"
        }
        [b'\0', b'a', b's', b'm', ..] => "WebAssembly in a version that this host does not know",
        [] => "empty",
        [0x7f, b'E', b'L', b'F', ..] => {
            "an ELF file: native or precompiled code, which is never taken; give the component itself"
        }
        [b'P', b'K', 3 | 5, 4 | 6, ..] => "a zip archive; give the component in it",
        [0x1f, 0x8b, ..] => "compressed by gzip; give it uncompressed",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "compressed by zstd; give it uncompressed",
        [b'!', b'<', b'a', b'r', ..] | [b'M', b'Z', ..] | [0xcf, 0xfa, 0xed, 0xfe, ..] => "native code",
        _ if looks_like_wat(bytes) => "WebAssembly text; make it binary with `wasm-tools parse`",
        _ if std::str::from_utf8(bytes).is_ok() => "text",
        _ => "of an unknown kind",
    };
    let message = format!("the image is not a WebAssembly component: it is {found}");
    Err(PrepareError::new(Reason::NotAComponent, message))
}

fn looks_like_wat(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    [b"(component".as_slice(), b"(module", b"(;", b";;"].iter().any(|start| text.starts_with(start))
}

/// Compiles on `compiler`, so that neither time nor depth of it can hurt anybody else. `worker` is given back when
/// the work has ended, which is later than the future when that is dropped.
pub(crate) async fn compile(
    compiler: &Compiler,
    engines: Arc<Compilers>,
    digest: Digest,
    bytes: Bytes,
    worker: Option<OwnedSemaphorePermit>,
) -> Result<Compiled, PrepareError> {
    let (sender, compiled) = oneshot::channel();
    compiler.threads.spawn(move || {
        let _worker = worker;
        let result = compile_here(&engines, &digest, &bytes);
        // Nobody waits any more: the compilation was not needed after all.
        let _unwanted = sender.send(result);
    });
    // The sender is gone without a word only when the compiler panicked.
    compiled.await.unwrap_or_else(|_| Err(failed("the compiler failed on this component")))
}

fn compile_here(engines: &Compilers, digest: &Digest, bytes: &[u8]) -> Result<Compiled, PrepareError> {
    let found = Digest::of(bytes);
    if found != *digest {
        let message = format!("the bytes have the digest {found}, not {digest}");
        return Err(PrepareError::new(Reason::DigestMismatch, message));
    }
    let compiled = engines.compile(bytes);
    let (tasks, component) =
        compiled.map_err(|error| failed(format!("the engine refuses the component: {error:#}")))?;
    Ok(Compiled { component, tasks, signed: Signed::of_component(bytes) })
}

fn failed(message: impl Into<String>) -> PrepareError {
    PrepareError::new(Reason::CompileFailed, message)
}
