//! What people have set on this host while it runs: whether it is drained, and labels. On disk, so that a restart
//! keeps to it.
//!
//! What is set here wins over the command line. A file that cannot be read is put aside under another name and
//! reported; the host then is as its command line says.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use lath_control_api::{ApiError, ErrorCode, HostState, LabelError, LabelRequest, Labels};
use serde::{Deserialize, Serialize};

use crate::files;

/// The file in the data folder.
const FILE: &str = "settings.json";
/// The form of the file that this version writes and reads.
const SCHEMA: u32 = 1;

/// What a host is asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// To take no new work.
    Drain,
    /// To take work again.
    Undrain,
    /// To have these labels, or not to.
    Label(LabelRequest),
}

/// The command line and what was set over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    path: PathBuf,
    /// Labels of the command line.
    given: Labels,
    kept: Kept,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    schema: u32,
    #[serde(default)]
    draining: bool,
    /// Labels that were set, and with nothing those of the command line that were removed.
    #[serde(default)]
    labels: BTreeMap<String, Option<String>>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { schema: SCHEMA, draining: false, labels: BTreeMap::new() }
    }
}

impl Settings {
    /// What was kept in the data folder, over the labels of the command line.
    ///
    /// # Errors
    /// When the file can neither be read nor put aside.
    pub(crate) fn load(data_dir: &Path, given: Labels) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        let kept = match std::fs::read(&path) {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
            Err(error) => return Err(error),
        };
        let kept = match kept {
            Ok(kept) => kept,
            Err(problem) => {
                tracing::error!(file = %path.display(), problem, "the host's settings cannot be used and are put aside");
                std::fs::rename(&path, path.with_extension("unreadable"))?;
                Kept::default()
            }
        };
        Ok(Self { path, given, kept })
    }

    /// Whether new work is taken, while the host is not about to end.
    pub(crate) const fn state(&self) -> HostState {
        if self.kept.draining { HostState::Draining } else { HostState::Ready }
    }

    /// The labels that the host has.
    pub(crate) fn labels(&self) -> Labels {
        let mut labels = self.given.clone();
        for (key, value) in &self.kept.labels {
            match value {
                Some(value) => drop(labels.0.insert(key.clone(), value.clone())),
                None => drop(labels.0.remove(key)),
            }
        }
        labels
    }

    /// The settings with a change; the same when they were so before.
    ///
    /// # Errors
    /// When a label cannot be set or removed.
    pub(crate) fn with(&self, change: &Change) -> Result<Self, ApiError> {
        let mut next = self.clone();
        match change {
            Change::Drain => next.kept.draining = true,
            Change::Undrain => next.kept.draining = false,
            Change::Label(request) => next.label(request)?,
        }
        Ok(next)
    }

    /// Puts them on disk.
    pub(crate) async fn write(&self) -> io::Result<()> {
        let path = self.path.clone();
        let bytes = serde_json::to_vec(&self.kept).map_err(io::Error::other)?;
        let write = move || files::write_atomically(&path, &bytes, &OpenOptions::new());
        tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
    }

    fn label(&mut self, request: &LabelRequest) -> Result<(), ApiError> {
        for (key, value) in &request.labels {
            Labels::check_one(key, value.as_deref().unwrap_or_default()).map_err(|error| refused(&error))?;
            if key.starts_with(Labels::BUILTIN) {
                let message = format!("label `{key}` tells what the host is and cannot be changed");
                let help = format!("use a key that does not begin with `{}`", Labels::BUILTIN);
                return Err(ApiError::new(ErrorCode::BadRequest, message).with_help(help));
            }
            self.kept.labels.insert(key.clone(), value.clone());
        }
        // A removal is remembered only against the command line, so that removals do not pile up.
        let given = &self.given.0;
        self.kept.labels.retain(|key, value| value.is_some() || given.contains_key(key));
        self.labels().check().map_err(|error| refused(&error))
    }
}

fn refused(error: &LabelError) -> ApiError {
    match error {
        LabelError::TooMany { .. } => ApiError::new(ErrorCode::TooLarge, error.to_string())
            .with_help("remove labels that no app asks for"),
        LabelError::NoKey | LabelError::TooLong { .. } | LabelError::Unreadable { .. } => {
            ApiError::new(ErrorCode::BadRequest, error.to_string())
                .with_help("labels are short texts KEY=VALUE")
        }
    }
}

