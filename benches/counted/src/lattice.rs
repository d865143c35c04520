//! A lattice of example hosts, and apps that settle on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{AppName, ApplyRequest, Epoch, HostId, HostSummary, Timestamp};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::example::{self, App};
use lath_manager_planner::{DesiredRecord, ObservedState, PlanInput, PlanLimits, PlanOutput, change, plan};

/// Rounds after which an app that hosts obey must be settled.
const ROUNDS: u32 = 60;
/// Silence of a host that is lost. In a lattice of examples time passes without a word of theirs.
pub const LOST_AFTER: Duration = Duration::from_secs(360_000);
/// Longer than a plan stays without another look.
const BETWEEN: Duration = Duration::from_secs(2);

/// A lattice in which every app runs as it should.
#[derive(Debug)]
pub struct World {
    /// The time that it is.
    pub now: Timestamp,
    /// What its hosts have said.
    pub observed: ObservedState,
    /// All hosts.
    pub fleet: BTreeMap<HostId, HostSummary>,
    /// What each was told last of each app.
    pub told: BTreeMap<HostId, Told>,
    /// The apps.
    pub apps: Vec<Planned>,
}

/// What a host was told last of each app; without bundles where it is to have nothing of one any more.
pub type Told = BTreeMap<AppName, ApplyRequest>;

/// An app and its record.
#[derive(Debug)]
pub struct Planned {
    /// As its owner wrote it.
    pub app: App,
    /// What is wanted of it.
    pub record: DesiredRecord,
    /// What its revisions ask of hosts.
    pub revisions: Revisions,
}

impl World {
    /// So many hosts without apps, called `h0`, `h1` and so on.
    #[must_use]
    pub fn of(hosts: usize) -> Self {
        let names: Vec<String> = (0..hosts).map(|number| format!("h{number}")).collect();
        let now = Timestamp(1_000_000);
        let mut observed = ObservedState::new(now);
        let mut fleet = BTreeMap::new();
        for summary in example::fleet(&names.join(" ")) {
            observed.inventory(example::inventory(&summary, &[]), now);
            fleet.insert(summary.host.clone(), summary);
        }
        let now = now.plus(Duration::from_secs(60));
        Self { now, observed, fleet, told: BTreeMap::new(), apps: Vec::new() }
    }

    /// Deploys an app; gives its place in [`World::apps`]. Nothing is planned yet.
    ///
    /// # Panics
    /// When it cannot be deployed.
    pub fn deploy(&mut self, app: App) -> usize {
        let change = change::deploy(None, None, app.ask(), self.now).expect("a deploy");
        let record = change.record.expect("a record");
        let revisions = Revisions::from([(app.revision(1).revision, Arc::new(app.spec(1)))]);
        self.apps.push(Planned { app, record, revisions });
        self.apps.len() - 1
    }

    /// Hosts do at once what they are told of this app, until there is nothing to tell.
    ///
    /// # Panics
    /// When that does not end.
    pub fn settle(&mut self, number: usize) {
        for _ in 0..ROUNDS {
            let output = self.plan(number);
            assert!(output.violations.is_empty(), "{:?}", output.violations);
            let quiet = output.record.is_none() && output.commands.is_empty();
            let planned = self.apps.get_mut(number).expect("an app");
            if quiet && planned.record.rollout.is_none() {
                return;
            }
            if let Some(record) = output.record {
                planned.record = record;
            }
            for command in output.commands {
                let summary = self.fleet.get_mut(&command.host).expect("a host of the fleet");
                summary.sequence += 1;
                let told = self.told.entry(command.host).or_default();
                told.insert(command.request.app.clone(), command.request);
                let told: Vec<ApplyRequest> = told.values().cloned().collect();
                self.observed.inventory(example::inventory(summary, &told), self.now);
            }
            if quiet {
                self.now = self.now.plus(BETWEEN);
            }
        }
        panic!("app {number} does not settle: {:?}", self.apps.get(number).map(|app| &app.record.rollout));
    }

    /// Lets time pass, at whose end all hosts are heard again.
    pub fn rest(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        for (host, summary) in &mut self.fleet {
            summary.sequence += 1;
            let told: Vec<ApplyRequest> =
                self.told.get(host).into_iter().flat_map(BTreeMap::values).cloned().collect();
            self.observed.inventory(example::inventory(summary, &told), self.now);
        }
    }

    /// What is to be done about an app now.
    ///
    /// # Panics
    /// When there is no such app.
    #[must_use]
    pub fn plan(&self, number: usize) -> PlanOutput {
        let Planned { record, revisions, .. } = self.apps.get(number).expect("an app");
        plan(&PlanInput {
            now: self.now,
            epoch: Epoch(1),
            limits: &PlanLimits { lost_after: LOST_AFTER },
            observed: &self.observed,
            record,
            revisions,
        })
    }
}
