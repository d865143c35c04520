//! Buckets of the lattice's own NATS: shared by all hosts, kept on its disks.
//!
//! A link may name one (`bucket`), which other programs may use too; without that, each name that the component opens
//! is a bucket of its own, apart from those of other capabilities. A bucket is made when it is opened first.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::kv;
use async_nats::jetstream::stream::StorageType;
use async_nats::jetstream::{self, Context};
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryStreamExt as _};
use lath_control_api::{ComponentId, LinkSpec};
use tokio::time::timeout;

use super::{Bucket, Error, PAGE, Page, Store, name, number, owner, sum};
use crate::engine::UnitIdentity;

/// Longest wait for one answer of NATS.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tries of an increment that others get ahead of. One of all who try at a time succeeds.
const TRIES: usize = 256;
/// Most keys of a bucket that can be listed: the server tells them all for each page.
const MAX_LISTED: usize = 100_000;
/// Most buckets that one link opens.
const MAX_BUCKETS: usize = 1_000;
/// Longest name that a component may open.
const MAX_IDENTIFIER: usize = 64;
/// Beginnings of buckets that belong to the lattice and to its tools, whoever wrote the manifest.
const RESERVED: [&str; 4] = ["lath", "LATTICEDATA_", "CONFIGDATA_", "wadm_"];

/// The buckets that one link leads to.
pub(super) struct Nats {
    context: Context,
    owner: ComponentId,
    /// The one bucket, where the link names it.
    bucket: Option<String>,
    config: kv::Config,
    open: Mutex<HashMap<String, Arc<Held>>>,
}

struct Held {
    store: kv::Store,
}

impl Nats {
    /// The buckets that `link` leads to. Nothing is asked of NATS yet.
    ///
    /// # Errors
    /// When a setting is unknown or wrong, in words.
    pub(super) fn new(
        client: async_nats::Client,
        unit: &UnitIdentity,
        link: &LinkSpec,
    ) -> Result<Self, String> {
        let mut config = kv::Config {
            description: format!("keys and values of {} in app {}", link.target_name, unit.app),
            history: 1,
            ..kv::Config::default()
        };
        let (mut bucket, mut domain) = (None, None);
        for (key, value) in link.source_config.iter().chain(&link.target_config) {
            match key.as_str() {
                "bucket" => bucket = Some(bucket_name(value)?),
                "js_domain" => domain = Some(value.clone()),
                "history" => config.history = within(key, value, 1..=64)?,
                "replicas" => config.num_replicas = within(key, value, 1..=5)?,
                "max_bytes" => config.max_bytes = within(key, value, 1..=i64::MAX)?,
                "ttl_seconds" => {
                    config.max_age = Duration::from_secs(within(key, value, 1..=10 * 365 * 86_400)?);
                }
                "storage" => config.storage = storage(value)?,
                _ => return Err(unknown(key)),
            }
        }
        let context = match domain {
            Some(domain) => jetstream::with_domain(client, domain),
            None => jetstream::new(client),
        };
        Ok(Self { context, owner: owner(link).clone(), bucket, config, open: Mutex::default() })
    }

    async fn bucket(&self, identifier: &str) -> Result<Arc<dyn Bucket>, Error> {
        if identifier.len() > MAX_IDENTIFIER {
            let text = format!("the name of a bucket has at most {MAX_IDENTIFIER} bytes");
            return Err(Error::Other(text));
        }
        let own = || name::of_bucket(self.owner.as_str(), identifier);
        let bucket = self.bucket.clone().unwrap_or_else(own);
        if let Some(held) = self.held().get(&bucket) {
            return Ok(Arc::clone(held) as _);
        }
        let held = Arc::new(Held { store: in_time(self.get_or_make(&bucket)).await? });
        let mut open = self.held();
        if open.len() >= MAX_BUCKETS {
            return Err(Error::Other(format!("{MAX_BUCKETS} buckets are open already")));
        }
        open.insert(bucket, Arc::clone(&held));
        Ok(held)
    }

