//! `wasi:keyvalue`: `store`, `atomics` and `batch` of 0.2.0-draft, the version of the 1.x world.
//!
//! The interface is here; what is behind it is a [`Store`], one file for each below. A component with several links
//! chooses by the name that it opens: that of a link leads to it, every other name is a bucket of the default link. One
//! that has chosen a link beforehand (`bus.rs`) opens every bucket there.

mod memory;
mod name;
mod nats;
mod remote;
mod wit;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lath_control_api::{Builtin, ComponentId, LinkName, LinkSpec};
use wasmtime::component::Linker;

pub(crate) use memory::Memory;
pub(crate) use wit::KeyvalueError as Error;

use crate::capability::bound::{Backend, Bound, Capability, Interface};
use crate::engine::{CallContext, CallState, UnitIdentity};
use crate::wrpc_call::Links as Calls;

/// Longest key, in bytes: what every backend can hold.
pub(crate) const MAX_KEY_BYTES: usize = 1024;
/// Longest value, in bytes. NATS takes messages of 1 MiB unless its server is set up for more.
pub(crate) const MAX_VALUE_BYTES: usize = 1 << 20;
/// Keys that one answer of `list-keys` holds at most.
pub(crate) const PAGE: usize = 1_000;
/// Keys of one call of `batch` at most.
pub(crate) const MAX_BATCH: usize = 1_000;

const NAME: &str = "keyvalue";
const VERSIONS: &[&str] = &["0.2.0-draft"];

/// Where buckets are.
pub(crate) trait Store: Send + Sync {
    /// The bucket of that name; it is made when nobody has opened it before.
    fn open<'a>(&'a self, bucket: &'a str) -> BoxFuture<'a, Result<Arc<dyn Bucket>, Error>>;

    /// The bucket that is opened for the name of the link itself.
    fn of_link<'a>(&self, _link: &'a str) -> &'a str {
        "default"
    }
}

/// Keys, and the number of the next one if there are more.
type Page = (Vec<String>, Option<u64>);

/// Keys and values. Every change of one key is whole; none of two together is.
pub(crate) trait Bucket: Send + Sync {
    /// The value of a key; `None` when it has none.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Error>>;
    /// Gives a key a value, instead of the one it had.
    fn set(&self, key: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), Error>>;
    /// Forgets a key. It is no error when there is none.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Error>>;
    /// Up to [`PAGE`] keys in order, from number `from` on.
    fn keys(&self, from: u64) -> BoxFuture<'_, Result<Page, Error>>;
    /// Adds to a number in decimal digits, 0 when the key has no value, and gives the sum. No two of these at the
    /// same time give the same sum.
    fn increment(&self, key: String, delta: u64) -> BoxFuture<'_, Result<u64, Error>>;
    /// The bucket for an operation of this call, where that is more to it than any other: an instance that is kept uses
    /// one bucket in many calls.
    fn in_call(&self, _call: &CallContext) -> Option<Arc<dyn Bucket>> {
        None
    }
}

/// The capability, with what its backends share in this process.
pub(crate) struct Keyvalue {
    memory: Memory,
    nats: async_nats::Client,
    /// How providers are called that keep keys and values.
    providers: Option<Arc<Calls>>,
}

impl Keyvalue {
    /// Buckets of NATS are reached over this connection: the lattice's.
    pub(crate) fn new(nats: async_nats::Client) -> Self {
        Self { memory: Memory::default(), nats, providers: None }
    }

    /// With providers that are called this way.
    pub(crate) fn with_providers(self, calls: Arc<Calls>) -> Self {
        Self { providers: Some(calls), ..self }
    }

    fn store(
        &self,
        unit: &UnitIdentity,
        backend: Backend,
        link: &LinkSpec,
    ) -> Result<Arc<dyn Store>, String> {
        let store: Arc<dyn Store> = match backend {
            Backend::Provider => {
                let calls = self.providers.as_ref().ok_or("no provider can be called here")?;
                Arc::new(remote::Remote::new(Arc::clone(calls), unit, link))
            }
            Backend::Builtin(Builtin::KeyvalueNats) => {
                Arc::new(nats::Nats::new(self.nats.clone(), unit, link)?)
            }
            Backend::Builtin(Builtin::KeyvalueMemory) => {
                Arc::new(memory::Stores::new(self.memory.clone(), link)?)
            }
            Backend::Builtin(Builtin::HttpServer) => {
                return Err(format!("{} has no keys and values", Builtin::HttpServer));
            }
        };
        Ok(store)
    }
}

