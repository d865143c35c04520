//! Fleets and apps in a line each, for tests, simulation and benches (feature `example`).
//!
//! Nothing of the product uses this. Every function panics on a line that it cannot read: examples are written by
//! hand, and a wrong one must stop its test at once. An app goes the way of every manifest, through
//! [`lath_manifests::load`] and [`crate::desired::expand`], so an example cannot be what no user could deploy.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a wrong example must stop its test at once; JSON objects are indexed, which cannot fail"
)]

use std::collections::BTreeMap;

use lath_control_api::app::Cause;
use lath_control_api::{
    AppInventory, ApplyRequest, Builtin, BuiltinAliases, CallCounts, ComponentInventory, ComponentSpec,
    Digest, Epoch, HostId, HostInventory, HostState, HostSummary, Labels, Phase, Reason, Revision, Role,
    Timestamp, UnitInventory, Weight,
};
use lath_manifests::manifest::Policy;
use serde_json::{Value, json};

use crate::change::DeployAsk;
use crate::desired::{self, AppSpec};
use crate::record::{Pinned, Resolved, RevisionRecord, SCHEMA};

/// The id of the host called `name`, made of letters and digits. Ids sort as their names do.
///
/// # Panics
/// When the name does not fit into an id.
#[must_use]
pub fn host(name: &str) -> HostId {
    // Ids know only four digits, so a digit is `2` and a letter; a letter stays itself.
    let spelled = name.chars().flat_map(|c| match c.to_digit(10) {
        Some(digit) => vec!['2', char::from(b"ABCDEFGHIJ".get(digit as usize).copied().unwrap_or(b'Z'))],
        None => vec![c.to_ascii_uppercase()],
    });
    let id: String = std::iter::once('N').chain(spelled).chain(std::iter::repeat('A')).take(56).collect();
    id.parse().expect("a host's name of letters and digits")
}

/// The first word of a fresh host of a line such as `a,zone=west`: a name and labels.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn summary(text: &str) -> HostSummary {
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    let labels = parts.map(|label| {
        let (key, value) = label.split_once('=').unwrap_or_else(|| panic!("a label is KEY=VALUE: {label}"));
        (key.to_owned(), value.to_owned())
    });
    HostSummary {
        host: host(name),
        name: name.to_owned(),
        labels: Labels(labels.collect()),
        version: "0.0.0".to_owned(),
        boot: boot(1),
        sequence: 1,
        started: Timestamp(0),
        state: HostState::Ready,
        epoch: Epoch(0),
        http_default: None,
        builtins: BuiltinAliases::default(),
    }
}

/// Hosts of a line such as `a b,zone=west c`.
#[must_use]
pub fn fleet(line: &str) -> Vec<HostSummary> {
    line.split_whitespace().map(summary).collect()
}

/// The name of a host's `n`th run; names sort by `n`, as the ULIDs of real hosts do.
#[must_use]
pub fn boot(n: u64) -> String {
    format!("{n:026}")
}

/// What a host says that has done all that it was told: every spec runs, and nothing else is there.
#[must_use]
pub fn inventory(summary: &HostSummary, told: &[ApplyRequest]) -> HostInventory {
    let apps = told.iter().map(|request| AppInventory {
        app: request.app.clone(),
        fence: request.fence,
        confirmed: true,
        components: request
            .bundles
            .iter()
            .map(|bundle| {
                let moved = bundle.candidate.as_ref().map_or(0, |candidate| candidate.weight.percent());
                let stable = bundle.stable.as_ref().map(|spec| unit(spec, Role::Stable, 100 - moved));
                let candidate =
                    bundle.candidate.as_ref().map(|next| unit(&next.spec, Role::Candidate, moved));
                ComponentInventory {
                    component: bundle.component.clone(),
                    id: bundle.id.clone(),
                    units: stable.into_iter().chain(candidate).collect(),
                }
            })
            .collect(),
    });
    HostInventory { summary: summary.clone(), listeners: Vec::new(), apps: apps.collect() }
}

fn unit(spec: &ComponentSpec, role: Role, weight: u8) -> UnitInventory {
    UnitInventory {
        role,
        serving: weight > 0,
        weight: Weight::try_from(weight).unwrap_or(Weight::ALL),
        revision: spec.revision,
        content: spec.content(),
        image: spec.workload.reference().to_owned(),
        digest: spec.workload.image().map(|image| image.digest.clone()),
        phase: Phase::Running,
        reason: Reason::AsAsked,
        message: String::new(),
        since: Timestamp(0),
        next_try: None,
        process: None,
        claims: None,
        links: Vec::new(),
        max_instances: spec.max_instances,
        calls: CallCounts::default(),
    }
}

