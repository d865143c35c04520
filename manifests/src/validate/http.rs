//! Rules on the configuration of the built-in HTTP server, where it is written in the manifest.
//!
//! Only the keys that 1.x gives a meaning to, and only literal values: a named configuration of the lattice is not
//! known here. Keys are compared without regard to case, as 1.x does.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use lath_control_api::{Builtin, BuiltinAliases};

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::draft::{Draft, DraftComponent, DraftConfig, DraftLink};
use crate::manifest::Kind;
use crate::position::Span;
use crate::read::{Pair, listed};
use crate::report::{Report, Spanned, shown};
use crate::suggest::closest;

/// Keys of the server itself.
const SERVER_KEYS: [&str; 3] = ["routing_mode", "default_address", "header"];
/// Keys of a link that begins at the server.
const LINK_KEYS: [&str; 17] = [
    "address",
    "port",
    "path",
    "host",
    "config_b64",
    "config_json",
    "cache_control",
    "readonly_mode",
    "timeout_ms",
    "tls_cert_file",
    "tls_priv_key_file",
    "cors_allowed_origins",
    "cors_allowed_headers",
    "cors_allowed_methods",
    "cors_exposed_headers",
    "cors_max_age_secs",
    "disable_keepalive",
];
const MODES: [&str; 3] = ["address", "path", "host"];

pub(super) fn server_config_can_be_followed(report: &mut Report<'_>, draft: &Draft<'_>) {
    for component in draft.components.iter().filter(|component| is_server(component)) {
        check_server(report, component);
    }
}

fn check_server(report: &mut Report<'_>, component: &DraftComponent<'_>) {
    for pair in literal(&component.config) {
        check_key(report, pair, &SERVER_KEYS);
        match lower(pair).as_str() {
            "routing_mode" if !MODES.contains(&pair.value.value) => {
                refuse(
                    report,
                    pair.value,
                    "is not a routing mode",
                    &format!("the modes are {}", listed(&MODES)),
                );
            }
            "default_address" => check_address(report, pair.value),
            _ => {}
        }
    }
    let mode = value(&component.config, "routing_mode").map(|mode| mode.value);
    for link in component.links.iter().filter(|link| is_http(link)) {
        for pair in literal(&link.source_config) {
            check_key(report, pair, &LINK_KEYS);
            check_link_value(report, pair);
        }
        check_route(report, link, mode);
    }
}

/// Where the requests of a link come from: address, host and path, each of them any when `None`.
type Route<'t> = (Option<SocketAddr>, Option<String>, Option<&'t str>);

/// Two links of an app that claim the same requests: 1.x gives all of them to the first.
pub(super) fn routes_are_unique(report: &mut Report<'_>, draft: &Draft<'_>) {
    let mut seen: BTreeMap<Route<'_>, Span> = BTreeMap::new();
    for server in draft.components.iter().filter(|component| is_server(component)) {
        for link in server.links.iter().filter(|link| is_http(link)) {
            let Some(route) = route(server, link) else { continue };
            let Some(first) = seen.get(&route).copied() else {
                seen.insert(route, link.at.span);
                continue;
            };
            let diagnostic =
                Diagnostic::error(code::HTTP, "two links of the HTTP server claim the same requests")
                    .label(first, "the first one")
                    .help("give one of them another `address`, `path` or `host`");
            report.add(link.at, "the second one", diagnostic);
        }
    }
}

/// `None` when the manifest does not show all of it, or when its address is none. What a server of another app listens on is
/// written in that one's manifest.
fn route<'t>(server: &DraftComponent<'t>, link: &DraftLink<'t>) -> Option<Route<'t>> {
    if is_opaque(&link.source_config) || is_opaque(&server.config) {
        return None;
    }
    let config = &link.source_config;
    let own = value(config, "address").map(|address| address.value.to_owned());
    let own = own.or_else(|| value(config, "port").map(|port| format!("127.0.0.1:{}", port.value)));
    let written =
        own.or_else(|| value(&server.config, "default_address").map(|address| address.value.to_owned()));
    let address = match written {
        Some(written) => Some(written.parse().ok()?),
        None if server.application.is_some() => return None,
        None => None,
    };
    let host = value(config, "host").map(|host| host.value.to_ascii_lowercase());
    Some((address, host, value(config, "path").map(|path| path.value)))
}

