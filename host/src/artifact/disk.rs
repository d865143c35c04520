//! Code on the host's disk: whole files named by their digest, within a bound.
//!
//! What an accepted bundle names is never removed to make room; beyond that, what was used longest ago goes first. A
//! file gets its name only when all of it is there and on disk, so that a crash leaves nothing that could be taken
//! for code.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use lath_artifacts::{Fault, RegistryError};
use lath_control_api::Digest;
use tokio::fs::File;
use tokio::sync::watch;

use crate::files;
use crate::status::Snapshot;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    folder: Arc<Path>,
    most_bytes: u64,
    in_use: InUse,
}

/// Knows which code the host's accepted bundles name.
#[derive(Debug, Clone)]
pub(crate) struct InUse(watch::Receiver<Arc<Snapshot>>);

impl InUse {
    pub(crate) const fn new(snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self(snapshots)
    }

    fn digests(&self) -> BTreeSet<Digest> {
        let snapshot = self.0.borrow();
        let components = snapshot.apps.iter().flat_map(|app| &app.inventory.components);
        components.flat_map(|component| &component.units).filter_map(|unit| unit.digest.clone()).collect()
    }
}

/// Code that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) file: File,
    path: PathBuf,
    digest: Digest,
}

impl Draft {
    /// Removes what was written. What cannot be removed now is removed at the next start.
    pub(super) async fn discard(self) {
        let Self { file, path, .. } = self;
        drop(file);
        let _left_for_the_next_start = tokio::fs::remove_file(&path).await;
    }
}

/// One file of the folder.
struct Kept {
    used: SystemTime,
    bytes: u64,
    digest: Digest,
    path: PathBuf,
}

impl Disk {
    /// Opens the folder and removes what a crash has left. `most_bytes` bounds all files together.
    pub(crate) fn open(data_dir: &Path, most_bytes: u64, in_use: InUse) -> io::Result<Self> {
        let folder = data_dir.join("components");
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(files::UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { folder: folder.into(), most_bytes, in_use })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// The bytes, when they are here and whole.
    pub(super) async fn read(&self, digest: &Digest) -> Option<Bytes> {
        let (path, digest) = (self.path(digest), digest.clone());
        let read = move || {
            let bytes = fs::read(&path).ok()?;
            if Digest::of(&bytes) == digest {
                // What is used is not the oldest.
                let _best_effort =
                    fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                return Some(Bytes::from(bytes));
            }
            tracing::warn!(file = %path.display(), "code on disk was changed; it is removed and fetched again");
            let _fetched_again_anyway = files::remove(&path);
            None
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    /// An empty file for code with this digest. There is one at a time for each.
    pub(super) async fn begin(&self, digest: &Digest) -> Result<Draft, RegistryError> {
        let path = self.folder.join(format!("{}{}", files::UNFINISHED, digest.hex()));
        let unwritable =
            |error| RegistryError::of_disk(&format!("{} cannot be written", path.display()), &error);
        let file = File::create(&path).await.map_err(unwritable)?;
        Ok(Draft { file, path, digest: digest.clone() })
    }

    /// Gives a finished draft its name, and makes room for it by what is not in use.
    pub(super) async fn keep(&self, draft: Draft, bytes: u64) -> Result<(), RegistryError> {
        let room = self.clone();
        let own = draft.digest.clone();
        let fits =
            tokio::task::spawn_blocking(move || room.prune(room.most_bytes.saturating_sub(bytes), &own));
        let unwritable =
            |error| RegistryError::of_disk(&format!("{} cannot be kept", draft.digest.short()), &error);
        let left = fits.await.map_err(io::Error::other).and_then(|left| left).map_err(unwritable)?;
        if left.saturating_add(bytes) > self.most_bytes {
            let error = self.crowded(left, bytes);
            draft.discard().await;
            return Err(error);
        }
        let to = self.path(&draft.digest);
        let named = async {
            draft.file.sync_all().await?;
            tokio::fs::rename(&draft.path, &to).await?;
            let folder = Arc::clone(&self.folder);
            tokio::task::spawn_blocking(move || files::sync_folder(&folder))
                .await
                .map_err(io::Error::other)?
        };
        let named = named.await.map_err(unwritable);
        if named.is_err() {
            draft.discard().await;
        }
        named
    }

    fn crowded(&self, left: u64, bytes: u64) -> RegistryError {
        let message = format!(
            "the code that this host's apps use has {left} bytes, and {bytes} more are over its bound of {}",
            self.most_bytes
        );
        RegistryError { fault: Fault::DiskFull, message, help: "raise --code-cache".to_owned() }
    }

    /// Removes everything that is not in use; true when that was anything.
    pub(super) async fn make_room(&self) -> bool {
        let room = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            let before: u64 = room.kept()?.iter().map(|kept| kept.bytes).sum();
            room.prune_to(0, None).map(|left| left < before)
        });
        made.await.is_ok_and(|made| made.unwrap_or(false))
    }

    /// Removes what was used longest ago until the rest has at most `most` bytes, and says how many are left.
    fn prune(&self, most: u64, own: &Digest) -> io::Result<u64> {
        self.prune_to(most, Some(own))
    }

    fn prune_to(&self, most: u64, own: Option<&Digest>) -> io::Result<u64> {
        let mut kept = self.kept()?;
        // What stands under the name of the new file is replaced, and needs no room of its own.
        kept.retain(|kept| Some(&kept.digest) != own);
        kept.sort_by_key(|kept| kept.used);
        let mut total: u64 = kept.iter().map(|kept| kept.bytes).sum();
        let in_use = self.in_use.digests();
        for kept in kept.iter().filter(|kept| !in_use.contains(&kept.digest)) {
            if total <= most {
                break;
            }
            fs::remove_file(&kept.path)?;
            tracing::info!(digest = %kept.digest, bytes = kept.bytes, "code that no app uses was removed from the disk");
            total = total.saturating_sub(kept.bytes);
        }
        Ok(total)
    }

    fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Only names that are digests are ours.
            let Ok(digest) = format!("sha256:{}", entry.file_name().to_string_lossy()).parse() else {
                continue;
            };
            let metadata = entry.metadata()?;
            all.push(Kept { used: metadata.modified()?, bytes: metadata.len(), digest, path: entry.path() });
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
