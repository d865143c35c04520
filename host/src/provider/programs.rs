//! Executables of providers on the disk: one for each image, readable by the host's own user alone, there for as long as
//! a process needs it.
//!
//! Nothing is believed that lies there from before: the folder is emptied at the start, and what is written comes from
//! bytes of the pinned digest.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use lath_control_api::{Digest, Reason};
use tokio::sync::Semaphore;

use super::archive;
use crate::claims::{self, Signed};
use crate::engine::PrepareError;

/// The folder of executables.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    folder: Arc<Path>,
    installed: Arc<Mutex<BTreeMap<Digest, Weak<Installed>>>>,
    /// Unpacking takes memory of the size of an executable: one at a time.
    turn: Arc<Semaphore>,
}

/// An executable. Its file goes with the last who holds it.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) path: PathBuf,
    pub(crate) signed: Option<Arc<Signed>>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "an executable of a provider could not be removed");
        }
    }
}

impl Programs {
    /// Opens the folder and empties it.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("providers");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self { folder: folder.into(), installed: Arc::default(), turn: Arc::new(Semaphore::new(1)) })
    }

    /// The executable of the image with this digest, when a process has it already.
    pub(crate) fn held(&self, digest: &Digest) -> Option<Arc<Installed>> {
        self.installed().get(digest).and_then(Weak::upgrade)
    }

    /// Unpacks the executable of an image for this machine.
    ///
    /// # Errors
    /// `ArchiveInvalid` and `WrongPlatform` for what the bytes are, `DiskFull` when it cannot be written.
    pub(crate) async fn install(
        &self,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<Arc<Installed>, PrepareError> {
        let ended = || PrepareError::new(Reason::ArchiveInvalid, "the host is stopping");
        let _turn = self.turn.acquire().await.map_err(|_| ended())?;
        if let Some(held) = self.held(digest) {
            return Ok(held);
        }
        let path = self.folder.join(format!("{}-{:016x}", digest.hex(), crate::random::number()));
        let unpack = move || -> Result<Installed, PrepareError> {
            let program = archive::program(&bytes, &archive::platform(), claims::now())?;
            write(&path, &program.executable).map_err(|error| {
                let message =
                    format!("the executable of a provider cannot be written to {}: {error}", path.display());
                PrepareError::new(Reason::DiskFull, message)
            })?;
            Ok(Installed { path, signed: program.signed.map(Arc::new) })
        };
        let installed = tokio::task::spawn_blocking(unpack).await.map_err(|_| ended())?;
        let installed = Arc::new(installed?);
        let mut all = self.installed();
        all.retain(|_, held| held.strong_count() > 0);
        all.insert(digest.clone(), Arc::downgrade(&installed));
        Ok(installed)
    }

    fn installed(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Weak<Installed>>> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(path: &Path, executable: &[u8]) -> io::Result<()> {
    let written = OpenOptions::new().write(true).create_new(true).mode(0o700).open(path);
    let written = written.and_then(|mut file| file.write_all(executable));
    if written.is_err() {
        // What is left of it goes at the next start at the latest.
        let _half = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn an_executable_is_there_once_and_as_long_as_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("providers")).unwrap();
        fs::write(folder.path().join("providers/old"), "old").unwrap();
        let programs = Programs::open(folder.path()).unwrap();
        let bytes = Bytes::from_static(b"#!/bin/sh\n");
        let digest = Digest::of(&bytes);
        let one = programs.install(&digest, bytes.clone()).await.unwrap();
        let two = programs.install(&digest, Bytes::new()).await.unwrap();
        assert!(Arc::ptr_eq(&one, &two));
        let files = || fs::read_dir(folder.path().join("providers")).unwrap().count();
        assert_eq!(files(), 1);
        for (path, mode) in [(one.path.as_path(), 0o700), (one.path.parent().unwrap(), 0o700)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
        drop((one, two));
        assert!(programs.held(&digest).is_none() && files() == 0);
        let error = programs.install(&digest, Bytes::from_static(b"\0asm")).await.unwrap_err();
        assert_eq!(error.reason, Reason::ArchiveInvalid);
    }
}
