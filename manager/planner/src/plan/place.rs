//! Which host is given what, and what stays where it is while others are not ready.

use std::collections::BTreeMap;

use lath_control_api::app::Problem;
use lath_control_api::{ComponentName, HostId, UnitInventory};

use super::Planner;
use crate::desired::AppSpec;
use crate::placement::{self, Candidate, Placement};
use crate::planted::planted;
use crate::record::{Assignment, DesiredRecord, Rollout, Stage, Wanted};

impl Planner<'_> {
    /// Gives every component its hosts. Returns what could not be placed.
    pub(super) fn place(&self, record: &mut DesiredRecord) -> Vec<Problem> {
        if record.wanted != Wanted::Run || self.must_wait_for_news(record) {
            return Vec::new();
        }
        let mut hosts = placement::candidates(self.input.observed, &record.app, |host| {
            self.is_there(host) && host.takes_work()
        });
        if record.rollout.is_some() {
            self.place_base(record, &hosts);
            hosts.retain(|host, _| !self.has_left_over(record, host));
        }
        let going_back = record.rollout.as_ref().is_some_and(Rollout::goes_back);
        let spec = record.revision.and_then(|revision| self.input.revisions.get(&revision));
        let Some(spec) = spec.filter(|_| !going_back) else { return Vec::new() };
        let Placement { mut assignment, mut problems } =
            placement::place(spec, &hosts, &self.places(record, &hosts));
        self.name_drained(&mut problems);
        if let Some(rollout) = &record.rollout {
            let mut before = record.assignment.clone();
            before.0.retain(|host, _| !self.has_left_over(record, host));
            self.keep_last_places(&mut assignment, &before, &rollout.stage, spec);
            if record.serving.is_none() {
                self.keep_where_served(&mut assignment, record, spec);
            }
        }
        if assignment != record.assignment {
            let begins = record.serving.is_none() || !assignment.beyond(&record.assignment).is_empty();
            if record.rollout.is_none() {
                // Silent hosts are kept as well: what has no other place may still be served there.
                record.surplus = record.assignment.and(&record.surplus).beyond(&assignment);
            }
            record.assignment = assignment;
            record.step = record.step.next();
            if let Some(rollout) = record.rollout.as_mut().filter(|_| begins) {
                // What a host is given now it has all the time for. And a first deploy waits for hosts as long as it
                // takes; its time begins with them.
                rollout.progressed = self.input.now;
            }
        }
        problems
    }

    /// Where components are, so that they stay there: where this rollout has put them; where it has not, where the
    /// revision before has them; and where nothing is placed, where they are served. A deletion that was taken back
    /// before any host heard of it leaves nothing but that.
    fn places(&self, record: &DesiredRecord, hosts: &BTreeMap<HostId, Candidate<'_>>) -> Assignment {
        let mut places = record.assignment.clone();
        let has = |of: &Assignment, name| hosts.keys().any(|host| of.count(host, name).is_some());
        for (host, components) in &record.base.0 {
            let left = components.iter().filter(|(name, _)| record.assignment.count(host, name).is_none());
            for (name, instances) in left.filter(|(name, _)| !has(&record.assignment, name)) {
                places.add(host, name, *instances);
            }
        }
        let placed = places.clone();
        for host in hosts.keys() {
            let served = self.serving(record, host).into_iter();
            for name in served.filter(|name| !has(&placed, name)) {
                places.add(host, name, 1);
            }
        }
        places
    }

    /// What no host will take any more stays where it was: a host that is drained may be the last that has it. Without
    /// a rollout the surplus does that. And while traffic moves, what moves to a host that has no traffic yet stays
    /// where it has some.
    fn keep_last_places(
        &self,
        assignment: &mut Assignment,
        before: &Assignment,
        stage: &Stage,
        spec: &AppSpec,
    ) {
        let shifted = if let Stage::Shifting { shifted, .. } = stage { Some(shifted) } else { None };
        for name in spec.components.keys() {
            let places = |of: &Assignment| -> Vec<(HostId, u32)> {
                of.0.iter().filter_map(|(host, on)| Some((host.clone(), *on.get(name)?))).collect()
            };
            let (mut old, new) = (places(before), places(assignment));
            if let Some(shifted) = shifted.filter(|_| !new.is_empty()) {
                let has_traffic = new.iter().any(|(host, _)| shifted.contains(host));
                old.retain(|(host, _)| !has_traffic && shifted.contains(host) && self.is_alive(host));
            } else if !new.is_empty() {
                continue;
            }
            old.iter().for_each(|(host, instances)| assignment.add(host, name, *instances));
        }
    }

    /// A host may come back that had the last place of a component, which was given to another meanwhile. With no
    /// revision to go back to nothing else says that it keeps that: told only of its share of other components it
    /// would end it before the other one serves it, and told nothing it could not prepare its share. So it has a place
    /// for it as well, until the others serve it.
    fn keep_where_served(&self, assignment: &mut Assignment, record: &DesiredRecord, spec: &AppSpec) {
        let hosts: Vec<HostId> = assignment.hosts().filter(|host| self.is_alive(host)).cloned().collect();
        for name in spec.components.keys() {
            let has = |host: &&HostId| assignment.count(host, name).is_some();
            let serves = |host: &&HostId| self.serving(record, host).contains(name);
            if !hosts.iter().any(|host| has(&host)) || hosts.iter().any(|host| has(&host) && serves(&host)) {
                continue;
            }
            let kept: Vec<&HostId> = hosts.iter().filter(serves).collect();
            kept.into_iter().for_each(|host| assignment.add(host, name, 1));
        }
    }

    /// Whether a host has traffic on a revision that neither serves nor is wanted: a rollout was superseded there. Told
    /// only of a candidate without traffic it would go on with that, perhaps for as long as nobody promotes. So it is
    /// told nothing first, while others serve, and has a place when that is gone.
    fn has_left_over(&self, record: &DesiredRecord, host: &HostId) -> bool {
        let waits = record.rollout.as_ref().is_some_and(|rollout| match &rollout.stage {
            Stage::Preparing => true,
            Stage::Shifting { shifted, .. } => !shifted.contains(host),
            Stage::Emptying
            | Stage::Warm { .. }
            | Stage::Settling
            | Stage::RollingBack
            | Stage::Stopping
            | Stage::Stuck => false,
        });
        let entry = self.input.observed.host(host).and_then(|known| known.app(&record.app));
        let Some(entry) = entry.filter(|_| waits && record.serving.is_some()) else { return false };
        let is_left = |unit: &UnitInventory| {
            unit.serving && ![record.serving, record.revision].contains(&Some(unit.revision))
        };
        let elsewhere = |name: &ComponentName| {
            let others = self.input.observed.hosts().filter(|(other, _)| *other != host);
            let mut others = others.filter(|(other, _)| self.is_alive(other));
            others.any(|(other, _)| self.serving(record, other).contains(name))
        };
        entry.components.iter().any(|component| {
            let name = &component.component;
            let left = record.base.count(host, name).is_none() && component.units.iter().any(is_left);
            left && (elsewhere(name) || !self.is_promised(record, name))
        })
    }

    /// Says which hosts are there and take nothing, since people wonder where they are.
    fn name_drained(&self, problems: &mut [Problem]) {
        if problems.is_empty() {
            return;
        }
        let hosts = self.input.observed.hosts();
        let hosts = hosts.filter(|(_, host)| self.is_there(host) && !host.takes_work());
        let names: Vec<&str> = hosts.map(|(_, host)| host.summary.name.as_str()).collect();
        if names.is_empty() {
            return;
        }
        for problem in problems {
            problem.message = format!("{}; drained or stopping: {}", problem.message, names.join(", "));
        }
    }

    /// The old revision keeps its places, also those on hosts that are silent: they may still serve, and when they
    /// are heard again they are told to go on. What has no place on a host that is there is placed once more.
    fn place_base(&self, record: &mut DesiredRecord, hosts: &BTreeMap<HostId, Candidate<'_>>) {
        let Some(spec) = record.serving.and_then(|revision| self.input.revisions.get(&revision)) else {
            return;
        };
        let mut heard = record.base.clone();
        heard.0.retain(|host, _| self.is_alive(host));
        let lost = |name: &&ComponentName| {
            let has = |base: &Assignment| base.0.values().any(|on| on.contains_key(*name));
            has(&record.base) && !has(&heard)
        };
        let lost: Vec<&ComponentName> = spec.components.keys().filter(lost).collect();
        if planted!("silence-is-absence") && heard != record.base {
            record.step = record.step.next();
            record.base = heard;
            return;
        }
        if lost.is_empty() {
            return;
        }
        let placed = placement::place(spec, hosts, &heard).assignment;
        let mut added = false;
        for name in lost {
            for (host, components) in &placed.0 {
                if let Some(instances) = components.get(name) {
                    record.base.add(host, name, *instances);
                    added = true;
                }
            }
        }
        if added {
            record.step = record.step.next();
        }
    }
}
