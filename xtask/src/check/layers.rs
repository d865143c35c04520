//! The layers between our crates: who may depend on whom, and what a pure crate must not know. A plain function
//! from the crates to the violations. The table below is the rule; a crate that it does not name is a violation.

use std::fmt;

/// A package of the workspace with what it depends on directly.
#[derive(Debug, Clone)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// When a dependency is needed, as cargo tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Decides, and only that: values in, values out.
    Pure,
    /// Speaks one protocol.
    Edge,
    /// Wiring, IO, processes.
    App,
    /// Proof and automation: nothing of the product may depend on it.
    Tool,
}

struct Rule {
    name: &'static str,
    layer: Layer,
    /// Which of ours it may depend on.
    may_use: &'static [&'static str],
}

const CONTROL_API: &str = "lath-control-api";
const CLIENT: &str = "lath-control-api-client";
const MANIFESTS: &str = "lath-manifests";
const HOST_CORE: &str = "lath-host-core";
const PLANNER: &str = "lath-manager-planner";
const SIM: &str = "lath-sim";
const WRPC: &str = "lath-wrpc";
const ARTIFACTS: &str = "lath-artifacts";
const WASMCLOUD: &str = "lath-wasmcloud";
const TELEMETRY: &str = "lath-telemetry";
const HOST: &str = "lath-host";
const MANAGER: &str = "lath-manager";
const CLI: &str = "lath-cli";
const TESTS: &str = "lath-tests";
const COUNTED: &str = "lath-counted";

const PURE_AND_EDGE: &[&str] =
    &[CONTROL_API, CLIENT, MANIFESTS, HOST_CORE, PLANNER, WRPC, ARTIFACTS, WASMCLOUD, TELEMETRY];
const ANY: &[&str] = &[
    CONTROL_API,
    CLIENT,
    MANIFESTS,
    HOST_CORE,
    PLANNER,
    SIM,
    WRPC,
    ARTIFACTS,
    WASMCLOUD,
    TELEMETRY,
    HOST,
    MANAGER,
    CLI,
    TESTS,
    COUNTED,
];

const RULES: &[Rule] = &[
    Rule { name: CONTROL_API, layer: Layer::Pure, may_use: &[] },
    Rule { name: MANIFESTS, layer: Layer::Pure, may_use: &[CONTROL_API] },
    Rule { name: HOST_CORE, layer: Layer::Pure, may_use: &[CONTROL_API] },
    Rule { name: PLANNER, layer: Layer::Pure, may_use: &[CONTROL_API, MANIFESTS] },
    Rule { name: SIM, layer: Layer::Pure, may_use: &[CONTROL_API, MANIFESTS, HOST_CORE, PLANNER] },
    Rule { name: WASMCLOUD, layer: Layer::Pure, may_use: &[] },
    Rule { name: CLIENT, layer: Layer::Edge, may_use: &[CONTROL_API] },
    Rule { name: WRPC, layer: Layer::Edge, may_use: &[CONTROL_API] },
    Rule { name: ARTIFACTS, layer: Layer::Edge, may_use: &[CONTROL_API, MANIFESTS] },
    Rule { name: TELEMETRY, layer: Layer::Edge, may_use: &[] },
    Rule { name: HOST, layer: Layer::App, may_use: PURE_AND_EDGE },
    Rule { name: MANAGER, layer: Layer::App, may_use: PURE_AND_EDGE },
    // The one binary is the host and the manager too, as subcommands.
    Rule {
        name: CLI,
        layer: Layer::App,
        may_use: &[
            CONTROL_API,
            CLIENT,
            MANIFESTS,
            HOST_CORE,
            PLANNER,
            WRPC,
            ARTIFACTS,
            WASMCLOUD,
            HOST,
            MANAGER,
        ],
    },
    Rule { name: TESTS, layer: Layer::Tool, may_use: ANY },
    Rule { name: "lath-fuzz", layer: Layer::Tool, may_use: PURE_AND_EDGE },
    Rule { name: "lath-benches", layer: Layer::Tool, may_use: ANY },
    Rule { name: COUNTED, layer: Layer::Tool, may_use: PURE_AND_EDGE },
    Rule { name: "xtask", layer: Layer::Tool, may_use: ANY },
];

/// What a pure crate must not have: runtimes, sockets, engines, arguments, chance.
const IMPURE: &[&str] = &["tokio", "async-nats", "wasmtime", "axum", "clap", "rand"];

