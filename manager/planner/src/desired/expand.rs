//! From a manifest to specs: each name is replaced by what it stands for, and what cannot be given is refused by its name.

use std::collections::BTreeMap;

use lath_control_api::{
    ApiError, Builtin, ComponentId, ComponentSpec, ErrorCode, Grants, Image, InstancePolicy, Limits,
    LinkSpec, Probe, ProviderTarget, SecretRef, Workload,
};
use lath_manifests::Manifest;
use lath_manifests::manifest::{
    Component, ConfigUse, ImageRef, Kind, Link, Policy, Question, Scaling, SecretUse, Source,
};

use super::http::http_routes;
use super::shared::is_elsewhere;
use super::{AppSpec, ComponentPlan, Contents, millis, providers};
use crate::record::{Pinned, Resolved, RevisionRecord};

/// Type of the trait with free texts.
const ANNOTATIONS: &str = "annotations.lath/v1";

/// What `record` asks of hosts.
///
/// # Errors
/// When the manifest asks for something that Lath cannot give: each such thing is named, nothing is left out
/// silently.
pub fn expand(manifest: &Manifest, record: &RevisionRecord) -> Result<AppSpec, ApiError> {
    let expander = Expander { manifest, record };
    let mut components = BTreeMap::new();
    for component in &manifest.components {
        let plan = match &component.source {
            Source::Image(_) => Some(expander.plan(component)?),
            Source::Shared { app, .. } => expander.begun_at(component, app)?,
        };
        let Some(plan) = plan else { continue };
        // What is part of its callers stands in their links, and is placed nowhere.
        if !plan.spec.workload.builtin().is_some_and(Builtin::is_in_its_callers) {
            components.insert(component.name.clone(), plan);
        }
    }
    providers::connect(&mut components);
    Ok(AppSpec {
        app: manifest.name.clone(),
        revision: record.revision,
        components,
        rollouts: manifest.rollouts.clone(),
        description: manifest.description.clone(),
        contents: Contents::default(),
    })
}

/// What is asked of hosts for the components of a manifest, one by one.
pub(super) struct Expander<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) record: &'a RevisionRecord,
}

/// What a component is beside what its manifest says of it: where that is another app's, it comes from there.
pub(super) struct Runs {
    pub(super) id: ComponentId,
    pub(super) workload: Workload,
    pub(super) config: BTreeMap<String, String>,
    pub(super) scaling: Scaling,
}

