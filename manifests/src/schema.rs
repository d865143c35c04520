//! The JSON Schema of a manifest, for editors (draft-07) and for tools (2020-12).
//!
//! These types are only ever described, never filled: a schema cannot say all that [`crate::load`] checks, and serde would
//! stop at the first problem. Tests hold their fields against those that the reader knows, and the committed files
//! under `schema/` against what is generated.
#![expect(dead_code, reason = "the types describe a document and are never filled")]

mod rollout;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::limits;
use crate::manifest::Policy as PolicyTypes;
use rollout::RolloutProperties;

/// Which edition of JSON Schema is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// What YAML language servers understand.
    Draft07,
    /// The current one.
    Draft2020,
}

/// The schema of a manifest.
#[must_use]
pub fn schema(edition: Edition) -> serde_json::Value {
    let settings = match edition {
        Edition::Draft07 => SchemaSettings::draft07(),
        Edition::Draft2020 => SchemaSettings::draft2020_12(),
    };
    settings.into_generator().into_root_schema_for::<Manifest>().to_value()
}

type Pairs = BTreeMap<String, String>;

/// An application manifest, as Lath and wadm read it.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest {
    /// Always `core.oam.dev/v1beta1`.
    api_version: ApiVersion,
    /// Always `Application`.
    kind: Application,
    metadata: Metadata,
    spec: Specification,
}

#[derive(JsonSchema)]
enum ApiVersion {
    #[serde(rename = "core.oam.dev/v1beta1")]
    V1Beta1,
}

#[derive(JsonSchema)]
enum Application {
    Application,
}

/// What the app is called and what is said about it.
#[derive(JsonSchema)]
struct Metadata {
    /// Name of the app, unique in its lattice.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"))]
    name: String,
    /// Values are text: put numbers in quotes. Known keys: `version`, `description`,
    /// `experimental.wasmcloud.dev/shared` (`"true"` lets other apps use the components of this one).
    #[schemars(extend("maxProperties" = limits::MAX_METADATA))]
    annotations: Option<Pairs>,
    /// Labels of the app. Values are text.
    #[schemars(extend("maxProperties" = limits::MAX_METADATA))]
    labels: Option<Pairs>,
}

/// What the app consists of.
#[derive(JsonSchema)]
struct Specification {
    /// Components and capabilities; at least one.
    #[schemars(length(min = 1, max = limits::MAX_COMPONENTS))]
    components: Vec<Component>,
    /// Policies that components refer to, and the rollout policy of the app.
    #[schemars(length(max = limits::MAX_POLICIES))]
    policies: Option<Vec<Policy>>,
}

/// A policy: the type decides what its properties are.
struct Policy;

impl JsonSchema for Policy {
    fn schema_name() -> Cow<'static, str> {
        "Policy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rollout = generator.subschema_for::<RolloutProperties>();
        let grants = generator.subschema_for::<GrantsProperties>();
        let properties = generator.subschema_for::<Pairs>();
        json_schema!({
            "description": "Where secrets are kept, what components may reach, or how a revision takes over. Other types are kept and have no effect.",
            "type": "object",
            "properties": {
                "name": { "description": "Name that secrets refer to.", "type": "string" },
                "type": {
                    "description": "`policy.secret.wasmcloud.dev/v1alpha1` (properties: `backend`), `policy.grants.lath/v1` (properties: `allowed_hosts`), or `policy.rollout.lath/v1`.",
                    "anyOf": [{ "enum": [PolicyTypes::SECRET, PolicyTypes::GRANTS, PolicyTypes::ROLLOUT] }, { "type": "string" }]
                },
                "properties": properties
            },
            "required": ["name", "type", "properties"],
            "allOf": [rule(PolicyTypes::ROLLOUT, &rollout), rule(PolicyTypes::GRANTS, &grants)]
        })
    }
}

/// Code that is invoked, or a capability that hosts provide.
#[derive(JsonSchema)]
struct Component {
    /// Name of the component, unique in the manifest. Links lead to it.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"))]
    name: String,
    #[serde(rename = "type")]
    kind: ComponentType,
    properties: ComponentProperties,
    /// How many run and where, what they are linked to, and more.
    #[schemars(length(max = limits::MAX_LINKS))]
    traits: Option<Vec<Trait>>,
}

/// `actor` and `provider` are old names of `component` and `capability`.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ComponentType {
    Component,
    Capability,
    Actor,
    Provider,
}

/// Where the code comes from and what it takes. Exactly one of `image` and `application`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct ComponentProperties {
    /// `REGISTRY/REPOSITORY:TAG`, `file://PATH` from the folder of the manifest, or `builtin://NAME`.
    image: Option<String>,
    /// A component that another app shares.
    application: Option<SharedComponent>,
    /// Id in the lattice; `{app}-{component}` when left out.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,126}$"))]
    id: Option<String>,
    /// Named configurations.
    config: Option<Vec<ConfigProperty>>,
    /// References to secrets.
    secrets: Option<Vec<SecretProperty>>,
}

