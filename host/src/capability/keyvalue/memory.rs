//! Buckets in the memory of this host: gone with the process, and another one on every host. For tests, caches, and
//! trying things out.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lath_control_api::{ComponentId, LinkSpec};

use super::{Bucket, Error, PAGE, Page, Store, number, owner, sum};

/// Most bytes of keys and values in a bucket, where its link does not say `max_bytes`.
const DEFAULT_MAX_BYTES: usize = 16 << 20;
/// What `max_bytes` may be at most.
const MOST_BYTES: usize = 1 << 30;
/// Most buckets of one capability.
const MAX_BUCKETS: usize = 1_000;
/// What an entry costs beside its key and value, roughly.
const ENTRY_BYTES: usize = 64;

type Buckets = HashMap<(ComponentId, String), Arc<Held>>;

/// All buckets of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Buckets>>);

/// The buckets of one capability of a manifest. They outlive its revisions.
#[derive(Debug)]
pub(super) struct Stores {
    memory: Memory,
    owner: ComponentId,
    max_bytes: usize,
}

#[derive(Debug)]
struct Held {
    max_bytes: usize,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    entries: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

impl Stores {
    /// The buckets that a link leads to.
    ///
    /// # Errors
    /// When a setting is unknown or wrong, in words.
    pub(super) fn new(memory: Memory, link: &LinkSpec) -> Result<Self, String> {
        let mut max_bytes = DEFAULT_MAX_BYTES;
        for (key, value) in link.source_config.iter().chain(&link.target_config) {
            if key != "max_bytes" {
                return Err(format!("the setting `{key}` is not known here; there is `max_bytes`"));
            }
            let bytes = value.parse().ok().filter(|bytes| (1..=MOST_BYTES).contains(bytes));
            max_bytes = bytes.ok_or_else(|| {
                format!("`max_bytes` is `{}`; write a number from 1 to {MOST_BYTES}", value.escape_debug())
            })?;
        }
        Ok(Self { memory, owner: owner(link).clone(), max_bytes })
    }

    fn bucket(&self, name: &str) -> Result<Arc<dyn Bucket>, Error> {
        let mut buckets = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.owner.clone(), name.to_owned());
        if let Some(held) = buckets.get(&key) {
            return Ok(Arc::clone(held) as _);
        }
        if buckets.keys().filter(|(owner, _)| *owner == self.owner).count() >= MAX_BUCKETS {
            return Err(Error::Other(format!("there are {MAX_BUCKETS} buckets already")));
        }
        let held = Arc::new(Held { max_bytes: self.max_bytes, content: Mutex::default() });
        buckets.insert(key, Arc::clone(&held));
        Ok(held)
    }
}

impl Store for Stores {
    fn open<'a>(&'a self, bucket: &'a str) -> BoxFuture<'a, Result<Arc<dyn Bucket>, Error>> {
        std::future::ready(self.bucket(bucket)).boxed()
    }
}

impl Held {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, content: &mut Content, key: String, value: Vec<u8>) -> Result<(), Error> {
        let size = |key: &str, value: &[u8]| key.len() + value.len() + ENTRY_BYTES;
        let before = content.entries.get(&key).map_or(0, |old| size(&key, old));
        let bytes = content.bytes - before + size(&key, &value);
        if bytes > self.max_bytes {
            let most = self.max_bytes;
            return Err(Error::Other(format!("the bucket is full: it holds {most} bytes at most")));
        }
        content.bytes = bytes;
        content.entries.insert(key, value);
        Ok(())
    }

    fn remove(&self, key: &str) {
        let content = &mut *self.content();
        if let Some(old) = content.entries.remove(key) {
            content.bytes -= key.len() + old.len() + ENTRY_BYTES;
        }
    }

    fn page(&self, from: u64) -> Page {
        let content = self.content();
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        let keys: Vec<String> = content.entries.keys().skip(start).take(PAGE).cloned().collect();
        let next = start.saturating_add(keys.len());
        let more = next < content.entries.len();
        (keys, more.then_some(next as u64))
    }

    fn add(&self, key: String, delta: u64) -> Result<u64, Error> {
        let content = &mut *self.content();
        let old = content.entries.get(&key).map_or(Ok(0), |value| number(value))?;
        let new = sum(old, delta)?;
        self.put(content, key, new.to_string().into_bytes())?;
        Ok(new)
    }
}

impl Bucket for Held {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Error>> {
        std::future::ready(Ok(self.content().entries.get(key).cloned())).boxed()
    }

    fn set(&self, key: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), Error>> {
        let done = self.put(&mut self.content(), key, value);
        std::future::ready(done).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        self.remove(key);
        std::future::ready(Ok(())).boxed()
    }

    fn keys(&self, from: u64) -> BoxFuture<'_, Result<Page, Error>> {
        std::future::ready(Ok(self.page(from))).boxed()
    }

    fn increment(&self, key: String, delta: u64) -> BoxFuture<'_, Result<u64, Error>> {
        std::future::ready(self.add(key, delta)).boxed()
    }
}
