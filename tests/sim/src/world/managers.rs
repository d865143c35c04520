//! Managers in a run: their steps, and what comes of them.

use super::World;
use crate::manager::{Manager, Out, View};
use crate::message::{Event, ManagerRun, Message, RequestId};
use crate::network::Node;

impl World {
    pub(super) fn on_manager(
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

    pub(super) fn carry_out(&mut self, at: ManagerRun, out: Out) {
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

    pub(super) fn give_up(&mut self, at: ManagerRun, id: RequestId) {
        self.on_manager(at, Event::GiveUp(at, id), |manager, view, out| manager.give_up(id, view, out));
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
