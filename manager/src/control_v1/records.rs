//! What the lattice keeps for the control interface of 1.x: links by their source, named configs, and what was started
//! by hand. In one bucket of ours, changed by compare-and-set.

use std::collections::BTreeMap;
use std::time::Duration;

use lath_control_api::{AppName, Bucket, ComponentId, HostId, Subjects};
use lath_control_api_client::{
    BucketOptions, Connection, ReadError, Stored, TypedBucket, WriteError, WriteId,
};
use lath_wasmcloud::{ComponentLimits, Link, NamedConfig, Texts};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failpoint::Failpoint;

/// Times that a change is judged anew because somebody else was faster.
const TRIES: u32 = 30;
/// Pause before the second try; grows with each further one.
const PAUSE: Duration = Duration::from_millis(4);

/// Links that begin at one component or provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Links {
    pub(super) links: Vec<Link>,
}

/// A named config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) values: NamedConfig,
}

/// What was started by hand under one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Started {
    /// The app that it is.
    pub(super) app: AppName,
    pub(super) kind: Kind,
    /// The image as it was asked for.
    pub(super) image: String,
    /// Hosts, and the most instances on each.
    pub(super) places: BTreeMap<HostId, u32>,
    /// Names of configs, the later one's values counting.
    pub(super) config: Vec<String>,
    pub(super) annotations: Texts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) limits: Option<ComponentLimits>,
    /// Whether it has once been deployed: if its app is gone then, somebody has deleted it.
    pub(super) deployed: bool,
    /// Whether something has changed that is not deployed yet. Only then does a manager that starts deploy it: people may
    /// have rolled its app back since.
    #[serde(default)]
    pub(super) pending: bool,
}

impl Started {
    /// What is asked of hosts.
    pub(super) fn asked(&self) -> Self {
        Self { deployed: false, pending: false, ..self.clone() }
    }
}

/// What is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Component,
    /// A provider, or a capability built into hosts.
    Capability,
}

/// Everything that is kept, by config name, source and id.
#[derive(Debug, Default)]
pub(super) struct Everything {
    pub(super) configs: BTreeMap<String, Config>,
    pub(super) links: BTreeMap<String, Links>,
    pub(super) started: BTreeMap<ComponentId, Started>,
}

/// The bucket.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    configs: TypedBucket<Config>,
    links: TypedBucket<Links>,
    started: TypedBucket<Started>,
}

/// What is to be done with a record.
pub(super) enum Judged<T, A> {
    /// It becomes this.
    Put(T, A),
    /// It goes.
    Delete(A),
    /// It stays as it is.
    Keep(A),
}

impl Kept {
    pub(crate) async fn open(connection: &Connection, subjects: &Subjects) -> Result<Self, ReadError> {
        let (name, options) = (subjects.bucket(Bucket::Lattice), BucketOptions::default());
        Ok(Self {
            configs: TypedBucket::open(connection, &name, options).await?,
            links: TypedBucket::open(connection, &name, options).await?,
            started: TypedBucket::open(connection, &name, options).await?,
        })
    }

    pub(crate) async fn config(&self, name: &str) -> Result<Option<Config>, String> {
        value(self.configs.get(&config_key(name)).await)
    }

    pub(super) async fn links_of(&self, source: &str) -> Result<Links, String> {
        Ok(value(self.links.get(&links_key(source)).await)?.unwrap_or_default())
    }

    pub(super) async fn started(&self, id: &ComponentId) -> Result<Option<Stored<Started>>, String> {
        there(self.started.get(&started_key(id)).await)
    }

    pub(super) async fn change_config<A>(
        &self,
        name: &str,
        judge: impl FnMut(Option<&Config>) -> Judged<Config, A>,
    ) -> Result<A, String> {
        change(&self.configs, &config_key(name), judge).await
    }

