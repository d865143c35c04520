//! A lattice for tests: hosts, a store and a manager's loop around the real planner, in steps of a second.
//!
//! Everything that matters happens here in the order of a real manager: plan, commit, and only then send. What
//! must never be is checked after every plan, in every test that uses this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::app::{AppStatus, Cause, RolloutAction};
use lath_control_api::{ApiError, AppName, ComponentName, Epoch, HostId, Reason, Revision, Timestamp};
use lath_manager_planner::change::{self, Change};
use lath_manager_planner::example::{self, App};
use lath_manager_planner::observed::News;
use lath_manager_planner::{
    AppSpec, Command, DesiredRecord, ObservedState, PlanInput, PlanLimits, PlanOutput, RevisionRecord, plan,
    steer,
};

use crate::host::{Host, Ill};

/// How long a step of the world is.
pub(crate) const STEP: Duration = Duration::from_secs(1);
/// How often hosts say that they live.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Plans in a row that a record may change in without an end in sight.
const MOST_PLANS: usize = 30;

/// What the store holds of an app.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) record: Option<DesiredRecord>,
    pub(crate) revisions: BTreeMap<Revision, RevisionRecord>,
    specs: BTreeMap<Revision, Arc<AppSpec>>,
    pub(crate) status: Option<AppStatus>,
    /// When to plan again though nothing was heard; none after a plan that waits for news alone.
    wake_at: Option<Timestamp>,
}

impl Stored {
    /// The contents of its revisions.
    pub(crate) fn specs(&self) -> &BTreeMap<Revision, Arc<AppSpec>> {
        &self.specs
    }
}