/// Whether a configuration of the lattice, or one in an encoded form, may hold more than the manifest shows.
fn is_opaque(configs: &[DraftConfig<'_>]) -> bool {
    configs.iter().any(|config| config.properties.is_none())
        || ["config_json", "config_b64"].iter().any(|key| value(configs, key).is_some())
}

/// The HTTP server, or a capability of another app: that one is a server where `wasi:http` begins at it.
fn is_server(component: &DraftComponent<'_>) -> bool {
    let image = component.image.and_then(|image| BuiltinAliases::default().resolve(image.value));
    let is_server = image == Some(Builtin::HttpServer) || component.application.is_some();
    component.kind == Some(Kind::Capability) && is_server
}

fn is_http(link: &DraftLink<'_>) -> bool {
    let is = |name: Option<Spanned<&str>>, wanted: &str| name.is_some_and(|name| name.value == wanted);
    is(link.namespace, "wasi") && is(link.package, "http")
}

fn check_link_value(report: &mut Report<'_>, pair: &Pair<'_>) {
    let value = pair.value;
    let text = value.value;
    match lower(pair).as_str() {
        "address" => check_address(report, value),
        "port" if text.parse::<u16>().is_err() || text == "0" || text.starts_with('+') => {
            refuse(report, value, "is not a port", "a port is a number from 1 to 65535");
        }
        "path" if !text.starts_with('/') || text.contains(char::is_whitespace) => {
            refuse(report, value, "is not a path", "a path begins with `/` and has no spaces");
        }
        "host" if text.is_empty() || text.contains(['/', ' ']) || text.chars().any(char::is_control) => {
            refuse(
                report,
                value,
                "is not a host",
                "write the host as it stands in requests, such as `shop.example`",
            );
        }
        "timeout_ms" | "cors_max_age_secs" if text.parse::<u64>().is_err() => {
            refuse(report, value, "is not a number", "write a whole number in quotes, such as `\"5000\"`");
        }
        "readonly_mode" | "disable_keepalive" if text.parse::<bool>().is_err() => {
            refuse(
                report,
                value,
                "is neither true nor false",
                "write `\"true\"` or `\"false\"`, with quotes",
            );
        }
        _ => {}
    }
}

fn check_address(report: &mut Report<'_>, value: Spanned<&str>) {
    if value.value.parse::<SocketAddr>().is_err() {
        refuse(
            report,
            value,
            "is not an address",
            "an address is an IP and a port, such as `127.0.0.1:8000` or `[::1]:8000`",
        );
    }
}

/// In the modes `path` and `host` a link without its key would never get a request.
fn check_route(report: &mut Report<'_>, link: &DraftLink<'_>, mode: Option<&str>) {
    let Some(mode @ ("path" | "host")) = mode else { return };
    if is_opaque(&link.source_config) || value(&link.source_config, mode).is_some() {
        return;
    }
    let message = format!("the server routes by {mode}, and this link names no `{mode}`");
    let diagnostic = Diagnostic::error(code::HTTP, message);
    report.add(
        link.at,
        "",
        diagnostic.help(format!("add `{mode}: …` to a configuration of the link's `source`")),
    );
}

fn check_key(report: &mut Report<'_>, pair: &Pair<'_>, known: &[&'static str]) {
    if known.contains(&lower(pair).as_str()) {
        return;
    }
    // A key that resembles none may be meant for something else that takes the same configuration.
    if let Some(near) = closest(pair.key.value, known.iter().copied()) {
        let message = format!("`{}` is not a setting of the HTTP server", shown(pair.key.value));
        let diagnostic = Diagnostic::error(code::HTTP, message);
        report.add(pair.key.at, "", diagnostic.help(format!("did you mean `{near}`?")));
    }
}

fn refuse(report: &mut Report<'_>, value: Spanned<&str>, problem: &str, help: &str) {
    let message = format!("`{}` {problem}", shown(value.value));
    report.add(value.at, "", Diagnostic::error(code::HTTP, message).help(help));
}

fn literal<'d, 't>(configs: &'d [DraftConfig<'t>]) -> impl Iterator<Item = &'d Pair<'t>> {
    configs.iter().flat_map(|config| config.properties.iter().flatten())
}

/// The value of a key; of several configurations the last one counts.
fn value<'t>(configs: &[DraftConfig<'t>], key: &str) -> Option<Spanned<&'t str>> {
    literal(configs).filter(|pair| lower(pair) == key).last().map(|pair| pair.value)
}

fn lower(pair: &Pair<'_>) -> String {
    pair.key.value.to_ascii_lowercase()
}
