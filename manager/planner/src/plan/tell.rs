//! Who is told now, and who keeps what it has until others are ready.

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::{ApplyRequest, ComponentInventory, ComponentName, HostId};

use super::{Command, Concerned, Planner};
use crate::assess::Assessment;
use crate::planted::planted;
use crate::record::{Assignment, DesiredRecord, Rollout, Stage, Wanted};

impl Planner<'_> {
    pub(super) fn commands(&self, record: &DesiredRecord, concerned: &Concerned) -> Vec<Command> {
        let Concerned { requests, hosts } = concerned;
        let stays: BTreeSet<&HostId> = hosts
            .iter()
            .zip(requests.values())
            .filter(|((host, _), request)| self.must_stay(record, hosts, host, request))
            .map(|((host, _), _)| host)
            .collect();
        // Hosts of which each has the last of what another is to have back would wait for each other for ever.
        let others_are_back =
            hosts.iter().all(|(host, held)| stays.contains(host) || held.is_ready() || held.ahead);
        let none_stays = record.rollout.as_ref().is_some_and(Rollout::goes_back) && others_are_back;
        let mut commands = Vec::new();
        for ((host, assessment), request) in hosts.iter().zip(requests.values()) {
            let due = !assessment.ahead && (!assessment.accepted || assessment.unconfirmed)
                || planted!("send-always");
            if !due || (stays.contains(host) && !none_stays) {
                continue;
            }
            let unconfirmed = "the host waits for confirmation";
            let why = if assessment.unconfirmed { unconfirmed } else { "the host has not taken it on" };
            commands.push(Command { host: host.clone(), request: request.clone(), why: why.to_owned() });
        }
        commands
    }

    /// Whether a host keeps what it has for now, because what the request takes from it may be all there is: the
    /// hosts that are to have it are not ready yet.
    fn must_stay(
        &self,
        record: &DesiredRecord,
        hosts: &BTreeMap<HostId, Assessment>,
        host: &HostId,
        request: &ApplyRequest,
    ) -> bool {
        let stage = record.rollout.as_ref().map(|rollout| &rollout.stage);
        if record.wanted != Wanted::Run || matches!(stage, Some(Stage::Emptying | Stage::Stopping)) {
            return false;
        }
        if matches!(stage, Some(Stage::RollingBack | Stage::Stuck)) {
            return self.is_last_place(record, &record.base, hosts, host, request);
        }
        let ready = |host| hosts.get(host).is_some_and(Assessment::is_ready);
        // Nothing is given a place before all hosts had the time to speak.
        let unplaced = matches!(stage, Some(Stage::Preparing)) && self.must_wait_for_news(record);
        if request.bundles.is_empty() && unplaced {
            return true;
        }
        if request.bundles.is_empty() && !record.assignment.hosts().all(ready) {
            return true;
        }
        self.is_last_place(record, &record.assignment, hosts, host, request)
    }

    /// Whether a request takes something from a host that `goal` has a place for and that is served nowhere else.
    fn is_last_place(
        &self,
        record: &DesiredRecord,
        goal: &Assignment,
        hosts: &BTreeMap<HostId, Assessment>,
        host: &HostId,
        request: &ApplyRequest,
    ) -> bool {
        // Ready is not yet serving: a rollout may not have given the new place its traffic.
        let asked = |name: &ComponentName| request.bundles.iter().any(|bundle| bundle.component == *name);
        let wanted = |name: &ComponentName| {
            goal.0.values().any(|on| on.contains_key(name)) && self.is_promised(record, name)
        };
        let others = || hosts.keys().filter(|other| *other != host);
        let serving = self.serving(record, host);
        serving
            .into_iter()
            .filter(|name| wanted(name) && !asked(name))
            .any(|name| !others().any(|other| self.serving(record, other).contains(name)))
    }

    /// Whether a component must go on being served until the rollout has ended: not when the revision that serves does
    /// not have it.
    pub(super) fn is_promised(&self, record: &DesiredRecord, name: &ComponentName) -> bool {
        let serving = record.serving.filter(|_| record.rollout.is_some());
        let serving = serving.and_then(|revision| self.input.revisions.get(&revision));
        serving.is_none_or(|spec| spec.components.contains_key(name))
    }

    /// Components of the app that take calls on a host, as far as it has said.
    pub(super) fn serving(&self, record: &DesiredRecord, host: &HostId) -> BTreeSet<&ComponentName> {
        let entry = self.input.observed.host(host).and_then(|known| known.app(&record.app));
        let components = entry.into_iter().flat_map(|entry| &entry.components);
        let serve = |component: &&ComponentInventory| component.units.iter().any(|unit| unit.serving);
        components.filter(serve).map(|component| &component.component).collect()
    }
}
