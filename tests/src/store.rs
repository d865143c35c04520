//! The lattice's JetStream store from behind, to damage it and to see that nothing was written. Not a way to read
//! what a lattice is doing: for that there is `lath`. Names of buckets come from `lath-control-api` alone.

use std::collections::BTreeMap;

use async_nats::jetstream::{self, object_store::ObjectStore};
use futures::TryStreamExt;
use lath_control_api::{Bucket, Subjects};

/// A connection of a test's own to the store of a lattice.
#[derive(Debug)]
pub struct Store {
    jetstream: jetstream::Context,
    subjects: Subjects,
}

impl Store {
    /// Connects to the server at `url`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn of(url: &str, lattice: &str) -> Self {
        let client = async_nats::connect(url).await.expect("cannot connect to the test's nats-server");
        let lattice = lattice.parse().expect("the test's lattice has a valid name");
        Self { jetstream: jetstream::new(client), subjects: Subjects::new(lattice) }
    }

    /// How many messages each stream has ever taken: equal counts mean that nothing was written in between. The
    /// lease is left out, which is renewed all the time.
    pub async fn writes(&self) -> BTreeMap<String, u64> {
        let lease = format!("KV_{}", self.subjects.bucket(Bucket::Lease));
        let streams: Vec<_> = self.jetstream.streams().try_collect().await.expect("cannot list the streams");
        let counts = streams.into_iter().map(|stream| (stream.config.name, stream.state.last_sequence));
        counts.filter(|(name, _)| *name != lease).collect()
    }

    /// Every key of the desired records and of the revisions.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for bucket in [Bucket::Apps, Bucket::Revisions] {
            let bucket = self.jetstream.get_key_value(self.subjects.bucket(bucket)).await;
            let listed = bucket.expect("the lattice lacks a bucket").keys().await.expect("cannot list keys");
            keys.extend(listed.try_collect::<Vec<_>>().await.expect("cannot list keys"));
        }
        keys.sort();
        keys
    }

    /// Whether the object store holds an object of that name.
    pub async fn has_object(&self, name: &str) -> bool {
        self.objects().await.info(name).await.is_ok_and(|info| !info.deleted)
    }

    /// Removes an object.
    pub async fn remove_object(&self, name: &str) {
        self.objects().await.delete(name).await.expect("cannot remove an object");
        assert!(!self.has_object(name).await, "the object {name} was not removed");
    }

    /// Removes the code of every component.
    pub async fn remove_components(&self) {
        let objects = self.objects().await;
        let names = objects.list().await.expect("cannot list the objects").map_ok(|info| info.name);
        for name in names.try_collect::<Vec<_>>().await.expect("cannot list the objects") {
            self.remove_object(&name).await;
        }
    }

    /// Puts other bytes under the name of an object.
    pub async fn replace_object(&self, name: &str, bytes: &[u8]) {
        let mut bytes = bytes;
        self.objects().await.put(name, &mut bytes).await.expect("cannot replace an object");
    }

    async fn objects(&self) -> ObjectStore {
        let bucket = self.subjects.bucket(Bucket::Components);
        self.jetstream.get_object_store(&bucket).await.expect("the lattice has no object store")
    }
}
