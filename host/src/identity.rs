//! Who this host is: its key, its name, and the lock that keeps its folder to one process.
//!
//! The key's seed never leaves its file. The lock is the kernel's: it goes with the process, so nothing stale
//! can be left behind by a crash.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lath_control_api::HostId;
use nkeys::{KeyPair, KeyPairType};

use crate::config::is_name;
use crate::files;

/// Who this host is. The data folder is locked as long as this lives.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: HostId,
    pub(crate) name: String,
    _lock: File,
}

const LOCK: &str = "lock";
const SEED: &str = "host.nk";
const NAME: &str = "name";

const ADJECTIVES: [&str; 16] = [
    "amber", "brisk", "calm", "clear", "deep", "fair", "green", "keen", "light", "merry", "noble", "quiet",
    "rapid", "silver", "steady", "warm",
];
const NOUNS: [&str; 16] = [
    "alder", "beam", "birch", "brook", "cedar", "cove", "elm", "field", "harbor", "heron", "larch", "meadow",
    "oak", "ridge", "rowan", "willow",
];

impl Identity {
    /// Locks the data folder and reads who the host is; a new host is made up and written down.
    ///
    /// # Errors
    /// When another process has the folder, or its files cannot be used.
    pub(crate) fn load(data_dir: &Path, name: Option<&str>) -> Result<Self> {
        let lock = lock(data_dir)?;
        let id = key(&data_dir.join(SEED))?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => kept_name(&data_dir.join(NAME), &id)?,
        };
        Ok(Self { id, name, _lock: lock })
    }
}

fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join(LOCK);
    let shown = data_dir.display();
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _for_the_message = file.read_to_string(&mut owner);
            let owner = owner.trim();
            bail!(
                "the data folder {shown} is used by another host (process {owner}); give this one its own --data-dir"
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .context("cannot write the lock file")?;
    Ok(file)
}

fn key(path: &Path) -> Result<HostId> {
    let shown = path.display();
    let seed = match std::fs::read_to_string(path) {
        Ok(seed) => seed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return new_key(path),
        Err(error) => return Err(error).with_context(|| format!("cannot read the host's key {shown}")),
    };
    let mode = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("others may read the host's key {shown}; run `chmod 600 {shown}`");
    }
    let pair = KeyPair::from_seed(seed.trim())
        .map_err(|error| anyhow::anyhow!("{shown} holds no nkey seed: {error}"))?;
    if !matches!(pair.key_pair_type(), KeyPairType::Server) {
        bail!("{shown} holds a key that is no server key; remove it, and the host gets a new one");
    }
    Ok(pair.public_key().parse()?)
}

fn new_key(path: &Path) -> Result<HostId> {
    let pair = KeyPair::new_server();
    let seed = pair.seed().map_err(|error| anyhow::anyhow!("cannot make a key for the host: {error}"))?;
    let mut open = OpenOptions::new();
    open.mode(0o600);
    files::write_atomically(path, format!("{seed}\n").as_bytes(), &open)
        .with_context(|| format!("cannot write the host's key {}", path.display()))?;
    Ok(pair.public_key().parse()?)
}

fn kept_name(path: &Path, id: &HostId) -> Result<String> {
    if let Ok(kept) = std::fs::read_to_string(path)
        && is_name(kept.trim())
    {
        return Ok(kept.trim().to_owned());
    }
    let name = made_up_name(id);
    files::write_atomically(path, format!("{name}\n").as_bytes(), &OpenOptions::new())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(name)
}

/// A name from the host's key, which is random: the same key is never called two names.
fn made_up_name(id: &HostId) -> String {
    let mut bytes = id.as_str().bytes().skip(8).map(usize::from);
    let mut pick = |words: &[&'static str; 16]| {
        let random = bytes.next().unwrap_or(0) * 31 + bytes.next().unwrap_or(0);
        words.get(random % words.len()).copied().unwrap_or("host")
    };
    format!("{}-{}", pick(&ADJECTIVES), pick(&NOUNS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stays_who_it_is_and_shares_its_folder_with_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::load(folder.path(), None).unwrap();
        let second = Identity::load(folder.path(), None).unwrap_err().to_string();
        assert!(second.contains("used by another host") && second.contains(&std::process::id().to_string()));
        let (id, name) = (first.id.clone(), first.name.clone());
        drop(first);
        let again = Identity::load(folder.path(), None).unwrap();
        assert_eq!((&again.id, &again.name), (&id, &name));
        let mode = std::fs::metadata(folder.path().join(SEED)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(Identity::load(folder.path(), Some("a")).unwrap());
        let path = folder.path().join(SEED);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Identity::load(folder.path(), None).unwrap_err().to_string().contains("chmod 600"));
    }
}
