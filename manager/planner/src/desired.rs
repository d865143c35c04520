//! What a revision asks of hosts: a manifest with every name replaced by what it stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use lath_control_api::ApiError;
use lath_control_api::{
    AppName, Builtin, ComponentId, ComponentName, ComponentSpec, Digest, DrainPolicy, ErrorCode, Grants,
    HttpRoute, Image, LinkSpec, Probe, Revision, Workload,
};
use lath_manifests::Manifest;
use lath_manifests::manifest::{
    Component, ConfigUse, ImageRef, Link, Question, RolloutPolicy, Scaling, Source,
};

use crate::record::{Resolved, RevisionRecord};

/// Type of the trait with free texts.
const ANNOTATIONS: &str = "annotations.lath/v1";

/// A revision of an app, ready to be placed: specs that lack nothing but the number of instances on a host.
#[derive(Debug, Clone, PartialEq)]
pub struct AppSpec {
    /// The app.
    pub app: AppName,
    /// Its revision.
    pub revision: Revision,
    /// Its components and capabilities by name.
    pub components: BTreeMap<ComponentName, ComponentPlan>,
    /// How it replaces another revision, by what that changes.
    pub rollouts: Vec<RolloutPolicy>,
    /// One line for lists.
    pub description: Option<String>,
    /// Digests of its specs, each worked out once.
    pub contents: Contents,
}

/// [`ComponentSpec::content`] of the components of a revision by their number of instances: asked for in every plan,
/// and by far the dearest thing in it. Says nothing that the specs do not say, so it differs from no other.
#[derive(Debug, Default)]
pub struct Contents(Mutex<BTreeMap<(ComponentName, u32), Digest>>);

impl Clone for Contents {
    /// An empty one: the copy's specs may be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Contents {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// One component of a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentPlan {
    /// Lattice-wide id.
    pub id: ComponentId,
    /// Whether it is a capability: hosts are counted then, not instances.
    pub capability: bool,
    /// Where and how often it runs.
    pub scaling: Scaling,
    /// What hosts run; its `max_instances` is set when it is placed.
    pub spec: ComponentSpec,
}

/// What a rollout changes, in the eyes of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Components of the new revision that are called and are not as before.
    pub changed: BTreeSet<ComponentName>,
    /// Something else differs: a capability, or a component that goes away.
    others: bool,
}

impl Difference {
    /// What differs between two revisions; everything when there is none before.
    #[must_use]
    pub fn between(old: Option<&AppSpec>, new: Option<&AppSpec>) -> Self {
        let has = |spec: Option<&AppSpec>, name: &ComponentName| {
            spec.is_some_and(|spec| spec.components.contains_key(name))
        };
        let gone = old.into_iter().flat_map(|old| old.components.keys()).any(|name| !has(new, name));
        let mut found = Self { others: gone, ..Self::default() };
        for (name, plan) in new.into_iter().flat_map(|new| &new.components) {
            let before = old.and_then(|old| old.components.get(name));
            if before.is_some_and(|before| before.asks_the_same(plan)) {
                continue;
            }
            if plan.capability {
                found.others = true;
            } else {
                found.changed.insert(name.clone());
            }
        }
        found
    }

    /// Whether hosts are asked for the same as before, under another number.
    #[must_use]
    pub fn is_trivial(&self) -> bool {
        self.changed.is_empty() && !self.others
    }
}

impl ComponentPlan {
    /// Whether both ask the same of hosts: all but the revision.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let Self { id, capability, scaling, spec } = self;
        (id, capability, scaling) == (&other.id, &other.capability, &other.scaling)
            && ComponentSpec { revision: other.spec.revision, ..spec.clone() } == other.spec
    }
}

impl AppSpec {
    /// The spec of a component with its number of instances on a host.
    #[must_use]
    pub fn spec_for(&self, component: &ComponentName, instances: u32) -> Option<ComponentSpec> {
        let plan = self.components.get(component)?;
        Some(ComponentSpec { max_instances: instances.max(1), ..plan.spec.clone() })
    }

    /// [`ComponentSpec::content`] of [`AppSpec::spec_for`].
    #[must_use]
    pub fn content_for(&self, component: &ComponentName, instances: u32) -> Option<Digest> {
        let key = (component.clone(), instances.max(1));
        let mut known = self.contents.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = known.get(&key) {
            return Some(content.clone());
        }
        let content = self.spec_for(component, instances)?.content();
        known.insert(key, content.clone());
        Some(content)
    }

    /// How what is replaced goes away.
    #[must_use]
    pub fn drain(&self) -> DrainPolicy {
        let general = self.rollouts.iter().find(|policy| policy.components.is_empty());
        let deadline =
            general.map_or_else(|| RolloutPolicy::default().drain_deadline, |policy| policy.drain_deadline);
        DrainPolicy { deadline_ms: millis(deadline) }
    }

    /// How a rollout goes that changes these components.
    #[must_use]
    pub fn policy(&self, changed: &BTreeSet<ComponentName>) -> RolloutPolicy {
        RolloutPolicy::choose(&self.rollouts, changed)
    }

