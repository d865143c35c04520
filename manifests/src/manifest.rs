//! What a manifest means, once every rule holds: names are ids, defaults are filled in, links have both ends.
//!
//! No reading, no checking and no YAML here. The types are `#[non_exhaustive]`: outside this crate a [`Manifest`]
//! comes from [`crate::load`] and from nowhere else, so who holds one need not check it again.

mod image;
mod rollout;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::egress::AllowedHost;
use lath_control_api::preopen::Preopen;
use lath_control_api::{
    AppName, ComponentId, ComponentName, InstancePolicy, Limits, LinkName, Requirements, Transport,
};

pub use image::{ImageRef, ImageRefError};
pub use rollout::{
    Bake, Bound, CanaryStep, GateLimit, Gates, Inconclusive, Metric, RollbackRule, RolloutPolicy, Share,
    Strategy, Waves, Webhook,
};

/// An application as its owner wants it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Manifest {
    /// The app.
    pub name: AppName,
    /// The owner's name for this state of the app (annotation `version`): 1 to 64 characters, never `latest`.
    /// The manager makes one when there is none.
    pub version: Option<String>,
    /// One line for lists (annotation `description`).
    pub description: Option<String>,
    /// Labels of the app, as written.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the app, as written; `version` and `description` among them.
    pub annotations: BTreeMap<String, String>,
    /// True when other apps may use the components of this one.
    pub shared: bool,
    /// Components and capabilities in the order of the file. Names are unique, and so are the ids of those that are
    /// not shared ones of other apps.
    pub components: Vec<Component>,
    /// Policies of every type, in the order of the file, with unique names. Those of rollouts are among them.
    pub policies: Vec<Policy>,
    /// How one revision of the app replaces another: at most one policy for all components, and any number that are
    /// for some of them, each component in one at most. See [`RolloutPolicy::choose`].
    pub rollouts: Vec<RolloutPolicy>,
}

impl Manifest {
    /// The component called `name`, if the manifest has one.
    #[must_use]
    pub fn component(&self, name: &ComponentName) -> Option<&Component> {
        self.components.iter().find(|component| component.name == *name)
    }
}

/// One component or capability of an app.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Component {
    /// Name within the manifest.
    pub name: ComponentName,
    /// Id in the lattice: the one written, else `{app}-{component}`. Of a shared component the one that the
    /// other app's manifest generates; where that manifest writes an id, it is written here as well.
    pub id: ComponentId,
    /// Whether it is code that is invoked or a capability that hosts provide.
    pub kind: Kind,
    /// Where the code comes from.
    pub source: Source,
    /// Named configurations in the order of the file; of one key the last wins. Empty for a shared component.
    pub config: Vec<ConfigUse>,
    /// References to secrets, never their values. Empty for a shared component.
    pub secrets: Vec<SecretUse>,
    /// How many run, and on which hosts.
    pub scaling: Scaling,
    /// Links that begin here, in the order of the file.
    pub links: Vec<Link>,
    /// The request that must succeed before the component gets traffic; none when it is ready once it is linked.
    pub probe: Option<Probe>,
    /// What it may use on a host.
    pub limits: Limits,
    /// When an instance is made and thrown away.
    pub instances: InstancePolicy,
    /// What it may reach and see outside of itself.
    pub grants: Grants,
    /// Traits of types that Lath does not know, kept for other tools.
    pub other_traits: Vec<OtherTrait>,
}

/// What a component is to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// WebAssembly code that is instantiated for invocations.
    Component,
    /// A provider of interfaces: built into the host, or a process beside it.
    Capability,
}

/// Where a component's code comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An image of this app's own.
    Image(ImageRef),
    /// A component that another app, marked as shared, already runs.
    Shared {
        /// The other app. Never the app of this manifest.
        app: AppName,
        /// Name of the component in the other app's manifest.
        component: ComponentName,
    },
}

/// A named configuration that a component or an end of a link takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigUse {
    /// Name as written in the manifest.
    pub name: String,
    /// Key in the lattice's store: `{app}-{name}` when the app owns it, else the name unchanged.
    pub key: String,
    /// The pairs, when the app owns this configuration; `None` when it must exist already.
    pub properties: Option<BTreeMap<String, String>>,
}

/// A reference to a secret. The value is fetched by the host that needs it and is never held here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretUse {
    /// Name as written in the manifest.
    pub name: String,
    /// Key of the stored reference: `SECRET_{app}-{name}`.
    pub store_key: String,
    /// The policy that says how to reach the backend; always one of [`Manifest::policies`].
    pub policy: String,
    /// Backend of that policy.
    pub backend: String,
    /// Key of the secret in the backend.
    pub key: String,
    /// Field of the secret, where the backend keeps several under one key.
    pub field: Option<String>,
    /// Version of the secret; the newest when absent.
    pub version: Option<String>,
}

