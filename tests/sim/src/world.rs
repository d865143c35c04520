//! A run: virtual time, everything that is due, and who does it. The only place where time passes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{AppName, HostId, HostState, Revision, Timestamp};
use lath_manager_planner::example;
use lath_manager_planner::record::{DesiredRecord, Stage};

use crate::apps::{self, Behaviour};
use crate::check::Checker;
use crate::host::{Edge, Host, Outcome};
use crate::manager::{Manager, Out, View};
use crate::message::{Answer, Ask, Event, ManagerRun, Message, RequestId};
use crate::network::{Network, Node};
use crate::profile::{Fault, Profile};
use crate::rng::Rng;
use crate::store::{Store, Written};
use crate::trace::Trace;
use crate::users::{self, Request};
use crate::{Counts, Options, Report, rest};

/// Hosts of every run.
const FLEET: &str = "a,zone=w b,zone=e c,zone=w";
/// How often hosts look at what is due, and say that they live.
const HOST_TICK: Duration = Duration::from_millis(500);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a host that goes in order waits for its share to move.
const HANDOVER: Duration = Duration::from_secs(20);
/// Events after which a run is taken to be without end.
const MOST_EVENTS: u64 = 400_000;

/// Everything of a run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) hosts: BTreeMap<HostId, Host>,
    pub(crate) managers: Vec<Manager>,
    pub(crate) store: Store,
    pub(crate) behaviours: BTreeMap<String, Behaviour>,
    pub(crate) requests: Vec<Request>,
    pub(crate) checker: Checker,
    pub(crate) calm: bool,
    /// When a record was last written or a command last sent.
    pub(crate) last_deed: Timestamp,
    seed: u64,
    profile_name: &'static str,
    profile: Profile,
    host_ids: Vec<HostId>,
    network: Network,
    store_away: bool,
    saved: Store,
    rng: Rng,
    queue: BTreeMap<(Timestamp, u64), Event>,
    queued: u64,
    trace: Trace,
    counts: Counts,
}

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut rng = Rng::new(seed);
        let profile = Profile::choose(&mut rng);
        let behaviours = apps::behaviours(&mut rng);
        let active = rng.millis(40_000, 120_000);
        let requests = users::requests(&mut rng, active);
        let hosts: BTreeMap<HostId, Host> = example::fleet(FLEET)
            .into_iter()
            .map(|summary| (summary.host.clone(), Host::new(summary)))
            .collect();
        let mut world = Self {
            now: Timestamp(1_000_000_000),
            host_ids: hosts.keys().cloned().collect(),
            hosts,
            managers: (0..profile.managers).map(Manager::new).collect(),
            store: Store::default(),
            behaviours,
            requests,
            checker: Checker::default(),
            calm: profile.is_calm(),
            last_deed: Timestamp(0),
            seed,
            profile_name: profile.name,
            profile,
            network: Network::default(),
            store_away: false,
            saved: Store::default(),
            rng,
            queue: BTreeMap::new(),
            queued: 0,
            trace: Trace::new(options.all_lines),
            counts: Counts::default(),
        };
        world.prepare(active);
        #[cfg(feature = "sabotage")]
        world.sabotage(options.sabotage);
        world
    }

    #[cfg(feature = "sabotage")]
    fn sabotage(&mut self, sabotage: Option<crate::Sabotage>) {
        self.store.ignores_numbers = sabotage == Some(crate::Sabotage::WritesBlindly);
        self.hosts.values_mut().for_each(|host| host.sabotage = sabotage);
        self.managers.iter_mut().for_each(|manager| manager.sabotage = sabotage);
    }

    /// Puts everything that is to happen by itself into the queue.
    fn prepare(&mut self, active: Duration) {
        for host in self.host_ids.clone() {
            self.after(Duration::ZERO, Event::HostTick(host, 1));
        }
        for manager in 0..self.managers.len() {
            let at = self.rng.millis(0, 400);
            self.after(at, Event::ManagerStarts(manager));
        }
        for (number, at) in
            self.requests.iter().map(|request| request.at).collect::<Vec<_>>().iter().enumerate()
        {
            self.after(*at, Event::User(number));
        }
        let last = u64::try_from(active.as_millis()).unwrap_or(u64::MAX);
        for _ in 0..self.profile.fault_count {
            let Some(fault) = self.rng.pick(&self.profile.faults).copied() else { break };
            let at = self.rng.millis(2_000, last);
            self.after(at, Event::Fault(fault));
        }
        self.after(active, Event::Quiet);
    }

    /// Lets everything happen until the lattice is at rest, or something is broken.
    pub(crate) fn run(mut self) -> Report {
        let mut quiet_since = None;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            self.counts.events += 1;
            if matches!(event, Event::Quiet) {
                quiet_since = Some(at);
            }
            self.happen(event);
            if self.counts.events > MOST_EVENTS {
                self.checker.breaks("M7: more events than any run needs");
            }
            if !self.checker.broken.is_empty() || quiet_since.is_some_and(|since| rest::is_over(&self, since))
            {
                break;
            }
        }
        if self.checker.broken.is_empty() {
            let found = rest::broken(&self);
            self.checker.broken.extend(found);
        }
        self.report()
    }

    fn report(self) -> Report {
        Report {
            seed: self.seed,
            hash: self.trace.hash(),
            profile: self.profile_name,
            broken: self.checker.broken.into_iter().next(),
            counts: self.counts,
            lines: self.trace.into_lines(),
        }
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now.plus(delay), self.queued), event);
    }

    fn note(&mut self, who: &str, what: &str) {
        let millis = self.now.0 - 1_000_000_000;
        self.trace.line(format!("{millis:>7} {who} {what}"));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => self.deliver(from, to, message),
            Event::Word(host, word) => self.on_host(&host, |host, edge| host.hear(&word, edge)),
            Event::HostTick(host, boot) => self.host_tick(&host, boot),
            Event::ManagerTick(at) => self.on_manager(at, Event::ManagerTick(at), Manager::tick),
            Event::GiveUp(at, id) => self.give_up(at, id),
            Event::User(number) => self.user(number),
            Event::Fault(fault) => self.fault(fault),
            Event::HostStarts(host) => self.host_starts(&host),
            Event::HostEnds(host, boot) => self.host_ends(&host, boot),
            Event::ManagerStarts(manager) => self.manager_starts(manager),
            Event::Heal(from, to) => self.network.heal(&from, &to),
            Event::StoreReturns => self.store_away = false,
            Event::Quiet => self.quiet(),
        }
    }

    // --- messages ---

    fn send(&mut self, from: &Node, to: &Node, message: &Message) {
        let away = self.store_away && (*from == Node::Store || *to == Node::Store);
        let arrivals = self.network.deliveries(from, to, &self.profile, &mut self.rng);
        for delay in arrivals.into_iter().filter(|_| !away) {
            let (from, to, message) = (from.clone(), to.clone(), message.clone());
            self.after(delay, Event::Deliver { from, to, message });
        }
    }

    fn deliver(&mut self, from: Node, to: Node, message: Message) {
        match to.clone() {
            Node::Host(id) => {
                if let Some(thaw) = self.thaws(&to) {
                    self.after(thaw, Event::Deliver { from, to, message });
                    return;
                }
                self.host_hears(&id, message);
            }
            Node::Manager(manager) => {
                let Some(at) = self.managers.get(manager).map(|manager| manager.at) else { return };
                let again = Event::Deliver { from, to, message: message.clone() };
                self.on_manager(at, again, |manager, view, out| manager.hear(message, view, out));
            }
            Node::Store => self.store_hears(message),
        }
    }

    /// How long a process still stands still, if it does.
    fn thaws(&self, node: &Node) -> Option<Duration> {
        let until = match node {
            Node::Host(id) => self.hosts.get(id)?.frozen_until,
            Node::Manager(manager) => self.managers.get(*manager)?.frozen_until,
            Node::Store => return None,
        };
        (until > self.now).then(|| until.since(self.now))
    }

    // --- hosts ---

    fn on_host(&mut self, id: &HostId, step: impl FnOnce(&mut Host, &mut Edge<'_>) -> Outcome) {
        let dies = self.rng.chance(self.profile.dies_applying).then(|| self.rng.below(4));
        self.on_host_dying(id, dies, step);
    }

    fn on_host_dying(
        &mut self,
        id: &HostId,
        dies: Option<u64>,
        step: impl FnOnce(&mut Host, &mut Edge<'_>) -> Outcome,
    ) {
        let Some(host) = self.hosts.get_mut(id).filter(|host| host.up) else { return };
        let before = host.serving.clone();
        let mut edge = Edge {
            now: self.now,
            behaviours: &self.behaviours,
            flaky_fetch: self.profile.flaky_fetch,
            dies_after: dies.and_then(|after| usize::try_from(after).ok()),
            rng: &mut self.rng,
        };
        let outcome = step(host, &mut edge);
        let after = host.serving.clone();
        let name = host.summary.name.clone();
        if outcome.died {
            self.counts.faults += 1;
            self.checker.fault(self.now);
            self.note(&name, "dies in the middle");
            let back = self.rng.millis(500, 20_000);
            self.after(back, Event::HostStarts(id.clone()));
        }
        for lost in before.difference(&after) {
            if !self.hosts.values().any(|host| host.up && host.serving.contains(lost)) {
                self.checker.lost(lost, &name, self.now);
            }
        }
        if before != after {
            let served: Vec<&str> = after.iter().map(|id| id.as_str()).collect();
            self.note(&name, &format!("serves {}", served.join(" ")));
        }
        self.settle(id, outcome);
    }

    /// Takes what came of a host's step into the queue.
    fn settle(&mut self, id: &HostId, outcome: Outcome) {
        self.checker.broken.extend(outcome.broken);
        for (delay, word) in outcome.words {
            self.after(delay, Event::Word(id.clone(), word));
        }
        if outcome.report && !outcome.died {
            let Some(host) = self.hosts.get(id) else { return };
            let inventory = Arc::new(host.inventory());
            self.publish(id, &Message::Inventory { inventory });
        }
    }

    fn publish(&mut self, id: &HostId, message: &Message) {
        for manager in 0..self.managers.len() {
            self.send(&Node::Host(id.clone()), &Node::Manager(manager), message);
        }
    }

    fn host_tick(&mut self, id: &HostId, boot: u64) {
        let pause = self.thaws(&Node::Host(id.clone())).unwrap_or(HOST_TICK);
        if self.hosts.get(id).is_none_or(|host| host.boot != boot || !host.up) {
            return;
        }
        self.after(pause, Event::HostTick(id.clone(), boot));
        if pause != HOST_TICK {
            return;
        }
        self.on_host(id, |host, edge| host.tick(edge));
        let Some(host) = self.hosts.get_mut(id).filter(|host| host.up) else { return };
        if self.now.since(host.last_beat) >= HEARTBEAT {
            host.last_beat = self.now;
            let summary = Box::new(host.beat());
            self.publish(id, &Message::Beat { summary });
        }
    }

    fn host_hears(&mut self, id: &HostId, message: Message) {
        let Some(host) = self.hosts.get(id).filter(|host| host.up) else { return };
        let (name, from) = (host.summary.name.clone(), Node::Host(id.clone()));
        match message {
            Message::Apply { from: manager, id: request_id, request } => {
                let fence = request.fence;
                let mut answer = None;
                let dies = self.rng.chance(self.profile.dies_applying).then(|| self.rng.below(4));
                self.on_host_dying(id, dies, |host, edge| {
                    let (said, outcome) = host.apply(&request, edge);
                    answer = said;
                    outcome
                });
                let Some(answer) = answer else { return };
                let said = match &answer {
                    Ok(reply) if reply.unchanged => "knows",
                    Ok(_) => "takes",
                    Err(_) => "refuses",
                };
                self.counts.refusals += u64::from(answer.is_err());
                self.note(&name, &format!("{said} {} {fence}", request.app));
                let message = Message::Applied { to: manager, id: request_id, answer: Box::new(answer) };
                self.send(&from, &Node::Manager(manager.manager), &message);
            }
            Message::AskInventory { from: manager } => {
                let inventory = Arc::new(host.inventory());
                self.send(&from, &Node::Manager(manager.manager), &Message::Inventory { inventory });
            }
            Message::Applied { .. }
            | Message::Beat { .. }
            | Message::Inventory { .. }
            | Message::Stopped { .. }
            | Message::Ask { .. }
            | Message::Answer { .. }
            | Message::Changed { .. }
            | Message::LostWrites { .. } => {}
        }
    }

    fn host_starts(&mut self, id: &HostId) {
        let Some(host) = self.hosts.get_mut(id).filter(|host| !host.up) else { return };
        let name = host.summary.name.clone();
        host.summary.state = HostState::Ready;
        host.frozen_until = self.now;
        // A new process is up before its first step, which is to restore what it was.
        host.up = true;
        self.note(&name, "starts");
        self.on_host_dying(id, None, |host, edge| host.start(edge));
        let boot = self.hosts.get(id).map_or(0, |host| host.boot);
        self.after(Duration::ZERO, Event::HostTick(id.clone(), boot));
    }

    fn host_dies(&mut self, id: &HostId, wiped: bool) {
        let Some(host) = self.hosts.get_mut(id).filter(|host| host.up) else { return };
        let name = host.summary.name.clone();
        host.die();
        if wiped {
            host.wipe();
        }
        self.counts.faults += 1;
        self.checker.fault(self.now);
        self.note(&name, if wiped { "dies, its disk is lost" } else { "dies" });
        let back = self.rng.millis(200, 40_000);
        self.after(back, Event::HostStarts(id.clone()));
    }

    fn host_stops(&mut self, id: &HostId) {
        let ready = |host: &&mut Host| host.up && host.summary.state == HostState::Ready;
        let Some(host) = self.hosts.get_mut(id).filter(ready) else { return };
        host.summary.state = HostState::Stopping;
        let (name, boot, summary) = (host.summary.name.clone(), host.boot, Box::new(host.beat()));
        self.counts.faults += 1;
        self.note(&name, "is stopping");
        self.publish(id, &Message::Beat { summary });
        self.after(HANDOVER, Event::HostEnds(id.clone(), boot));
    }

    fn host_ends(&mut self, id: &HostId, boot: u64) {
        let Some(host) = self.hosts.get_mut(id).filter(|host| host.up && host.boot == boot) else { return };
        let (name, run) = (host.summary.name.clone(), host.summary.boot.clone());
        host.die();
        // Whatever had not moved by now is gone; the wait for it is bounded.
        self.checker.fault(self.now);
        self.note(&name, "has stopped");
        self.publish(id, &Message::Stopped { host: id.clone(), boot: run });
        let back = self.rng.millis(1_000, 30_000);
        self.after(back, Event::HostStarts(id.clone()));
    }

    // --- managers ---

    fn on_manager(
        &mut self,
        at: ManagerRun,
        again: Event,
        step: impl FnOnce(&mut Manager, View<'_>, &mut Out),
    ) {
        if let Some(thaw) = self.thaws(&Node::Manager(at.manager)) {
            self.after(thaw, again);
            return;
        }
        let Some(manager) =
            self.managers.get_mut(at.manager).filter(|manager| manager.at == at && manager.up)
        else {
            return;
        };
        let mut out = Out::default();
        step(manager, View { now: self.now, store: &self.store, hosts: &self.host_ids }, &mut out);
        self.carry_out(at, out);
    }

    fn carry_out(&mut self, at: ManagerRun, out: Out) {
        let from = Node::Manager(at.manager);
        let who = format!("m{}", at.manager);
        out.lines.iter().for_each(|line| self.note(&who, line));
        self.checker.broken.extend(out.broken);
        if let Some(epoch) = out.begins {
            self.checker.began(at, epoch);
        }
        for (delay, event) in out.later {
            self.after(delay, event);
        }
        for (to, message) in out.sends {
            if let (Node::Host(host), Message::Apply { request, .. }) = (&to, &message) {
                self.counts.commands += 1;
                self.last_deed = self.now;
                self.checker.sent(host, request);
                let name = self.hosts.get(host).map_or("?", |host| host.summary.name.as_str()).to_owned();
                self.note(&who, &format!("tells {name} {} {}", request.app, request.fence));
            }
            self.send(&from, &to, &message);
        }
    }

    fn give_up(&mut self, at: ManagerRun, id: RequestId) {
        self.on_manager(at, Event::GiveUp(at, id), |manager, view, out| manager.give_up(id, view, out));
    }

    fn manager_starts(&mut self, manager: usize) {
        let Some(found) = self.managers.get_mut(manager).filter(|manager| !manager.up) else { return };
        found.frozen_until = self.now;
        let mut out = Out::default();
        found.start(View { now: self.now, store: &self.store, hosts: &self.host_ids }, &mut out);
        let at = found.at;
        self.note(&format!("m{manager}"), "starts");
        self.carry_out(at, out);
    }

    // --- the store ---

    fn store_hears(&mut self, message: Message) {
        let Message::Ask { from, id, ask } = message else { return };
        let answer = match ask {
            Ask::Lease => Answer::Lease(self.store.lease()),
            Ask::TakeLease { expected, lease } => Answer::Written(self.store.write_lease(expected, lease)),
            Ask::Apps => Answer::Apps { era: self.store.era, apps: self.store.apps().clone() },
            Ask::App(app) => Answer::App(self.store.app(&app).cloned()),
            Ask::Write { expected, record } => {
                let app = record.app.clone();
                let written = self.store.write(expected, record);
                if written != Written::Conflict {
                    self.counts.commits += 1;
                    self.stored(&format!("m{}", from.manager), &app);
                }
                Answer::Written(written)
            }
            Ask::Delete { app, expected } => {
                let written = self.store.delete(&app, expected);
                if let Written::Done(number) = written {
                    self.checker.stored(&app, None, None, self.now);
                    self.note("store", &format!("{app} is deleted"));
                    self.tell_managers(&Message::Changed { era: self.store.era, number, app, record: None });
                }
                Answer::Written(written)
            }
        };
        self.send(&Node::Store, &Node::Manager(from.manager), &Message::Answer { to: from, id, answer });
    }

    fn tell_managers(&mut self, message: &Message) {
        for manager in 0..self.managers.len() {
            self.send(&Node::Store, &Node::Manager(manager), message);
        }
    }

    /// A record was written: everybody who watches is told.
    fn stored(&mut self, by: &str, app: &AppName) {
        self.last_deed = self.now;
        let Some(held) = self.store.app(app).cloned() else { return };
        self.checker.stored(app, Some(&held.record), self.store.specs(app), self.now);
        let record = &held.record;
        let (generation, step) = (record.generation, record.step);
        let line = format!("commits {app} g{generation}.{step} {}", describe(record));
        self.note(by, &line);
        let message = Message::Changed {
            era: self.store.era,
            number: held.number,
            app: app.clone(),
            record: Some(held.record),
        };
        self.tell_managers(&message);
    }

    // --- users and faults ---

    fn user(&mut self, number: usize) {
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

    fn fault(&mut self, fault: Fault) {
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

    fn host_freezes(&mut self, id: &HostId) {
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

    fn manager_dies(&mut self, manager: usize) {
        let Some(found) = self.managers.get_mut(manager).filter(|manager| manager.up) else { return };
        found.up = false;
        self.counts.faults += 1;
        self.note(&format!("m{manager}"), "dies");
        let back = self.rng.millis(100, 20_000);
        self.after(back, Event::ManagerStarts(manager));
    }

    fn manager_freezes(&mut self, manager: usize) {
        let pause = self.rng.millis(1_000, 40_000);
        let Some(found) = self.managers.get_mut(manager).filter(|manager| manager.up) else { return };
        found.frozen_until = self.now.plus(pause);
        self.counts.faults += 1;
        self.note(&format!("m{manager}"), &format!("freezes for {} ms", pause.as_millis()));
    }

    fn partition(&mut self, host: HostId, manager: usize) {
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

    fn store_goes_away(&mut self) {
        self.store_away = true;
        self.counts.faults += 1;
        let pause = self.rng.millis(500, 20_000);
        self.note("store", &format!("is away for {} ms", pause.as_millis()));
        self.after(pause, Event::StoreReturns);
    }

    fn store_goes_back(&mut self) {
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
    fn quiet(&mut self) {
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

/// What a record leads to, in a few words.
fn describe(record: &DesiredRecord) -> String {
    let revision = |revision: Option<Revision>| revision.map_or_else(|| "-".to_owned(), |r| r.to_string());
    let from_to = format!("r{}>r{}", revision(record.serving), revision(record.revision));
    let Some(rollout) = &record.rollout else {
        return format!("{from_to} {:?}", record.wanted);
    };
    let stage = match &rollout.stage {
        Stage::Shifting { shifted, .. } => format!("shifting {}", shifted.len()),
        Stage::Preparing | Stage::Settling | Stage::RollingBack | Stage::Stopping | Stage::Stuck => {
            format!("{:?}", rollout.stage).to_lowercase()
        }
    };
    let problem = rollout.problem.as_ref();
    let problem = problem.map(|problem| format!(" for {}: {}", problem.reason, problem.message));
    format!("{from_to} {stage}{}", problem.unwrap_or_default())
}
