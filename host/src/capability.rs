//! What the host itself gives to components: here the interfaces that need no link, in `bound.rs` what a capability
//! is that a link leads to.
//!
//! One file below for each capability. Which interfaces there are stands here and nowhere else, so that a
//! refusal can say what there would have been. A capability never decides whether it may be used: grants do.

pub(crate) mod blobstore;
pub(crate) mod bound;
pub(crate) mod bus;
pub mod config;
pub mod http_client;
pub(crate) mod keyvalue;
pub mod logging;
pub mod output;
pub mod outside;
pub mod preopens;
pub(crate) mod secrets;
pub(crate) mod sockets;
mod sockets_p3;

use lath_control_api::WitInterface;
use wasmtime::component::Linker;

use crate::engine::CallState;

/// Interfaces of WASI 0.2 that every component gets, in any 0.2.x. Files and sockets are among them because
/// toolchains import them unasked; without a grant there is nothing behind them.
const WASI_02: [(&str, &[&str]); 7] = [
    ("io", &["error", "poll", "streams"]),
    ("clocks", &["wall-clock", "monotonic-clock"]),
    ("random", &["random", "insecure", "insecure-seed"]),
    (
        "cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("filesystem", &["types", "preopens"]),
    (
        "sockets",
        &[
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
            "instance-network",
            "network",
            "ip-name-lookup",
        ],
    ),
    ("http", &["types", "outgoing-handler"]),
];

/// Interfaces of WASI 0.3 that every component gets, in any 0.3.x.
const WASI_03: [(&str, &[&str]); 6] = [
    ("clocks", &["types", "monotonic-clock", "system-clock"]),
    ("random", &["random", "insecure", "insecure-seed"]),
    (
        "cli",
        &[
            "types",
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("filesystem", &["types", "preopens"]),
    ("sockets", &["types", "ip-name-lookup"]),
    ("http", &["types", "client"]),
];

/// Interfaces beyond WASI 0.2 and 0.3, each with the exact version that is here. A link that carries one of them wins.
const OTHERS: [(&str, &str); 6] = [
    ("wasi:config/store", "0.2.0-rc.1"),
    ("wasi:config/runtime", "0.2.0-draft"),
    ("wasi:logging/logging", "0.1.0-draft"),
    ("wasi:logging/logging", ""),
    ("wasmcloud:secrets/store", "0.1.0-draft"),
    ("wasmcloud:secrets/reveal", "0.1.0-draft"),
];

/// What the host can do about an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Provision {
    /// Every component gets it; links do not change that.
    Always,
    /// The host has it, unless a link says otherwise.
    Unlinked,
    /// The host answers it by the links of the component.
    OfLinks,
    /// The host has the interface in these versions, and not in the one that is asked for.
    OtherVersion(String),
    /// The host knows nothing of it.
    Unknown,
}

/// What the host can do about the import of an instance such as `wasi:io/poll@0.2.3`.
pub(crate) fn provision(instance: &str) -> Provision {
    let Some(interface) = WitInterface::of_instance(instance) else { return Provision::Unknown };
    let version = instance.split_once('@').map_or("", |(_, version)| version);
    let generations: Vec<&str> = [("0.2.", &WASI_02[..]), ("0.3.", &WASI_03[..])]
        .into_iter()
        .filter(|(_, packages)| interface.namespace == "wasi" && holds(packages, &interface))
        .map(|(generation, _)| generation)
        .collect();
    if !generations.is_empty() {
        let known = !version.contains('-') && generations.iter().any(|known| version.starts_with(known));
        let named = generations.iter().map(|generation| format!("{generation}x"));
        return if known {
            Provision::Always
        } else {
            Provision::OtherVersion(named.collect::<Vec<_>>().join(" and "))
        };
    }
    let name = interface.to_string();
    if name == bus::LATTICE {
        let other = || Provision::OtherVersion("1.x and 2.x".to_owned());
        return if bus::answers(version) { Provision::OfLinks } else { other() };
    }
    let versions: Vec<&str> =
        OTHERS.iter().filter(|(other, _)| *other == name).map(|(_, version)| *version).collect();
    if versions.contains(&version) {
        Provision::Unlinked
    } else if versions.is_empty() {
        Provision::Unknown
    } else {
        let named = versions.iter().map(|version| if version.is_empty() { "no version" } else { version });
        Provision::OtherVersion(named.collect::<Vec<_>>().join(" or "))
    }
}

/// What a link can lead to for an interface that no component is likely to export.
pub(crate) fn provided_by(wanted: &WitInterface) -> Option<&'static str> {
    match (&*wanted.namespace, &*wanted.package) {
        ("wasi", "keyvalue") => Some("a capability `builtin://keyvalue-nats` or `builtin://keyvalue-memory`"),
        ("wasi", "blobstore") => {
            Some("a capability whose image is a provider of objects, such as `blobstore-fs`")
        }
        _ => None,
    }
}

/// Whether any link of the package to a provider carries the interface. In 1.x the links of `wasi:blobstore` name the one
/// interface `blobstore`, and components import three.
pub(crate) fn goes_with_its_package(interface: &WitInterface) -> bool {
    interface.namespace == "wasi" && interface.package == "blobstore"
}

fn holds(packages: &[(&str, &[&str])], wanted: &WitInterface) -> bool {
    let mut packages = packages.iter();
    packages.any(|(package, interfaces)| {
        *package == wanted.package && interfaces.contains(&wanted.interface.as_str())
    })
}

/// Adds what every component gets.
pub(crate) fn add_core(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    sockets::add_to_linker(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// Adds what every component of the engine for many tasks gets: WASI 0.3, and 0.2 beside it.
pub(crate) fn add_core_async(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    add_core(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    sockets_p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)
}

/// Adds the interface of an import for which [`provision`] said [`Provision::Unlinked`].
pub(crate) fn add(linker: &mut Linker<CallState>, instance: &str) -> wasmtime::Result<()> {
    let interface = instance.split_once('@').map_or(instance, |(name, _)| name);
    match interface {
        "wasi:config/store" => config::add_store(linker),
        "wasi:config/runtime" => config::add_runtime(linker, instance),
        "wasmcloud:secrets/store" | "wasmcloud:secrets/reveal" => secrets::add(linker, instance),
        _ => logging::add(linker, instance),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_apart_by_name_and_version() {
        assert_eq!(provision("wasi:io/poll@0.2.0"), Provision::Always);
        assert_eq!(provision("wasi:http/types@0.2.12"), Provision::Always);
        assert_eq!(provision("wasi:http/types@0.3.0"), Provision::Always);
        assert_eq!(provision("wasi:http/client@0.3.1"), Provision::Always);
        assert_eq!(provision("wasi:http/client@0.2.0"), Provision::OtherVersion("0.3.x".into()));
        assert_eq!(provision("wasi:io/poll@0.3.0"), Provision::OtherVersion("0.2.x".into()));
        assert_eq!(provision("wasi:http/handler@0.3.0"), Provision::Unknown);
        let both = || Provision::OtherVersion("0.2.x and 0.3.x".into());
        assert_eq!(provision("wasi:http/types@0.2.0-rc-2023-11-10"), both());
        assert_eq!(provision("wasi:http/types@0.3.0-rc-2026-03-15"), both());
        assert_eq!(provision("wasi:http/types@0.4.0"), both());
        assert_eq!(provision("wasi:config/store@0.2.0-rc.1"), Provision::Unlinked);
        assert_eq!(provision("wasi:config/store@0.2.0-draft"), Provision::OtherVersion("0.2.0-rc.1".into()));
        assert_eq!(provision("wasi:logging/logging"), Provision::Unlinked);
        assert_eq!(provision("wasmcloud:bus/lattice@2.0.0"), Provision::OfLinks);
        assert_eq!(provision("wasmcloud:bus/lattice@3.0.0"), Provision::OtherVersion("1.x and 2.x".into()));
        assert_eq!(provision("wasi:keyvalue/store@0.2.0-draft"), Provision::Unknown);
        assert_eq!(provision("a:b/c@0.1.0"), Provision::Unknown);
        assert_eq!(provision("run"), Provision::Unknown);
    }
}
