//! Hosts in a run: their steps, what comes of them, and how they come and go.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{ApplyRequest, HostState};
use lath_host_core::News;

use super::World;
use crate::check::{Cause, Changed, Fact, Obeyed};
use crate::host::{Edge, Host, Outcome, Word};
use crate::message::{Event, ManagerRun, Message, RequestId};
use crate::network::Node;
use crate::profile::Fault;

/// How often hosts look at what is due.
const HOST_TICK: Duration = Duration::from_millis(500);
/// Shortest time between two inventories.
const BETWEEN_EVENTS: Duration = Duration::from_millis(100);
/// How often hosts say that they live.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often hosts tell how calls of candidates go: less often than real ones, as each word is a plan.
const CALLS: Duration = Duration::from_secs(3);
/// How long a host that goes in order waits for its share to move.
const HANDOVER: Duration = Duration::from_secs(20);

/// A command that a host has obeyed.
struct Taken {
    request: Arc<ApplyRequest>,
    /// It was known.
    unchanged: bool,
}

impl World {
    /// Transitions after which the process dies in the middle of its next step, if it does.
    fn dies_in_the_middle(&mut self) -> Option<usize> {
        let dies = self.rng.chance(self.profile.dies_applying);
        dies.then(|| usize::try_from(self.rng.below(8)).unwrap_or(0))
    }

    /// Lets a host do something. Of a command that it has obeyed, `step` says which and whether it was known.
    fn on_host(
        &mut self,
        at: usize,
        cause: Cause,
        step: impl FnOnce(&mut Host, &mut Edge<'_>) -> (Outcome, Option<Taken>),
    ) {
        let dies_after = if cause == Cause::Start { None } else { self.dies_in_the_middle() };
        let Some(host) = self.hosts.get_mut(at).filter(|host| host.up) else { return };
        let before = host.face.clone();
        let mut edge = Edge {
            now: self.now,
            scene: &self.scene,
            flaky_fetch: self.profile.flaky_fetch,
            dies_after,
            rng: &mut self.rng,
        };
        let (outcome, taken) = step(host, &mut edge);
        let (name, died, changed) = (host.summary.name.clone(), outcome.died, before != host.face);
        if died {
            self.count_fault("host dies in the middle");
            self.checker.memory.fault(self.now);
            self.note(&name, "dies in the middle");
            let back = self.rng.millis(500, 20_000);
            self.after(back, Event::HostStarts(at));
        }
        let (hosts, now) = (&self.hosts, self.now);
        let Some(host) = hosts.get(at) else { return };
        if let Some(Taken { request, unchanged }) = &taken {
            let (outcome, before, unchanged) = (&outcome, &before, *unchanged);
            self.checker.see(&Fact::Obeyed(Obeyed { at, host, request, unchanged, outcome, before }));
        }
        let seen = Changed { at, host, cause, before: &before, outcome: &outcome, hosts, now };
        self.checker.see(&Fact::Changed(seen));
        if changed {
            let line = format!("serves {}", host.face.describe());
            self.note(&name, &line);
        }
        for (delay, word) in outcome.words {
            self.after(delay, Event::Word(at, Box::new(word)));
        }
        if outcome.report && !died {
            self.report_host(at);
        }
    }

    /// What runs on a host has changed: it is told, a burst of changes once.
    pub(super) fn report_host(&mut self, at: usize) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(at).filter(|host| !host.is_to_tell) else { return };
        host.is_to_tell = true;
        let pause = BETWEEN_EVENTS.saturating_sub(now.since(host.last_told));
        let boot = host.boot;
        if pause.is_zero() {
            self.host_tells(at, boot);
        } else {
            self.after(pause, Event::HostTells(at, boot));
        }
    }

    pub(super) fn host_tells(&mut self, at: usize, boot: u64) {
        if let Some(thaw) = self.thaws(Node::Host(at)) {
            self.after(thaw, Event::HostTells(at, boot));
            return;
        }
        let now = self.now;
        let Some(host) = self.hosts.get_mut(at).filter(|host| host.up && host.boot == boot) else { return };
        host.is_to_tell = false;
        host.last_told = now;
        let Some(host) = self.hosts.get(at) else { return };
        let inventory = Arc::new(host.inventory());
        self.checker.see(&Fact::Reported { host, inventory: &inventory });
        self.publish(Node::Host(at), &Message::Inventory { inventory });
    }

    pub(super) fn host_has_news(&mut self, at: usize, word: &Word) {
        if let Some(thaw) = self.thaws(Node::Host(at)) {
            self.after(thaw, Event::Word(at, Box::new(word.clone())));
            return;
        }
        let cause = if matches!(word.news, News::Failed { .. }) { Cause::Failure } else { Cause::News };
        self.on_host(at, cause, |host, edge| (host.hear(word, edge), None));
    }

