//! What hosts have said, folded into one state. Always stale: silence is not absence until it has lasted.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{
    AppInventory, AppName, HostAlive, HostCalls, HostId, HostInventory, HostState, HostSummary, Timestamp,
    UnitInventory,
};

/// Longest that a message is on its way: three heartbeats.
const MAX_DELAY: Duration = Duration::from_secs(15);

/// Silence after which a host may have been taken for lost, so that its return is news: more than one heartbeat.
pub(crate) const MISSED_AFTER: Duration = Duration::from_secs(7);

/// Everything heard from the hosts of a lattice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedState {
    /// Each behind a pointer: readers hold copies of the whole state, and mostly one host has changed since.
    hosts: BTreeMap<HostId, Arc<ObservedHost>>,
    /// Hosts that say that they live, of whose run nothing else was heard yet, and when they last said so.
    strangers: BTreeMap<HostId, Timestamp>,
    /// Since when we have been able to hear: silence before this point says nothing.
    listening_since: Timestamp,
}

/// One host as last heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedHost {
    /// What it said of itself.
    pub summary: HostSummary,
    /// What it runs; none before its first inventory of this boot.
    pub inventory: Option<HostInventory>,
    /// When it was last heard, by our clock.
    pub heard: Timestamp,
}

impl ObservedHost {
    /// Whether it takes work while it is there. One that is drained does not: what it has moves away, and what finds no
    /// other place stays.
    #[must_use]
    pub fn takes_work(&self) -> bool {
        self.summary.state == HostState::Ready
    }

    /// Its entry for an app.
    #[must_use]
    pub fn app(&self, app: &AppName) -> Option<&AppInventory> {
        self.inventory.as_ref()?.apps.iter().find(|entry| entry.app == *app)
    }

    /// Whether the inventory at hand is the newest that the host has announced.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.inventory.as_ref().is_some_and(|inventory| inventory.summary.sequence >= self.summary.sequence)
    }

    /// Replaces the counts of units that are the same in `fresh`. Counts that were read before those at hand are
    /// ignored, so they only grow. Gives the apps of which any has changed.
    fn take_calls(&mut self, fresh: &[AppInventory]) -> BTreeSet<AppName> {
        let fresh: BTreeMap<&AppName, &AppInventory> =
            fresh.iter().map(|entry| (&entry.app, entry)).collect();
        let held = self.inventory.iter_mut().flat_map(|inventory| &mut inventory.apps);
        let changed = held.filter_map(|held| {
            let fresh = fresh.get(&held.app)?;
            take_calls_of_app(held, fresh).then(|| held.app.clone())
        });
        changed.collect()
    }
}

/// Whether an observation was news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It was older than what is known, or said the same.
    None,
    /// The host lives; nothing that is known of it has changed.
    Alive,
    /// What the host runs has changed: concerns the apps on it.
    Inventory,
    /// The host is new, gone, back, restarted, or has other labels or another state: concerns every app.
    Host,
}

