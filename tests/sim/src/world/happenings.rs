//! What happens to a run from outside: users ask, and things break.

use std::sync::Arc;

use lath_control_api::{AppName, HostId};

use super::World;
use crate::message::{Event, Message};
use crate::network::Node;
use crate::profile::Fault;
use crate::users;

impl World {
    pub(super) fn user(&mut self, number: usize) {
        let Some(request) = self.requests.get(number).cloned() else { return };
        // A copy from a while ago is what a store that goes back in time goes back to.
        if self.rng.chance(500) {
            self.saved = self.store.clone();
        }
        self.note("user", &request.describe());
        let Some(change) = users::change(&request, &self.store, self.now) else { return };
        if self.store.change(&request.app, change) {
            self.stored("user", &request.app);
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        let host = self.rng.pick(&self.host_ids).cloned();
        let manager = usize::try_from(self.rng.below(2)).unwrap_or(0) % self.managers.len().max(1);
        match (fault, host) {
            (Fault::HostCrash, Some(host)) => self.host_dies(&host, false),
            (Fault::HostWipe, Some(host)) => self.host_dies(&host, true),
            (Fault::HostStop, Some(host)) => self.host_stops(&host),
            (Fault::HostFreeze, Some(host)) => self.host_freezes(&host),
            (Fault::Partition, Some(host)) => self.partition(host, manager),
            (Fault::ManagerCrash, _) => self.manager_dies(manager),
            (Fault::ManagerFreeze, _) => self.manager_freezes(manager),
            (Fault::StoreAway, _) => self.store_goes_away(),
            (Fault::StoreBack, _) => self.store_goes_back(),
            (
                Fault::HostCrash | Fault::HostWipe | Fault::HostStop | Fault::HostFreeze | Fault::Partition,
                None,
            ) => {}
        }
    }

    pub(super) fn host_freezes(&mut self, id: &HostId) {
        let long = self.rng.chance(500);
        let pause = if long { self.rng.millis(12_000, 60_000) } else { self.rng.millis(500, 5_000) };
        let Some(host) = self.hosts.get_mut(id).filter(|host| host.up) else { return };
        host.frozen_until = self.now.plus(pause);
        let name = host.summary.name.clone();
        self.counts.faults += 1;
        // It answers nobody until it thaws.
        self.checker.fault(self.now.plus(pause));
        self.note(&name, &format!("freezes for {} ms", pause.as_millis()));
    }

    pub(super) fn manager_dies(&mut self, manager: usize) {
        let Some(found) = self.managers.get_mut(manager).filter(|manager| manager.up) else { return };
        found.up = false;
        self.counts.faults += 1;
        self.note(&format!("m{manager}"), "dies");
        let back = self.rng.millis(100, 20_000);
        self.after(back, Event::ManagerStarts(manager));
    }

    pub(super) fn manager_freezes(&mut self, manager: usize) {
        let pause = self.rng.millis(1_000, 40_000);
        let Some(found) = self.managers.get_mut(manager).filter(|manager| manager.up) else { return };
        found.frozen_until = self.now.plus(pause);
        self.counts.faults += 1;
        self.note(&format!("m{manager}"), &format!("freezes for {} ms", pause.as_millis()));
    }

    pub(super) fn partition(&mut self, host: HostId, manager: usize) {
        let (host, manager) = (Node::Host(host), Node::Manager(manager));
        let ways = match self.rng.below(3) {
            0 => vec![(host, manager)],
            1 => vec![(manager, host)],
            _ => vec![(host.clone(), manager.clone()), (manager, host)],
        };
        let pause = self.rng.millis(1_000, 40_000);
        self.counts.faults += 1;
        for (from, to) in ways {
            self.network.cut(&from, &to);
            self.note("net", &format!("cut {from:?} -> {to:?} for {} ms", pause.as_millis()));
            self.after(pause, Event::Heal(from, to));
        }
    }

    pub(super) fn store_goes_away(&mut self) {
        self.store_away = true;
        self.counts.faults += 1;
        let pause = self.rng.millis(500, 20_000);
        self.note("store", &format!("is away for {} ms", pause.as_millis()));
        self.after(pause, Event::StoreReturns);
    }

    pub(super) fn store_goes_back(&mut self) {
        let saved = self.saved.clone();
        self.store.go_back(&saved);
        self.counts.faults += 1;
        self.checker.went_back();
        self.note("store", "goes back in time");
        let apps: Vec<AppName> = self.store.apps().keys().cloned().collect();
        for app in apps {
            let held = self.store.app(&app).map(|held| Arc::clone(&held.record));
            self.checker.stored(&app, held.as_deref(), self.store.specs(&app), self.now);
        }
        self.tell_managers(&Message::LostWrites { era: self.store.era, apps: self.store.apps().clone() });
    }

    /// All faults are over: everybody is there, and every message arrives.
    pub(super) fn quiet(&mut self) {
        self.note("world", "quiet from now on");
        self.profile = self.profile.quiet();
        self.network.heal_all();
        self.store_away = false;
        self.last_deed = self.now;
        for host in self.host_ids.clone() {
            if let Some(found) = self.hosts.get_mut(&host) {
                found.frozen_until = found.frozen_until.min(self.now);
            }
            self.host_starts(&host);
        }
        for manager in 0..self.managers.len() {
            if let Some(found) = self.managers.get_mut(manager) {
                found.frozen_until = found.frozen_until.min(self.now);
            }
            self.manager_starts(manager);
        }
    }
}