/// A dependency that breaks the layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A crate of the workspace is not in the table.
    Unknown { name: String },
    /// One of ours depends on another of ours that its layer does not allow.
    Forbidden { from: String, to: String, allowed: &'static [&'static str] },
    /// A pure crate depends on something that does IO, keeps time or takes chances.
    Impure { from: String, to: String },
    /// Host and manager know each other only by what they say over the lattice, in tests too.
    HostAndManager { from: String, to: String },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => {
                write!(f, "{name} is in no layer; give it a line in xtask/src/check/layers.rs")
            }
            Self::Forbidden { from, to, allowed: [] } => {
                write!(f, "{from} depends on {to}; it may depend on none of our crates")
            }
            Self::Forbidden { from, to, allowed } => {
                write!(f, "{from} depends on {to}; of our crates it may depend on {}", allowed.join(", "))
            }
            Self::Impure { from, to } => {
                write!(f, "{from} is a pure crate and depends on {to}; move what needs it to an edge crate")
            }
            Self::HostAndManager { from, to } => {
                write!(f, "{from} depends on {to}; host and manager meet only over the control API")
            }
        }
    }
}

/// Every violation, in the order of the crates given.
pub(crate) fn violations(crates: &[Crate]) -> Vec<Violation> {
    crates.iter().flat_map(|one| violations_of(one, crates)).collect()
}

fn violations_of(one: &Crate, all: &[Crate]) -> Vec<Violation> {
    let Some(rule) = RULES.iter().find(|rule| rule.name == one.name) else {
        return vec![Violation::Unknown { name: one.name.clone() }];
    };
    let is_ours = |name: &str| all.iter().any(|other| other.name == name);
    one.dependencies
        .iter()
        .filter_map(|dependency| violation(rule, dependency, is_ours(&dependency.name)))
        .collect()
}

fn violation(rule: &Rule, dependency: &Dependency, is_ours: bool) -> Option<Violation> {
    let (from, to) = (rule.name.to_owned(), dependency.name.clone());
    let apart = [(HOST, MANAGER), (MANAGER, HOST)];
    if apart.contains(&(rule.name, dependency.name.as_str())) {
        return Some(Violation::HostAndManager { from, to });
    }
    // Tests of a crate may lean on anything else: nothing of it is in what we ship.
    if dependency.kind == Kind::Dev {
        return None;
    }
    if is_ours && !rule.may_use.contains(&dependency.name.as_str()) {
        return Some(Violation::Forbidden { from, to, allowed: rule.may_use });
    }
    let is_impure = rule.layer == Layer::Pure && IMPURE.contains(&dependency.name.as_str());
    is_impure.then_some(Violation::Impure { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, Kind, &str)]) -> Vec<Crate> {
        RULES
            .iter()
            .map(|rule| Crate {
                name: rule.name.to_owned(),
                dependencies: edges
                    .iter()
                    .filter(|(from, _, _)| *from == rule.name)
                    .map(|(_, kind, to)| Dependency { name: (*to).to_owned(), kind: *kind })
                    .collect(),
            })
            .collect()
    }

    #[test]
    fn what_the_table_allows_passes() {
        let edges = [
            (PLANNER, Kind::Normal, MANIFESTS),
            (PLANNER, Kind::Normal, "serde"),
            (PLANNER, Kind::Dev, "tokio"),
            (CLIENT, Kind::Normal, "tokio"),
            (CLI, Kind::Normal, HOST),
            (CLI, Kind::Normal, MANAGER),
            ("lath-benches", Kind::Dev, HOST),
        ];
        assert_eq!(violations(&graph(&edges)), []);
    }

    #[test]
    fn a_forbidden_edge_names_both_ends() {
        let edges = [(MANIFESTS, Kind::Normal, PLANNER), (CONTROL_API, Kind::Build, MANIFESTS)];
        let found = violations(&graph(&edges));
        let expected = [
            "lath-control-api depends on lath-manifests; it may depend on none of our crates",
            "lath-manifests depends on lath-manager-planner; of our crates it may depend on lath-control-api",
        ];
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn nothing_of_the_product_depends_on_its_proof() {
        let found = violations(&graph(&[(HOST, Kind::Normal, SIM)]));
        assert!(matches!(found.as_slice(), [Violation::Forbidden { .. }]), "{found:?}");
    }

    #[test]
    fn a_pure_crate_knows_no_runtime() {
        for impure in IMPURE {
            let found = violations(&graph(&[(HOST_CORE, Kind::Normal, impure)]));
            let expected = Violation::Impure { from: HOST_CORE.to_owned(), to: (*impure).to_owned() };
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn host_and_manager_stay_apart_even_in_tests() {
        let edges = [(HOST, Kind::Dev, MANAGER), (MANAGER, Kind::Normal, HOST)];
        let found = violations(&graph(&edges));
        assert!(found.iter().all(|one| matches!(one, Violation::HostAndManager { .. })), "{found:?}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_crate_without_a_layer_is_refused() {
        let mut crates = graph(&[]);
        crates.push(Crate { name: "lath-new".to_owned(), dependencies: Vec::new() });
        assert_eq!(violations(&crates), [Violation::Unknown { name: "lath-new".to_owned() }]);
    }
}
