//! What is stored of an app: one desired record, changed only by compare-and-set, and immutable revisions.
//!
//! The desired record alone, with the revisions that it names, says what every host should be told now. That is
//! its rule: nothing that decides a command is kept anywhere else. The journal of a rollout is the rollout's
//! stage in the record together with the fence's step.

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::app::{Cause, ChangeKind, HistoryEntry, Outcome, Problem};
use lath_control_api::{
    AppName, Builtin, CallCounts, ComponentId, ComponentName, Digest, Generation, HostId, Requirements,
    Revision, Step, Timestamp, Weight,
};
use serde::{Deserialize, Serialize};

use crate::versions::Version;

/// Schema number of both records. A reader refuses a larger one.
pub const SCHEMA: u32 = 1;
/// Most entries of a record's history; older ones are forgotten.
pub const HISTORY_KEPT: usize = 50;

/// What an app should be, and how far the way there has been gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredRecord {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Who wrote this state: lets a writer whose answer was lost find out whether the write happened.
    #[serde(default)]
    pub write_id: String,
    /// The app.
    pub app: AppName,
    /// Run, stop or forget.
    pub wanted: Wanted,
    /// Counts accepted changes.
    pub generation: Generation,
    /// Counts the commands' contents within the generation.
    pub step: Step,
    /// The revision that should run, or that a rollout leads to; none when stopped.
    pub revision: Option<Revision>,
    /// The revision that hosts hold as stable: the last one that a rollout settled.
    pub serving: Option<Revision>,
    /// The highest revision number ever given.
    pub last_revision: Revision,
    /// Where the components of `revision` belong.
    #[serde(default)]
    pub assignment: Assignment,
    /// During a rollout: where the components of `serving` are.
    #[serde(default)]
    pub base: Assignment,
    /// Without a rollout: components that stay where they were until the assignment is ready.
    #[serde(default)]
    pub surplus: Assignment,
    /// The change on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Revisions that were settled once, oldest first.
    #[serde(default)]
    pub good: Vec<Revision>,
    /// Revisions that failed, and why.
    #[serde(default)]
    pub failed: BTreeMap<Revision, Problem>,
    /// Hosts that have been told to run something of the app and have not said since that it is gone.
    #[serde(default)]
    pub touched: BTreeSet<HostId>,
    /// Changes, newest first; at most [`HISTORY_KEPT`].
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
    /// Names that people gave to revisions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Revision>,
    /// Manifests by their owners' names for them, deployed or only put, in the order in which the names came; at most
    /// [`crate::versions::VERSIONS_KEPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Version>,
}

/// What is to become of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// It runs.
    Run,
    /// It is stopped; its revisions stay.
    Stop,
    /// It is stopped and then forgotten.
    Forget,
}

/// Which host runs which components, with how many instances at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Assignment(pub BTreeMap<HostId, BTreeMap<ComponentName, u32>>);

impl Assignment {
    /// Hosts that run something.
    pub fn hosts(&self) -> impl Iterator<Item = &HostId> {
        self.0.keys()
    }

    /// Whether nothing runs anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What `host` runs.
    pub fn on(&self, host: &HostId) -> impl Iterator<Item = (&ComponentName, u32)> {
        self.0.get(host).into_iter().flatten().map(|(name, count)| (name, *count))
    }

    /// Instances of `component` on `host`; none when it is not there.
    #[must_use]
    pub fn count(&self, host: &HostId, component: &ComponentName) -> Option<u32> {
        self.0.get(host)?.get(component).copied()
    }

    /// Adds instances of `component` on `host`.
    pub fn add(&mut self, host: &HostId, component: &ComponentName, instances: u32) {
        let count = self.0.entry(host.clone()).or_default().entry(component.clone()).or_default();
        *count = count.saturating_add(instances);
    }

    /// Both together; where both have a component on a host, the number of `self`.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (host, components) in &other.beyond(self).0 {
            for (component, instances) in components {
                all.add(host, component, *instances);
            }
        }
        all
    }

    /// What is here and not in `other`, host by host and component by component.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (host, components) in &self.0 {
            for (component, instances) in components {
                if other.count(host, component).is_none() {
                    rest.add(host, component, *instances);
                }
            }
        }
        rest
    }
}

/// A change on its way from one revision to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Which kind of change began it.
    pub kind: ChangeKind,
    /// How far it is.
    pub stage: Stage,
    /// When it began.
    pub started: Timestamp,
    /// When it last came forward; the progress deadline counts from here.
    pub progressed: Timestamp,
    /// Why it is being taken back, or why it is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Properties of the policy that differ for this rollout only, as in a manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, String>,
    /// Why it stands still until a person says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// What a person has allowed since the step at hand began.
    #[serde(default, skip_serializing_if = "Promotion::is_none")]
    pub promotion: Promotion,
    /// What had been counted when the step at hand became healthy; none when nothing is judged by counts. Not within
    /// the stage: what serde reads of a tagged enum loses maps with numbers as keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// What the webhook has last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookAnswer>,
}

