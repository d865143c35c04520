//! The routes that calls are made by: one table at a time, replaced in one store, read without a lock.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lath_control_api::{AppName, ComponentId, Revision};
use lath_host_core::{Choice, Reach, RouteTable, Via};
use lath_wrpc::Client;

use crate::dice::Dice;
use crate::engine::{InFlight, Prepared};

/// Tries to begin a call before it counts as having no target. A unit refuses only after a newer table without
/// it was stored, so one more look suffices unless the tables change faster than calls begin.
const LOOKS: usize = 16;

/// Where calls go now.
#[derive(Debug, Default)]
pub(crate) struct Router {
    table: ArcSwap<RouteTable<Arc<Prepared>>>,
    requests: Dice,
    calls: Dice,
}

impl Router {
    /// Replaces all routes at once. Only the supervisor does this.
    pub(crate) fn publish(&self, table: RouteTable<Arc<Prepared>>) {
        self.table.store(Arc::new(table));
    }

    /// Begins a call of `target` on the unit that suits the caller; `None` when nothing here takes calls of it, or,
    /// where the call may go to other hosts, when only another revision of the caller's app does.
    pub(crate) fn begin(
        &self,
        target: &ComponentId,
        caller: Option<(&AppName, Revision)>,
        reach: Reach,
    ) -> Option<InFlight> {
        for _ in 0..LOOKS {
            let table = self.table.load();
            if let Ok(call) = table.pick(target, caller, reach, self.calls.roll())?.begin() {
                return Some(call);
            }
        }
        None
    }

    /// Begins a call of a component or route in its own revision. `None`: it is to be made over `lattice`. Without a
    /// connection to that another revision here is better than no answer; only then is the connection looked at.
    pub(crate) fn begin_own(
        &self,
        target: &ComponentId,
        caller: (&AppName, Revision),
        lattice: &Client,
    ) -> Option<InFlight> {
        let own = self.begin(target, Some(caller), Reach::Lattice);
        if own.is_some() || lattice.is_connected() {
            return own;
        }
        self.begin(target, Some(caller), Reach::Host)
    }

    /// The route of a request that arrived on `address`: of the revision that it asks for, if it asks for one, else
    /// of one by weight.
    pub(crate) fn find(
        &self,
        address: SocketAddr,
        host: Option<&str>,
        path: &str,
        revision: Option<Revision>,
    ) -> Option<Arc<Via>> {
        let choice = revision.map_or_else(|| Choice::Dice(self.requests.roll()), Choice::Revision);
        self.table.load().find(address, host, path, choice).cloned()
    }
}
