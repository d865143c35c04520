//! Writing a file so that nobody ever finds half of one: beside it, to disk, then by a rename.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Prefix of files that are being written. Leftovers of a crash can be removed by it.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// Replaces the file at `path` by `bytes`. It is on disk when this returns. `open` may set a mode.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], open: &OpenOptions) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = folder.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
    let written = open.clone().write(true).create_new(true).open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written.and_then(|()| std::fs::rename(&beside, path)) {
        Ok(()) => sync_folder(folder),
        Err(error) => {
            let _leftover = std::fs::remove_file(&beside);
            Err(error)
        }
    }
}

/// Removes a file for good; one that is not there is removed already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Puts the names in a folder on disk, as a rename or removal alone does not.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
