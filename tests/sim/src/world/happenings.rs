//! What happens to a run from outside: users ask, and things break.

use std::sync::Arc;

use lath_control_api::AppName;
use lath_manager_planner::DesiredRecord;

use super::World;
use crate::apps::NAMES;
use crate::check::Writer;
use crate::message::{Event, Message};
use crate::network::Node;
use crate::profile::Fault;
use crate::store::{Apps, Store};
use crate::users::{self, Asked, OfHost, What};

impl World {
    pub(super) fn user(&mut self, number: usize) {
        let Some(request) = self.requests.get(number).cloned() else { return };
        // A copy from a while ago is what a store that goes back in time goes back to.
        if self.rng.chance(500) {
            self.saved = self.store.clone();
        }
        let app = &request.app;
        if self.store.app(app).is_some_and(|held| held.spoilt) {
            self.count("refused", "the record cannot be read");
            return;
        }
        let before = self.store.app(app).map(|held| Arc::clone(&held.record));
        let expected = self.store.app(app).map(|held| held.number);
        let mut basis = before.as_deref().cloned();
        for _ in 0..10 {
            let asked = users::judge(&request, basis.as_ref(), &self.store, &mut self.rng, self.now);
            let Some(Asked { change, action }) = asked else {
                self.note("user", &format!("asks {app}: {}, and is refused", request.what.name()));
                self.count("refused", request.what.name());
                return;
            };
            if let Some(revision) = change.revision {
                let number = revision.revision;
                if !self.store.write_revision(revision) {
                    // A manager died over it: its number is skipped, as the real one does.
                    let skipped = basis.unwrap_or_else(|| DesiredRecord::new(app.clone()));
                    basis = Some(DesiredRecord { last_revision: number, ..skipped });
                    self.count("user", "number skipped");
                    continue;
                }
                if self.rng.chance(self.profile.orphans) {
                    self.count_fault("manager dies between revision and record");
                    self.note("user", &format!("asks {app}: {}, and nobody answers", request.what.name()));
                    return;
                }
            }
            let words = match &request.what {
                What::Deploy(manifest) => manifest.words.clone(),
                _ => action.map(|action| format!("{action:?}")).unwrap_or_default(),
            };
            self.note("user", &format!("asks {app}: {} {words}", request.what.name()));
            self.count("user", action.map_or_else(|| request.what.name(), action_name));
            match request.what {
                What::Delete => drop(self.asked_to_delete.insert(app.clone())),
                What::Deploy(_) => drop(self.asked_to_delete.remove(app)),
                _ => {}
            }
            let Some(record) = change.record else { return };
            self.store.write(expected, Arc::new(record));
            let by = Writer::User { what: request.what.name(), action };
            self.stored("user", app, before.as_ref(), by);
            return;
        }
    }

