//! Desired records and revisions as the store has them.
//!
//! One task follows the bucket of records and is the only writer of what others here read. A record that cannot be
//! read stays beside the others and concerns its own app only (invariant M11). An app whose record has vanished
//! together with the store's own past is not an app that was deleted: see `restore`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lath_control_api::subject::app_key;
use lath_control_api::{AppName, Bucket, Subjects};
use lath_control_api_client::{
    BucketOptions, Change, Connection, KvRevision, Listing, Malformed, ReadError, Stored, TypedBucket,
    WriteError, WriteId,
};
use lath_manager_planner::DesiredRecord;
use lath_manager_planner::record::SCHEMA;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::failpoint::Failpoint;
use crate::revisions::Revisions;
use crate::wake::Wake;

/// Deleted apps that are remembered.
const DELETED_KEPT: usize = 1_000;

/// An app's record as stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Slot {
    /// It can be read.
    Sound(Arc<Stored<DesiredRecord>>),
    /// It cannot, for this reason.
    Poison(String),
}

/// Every record, as last heard of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Apps {
    /// Counts how often the store was found to have gone back in time: its numbers begin anew then.
    pub(crate) era: u64,
    /// By app.
    pub(crate) slots: BTreeMap<AppName, Slot>,
}

/// Records and revisions of a lattice. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    bucket: TypedBucket<DesiredRecord>,
    apps: Arc<ArcSwap<Apps>>,
    loaded: watch::Receiver<bool>,
    pub(crate) revisions: Revisions,
}

impl Records {
    /// Opens the buckets of the lattice, and makes those that are not there.
    pub(crate) async fn open(
        connection: &Connection,
        subjects: &Subjects,
        wake: Wake,
    ) -> Result<(Self, Follower), ReadError> {
        let options = BucketOptions::default();
        let bucket = TypedBucket::open(connection, &subjects.bucket(Bucket::Apps), options).await?;
        let of_revisions = BucketOptions { history: 1, ..options };
        let revisions =
            TypedBucket::open(connection, &subjects.bucket(Bucket::Revisions), of_revisions).await?;
        let (loaded_sender, loaded) = watch::channel(false);
        let apps = Arc::new(ArcSwap::default());
        let records = Self { bucket, apps, loaded, revisions: Revisions::new(revisions) };
        let follower = Follower {
            records: records.clone(),
            loaded: loaded_sender,
            wake,
            head: KvRevision(0),
            deleted: BTreeMap::new(),
        };
        Ok((records, follower))
    }

    /// Every record, as last heard of.
    pub(crate) fn apps(&self) -> Arc<Apps> {
        self.apps.load_full()
    }

    /// Whether all records have been read once.
    pub(crate) fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Waits until all records have been read once.
    pub(crate) async fn loaded(&self) {
        let mut loaded = self.loaded.clone();
        // An error means that the follower has ended, and the process with it.
        let _ = loaded.wait_for(|loaded| *loaded).await;
    }

    /// The record of an app from the store itself.
    pub(crate) async fn read(&self, app: &AppName) -> Result<Option<Stored<DesiredRecord>>, ReadError> {
        let Some(stored) = self.bucket.get(&app_key(app)).await? else { return Ok(None) };
        sound(self.bucket.name(), stored).map(Some).map_err(ReadError::Malformed)
    }

    /// Writes a record in place of the one read as `over`, or as the first one of its app.
    pub(crate) async fn commit(
        &self,
        mut record: DesiredRecord,
        over: Option<KvRevision>,
    ) -> Result<Stored<DesiredRecord>, WriteError> {
        let id = WriteId::generate();
        record.write_id = id.to_string();
        let key = app_key(&record.app);
        Failpoint::RecordCommit.before();
        let revision = match over {
            None => self.bucket.create(&key, &record, &id).await?,
            Some(over) => self.bucket.update(&key, &record, over, &id).await?,
        };
        Failpoint::RecordCommit.after();
        Ok(Stored { key, revision, value: record })
    }

    /// Deletes an app's revisions and then its record, which was read as `stored`. Whoever finds the record still
    /// there does it again.
    pub(crate) async fn forget(&self, stored: &Stored<DesiredRecord>) -> Result<(), ForgetError> {
        // A deploy that has just taken the name again has a later revision, which must stay.
        self.revisions.delete_up_to(&stored.value.app, stored.value.last_revision).await?;
        self.bucket.delete(&stored.key, stored.revision, &WriteId::generate()).await?;
        Ok(())
    }
}