    /// Every HTTP route of the app.
    pub fn routes(&self) -> impl Iterator<Item = &HttpRoute> {
        self.components.values().flat_map(|plan| &plan.spec.routes)
    }
}

/// What `record` asks of hosts.
///
/// # Errors
/// When the manifest asks for something that Lath cannot give: each such thing is named, nothing is left out
/// silently.
pub fn expand(manifest: &Manifest, record: &RevisionRecord) -> Result<AppSpec, ApiError> {
    let mut components = BTreeMap::new();
    for component in &manifest.components {
        if is_elsewhere(component) {
            refuse_own_part(component)?;
            continue;
        }
        let plan = plan_component(manifest, component, record)?;
        // What is part of its callers stands in their links, and is placed nowhere.
        if !plan.spec.workload.builtin().is_some_and(Builtin::is_in_its_callers) {
            components.insert(component.name.clone(), plan);
        }
    }
    Ok(AppSpec {
        app: manifest.name.clone(),
        revision: record.revision,
        components,
        rollouts: manifest.rollouts.clone(),
        description: manifest.description.clone(),
        contents: Contents::default(),
    })
}

/// A component that another app runs: links lead to its id, and nothing of it is placed.
fn is_elsewhere(component: &Component) -> bool {
    matches!(component.source, Source::Shared { .. })
        && component.kind == lath_manifests::manifest::Kind::Component
}

fn refuse_own_part(component: &Component) -> Result<(), ApiError> {
    if component.links.is_empty() {
        return Ok(());
    }
    let message = format!("`{}` belongs to another app and has links here", component.name);
    Err(unsupported(message).with_help("write the links into the manifest of that app"))
}

fn plan_component(
    manifest: &Manifest,
    component: &Component,
    record: &RevisionRecord,
) -> Result<ComponentPlan, ApiError> {
    refuse_secrets(component)?;
    let workload = workload(component, record)?;
    let config = merge(&component.config)?;
    let builtin = workload.builtin();
    let capability = component.kind == lath_manifests::manifest::Kind::Capability;
    if capability != builtin.is_some() {
        return Err(wrong_kind(component, capability));
    }
    let links = component
        .links
        .iter()
        .map(|link| link_spec(manifest, link, record))
        .collect::<Result<Vec<_>, _>>()?;
    let routes = match builtin {
        Some(Builtin::HttpServer) => http_routes(&component.name, &config, &links)?,
        Some(Builtin::KeyvalueMemory | Builtin::KeyvalueNats) | None => Vec::new(),
    };
    let spec = ComponentSpec {
        revision: record.revision,
        workload,
        max_instances: 1,
        instance_policy: component.instances,
        limits: component.limits,
        config,
        links,
        grants: Grants {
            allowed_hosts: component.grants.allowed_hosts.clone(),
            env: component.grants.env.clone(),
            arguments: component.grants.arguments.clone(),
            preopens: component.grants.preopens.clone(),
        },
        routes,
        probe: component.probe.as_ref().map(probe),
        annotations: annotations(component),
    };
    let scaling = scaled(&component.scaling, record.scale.get(&component.name).copied());
    Ok(ComponentPlan { id: component.id.clone(), capability, scaling, spec })
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
fn scaled(scaling: &Scaling, by_hand: Option<u32>) -> Scaling {
    let mut scaling = scaling.clone();
    if let (Some(count), Scaling::Spread { instances, .. } | Scaling::Daemon { instances, .. }) =
        (by_hand, &mut scaling)
    {
        *instances = count;
    }
    scaling
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn workload(component: &Component, record: &RevisionRecord) -> Result<Workload, ApiError> {
    let image = match &component.source {
        Source::Image(image) => image,
        Source::Shared { app, component: other } => {
            return Err(unsupported(format!(
                "`{}` uses `{other}` of app `{app}`: capabilities shared between apps cannot be deployed yet",
                component.name
            ))
            .with_help("give it an `image` of its own"));
        }
    };
    let reference = image.to_string();
    match record.images.get(&reference) {
        Some(Resolved::Code { digest }) => {
            Ok(Workload::Component { image: Image { reference, digest: digest.clone() } })
        }
        Some(Resolved::Builtin { builtin }) => Ok(Workload::Builtin { builtin: *builtin, reference }),
        None => Err(unsupported(format!("image `{reference}` of `{}` was not resolved", component.name))
            .with_help(match image {
                ImageRef::Builtin(_) => format!("hosts have these builtins: {}", known_builtins()),
                ImageRef::File(_) | ImageRef::Oci(_) => "deploy the manifest again".to_owned(),
            })),
    }
}

fn known_builtins() -> String {
    Builtin::ALL.map(Builtin::name).join(", ")
}

fn wrong_kind(component: &Component, capability: bool) -> ApiError {
    let (message, help) = if capability {
        (
            "is a capability, and hosts have no such capability built in; external providers cannot be deployed yet",
            "use `builtin://http-server`, or make it `type: component` if it is WebAssembly",
        )
    } else {
        ("is a capability built into hosts, not a component", "write `type: capability`")
    };
    unsupported(format!("`{}` {message}", component.name)).with_help(help)
}

fn unsupported(message: String) -> ApiError {
    ApiError::new(ErrorCode::ImageUnsupported, message)
}

fn refuse_secrets(component: &Component) -> Result<(), ApiError> {
    let of_links =
        component.links.iter().flat_map(|link| link.source_secrets.iter().chain(&link.target_secrets));
    match component.secrets.iter().chain(of_links).next() {
        None => Ok(()),
        Some(secret) => Err(unsupported(format!(
            "`{}` uses the secret `{}`: secrets are not delivered to hosts yet, and it would run without",
            component.name, secret.name
        ))
        .with_help("remove the secret, or wait for a version of Lath that delivers them")),
    }
}

/// Pairs of the named configurations, a later one winning over an earlier one.
fn merge(uses: &[ConfigUse]) -> Result<BTreeMap<String, String>, ApiError> {
    let mut merged = BTreeMap::new();
    for config in uses {
        match &config.properties {
            Some(properties) => merged.extend(properties.clone()),
            None => {
                return Err(unsupported(format!(
                    "the configuration `{}` has no properties here, and the lattice keeps no configurations outside of apps yet",
                    config.name
                ))
                .with_help("give the configuration its `properties` in this manifest"));
            }
        }
    }
    Ok(merged)
}

fn link_spec(manifest: &Manifest, link: &Link, record: &RevisionRecord) -> Result<LinkSpec, ApiError> {
    let target = manifest.component(&link.target).ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidManifest, format!("link target `{}` does not exist", link.target))
    })?;
    let builtin = match is_elsewhere(target) {
        true => None,
        false => workload(target, record)?.builtin().filter(|builtin| builtin.is_in_its_callers()),
    };
    let mut target_config = match builtin {
        Some(_) => merge(&target.config)?,
        None => BTreeMap::new(),
    };
    target_config.extend(merge(&link.target_config)?);
    Ok(LinkSpec {
        name: link.name.clone(),
        namespace: link.namespace.clone(),
        package: link.package.clone(),
        interfaces: link.interfaces.clone(),
        target: target.id.clone(),
        target_name: target.name.clone(),
        source_config: merge(&link.source_config)?,
        target_config,
        builtin,
    })
}

