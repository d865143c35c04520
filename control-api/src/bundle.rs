//! What a host is told to run: for one component, everything that it must know.
//!
//! A spec holds resolved values only: digests instead of tags, config values instead of names, ids instead of
//! manifest names. A host needs nothing but the bundle and the bytes of the image.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::artifact::{Digest, Image};
use crate::builtin::Builtin;
use crate::egress::AllowedHost;
use crate::id::{ComponentId, ComponentName, Revision};
use crate::limits::{InstancePolicy, Limits};
use crate::link::LinkSpec;
use crate::preopen::Preopen;
use crate::provider::IncomingLink;
use crate::secret::SecretRef;

/// One component or builtin capability of an app on one host: what serves, and what is to serve next.
///
/// Without a `stable` spec the candidate is prepared and gets traffic by its weight alone, so that a component
/// that is new on a host can be made ready before anything moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentBundle {
    /// Name in the manifest.
    pub component: ComponentName,
    /// Lattice-wide id: names the invocation subjects.
    pub id: ComponentId,
    /// What serves. A host holds thousands of specs, each in several places: they are shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Arc<ComponentSpec>>,
    /// What is prepared beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// How what is replaced goes away.
    #[serde(default)]
    pub drain: DrainPolicy,
    /// What may be held while something exclusive changes hands.
    #[serde(default)]
    pub hold: HoldPolicy,
    /// What a link is worth that a provider was given and said nothing about.
    #[serde(default, skip_serializing_if = "UnverifiedLinks::is_default")]
    pub unverified_links: UnverifiedLinks,
}

/// The next spec of a component, and how much of the traffic it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// What to prepare.
    pub spec: Arc<ComponentSpec>,
    /// Share of new calls that it takes once it is ready; the stable spec takes the rest.
    pub weight: Weight,
}

/// Percentage of new calls, 0 to 100.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Weight(u8);

impl Weight {
    /// No call goes there.
    pub const NONE: Self = Self(0);
    /// Every call goes there.
    pub const ALL: Self = Self(100);

    /// Whether no call goes there.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// The percentage.
    #[must_use]
    pub const fn percent(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Weight {
    type Error = String;

    fn try_from(percent: u8) -> Result<Self, String> {
        if percent <= 100 {
            Ok(Self(percent))
        } else {
            Err(format!("weight {percent} is not within 0 to 100"))
        }
    }
}

impl From<Weight> for u8 {
    fn from(weight: Weight) -> u8 {
        weight.0
    }
}

/// Everything that decides how a component behaves on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSpec {
    /// The app's revision that this spec belongs to. Not part of [`ComponentSpec::content`].
    pub revision: Revision,
    /// What runs.
    pub workload: Workload,
    /// Most concurrent instances on this host; further calls wait. At least 1.
    pub max_instances: u32,
    /// When an instance is made and thrown away.
    #[serde(default)]
    pub instance_policy: InstancePolicy,
    /// What a call may use.
    #[serde(default)]
    pub limits: Limits,
    /// Settings that the component reads, resolved. Later ones of the manifest have won over earlier ones.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Where imports go.
    #[serde(default)]
    pub links: Vec<LinkSpec>,
    /// Secrets that it is given. References only: the host asks the backends for the values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRef>,
    /// Links of its own app that lead to it, in order of their sources; only for [`Workload::Provider`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incoming: Vec<IncomingLink>,
    /// What of the outside the component may reach. Empty denies all.
    #[serde(default)]
    pub grants: Grants,
    /// Where HTTP requests come from and go to; only for [`Builtin::HttpServer`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<HttpRoute>,
    /// A request that must be answered well before the component gets traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Free texts that travel along.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ComponentSpec {
    /// Digest of everything but the revision: two specs with the same content behave the same, so a host that
    /// runs one runs the other, and need not prepare anything.
    #[must_use]
    pub fn content(&self) -> Digest {
        let unnumbered = Self { revision: Revision::default(), ..self.clone() };
        // A spec is maps, lists and texts with text keys: serde_json cannot fail on it. Were it to, the empty
        // text would make the spec differ from every other, which only costs a preparation.
        let text = serde_json::to_vec(&unnumbered).unwrap_or_default();
        Digest::of(&text)
    }
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Workload {
    /// A WebAssembly component.
    Component {
        /// Its code.
        image: Image,
    },
    /// A capability provider: a process beside the host, one for each content ([`ComponentSpec::process`]).
    Provider {
        /// Its code: a provider archive, gzipped or not, or a plain executable. The bytes tell which.
        image: Image,
    },
    /// A capability inside the host process.
    Builtin {
        /// Which one.
        builtin: Builtin,
        /// As the manifest wrote it.
        reference: String,
    },
}

impl Workload {
    /// The capability inside the host, where it is one.
    #[must_use]
    pub const fn builtin(&self) -> Option<Builtin> {
        match self {
            Self::Component { .. } | Self::Provider { .. } => None,
            Self::Builtin { builtin, .. } => Some(*builtin),
        }
    }

    /// The code, where there is any.
    #[must_use]
    pub const fn image(&self) -> Option<&Image> {
        match self {
            Self::Component { image } | Self::Provider { image } => Some(image),
            Self::Builtin { .. } => None,
        }
    }

    /// As the manifest wrote the image.
    #[must_use]
    pub fn reference(&self) -> &str {
        match self {
            Self::Component { image } | Self::Provider { image } => &image.reference,
            Self::Builtin { reference, .. } => reference,
        }
    }
}

/// What of the outside a component may reach. Everything not listed is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Grants {
    /// Where the component may send requests, and what its sockets may reach.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_hosts: BTreeSet<AllowedHost>,
    /// Environment variables that the component sees.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Arguments that the component sees, exactly these: the first one is by custom the name of the program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Folders of the host that the component sees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub preopens: Vec<Preopen>,
}

/// One way from an HTTP listener to a component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// Where the host listens; its own default address when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Host of the request, lower-case, without port; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Prefix of the request's path, in whole segments; any when absent. The longest that fits wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Who answers.
    pub target: ComponentId,
    /// Most time until the head of the answer, in milliseconds; the component's own deadline when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl HttpRoute {
    /// Whether two routes would claim the same requests, where `default` is what hosts listen on by default.
    #[must_use]
    pub fn collides(&self, other: &Self, default: Option<SocketAddr>) -> bool {
        let same_address = match (self.address.or(default), other.address.or(default)) {
            (Some(a), Some(b)) => {
                a.port() == b.port()
                    && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
            }
            (None, None) => true,
            (None, Some(_)) | (Some(_), None) => false,
        };
        same_address && self.host == other.host && self.path == other.path
    }