/// Why an app could not be forgotten yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForgetError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Follows the bucket of records and reports news of apps.
#[derive(Debug)]
pub(crate) struct Follower {
    records: Records,
    loaded: watch::Sender<bool>,
    wake: Wake,
    /// The bucket's last write that was heard of.
    head: KvRevision,
    /// Apps that were deleted, at most [`DELETED_KEPT`]: a store that goes back in time must not bring them back. One
    /// of which there is a record again that cannot be read is not among them: hosts may run it.
    deleted: BTreeMap<AppName, Arc<Stored<DesiredRecord>>>,
}

impl Follower {
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut watch = self.records.bucket.watch();
        let mut complained = false;
        while let Some(change) = shutdown.run_until_cancelled(watch.next()).await {
            match change {
                Ok(change) => {
                    complained = false;
                    self.take(change).await;
                }
                Err(ReadError::NoBucket { bucket }) => {
                    tracing::error!(%bucket, "the bucket of desired records is gone; it is made again");
                    if let Err(error) = self.records.bucket.ensure().await {
                        tracing::error!(%error, "it cannot be made");
                    }
                }
                Err(error) if complained => tracing::debug!(%error, "desired records cannot be read"),
                Err(error) => {
                    complained = true;
                    tracing::warn!(%error, "desired records cannot be read; trying on");
                }
            }
        }
    }

    async fn take(&mut self, change: Change<DesiredRecord>) {
        match change {
            Change::Listed(listing) => self.relist(listing).await,
            Change::Put(stored) => {
                self.head = self.head.max(stored.revision);
                if let Some(app) = named(&stored.key) {
                    let slot = self.slot(stored);
                    self.forget_deletion(&app, &slot);
                    self.replace(app, Some(slot));
                }
            }
            Change::Malformed(malformed) => {
                self.head = self.head.max(malformed.revision);
                if let Some(app) = named(&malformed.key) {
                    self.deleted.remove(&app);
                    self.replace(app, Some(poison(&malformed)));
                }
            }
            Change::Gone { key, revision } => {
                self.head = self.head.max(revision);
                if let Some(app) = named(&key) {
                    self.note_deleted(&app);
                    self.records.revisions.forget_cached(&app);
                    self.replace(app, None);
                }
            }
        }
    }

    async fn relist(&mut self, listing: Listing<DesiredRecord>) {
        let before = self.records.apps();
        let (went_back, known) = (listing.head < self.head, self.head);
        if went_back {
            tracing::error!(head = %listing.head, %known, "the store of desired records went back in time");
        }
        let era = before.era + u64::from(went_back);
        let mut apps = Apps { era, slots: BTreeMap::new() };
        for malformed in listing.malformed.values() {
            if let Some(app) = named(&malformed.key) {
                self.deleted.remove(&app);
                apps.slots.insert(app, poison(malformed));
            }
        }
        for stored in listing.records.into_values() {
            if let Some(app) = named(&stored.key) {
                let slot = self.slot(stored);
                apps.slots.insert(app, slot);
            }
        }
        if went_back {
            self.restore(&before, &mut apps).await;
        }
        for (app, slot) in &apps.slots {
            self.forget_deletion(app, slot);
        }
        if !went_back {
            // A name may have been taken again while nobody listened, and count its revisions anew.
            self.records.revisions.clear_cached();
        }
        self.head = listing.head;
        self.records.apps.store(Arc::new(apps));
        self.loaded.send_replace(true);
        self.wake.all();
    }

    /// Writes the decisions at hand again where the store has lost them (N1, N2): by compare-and-set, so that of
    /// several managers that do it one wins, and only over what is a past of it: what somebody has asked for since the
    /// loss stays, and the planner gives it a number that hosts obey.
    async fn restore(&self, before: &Apps, apps: &mut Apps) {
        if let Err(error) = self.records.revisions.ensure().await {
            tracing::error!(%error, "the bucket of revisions cannot be made");
        }
        self.delete_again(apps).await;
        for (app, slot) in &before.slots {
            let Slot::Sound(known) = slot else { continue };
            let over = match apps.slots.get(app) {
                None => None,
                Some(Slot::Sound(found)) if found.value.is_past_of(&known.value) => Some(found.revision),
                Some(Slot::Sound(_) | Slot::Poison(_)) => continue,
            };
            let written = async {
                self.records.revisions.restore(&known.value).await?;
                self.records.commit(known.value.clone(), over).await
            };
            match written.await {
                Ok(stored) => {
                    tracing::warn!(%app, generation = %known.value.generation, "a lost decision is written again");
                    apps.slots.insert(app.clone(), Slot::Sound(Arc::new(stored)));
                }
                Err(error) => tracing::error!(%app, %error, "a lost decision could not be written again"),
            }
        }
    }

    fn note_deleted(&mut self, app: &AppName) {
        if let Some(Slot::Sound(stored)) = self.records.apps.load().slots.get(app) {
            if self.deleted.len() >= DELETED_KEPT {
                self.deleted.clear();
            }
            self.deleted.insert(app.clone(), Arc::clone(stored));
        }
    }

    /// An app that somebody made anew is no deleted one any more: a later loss is not to end it.
    fn forget_deletion(&mut self, app: &AppName, slot: &Slot) {
        let Slot::Sound(made) = slot else { return };
        if self.deleted.get(app).is_some_and(|deleted| !is_of_deleted(&made.value, &deleted.value)) {
            self.deleted.remove(app);
        }
    }

    /// Deletes what was deleted before and is there again. Its hosts were rid of it then.
    async fn delete_again(&self, apps: &mut Apps) {
        for (app, deleted) in &self.deleted {
            let Some(Slot::Sound(found)) = apps.slots.get(app) else { continue };
            if !is_of_deleted(&found.value, &deleted.value) {
                // Somebody has asked for something since.
                continue;
            }
            match self.records.forget(found).await {
                Ok(()) => {
                    tracing::warn!(%app, "a deleted app was there again and is deleted again");
                    apps.slots.remove(app);
                }
                Err(error) => tracing::error!(%app, %error, "a deleted app is there again"),
            }
        }
    }

    fn slot(&self, stored: Stored<DesiredRecord>) -> Slot {
        match sound(self.records.bucket.name(), stored) {
            Ok(stored) => Slot::Sound(Arc::new(stored)),
            Err(malformed) => poison(&malformed),
        }
    }

    fn replace(&self, app: AppName, slot: Option<Slot>) {
        let mut apps = Apps::clone(&self.records.apps.load());
        match slot {
            Some(slot) => drop(apps.slots.insert(app.clone(), slot)),
            None => drop(apps.slots.remove(&app)),
        }
        self.records.apps.store(Arc::new(apps));
        self.wake.apps([app]);
    }
}

