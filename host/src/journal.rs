//! What the host was told, on disk: one file for each app, written before a command is answered.
//!
//! What an entry holds is decided in `lath-host-core`. A file that cannot be read is put aside under another name
//! and reported; it never keeps the other apps from being served.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use lath_control_api::AppName;
use lath_host_core::JournalEntry;

use crate::files;

const ENDING: &str = "json";

/// The journal's folder.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    folder: PathBuf,
}

impl Journal {
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("journal");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Every entry that can be read.
    pub(crate) fn load(&self) -> io::Result<Vec<JournalEntry>> {
        let mut entries = Vec::new();
        for file in std::fs::read_dir(&self.folder)? {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(files::UNFINISHED) {
                files::remove(&path)?;
            } else if path.extension().is_some_and(|ending| ending == ENDING) {
                entries.extend(self.read(&path)?);
            }
        }
        Ok(entries)
    }

    fn read(&self, path: &Path) -> io::Result<Option<JournalEntry>> {
        let problem = match JournalEntry::decode(&std::fs::read(path)?) {
            Ok(entry) if self.path(&entry.request.app) == path => return Ok(Some(entry)),
            Ok(entry) => format!("it holds the entry of app {}", entry.request.app),
            Err(error) => error.to_string(),
        };
        let aside = path.with_extension("unreadable");
        tracing::error!(file = %path.display(), problem, "a journal entry cannot be used and is put aside");
        std::fs::rename(path, aside)?;
        Ok(None)
    }

    /// Puts an entry on disk; without one, removes what is there.
    pub(crate) async fn write(&self, app: &AppName, entry: Option<JournalEntry>) -> io::Result<()> {
        let path = self.path(app);
        let write = move || match entry {
            Some(entry) => {
                let bytes = entry.encode().map_err(io::Error::other)?;
                files::write_atomically(&path, &bytes, &OpenOptions::new())
            }
            None => files::remove(&path),
        };
        tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
    }

    fn path(&self, app: &AppName) -> PathBuf {
        self.folder.join(format!("{app}.{ENDING}"))
    }
}

#[cfg(test)]
mod tests {
    use lath_control_api::{ApplyRequest, Fence, Timestamp};
    use lath_host_core::Core;

    use super::*;

    #[tokio::test]
    async fn entries_survive_and_broken_ones_stand_aside() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let mut core = Core::new(None);
        for app in ["shop", "blog"] {
            let request =
                ApplyRequest { fence: Fence::default(), app: app.parse().unwrap(), bundles: Vec::new() };
            core.apply(&request, Timestamp(1)).unwrap();
            journal.write(&request.app, core.journal(&request.app)).await.unwrap();
        }
        let broken = folder.path().join("journal/blog.json");
        std::fs::write(&broken, "{\"schema\":1").unwrap();
        let loaded = journal.load().unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0], core.journal(&"shop".parse().unwrap()).unwrap());
        assert!(broken.with_extension("unreadable").exists() && !broken.exists());
        journal.write(&"shop".parse().unwrap(), None).await.unwrap();
        assert!(journal.load().unwrap().is_empty());
    }
}