/// An app as its owner writes it, from a line. Components and policies are its words:
///
/// | word | what it stands for |
/// |---|---|
/// | `front=v1` | a component with the image `file://front-v1.wasm`, one instance somewhere |
/// | `http=>front` | the builtin HTTP server with a link to `front` |
/// | `kv=!v1` | a provider with the image `file://kv-v1.par`, on one host |
/// | `policy.min_healthy_time=0s` | a property of the rollout policy; `~` stands for a space |
///
/// A component's word may go on, each part after a comma: `x3` (instances), `daemon`, `idle` (no scaler),
/// `on.zone=west` or `on.zone=west:80` (a spread with its weight), `any:20` (a spread without requirements),
/// `config.word=Hi`, `secret.token=KEY` (of the backend `vault`), `to=back` (a link over `lath:demo/greeter`), `with.bucket=b`
/// (config of the links' targets), `id=x`, `probe`, and for the HTTP server `address=…`, `path=…`, `host=…`, `port=…`,
/// `timeout_ms=…`.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    name: String,
    components: Vec<Value>,
    policy: BTreeMap<String, String>,
}

impl App {
    /// Reads a line.
    ///
    /// # Panics
    /// When a word of it is none of the table.
    #[must_use]
    pub fn new(name: &str, line: &str) -> Self {
        let mut app = Self { name: name.to_owned(), components: Vec::new(), policy: BTreeMap::new() };
        for word in line.split_whitespace() {
            if let Some(property) = word.strip_prefix("policy.") {
                let (key, value) = pair(property);
                app.policy.insert(key, value.replace('~', " "));
            } else {
                app.components.push(Word::read(word).component());
            }
        }
        app
    }

    /// The manifest, as JSON, which is YAML too.
    #[must_use]
    pub fn manifest(&self) -> String {
        let mut spec = json!({ "components": self.components });
        let mut policies = Vec::new();
        if !self.policy.is_empty() {
            policies.push(json!({ "name": "rollout", "type": Policy::ROLLOUT, "properties": self.policy }));
        }
        if self.components.iter().any(|component| !component["properties"]["secrets"].is_null()) {
            let properties = json!({ "backend": "vault", "role": "shop" });
            policies.push(json!({ "name": "vault", "type": Policy::SECRET, "properties": properties }));
        }
        if let (false, Some(spec)) = (policies.is_empty(), spec.as_object_mut()) {
            spec.insert("policies".to_owned(), json!(policies));
        }
        let manifest = json!({
            "apiVersion": "core.oam.dev/v1beta1",
            "kind": "Application",
            "metadata": { "name": self.name, "annotations": {} },
            "spec": spec,
        });
        manifest.to_string()
    }

    /// What its images stand for: code whose digest is that of the reference, or a builtin.
    #[must_use]
    pub fn images(&self) -> BTreeMap<String, Resolved> {
        let images = self.components.iter().filter_map(|component| component["properties"]["image"].as_str());
        images.map(|image| (image.to_owned(), resolve(image))).collect()
    }

    /// The request to deploy it.
    #[must_use]
    pub fn ask(&self) -> DeployAsk {
        DeployAsk {
            overrides: BTreeMap::new(),
            app: self.name.parse().expect("an app's name"),
            manifest: self.manifest(),
            version: "v1".to_owned(),
            images: self.images(),
            pinned: Pinned::default(),
            cause: Cause::default(),
            if_revision: None,
        }
    }

    /// It as a revision.
    #[must_use]
    pub fn revision(&self, number: u64) -> RevisionRecord {
        let DeployAsk { app, manifest, version, images, pinned, cause, .. } = self.ask();
        let content = RevisionRecord::content_of(&manifest, &images, &pinned, &BTreeMap::new());
        let (revision, created) = (Revision(number), Timestamp(0));
        RevisionRecord {
            scale: BTreeMap::new(),
            schema: SCHEMA,
            app,
            revision,
            manifest,
            images,
            pinned,
            content,
            repeats: None,
            version,
            only_put: false,
            created,
            cause,
        }
    }

    /// It as what is asked of hosts.
    #[must_use]
    pub fn spec(&self, number: u64) -> AppSpec {
        expand(&self.revision(number))
    }
}

/// What a revision asks of hosts.
///
/// # Panics
/// When its manifest is refused.
#[must_use]
pub fn expand(revision: &RevisionRecord) -> AppSpec {
    let loaded = lath_manifests::load(revision.manifest.as_bytes());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{}: {problems:#?}", revision.manifest));
    desired::expand(&loaded.manifest, revision).unwrap_or_else(|problem| panic!("{problem}"))
}

fn resolve(image: &str) -> Resolved {
    match BuiltinAliases::default().resolve(image) {
        Some(builtin) => Resolved::Builtin { builtin },
        None => Resolved::Code { digest: Digest::of(image.as_bytes()) },
    }
}

fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or_else(|| panic!("KEY=VALUE expected: {text}"));
    (key.to_owned(), value.to_owned())
}

/// A component's word, taken apart.
struct Word<'a> {
    name: &'a str,
    image: String,
    /// Whom the HTTP server leads to.
    http: Option<&'a str>,
    id: Option<String>,
    scaler: Option<&'static str>,
    instances: u32,
    spreads: Vec<Value>,
    config: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
    /// Config of its links' targets.
    with: BTreeMap<String, String>,
    /// Keys of the HTTP server's link.
    listen: BTreeMap<String, String>,
    links: Vec<&'a str>,
    probe: bool,
}