fn poison(malformed: &Malformed) -> Slot {
    tracing::error!(key = %malformed.key, cause = %malformed.cause, "a desired record cannot be read; only its app is left alone");
    Slot::Poison(malformed.cause.clone())
}

/// Whether a record is the one that was deleted, or a past of it: only a store that went back has it.
fn is_of_deleted(record: &DesiredRecord, deleted: &DesiredRecord) -> bool {
    record.is_past_of(deleted) || record == deleted
}

/// The app of a key; keys of another form were made by hand and are left alone.
fn named(key: &str) -> Option<AppName> {
    match key.parse() {
        Ok(app) => Some(app),
        Err(error) => {
            tracing::warn!(%error, "a key among the desired records names no app and is ignored");
            None
        }
    }
}

/// Refuses a record that a newer manager wrote, and one that belongs to another app.
fn sound(bucket: &str, stored: Stored<DesiredRecord>) -> Result<Stored<DesiredRecord>, Malformed> {
    let record = &stored.value;
    let cause = if record.schema > SCHEMA {
        format!(
            "it has schema {}, and this manager knows up to {SCHEMA}: a newer manager wrote it",
            record.schema
        )
    } else if record.app.as_str() != stored.key {
        format!("it is the record of `{}`", record.app)
    } else {
        return Ok(stored);
    };
    Err(Malformed { bucket: bucket.to_owned(), key: stored.key, revision: stored.revision, cause })
}
