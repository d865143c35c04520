//! Code by its digest: from the disk, else from the registry that the image's reference names, else from the
//! lattice's object store.
//!
//! Bytes are believed only when their digest is the one that was asked for, also those from the own disk. What is on
//! the disk needs nobody: a rollback to it works with every registry away.

mod disk;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use lath_artifacts::{Reference, Registries, RegistryError};
use lath_control_api::{Digest, Image, Reason};
use lath_manifests::manifest::ImageRef;
use tokio::sync::Semaphore;

use crate::engine::PrepareError;

pub(crate) use disk::{Disk, InUse};
pub(crate) use store::Store;

/// Largest code that is fetched, in bytes.
pub(crate) const MAX_BYTES: u64 = lath_artifacts::MAX_BYTES;
/// Fetches at the same time; more would only share the same line.
const PARALLEL: usize = 4;

/// Where a host gets code from.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    disk: Disk,
    store: Store,
    registries: Registries,
    permits: Arc<Semaphore>,
    /// Digests that are being fetched, each with the one turn that there is for it.
    turns: Arc<Mutex<BTreeMap<Digest, Weak<Semaphore>>>>,
}

impl Artifacts {
    pub(crate) fn new(disk: Disk, store: Store, registries: Registries) -> Self {
        Self { disk, store, registries, permits: Arc::new(Semaphore::new(PARALLEL)), turns: Arc::default() }
    }

    /// The bytes of this image. Those who want the same at the same time wait for one fetch.
    ///
    /// # Errors
    /// The reason tells what went wrong, the message where; the disk holds nothing new then.
    pub(crate) async fn get(&self, image: &Image) -> Result<Bytes, PrepareError> {
        let digest = &image.digest;
        if let Some(bytes) = self.disk.read(digest).await {
            return Ok(bytes);
        }
        let turn = self.turn(digest);
        let _turn = turn.acquire().await.map_err(|_| stopping())?;
        // Whoever had the turn before may have fetched it. When that failed, this is a try of its own.
        if let Some(bytes) = self.disk.read(digest).await {
            return Ok(bytes);
        }
        let _permit = self.permits.acquire().await.map_err(|_| stopping())?;
        match self.fetch(image).await {
            Err(error) if error.reason == Reason::DiskFull && self.disk.make_room().await => {
                self.fetch(image).await?;
            }
            fetched => fetched?,
        }
        self.disk.read(digest).await.ok_or_else(|| {
            PrepareError::new(Reason::FetchFailed, format!("{digest} was fetched and cannot be read again"))
        })
    }

    /// Brings the bytes onto the disk.
    async fn fetch(&self, image: &Image) -> Result<(), PrepareError> {
        let mut draft = self.disk.begin(&image.digest).await.map_err(|error| refused(&error))?;
        let fetched = match registry_reference(image) {
            Some(reference) => self
                .registries
                .fetch(&reference, &image.digest, &mut draft.file)
                .await
                .map_err(|error| refused(&error)),
            None => self.store.fetch(&image.digest, &mut draft.file).await,
        };
        match fetched {
            Ok(size) => self.disk.keep(draft, size).await.map_err(|error| refused(&error)),
            Err(error) => {
                draft.discard().await;
                Err(error)
            }
        }
    }

    fn turn(&self, digest: &Digest) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(digest).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Semaphore::new(1));
        turns.insert(digest.clone(), Arc::downgrade(&turn));
        turn
    }
}

/// The registry's image that a reference names; none for a file, whose code is in the lattice's store.
fn registry_reference(image: &Image) -> Option<Reference> {
    Reference::of(&image.reference.parse::<ImageRef>().ok()?)
}

fn stopping() -> PrepareError {
    PrepareError::new(Reason::FetchFailed, "the host is stopping")
}

fn refused(error: &RegistryError) -> PrepareError {
    PrepareError::new(error.fault.reason(), format!("{}; {}", error.message, error.help))
}