fn decode(bytes: &[u8]) -> Result<Kept, String> {
    let kept: Kept = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if kept.schema == SCHEMA {
        Ok(kept)
    } else {
        Err(format!("its form {} is not {SCHEMA}, which this version reads", kept.schema))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn ask(pairs: &[(&str, Option<&str>)]) -> Change {
        let labels = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)));
        Change::Label(LabelRequest { labels: labels.collect() })
    }

    fn given(folder: &tempfile::TempDir, pairs: &[(&str, &str)]) -> Settings {
        Settings::load(folder.path(), labels(pairs)).unwrap()
    }

    #[tokio::test]
    async fn what_was_set_outlives_the_process_and_wins_over_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let line = [("zone", "a"), ("disk", "ssd")];
        let fresh = given(&folder, &line);
        assert_eq!(fresh.state(), HostState::Ready);
        assert_eq!(fresh.labels(), labels(&line));
        let changed = fresh
            .with(&Change::Drain)
            .unwrap()
            .with(&ask(&[("zone", Some("b")), ("disk", None), ("rack", Some("7"))]))
            .unwrap();
        changed.write().await.unwrap();

        let again = given(&folder, &line);
        assert_eq!(again, changed);
        assert_eq!(again.state(), HostState::Draining);
        assert_eq!(again.labels(), labels(&[("zone", "b"), ("rack", "7")]));
        let other_line = given(&folder, &[("zone", "c"), ("disk", "hdd"), ("gpu", "1")]);
        assert_eq!(other_line.labels(), labels(&[("zone", "b"), ("rack", "7"), ("gpu", "1")]));

        let back = again.with(&Change::Undrain).unwrap().with(&ask(&[("disk", Some("ssd"))])).unwrap();
        back.write().await.unwrap();
        let back = given(&folder, &line);
        assert_eq!(back.state(), HostState::Ready);
        assert_eq!(back.labels(), labels(&[("zone", "b"), ("disk", "ssd"), ("rack", "7")]));
    }

    #[test]
    fn what_is_so_already_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let settings = given(&folder, &[("zone", "a")]);
        for nothing in [Change::Undrain, ask(&[]), ask(&[("nowhere", None)])] {
            assert_eq!(settings.with(&nothing).unwrap(), settings, "{nothing:?}");
        }
        let drained = settings.with(&Change::Drain).unwrap();
        assert_eq!(drained.with(&Change::Drain).unwrap(), drained);
        let removed = settings.with(&ask(&[("zone", None)])).unwrap();
        assert_eq!(removed.with(&ask(&[("zone", None)])).unwrap(), removed);
    }

    #[test]
    fn labels_that_cannot_be_are_refused_and_nothing_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let settings = given(&folder, &[("hostcore.os", "linux")]);
        let long = "x".repeat(Labels::MAX_TEXT + 1);
        for (wrong, part) in [
            (ask(&[("hostcore.os", Some("plan9"))]), "hostcore.os"),
            (ask(&[("hostcore.os", None)]), "hostcore.os"),
            (ask(&[("", Some("a"))]), "no key"),
            (ask(&[("a=b", None)]), "a=b"),
            (ask(&[("zone", Some(&long))]), "zone"),
            (ask(&[("zone", Some("a\nb"))]), "zone"),
        ] {
            let error = settings.with(&wrong).unwrap_err();
            assert_eq!(error.code, ErrorCode::BadRequest);
            assert!(error.message.contains(part) && error.help.is_some(), "{error:?}");
        }
        let keys: Vec<String> = (0..Labels::MOST).map(|n| format!("key-{n}")).collect();
        let pairs = |count: usize| {
            let pairs: Vec<_> = keys.iter().take(count).map(|key| (key.as_str(), Some(""))).collect();
            ask(&pairs)
        };
        // With the one of the command line.
        let full = settings.with(&pairs(Labels::MOST - 1)).unwrap();
        assert_eq!(full.labels().0.len(), Labels::MOST);
        assert_eq!(settings.with(&pairs(Labels::MOST)).unwrap_err().code, ErrorCode::TooLarge);
        full.with(&ask(&[("key-0", None), ("other", Some("1"))])).unwrap();
    }

    #[test]
    fn removals_do_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = given(&folder, &[("zone", "a")]);
        for n in 0..1_000 {
            let key = format!("key-{n}");
            settings = settings.with(&ask(&[(&key, Some("1"))])).unwrap();
            settings = settings.with(&ask(&[(&key, None)])).unwrap();
        }
        assert_eq!(settings, given(&folder, &[("zone", "a")]));
    }

    #[test]
    fn a_file_that_cannot_be_read_stands_aside() {
        for broken in ["{\"schema\":1,", "{\"schema\":2,\"draining\":true}", "[]"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(FILE), broken).unwrap();
            let settings = given(&folder, &[("zone", "a")]);
            assert_eq!(settings.kept, Kept::default());
            let aside = folder.path().join("settings.unreadable");
            assert_eq!(std::fs::read_to_string(aside).unwrap(), broken);
            assert_eq!(given(&folder, &[]), Settings { given: labels(&[]), ..settings });
        }
    }
}