    async fn get_or_make(&self, bucket: &str) -> Result<kv::Store, Error> {
        if let Ok(store) = self.context.get_key_value(bucket).await {
            return Ok(store);
        }
        let config = kv::Config { bucket: bucket.to_owned(), ..self.config.clone() };
        // Whoever makes the same bucket at the same moment makes it alike, which is no error.
        self.context.create_key_value(config).await.map_err(|error| {
            Error::Other(format!("the bucket `{bucket}` is not there and cannot be made: {error}"))
        })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Held>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Nats {
    fn open<'a>(&'a self, bucket: &'a str) -> BoxFuture<'a, Result<Arc<dyn Bucket>, Error>> {
        self.bucket(bucket).boxed()
    }
}

fn bucket_name(value: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if value.is_empty() || value.len() > 200 || !value.bytes().all(plain) {
        let shown = value.escape_debug();
        return Err(format!("`bucket` is `{shown}`; write 1 to 200 of the characters A-Z a-z 0-9 - _"));
    }
    match RESERVED.iter().find(|reserved| value.starts_with(**reserved)) {
        Some(reserved) => {
            Err(format!("`bucket` is `{value}`; names that begin with `{reserved}` belong to the lattice"))
        }
        None => Ok(value.to_owned()),
    }
}

fn within<T>(key: &str, value: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + Display,
{
    let number = value.parse().ok().filter(|number| range.contains(number));
    let (least, most) = range.into_inner();
    number.ok_or_else(|| {
        format!("`{key}` is `{}`; write a number from {least} to {most}", value.escape_debug())
    })
}

fn storage(value: &str) -> Result<StorageType, String> {
    match value {
        "file" => Ok(StorageType::File),
        "memory" => Ok(StorageType::Memory),
        _ => Err(format!("`storage` is `{}`; write `file` or `memory`", value.escape_debug())),
    }
}

fn unknown(key: &str) -> String {
    let known = "bucket, history, js_domain, max_bytes, replicas, storage, ttl_seconds";
    if ["cluster_uri", "cluster_uris", "auth_jwt", "auth_seed", "tls_ca"].contains(&key) {
        return format!(
            "the setting `{key}` leads to another NATS; builtin://keyvalue-nats uses that of the lattice, and knows {known}"
        );
    }
    format!("the setting `{key}` is not known here; there are {known}")
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = || Error::Other(format!("NATS has not answered within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late()))
}

fn other(error: impl Display) -> Error {
    Error::Other(error.to_string())
}

impl Held {
    async fn all_keys(&self) -> Result<Vec<String>, Error> {
        let mut found = self.store.keys().await.map_err(other)?;
        let mut keys = Vec::new();
        while let Some(key) = found.try_next().await.map_err(other)? {
            if keys.len() == MAX_LISTED {
                return Err(Error::Other(format!("more than {MAX_LISTED} keys cannot be listed")));
            }
            keys.push(name::key_of(&key));
        }
        // What was written while it was listed may come twice.
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    async fn page(&self, from: u64) -> Result<Page, Error> {
        let keys = self.all_keys().await?;
        let (all, start) = (keys.len(), usize::try_from(from).unwrap_or(usize::MAX));
        let page: Vec<String> = keys.into_iter().skip(start).take(PAGE).collect();
        let next = start.saturating_add(page.len());
        Ok((page, (next < all).then_some(next as u64)))
    }

    /// Reads, adds, and writes if nobody else has written since.
    async fn add(&self, key: &str, delta: u64) -> Result<u64, Error> {
        for _ in 0..TRIES {
            let entry = self.store.entry(key).await.map_err(other)?;
            let live = entry.filter(|entry| entry.operation == kv::Operation::Put);
            let old = live.as_ref().map_or(Ok(0), |entry| number(&entry.value))?;
            let new = sum(old, delta)?;
            let value = new.to_string().into();
            let written = match live {
                Some(entry) => match self.store.update(key, value, entry.revision).await {
                    Ok(_) => true,
                    Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => false,
                    Err(error) => return Err(other(error)),
                },
                None => match self.store.create(key, value).await {
                    Ok(_) => true,
                    Err(error) if error.kind() == kv::CreateErrorKind::AlreadyExists => false,
                    Err(error) => return Err(other(error)),
                },
            };
            if written {
                return Ok(new);
            }
        }
        Err(Error::Other(format!("others have changed the number {TRIES} times in between")))
    }
}

impl Bucket for Held {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Error>> {
        let got = async move { self.store.get(name::of_key(key)).await.map_err(other) };
        in_time(async { Ok(got.await?.map(Vec::from)) }).boxed()
    }

    fn set(&self, key: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), Error>> {
        let put = async move { self.store.put(name::of_key(&key), value.into()).await.map_err(other) };
        in_time(async { put.await.map(drop) }).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        in_time(async move { self.store.delete(name::of_key(key)).await.map_err(other) }).boxed()
    }

    fn keys(&self, from: u64) -> BoxFuture<'_, Result<Page, Error>> {
        in_time(self.page(from)).boxed()
    }

    fn increment(&self, key: String, delta: u64) -> BoxFuture<'_, Result<u64, Error>> {
        in_time(async move { self.add(&name::of_key(&key), delta).await }).boxed()
    }
}