impl Expander<'_> {
    fn plan(&self, component: &Component) -> Result<ComponentPlan, ApiError> {
        let workload = self.workload(component)?;
        let config = merge(&self.record.pinned, &component.config)?;
        let (id, scaling) = (component.id.clone(), component.scaling.clone());
        self.planned(component, Runs { id, workload, config, scaling })
    }

    /// What is asked of hosts for a component that is `runs`: its links and all else that its manifest says.
    pub(super) fn planned(&self, component: &Component, runs: Runs) -> Result<ComponentPlan, ApiError> {
        let Runs { id, workload, config, scaling } = runs;
        let builtin = workload.builtin();
        let capability = component.kind == Kind::Capability;
        if !capability && builtin.is_some() {
            let message = format!("`{}` is a capability built into hosts, not a component", component.name);
            return Err(unsupported(message).with_help("write `type: capability`"));
        }
        let links = component.links.iter().filter_map(|link| self.link(component, link).transpose());
        let links = links.collect::<Result<Vec<_>, _>>()?;
        let routes = match builtin {
            Some(Builtin::HttpServer) => http_routes(&component.name, &config, &links)?,
            Some(Builtin::KeyvalueMemory | Builtin::KeyvalueNats) | None => Vec::new(),
        };
        if builtin.is_some() {
            takes_no_secrets(component, component.secrets.first())?;
        }
        let is_process = matches!(workload, Workload::Provider { .. });
        let spec = ComponentSpec {
            revision: self.record.revision,
            workload,
            max_instances: 1,
            // None of these bound a process: left at their defaults, they do not make it another spec either.
            instance_policy: if is_process { InstancePolicy::default() } else { component.instances },
            limits: if is_process { Limits::default() } else { component.limits },
            config,
            links,
            secrets: self.secrets(&component.secrets),
            incoming: Vec::new(),
            grants: if is_process { Grants::default() } else { grants(component) },
            routes,
            probe: component.probe.as_ref().filter(|_| !is_process).map(probe),
            annotations: annotations(component),
        };
        let scaling = scaled(&scaling, self.record.scale.get(&component.name).copied());
        Ok(ComponentPlan { id, capability, scaling, spec })
    }

    pub(super) fn workload(&self, component: &Component) -> Result<Workload, ApiError> {
        let Source::Image(image) = &component.source else {
            let message =
                format!("`{}` belongs to another app and runs nowhere for this one", component.name);
            return Err(ApiError::new(ErrorCode::Internal, message));
        };
        let reference = image.to_string();
        match (self.record.images.get(&reference), component.kind) {
            (Some(Resolved::Code { digest }), kind) => {
                let image = Image { reference, digest: digest.clone() };
                Ok(match kind {
                    Kind::Component => Workload::Component { image },
                    Kind::Capability => Workload::Provider { image },
                })
            }
            (Some(Resolved::Builtin { builtin }), _) => {
                Ok(Workload::Builtin { builtin: *builtin, reference })
            }
            (None, _) => {
                let message = format!("image `{reference}` of `{}` was not resolved", component.name);
                Err(unsupported(message).with_help(match image {
                    ImageRef::Builtin(_) => format!("hosts have these builtins: {}", known_builtins()),
                    ImageRef::File(_) | ImageRef::Oci(_) => "deploy the manifest again".to_owned(),
                }))
            }
        }
    }

    /// The link as its source is told. None where it leads from one capability to another: as in 1.x it is nothing, which
    /// the manifest's own warning says.
    fn link(&self, source: &Component, link: &Link) -> Result<Option<LinkSpec>, ApiError> {
        let target = self.manifest.component(&link.target).ok_or_else(|| {
            let message = format!("link target `{}` does not exist", link.target);
            ApiError::new(ErrorCode::InvalidManifest, message)
        })?;
        if is_nothing(source, target) {
            return Ok(None);
        }
        let end = self.end(target)?;
        if end.builtin.is_some() {
            takes_no_secrets(target, link.target_secrets.iter().chain(&target.secrets).next())?;
        }
        let mut target_config = end.config;
        target_config.extend(merge(&self.record.pinned, &link.target_config)?);
        Ok(Some(LinkSpec {
            name: link.name.clone(),
            namespace: link.namespace.clone(),
            package: link.package.clone(),
            interfaces: link.interfaces.clone(),
            target: end.id,
            target_name: target.name.clone(),
            source_config: merge(&self.record.pinned, &link.source_config)?,
            target_config,
            builtin: end.builtin,
            provider: end.provider,
            source_secrets: self.secrets(&link.source_secrets),
            target_secrets: self.secrets(&link.target_secrets),
            transport: link.transport,
        }))
    }

    /// What a link to `target` leads to. Which process of this app that is stands fixed once all specs are there.
    fn end(&self, target: &Component) -> Result<End, ApiError> {
        if is_elsewhere(target) {
            return self.end_elsewhere(target);
        }
        let builtin = self.workload(target)?.builtin().filter(|builtin| builtin.is_in_its_callers());
        let config = match builtin {
            Some(_) => merge(&self.record.pinned, &target.config)?,
            None => BTreeMap::new(),
        };
        Ok(End { id: target.id.clone(), builtin, config, provider: None })
    }

    fn end_elsewhere(&self, target: &Component) -> Result<End, ApiError> {
        let known = self.record.pinned.shared.get(&target.name);
        let id = known.map_or(&target.id, |known| &known.id).clone();
        let builtin = known.and_then(|known| known.builtin);
        match (target.kind, builtin) {
            (Kind::Capability, Some(builtin)) if !builtin.is_in_its_callers() => {
                let message =
                    format!("a link leads to `{}`, which is {builtin} and answers no calls", target.name);
                Err(unsupported(message)
                    .with_help("link to a component, or to a capability that answers calls"))
            }
            (Kind::Capability, None) => Ok(End {
                id,
                builtin: None,
                config: BTreeMap::new(),
                provider: Some(ProviderTarget::Elsewhere),
            }),
            (Kind::Component | Kind::Capability, builtin) => {
                let config = known.map(|known| known.config.clone()).unwrap_or_default();
                Ok(End { id, builtin, config, provider: None })
            }
        }
    }

    fn secrets(&self, uses: &[SecretUse]) -> Vec<SecretRef> {
        let mut found: Vec<SecretRef> = Vec::new();
        for secret in uses {
            let next = self.secret(secret);
            // Of one name the last counts, as with configuration.
            found.retain(|other| other.name != next.name);
            found.push(next);
        }
        found
    }

    fn secret(&self, secret: &SecretUse) -> SecretRef {
        let is_meant = |policy: &&Policy| policy.name == secret.policy;
        let policy = self.manifest.policies.iter().find(is_meant);
        let mut properties = policy.map(|policy| policy.properties.clone()).unwrap_or_default();
        properties.remove("backend");
        SecretRef {
            name: secret.name.clone(),
            backend: secret.backend.clone(),
            key: secret.key.clone(),
            field: secret.field.clone(),
            version: secret.version.clone(),
            properties,
        }
    }
}