/// A component of another app.
#[derive(JsonSchema)]
struct SharedComponent {
    /// Name of the other app.
    name: String,
    /// Name of the component in its manifest.
    component: String,
}

/// A named configuration.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConfigProperty {
    /// Its name: of the app's own with `properties`, of one that the lattice has without.
    name: String,
    /// Keys and values. Values are text: put numbers in quotes.
    properties: Option<Pairs>,
}

/// A reference to a secret; the value is never in a manifest.
#[derive(JsonSchema)]
struct SecretProperty {
    /// Name by which the component asks for it.
    name: String,
    properties: SecretSource,
}

/// Where a secret is kept.
#[derive(JsonSchema)]
struct SecretSource {
    /// Name of a policy of this manifest that names the backend.
    policy: String,
    /// Key in the backend.
    key: String,
    /// Field under that key.
    field: Option<String>,
    /// Version; the newest when left out.
    version: Option<String>,
}

/// A scaler: `instances` in all (`spreadscaler`) or on each host (`daemonscaler`).
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["instances"] }, { "required": ["replicas"] }]))]
struct Scaler {
    /// How many.
    #[schemars(range(max = limits::MAX_INSTANCES))]
    instances: Option<u32>,
    /// Old name of `instances`.
    #[schemars(range(max = limits::MAX_INSTANCES))]
    #[deprecated]
    replicas: Option<u32>,
    /// Which hosts; all of them when left out.
    #[schemars(length(max = limits::MAX_SPREADS))]
    spread: Option<Vec<Spread>>,
}

/// A rule that picks hosts by their labels.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Spread {
    /// Name, unique in the scaler.
    name: String,
    /// Labels that a host must have, with exactly these values.
    requirements: Option<Pairs>,
    /// Weight against the other spreads; 100 when left out.
    #[schemars(range(max = limits::MAX_WEIGHT))]
    weight: Option<u32>,
}

/// A link from this component to another one.
#[derive(JsonSchema)]
struct Link {
    /// Tells links of the same interface apart; `default` when left out.
    name: Option<String>,
    /// WIT namespace, such as `wasi`.
    namespace: String,
    /// WIT package, such as `http`.
    package: String,
    /// WIT interfaces of the package, without versions.
    #[schemars(length(min = 1, max = limits::MAX_INTERFACES))]
    interfaces: Vec<String>,
    target: Target,
    /// What this end of the link takes.
    source: Option<LinkSource>,
    /// How calls reach the target, which is a component then: `inprocess` (within a host; the target has to run beside this
    /// component) or `wrpc` (over the lattice, also to the same host). Left out: within a host where that can be.
    #[schemars(extend("enum" = ["inprocess", "wrpc"]))]
    transport: Option<String>,
    /// Old place of `config` inside `target`.
    #[deprecated]
    target_config: Option<Vec<ConfigProperty>>,
    /// Old place of `config` inside `source`.
    #[deprecated]
    source_config: Option<Vec<ConfigProperty>>,
}

/// The other end of a link. Only its name is the old form.
#[derive(JsonSchema)]
#[serde(untagged)]
enum Target {
    Full(LinkTarget),
    Name(String),
}

/// The other end of a link.
#[derive(JsonSchema)]
struct LinkTarget {
    /// Name of a component of this manifest.
    name: String,
    /// Configuration handed to the target.
    config: Option<Vec<ConfigProperty>>,
    /// Secrets handed to the target.
    secrets: Option<Vec<SecretProperty>>,
}

/// The end where a link begins.
#[derive(JsonSchema)]
struct LinkSource {
    /// Configuration handed to the source.
    config: Option<Vec<ConfigProperty>>,
    /// Secrets handed to the source.
    secrets: Option<Vec<SecretProperty>>,
}

/// A question that the component must answer well before it gets traffic, and while it runs if there is a period:
/// either a GET request, answered with 200 to 299, or a function.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["path"] }, { "required": ["function"] }]))]
struct Probe {
    /// Path of the request.
    #[schemars(regex(pattern = "^/"))]
    path: Option<String>,
    /// Function without parameters, as `INTERFACE.FUNCTION` or `FUNCTION`; it must give nothing, `true`, or a result
    /// that is no error.
    function: Option<String>,
    /// Time between two questions while it runs, such as `10s`; without it, it is asked before it gets traffic only.
    period: Option<String>,
    /// With `period`: bad answers in a row after which it is unhealthy; 3 when left out.
    #[schemars(range(min = 1, max = 100))]
    failures: Option<u32>,
    /// Longest wait for one answer, such as `2s`; 2 s when left out.
    timeout: Option<String>,
    /// Attempts before the revision counts as not ready; 3 when left out.
    #[schemars(range(min = 1, max = 100))]
    attempts: Option<u32>,
}

