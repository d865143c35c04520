//! Requests about applications, from a tool to the manager, and what it answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::bundle::Weight;
use crate::id::{AppName, ComponentId, ComponentName, Generation, HostId, Revision};
use crate::inventory::{CallCounts, HostSummary, LinkInventory, Phase, Reason};
use crate::time::Timestamp;

/// Makes a revision of a manifest and rolls it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployRequest {
    /// The manifest as the user wrote it, byte for byte.
    pub manifest: String,
    /// What the caller has put into the lattice's object store: image reference of the manifest to digest.
    #[serde(default)]
    pub pushed: BTreeMap<String, Digest>,
    /// Who asks and why.
    #[serde(default)]
    pub cause: Cause,
    /// Refuse when the deployed revision is another one; 0 stands for "none".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
    /// Check everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Properties of the rollout policy that differ for this deploy: name to value, as in a manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rollout: BTreeMap<String, String>,
    /// Refuse unless the plan is still [`crate::plan::Plan::id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// Who asked for a change and why, for the history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cause {
    /// Name of the user on the machine that asked.
    pub by: String,
    /// What `--message` said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Goes back to an earlier revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackRequest {
    /// Which app.
    pub app: AppName,
    /// Which revision; the last good one before the deployed one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Revision>,
    /// Who asks and why.
    #[serde(default)]
    pub cause: Cause,
    /// As in [`DeployRequest::if_revision`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
    /// Check everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// As in [`DeployRequest::rollout`]. Without any the way back takes one step without a wait.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rollout: BTreeMap<String, String>,
}

/// Names one app: to stop it, forget it, or ask about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppRequest {
    /// Which app.
    pub app: AppName,
    /// Who asks and why.
    #[serde(default)]
    pub cause: Cause,
    /// Check everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Says how a rollout goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRequest {
    /// Which app.
    pub app: AppName,
    /// What is to be done.
    pub action: RolloutAction,
    /// Who asks and why.
    #[serde(default)]
    pub cause: Cause,
    /// Refuse when the app has another generation: somebody else was faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_generation: Option<Generation>,
    /// Check everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What can be done with a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutAction {
    /// It stays at its step. A failure still takes it back.
    Pause,
    /// A pause is over.
    Resume,
    /// The step at hand is enough: the next one begins.
    Promote,
    /// All steps that are left are skipped: the new revision takes everything.
    PromoteFull,
    /// The revision before it gets everything back, also while it is kept warm.
    Abort,
    /// What failed is tried again: a rollout that is held or stuck goes on, one that was taken back begins anew.
    Retry,
}

/// Names one revision of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRequest {
    /// Which app.
    pub app: AppName,
    /// Which revision; the deployed one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// A revision as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionShown {
    /// Which app.
    pub app: AppName,
    /// Its number.
    pub revision: Revision,
    /// The manifest as it was given, byte for byte.
    pub manifest: String,
    /// Digest of the code behind each image reference; a builtin has none and is not listed.
    pub images: BTreeMap<String, Digest>,
    /// Values that the lattice's own configs had, which the manifest names without properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<String, BTreeMap<String, String>>,
    /// Digest over manifest, code, configs and instances: equal for revisions that are the same.
    pub content: Digest,
    /// Instances that were set by hand and not by the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scale: BTreeMap<ComponentName, u32>,
    /// The revision that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Revision>,
    /// When it was made.
    pub created: Timestamp,
    /// Who and why.
    #[serde(default)]
    pub cause: Cause,
    /// Names that people gave it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether it has once been carried through.
    pub completed: bool,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Problem>,
}

/// Asks what two revisions of an app differ in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffRequest {
    /// Which app.
    pub app: AppName,
    /// The older side.
    pub from: Revision,
    /// The newer side.
    pub to: Revision,
}

/// What two revisions of an app differ in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionDiff {
    /// Which app.
    pub app: AppName,
    /// The older side.
    pub from: Revision,
    /// The newer side.
    pub to: Revision,
    /// Each difference.
    pub changes: Vec<crate::plan::Difference>,
}

