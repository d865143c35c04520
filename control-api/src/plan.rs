//! What a deploy would do, before it is done.

use serde::{Deserialize, Serialize};

use crate::id::{AppName, ComponentName, HostId, Revision};

/// What deploying a manifest now would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Which app.
    pub app: AppName,
    /// Stands for this plan: the same while manifest, code, policy and the app's record are the same.
    pub id: String,
    /// The revision that is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Revision>,
    /// The revision that the deploy would make.
    pub to: Revision,
    /// Nothing would change.
    pub unchanged: bool,
    /// Each difference between the two.
    pub changes: Vec<Difference>,
    /// Components in which nothing differs.
    pub same: Vec<ComponentName>,
    /// Where components would be, hosts in order of names.
    pub places: Vec<PlannedPlace>,
    /// The strategy's word in a manifest.
    pub strategy: String,
    /// The steps of the rollout in order, for people.
    pub order: Vec<String>,
    /// What deserves a second look, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<String>,
    /// Notes, such as what cannot be placed at the moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One difference between two revisions, in the words of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The component that it is about; none for the app as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentName>,
    /// What of it: `component`, `image`, `instances`, `config NAME`, `link TARGET`, `route`, `limits`, `policy`, ...
    pub what: String,
    /// How it was; none when it is new. Values of secrets never stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How it would be; none when it goes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One component on one host, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedPlace {
    /// The component.
    pub component: ComponentName,
    /// The host.
    pub host: HostId,
    /// Its name for people.
    pub host_name: String,
    /// Instances there now, 0 for none.
    pub before: u32,
    /// Instances there after, 0 for none.
    pub after: u32,
}
