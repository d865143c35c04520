//! Revisions: written once, read often, kept expanded.
//!
//! Nothing here changes a revision. What is cached is thrown away whenever an app's name may have been taken anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use lath_control_api::subject::{parse_revision_key, revision_key};
use lath_control_api::{ApiError, AppName, ErrorCode, Revision};
use lath_control_api_client::{ReadError, TypedBucket, WriteError, WriteId};
use lath_manager_planner::desired::expand;
use lath_manager_planner::record::SCHEMA;
use lath_manager_planner::{AppSpec, DesiredRecord, RevisionRecord};

use crate::failpoint::Failpoint;

/// Revisions kept expanded. More than any lattice needs at once; bounds the memory of a broken one.
const CACHED: usize = 4_096;
/// Revisions that are read or deleted at once.
const CONCURRENCY: usize = 16;

/// A revision and what it asks of hosts.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) record: RevisionRecord,
    /// Why it asks for nothing that this manager can give, when it was made by another version.
    pub(crate) spec: Result<Arc<AppSpec>, ApiError>,
}

/// Why the contents of a revision are not at hand.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RevisionError {
    #[error("revision {revision} is not in the store")]
    Missing { revision: Revision },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("revision {revision} cannot be used: {cause}")]
    Unusable { revision: Revision, cause: String },
}

/// What came of writing a revision.
#[derive(Debug)]
pub(crate) enum Written {
    /// It is in the store; perhaps since an earlier try to make the same change.
    Stored,
    /// Another revision has its number.
    Taken,
}

/// The revisions of a lattice. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Revisions {
    bucket: TypedBucket<RevisionRecord>,
    cache: Arc<Mutex<Cache>>,
}

type Cache = BTreeMap<(AppName, Revision), Arc<Known>>;

impl Revisions {
    pub(crate) fn new(bucket: TypedBucket<RevisionRecord>) -> Self {
        Self { bucket, cache: Arc::default() }
    }

    /// One revision.
    pub(crate) async fn get(&self, app: &AppName, revision: Revision) -> Result<Arc<Known>, RevisionError> {
        if let Some(known) = self.cached(app, revision) {
            return Ok(known);
        }
        let stored = self.bucket.get(&revision_key(app, revision)).await?;
        let record = stored.ok_or(RevisionError::Missing { revision })?.value;
        let unusable = |cause: String| RevisionError::Unusable { revision, cause };
        if record.schema > SCHEMA {
            return Err(unusable(format!("a newer manager wrote it (schema {})", record.schema)));
        }
        if (&record.app, record.revision) != (app, revision) {
            return Err(unusable(format!("it is revision {} of `{}`", record.revision, record.app)));
        }
        let known = Arc::new(Known { spec: expanded(&record), record });
        self.keep(Arc::clone(&known));
        Ok(known)
    }

    /// What the revisions that a record needs ask of hosts. All of them or an error: planning with a part would
    /// take the rest for unwanted.
    pub(crate) async fn needed_by(
        &self,
        record: &DesiredRecord,
    ) -> Result<BTreeMap<Revision, Arc<AppSpec>>, RevisionError> {
        let mut specs = BTreeMap::new();
        for revision in record.needed_revisions() {
            let known = self.get(&record.app, revision).await?;
            let unusable =
                |error: &ApiError| RevisionError::Unusable { revision, cause: error.message.clone() };
            specs.insert(revision, Arc::clone(known.spec.as_ref().map_err(unusable)?));
        }
        Ok(specs)
    }

    /// Several revisions of an app; those that cannot be read are left out.
    pub(crate) async fn some(
        &self,
        app: &AppName,
        wanted: &BTreeSet<Revision>,
    ) -> BTreeMap<Revision, Arc<Known>> {
        let reads: Vec<_> = wanted.iter().map(|revision| self.get(app, *revision)).collect();
        let mut reads = futures::stream::iter(reads).buffer_unordered(CONCURRENCY);
        let mut found = BTreeMap::new();
        while let Some(read) = reads.next().await {
            match read {
                Ok(known) => drop(found.insert(known.record.revision, known)),
                Err(error) => tracing::warn!(%app, %error, "a revision is left out"),
            }
        }
        found
    }

