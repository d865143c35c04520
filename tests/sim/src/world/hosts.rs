//! Hosts in a run: their steps, what comes of them, and how they come and go.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{HostId, HostState};

use super::World;
use crate::host::{Edge, Host, Outcome};
use crate::message::{Event, Message};
use crate::network::Node;

/// How often hosts look at what is due.
const HOST_TICK: Duration = Duration::from_millis(500);
/// How often hosts say that they live.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a host that goes in order waits for its share to move.
const HANDOVER: Duration = Duration::from_secs(20);

impl World {
    pub(super) fn on_host(&mut self, id: &HostId, step: impl FnOnce(&mut Host, &mut Edge<'_>) -> Outcome) {
        let dies = self.rng.chance(self.profile.dies_applying).then(|| self.rng.below(4));
        self.on_host_dying(id, dies, step);
    }

    pub(super) fn on_host_dying(
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
    pub(super) fn settle(&mut self, id: &HostId, outcome: Outcome) {
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

    pub(super) fn publish(&mut self, id: &HostId, message: &Message) {
        for manager in 0..self.managers.len() {
            self.send(&Node::Host(id.clone()), &Node::Manager(manager), message);
        }
    }

    pub(super) fn host_tick(&mut self, id: &HostId, boot: u64) {
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

    pub(super) fn host_hears(&mut self, id: &HostId, message: Message) {
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

    pub(super) fn host_starts(&mut self, id: &HostId) {
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

    pub(super) fn host_dies(&mut self, id: &HostId, wiped: bool) {
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

    pub(super) fn host_stops(&mut self, id: &HostId) {
        let ready = |host: &&mut Host| host.up && host.summary.state == HostState::Ready;
        let Some(host) = self.hosts.get_mut(id).filter(ready) else { return };
        host.summary.state = HostState::Stopping;
        let (name, boot, summary) = (host.summary.name.clone(), host.boot, Box::new(host.beat()));
        self.counts.faults += 1;
        self.note(&name, "is stopping");
        self.publish(id, &Message::Beat { summary });
        self.after(HANDOVER, Event::HostEnds(id.clone(), boot));
    }

    pub(super) fn host_ends(&mut self, id: &HostId, boot: u64) {
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
}
