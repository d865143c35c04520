//! A run: everything in it, what is due when, and the steps that it is made of.

mod happenings;
mod hosts;
mod managers;
mod storing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::{AppName, HostId, Timestamp};
use lath_manager_planner::example;

use crate::apps::{Habit, Scene};
use crate::check::Checker;
use crate::host::Host;
use crate::manager::Manager;
use crate::message::{Event, Message};
use crate::network::{Network, Node};
use crate::profile::{Fault, Profile};
use crate::rng::Rng;
use crate::store::{Apps, Memory, Store};
use crate::trace::Trace;
use crate::users::{self, Request};
use crate::{Counts, Options, Report, rest};

/// Hosts of every run.
const FLEET: &str = "a,zone=w b,zone=e c,zone=w";
/// Events after which a run is taken to be without end.
const MOST_EVENTS: u64 = 400_000;
/// When runs begin.
const BEGINNING: Timestamp = Timestamp(1_000_000_000);

/// Everything of a run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) hosts: Vec<Host>,
    pub(crate) managers: Vec<Manager>,
    pub(crate) store: Store,
    pub(crate) scene: Scene,
    pub(crate) requests: Vec<Request>,
    pub(crate) checker: Checker,
    pub(crate) calm: bool,
    /// People have asked something of hosts themselves.
    pub(crate) touched_hosts: bool,
    /// Hosts that have lost their disk.
    pub(crate) wiped: BTreeSet<HostId>,
    /// When a record was last written or a command last sent.
    pub(crate) last_deed: Timestamp,
    seed: u64,
    profile_name: &'static str,
    profile: Profile,
    host_ids: Vec<HostId>,
    network: Network,
    store_away: bool,
    /// What the store answers instead of what it has.
    store_answers: Option<Apps>,
    saved: Store,
    /// Revisions that the store has lost and managers still have in their memory.
    memory: Memory,
    asked_to_delete: BTreeSet<AppName>,
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
        let habit = Habit::draw(seed, &mut rng);
        let scene = Scene::draw(habit, &mut rng);
        let active = rng.millis(25_000, 80_000);
        let requests = users::requests(habit, &mut rng, active);
        let hosts: Vec<Host> = example::fleet(FLEET).into_iter().map(Host::new).collect();
        let mut world = Self {
            now: BEGINNING,
            host_ids: hosts.iter().map(|host| host.id.clone()).collect(),
            hosts,
            managers: (0..profile.managers).map(Manager::new).collect(),
            store: Store::default(),
            scene,
            requests,
            checker: Checker::default(),
            calm: profile.is_calm(),
            touched_hosts: false,
            wiped: BTreeSet::new(),
            last_deed: Timestamp(0),
            seed,
            profile_name: profile.name,
            profile,
            network: Network::default(),
            store_away: false,
            store_answers: None,
            saved: Store::default(),
            memory: Memory::default(),
            asked_to_delete: BTreeSet::new(),
            rng,
            queue: BTreeMap::new(),
            queued: 0,
            trace: Trace::new(options.all_lines),
            counts: Counts::default(),
        };
        world.prepare(active);
        world
    }

    /// Puts everything that is to happen by itself into the queue.
    fn prepare(&mut self, active: Duration) {
        for host in 0..self.hosts.len() {
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
        for (at, what) in users::of_hosts(&mut self.rng, active) {
            self.after(at, Event::OfHost(what));
        }
        let last = u64::try_from(active.as_millis()).unwrap_or(u64::MAX);
        for _ in 0..self.profile.fault_count {
            let Some(fault) = self.rng.pick(&self.profile.faults).copied() else { break };
            let fault: Fault = fault.drawn(&mut self.rng);
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
            for (id, broken) in rest::judge(&self) {
                self.count("check at rest", id);
                self.checker.broken.extend(broken);
            }
        }
        self.report()
    }

    fn report(mut self) -> Report {
        for ((from, to), times) in std::mem::take(&mut self.checker.memory.edges) {
            self.counts.happened.insert(("edge", from, to), times);
        }
        for (id, times) in self.checker.looked() {
            self.counts.happened.insert(("check", id, ""), times);
        }
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
        let millis = self.now.0 - BEGINNING.0;
        self.trace.line(format!("{millis:>7} {who} {what}"));
    }

    /// A fault has taken effect.
    fn count_fault(&mut self, name: &'static str) {
        self.counts.faults += 1;
        self.count("fault", name);
    }

    fn count(&mut self, kind: &'static str, name: &'static str) {
        *self.counts.happened.entry((kind, name, "")).or_default() += 1;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => self.deliver(from, to, message),
            Event::Word(host, word) => self.host_has_news(host, &word),
            Event::HostTick(host, boot) => self.host_tick(host, boot),
            Event::HostTells(host, boot) => self.host_tells(host, boot),
            Event::ManagerTick(at) => self.on_manager(at, Event::ManagerTick(at), Manager::tick),
            Event::GiveUp(at, id) => self.give_up(at, id),
            Event::Webhook(at, verdict) => self.webhook_answers(at, &verdict),
            Event::User(number) => self.user(number),
            Event::OfHost(what) => self.user_of_host(what),
            Event::Fault(fault) => self.fault(fault),
            Event::HostStarts(host) => self.host_starts(host),
            Event::HostEnds(host, boot) => self.host_ends(host, boot),
            Event::ManagerStarts(manager) => self.manager_starts(manager),
            Event::Cut(from, to) => self.network.cut(from, to),
            Event::Heal(from, to) => self.network.heal(from, to),
            Event::StoreReturns => self.store_away = false,
            Event::StoreAnswersRightly => self.store_answers = None,
            Event::Quiet => self.quiet(),
        }
    }

    fn send(&mut self, from: Node, to: Node, message: &Message) {
        let away = self.store_away && (from == Node::Store || to == Node::Store);
        let arrivals = self.network.deliveries(from, to, &self.profile, &mut self.rng);
        for delay in arrivals.into_iter().flatten().filter(|_| !away) {
            self.after(delay, Event::Deliver { from, to, message: message.clone() });
        }
    }

    /// Sends what nobody has asked for to every manager.
    fn publish(&mut self, from: Node, message: &Message) {
        let lost = match message {
            Message::Calls { .. } => self.profile.counts_lost,
            Message::Changed { .. } | Message::Inventory { .. } if self.profile.deaf => 1_000,
            _ => 0,
        };
        for manager in 0..self.managers.len() {
            if !self.rng.chance(lost) {
                self.send(from, Node::Manager(manager), message);
            }
        }
    }

    fn deliver(&mut self, from: Node, to: Node, message: Message) {
        match to {
            Node::Host(at) => {
                if let Some(thaw) = self.thaws(to) {
                    self.after(thaw, Event::Deliver { from, to, message });
                    return;
                }
                self.host_hears(at, message);
            }
            Node::Manager(manager) => self.manager_hears(from, manager, message),
            Node::Store => self.store_hears(message),
        }
    }

    /// How long a process still stands still, if it does.
    fn thaws(&self, node: Node) -> Option<Duration> {
        let until = match node {
            Node::Host(at) => self.hosts.get(at)?.frozen_until,
            Node::Manager(manager) => self.managers.get(manager)?.frozen_until,
            Node::Store => return None,
        };
        (until > self.now).then(|| until.since(self.now))
    }
}