/// Gives a revision a name, or takes it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagRequest {
    /// Which app.
    pub app: AppName,
    /// 1 to 64 letters, digits, `-`, `_` and `.`, not only digits.
    pub tag: String,
    /// The revision that gets it, from whichever had it; none takes the tag away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Check everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Every tag of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tags {
    /// Which app.
    pub app: AppName,
    /// Tag to revision.
    pub tags: BTreeMap<String, Revision>,
}

/// Sets the number of instances of a component, until a manifest is deployed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleRequest {
    /// Which app.
    pub app: AppName,
    /// Which component.
    pub component: ComponentName,
    /// Instances over all hosts, at least 1.
    pub instances: u32,
    /// Who asks and why.
    #[serde(default)]
    pub cause: Cause,
    /// As in [`DeployRequest::if_revision`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
    /// Check everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// A change was accepted, or was already so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeReply {
    /// Which app.
    pub app: AppName,
    /// The revision that the change goes to; none when the app is stopped or forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The revision that was deployed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Revision>,
    /// The generation to wait for: the change is settled when the status has reached it.
    pub generation: Generation,
    /// Nothing had to change.
    pub unchanged: bool,
    /// Notes for the user, such as an image tag that moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Lists apps or hosts, or asks for nothing in particular.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRequest {}

/// Every app of the lattice, in order of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppList {
    /// Their status.
    pub apps: Vec<AppStatus>,
}

/// Every host that the manager knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostList {
    /// In order of names, then ids.
    pub hosts: Vec<KnownHost>,
}

/// A host as the manager knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownHost {
    /// What it last said of itself.
    pub summary: HostSummary,
    /// Milliseconds since it was last heard.
    pub silent_ms: u64,
    /// Whether it has been silent for so long that its work is placed elsewhere.
    pub lost: bool,
}

/// What is to be said of an app now. Outcome of the last rollout and health of what serves are separate facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppStatus {
    /// Which app.
    pub app: AppName,
    /// One word for it.
    pub state: AppState,
    /// Why it is not yet what it should be, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The revision that should run; none when stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Generation of the record that this was computed from.
    pub generation: Generation,
    /// What is moving now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// How the last change ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<HistoryEntry>,
    /// Its components, in order of names.
    #[serde(default)]
    pub components: Vec<ComponentStatus>,
    /// Everything that keeps it from its goal, each with a place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Where it answers HTTP requests, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Its manifest's `description`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// One word for how an app stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AppState {
    /// All that should run runs.
    Serving,
    /// Something is being changed.
    Progressing,
    /// Nothing can be done yet.
    Waiting,
    /// A rollout stands still until a person says more; what serves is well.
    Paused,
    /// A failed change is being taken back, or a rollback was asked for.
    RollingBack,
    /// It serves with less than it should.
    Degraded,
    /// Nothing of it serves.
    Failed,
    /// It is stopped on purpose.
    Stopped,
}

/// A change on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Where it comes from; none for a first deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Revision>,
    /// Where it goes.
    pub to: Revision,
    /// How far it is.
    pub phase: RolloutPhase,
    /// Step of the ladder, from 1.
    pub step: u32,
    /// Steps of the ladder.
    pub steps: u32,
    /// When it began.
    pub started: Timestamp,
    /// What it waits for now, slowest first.
    pub waiting_for: Vec<String>,
    /// The strategy's word in a manifest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strategy: String,
    /// Percent of the traffic that the new revision has on the hosts of the step.
    #[serde(default, skip_serializing_if = "Weight::is_none")]
    pub weight: Weight,
    /// Why it stands still until a person says more, with the command that ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// When the time of the step is over, if all stays well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What the step's gates see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateStatus>,
}

