//! Managers in a run: their steps, and what comes of them.

use std::time::Duration;

use super::World;
use crate::check::{Fact, Sent};
use crate::manager::{Manager, Out, View, answer_of};
use crate::message::{Ask, Event, ManagerRun, Message, RequestId, Verdict};
use crate::network::Node;
use crate::profile::{Fault, Moment};

/// Longest that a webhook is waited for.
const WEBHOOK_DEADLINE: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn on_manager(
        &mut self,
        at: ManagerRun,
        again: Event,
        step: impl FnOnce(&mut Manager, View<'_>, &mut Out),
    ) {
        if let Some(thaw) = self.thaws(Node::Manager(at.manager)) {
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

    pub(super) fn manager_hears(&mut self, from: Node, manager: usize, message: Message) {
        let Some(at) = self.managers.get(manager).map(|manager| manager.at) else { return };
        if let Some(thaw) = self.thaws(Node::Manager(manager)) {
            self.after(thaw, Event::Deliver { from, to: Node::Manager(manager), message });
            return;
        }
        let answers = matches!(&message, Message::Applied { to, .. } if *to == at);
        if answers && self.dies(manager, Moment::BeforeAnswer) {
            return;
        }
        if answers && self.dies(manager, Moment::AfterAnswer) {
            // What it made of the answer is lost with it.
            return;
        }
        let Some(found) = self.managers.get_mut(manager).filter(|manager| manager.up) else { return };
        let mut out = Out::default();
        found.hear(message, View { now: self.now, store: &self.store, hosts: &self.host_ids }, &mut out);
        self.carry_out(at, out);
    }

    /// Ends the manager if this is where it is to die.
    fn dies(&mut self, manager: usize, here: Moment) -> bool {
        let Some(found) = self.managers.get_mut(manager) else { return false };
        if !found.up || found.dies_at != Some(here) {
            return false;
        }
        found.dies_at = None;
        self.manager_dies(manager, Fault::ManagerDiesAt(here));
        true
    }

    pub(super) fn carry_out(&mut self, at: ManagerRun, out: Out) {
        let from = Node::Manager(at.manager);
        let who = format!("m{}", at.manager);
        out.lines.iter().for_each(|line| self.note(&who, line));
        self.counts.plans += out.plans;
        self.checker.broken.extend(out.broken);
        if let Some(epoch) = out.begins {
            self.checker.see(&Fact::Began { by: at, epoch });
        }
        for (delay, event) in out.later {
            self.after(delay, event);
        }
        for (app, generation, step) in out.webhooks {
            self.count("user", "webhook is asked");
            let agreed = answer_of(self.scene.webhook, &mut self.rng);
            let takes = agreed.map_or(WEBHOOK_DEADLINE, |_| self.rng.millis(5, 1_500));
            let verdict = Verdict { app, generation, step, agreed };
            self.after(takes, Event::Webhook(at, Box::new(verdict)));
        }
        for (to, message) in out.sends {
            let commits = matches!(message, Message::Ask { ask: Ask::Write { .. }, .. });
            let commands = matches!(message, Message::Apply { .. });
            if commits && self.dies(at.manager, Moment::BeforeCommit)
                || commands && self.dies(at.manager, Moment::BeforeSend)
            {
                return;
            }
            if let (Node::Host(host), Message::Apply { .. }) = (to, &message) {
                self.sends_command(at, &who, host, &message);
            }
            self.send(from, to, &message);
            if commits && self.dies(at.manager, Moment::AfterCommit)
                || commands && self.dies(at.manager, Moment::AfterSend)
            {
                return;
            }
        }
    }

    fn sends_command(&mut self, by: ManagerRun, who: &str, at: usize, message: &Message) {
        let Message::Apply { request, known, .. } = message else { return };
        let Some(host) = self.hosts.get(at) else { return };
        self.counts.commands += 1;
        self.last_deed = self.now;
        let now = self.now;
        self.checker.see(&Fact::Sent(Sent { by, at, host, request, known, now }));
        let line = format!("tells {} {} {}", host.summary.name, request.app, request.fence);
        self.note(who, &line);
    }

    pub(super) fn give_up(&mut self, at: ManagerRun, id: RequestId) {
        self.on_manager(at, Event::GiveUp(at, id), |manager, view, out| manager.give_up(id, view, out));
    }

    pub(super) fn webhook_answers(&mut self, at: ManagerRun, verdict: &Verdict) {
        let word = match verdict.agreed {
            Some(true) => "webhook agrees",
            Some(false) => "webhook refuses",
            None => "webhook says nothing",
        };
        self.count("user", word);
        let again = Event::Webhook(at, Box::new(verdict.clone()));
        self.on_manager(at, again, |manager, view, out| manager.hear_webhook(verdict, view, out));
    }

    pub(super) fn manager_starts(&mut self, manager: usize) {
        let Some(found) = self.managers.get_mut(manager).filter(|manager| !manager.up) else { return };
        found.frozen_until = self.now;
        let mut out = Out::default();
        found.start(View { now: self.now, store: &self.store, hosts: &self.host_ids }, &mut out);
        let at = found.at;
        self.note(&format!("m{manager}"), "starts");
        self.carry_out(at, out);
    }
}
