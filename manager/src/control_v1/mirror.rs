//! Copies of links, configs and claims in the buckets of 1.x, for those who read them there. They are written after ours, which
//! are the truth; nothing is read from them.

use std::time::Duration;

use lath_control_api::LatticeId;
use lath_control_api_client::Connection;
use lath_control_api_client::async_nats::jetstream::kv;
use lath_wasmcloud::{ComponentSpec, Link, StoredClaims};

use super::records::Everything;

/// Time for one request to the store.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The buckets of 1.x.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    connection: Connection,
    data: String,
    configs: String,
}

impl Mirror {
    pub(super) fn new(connection: &Connection, lattice: &LatticeId) -> Self {
        Self {
            connection: connection.clone(),
            data: format!("LATTICEDATA_{lattice}"),
            configs: format!("CONFIGDATA_{lattice}"),
        }
    }

    /// Links of a source, and the image that it was started with. Of an image that nobody here has started the one that
    /// stands there stays.
    pub(super) async fn put_links(&self, source: &str, image: Option<&str>, links: &[Link]) {
        let key = format!("COMPONENT_{source}");
        let url = match image {
            Some(image) => image.to_owned(),
            None => self.image(&key).await.unwrap_or_default(),
        };
        let spec = ComponentSpec { url, links: links.to_vec() };
        match serde_json::to_vec(&spec) {
            Ok(json) => told(&self.data, &key, self.put(&self.data, &key, json).await),
            Err(error) => tracing::error!(%error, "a spec of 1.x has no JSON form"),
        }
    }

    /// The image in the spec that stands there.
    async fn image(&self, key: &str) -> Option<String> {
        let there = self.store(&self.data).await.ok()?.get(key).await.ok()??;
        serde_json::from_slice::<ComponentSpec>(&there).ok().map(|spec| spec.url)
    }

    /// A config, in the bytes that it came in.
    pub(super) async fn put_config(&self, name: &str, bytes: Vec<u8>) {
        told(&self.configs, name, self.put(&self.configs, name, bytes).await);
    }

    /// What is signed of a component or provider; false when it could not be written.
    pub(super) async fn put_claims(&self, subject: &str, claims: &StoredClaims) -> bool {
        let key = format!("CLAIMS_{subject}");
        let Ok(json) = serde_json::to_vec(claims) else { return false };
        let written = self.put(&self.data, &key, json).await;
        let done = written.is_ok();
        told(&self.data, &key, written);
        done
    }

    pub(super) async fn delete_config(&self, name: &str) {
        let purged = async {
            let store = self.store(&self.configs).await?;
            store.purge(name).await.map_err(|error| error.to_string())
        };
        told(&self.configs, name, purged.await);
    }

    /// Writes what is missing or differs.
    pub(super) async fn repair(&self, everything: &Everything) {
        for (source, links) in &everything.links {
            let image = source.parse().ok().and_then(|id| everything.started.get(&id));
            self.put_links(source, image.map(|started| started.image.as_str()), &links.links).await;
        }
        for (name, config) in &everything.configs {
            if let Ok(json) = serde_json::to_vec(&config.values) {
                self.put_config(name, json).await;
            }
        }
    }

    /// Writes, unless it is there: every write wakes all who watch.
    async fn put(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<(), String> {
        let store = self.store(bucket).await?;
        let there = store.get(key).await.map_err(|error| error.to_string())?;
        if there.is_some_and(|there| same(&there, &bytes)) {
            return Ok(());
        }
        store.put(key, bytes.into()).await.map(drop).map_err(|error| error.to_string())
    }

    async fn store(&self, bucket: &str) -> Result<kv::Store, String> {
        let context = self.connection.jetstream(TIMEOUT);
        if let Ok(store) = context.get_key_value(bucket).await {
            return Ok(store);
        }
        // As 1.x makes it.
        let config = kv::Config { bucket: bucket.to_owned(), history: 1, ..kv::Config::default() };
        context.create_key_value(config).await.map_err(|error| error.to_string())
    }
}

fn same(there: &[u8], bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    there == bytes || (read(there).is_some() && read(there) == read(bytes))
}

fn told(bucket: &str, key: &str, written: Result<(), String>) {
    if let Err(error) = written {
        tracing::warn!(
            bucket,
            key,
            error,
            "a copy for readers of 1.x is missing; it is made again, by a manager that starts at the latest"
        );
    }
}