    pub(super) async fn change_links<A>(
        &self,
        source: &str,
        judge: impl FnMut(Option<&Links>) -> Judged<Links, A>,
    ) -> Result<A, String> {
        change(&self.links, &links_key(source), judge).await
    }

    pub(super) async fn change_started<A>(
        &self,
        id: &ComponentId,
        judge: impl FnMut(Option<&Started>) -> Judged<Started, A>,
    ) -> Result<A, String> {
        change(&self.started, &started_key(id), judge).await
    }

    /// All of it; what cannot be read is left out.
    pub(super) async fn everything(&self) -> Result<Everything, String> {
        let started = all(&self.started, STARTED).await?;
        let started = started.into_iter().filter_map(|(id, value)| Some((id.parse().ok()?, value)));
        Ok(Everything {
            configs: all(&self.configs, CONFIG).await?,
            links: all(&self.links, LINKS).await?,
            started: started.collect(),
        })
    }
}

const CONFIG: &str = "config.";
const LINKS: &str = "links.";
const STARTED: &str = "started.";

fn config_key(name: &str) -> String {
    format!("{CONFIG}{name}")
}

fn links_key(source: &str) -> String {
    format!("{LINKS}{source}")
}

fn started_key(id: &ComponentId) -> String {
    format!("{STARTED}{id}")
}

fn value<T>(read: Result<Option<Stored<T>>, ReadError>) -> Result<Option<T>, String> {
    Ok(there(read)?.map(|stored| stored.value))
}

/// A bucket that was lost has nothing in it.
fn there<T>(read: Result<Option<Stored<T>>, ReadError>) -> Result<Option<Stored<T>>, String> {
    match read {
        Ok(found) => Ok(found),
        Err(ReadError::NoBucket { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

async fn all<T: DeserializeOwned>(
    bucket: &TypedBucket<T>,
    prefix: &str,
) -> Result<BTreeMap<String, T>, String> {
    let listing = match bucket.list_matching(&format!("{prefix}*")).await {
        Ok(listing) => listing,
        Err(ReadError::NoBucket { .. }) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.to_string()),
    };
    for malformed in listing.malformed.values() {
        tracing::error!(%malformed, "a record of the lattice is left out");
    }
    let named =
        |(key, stored): (String, Stored<T>)| Some((key.strip_prefix(prefix)?.to_owned(), stored.value));
    Ok(listing.records.into_iter().filter_map(named).collect())
}

async fn change<T: Serialize + DeserializeOwned, A>(
    bucket: &TypedBucket<T>,
    key: &str,
    mut judge: impl FnMut(Option<&T>) -> Judged<T, A>,
) -> Result<A, String> {
    for earlier in 0..TRIES {
        tokio::time::sleep(PAUSE * earlier).await;
        let found = match bucket.get(key).await {
            Ok(found) => found,
            // The store was lost while this process ran.
            Err(ReadError::NoBucket { .. }) => {
                bucket.ensure().await.map_err(|error| error.to_string())?;
                None
            }
            Err(error) => return Err(error.to_string()),
        };
        let id = WriteId::generate();
        let judged = judge(found.as_ref().map(|stored| &stored.value));
        if matches!((&judged, &found), (Judged::Put(..), _) | (Judged::Delete(_), Some(_))) {
            Failpoint::LatticeWrite.before();
        }
        let (written, answer) = match (judged, &found) {
            (Judged::Keep(answer), _) | (Judged::Delete(answer), None) => return Ok(answer),
            (Judged::Put(next, answer), None) => (bucket.create(key, &next, &id).await, answer),
            (Judged::Put(next, answer), Some(over)) => {
                (bucket.update(key, &next, over.revision, &id).await, answer)
            }
            (Judged::Delete(answer), Some(over)) => (bucket.delete(key, over.revision, &id).await, answer),
        };
        match written {
            Ok(_) => {
                Failpoint::LatticeWrite.after();
                return Ok(answer);
            }
            Err(WriteError::Conflict { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("`{key}` is being changed by others at the same time; try again"))
}
