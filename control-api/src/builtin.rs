//! Capabilities that a host provides itself, and the references under which manifests ask for them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A capability inside the host process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Builtin {
    /// Takes HTTP requests and gives them to linked components through `wasi:http/incoming-handler`.
    HttpServer,
    /// Answers `wasi:keyvalue` from the memory of the host that the caller is on.
    KeyvalueMemory,
    /// Answers `wasi:keyvalue` from buckets of the lattice's NATS.
    KeyvalueNats,
}

impl Builtin {
    /// All of them, for messages that list what there is.
    pub const ALL: [Self; 3] = [Self::HttpServer, Self::KeyvalueMemory, Self::KeyvalueNats];

    /// The name after `builtin://`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HttpServer => "http-server",
            Self::KeyvalueMemory => "keyvalue-memory",
            Self::KeyvalueNats => "keyvalue-nats",
        }
    }

    /// Whether it is part of every component that has a link to it, and runs nowhere by itself.
    #[must_use]
    pub const fn is_in_its_callers(self) -> bool {
        match self {
            Self::HttpServer => false,
            Self::KeyvalueMemory | Self::KeyvalueNats => true,
        }
    }

    /// The builtin of that name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.name() == name)
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "builtin://{}", self.name())
    }
}

/// Which image references stand for a builtin. Keys are repositories without tag or digest.
///
/// A manifest of the 1.x world names the published image of a provider; where the host has that capability
/// built in, the reference is taken as the builtin, whatever its tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuiltinAliases(pub BTreeMap<String, Builtin>);

impl Default for BuiltinAliases {
    fn default() -> Self {
        let http = [
            "ghcr.io/wasmcloud/http-server",
            "wasmcloud.azurecr.io/httpserver",
            "ghcr.io/wasmcloud/httpserver",
        ];
        let http = http.into_iter().map(|repository| (repository, Builtin::HttpServer));
        let keyvalue = [("ghcr.io/wasmcloud/keyvalue-nats", Builtin::KeyvalueNats)];
        Self(http.chain(keyvalue).map(|(repository, builtin)| (repository.to_owned(), builtin)).collect())
    }
}

impl BuiltinAliases {
    /// The builtin that `reference` stands for: `builtin://NAME`, `wasmcloud+builtin://NAME`, or an alias.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<Builtin> {
        let scheme = ["builtin://", "wasmcloud+builtin://"];
        if let Some(name) = scheme.iter().find_map(|scheme| reference.strip_prefix(scheme)) {
            return Builtin::named(name);
        }
        let untagged = reference.split_once('@').map_or(reference, |(before, _)| before);
        // A colon after the last slash begins a tag; one before it is a registry's port.
        let name_start = untagged.rfind('/').map_or(0, |slash| slash + 1);
        let repository = match untagged.get(name_start..).and_then(|name| name.find(':')) {
            Some(colon) => untagged.get(..name_start + colon).unwrap_or(untagged),
            None => untagged,
        };
        self.0.get(repository).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtins_are_found_under_every_reference_they_have() {
        let aliases = BuiltinAliases::default();
        for reference in [
            "builtin://http-server",
            "wasmcloud+builtin://http-server",
            "ghcr.io/wasmcloud/http-server:0.27.0",
            "ghcr.io/wasmcloud/http-server",
            "ghcr.io/wasmcloud/http-server:1@sha256:00",
        ] {
            assert_eq!(aliases.resolve(reference), Some(Builtin::HttpServer), "{reference}");
        }
        for reference in ["builtin://nope", "localhost:5000/http-server:1", "file:///tmp/http-server"] {
            assert_eq!(aliases.resolve(reference), None, "{reference}");
        }
    }
}