/// Whether a link would lead from one capability to another, which no end of it is told.
pub(super) fn is_nothing(source: &Component, target: &Component) -> bool {
    source.kind == Kind::Capability && target.kind == Kind::Capability
}

/// Where a link ends.
struct End {
    id: ComponentId,
    /// A capability that is part of its callers, with its own settings.
    builtin: Option<Builtin>,
    config: BTreeMap<String, String>,
    provider: Option<ProviderTarget>,
}

fn grants(component: &Component) -> Grants {
    Grants {
        allowed_hosts: component.grants.allowed_hosts.clone(),
        env: component.grants.env.clone(),
        arguments: component.grants.arguments.clone(),
        preopens: component.grants.preopens.clone(),
    }
}

/// Texts of the trait `annotations.lath/v1`, which travel along with what runs.
fn annotations(component: &Component) -> BTreeMap<String, String> {
    let traits = component.other_traits.iter().filter(|other| other.kind == ANNOTATIONS);
    let texts = traits.filter_map(|other| other.properties.as_object()).flatten();
    texts.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn probe(probe: &lath_manifests::manifest::Probe) -> Probe {
    let (path, function) = match &probe.question {
        Question::Get(path) => (path.clone(), None),
        Question::Call(function) => (String::new(), Some(function.clone())),
    };
    Probe {
        path,
        timeout_ms: millis(probe.timeout),
        attempts: probe.attempts,
        function,
        period_ms: probe.period.map(millis),
        failures: probe.failures,
    }
}

/// The manifest's scaling with the number that was set by hand.
pub(super) fn scaled(scaling: &Scaling, by_hand: Option<u32>) -> Scaling {
    let mut scaling = scaling.clone();
    if let (Some(count), Scaling::Spread { instances, .. } | Scaling::Daemon { instances, .. }) =
        (by_hand, &mut scaling)
    {
        *instances = count;
    }
    scaling
}

fn known_builtins() -> String {
    Builtin::ALL.map(Builtin::name).join(", ")
}

pub(super) fn unsupported(message: String) -> ApiError {
    ApiError::new(ErrorCode::ImageUnsupported, message)
}

fn takes_no_secrets(component: &Component, secret: Option<&SecretUse>) -> Result<(), ApiError> {
    let Some(secret) = secret else { return Ok(()) };
    let message = format!(
        "`{}` is built into hosts and takes no secrets, but is given `{}`: it would do without it",
        component.name, secret.name
    );
    Err(unsupported(message).with_help("remove the secret, or use a provider's image that takes it"))
}

/// Pairs of the named configurations, a later one winning over an earlier one. What has no pairs in the manifest is one of
/// the lattice's, as it was when the revision was made.
pub(super) fn merge(pinned: &Pinned, uses: &[ConfigUse]) -> Result<BTreeMap<String, String>, ApiError> {
    let mut merged = BTreeMap::new();
    for config in uses {
        match config.properties.as_ref().or_else(|| pinned.configs.get(&config.name)) {
            Some(properties) => merged.extend(properties.clone()),
            None => return Err(no_config(&config.name)),
        }
    }
    Ok(merged)
}

/// Neither the manifest nor the lattice says what a configuration is.
#[must_use]
pub fn no_config(name: &str) -> ApiError {
    let message = format!(
        "the configuration `{name}` has no properties in the manifest, and the lattice has none of this name"
    );
    ApiError::new(ErrorCode::InvalidManifest, message).with_help(format!(
        "put it first: lath config put {name} KEY=VALUE; or give it its `properties` in the manifest"
    ))
}