impl<'a> Word<'a> {
    fn read(word: &'a str) -> Self {
        let (head, parts) = word.split_once(',').unwrap_or((word, ""));
        let (name, what) = head.split_once('=').unwrap_or_else(|| panic!("NAME=TAG expected: {head}"));
        let http = what.strip_prefix('>');
        let image = match (http, what.strip_prefix('!')) {
            (Some(_), _) => format!("builtin://{}", Builtin::HttpServer.name()),
            (None, Some(tag)) => format!("file://{name}-{tag}.par"),
            (None, None) => format!("file://{name}-{what}.wasm"),
        };
        let mut read = Self {
            name,
            image,
            http,
            id: None,
            scaler: Some("spreadscaler"),
            instances: 1,
            spreads: Vec::new(),
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            with: BTreeMap::new(),
            listen: BTreeMap::new(),
            links: Vec::new(),
            probe: false,
        };
        parts.split(',').filter(|part| !part.is_empty()).for_each(|part| read.part(part));
        read
    }

    fn part(&mut self, part: &'a str) {
        let count = part.strip_prefix('x').and_then(|count| count.parse().ok());
        match part.split_once('=') {
            None if part == "daemon" => self.scaler = Some("daemonscaler"),
            None if part == "idle" => self.scaler = None,
            None if part == "probe" => self.probe = true,
            None if count.is_some() => self.instances = count.unwrap_or_default(),
            None if part.starts_with("any") => {
                self.spread(&json!({}), part.split_once(':').map(|(_, weight)| weight));
            }
            Some(("id", id)) => self.id = Some(id.to_owned()),
            Some(("to", target)) => self.links.push(target),
            Some((key @ ("address" | "path" | "host" | "port" | "timeout_ms"), value)) => {
                self.listen.insert(key.to_owned(), value.to_owned());
            }
            Some((key, value)) => match key.split_once('.') {
                Some(("config", key)) => {
                    self.config.insert(key.to_owned(), value.to_owned());
                }
                Some(("secret", name)) => {
                    self.secrets.insert(name.to_owned(), value.to_owned());
                }
                Some(("with", key)) => {
                    self.with.insert(key.to_owned(), value.to_owned());
                }
                Some(("on", label)) => {
                    let (value, weight) =
                        value.split_once(':').map_or((value, None), |(value, weight)| (value, Some(weight)));
                    self.spread(&json!({ label: value }), weight);
                }
                Some(_) | None => panic!("unknown part of a component: {part}"),
            },
            None => panic!("unknown part of a component: {part}"),
        }
    }

    fn spread(&mut self, requirements: &Value, weight: Option<&str>) {
        let name = format!("s{}", self.spreads.len() + 1);
        let mut spread = json!({ "name": name, "requirements": requirements });
        if let Some(weight) = weight {
            let weight: u32 = weight.parse().expect("a weight");
            spread["weight"] = json!(weight);
        }
        self.spreads.push(spread);
    }

    fn component(self) -> Value {
        let mut properties = json!({ "image": self.image });
        if let Some(id) = self.id {
            properties["id"] = json!(id);
        }
        if !self.config.is_empty() {
            properties["config"] = json!([{ "name": "settings", "properties": self.config }]);
        }
        if !self.secrets.is_empty() {
            let secret = |(name, key): (&String, &String)| json!({ "name": name, "properties": { "policy": "vault", "key": key } });
            properties["secrets"] = self.secrets.iter().map(secret).collect();
        }
        let mut traits = Vec::new();
        if let Some(kind) = self.scaler {
            let mut scaler = json!({ "instances": self.instances });
            if !self.spreads.is_empty() {
                scaler["spread"] = json!(self.spreads);
            }
            traits.push(json!({ "type": kind, "properties": scaler }));
        }
        if self.probe {
            traits.push(json!({ "type": "probe", "properties": { "path": "/healthz" } }));
        }
        for (number, target) in self.links.into_iter().enumerate() {
            let mut link = link("lath", "demo", "greeter", target, &BTreeMap::new());
            // One name carries an interface to one target only.
            if number > 0 {
                link["properties"]["name"] = json!(target);
            }
            if !self.with.is_empty() {
                let name = format!("{}-{target}", self.name);
                link["properties"]["target"]["config"] = json!([{ "name": name, "properties": self.with }]);
            }
            traits.push(link);
        }
        if let Some(target) = self.http {
            traits.push(link("wasi", "http", "incoming-handler", target, &self.listen));
        }
        let capability = self.http.is_some() || self.image.ends_with(".par");
        let kind = if capability { "capability" } else { "component" };
        json!({ "name": self.name, "type": kind, "properties": properties, "traits": traits })
    }
}

fn link(
    namespace: &str,
    package: &str,
    interface: &str,
    target: &str,
    listen: &BTreeMap<String, String>,
) -> Value {
    let mut properties = json!({
        "namespace": namespace,
        "package": package,
        "interfaces": [interface],
        "target": { "name": target },
    });
    if !listen.is_empty() {
        properties["source"] = json!({ "config": [{ "name": "listen", "properties": listen }] });
    }
    json!({ "type": "link", "properties": properties })
}
