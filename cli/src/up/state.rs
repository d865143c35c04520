//! `up.json`: what `lath up` has started in a data folder, so that `lath down` finds it again.
//!
//! Written whole and put in place by renaming; a reader sees the old or the new state, never half of one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lath_control_api::LatticeId;
use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::failure::{Exit, Failure};

/// Layout of the file. A reader refuses another one.
const SCHEMA: u32 = 1;

/// What runs, in the order in which it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpState {
    schema: u32,
    /// The lattice.
    pub(crate) lattice: LatticeId,
    /// Folder of all of it.
    pub(crate) data: PathBuf,
    /// The NATS server.
    pub(crate) nats: Nats,
    /// The manager, once it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manager: Option<Manager>,
    /// The hosts that were started.
    #[serde(default)]
    pub(crate) hosts: Vec<Host>,
    /// `lath down` is at work: processes that end, end on purpose.
    #[serde(default)]
    pub(crate) stopping: bool,
}

/// The NATS server of a lattice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Nats {
    /// Where it is.
    pub(crate) url: String,
    /// The process; none when it was running before and is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) process: Option<Process>,
}

/// A manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manager {
    /// Address of its HTTP server.
    pub(crate) http: String,
    /// The process.
    pub(crate) process: Process,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Host {
    /// Its name; that of its folder until it has said its own.
    pub(crate) name: String,
    /// Its id, once it has said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Where it answers HTTP requests of routes without an address.
    pub(crate) http: String,
    /// The process.
    pub(crate) process: Process,
}

impl UpState {
    /// Nothing but a server.
    pub(crate) const fn new(lattice: LatticeId, data: PathBuf, nats: Nats) -> Self {
        Self { schema: SCHEMA, lattice, data, nats, manager: None, hosts: Vec::new(), stopping: false }
    }

    /// Every process with what it is, in the order in which it was started.
    pub(crate) fn processes(&self) -> impl Iterator<Item = (String, &Process)> {
        let nats = self.nats.process.iter().map(|process| ("nats-server".to_owned(), process));
        let manager = self.manager.iter().map(|manager| ("manager".to_owned(), &manager.process));
        let hosts = self.hosts.iter().map(|host| (format!("host {}", host.name), &host.process));
        nats.chain(manager).chain(hosts)
    }

    /// The state in `data`, if there is one.
    pub(crate) fn read(data: &Path) -> Result<Option<Self>, Failure> {
        let path = Self::path(data);
        let wrong = |cause: String| {
            Failure::new(Exit::Failed, format!("{} cannot be used: {cause}", path.display()))
                .help("stop its processes by hand and remove the file, or choose another --data")
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if state.schema == SCHEMA {
            Ok(Some(state))
        } else {
            Err(wrong(format!("its schema is {}", state.schema)))
        }
    }

    /// Puts the state in place.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let path = Self::path(&self.data);
        let draft = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let written = text.and_then(|text| fs::write(&draft, text)).and_then(|()| fs::rename(&draft, &path));
        written
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))
    }

    /// Takes the state away.
    pub(crate) fn remove(data: &Path) {
        // A file that stays only names processes that are gone, and is not believed.
        _ = fs::remove_file(Self::path(data));
    }

    fn path(data: &Path) -> PathBuf {
        data.join("up.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_back_and_another_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(UpState::read(folder.path()).unwrap().is_none());
        let nats = Nats { url: "nats://127.0.0.1:4222".into(), process: None };
        let mut state = UpState::new("default".parse().unwrap(), folder.path().to_owned(), nats);
        state.write().unwrap();
        assert_eq!(UpState::read(folder.path()).unwrap(), Some(state.clone()));
        state.schema = 9;
        state.write().unwrap();
        assert!(UpState::read(folder.path()).unwrap_err().message.contains("schema is 9"));
        UpState::remove(folder.path());
        assert!(UpState::read(folder.path()).unwrap().is_none());
    }
}
