//! Capability providers: processes beside a host. What one of them is started for, what it is called on the wire, and
//! what hosts say to one another about links to it (decision 0022).
//!
//! Nothing here is of the protocol of 1.x between a host and its process; that is in `wasmcloud/src/provider.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::bundle::{ComponentSpec, HoldPolicy, Workload};
use crate::id::{AppName, ComponentId, HostId, IdError};
use crate::link::{LinkName, LinkSpec};
use crate::secret::SecretRef;

/// What calls of its own app reach a process of a provider by: `{component id}-{first 8 hexadecimal digits of its content}`.
/// It is the same on every host that runs this content; what tells the processes of two hosts apart is the hosts' affair.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WireId(Box<str>);

impl WireId {
    /// The grammar in words, for messages.
    pub const RULE: &'static str = "a component id, `-`, and 8 lower-case hexadecimal digits";
    const DIGITS: usize = 8;

    /// The wire id of a process of `provider` with this content ([`ComponentSpec::process`]).
    #[must_use]
    pub fn of(provider: &ComponentId, content: &Digest) -> Self {
        let digits = content.hex().get(..Self::DIGITS).unwrap_or_else(|| content.hex());
        Self(format!("{provider}-{digits}").into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WireId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match text.rsplit_once('-') {
            Some((provider, digits))
                if digits.len() == Self::DIGITS
                    && digits.bytes().all(is_digit)
                    && provider.parse::<ComponentId>().is_ok() =>
            {
                Ok(Self(text.into()))
            }
            Some(_) | None => Err(IdError::new("wire id", text, Self::RULE)),
        }
    }
}

impl TryFrom<String> for WireId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<WireId> for String {
    fn from(id: WireId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Where the calls of a link go whose target is a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum ProviderTarget {
    /// To a process of the caller's own app and revision. The link is among the [`ComponentSpec::incoming`] of the
    /// provider's spec, so the caller's host puts nothing.
    #[serde(rename_all = "camelCase")]
    Process {
        /// What the process is called.
        wire_id: WireId,
    },
    /// To a provider of another app, under its plain component id ([`LinkSpec::target`]). The caller's host puts the link
    /// before the caller is ready.
    Elsewhere,
}

/// A link as its target knows it: which component it comes from, and all of its settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncomingLink {
    /// Where it begins.
    pub source: ComponentId,
    /// Unique for a source, a namespace and a package.
    pub name: LinkName,
    /// WIT namespace of every interface of the link.
    pub namespace: String,
    /// WIT package of every interface of the link.
    pub package: String,
    /// Interfaces of the package that go over this link; at least one.
    pub interfaces: Vec<String>,
    /// Settings of this link for its source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub source_config: BTreeMap<String, String>,
    /// Settings of this link for its target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub target_config: BTreeMap<String, String>,
    /// Secrets of this link for its source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_secrets: Vec<SecretRef>,
    /// Secrets of this link for its target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_secrets: Vec<SecretRef>,
}

impl IncomingLink {
    /// The link `link` of `source`, as its target knows it.
    #[must_use]
    pub fn of(source: &ComponentId, link: &LinkSpec) -> Self {
        Self {
            source: source.clone(),
            name: link.name.clone(),
            namespace: link.namespace.clone(),
            package: link.package.clone(),
            interfaces: link.interfaces.clone(),
            source_config: link.source_config.clone(),
            target_config: link.target_config.clone(),
            source_secrets: link.source_secrets.clone(),
            target_secrets: link.target_secrets.clone(),
        }
    }

    /// What tells it from the other links to its target.
    #[must_use]
    pub fn key(&self) -> LinkKey {
        LinkKey {
            source: self.source.clone(),
            namespace: self.namespace.clone(),
            package: self.package.clone(),
            name: self.name.clone(),
        }
    }
}

/// What tells a link to a provider from all others to the same one, as in 1.x.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkKey {
    /// Where it begins.
    pub source: ComponentId,
    /// WIT namespace.
    pub namespace: String,
    /// WIT package.
    pub package: String,
    /// Its name.
    pub name: LinkName,
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{}, {})", self.source, self.namespace, self.package, self.name)
    }
}

