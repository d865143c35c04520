//! A link at a process: with the values of its secrets, and the id of the process in the place of the provider's.

use std::collections::BTreeMap;

use lath_control_api::{ComponentId, IncomingLink, LinkAnswer, LinkKey, LinkName, LinkSpec, LinkState};
use lath_wasmcloud::{ProviderLink, SecretValue};

use super::seal::{Keys, SealError};

/// Secrets by the names under which their reader finds them. Never shown: the values hide themselves.
pub(crate) type Values = BTreeMap<String, SecretValue>;

/// Which end of a link the provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// It answers.
    Target,
    /// It calls.
    Source,
}

/// What tells a link of a process from its others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId {
    pub(crate) end: End,
    /// The other end.
    pub(crate) peer: ComponentId,
    pub(crate) namespace: String,
    pub(crate) package: String,
    pub(crate) name: LinkName,
}

/// A link as one process is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) interfaces: Vec<String>,
    pub(crate) source_config: BTreeMap<String, String>,
    pub(crate) target_config: BTreeMap<String, String>,
    pub(crate) source_secrets: Values,
    pub(crate) target_secrets: Values,
}

impl Link {
    /// A link that leads to the provider.
    pub(crate) fn incoming(link: &IncomingLink, source_secrets: Values, target_secrets: Values) -> Self {
        let id = LinkId {
            end: End::Target,
            peer: link.source.clone(),
            namespace: link.namespace.clone(),
            package: link.package.clone(),
            name: link.name.clone(),
        };
        Self {
            id,
            interfaces: link.interfaces.clone(),
            source_config: link.source_config.clone(),
            target_config: link.target_config.clone(),
            source_secrets,
            target_secrets,
        }
    }

    /// A link that begins at the provider.
    pub(crate) fn outgoing(link: &LinkSpec, source_secrets: Values, target_secrets: Values) -> Self {
        let id = LinkId {
            end: End::Source,
            peer: link.target.clone(),
            namespace: link.namespace.clone(),
            package: link.package.clone(),
            name: link.name.clone(),
        };
        Self {
            id,
            interfaces: link.interfaces.clone(),
            source_config: link.source_config.clone(),
            target_config: link.target_config.clone(),
            source_secrets,
            target_secrets,
        }
    }

    /// As the process with this provider key gets it.
    pub(crate) fn on_wire(&self, key: &str, keys: &Keys) -> Result<ProviderLink, SealError> {
        Ok(ProviderLink {
            source_secrets: keys.seal(&self.source_secrets)?,
            target_secrets: keys.seal(&self.target_secrets)?,
            source_config: self.source_config.clone(),
            target_config: self.target_config.clone(),
            ..self.bare(key)
        })
    }

    /// The same without settings: how it is deleted.
    pub(crate) fn bare(&self, key: &str) -> ProviderLink {
        let LinkId { end, peer, namespace, package, name } = &self.id;
        let (source, target) = match end {
            End::Target => (peer.as_str(), key),
            End::Source => (key, peer.as_str()),
        };
        ProviderLink {
            source_id: source.to_owned(),
            target: target.to_owned(),
            name: name.0.clone(),
            wit_namespace: namespace.clone(),
            wit_package: package.clone(),
            interfaces: self.interfaces.clone(),
            source_config: BTreeMap::new(),
            target_config: BTreeMap::new(),
            source_secrets: None,
            target_secrets: None,
        }
    }
}

impl LinkId {
    /// Both ends of the link, where `provider` is the plain id of the provider.
    pub(crate) fn ends(&self, provider: &ComponentId) -> (LinkKey, ComponentId) {
        let (source, target) = match self.end {
            End::Target => (&self.peer, provider),
            End::Source => (provider, &self.peer),
        };
        let Self { namespace, package, name, .. } = self.clone();
        (LinkKey { source: source.clone(), namespace, package, name }, target.clone())
    }
}

/// How a link stands after this answer, and the words of a refusal.
pub(crate) fn standing(answer: &LinkAnswer) -> (LinkState, String) {
    match answer {
        LinkAnswer::Accepted => (LinkState::Accepted, String::new()),
        LinkAnswer::Unverified => (LinkState::Unverified, String::new()),
        LinkAnswer::Taken | LinkAnswer::Absent => (LinkState::Waiting, String::new()),
        LinkAnswer::Refused { message } => (LinkState::Refused, message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_stands_at_its_end_of_the_link() {
        let incoming = IncomingLink {
            source: "shop-cart".parse().unwrap(),
            name: LinkName::default(),
            namespace: "wasi".into(),
            package: "keyvalue".into(),
            interfaces: vec!["store".into()],
            source_config: BTreeMap::new(),
            target_config: BTreeMap::from([("bucket".into(), "carts".into())]),
            source_secrets: Vec::new(),
            target_secrets: Vec::new(),
        };
        let secrets = Values::from([("password".into(), SecretValue::String("hush".into()))]);
        let link = Link::incoming(&incoming, Values::new(), secrets);
        assert!(!format!("{link:?}").contains("hush"));
        let wire = link.on_wire("shop-kv-0123abcd-NA", &Keys::new()).unwrap();
        assert_eq!((wire.source_id.as_str(), wire.target.as_str()), ("shop-cart", "shop-kv-0123abcd-NA"));
        assert_eq!(wire.target_config["bucket"], "carts");
        assert!(wire.target_secrets.unwrap().starts_with(b"xkv1") && wire.source_secrets.is_none());
        let (key, target) = link.id.ends(&"shop-kv".parse().unwrap());
        assert_eq!((key, target.as_str()), (incoming.key(), "shop-kv"));
    }
}
