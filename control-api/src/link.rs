//! Links: which component or capability answers an import.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::builtin::Builtin;
use crate::id::{ComponentId, ComponentName};
use crate::provider::ProviderTarget;
use crate::secret::SecretRef;

/// Name of a link; one component may reach two targets through the same interface under two names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkName(pub String);

impl Default for LinkName {
    /// The name that 1.x gives a link whose manifest names none.
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A WIT interface without its version, as links name it: `wasi:http/incoming-handler`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WitInterface {
    /// Before the colon, such as `wasi`.
    pub namespace: String,
    /// Between colon and slash, such as `http`.
    pub package: String,
    /// After the slash, such as `incoming-handler`.
    pub interface: String,
}

impl WitInterface {
    /// Parts of an instance name such as `wasi:http/incoming-handler@0.2.3`; `None` when it is not of that form.
    #[must_use]
    pub fn of_instance(name: &str) -> Option<Self> {
        let unversioned = name.split_once('@').map_or(name, |(before, _)| before);
        let (namespace, rest) = unversioned.split_once(':')?;
        let (package, interface) = rest.split_once('/')?;
        Some(Self { namespace: namespace.into(), package: package.into(), interface: interface.into() })
    }
}

impl fmt::Display for WitInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.namespace, self.package, self.interface)
    }
}

/// How calls reach the component that a link leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Within the host where the target serves there too, else over the lattice.
    #[default]
    Any,
    /// Within the host; where the target does not serve there, nothing takes the call.
    Inprocess,
    /// Over the lattice, also to a target on the same host.
    Wrpc,
}

impl Transport {
    /// Those that a manifest may name.
    pub const NAMED: [&str; 2] = ["inprocess", "wrpc"];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "inprocess" => Some(Self::Inprocess),
            "wrpc" => Some(Self::Wrpc),
            _ => None,
        }
    }

    /// Its name; none of the one that nobody names.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Inprocess => Some("inprocess"),
            Self::Wrpc => Some("wrpc"),
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }
}

/// One link of a component, seen from its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkSpec {
    /// Unique for a source and an interface.
    pub name: LinkName,
    /// WIT namespace of every interface of the link.
    pub namespace: String,
    /// WIT package of every interface of the link.
    pub package: String,
    /// Interfaces of the package that go over this link; at least one.
    pub interfaces: Vec<String>,
    /// Who answers.
    pub target: ComponentId,
    /// The target's name in the manifest, for people.
    pub target_name: ComponentName,
    /// Settings of this link for its source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub source_config: BTreeMap<String, String>,
    /// Settings of this link for its target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub target_config: BTreeMap<String, String>,
    /// The capability of the host that answers, where the target is one that is part of its callers
    /// ([`Builtin::is_in_its_callers`]); its own settings are among [`LinkSpec::target_config`] then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<Builtin>,
    /// Where the calls go, where the target is a provider: a process beside some host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderTarget>,
    /// Secrets of this link for its source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_secrets: Vec<SecretRef>,
    /// Secrets of this link for its target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_secrets: Vec<SecretRef>,
    /// How calls reach the target, where that is a component.
    #[serde(default, skip_serializing_if = "Transport::is_any")]
    pub transport: Transport,
}

impl LinkSpec {
    /// Whether calls of `interface` go over this link.
    #[must_use]
    pub fn carries(&self, interface: &WitInterface) -> bool {
        self.namespace == interface.namespace
            && self.package == interface.package
            && self.interfaces.contains(&interface.interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_names_lose_their_version() {
        let parsed = WitInterface::of_instance("wasi:http/incoming-handler@0.2.3").unwrap();
        assert_eq!(parsed.to_string(), "wasi:http/incoming-handler");
        assert_eq!(WitInterface::of_instance("run"), None);
        assert_eq!(WitInterface::of_instance("wasi:http"), None);
    }

    #[test]
    fn transports_have_the_names_that_manifests_give_them() {
        for name in Transport::NAMED {
            let transport = Transport::named(name).unwrap();
            assert_eq!(transport.name(), Some(name));
            assert_eq!(serde_json::to_value(transport).unwrap(), name);
        }
        assert_eq!(Transport::named("any"), None);
        assert_eq!(Transport::default().name(), None);
    }
}
