//! `wasi:blobstore`: `blobstore`, `container` and `types` of 0.2.0-draft, the version of the 1.x world.
//!
//! Objects are at a provider, and nowhere else: no builtin of a host keeps them. The interface is in `wit.rs`, how a
//! provider is asked in `way.rs`, data on its way to it and from it in `outgoing.rs` and `incoming.rs`. A component with
//! several links chooses by the name of the container: that of a link leads to it, every other name to the default link;
//! and one that has chosen a link beforehand (`bus.rs`) has every container there.

mod incoming;
mod outgoing;
mod way;
mod wit;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lath_control_api::{Builtin, LinkName, LinkSpec};
use wasmtime::component::Linker;

use crate::capability::bound::{Backend, Bound, Capability, Interface};
use crate::engine::{CallState, UnitIdentity};
use crate::wrpc_call::Links as Calls;

use outgoing::{Kept, OutgoingValue};
use way::Way;
use wit::{IncomingValue, StreamObjectNames};

const NAME: &str = "blobstore";
const VERSIONS: &[&str] = &["0.2.0-draft"];

/// What an operation gives, or why it was not done, in words: the error of the interface is a text.
type Outcome<T> = Result<T, String>;

/// The capability.
pub(crate) struct Blobstore {
    /// How providers are called.
    calls: Arc<Calls>,
}

impl Blobstore {
    /// With providers that are called this way.
    pub(crate) const fn new(calls: Arc<Calls>) -> Self {
        Self { calls }
    }
}

impl Capability for Blobstore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn interfaces(&self) -> &'static [Interface] {
        &[
            Interface { name: "wasi:blobstore/blobstore", versions: VERSIONS },
            Interface { name: "wasi:blobstore/container", versions: VERSIONS },
            Interface { name: "wasi:blobstore/types", versions: VERSIONS },
        ]
    }

    fn backends(&self) -> &'static [Builtin] {
        &[]
    }

    fn add(&self, linker: &mut Linker<CallState>, import: &str) -> wasmtime::Result<()> {
        wit::add(linker, import)
    }

    fn bind<'a>(
        &'a self,
        unit: &'a UnitIdentity,
        links: &'a [(Backend, &'a LinkSpec)],
    ) -> BoxFuture<'a, Result<Arc<dyn Bound>, String>> {
        let mut ways = BTreeMap::new();
        for (backend, link) in links {
            if let Backend::Builtin(builtin) = backend {
                let (name, target) = (&link.name, &link.target_name);
                let problem = format!("link `{name}` to `{target}`: {builtin} has no objects");
                return std::future::ready(Err(problem)).boxed();
            }
            let way = Way::new(Arc::clone(&self.calls), unit, link);
            ways.insert(link.name.clone(), Arc::new(way));
        }
        let bound: Arc<dyn Bound> = Arc::new(Links { ways, kept: Arc::default() });
        std::future::ready(Ok(bound)).boxed()
    }
}

/// The providers of one component, by link.
struct Links {
    ways: BTreeMap<LinkName, Arc<Way>>,
    kept: Arc<Kept>,
}

impl Bound for Links {}

impl Links {
    /// The provider that has the container of this name, for a component that may have chosen a link.
    fn of(&self, container: &str, chosen: Option<&LinkName>) -> Outcome<Arc<Way>> {
        let way = match chosen {
            Some(chosen) => self.ways.get(chosen),
            None => {
                let named = self.ways.iter().find(|(name, _)| name.0 == container).map(|(_, way)| way);
                named.or_else(|| self.ways.get(&LinkName::default())).or_else(|| self.ways.values().next())
            }
        };
        way.cloned().ok_or_else(|| "no link leads to a provider of containers".to_owned())
    }
}

/// Whether a resource in the table of a store belongs to the call that made it: data that have not ended.
pub(crate) fn is_of_a_call(entry: &(dyn Any + Send)) -> bool {
    entry.is::<OutgoingValue>() || entry.is::<IncomingValue>() || entry.is::<StreamObjectNames>()
}