impl Capability for Keyvalue {
    fn name(&self) -> &'static str {
        NAME
    }

    fn interfaces(&self) -> &'static [Interface] {
        &[
            Interface { name: "wasi:keyvalue/store", versions: VERSIONS },
            Interface { name: "wasi:keyvalue/atomics", versions: VERSIONS },
            Interface { name: "wasi:keyvalue/batch", versions: VERSIONS },
        ]
    }

    fn backends(&self) -> &'static [Builtin] {
        &[Builtin::KeyvalueMemory, Builtin::KeyvalueNats]
    }

    fn add(&self, linker: &mut Linker<CallState>, import: &str) -> wasmtime::Result<()> {
        wit::add(linker, import)
    }

    fn bind<'a>(
        &'a self,
        unit: &'a UnitIdentity,
        links: &'a [(Backend, &'a LinkSpec)],
    ) -> BoxFuture<'a, Result<Arc<dyn Bound>, String>> {
        let mut stores = BTreeMap::new();
        for (backend, link) in links {
            let named = |problem| format!("link `{}` to `{}`: {problem}", link.name, link.target_name);
            match self.store(unit, *backend, link) {
                Ok(store) => drop(stores.insert(link.name.clone(), store)),
                Err(problem) => return std::future::ready(Err(named(problem))).boxed(),
            }
        }
        let bound: Arc<dyn Bound> = Arc::new(Links { stores });
        std::future::ready(Ok(bound)).boxed()
    }
}

/// The stores of one component, by link.
pub(crate) struct Links {
    stores: BTreeMap<LinkName, Arc<dyn Store>>,
}

impl Bound for Links {}

impl Links {
    /// Opens a bucket for the component, over the link that it has chosen if it has.
    pub(crate) async fn open(
        &self,
        identifier: &str,
        chosen: Option<&LinkName>,
    ) -> Result<Arc<dyn Bucket>, Error> {
        let named = |(name, _): &(&LinkName, &Arc<dyn Store>)| {
            name.0 == identifier && chosen.is_none_or(|chosen| chosen == *name)
        };
        if let Some((_, store)) = self.stores.iter().find(named) {
            return store.open(store.of_link(identifier)).await;
        }
        let store = match chosen {
            Some(chosen) => self.stores.get(chosen),
            None => self.stores.get(&LinkName::default()).or_else(|| self.stores.values().next()),
        };
        let store = store.ok_or(Error::NoSuchStore)?;
        store.open(if identifier.is_empty() { "default" } else { identifier }).await
    }
}

/// Whose buckets are apart from those of others: the capability as it stands in a manifest.
pub(crate) fn owner(link: &LinkSpec) -> &ComponentId {
    &link.target
}

fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        0 => Err(Error::Other("a key has at least one character".to_owned())),
        1..=MAX_KEY_BYTES => Ok(()),
        long => Err(Error::Other(format!("the key has {long} bytes; at most {MAX_KEY_BYTES} are taken"))),
    }
}

fn check_value(value: &[u8]) -> Result<(), Error> {
    if value.len() <= MAX_VALUE_BYTES {
        return Ok(());
    }
    Err(Error::Other(format!("the value has {} bytes; at most {MAX_VALUE_BYTES} are taken", value.len())))
}

/// The number that a value is, for [`Bucket::increment`].
fn number(value: &[u8]) -> Result<u64, Error> {
    let text = std::str::from_utf8(value).ok();
    let number = text.and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| Error::Other("the value is no number from 0 to 18446744073709551615".to_owned()))
}

fn sum(number: u64, delta: u64) -> Result<u64, Error> {
    number.checked_add(delta).ok_or_else(|| Error::Other(format!("{number} + {delta} is too large")))
}

#[cfg(test)]
mod tests;