    /// Writes a revision. One that is there with the same contents is the same.
    pub(crate) async fn write(&self, record: &RevisionRecord) -> Result<Written, WriteError> {
        let key = revision_key(&record.app, record.revision);
        Failpoint::RevisionWrite.before();
        let written = match self.bucket.create(&key, record, &WriteId::generate()).await {
            Ok(_) => Written::Stored,
            Err(WriteError::Conflict { .. }) => match self.bucket.get(&key).await {
                Ok(Some(there)) if is_same(&there.value, record) => Written::Stored,
                Ok(_) | Err(_) => Written::Taken,
            },
            Err(error) => return Err(error),
        };
        Failpoint::RevisionWrite.after();
        Ok(written)
    }

    /// Makes the bucket if it is not there.
    pub(crate) async fn ensure(&self) -> Result<(), ReadError> {
        self.bucket.ensure().await
    }

    /// Writes again what a record needs and is at hand, after the store has lost it.
    pub(crate) async fn restore(&self, record: &DesiredRecord) -> Result<(), WriteError> {
        for revision in record.needed_revisions().into_iter().chain(record.good.iter().copied()) {
            if let Some(known) = self.cached(&record.app, revision) {
                self.write(&known.record).await?;
            }
        }
        Ok(())
    }

    /// Deletes the revisions of an app up to `last`.
    pub(crate) async fn delete_up_to(
        &self,
        app: &AppName,
        last: Revision,
    ) -> Result<(), crate::records::ForgetError> {
        let found = self.bucket.list_matching(&revisions_of(app)).await?;
        let up_to = |key: &String| parse_revision_key(key).is_ok_and(|(_, revision)| revision <= last);
        let sound = found.records.values().map(|stored| (&stored.key, stored.revision));
        let malformed = found.malformed.values().map(|malformed| (&malformed.key, malformed.revision));
        for (key, revision) in sound.chain(malformed).filter(|(key, _)| up_to(key)) {
            Failpoint::RevisionDelete.before();
            self.bucket.delete(key, revision, &WriteId::generate()).await?;
            Failpoint::RevisionDelete.after();
        }
        self.forget_cached(app);
        Ok(())
    }

    /// Throws away what is known of an app.
    pub(crate) fn forget_cached(&self, app: &AppName) {
        self.with_cache(|cache| cache.retain(|(owner, _), _| owner != app));
    }

    /// Throws away what is known.
    pub(crate) fn clear_cached(&self) {
        self.with_cache(BTreeMap::clear);
    }

    fn cached(&self, app: &AppName, revision: Revision) -> Option<Arc<Known>> {
        self.with_cache(|cache| cache.get(&(app.clone(), revision)).cloned())
    }

    fn keep(&self, known: Arc<Known>) {
        let key = (known.record.app.clone(), known.record.revision);
        self.with_cache(|cache| {
            if cache.len() >= CACHED {
                cache.clear();
            }
            cache.insert(key, known);
        });
    }

    fn with_cache<A>(&self, with: impl FnOnce(&mut Cache) -> A) -> A {
        // Whatever panicked left a map; at worst an entry is missing and read again.
        with(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Pattern for the keys of all revisions of an app.
fn revisions_of(app: &AppName) -> String {
    // The key of a revision with its number left open; no app's name contains the dot between the two.
    let first = revision_key(app, Revision(1));
    format!("{}*", first.trim_end_matches('1'))
}

fn is_same(there: &RevisionRecord, wanted: &RevisionRecord) -> bool {
    let of = |record: &RevisionRecord| {
        let RevisionRecord { app, content, repeats, version, only_put, .. } = record.clone();
        (app, content, repeats, version, only_put)
    };
    of(there) == of(wanted)
}

/// What a revision asks of hosts.
pub(crate) fn expanded(record: &RevisionRecord) -> Result<Arc<AppSpec>, ApiError> {
    let loaded = lath_manifests::load(record.manifest.as_bytes()).map_err(|found| {
        let first = found.first().map(ToString::to_string).unwrap_or_default();
        let message = format!("the manifest of revision {} is not valid any more: {first}", record.revision);
        ApiError::new(ErrorCode::InvalidManifest, message)
    })?;
    expand(&loaded.manifest, record).map(Arc::new)
}