/// All that a process of a provider is started with, and so what makes it another process when it changes. The links that
/// begin at the provider are no part of it: they are put to it while it runs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessContent<'a> {
    image: &'a Digest,
    config: &'a BTreeMap<String, String>,
    secrets: &'a [SecretRef],
    incoming: &'a [IncomingLink],
}

impl ComponentSpec {
    /// Content of the process that this spec needs; none where it is no provider. Units of two revisions with one content
    /// share a process.
    #[must_use]
    pub fn process(&self) -> Option<Digest> {
        let Workload::Provider { image } = &self.workload else { return None };
        let Self { config, secrets, incoming, .. } = self;
        let content = ProcessContent { image: &image.digest, config, secrets, incoming };
        // Maps, lists and texts, as in `ComponentSpec::content`.
        Some(Digest::of(&serde_json::to_vec(&content).unwrap_or_default()))
    }

    /// What the process of this spec is called on the wire, where `provider` is the id of its component; none where it is
    /// no provider.
    #[must_use]
    pub fn wire_id(&self, provider: &ComponentId) -> Option<WireId> {
        Some(WireId::of(provider, &self.process()?))
    }
}

/// Asks the hosts of a provider to give it a link that begins in another app. State, not a stroke: the same link again
/// changes nothing, another one under the same key takes its place. A link stays as long as one host holds it.
///
/// Each host that has the provider answers with [`LinkReply`]: at once, and once more when the first answer was
/// [`LinkAnswer::Taken`]. Nobody listens where no host has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkPutRequest {
    /// The host that asks, because the source of the link runs there. It holds the link from now on.
    pub host: HostId,
    /// The app that the link belongs to.
    pub app: AppName,
    /// The link.
    pub link: IncomingLink,
    /// What may be held of its calls while it takes the place of another form of it.
    #[serde(default, skip_serializing_if = "HoldPolicy::is_default")]
    pub hold: HoldPolicy,
}

/// Asks the hosts of a provider to take a link away that begins in another app: `host` holds it no more. It is taken from
/// the process when no other host holds it either. Answered like [`LinkPutRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkDeleteRequest {
    /// The host that asks.
    pub host: HostId,
    /// Which link.
    pub link: LinkKey,
}

/// Answer of one host of a provider to [`LinkPutRequest`] or [`LinkDeleteRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkReply {
    /// Who answers.
    pub host: HostId,
    /// How it went there.
    #[serde(flatten)]
    pub answer: LinkAnswer,
}

/// How a link went at one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub enum LinkAnswer {
    /// It has been passed on; another answer follows.
    Taken,
    /// The provider has said that it took it. Also: it had the same one before, or it is gone as asked.
    Accepted,
    /// The provider said nothing in time, as providers on the published SDK do. It may have taken it or not.
    Unverified,
    /// The provider, or its host, has refused it.
    #[serde(rename_all = "camelCase")]
    Refused {
        /// In the provider's own words.
        message: String,
    },
    /// No process of it runs there now. One that starts asks for its links ([`LinksRequest`]).
    Absent,
}

/// Asks every host which links lead to a provider from what runs there of other apps. Sent by a host that starts a process
/// of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinksRequest {
    /// The plain component id of the provider.
    pub provider: ComponentId,
}

/// Answer of a host that has such links. A host without any says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinksReply {
    /// Who answers; it holds these links.
    pub host: HostId,
    /// The links with the app that each belongs to, in order of app and key.
    pub links: Vec<LinkHeld>,
}

/// A link to a provider of another app, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkHeld {
    /// The app that the link belongs to.
    pub app: AppName,
    /// The link.
    pub link: IncomingLink,
}

#[cfg(test)]
mod tests;