/// A rollout stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Why, and by whom.
    pub why: String,
}

/// What a person has allowed a rollout to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promotion {
    /// Nothing beyond its policy.
    #[default]
    None,
    /// The step at hand is enough.
    Step,
    /// All steps that are left are skipped.
    Full,
}

impl Promotion {
    /// Whether it allows nothing.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// What a webhook said of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAnswer {
    /// The step that it was asked about.
    pub step: Step,
    /// Whether it agreed.
    pub agreed: bool,
    /// Its words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// The counters of an app's hosts when a step's time began: what has come since is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Runs of the hosts that had counted. A host that restarts begins to count anew, and so does the window.
    pub boots: BTreeMap<HostId, String>,
    /// Of the revision before, by component, over all hosts.
    pub stable: BTreeMap<ComponentName, CallCounts>,
    /// Of the new one.
    pub candidate: BTreeMap<ComponentName, CallCounts>,
}

/// The stages of a rollout. Each has a way forward and a way back, or is an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "name")]
pub enum Stage {
    /// Every host makes the new revision ready at weight 0. Forward: all are ready. Back: one has failed.
    Preparing,
    /// The old revision is stopped before the new one starts. Forward: nothing of it is left.
    Emptying,
    /// Traffic moves to the new revision, one step of the ladder after another. Forward: every step was healthy long
    /// enough, and its gates held.
    Shifting {
        /// Hosts that give the new revision its share.
        shifted: BTreeSet<HostId>,
        /// The step's place in the ladder, from 0.
        #[serde(default)]
        rung: usize,
        /// The new revision's share on `shifted`.
        #[serde(default = "all")]
        weight: Weight,
        /// Nothing of the old revision is kept beside it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alone: bool,
        /// Since when all of `shifted` have been healthy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        healthy_since: Option<Timestamp>,
    },
    /// The new revision has all traffic and the old one is ready beside it. Forward: that has been so long enough.
    Warm {
        /// Until when.
        until: Timestamp,
    },
    /// The new revision is the stable one everywhere; the old one drains and goes. Forward: it is gone.
    Settling,
    /// `serving` gets everything back (nothing, when there was none). Forward: it has it. Back: none; at the
    /// deadline it is stuck.
    RollingBack,
    /// The app is taken off the hosts.
    Stopping,
    /// Taking back failed, or was not wanted: nothing more happens until people decide.
    Stuck,
}

const fn all() -> Weight {
    Weight::ALL
}

impl Rollout {
    /// Whether the new revision has had no traffic yet.
    #[must_use]
    pub const fn is_untouched(&self) -> bool {
        matches!(self.stage, Stage::Preparing)
    }

    /// Whether it leads back, or away from every revision.
    #[must_use]
    pub const fn goes_back(&self) -> bool {
        matches!(self.stage, Stage::RollingBack | Stage::Stopping | Stage::Stuck)
    }
}

impl DesiredRecord {
    /// Whether somebody has asked for it to be stopped. An app whose first revision failed is stopped as well, and nobody
    /// has asked for that.
    #[must_use]
    pub fn is_stopped_on_request(&self) -> bool {
        match self.wanted {
            Wanted::Run => false,
            Wanted::Forget => true,
            Wanted::Stop => self.history.first().is_none_or(|newest| newest.kind == ChangeKind::Undeploy),
        }
    }

    /// The record of an app that was never deployed.
    #[must_use]
    pub fn new(app: AppName) -> Self {
        Self {
            schema: SCHEMA,
            write_id: String::new(),
            app,
            wanted: Wanted::Stop,
            generation: Generation(0),
            step: Step(0),
            revision: None,
            serving: None,
            last_revision: Revision(0),
            assignment: Assignment::default(),
            base: Assignment::default(),
            surplus: Assignment::default(),
            rollout: None,
            good: Vec::new(),
            failed: BTreeMap::new(),
            touched: BTreeSet::new(),
            history: Vec::new(),
            tags: BTreeMap::new(),
            versions: Vec::new(),
        }
    }

    /// Revisions whose contents are needed to plan this record.
    #[must_use]
    pub fn needed_revisions(&self) -> BTreeSet<Revision> {
        self.revision.into_iter().chain(self.serving).collect()
    }

