//! The fields of every mapping of a manifest. The JSON Schema is tested against this list.
//!
//! No rule about a field's value here. `Unknown` is what 1.x did: a manifest that it took, but for slips of the hand, is taken.

use crate::read::{Shape, Unknown};

/// Every shape, for the test that compares them with the schema.
#[cfg(test)]
pub(crate) const SHAPES: &[&Shape] = &[
    &MANIFEST,
    &METADATA,
    &SPEC,
    &POLICY,
    &COMPONENT,
    &PROPERTIES,
    &SHARED,
    &CONFIG,
    &SECRET,
    &SECRET_SOURCE,
    &TRAIT,
    &SCALER,
    &SPREAD,
    &LINK,
    &LINK_TARGET,
    &LINK_SOURCE,
    &PROBE,
    &LIMITS,
    &INSTANCES,
    &GRANTS,
    &PREOPEN,
];

macro_rules! shape {
    ($name:ident, $what:literal, $schema:literal, $unknown:ident, [$($field:literal),*]) => {
        pub(super) static $name: Shape = Shape {
            what: $what,
            #[cfg(test)]
            schema: $schema,
            fields: &[$($field),*],
            unknown: Unknown::$unknown,
        };
    };
}

shape!(MANIFEST, "a manifest", "Manifest", Refuse, ["apiVersion", "kind", "metadata", "spec"]);
shape!(METADATA, "`metadata`", "Metadata", Ignore, ["name", "annotations", "labels"]);
shape!(SPEC, "`spec`", "Specification", Ignore, ["components", "policies"]);
shape!(POLICY, "a policy", "Policy", Ignore, ["name", "type", "properties"]);
shape!(COMPONENT, "a component", "Component", Ignore, ["name", "type", "properties", "traits"]);
shape!(
    PROPERTIES,
    "the `properties` of a component",
    "ComponentProperties",
    Refuse,
    ["image", "application", "id", "config", "secrets"]
);
shape!(SHARED, "`application`", "SharedComponent", Ignore, ["name", "component"]);
shape!(CONFIG, "a configuration", "ConfigProperty", Refuse, ["name", "properties"]);
shape!(SECRET, "a secret", "SecretProperty", Ignore, ["name", "properties"]);
shape!(
    SECRET_SOURCE,
    "the `properties` of a secret",
    "SecretSource",
    Ignore,
    ["policy", "key", "field", "version"]
);
shape!(TRAIT, "a trait", "Trait", Refuse, ["type", "properties"]);
shape!(SCALER, "a scaler", "Scaler", Refuse, ["instances", "spread", "replicas"]);
shape!(SPREAD, "a spread", "Spread", Refuse, ["name", "requirements", "weight"]);
shape!(
    LINK,
    "a link",
    "Link",
    Ignore,
    [
        "name",
        "namespace",
        "package",
        "interfaces",
        "target",
        "source",
        "transport",
        "target_config",
        "source_config"
    ]
);
shape!(LINK_TARGET, "the `target` of a link", "LinkTarget", Ignore, ["name", "config", "secrets"]);
shape!(LINK_SOURCE, "the `source` of a link", "LinkSource", Ignore, ["config", "secrets"]);
shape!(PROBE, "a probe", "Probe", Refuse, ["path", "function", "timeout", "attempts", "period", "failures"]);
shape!(
    LIMITS,
    "`limits`",
    "Limits",
    Refuse,
    [
        "memory",
        "invocation_deadline",
        "max_waiting",
        "log_rate",
        "log_line",
        "request_body",
        "response_body",
        "host_call",
        "handles"
    ]
);
shape!(INSTANCES, "`instances`", "Instances", Refuse, ["policy", "calls", "keep", "idle"]);
shape!(GRANTS, "`grants`", "Grants", Refuse, ["allowed_hosts", "env", "arguments", "preopens"]);
shape!(PREOPEN, "a folder of `preopens`", "Preopen", Refuse, ["folder", "path", "access"]);
