//! Who acts: one manager of a lattice at a time, for terms that are numbered.
//!
//! Nothing rests on the lease alone: commits are compare-and-set and commands carry the epoch. It only keeps two
//! managers from doing the same work twice. Time is this process's monotonic clock: another manager's lease counts
//! as abandoned when its record has not changed for [`ABANDONED`] while we watched, and our own ends [`TERM`] after
//! the last renewal was begun, which is earlier.

use std::time::Duration;

use lath_control_api::{Epoch, subject::LEASE_KEY};
use lath_control_api_client::{KvRevision, ReadError, Stored, TypedBucket, WriteError, WriteId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Identity;
use crate::failpoint::Failpoint;

/// Silence after which another manager's lease may be taken.
const ABANDONED: Duration = Duration::from_secs(5);
/// Time for which a renewed lease is acted on; shorter than [`ABANDONED`] for clocks that run apart.
const TERM: Duration = Duration::from_millis(4_500);
/// Time between renewals: two may be lost.
const RENEWAL: Duration = Duration::from_millis(1_500);
/// Time between looks at another's lease, and between tries while the store does not answer.
const LOOK: Duration = Duration::from_millis(400);
/// Schema number of the record.
const SCHEMA: u32 = 1;

/// The record in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeaseRecord {
    schema: u32,
    /// Kept id of the manager.
    holder: String,
    /// Its name for people.
    name: String,
    epoch: Epoch,
    /// Given back in order: anybody may take it at once.
    released: bool,
}

/// How this manager stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its term, while it has one.
    term: Option<Term>,
    /// The highest epoch that it has seen.
    pub(crate) highest: Epoch,
}

/// A term of acting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    epoch: Epoch,
    until: Instant,
}

impl Standing {
    /// The epoch in which this manager may act now.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.term.filter(|term| Instant::now() < term.until).map(|term| term.epoch)
    }

    /// Whether this manager may act now, still in `epoch`.
    pub(crate) fn may_act(&self, epoch: Epoch) -> bool {
        self.epoch() == Some(epoch)
    }
}

/// Seeks the lease and keeps it.
#[derive(Debug)]
pub(crate) struct Lease {
    bucket: TypedBucket<LeaseRecord>,
    id: String,
    name: String,
    standing: watch::Sender<Standing>,
    /// The highest epoch that any host has obeyed: ours must not be lower.
    obeyed: watch::Receiver<Epoch>,
    held: Option<Held>,
    /// Another's record, and since when it has not changed.
    watched: Option<(KvRevision, Instant)>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    revision: KvRevision,
    term: Term,
}

impl Lease {
    pub(crate) fn new(
        bucket: TypedBucket<LeaseRecord>,
        identity: &Identity,
        standing: watch::Sender<Standing>,
        obeyed: watch::Receiver<Epoch>,
    ) -> Self {
        Self {
            bucket,
            id: identity.id.clone(),
            name: identity.name.clone(),
            standing,
            obeyed,
            held: None,
            watched: None,
        }
    }