    pub(super) fn host_tick(&mut self, at: usize, boot: u64) {
        let pause = self.thaws(Node::Host(at)).unwrap_or(HOST_TICK);
        let Some(host) = self.hosts.get(at).filter(|host| host.boot == boot && host.up) else { return };
        let (due, now) = (host.is_due(self.now), self.now);
        self.after(pause, Event::HostTick(at, boot));
        if pause != HOST_TICK {
            return;
        }
        if due {
            self.on_host(at, Cause::Time, |host, edge| (host.tick(edge), None));
        }
        let Some(host) = self.hosts.get_mut(at).filter(|host| host.up) else { return };
        let calls = host.answer_calls(&self.scene, &mut self.rng);
        let calls = calls.filter(|_| now.since(host.last_calls) >= CALLS);
        if calls.is_some() {
            host.last_calls = now;
        }
        let beat = now.since(host.last_beat) >= HEARTBEAT;
        let summary = beat.then(|| {
            host.last_beat = now;
            Arc::new(host.beat())
        });
        if let Some(calls) = calls {
            self.publish(Node::Host(at), &Message::Calls { calls: Arc::new(calls) });
        }
        if let Some(summary) = summary {
            self.publish(Node::Host(at), &Message::Beat { summary });
        }
    }

    pub(super) fn host_hears(&mut self, at: usize, message: Message) {
        let Some(host) = self.hosts.get(at).filter(|host| host.up) else { return };
        match message {
            Message::Apply { from: manager, id, request, .. } => self.obey(at, manager, id, &request),
            Message::AskInventory { from: manager } => {
                let inventory = Arc::new(host.inventory());
                let to = Node::Manager(manager.manager);
                self.send(Node::Host(at), to, &Message::Inventory { inventory });
            }
            Message::Applied { .. }
            | Message::Beat { .. }
            | Message::Inventory { .. }
            | Message::Calls { .. }
            | Message::Stopped { .. }
            | Message::Ask { .. }
            | Message::Answer { .. }
            | Message::Changed { .. }
            | Message::LostWrites { .. } => {}
        }
    }

    fn obey(&mut self, at: usize, manager: ManagerRun, id: RequestId, request: &Arc<ApplyRequest>) {
        let mut answer = None;
        self.on_host(at, Cause::Command, |host, edge| {
            let (said, outcome) = host.apply(request, edge);
            let unchanged = match &said {
                Some(reply) => reply.as_ref().ok().map(|reply| reply.unchanged),
                None => host.has_kept(request).then_some(false),
            };
            let taken = unchanged.map(|unchanged| Taken { request: Arc::clone(request), unchanged });
            answer = said;
            (outcome, taken)
        });
        let Some(answer) = answer else { return };
        let said = match &answer {
            Ok(reply) if reply.unchanged => "knows",
            Ok(_) => "takes",
            Err(_) => "refuses",
        };
        self.counts.refusals += u64::from(answer.is_err());
        let name = self.hosts.get(at).map(|host| host.summary.name.clone()).unwrap_or_default();
        self.note(&name, &format!("{said} {} {}", request.app, request.fence));
        let message = Message::Applied { to: manager, id, answer: Box::new(answer) };
        self.send(Node::Host(at), Node::Manager(manager.manager), &message);
    }

    pub(super) fn host_starts(&mut self, at: usize) {
        let Some(host) = self.hosts.get_mut(at).filter(|host| !host.up) else { return };
        let name = host.summary.name.clone();
        host.summary.state = host.kept_state();
        host.frozen_until = self.now;
        // A new process is up before its first step, which is to restore what it was.
        host.up = true;
        self.note(&name, "starts");
        self.on_host(at, Cause::Start, |host, edge| (host.start(edge), None));
        let boot = self.hosts.get(at).map_or(0, |host| host.boot);
        self.after(Duration::ZERO, Event::HostTick(at, boot));
    }

    pub(super) fn host_dies(&mut self, at: usize, wiped: bool) {
        let Some(host) = self.hosts.get_mut(at).filter(|host| host.up) else { return };
        let name = host.summary.name.clone();
        host.die();
        if wiped {
            host.wipe();
            self.wiped.insert(host.id.clone());
        }
        self.count_fault(if wiped { Fault::HostWipe.name() } else { Fault::HostCrash.name() });
        self.checker.memory.fault(self.now);
        self.note(&name, if wiped { "dies, its disk is lost" } else { "dies" });
        let back = self.rng.millis(200, 30_000);
        self.after(back, Event::HostStarts(at));
    }

    pub(super) fn host_stops(&mut self, at: usize) {
        let ready = |host: &&mut Host| host.up && host.summary.state != HostState::Stopping;
        let Some(host) = self.hosts.get_mut(at).filter(ready) else { return };
        host.summary.state = HostState::Stopping;
        let (name, boot, summary) = (host.summary.name.clone(), host.boot, Arc::new(host.beat()));
        self.count_fault(Fault::HostStop.name());
        self.note(&name, "is stopping");
        self.publish(Node::Host(at), &Message::Beat { summary });
        self.after(HANDOVER, Event::HostEnds(at, boot));
    }

    pub(super) fn host_ends(&mut self, at: usize, boot: u64) {
        let Some(host) = self.hosts.get_mut(at).filter(|host| host.up && host.boot == boot) else { return };
        let (name, run, id) = (host.summary.name.clone(), host.summary.boot.clone(), host.id.clone());
        host.die();
        // Whatever had not moved by now is gone; the wait for it is bounded.
        self.checker.memory.fault(self.now);
        self.note(&name, "has stopped");
        self.publish(Node::Host(at), &Message::Stopped { host: id, boot: run });
        let back = self.rng.millis(1_000, 20_000);
        self.after(back, Event::HostStarts(at));
    }
}