    /// Whether a store that holds this record has lost `later`: this one comes before it and knows of no change that
    /// `later` does not. Somebody may have asked for a change when the loss was not yet seen; such a record is newer,
    /// whatever its numbers say.
    #[must_use]
    pub fn is_past_of(&self, later: &Self) -> bool {
        if (self.generation, self.step) >= (later.generation, later.step) {
            return false;
        }
        let Some(newest) = self.history.first() else { return true };
        let same = |other: &HistoryEntry| {
            (other.generation, other.kind, other.revision, other.started)
                == (newest.generation, newest.kind, newest.revision, newest.started)
        };
        // What is older than all that `later` remembers is not among it.
        let forgotten = later.history.len() >= HISTORY_KEPT
            && later.history.last().is_some_and(|oldest| newest.started <= oldest.started);
        forgotten || later.history.iter().any(same)
    }

    /// Ends the newest entry of the history, if it is open.
    pub(crate) fn end_history(&mut self, outcome: Outcome, problem: Option<Problem>, now: Timestamp) {
        if let Some(entry) = self.history.first_mut().filter(|entry| entry.outcome.is_none()) {
            entry.outcome = Some(outcome);
            entry.problem = problem;
            entry.ended = Some(now);
        }
    }

    /// Begins an entry of the history; the one before it, if still open, was superseded.
    pub(crate) fn begin_history(
        &mut self,
        kind: ChangeKind,
        from: Option<Revision>,
        cause: Cause,
        now: Timestamp,
    ) {
        self.end_history(Outcome::Superseded, None, now);
        let entry = HistoryEntry {
            generation: self.generation,
            kind,
            strategy: String::new(),
            revision: self.revision,
            from,
            outcome: None,
            problem: None,
            started: now,
            ended: None,
            cause,
        };
        self.history.insert(0, entry);
        self.history.truncate(HISTORY_KEPT);
    }
}

/// A manifest as it was accepted, with everything in it that could otherwise change. Written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRecord {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The app.
    pub app: AppName,
    /// Its number.
    pub revision: Revision,
    /// The manifest as the user wrote it.
    pub manifest: String,
    /// What each image reference of the manifest was resolved to.
    pub images: BTreeMap<String, Resolved>,
    /// What other names of the manifest stood for when the revision was made.
    #[serde(default, skip_serializing_if = "Pinned::is_empty")]
    pub pinned: Pinned,
    /// Digest over manifest, images and the rest that was pinned: what makes two revisions the same.
    pub content: Digest,
    /// Instances that were set by hand, in place of what the manifest says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scale: BTreeMap<ComponentName, u32>,
    /// The revision that this one repeats, when it was made by going back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Revision>,
    /// What its owner calls the manifest; empty in what was written before there were such names.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// It is only kept: nothing runs it, and its images are resolved when it is deployed, as another revision.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_put: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Who and why.
    #[serde(default)]
    pub cause: Cause,
}

/// What names of a manifest stood for that lead out of it, when its revision was made. Kept with the revision, so that it
/// means the same for as long as it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pinned {
    /// Values of the lattice's own configs, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<String, BTreeMap<String, String>>,
    /// Components of other apps by their names in this manifest, those only that are not what the manifest alone says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shared: BTreeMap<ComponentName, SharedAs>,
}

impl Pinned {
    /// Whether no name leads out of the manifest.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.configs.is_empty() && self.shared.is_empty()
    }
}

/// What a component of another app was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedAs {
    /// Its id in the lattice.
    pub id: ComponentId,
    /// The capability that it is, where it is one that is built into hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<Builtin>,
    /// The settings of that capability.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Of an HTTP server the hosts that it may be on, by the names of its spreads; none where its app runs it nowhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spreads: BTreeMap<String, Requirements>,
}

/// What an image reference stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Resolved {
    /// Code with this digest.
    Code {
        /// Of the component's bytes.
        digest: Digest,
    },
    /// A capability inside hosts.
    Builtin {
        /// Which one.
        builtin: Builtin,
    },
}

impl RevisionRecord {
    /// The digest that makes two revisions the same: of the manifest's bytes, what its images and other names stood
    /// for, and the instances that were set by hand.
    #[must_use]
    pub fn content_of(
        manifest: &str,
        images: &BTreeMap<String, Resolved>,
        pinned: &Pinned,
        scale: &BTreeMap<ComponentName, u32>,
    ) -> Digest {
        // Texts and maps with text keys: serialising cannot fail; were it to, the digest covers the manifest.
        let images = serde_json::to_string(images).unwrap_or_default();
        let scale =
            if scale.is_empty() { String::new() } else { serde_json::to_string(scale).unwrap_or_default() };
        // Nothing pinned leaves the digest as it was before there was such a thing.
        let pinned =
            if pinned.is_empty() { String::new() } else { serde_json::to_string(pinned).unwrap_or_default() };
        Digest::of(format!("{}\n{manifest}\n{images}{scale}{pinned}", manifest.len()).as_bytes())
    }
}
