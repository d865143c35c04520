//! Code from the lattice's object store, where `lath deploy` puts the files of a manifest.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lath_artifacts::RegistryError;
use lath_control_api::{Bucket, Digest, Reason, Subjects};
use lath_control_api_client::Connection;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::{MAX_BYTES, refused};
use crate::engine::PrepareError;

/// Longest silence of the object store before a fetch is given up.
const IDLE: Duration = Duration::from_secs(15);
/// Longest time for one fetch.
const TOTAL: Duration = Duration::from_secs(300);
/// Bytes read at once.
const PIECE: usize = 128 << 10;

/// The lattice's object store of code.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    connection: Connection,
    bucket: Arc<str>,
}

impl Store {
    pub(crate) fn new(connection: Connection, subjects: &Subjects) -> Self {
        Self { connection, bucket: subjects.bucket(Bucket::Components).into() }
    }

    /// Writes the bytes with this digest into `file`, and says how many they are.
    ///
    /// # Errors
    /// `FetchFailed` when they cannot be had now, `FetchTooSlow`, `DiskFull`, and `DigestMismatch` when the store has
    /// others under that name.
    pub(super) async fn fetch(&self, digest: &Digest, file: &mut File) -> Result<u64, PrepareError> {
        let late = || {
            let message = format!("{} did not arrive within {} s", digest.short(), TOTAL.as_secs());
            PrepareError::new(Reason::FetchTooSlow, message)
        };
        timeout(TOTAL, self.copy(digest, file)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn copy(&self, digest: &Digest, file: &mut File) -> Result<u64, PrepareError> {
        if !self.connection.is_up() {
            return Err(failed(format!(
                "{} is not on this host, and NATS cannot be reached",
                digest.short()
            )));
        }
        let bucket = &*self.bucket;
        let broken =
            |error: &dyn std::fmt::Display| failed(format!("{digest} in object store {bucket}: {error}"));
        let unwritten = |error| refused(&RegistryError::of_disk("the code cannot be written", &error));
        let store = self.connection.jetstream(IDLE);
        let store = patient(store.get_object_store(bucket)).await?;
        let store = store.map_err(|error| failed(format!("object store {bucket}: {error}")))?;
        let mut object = patient(store.get(digest.hex())).await?.map_err(|error| broken(&error))?;
        let mut hasher = Sha256::new();
        let mut size: u64 = 0;
        let mut piece = vec![0; PIECE];
        loop {
            let read = patient(object.read(&mut piece)).await?.map_err(|error| match error.kind() {
                // The client itself has held all bytes against the digest.
                io::ErrorKind::InvalidData => other_bytes(bucket, digest),
                _ => broken(&error),
            })?;
            let read = piece.get(..read).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            size = size.saturating_add(read.len() as u64);
            if size > MAX_BYTES {
                return Err(failed(format!("{digest} is larger than {} MiB", MAX_BYTES >> 20)));
            }
            hasher.update(read);
            file.write_all(read).await.map_err(unwritten)?;
        }
        file.flush().await.map_err(unwritten)?;
        let found = Digest::of_hash(&hasher.finalize().into());
        if found == *digest {
            return Ok(size);
        }
        let PrepareError { reason, message } = other_bytes(bucket, digest);
        Err(PrepareError::new(reason, format!("{message}: {found}")))
    }
}

fn other_bytes(bucket: &str, digest: &Digest) -> PrepareError {
    let message = format!("object store {bucket} has other bytes under {digest}");
    PrepareError::new(Reason::DigestMismatch, message)
}

async fn patient<T>(wait: impl Future<Output = T>) -> Result<T, PrepareError> {
    timeout(IDLE, wait).await.map_err(|_| {
        let message = format!("the object store was silent for {} s", IDLE.as_secs());
        PrepareError::new(Reason::FetchTooSlow, message)
    })
}

fn failed(message: impl Into<String>) -> PrepareError {
    PrepareError::new(Reason::FetchFailed, message)
}
