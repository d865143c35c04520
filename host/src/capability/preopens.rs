//! Folders of the host that a component sees, where a grant names them and the host was started to give any.
//!
//! A folder is opened once, when a component is prepared, from the open root down and through no symbolic link. What
//! instances get is that folder, whatever has taken its name since. Inside it the engine resolves paths, which lead out
//! neither by `..` nor by a link.

use std::fmt;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use lath_control_api::Reason;
use lath_control_api::preopen::{Access, Preopen};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::engine::PrepareError;

/// The folder below which folders are given to components; none: no folder is.
#[derive(Debug, Clone, Default)]
pub struct FilesRoot(Option<Arc<OwnedFd>>);

impl FilesRoot {
    /// Gives what is below `path`.
    ///
    /// # Errors
    /// When it is no folder, or cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let folder = std::fs::File::open(path)?;
        if !folder.metadata()?.is_dir() {
            return Err(std::io::ErrorKind::NotADirectory.into());
        }
        Ok(Self(Some(Arc::new(folder.into()))))
    }

    /// Opens what a component was granted.
    ///
    /// # Errors
    /// [`Reason::ConfigInvalid`] with the grant that cannot be given, and why.
    pub(crate) fn grant(&self, preopens: &[Preopen]) -> Result<Folders, PrepareError> {
        let opened = preopens.iter().map(|preopen| {
            let refused = |why: &dyn fmt::Display| {
                let message = format!("the folder {preopen}, cannot be given: {why}");
                PrepareError { reason: Reason::ConfigInvalid, message }
            };
            let root = self.0.as_ref().ok_or_else(|| {
                refused(&"this host gives no folders; start it with `--files-root DIR`, or place the component elsewhere")
            })?;
            let folder = below(root, preopen.folder()).map_err(|error| refused(&error))?;
            let access = match preopen.access() {
                Access::Read => FsPerms::ReadOnly,
                Access::Write => FsPerms::ReadWrite,
            };
            Ok(Folder { folder, path: preopen.path().to_owned(), access })
        });
        opened.collect::<Result<_, _>>().map(Folders)
    }
}

/// The folder `path` below `root`.
#[cfg(target_os = "linux")]
fn below(root: &OwnedFd, path: &str) -> std::io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), how).map_err(|error| match error {
        rustix::io::Errno::LOOP => std::io::Error::other("a part of its path is a symbolic link"),
        other => other.into(),
    })
}

/// Elsewhere no call opens a path without following links.
#[cfg(not(target_os = "linux"))]
fn below(_: &OwnedFd, _: &str) -> std::io::Result<OwnedFd> {
    Err(std::io::Error::other("only hosts on Linux give folders"))
}

/// The folders of one component.
#[derive(Debug, Default)]
pub(crate) struct Folders(Vec<Folder>);

#[derive(Debug)]
struct Folder {
    folder: OwnedFd,
    path: String,
    access: FsPerms,
}

impl Folders {
    /// Gives them to one instance.
    ///
    /// # Errors
    /// When the host has no more files to open. The instance has what was given by then.
    pub(crate) fn give(&self, wasi: &mut WasiCtxBuilder) -> wasmtime::Result<()> {
        for Folder { folder, path, access } in &self.0 {
            // The open folder itself, not the path by which it was found.
            wasi.preopened_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()), path, *access)?;
        }
        Ok(())
    }
}
