//! Code by its digest: from the disk, else from the lattice's object store. References are never looked at.
//!
//! Bytes are believed only when their digest is the one that was asked for, also those from the own disk.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lath_control_api::{Bucket, Digest, Reason, Subjects};
use lath_control_api_client::Connection;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::engine::PrepareError;
use crate::files;

/// Largest code that is fetched, in bytes.
pub(crate) const MAX_BYTES: u64 = 256 << 20;
/// Longest silence of the object store before a fetch is given up.
const IDLE: Duration = Duration::from_secs(15);
/// Longest time for one fetch.
const TOTAL: Duration = Duration::from_secs(300);
/// Fetches at the same time; more would only share the same line.
const PARALLEL: usize = 4;
/// Bytes read at once.
const PIECE: usize = 128 << 10;

/// Where a host gets code from.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    folder: PathBuf,
    connection: Connection,
    bucket: Arc<str>,
    permits: Arc<Semaphore>,
}

impl Artifacts {
    pub(crate) fn open(
        data_dir: &Path,
        connection: Connection,
        subjects: &Subjects,
    ) -> std::io::Result<Self> {
        let folder = data_dir.join("components");
        std::fs::create_dir_all(&folder)?;
        let bucket = subjects.bucket(Bucket::Components).into();
        Ok(Self { folder, connection, bucket, permits: Arc::new(Semaphore::new(PARALLEL)) })
    }

    /// The bytes with this digest.
    ///
    /// # Errors
    /// `FetchFailed` when they cannot be had now, `DigestMismatch` when the store has others under that name.
    pub(crate) async fn get(&self, digest: &Digest) -> Result<Bytes, PrepareError> {
        if let Some(bytes) = self.on_disk(digest).await {
            return Ok(bytes);
        }
        let _permit = self.permits.acquire().await.map_err(|_| failed("the host is stopping"))?;
        let fetched = timeout(TOTAL, self.fetch(digest)).await;
        let late = || failed(format!("{} did not arrive within {} s", digest.short(), TOTAL.as_secs()));
        let bytes = fetched.unwrap_or_else(|_| Err(late()))?;
        self.keep(digest, bytes.clone()).await;
        Ok(bytes)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    async fn on_disk(&self, digest: &Digest) -> Option<Bytes> {
        let (path, digest) = (self.path(digest), digest.clone());
        let read = move || {
            let bytes = std::fs::read(&path).ok()?;
            if Digest::of(&bytes) == digest {
                return Some(Bytes::from(bytes));
            }
            tracing::warn!(file = %path.display(), "code on disk was changed; it is removed and fetched again");
            let _fetched_again_anyway = files::remove(&path);
            None
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    async fn fetch(&self, digest: &Digest) -> Result<Bytes, PrepareError> {
        if !self.connection.is_up() {
            return Err(failed(format!(
                "{} is not on this host, and NATS cannot be reached",
                digest.short()
            )));
        }
        let store = self.connection.jetstream(IDLE);
        let bucket = &*self.bucket;
        let store = patient(store.get_object_store(bucket)).await?;
        let store = store.map_err(|error| failed(format!("object store {bucket}: {error}")))?;
        let object = patient(store.get(digest.hex())).await?;
        let mut object =
            object.map_err(|error| failed(format!("{digest} in object store {bucket}: {error}")))?;
        let mut bytes = Vec::with_capacity(object.info().size.min(64 << 20));
        let mut piece = vec![0; PIECE];
        loop {
            let read = patient(object.read(&mut piece)).await?;
            let read = read.map_err(|error| failed(format!("{digest} in object store {bucket}: {error}")))?;
            if read == 0 {
                break;
            }
            bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
            if bytes.len() as u64 > MAX_BYTES {
                return Err(failed(format!("{digest} is larger than {} MiB", MAX_BYTES >> 20)));
            }
        }
        let found = hash(bytes).await?;
        if found.0 == *digest {
            return Ok(found.1);
        }
        let message = format!("object store {bucket} has other bytes under {digest}: {}", found.0);
        Err(PrepareError { reason: Reason::DigestMismatch, message })
    }

    /// Keeps the bytes for the next start. A full disk costs only another fetch.
    async fn keep(&self, digest: &Digest, bytes: Bytes) {
        let path = self.path(digest);
        let shown = path.display().to_string();
        let write = move || files::write_atomically(&path, &bytes, &OpenOptions::new());
        let written = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other);
        if let Err(error) = written.and_then(|written| written) {
            tracing::warn!(file = shown, %error, "code cannot be kept on disk");
        }
    }
}

async fn hash(bytes: Vec<u8>) -> Result<(Digest, Bytes), PrepareError> {
    let hash = move || (Digest::of(&bytes), Bytes::from(bytes));
    tokio::task::spawn_blocking(hash).await.map_err(|_| failed("the digest could not be computed"))
}

async fn patient<T>(wait: impl Future<Output = T>) -> Result<T, PrepareError> {
    timeout(IDLE, wait)
        .await
        .map_err(|_| failed(format!("the object store was silent for {} s", IDLE.as_secs())))
}

fn failed(message: impl Into<String>) -> PrepareError {
    PrepareError { reason: Reason::FetchFailed, message: message.into() }
}