/// What a gate sees of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// What is measured: `errors`, `traps`, `p95`, `webhook`, ...
    pub metric: String,
    /// Which component; none for a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentName>,
    /// What it may be, as in the manifest: `<=1%`.
    pub bound: String,
    /// What the new revision has, for people: `0.42%`, `7.9 ms`.
    pub candidate: String,
    /// What the revision before it has in the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
    /// Calls of the new revision that this rests on.
    pub samples: u64,
    /// How it stands.
    pub verdict: Verdict,
}

/// How a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The bound is held.
    Passed,
    /// It is not.
    Failed,
    /// There is too little to judge by.
    Inconclusive,
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutPhase {
    /// The new revision is made ready on every host; no traffic moves.
    Preparing,
    /// Hosts take the new revision, one wave after another.
    Shifting,
    /// The new revision has all traffic; the old one is kept ready beside it.
    KeepingWarm,
    /// The old revision is being stopped, before the new one starts.
    Emptying,
    /// The new revision has all traffic; the old one drains.
    Settling,
    /// The old revision gets everything back.
    RollingBack,
    /// Taking it back failed; what serves is kept, people must decide.
    Stuck,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// It was carried through.
    Completed,
    /// It failed, and the revision before it serves again.
    RolledBack,
    /// A newer change took over.
    Superseded,
    /// It failed and there was nothing to go back to, or going back failed.
    Failed,
    /// The app was stopped.
    Stopped,
}

/// What a change was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A manifest was deployed.
    Deploy,
    /// Somebody went back.
    Rollback,
    /// Somebody set a number of instances.
    Scale,
    /// The app was stopped.
    Undeploy,
}

/// One change of an app in its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The generation that the change was given.
    pub generation: Generation,
    /// Which kind.
    pub kind: ChangeKind,
    /// Where it went; none for a stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Revision>,
    /// Its strategy's word in a manifest; empty where traffic was not moved by one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strategy: String,
    /// How it ended; none while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it ended so, when it did not go well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Who and why.
    #[serde(default)]
    pub cause: Cause,
}

/// Something that keeps an app from its goal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Stable text for scripts: a host's [`Reason`] such as `fetch-failed`, or a planner's such as `no-host`.
    pub reason: String,
    /// In words, with names and numbers.
    pub message: String,
    /// Which component, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentName>,
    /// Which host, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The host's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
}

/// One component of an app over all hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Name in the manifest.
    pub component: ComponentName,
    /// Lattice-wide id.
    pub id: ComponentId,
    /// Hosts that should run it.
    pub desired: u32,
    /// Hosts where the wanted spec serves.
    pub ready: u32,
    /// Where it is and how it stands there, hosts in order of names.
    pub places: Vec<Place>,
}

/// A component on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Which host.
    pub host: HostId,
    /// Its name for people.
    pub host_name: String,
    /// Revision of the spec.
    pub revision: Revision,
    /// Its phase; absent when the host has not said anything about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Share of new calls that it takes there.
    #[serde(default, skip_serializing_if = "Weight::is_none")]
    pub weight: Weight,
    /// Calls that it has answered well and badly, and those it is answering.
    #[serde(default, skip_serializing_if = "no_calls")]
    pub calls: CallCounts,
    /// Why it stands there.
    #[serde(default)]
    pub reason: Reason,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Links to and from providers there, and whether a provider has said that it took them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkInventory>,
}

/// All changes of an app that are still remembered, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Which app.
    pub app: AppName,
    /// At most as many as the manager keeps.
    pub entries: Vec<HistoryEntry>,
    /// Names that people gave to revisions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Revision>,
}

/// A manager's answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagerInfo {
    /// One run of a manager's process: a ULID.
    pub manager: String,
    /// Version of Lath that it runs.
    pub version: String,
    /// Whether it is the one that acts.
    pub acting: bool,
    /// Its term, or the highest that it has seen.
    pub epoch: crate::id::Epoch,
    /// Control APIs that it speaks.
    pub apis: Vec<String>,
    /// Its clock when it answered.
    pub time: Timestamp,
}

fn no_calls(calls: &CallCounts) -> bool {
    *calls == CallCounts::default()
}