    pub(super) fn user_of_host(&mut self, what: OfHost) {
        let at = usize::try_from(self.rng.below(3)).unwrap_or(0);
        let zone = if self.rng.chance(500) { "w" } else { "e" };
        let Some(host) = self.hosts.get_mut(at).filter(|host| host.up && host.frozen_until <= self.now)
        else {
            return;
        };
        let changed = match what {
            OfHost::Drain => host.drain(true),
            OfHost::Undrain => host.drain(false),
            OfHost::Label => host.label(Some(("zone", zone))),
        };
        if changed {
            let name = host.summary.name.clone();
            self.touched_hosts = true;
            self.count("user", what.name());
            self.note("user", &format!("asks host {name}: {}", what.name()));
            self.report_host(at);
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        let host = usize::try_from(self.rng.below(3)).unwrap_or(0);
        let manager = usize::try_from(self.rng.below(2)).unwrap_or(0) % self.managers.len().max(1);
        match fault {
            Fault::HostCrash => self.host_dies(host, false),
            Fault::HostWipe => self.host_dies(host, true),
            Fault::HostStop => self.host_stops(host),
            Fault::HostFreeze => self.host_freezes(host),
            Fault::Partition => self.partition(host, manager),
            Fault::Swizzle => self.swizzle(),
            Fault::ManagerCrash => self.manager_dies(manager, fault),
            Fault::ManagerDiesAt(moment) => {
                if let Some(found) = self.managers.get_mut(manager) {
                    found.dies_at = Some(moment);
                }
            }
            Fault::ManagerFreeze => self.manager_freezes(manager),
            Fault::StoreAway => self.store_goes_away(),
            Fault::StoreStale => self.store_answers(self.saved.apps().clone(), fault),
            Fault::StoreEmptyAnswers => self.store_answers(Apps::new(), fault),
            Fault::RecordSpoilt => self.record_is_spoilt(),
            Fault::StoreBack => {
                let saved = self.saved.clone();
                self.store_loses(fault, |store| store.go_back(&saved));
            }
            Fault::StoreLost => self.store_loses(fault, Store::lose_all),
        }
    }

    fn host_freezes(&mut self, at: usize) {
        let long = self.rng.chance(500);
        let pause = if long { self.rng.millis(12_000, 40_000) } else { self.rng.millis(500, 5_000) };
        let Some(host) = self.hosts.get_mut(at).filter(|host| host.up) else { return };
        host.frozen_until = self.now.plus(pause);
        let name = host.summary.name.clone();
        self.count_fault(Fault::HostFreeze.name());
        // It answers nobody until it thaws.
        self.checker.memory.fault(self.now.plus(pause));
        self.note(&name, &format!("freezes for {} ms", pause.as_millis()));
    }

    pub(super) fn manager_dies(&mut self, manager: usize, fault: Fault) {
        let Some(found) = self.managers.get_mut(manager).filter(|manager| manager.up) else { return };
        found.up = false;
        found.dies_at = None;
        self.count_fault(fault.name());
        self.note(&format!("m{manager}"), fault.name());
        let back = self.rng.millis(100, 20_000);
        self.after(back, Event::ManagerStarts(manager));
    }

    fn manager_freezes(&mut self, manager: usize) {
        let pause = self.rng.millis(1_000, 30_000);
        let Some(found) = self.managers.get_mut(manager).filter(|manager| manager.up) else { return };
        found.frozen_until = self.now.plus(pause);
        self.count_fault(Fault::ManagerFreeze.name());
        self.note(&format!("m{manager}"), &format!("freezes for {} ms", pause.as_millis()));
    }

    fn partition(&mut self, host: usize, manager: usize) {
        let to_store = self.rng.chance(300);
        let one = if to_store { Node::Store } else { Node::Host(host) };
        let other = Node::Manager(manager);
        let ways = match self.rng.below(3) {
            0 => vec![(one, other)],
            1 => vec![(other, one)],
            _ => vec![(one, other), (other, one)],
        };
        let pause = self.rng.millis(1_000, 30_000);
        self.count_fault(Fault::Partition.name());
        for (from, to) in ways {
            self.network.cut(from, to);
            self.note("net", &format!("cut {from} -> {to} for {} ms", pause.as_millis()));
            self.after(pause, Event::Heal(from, to));
        }
    }

    /// Some links go one after another, and come back in another order.
    fn swizzle(&mut self) {
        self.count_fault(Fault::Swizzle.name());
        let ends: Vec<Node> = (0..self.hosts.len()).map(Node::Host).chain([Node::Store]).collect();
        for manager in (0..self.managers.len()).map(Node::Manager) {
            for end in &ends {
                for (from, to) in [(*end, manager), (manager, *end)] {
                    if self.rng.chance(400) {
                        let cut = self.rng.millis(0, 8_000);
                        let healed = cut + self.rng.millis(500, 20_000);
                        self.note("net", &format!("cuts {from} -> {to} in {} ms", cut.as_millis()));
                        self.after(cut, Event::Cut(from, to));
                        self.after(healed, Event::Heal(from, to));
                    }
                }
            }
        }
    }

    fn store_goes_away(&mut self) {
        self.store_away = true;
        self.count_fault(Fault::StoreAway.name());
        let pause = self.rng.millis(500, 20_000);
        self.note("store", &format!("is away for {} ms", pause.as_millis()));
        self.after(pause, Event::StoreReturns);
    }

    fn store_answers(&mut self, apps: Apps, fault: Fault) {
        self.store_answers = Some(apps);
        self.count_fault(fault.name());
        let pause = self.rng.millis(500, 40_000);
        self.note("store", &format!("{} for {} ms", fault.name(), pause.as_millis()));
        self.after(pause, Event::StoreAnswersRightly);
    }

    /// Bytes that are no record, or a record of a schema that is not known yet; to the end of the run.
    fn record_is_spoilt(&mut self) {
        let name = if self.rng.chance(500) { NAMES[0] } else { NAMES[1] };
        let Ok(app) = name.parse::<AppName>() else { return };
        let Some(number) = self.store.spoil(&app) else { return };
        self.count_fault(Fault::RecordSpoilt.name());
        self.note("store", &format!("the record of {app} cannot be read any more"));
        self.checker.memory.spoilt.insert(app.clone());
        let held = self.store.app(&app).cloned();
        self.tell_managers(&Message::Changed { era: self.store.era, number, app, held });
    }

    /// Once in a run: what is lost twice over, managers need not remember.
    fn store_loses(&mut self, fault: Fault, how: impl FnOnce(&mut Store) -> crate::store::Memory) {
        if self.checker.memory.store_went_back {
            return;
        }
        let before: Vec<(AppName, Arc<DesiredRecord>)> =
            self.store.apps().iter().map(|(app, held)| (app.clone(), Arc::clone(&held.record))).collect();
        self.memory = how(&mut self.store);
        self.saved = self.store.clone();
        self.count_fault(fault.name());
        self.note("store", fault.name());
        let gone = before.iter().map(|(app, _)| app).filter(|app| self.store.app(app).is_none());
        let (deleted, gone): (Vec<AppName>, Vec<AppName>) =
            gone.cloned().partition(|app| self.asked_to_delete.contains(app));
        self.checker.memory.went_back(&gone, deleted, &self.hosts);
        let spoilt = self.store.apps().iter().filter(|(_, held)| held.spoilt);
        self.checker.memory.spoilt = spoilt.map(|(app, _)| app.clone()).collect();
        let apps: Vec<AppName> = self.store.apps().keys().cloned().collect();
        for app in apps {
            self.see_stored(&app, None, Writer::Time);
        }
        let (era, head) = (self.store.era, self.store.head());
        let apps = Arc::new(self.store.apps().clone());
        self.tell_managers(&Message::LostWrites { era, head, apps });
    }

    /// All faults are over: everybody is there, and every message arrives.
    pub(super) fn quiet(&mut self) {
        self.note("world", "quiet from now on");
        self.profile = self.profile.quiet();
        self.network.heal_all();
        self.store_away = false;
        self.store_answers = None;
        self.last_deed = self.now;
        for at in 0..self.hosts.len() {
            if let Some(found) = self.hosts.get_mut(at) {
                found.frozen_until = found.frozen_until.min(self.now);
            }
            self.host_starts(at);
            let Some(found) = self.hosts.get_mut(at) else { continue };
            let changes = [found.drain(false), found.label(None)];
            if changes.contains(&true) {
                self.report_host(at);
            }
        }
        for manager in 0..self.managers.len() {
            if let Some(found) = self.managers.get_mut(manager) {
                found.frozen_until = found.frozen_until.min(self.now);
                found.dies_at = None;
            }
            self.manager_starts(manager);
        }
    }
}

const fn action_name(action: lath_control_api::app::RolloutAction) -> &'static str {
    use lath_control_api::app::RolloutAction;
    match action {
        RolloutAction::Pause => "pause",
        RolloutAction::Resume => "resume",
        RolloutAction::Promote => "promote",
        RolloutAction::PromoteFull => "promote in full",
        RolloutAction::Abort => "abort",
        RolloutAction::Retry => "retry",
    }
}