    /// The route for people: `127.0.0.1:8000`, `127.0.0.1:8000/cart`, `127.0.0.1:8000 host=shop.test`.
    #[must_use]
    pub fn describe(&self) -> String {
        let address =
            self.address.map_or_else(|| "default address".to_owned(), |address| address.to_string());
        let path = self.path.as_deref().unwrap_or_default();
        match &self.host {
            Some(host) => format!("{address}{path} host={host}"),
            None => format!("{address}{path}"),
        }
    }
}

/// A question that a component must answer well: once before it gets traffic, and again and again while it runs if it
/// has a period. Either a request `GET path`, answered with a status of 200 to 299, or a call of a function without
/// parameters, which gives nothing, `true`, or a result that is no error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Path and query, beginning with `/`; empty when a function is called.
    pub path: String,
    /// Most time for one answer, in milliseconds.
    pub timeout_ms: u64,
    /// Tries before the spec counts as failed; at least 1.
    pub attempts: u32,
    /// The function to call, as `INTERFACE.FUNCTION` or `FUNCTION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Time between two questions while the component runs, in milliseconds; it is asked at its start alone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_ms: Option<u64>,
    /// Bad answers in a row after which a running component is unhealthy; 3 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
}

impl Probe {
    /// Least and most of `period_ms`.
    pub const PERIOD_MS: std::ops::RangeInclusive<u64> = 1_000..=3_600_000;
    /// Least and most of `failures`.
    pub const FAILURES: std::ops::RangeInclusive<u32> = 1..=100;
    /// `failures` when it is absent.
    pub const DEFAULT_FAILURES: u32 = 3;
}

/// How what is replaced goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DrainPolicy {
    /// Most time for calls that were taken before the replacement, in milliseconds. The rest gets an error.
    pub deadline_ms: u64,
}

impl Default for DrainPolicy {
    /// 30 s.
    fn default() -> Self {
        Self { deadline_ms: 30_000 }
    }
}

/// What a link is worth that a provider was given and said nothing about. Providers on the published SDK of 1.x never say
/// anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnverifiedLinks {
    /// It counts as taken.
    #[default]
    Allow,
    /// It counts as refused: what needs it is not ready.
    Fail,
}

impl UnverifiedLinks {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Allow, Self::Fail];

    /// The word of a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Fail => "fail",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    const fn is_default(&self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// How long and how many calls may be held while something exclusive changes hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HoldPolicy {
    /// Most time that a call is held, in milliseconds.
    pub max_time_ms: u64,
    /// Most calls that are held at once; further ones get an error.
    pub max_queue: u32,
}

impl HoldPolicy {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for HoldPolicy {
    /// 5 s and 1,000 calls.
    fn default() -> Self {
        Self { max_time_ms: 5_000, max_queue: 1_000 }
    }
}