impl ObservedState {
    /// Nothing heard yet, listening since `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { hosts: BTreeMap::new(), strangers: BTreeMap::new(), listening_since: now }
    }

    /// We can hear again since `now`: no host is blamed for the silence before.
    pub fn listening_again(&mut self, now: Timestamp) {
        self.listening_since = now;
    }

    /// A host has said that it lives.
    pub fn heard(&mut self, summary: HostSummary, now: Timestamp) -> News {
        self.strangers.remove(&summary.host);
        match self.hosts.get_mut(&summary.host) {
            None => {
                let host = summary.host.clone();
                self.hosts.insert(host, Arc::new(ObservedHost { summary, inventory: None, heard: now }));
                News::Host
            }
            Some(known) => {
                let silence = now.since(known.heard.max(self.listening_since));
                if is_older(&summary, &known.summary, silence) {
                    return News::None;
                }
                let known = Arc::make_mut(known);
                known.heard = now;
                let was_missed = silence > MISSED_AFTER;
                if known.summary.boot != summary.boot {
                    // A new process: what the old one ran is no longer known, the host's journal will tell.
                    known.inventory = None;
                }
                let same =
                    HostSummary { sequence: summary.sequence, epoch: summary.epoch, ..known.summary.clone() };
                let changed = same != summary || was_missed;
                known.summary = summary;
                if changed { News::Host } else { News::Alive }
            }
        }
    }

    /// A host has said that it lives, and no more. `None`: this run of it was not heard before, so that says nothing.
    pub fn alive(&mut self, host: &HostId, alive: &HostAlive, now: Timestamp) -> Option<News> {
        let since = self.listening_since;
        let known = self.hosts.get_mut(host).filter(|known| known.summary.boot == alive.boot);
        let Some(known) = known else {
            self.strangers.insert(host.clone(), now);
            return None;
        };
        if alive.sequence < known.summary.sequence {
            return Some(News::None);
        }
        let silence = now.since(known.heard.max(since));
        let known = Arc::make_mut(known);
        known.heard = now;
        // What has changed is not known before its inventory; that there is something, is.
        known.summary.sequence = alive.sequence;
        known.summary.epoch = known.summary.epoch.max(alive.epoch);
        Some(if silence > MISSED_AFTER { News::Host } else { News::Alive })
    }

    /// A host has said what it runs.
    pub fn inventory(&mut self, inventory: HostInventory, now: Timestamp) -> News {
        let news = self.heard(inventory.summary.clone(), now);
        let Some(known) = self.hosts.get_mut(&inventory.summary.host) else { return News::None };
        if news == News::None {
            return News::None;
        }
        let fresher = match &known.inventory {
            Some(held) if is_of(held, &inventory.summary.boot, inventory.summary.sequence) => {
                // The same units; their calls have gone on.
                !Arc::make_mut(known).take_calls(&inventory.apps).is_empty()
            }
            Some(held)
                if held.summary.boot == inventory.summary.boot
                    && held.summary.sequence > inventory.summary.sequence =>
            {
                false
            }
            Some(_) | None => {
                Arc::make_mut(known).inventory = Some(inventory);
                true
            }
        };
        if fresher && news != News::Host { News::Inventory } else { news }
    }

    /// A host has said how calls go on it. Gives the apps of which more is known than before.
    ///
    /// Counts belong to the units of one inventory: those of another boot or sequence than the one at hand are
    /// ignored, as another inventory is on its way. They say nothing of whether the host lives.
    pub fn calls(&mut self, calls: &HostCalls) -> BTreeSet<AppName> {
        let known = self.hosts.get_mut(&calls.host);
        let known = known.filter(|known| {
            known.inventory.as_ref().is_some_and(|held| is_of(held, &calls.boot, calls.sequence))
        });
        known.map(|known| Arc::make_mut(known).take_calls(&calls.apps)).unwrap_or_default()
    }

    /// A host has said that this run of it ends.
    pub fn stopped(&mut self, host: &HostId, boot: &str) -> News {
        self.strangers.remove(host);
        match self.hosts.get(host) {
            Some(known) if known.summary.boot == boot => {
                self.hosts.remove(host);
                News::Host
            }
            Some(_) | None => News::None,
        }
    }

    /// Forgets hosts that have been silent for longer than `silence`; returns them.
    pub fn forget_silent(&mut self, now: Timestamp, silence: Duration) -> Vec<HostId> {
        let gone: Vec<HostId> = self
            .hosts
            .iter()
            .filter(|(_, host)| self.silence(host, now) > silence)
            .map(|(id, _)| id.clone())
            .collect();
        for host in &gone {
            self.hosts.remove(host);
        }
        self.strangers.retain(|_, heard| now.since(*heard) <= silence);
        gone
    }

    /// Every host that is known, in order of ids.
    pub fn hosts(&self) -> impl Iterator<Item = (&HostId, &ObservedHost)> {
        self.hosts.iter().map(|(id, host)| (id, &**host))
    }

    /// One host.
    #[must_use]
    pub fn host(&self, host: &HostId) -> Option<&ObservedHost> {
        self.hosts.get(host).map(|host| &**host)
    }

    /// A host's name for people; its id when it is not known.
    #[must_use]
    pub fn name_of(&self, host: &HostId) -> String {
        self.hosts.get(host).map_or_else(|| host.to_string(), |known| known.summary.name.clone())
    }

    /// How long a host has been silent while we listened.
    #[must_use]
    pub fn silence(&self, host: &ObservedHost, now: Timestamp) -> Duration {
        now.since(host.heard.max(self.listening_since))
    }

    /// Whether a host is there: heard lately enough.
    #[must_use]
    pub fn is_alive(&self, host: &HostId, now: Timestamp, lost_after: Duration) -> bool {
        self.hosts.get(host).is_some_and(|known| self.silence(known, now) <= lost_after)
    }

    /// Whether enough time has passed since we began to listen to miss a host that never spoke.
    #[must_use]
    pub fn has_listened(&self, now: Timestamp, lost_after: Duration) -> bool {
        now.since(self.listening_since) > lost_after
    }

    /// Whether a host lives of which nothing else is known yet: it is not lost, and what it runs is about to be heard.
    #[must_use]
    pub fn is_stranger(&self, host: &HostId, now: Timestamp, lost_after: Duration) -> bool {
        self.strangers.get(host).is_some_and(|heard| now.since(*heard) <= lost_after)
    }

    /// Since when we listen.
    #[must_use]
    pub const fn listening_since(&self) -> Timestamp {
        self.listening_since
    }

    /// Whether a host is there and takes work.
    #[must_use]
    pub fn takes_work(&self, host: &HostId, now: Timestamp, lost_after: Duration) -> bool {
        self.is_alive(host, now, lost_after) && self.hosts.get(host).is_some_and(|known| known.takes_work())
    }
}

/// Whether an inventory is the one of that run and number.
fn is_of(inventory: &HostInventory, boot: &str, sequence: u64) -> bool {
    inventory.summary.boot == boot && inventory.summary.sequence == sequence
}

/// True when any count has changed.
fn take_calls_of_app(held: &mut AppInventory, fresh: &AppInventory) -> bool {
    let mut changed = false;
    for component in &mut held.components {
        let same = fresh.components.iter().filter(|fresh| fresh.id == component.id);
        let fresh: Vec<&UnitInventory> = same.flat_map(|fresh| &fresh.units).collect();
        for unit in &mut component.units {
            let is_it = |fresh: &&&UnitInventory| {
                fresh.role == unit.role && fresh.revision == unit.revision && fresh.content == unit.content
            };
            let Some(fresh) = fresh.iter().find(is_it) else { continue };
            if fresh.calls != unit.calls && fresh.calls.follows(&unit.calls) {
                unit.calls = fresh.calls.clone();
                changed = true;
            }
        }
    }
    changed
}

/// News of an earlier boot, or of an earlier moment of the same boot. Boots are ULIDs, so they sort by the host's
/// clock, and that may have been set back in between: a boot that sorts earlier is a delayed message only as long as
/// the later one is heard.
fn is_older(new: &HostSummary, known: &HostSummary, silence: Duration) -> bool {
    match new.boot.cmp(&known.boot) {
        Ordering::Greater => false,
        Ordering::Equal => new.sequence < known.sequence,
        Ordering::Less => silence <= MAX_DELAY,
    }
}

#[cfg(test)]
mod tests;
