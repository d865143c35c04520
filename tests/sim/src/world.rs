//! A run: virtual time, everything that is due, and who does it. The only place where time passes.

mod happenings;
mod hosts;
mod managers;
mod storing;

use std::collections::BTreeMap;
use std::time::Duration;

use lath_control_api::{HostId, Timestamp};
use lath_manager_planner::example;

use crate::apps::{self, Behaviour};
use crate::check::Checker;
use crate::host::Host;
use crate::manager::Manager;
use crate::message::{Event, Message};
use crate::network::{Network, Node};
use crate::profile::Profile;
use crate::rng::Rng;
use crate::store::Store;
use crate::trace::Trace;
use crate::users::{self, Request};
use crate::{Counts, Options, Report, rest};

/// Hosts of every run.
const FLEET: &str = "a,zone=w b,zone=e c,zone=w";
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
}
