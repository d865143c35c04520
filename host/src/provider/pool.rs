//! Which processes there are, and who needs them: one for each content, shared by the units that need it.
//!
//! A process whose last unit has gone stays until no call has come for a moment; a unit that comes back in that time
//! finds it running. One that has begun to end is waited for: no two of one key run at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lath_control_api::{HostId, LatticeId, Reason, WireId};
use tokio_util::task::TaskTracker;

use super::actor::Actor;
use super::host_data::NatsAccess;
use super::process::{Process, Recipe, Wish};
use crate::control_v1::TellerV1;
use crate::engine::PrepareError;

/// What all processes of this host share.
#[derive(Debug)]
pub(crate) struct Around {
    pub(crate) nats: async_nats::Client,
    pub(crate) lattice: LatticeId,
    pub(crate) host: HostId,
    pub(crate) access: NatsAccess,
    pub(crate) events: TellerV1,
    held: Mutex<Held>,
    actors: TaskTracker,
}

#[derive(Debug, Default)]
struct Held {
    entries: BTreeMap<WireId, Entry>,
    /// The host ends, by then.
    ending: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    process: Arc<Process>,
    users: usize,
    /// It ends, whoever comes now.
    leaving: bool,
}

/// A unit's hold on a process. The process goes when the last one is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    around: Arc<Around>,
    process: Arc<Process>,
}

impl Lease {
    pub(crate) const fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.around.held();
        let Some(entry) = held.entries.get_mut(&self.process.wire) else { return };
        if !Arc::ptr_eq(&entry.process, &self.process) {
            return;
        }
        entry.users = entry.users.saturating_sub(1);
        if entry.users == 0 {
            self.process.wish(Wish::Leave);
        }
    }
}

impl Around {
    pub(crate) fn new(
        nats: async_nats::Client,
        lattice: LatticeId,
        host: HostId,
        access: NatsAccess,
        events: TellerV1,
    ) -> Arc<Self> {
        let (held, actors) = (Mutex::default(), TaskTracker::new());
        Arc::new(Self { nats, lattice, host, access, events, held, actors })
    }

    /// The process of this content when it is there and stays: it needs no preparation.
    pub(crate) fn share(self: &Arc<Self>, wire: &WireId) -> Option<Lease> {
        let mut held = self.held();
        let entry = held.entries.get_mut(wire).filter(|entry| entry.is_usable())?;
        entry.users += 1;
        entry.process.wish(Wish::Stay);
        Some(Lease { around: Arc::clone(self), process: Arc::clone(&entry.process) })
    }

    /// The process of this content; it is started if it is not there.
    ///
    /// # Errors
    /// When the host ends.
    pub(crate) async fn lease(self: &Arc<Self>, recipe: Recipe) -> Result<Lease, PrepareError> {
        loop {
            if let Some(lease) = self.share(&recipe.wire) {
                return Ok(lease);
            }
            let Some(leaving) = self.leaving(&recipe.wire) else { return self.begin(recipe) };
            let mut state = leaving.state();
            // An error means that its task is over, and with it the process.
            let _gone = state.wait_for(super::process::State::is_over).await.is_ok();
            self.forget(&leaving);
        }
    }

    fn begin(self: &Arc<Self>, recipe: Recipe) -> Result<Lease, PrepareError> {
        let mut held = self.held();
        if held.ending.is_some() {
            return Err(PrepareError::new(Reason::StartFailed, "the host is stopping"));
        }
        let own = recipe.links.iter().map(|link| link.id.clone()).collect();
        let (wire, provider) = (recipe.wire.clone(), recipe.identity.id.clone());
        let signed = recipe.program.signed.clone();
        let (process, side) = Process::new(wire, provider, own, signed, &self.host);
        let (process, key) = (Arc::new(process), process_key(&recipe, &self.host));
        let entry = Entry { process: Arc::clone(&process), users: 1, leaving: false };
        held.entries.insert(recipe.wire.clone(), entry);
        drop(held);
        let (actor, around) = (Actor::new(recipe, key, Arc::clone(self), side), Arc::clone(self));
        let own = Arc::clone(&process);
        self.actors.spawn(async move {
            actor.run().await;
            around.forget(&own);
        });
        Ok(Lease { around: Arc::clone(self), process })
    }

    fn leaving(&self, wire: &WireId) -> Option<Arc<Process>> {
        Some(Arc::clone(&self.held().entries.get(wire)?.process))
    }

    fn forget(&self, process: &Arc<Process>) {
        let mut held = self.held();
        if held.entries.get(&process.wire).is_some_and(|entry| Arc::ptr_eq(&entry.process, process)) {
            held.entries.remove(&process.wire);
        }
    }

    /// Whether a process may end: nobody needs it, or the host ends. From then on nobody gets it any more.
    pub(super) fn pool_lets_go(&self, wire: &WireId) -> bool {
        let mut held = self.held();
        let ending = held.ending.is_some();
        let Some(entry) = held.entries.get_mut(wire) else { return true };
        entry.leaving = entry.users == 0 || ending;
        entry.leaving
    }

    /// Ends all processes by then, and waits until they have.
    pub(crate) async fn stop(&self, until: Instant) {
        {
            let mut held = self.held();
            held.ending = Some(until);
            for entry in held.entries.values() {
                entry.process.wish(Wish::End(until));
            }
        }
        self.actors.close();
        self.actors.wait().await;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_usable(&self) -> bool {
        !self.leaving && !self.process.state().borrow().is_over()
    }
}

fn process_key(recipe: &Recipe, host: &HostId) -> String {
    super::process::key(&recipe.wire, host)
}
