//! The routes that calls are made by: one table at a time, replaced in one store, read without a lock.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lath_control_api::{AppName, ComponentId, HttpRoute, Revision};
use lath_host_core::RouteTable;

use crate::engine::{InFlight, Prepared};
use crate::random;

/// Tries to begin a call before it counts as having no target. A unit refuses only after a newer table without
/// it was stored, so one more look suffices unless the tables change faster than calls begin.
const LOOKS: usize = 16;

/// Where calls go now.
#[derive(Debug, Default)]
pub(crate) struct Router {
    table: ArcSwap<RouteTable<Arc<Prepared>>>,
}

impl Router {
    /// Replaces all routes at once. Only the supervisor does this.
    pub(crate) fn publish(&self, table: RouteTable<Arc<Prepared>>) {
        self.table.store(Arc::new(table));
    }

    /// Begins a call of `target` on the unit that suits the caller; `None` when nothing here takes calls of it.
    pub(crate) fn begin(
        &self,
        target: &ComponentId,
        caller: Option<(&AppName, Revision)>,
    ) -> Option<InFlight> {
        for _ in 0..LOOKS {
            let table = self.table.load();
            if let Ok(call) = table.pick(target, caller, random::dice())?.begin() {
                return Some(call);
            }
        }
        None
    }

    /// The route of a request that arrived on `address`, and the HTTP server that has it.
    pub(crate) fn find(
        &self,
        address: SocketAddr,
        host: Option<&str>,
        path: &str,
    ) -> Option<(ComponentId, Arc<HttpRoute>)> {
        let table = self.table.load();
        let via = table.find(address, host, path)?;
        Some((via.source.clone(), Arc::clone(&via.route)))
    }
}