/// What happened, for a transcript or a check.
#[derive(Debug)]
pub(crate) enum Happened<'a> {
    Committed(&'a DesiredRecord),
    Sent(&'a Command, Result<(), &'a ApiError>),
    Status(&'a AppStatus),
    Forgotten(&'a AppName),
}

/// The whole lattice. Cloning it forks history.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) hosts: BTreeMap<HostId, Host>,
    pub(crate) apps: BTreeMap<AppName, Stored>,
    pub(crate) observed: ObservedState,
    pub(crate) epoch: Epoch,
    /// Images that cannot be prepared.
    pub(crate) broken: BTreeMap<String, Reason>,
    /// Images that do not answer well once they run.
    pub(crate) unhealthy: BTreeSet<String>,
    /// Images whose calls do not all go well.
    pub(crate) ills: BTreeMap<String, Ill>,
    /// Whether there is a manager.
    pub(crate) managed: bool,
    beats: BTreeMap<HostId, Timestamp>,
    /// Something was heard since the last plans.
    news: bool,
}

impl World {
    pub(crate) fn new(fleet: &str) -> Self {
        let now = Timestamp(1_000_000);
        let mut world = Self {
            now,
            hosts: BTreeMap::new(),
            apps: BTreeMap::new(),
            observed: ObservedState::new(now),
            epoch: Epoch(1),
            broken: BTreeMap::new(),
            unhealthy: BTreeSet::new(),
            ills: BTreeMap::new(),
            managed: true,
            beats: BTreeMap::new(),
            news: true,
        };
        world.join(fleet);
        world
    }

    pub(crate) fn join(&mut self, fleet: &str) {
        for summary in example::fleet(fleet) {
            self.hosts.insert(summary.host.clone(), Host::new(summary));
        }
        self.report();
    }

    pub(crate) fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.get_mut(&example::host(name)).unwrap_or_else(|| panic!("no host {name}"))
    }

    pub(crate) fn name_of(&self, host: &HostId) -> &str {
        self.hosts.get(host).map_or("?", |host| &host.summary.name)
    }

    pub(crate) fn record(&self, app: &str) -> &DesiredRecord {
        let stored = self.apps.get(&app.parse::<AppName>().unwrap());
        stored.and_then(|stored| stored.record.as_ref()).unwrap_or_else(|| panic!("no record of {app}"))
    }

    pub(crate) fn status(&self, app: &str) -> &AppStatus {
        let stored = self.apps.get(&app.parse::<AppName>().unwrap());
        stored.and_then(|stored| stored.status.as_ref()).unwrap_or_else(|| panic!("no status of {app}"))
    }

    /// Takes a change into the store, as the API does.
    pub(crate) fn commit(&mut self, app: &AppName, change: &Change) {
        let stored = self.apps.entry(app.clone()).or_default();
        if let Some(revision) = &change.revision {
            stored.specs.insert(revision.revision, Arc::new(example::expand(revision)));
            stored.revisions.insert(revision.revision, revision.clone());
        }
        if let Some(record) = &change.record {
            stored.record = Some(record.clone());
            self.news = true;
        }
    }

    pub(crate) fn deploy(&mut self, app: &str, line: &str) -> Change {
        let ask = App::new(app, line).ask();
        let name = ask.app.clone();
        let stored = self.apps.entry(name.clone()).or_default();
        let current = stored.record.as_ref().and_then(|record| stored.revisions.get(&record.revision?));
        let change = change::deploy(stored.record.as_ref(), current, ask, self.now).unwrap();
        self.commit(&name, &change);
        change
    }

    pub(crate) fn rollback(&mut self, app: &str, to: Option<u64>) -> Result<Change, ApiError> {
        let name: AppName = app.parse().unwrap();
        let stored = &self.apps[&name];
        let record = stored.record.as_ref().unwrap();
        let content = |revision| stored.revisions.get(&revision).map(|held| held.content.clone());
        let target = change::rollback_target(record, to.map(Revision), content)?;
        let current = record.revision.and_then(|revision| stored.revisions.get(&revision));
        let target = &stored.revisions[&target];
        let change = change::rollback(record, current, target, Cause::default(), None, self.now)?;
        self.commit(&name, &change);
        Ok(change)
    }

    /// Says how the rollout goes on, as the API does.
    pub(crate) fn steer(
        &mut self,
        app: &str,
        action: RolloutAction,
    ) -> Result<Option<DesiredRecord>, ApiError> {
        let name: AppName = app.parse().unwrap();
        let record = self.apps[&name].record.clone().unwrap();
        if let (RolloutAction::Retry, Some(failed)) = (action, steer::retries(&record)) {
            let stored = &self.apps[&name];
            let current = record.revision.and_then(|revision| stored.revisions.get(&revision));
            let failed = &stored.revisions[&failed];
            let change = change::retry(&record, current, failed, Cause::default(), self.now);
            self.commit(&name, &change);
            return Ok(change.record);
        }
        let next = steer::steer(&record, action, &Cause::default(), self.now)?;
        if let Some(next) = &next {
            self.apps.get_mut(&name).unwrap().record = Some(next.clone());
            self.news = true;
        }
        Ok(next)
    }

    pub(crate) fn stop(&mut self, app: &str, forget: bool) -> Change {
        let name: AppName = app.parse().unwrap();
        let record = self.apps.get(&name).and_then(|stored| stored.record.as_ref());
        let stop = if forget { change::delete } else { change::undeploy };
        let change = stop(&name, record, Cause::default(), self.now);
        self.commit(&name, &change);
        change
    }

    /// The store holds something else from one moment to the next.
    pub(crate) fn replace_store(&mut self, apps: BTreeMap<AppName, Stored>) {
        self.apps = apps;
        self.news = true;
    }

    pub(crate) fn restart_manager(&mut self) {
        self.observed = ObservedState::new(self.now);
        self.epoch = self.epoch.next();
        self.managed = true;
        self.news = true;
    }

    /// One second: hosts act and report, then the manager plans and carries out.
    pub(crate) fn tick(&mut self, seen: &mut dyn FnMut(&Self, Happened<'_>)) {
        self.now = self.now.plus(STEP);
        for host in self.hosts.values_mut() {
            host.act(&self.broken, &self.unhealthy, &self.ills, self.now);
        }
        self.report();
        if self.managed {
            self.manage(seen);
        }
    }

    /// Lets seconds pass without a look at what happens.
    pub(crate) fn run(&mut self, seconds: usize) {
        (0..seconds).for_each(|_| self.tick(&mut |_, _| {}));
    }

    /// Whether the manager has nothing to do now: no record changes, no command is due.
    pub(crate) fn is_silent(&self) -> bool {
        let idle = |name: &AppName, stored: &Stored| {
            let output = stored.record.as_ref().map(|record| self.plan(name, record));
            output
                .is_none_or(|output| output.record.is_none() && output.commands.is_empty() && !output.forget)
        };
        self.apps.iter().all(|(name, stored)| idle(name, stored))
    }

    fn report(&mut self) {
        for (id, host) in self.hosts.iter().filter(|(_, host)| host.connected) {
            let inventory = host.inventory();
            let due = self.beats.get(id).is_none_or(|last| self.now.since(*last) >= HEARTBEAT);
            let held = self.observed.host(id).and_then(|known| known.inventory.as_ref());
            if due || held != Some(&inventory) {
                self.beats.insert(id.clone(), self.now);
                let news = self.observed.inventory(inventory, self.now);
                self.news |= matches!(news, News::Inventory | News::Host);
            }
        }
    }

    fn manage(&mut self, seen: &mut dyn FnMut(&Self, Happened<'_>)) {
        let news = std::mem::take(&mut self.news);
        let due = |stored: &Stored| news || stored.wake_at.is_some_and(|at| at <= self.now);
        let due = self.apps.iter().filter(|(_, stored)| due(stored));
        let names: Vec<AppName> = due.map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.manage_app(name, seen));
    }

    fn manage_app(&mut self, name: &AppName, seen: &mut dyn FnMut(&Self, Happened<'_>)) {
        for _ in 0..MOST_PLANS {
            let Some(record) = self.apps[name].record.clone() else { return };
            let output = self.plan(name, &record);
            let shown = || crate::show::Show::default().record(self, &record);
            assert_eq!(output.violations, [], "{name} at {}", shown());
            assert_eq!(output, self.plan(name, &record), "M9: the same input gives the same output");
            let late = output.wake_at.filter(|at| *at <= self.now && output.record.is_none());
            assert_eq!(late, None, "{name} would be planned without end at {}", shown());
            self.tell(name, &output.status, seen);
            if let Some(next) = output.record {
                let stored = serde_json::to_vec(&next).unwrap();
                assert_eq!(
                    serde_json::from_slice::<DesiredRecord>(&stored).unwrap(),
                    next,
                    "N7: it can be read again"
                );
                self.apps.get_mut(name).unwrap().record = Some(next.clone());
                seen(self, Happened::Committed(&next));
                continue;
            }
            self.send(&output.commands, seen);
            // What was not obeyed is sent again, as a manager does until the inventory shows it.
            let again = (!output.commands.is_empty()).then_some(self.now);
            self.apps.get_mut(name).unwrap().wake_at = again.or(output.wake_at);
            if output.forget {
                self.apps.remove(name);
                seen(self, Happened::Forgotten(name));
            }
            return;
        }
        panic!("the record of {name} changes without end");
    }

    fn tell(&mut self, name: &AppName, status: &AppStatus, seen: &mut dyn FnMut(&Self, Happened<'_>)) {
        let stored = self.apps.get_mut(name).unwrap();
        if stored.status.as_ref() != Some(status) {
            stored.status = Some(status.clone());
            seen(self, Happened::Status(status));
        }
    }

    fn send(&mut self, commands: &[Command], seen: &mut dyn FnMut(&Self, Happened<'_>)) {
        for command in commands {
            let now = self.now;
            let Some(host) = self.hosts.get_mut(&command.host).filter(|host| host.connected) else {
                continue;
            };
            let answer = host.apply(&command.request, now);
            seen(self, Happened::Sent(command, answer.as_ref().map(|_| ())));
        }
    }

    /// What the planner makes of a record now.
    pub(crate) fn plan(&self, name: &AppName, record: &DesiredRecord) -> PlanOutput {
        plan(&PlanInput {
            now: self.now,
            epoch: self.epoch,
            limits: &PlanLimits::default(),
            observed: &self.observed,
            record,
            revisions: &self.apps[name].specs,
        })
    }

    /// Components of `app` that answer on hosts that can be reached.
    pub(crate) fn serving(&self, app: &AppName) -> BTreeSet<ComponentName> {
        let connected = self.hosts.values().filter(|host| host.connected);
        connected.flat_map(|host| host.serving(app)).collect()
    }
}
