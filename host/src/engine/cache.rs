//! Compiled code on disk, so that a host that starts again does not compile again.
//!
//! A file here is native code that will be run: the directory belongs to this user alone, every file is
//! compared with its own hash before it is mapped, and a damaged one is thrown away and made again. The
//! cache is never needed: whatever goes wrong with it costs a compilation and a line in the log.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lath_control_api::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::claims::{Kind, Signed};

/// Most bytes of all compiled code on disk; what was used longest ago goes first.
const MAX_BYTES: u64 = 2 << 30;

/// Form of what is kept; another one is not found. From the second on a signature is kept with the code.
const FORM: u32 = 2;

/// The cache of one engine.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    directory: PathBuf,
    /// Sixteen hexadecimal digits that stand for engine, settings and processor.
    compatibility: String,
}

impl Cache {
    /// Opens the cache, and makes its directory.
    ///
    /// # Errors
    /// When the directory cannot be made, or belongs to or is open to somebody else.
    pub(crate) fn open(directory: &Path, engine: &wasmtime::Engine) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let metadata = fs::symlink_metadata(directory)?;
        if !metadata.is_dir() {
            return Err(io::Error::other("it is not a directory"));
        }
        if metadata.uid() != own_uid()? {
            return Err(io::Error::other("it belongs to another user"));
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        }
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let compatibility = Digest::of(&hasher.0.finalize()).hex().chars().take(16).collect();
        Ok(Self { directory: directory.to_owned(), compatibility })
    }

    /// The code of `digest` when it is here and whole, and its signature.
    pub(crate) fn load(
        &self,
        engine: &wasmtime::Engine,
        digest: &Digest,
    ) -> Option<(Component, Option<Signed>)> {
        let path = self.code_path(digest);
        match self.verified(&path, engine) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%digest, %error, "compiled code in the cache is damaged; it will be made again");
                remove(&path);
                remove(&sum_path(&path));
                None
            }
        }
    }

    fn verified(&self, path: &Path, engine: &wasmtime::Engine) -> io::Result<(Component, Option<Signed>)> {
        let code = fs::read(path)?;
        let note = fs::read_to_string(sum_path(path))?;
        // The hash, and on a second line the token of what is signed.
        let (sum, token) =
            note.split_once('\n').map_or((note.as_str(), None), |(sum, token)| (sum, Some(token)));
        if Digest::of(&code).as_str() != sum {
            return Err(io::Error::other("its hash is another one"));
        }
        drop(code);
        // Keeps what is used from being the oldest.
        let _best_effort = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        #[expect(unsafe_code, reason = "the only way to load compiled code")]
        // SAFETY: the bytes were written by `store` from this engine's own output, which the hash beside them
        // and the name with the engine's compatibility confirm. Only this user can write to the directory.
        let component = unsafe { Component::deserialize_file(engine, path) };
        let component = component.map_err(|error| io::Error::other(format!("{error:#}")))?;
        // It is of this code, as was found when that was compiled.
        Ok((component, token.and_then(|token| Signed::read(token.as_bytes(), Kind::Component).ok())))
    }

    /// Keeps compiled code for the next start, with the token of what is signed.
    pub(crate) fn store(&self, digest: &Digest, component: &Component, token: Option<&str>) {
        let path = self.code_path(digest);
        let stored =
            component.serialize().map_err(|error| io::Error::other(format!("{error:#}"))).and_then(|code| {
                // The hash goes last: code without its hash is not there.
                remove(&sum_path(&path));
                self.write(&path, &code)?;
                let mut note = Digest::of(&code).as_str().to_owned();
                note.extend(token.into_iter().flat_map(|token| ["\n", token]));
                self.write(&sum_path(&path), note.as_bytes())?;
                self.prune()
            });
        if let Err(error) = stored {
            tracing::warn!(%digest, %error, "compiled code could not be kept; the next start compiles again");
        }
    }

    /// Writes a file as a whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.directory.join(format!(".{}", ulid::Ulid::generate()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            remove(&temporary);
        }
        written
    }

    /// Removes what was used longest ago until the rest fits.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
                let metadata = entry.metadata()?;
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total <= MAX_BYTES {
                break;
            }
            remove(&path);
            remove(&sum_path(&path));
            total = total.saturating_sub(bytes);
        }
        Ok(())
    }

    fn code_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{}-{FORM}.cwasm", digest.hex(), self.compatibility))
    }
}

fn sum_path(path: &Path) -> PathBuf {
    path.with_extension("sum")
}

/// Removes a file that may be gone already.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a file of the cache could not be removed");
    }
}

/// The user that this process runs as: the owner of its own entry in `/proc`.
fn own_uid() -> io::Result<u32> {
    fs::metadata("/proc/self").map(|metadata| metadata.uid())
}

/// Feeds what is hashed to SHA-256, which is the same in every build, unlike the standard hasher.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Nobody asks: the whole hash is taken instead.
        0
    }
}