/// What a component may use on a host.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// Most memory of one instance, such as `64Mi`; 256Mi when left out.
    memory: Option<String>,
    /// Longest an invocation may take, such as `30s`; 30 s when left out.
    invocation_deadline: Option<String>,
    /// Most calls that wait on one host for a free instance; 1,000 when left out.
    #[schemars(range(max = *lath_control_api::Limits::MAX_WAITING.end()))]
    max_waiting: Option<u32>,
    /// Most output that reaches the log of a host in one second, such as `64Ki`; 64Ki when left out.
    log_rate: Option<String>,
    /// Longest line of output, such as `4Ki`; 4Ki when left out.
    log_line: Option<String>,
    /// Largest body of an HTTP request, such as `10Mi`; 1Gi when left out.
    request_body: Option<String>,
    /// Largest body of an answer, such as `10Mi`; 1Gi when left out.
    response_body: Option<String>,
    /// Most bytes that are copied in one host call, such as `1Mi`; 128Mi when left out.
    host_call: Option<String>,
    /// Most handles that an instance holds at once; 10,000 when left out.
    #[schemars(range(
        min = *lath_control_api::Limits::HANDLES.start(),
        max = *lath_control_api::Limits::HANDLES.end()
    ))]
    handles: Option<u32>,
}

/// When an instance of a component is made and thrown away; a new one for every call without this trait.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Instances {
    policy: InstancePolicy,
    /// With `reuse`: most calls of one instance; 1,000 when left out.
    #[schemars(range(min = 1, max = *lath_control_api::InstancePolicy::CALLS.end()))]
    calls: Option<u32>,
    /// With `pooled`: most instances that are kept while nothing calls them; 4 when left out.
    #[schemars(range(min = 1, max = *lath_control_api::InstancePolicy::KEEP.end()))]
    keep: Option<u32>,
    /// With `pooled`: how long one is kept without a call, such as `1m`; 1 m when left out.
    idle: Option<String>,
}

/// `fresh`: a new instance for every call. `reuse`: an instance serves some calls, one after another. `pooled`:
/// instances are kept while they are not busy.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum InstancePolicy {
    Fresh,
    Reuse,
    Pooled,
}

/// What a component may reach and see. Without this trait: the hosts of the app's policy of grants, and nothing else.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Grants {
    /// Where it may send requests, and what its sockets may reach: `https://api.example.com`,
    /// `https://*.example.com`, `http://10.0.0.0/8:8080`, `tcp://db.example.com:5432`, or `any` for every public
    /// host over HTTP. This list stands in place of the app's; an empty one denies all.
    #[schemars(length(max = limits::MAX_ALLOWED_HOSTS))]
    allowed_hosts: Option<Vec<String>>,
    /// Environment variables. Values are text: put numbers in quotes.
    #[schemars(extend("maxProperties" = limits::MAX_ENVIRONMENT))]
    env: Option<Pairs>,
    /// Arguments, exactly these: the first one is by custom the name of the program.
    #[schemars(length(max = limits::MAX_ENVIRONMENT))]
    arguments: Option<Vec<String>>,
    /// Folders of its hosts, which they must have been started with `--files-root` for.
    #[schemars(length(max = limits::MAX_PREOPENS))]
    preopens: Option<Vec<Preopen>>,
}

/// A folder of hosts that the component sees.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Preopen {
    /// Path below the `--files-root` of each host, such as `reports/2026`. It must be there.
    folder: String,
    /// Where the component sees it, such as `/reports`.
    path: String,
    /// `read` when left out.
    access: Option<Access>,
}

/// `read`: nothing can be changed. `write`: files and folders can be made, changed and removed.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Access {
    Read,
    Write,
}

/// What the components of the app may reach that have no list of their own.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct GrantsProperties {
    /// Entries as in the trait `grants`, with commas between them.
    allowed_hosts: Option<String>,
}

/// A trait: the type decides what its properties are.
struct Trait;

impl JsonSchema for Trait {
    fn schema_name() -> Cow<'static, str> {
        "Trait".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let types: [(&str, Schema); 7] = [
            ("spreadscaler", generator.subschema_for::<Scaler>()),
            ("daemonscaler", generator.subschema_for::<Scaler>()),
            ("link", generator.subschema_for::<Link>()),
            ("probe", generator.subschema_for::<Probe>()),
            ("limits", generator.subschema_for::<Limits>()),
            ("instances", generator.subschema_for::<Instances>()),
            ("grants", generator.subschema_for::<Grants>()),
        ];
        let known: Vec<&str> = types.iter().map(|(kind, _)| *kind).collect();
        let rules: Vec<Schema> = types.iter().map(|(kind, properties)| rule(kind, properties)).collect();
        json_schema!({
            "description": "How many run and where, a link, a probe, limits, instances, or grants. Other types are kept and have no effect.",
            "type": "object",
            "properties": {
                "type": { "anyOf": [{ "enum": known }, { "type": "string" }] },
                "properties": true
            },
            "required": ["type", "properties"],
            "additionalProperties": false,
            "allOf": rules
        })
    }
}

fn rule(kind: &str, properties: &Schema) -> Schema {
    json_schema!({
        "if": { "properties": { "type": { "const": kind } } },
        "then": { "properties": { "properties": properties } }
    })
}

#[cfg(test)]
mod tests;
