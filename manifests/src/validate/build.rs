//! A draft that broke no rule becomes a [`Manifest`]: names parsed, defaults filled in, ids made.
//!
//! Nothing is judged here. `None` would mean that a rule is missing.

use std::collections::BTreeMap;

use lath_control_api::{AppName, InstancePolicy, Limits, LinkName, Requirements, Transport};

use super::{ids, metadata};
use crate::draft::{Draft, DraftComponent, DraftConfig, DraftLink, DraftScaler, DraftSecret, DraftSpread};
use crate::manifest::{
    Component, ConfigUse, Grants, Kind, Link, Manifest, Policy, Scaling, SecretUse, Source, Spread,
};
use crate::read::Pair;

pub(super) fn manifest(draft: &Draft<'_>) -> Option<Manifest> {
    let annotation = |key| metadata::annotation(draft, key).map(|pair| pair.value.value.to_owned());
    let policies: Option<Vec<Policy>> = draft
        .policies
        .iter()
        .map(|policy| {
            let (name, kind) = (policy.name?.value.to_owned(), policy.kind?.value.to_owned());
            Some(Policy { name, kind, properties: pairs(&policy.properties) })
        })
        .collect();
    let scope = Scope { draft, app: ids::app(draft)?, policies: policies? };
    let components: Option<Vec<Component>> =
        draft.components.iter().map(|component| scope.component(component)).collect();
    Some(Manifest {
        name: scope.app,
        version: annotation(metadata::VERSION),
        description: annotation(metadata::DESCRIPTION),
        labels: pairs(&draft.labels),
        annotations: pairs(&draft.annotations),
        shared: annotation(metadata::SHARED).is_some_and(|shared| shared == "true"),
        components: components?,
        policies: scope.policies,
        rollouts: draft.policies.iter().filter_map(|policy| policy.rollout.clone()).collect(),
    })
}

/// What every part of a manifest may refer to.
struct Scope<'d, 't> {
    draft: &'d Draft<'t>,
    app: AppName,
    policies: Vec<Policy>,
}

impl Scope<'_, '_> {
    fn component(&self, draft: &DraftComponent<'_>) -> Option<Component> {
        let source = match (draft.application, draft.image) {
            (Some(shared), _) => Source::Shared {
                app: shared.value.app?.value.parse().ok()?,
                component: shared.value.component?.value.parse().ok()?,
            },
            (None, Some(image)) => Source::Image(image.value.parse().ok()?),
            (None, None) => return None,
        };
        let kind = draft.kind?;
        let links: Option<Vec<Link>> = draft.links.iter().map(|link| self.link(link)).collect();
        Some(Component {
            name: ids::name(draft)?,
            id: ids::component(self.draft, draft)?,
            kind,
            config: self.configs(&draft.config),
            secrets: self.secrets(&draft.secrets)?,
            scaling: scaling(draft.scalers.first(), kind, &source)?,
            links: links?,
            probe: match draft.probes.first() {
                Some(probe) => Some(probe.value.clone()?),
                None => None,
            },
            limits: match draft.limits.first() {
                Some(limits) => limits.value?,
                None => Limits::default(),
            },
            instances: match draft.instances.first() {
                Some(instances) => instances.value?,
                None => InstancePolicy::default(),
            },
            grants: self.grants(draft),
            other_traits: draft.other_traits.clone(),
            source,
        })
    }

    /// Its own list of hosts counts, also an empty one; the app's when it has none.
    fn grants(&self, draft: &DraftComponent<'_>) -> Grants {
        if draft.kind == Some(Kind::Capability) {
            return Grants::default();
        }
        let own = draft.grants.first().map(|grants| &grants.value);
        let of_app = || self.draft.policies.iter().find_map(|policy| policy.allowed_hosts.as_ref());
        let allowed_hosts = own.and_then(|grants| grants.allowed_hosts.as_ref()).or_else(of_app);
        Grants {
            allowed_hosts: allowed_hosts.cloned().unwrap_or_default(),
            env: own.map(|grants| pairs(&grants.env)).unwrap_or_default(),
            arguments: own.map(|grants| grants.arguments.clone()).unwrap_or_default(),
            preopens: own.map(|grants| grants.preopens.clone()).unwrap_or_default(),
        }
    }