    /// Seeks and keeps the lease until `shutdown`, then gives it back.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let turn = async {
                let pause = match self.held {
                    Some(held) => self.keep(held).await,
                    None => self.seek().await,
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    // A host has obeyed a later epoch: renew at once.
                    Ok(()) = self.obeyed.changed() => {}
                }
            };
            if shutdown.run_until_cancelled(turn).await.is_none() {
                break;
            }
        }
        self.release().await;
    }

    /// Takes the lease if it is free. Returns the time until the next turn.
    async fn seek(&mut self) -> Duration {
        let found = match self.bucket.get(LEASE_KEY).await {
            Ok(found) => found,
            Err(ReadError::Malformed(malformed)) => {
                // Somebody wrote nonsense there. It is nobody's lease, but give its writer the time of one.
                if self.is_abandoned(malformed.revision) {
                    tracing::warn!(%malformed, "the lease is taken over");
                    self.take(Some(malformed.revision), Epoch(0)).await;
                }
                return LOOK;
            }
            Err(error) => {
                tracing::debug!(%error, "the lease cannot be read");
                if matches!(error, ReadError::NoBucket { .. }) {
                    let made = self.bucket.ensure().await;
                    tracing::warn!(ok = made.is_ok(), "the bucket of the lease was gone and is made again");
                }
                return LOOK;
            }
        };
        match found {
            None => self.take(None, Epoch(0)).await,
            Some(Stored { revision, value, .. }) => {
                self.standing.send_if_modified(|standing| raise(&mut standing.highest, value.epoch));
                let free = value.released || value.holder == self.id || self.is_abandoned(revision);
                if !free {
                    return LOOK;
                }
                self.take(Some(revision), value.epoch).await;
            }
        }
        if self.held.is_some() { RENEWAL } else { LOOK }
    }

    fn is_abandoned(&mut self, revision: KvRevision) -> bool {
        match self.watched {
            Some((seen, since)) if seen == revision => since.elapsed() >= ABANDONED,
            Some(_) | None => {
                self.watched = Some((revision, Instant::now()));
                false
            }
        }
    }

    /// Begins a term that follows `last`, replacing the record written as `over`.
    async fn take(&mut self, over: Option<KvRevision>, last: Epoch) {
        let begun = Instant::now();
        let highest = self.standing.borrow().highest.max(last).max(*self.obeyed.borrow_and_update());
        let epoch = highest.next();
        let record = self.record(epoch, false);
        let id = WriteId::generate();
        Failpoint::LeaseTake.before();
        let written = match over {
            None => self.bucket.create(LEASE_KEY, &record, &id).await,
            Some(revision) => self.bucket.update(LEASE_KEY, &record, revision, &id).await,
        };
        Failpoint::LeaseTake.after();
        self.watched = None;
        match written {
            Ok(revision) => {
                tracing::info!(%epoch, "this manager acts");
                self.hold(Some(Held { revision, term: Term { epoch, until: begun + TERM } }));
            }
            Err(error) => {
                tracing::debug!(%error, "the lease was not taken");
                self.hold(None);
            }
        }
    }

    /// Renews the lease. Returns the time until the next turn.
    async fn keep(&mut self, held: Held) -> Duration {
        let begun = Instant::now();
        let Held { revision, term } = held;
        if begun >= term.until {
            tracing::warn!(epoch = %term.epoch, "the lease could not be renewed in time: this manager stops acting");
            self.hold(None);
            return Duration::ZERO;
        }
        let obeyed = *self.obeyed.borrow_and_update();
        if obeyed > term.epoch {
            // Hosts know a later term than the store: the store has lost writes. Ours must follow theirs.
            tracing::error!(epoch = %term.epoch, %obeyed, "hosts have obeyed a later epoch: the store went back in time");
            self.take(Some(revision), term.epoch).await;
            return if self.held.is_some() { RENEWAL } else { LOOK };
        }
        let record = self.record(term.epoch, false);
        let id = WriteId::generate();
        Failpoint::LeaseRenew.before();
        let renewal = self.bucket.update(LEASE_KEY, &record, revision, &id);
        let renewed = tokio::time::timeout_at(term.until, renewal).await;
        Failpoint::LeaseRenew.after();
        match renewed {
            Ok(Ok(revision)) => {
                self.hold(Some(Held { revision, term: Term { until: begun + TERM, ..term } }));
                RENEWAL
            }
            Ok(Err(WriteError::Conflict { .. } | WriteError::Unknown { .. })) => {
                self.look_again(held).await;
                LOOK
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease could not be renewed");
                LOOK
            }
            Err(_) => Duration::ZERO,
        }
    }

    /// After a renewal went wrong: the lease is still ours if the record says so.
    async fn look_again(&mut self, held: Held) {
        match self.bucket.get(LEASE_KEY).await {
            Ok(Some(found)) if found.value.holder == self.id && found.value.epoch == held.term.epoch => {
                self.hold(Some(Held { revision: found.revision, ..held }));
            }
            Ok(found) => {
                let by = found.map(|found| found.value.name).unwrap_or_default();
                tracing::warn!(epoch = %held.term.epoch, %by, "lost leadership: another manager acts");
                self.hold(None);
            }
            Err(error) => tracing::debug!(%error, "the lease cannot be read"),
        }
    }

    fn hold(&mut self, held: Option<Held>) {
        self.held = held;
        let term = held.map(|held| held.term);
        self.standing.send_modify(|standing| {
            standing.term = term;
            if let Some(term) = term {
                raise(&mut standing.highest, term.epoch);
            }
        });
    }

    async fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.hold(None);
        // A renewal may have been on its way when the end came, so the store is asked which write is the last.
        let found = self.bucket.get(LEASE_KEY).await.ok().flatten();
        let ours =
            found.filter(|found| found.value.holder == self.id && found.value.epoch == held.term.epoch);
        let Some(found) = ours else { return };
        let record = self.record(held.term.epoch, true);
        match self.bucket.update(LEASE_KEY, &record, found.revision, &WriteId::generate()).await {
            Ok(_) => tracing::info!(epoch = %held.term.epoch, "the lease is given back"),
            Err(error) => tracing::debug!(%error, "the lease could not be given back"),
        }
    }

    fn record(&self, epoch: Epoch, released: bool) -> LeaseRecord {
        let (holder, name) = (self.id.clone(), self.name.clone());
        LeaseRecord { schema: SCHEMA, holder, name, epoch, released }
    }
}

/// Sets `value` to `to` if that is higher; tells whether it was.
fn raise(value: &mut Epoch, to: Epoch) -> bool {
    let higher = to > *value;
    *value = to.max(*value);
    higher
}