/// Routes of a builtin HTTP server: one for each link that carries `wasi:http/incoming-handler`, or `handler` as it is
/// called in WASI 0.3, with the keys of the 1.x provider. `path` and `host` count in every routing mode, so that one address can serve several apps.
fn http_routes(
    name: &ComponentName,
    config: &BTreeMap<String, String>,
    links: &[LinkSpec],
) -> Result<Vec<HttpRoute>, ApiError> {
    let carries = |link: &&LinkSpec| {
        link.namespace == "wasi"
            && link.package == "http"
            && link.interfaces.iter().any(|i| i == "incoming-handler" || i == "handler")
    };
    let mut routes: Vec<HttpRoute> = Vec::new();
    for link in links.iter().filter(carries) {
        let key = |wanted: &str| {
            link.source_config
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.as_str())
        };
        let address = route_address(
            name,
            key("address"),
            key("port"),
            config.get("default_address").map(String::as_str),
        )?;
        let route = HttpRoute {
            address,
            host: key("host").map(str::to_ascii_lowercase),
            path: key("path").filter(|path| *path != "/").map(|path| format!("/{}", path.trim_matches('/'))),
            target: link.target.clone(),
            timeout_ms: key("timeout_ms").map(|value| parse_key(name, "timeout_ms", value)).transpose()?,
        };
        if let Some(taken) = routes.iter().find(|other| other.collides(&route, None)) {
            return Err(ApiError::new(
                ErrorCode::RouteTaken,
                format!(
                    "`{name}` has two links for {}: to `{}` and to `{}`",
                    route.describe(),
                    taken.target,
                    route.target
                ),
            )
            .with_help("give each link its own `address`, `path` or `host`"));
        }
        routes.push(route);
    }
    Ok(routes)
}

fn route_address(
    name: &ComponentName,
    address: Option<&str>,
    port: Option<&str>,
    default: Option<&str>,
) -> Result<Option<SocketAddr>, ApiError> {
    match (address, port, default) {
        (Some(address), _, _) => parse_key(name, "address", address).map(Some),
        (None, Some(port), _) => {
            let port: u16 = parse_key(name, "port", port)?;
            Ok(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
        }
        (None, None, Some(default)) => parse_key(name, "default_address", default).map(Some),
        (None, None, None) => Ok(None),
    }
}

fn parse_key<T: std::str::FromStr>(name: &ComponentName, key: &str, value: &str) -> Result<T, ApiError> {
    value.parse().map_err(|_| {
        ApiError::new(ErrorCode::BadRequest, format!("`{key}` of `{name}` is `{}`", value.escape_debug()))
            .with_help(match key {
                "timeout_ms" => "write a number of milliseconds",
                "port" => "write a port from 1 to 65535",
                _ => "write IP:PORT, such as 127.0.0.1:8000",
            })
    })
}

#[cfg(test)]
mod tests;