    fn link(&self, draft: &DraftLink<'_>) -> Option<Link> {
        let mut interfaces: Vec<String> = Vec::new();
        for interface in &draft.interfaces {
            if !interfaces.iter().any(|known| known == interface.value) {
                interfaces.push(interface.value.to_owned());
            }
        }
        Some(Link {
            name: draft.name.map_or_else(LinkName::default, |name| LinkName(name.value.to_owned())),
            namespace: draft.namespace?.value.to_owned(),
            package: draft.package?.value.to_owned(),
            interfaces,
            target: draft.target?.value.parse().ok()?,
            source_config: self.configs(&draft.source_config),
            target_config: self.configs(&draft.target_config),
            source_secrets: self.secrets(&draft.source_secrets)?,
            target_secrets: self.secrets(&draft.target_secrets)?,
            transport: draft.transport.map_or_else(Transport::default, |transport| transport.value),
        })
    }

    fn configs(&self, drafts: &[DraftConfig<'_>]) -> Vec<ConfigUse> {
        let config = |draft: &DraftConfig<'_>| ConfigUse {
            name: draft.name.value.to_owned(),
            key: ids::config_key(&self.app, draft),
            properties: draft.properties.as_deref().map(pairs),
        };
        drafts.iter().map(config).collect()
    }

    fn secrets(&self, drafts: &[DraftSecret<'_>]) -> Option<Vec<SecretUse>> {
        drafts.iter().map(|draft| self.secret(draft)).collect()
    }

    fn secret(&self, draft: &DraftSecret<'_>) -> Option<SecretUse> {
        let policy = draft.policy?.value;
        let backend = self.policies.iter().find(|known| known.name == policy)?.properties.get("backend")?;
        Some(SecretUse {
            name: draft.name.value.to_owned(),
            store_key: ids::secret_key(&self.app, draft.name.value),
            policy: policy.to_owned(),
            backend: backend.clone(),
            key: draft.key?.value.to_owned(),
            field: draft.field.map(|field| field.value.to_owned()),
            version: draft.version.map(|version| version.value.to_owned()),
        })
    }
}

fn scaling(scaler: Option<&DraftScaler<'_>>, kind: Kind, source: &Source) -> Option<Scaling> {
    let Some(scaler) = scaler else {
        return Some(match (kind, source) {
            (Kind::Capability, Source::Image(_)) => {
                Scaling::Spread { instances: 1, spreads: vec![everywhere()] }
            }
            (Kind::Component, _) | (Kind::Capability, Source::Shared { .. }) => Scaling::None,
        });
    };
    let spreads: Option<Vec<Spread>> = scaler.spreads.iter().map(spread).collect();
    let mut spreads = spreads?;
    if spreads.is_empty() {
        spreads.push(everywhere());
    }
    let instances = scaler.instances?;
    Some(if scaler.daemon {
        Scaling::Daemon { instances, spreads }
    } else {
        Scaling::Spread { instances, spreads }
    })
}

fn spread(draft: &DraftSpread<'_>) -> Option<Spread> {
    Some(Spread {
        name: draft.name?.value.to_owned(),
        requirements: Requirements(pairs(&draft.requirements)),
        weight: draft.weight.unwrap_or(Spread::DEFAULT_WEIGHT),
    })
}

/// The spread that stands for an empty list.
fn everywhere() -> Spread {
    Spread::over(Spread::DEFAULT_NAME.to_owned(), Requirements::default())
}

fn pairs(pairs: &[Pair<'_>]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.key.value.to_owned(), pair.value.value.to_owned())).collect()
}