/// How many instances run, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scaling {
    /// Not started by this app: a component without a scaler, or a shared one.
    None,
    /// A number in all, shared out over the spreads. For a component concurrent instances, for a capability hosts.
    Spread {
        /// Total, 0 to [`crate::limits::MAX_INSTANCES`].
        instances: u32,
        /// At least one; names are unique and the weights do not sum to 0.
        spreads: Vec<Spread>,
    },
    /// On every host that a spread allows.
    Daemon {
        /// Concurrent instances on each host, 0 to [`crate::limits::MAX_INSTANCES`]. Not used for a capability,
        /// which runs once on a host, except that 0 stands for nowhere.
        instances: u32,
        /// At least one; names are unique.
        spreads: Vec<Spread>,
    },
}

/// A rule that picks hosts by their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spread {
    /// Name, unique in its scaler; `default` for the one made when the manifest gives none.
    pub name: String,
    /// A host is eligible when each of these labels has exactly this value on it.
    pub requirements: Requirements,
    /// Weight against the other spreads, 0 to [`crate::limits::MAX_WEIGHT`]; [`Spread::DEFAULT_WEIGHT`] when not given.
    pub weight: u32,
}

impl Spread {
    /// Weight of a spread that gives none.
    pub const DEFAULT_WEIGHT: u32 = 100;
    /// Name of the spread that stands for an empty list.
    pub const DEFAULT_NAME: &'static str = "default";

    /// A spread over the hosts with these labels, of the usual weight.
    #[must_use]
    pub const fn over(name: String, requirements: Requirements) -> Self {
        Self { name, requirements, weight: Self::DEFAULT_WEIGHT }
    }
}

/// A link from the component that holds it to another of the same manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Name that tells links of the same interface apart; `default` when not given.
    pub name: LinkName,
    /// WIT namespace, such as `wasi`.
    pub namespace: String,
    /// WIT package, such as `http`.
    pub package: String,
    /// WIT interfaces of the package; at least one, each once.
    pub interfaces: Vec<String>,
    /// The component at the other end; always one of [`Manifest::components`], never the one that holds the link.
    pub target: ComponentName,
    /// Configuration handed to the end where the link begins.
    pub source_config: Vec<ConfigUse>,
    /// Configuration handed to the target.
    pub target_config: Vec<ConfigUse>,
    /// Secrets handed to the end where the link begins.
    pub source_secrets: Vec<SecretUse>,
    /// Secrets handed to the target.
    pub target_secrets: Vec<SecretUse>,
    /// How calls reach the target; always [`Transport::Any`] where that is a capability.
    pub transport: Transport,
}

/// A question that a component must answer well before it gets traffic, and while it runs if there is a period.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// What is asked.
    pub question: Question,
    /// Longest wait for one answer, 10 ms to 60 s.
    pub timeout: Duration,
    /// Attempts before the revision counts as not ready, 1 to 100.
    pub attempts: u32,
    /// Time between two questions while it runs, 1 s to 1 h; none when it is asked before it gets traffic only.
    pub period: Option<Duration>,
    /// Bad answers in a row after which it is unhealthy, 1 to 100; none for the default of hosts.
    pub failures: Option<u32>,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// `GET` of this path, with its query if any; begins with `/`. An answer of 200 to 299 passes.
    Get(String),
    /// This function without parameters, as `INTERFACE.FUNCTION` or `FUNCTION`. No result, `true`, or a result that is no
    /// error passes.
    Call(String),
}

impl Probe {
    /// Timeout of a probe that gives none.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
    /// Attempts of a probe that gives none.
    pub const DEFAULT_ATTEMPTS: u32 = 3;
}

/// What a component may reach and see outside of itself. Nothing but what stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grants {
    /// Where it may send requests, and what its sockets may reach: its own list, else the one of the app.
    pub allowed_hosts: BTreeSet<AllowedHost>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Arguments, exactly these: the first one is by custom the name of the program.
    pub arguments: Vec<String>,
    /// Folders of its hosts, in the order of the manifest; no two at one path.
    pub preopens: Vec<Preopen>,
}

/// A policy, of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Name, unique in the manifest.
    pub name: String,
    /// Type, such as [`Policy::SECRET`].
    pub kind: String,
    /// Pairs as written.
    pub properties: BTreeMap<String, String>,
}

impl OtherTrait {
    /// Type of a trait of autoscaling, as in published examples: kept, and without effect yet.
    pub const AUTOSCALER: &'static str = "autoscaler";
}

impl Policy {
    /// Type of a policy that names a secret backend.
    pub const SECRET: &'static str = "policy.secret.wasmcloud.dev/v1alpha1";
    /// Type of the policy that holds the app's own `allowed_hosts`.
    pub const GRANTS: &'static str = "policy.grants.lath/v1";
    /// Type of a policy of autoscaling, as in published examples: kept, and without effect yet.
    pub const REPLICAS: &'static str = "replicas";
    /// Type of the policy that [`RolloutPolicy`] is read from.
    pub const ROLLOUT: &'static str = "policy.rollout.lath/v1";
}

/// A trait of a type that Lath does not know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OtherTrait {
    /// Type as written.
    pub kind: String,
    /// Properties as written.
    pub properties: serde_json::Value,
}
