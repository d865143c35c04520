//! Routes of a builtin HTTP server, from the keys of the provider of 1.x.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lath_control_api::{ApiError, ComponentName, ErrorCode, HttpRoute, LinkSpec};

/// Routes of a builtin HTTP server: one for each link that carries `wasi:http/incoming-handler`, or `handler` as it is
/// called in WASI 0.3, with the keys of the 1.x provider. `path` and `host` count in every routing mode, so that one address can serve several apps.
pub(super) fn http_routes(
    name: &ComponentName,
    config: &BTreeMap<String, String>,
    links: &[LinkSpec],
) -> Result<Vec<HttpRoute>, ApiError> {
    let mut routes: Vec<HttpRoute> = Vec::new();
    for link in links.iter().filter(|link| carries_requests(link)) {
        let key = |wanted: &str| setting(&link.source_config, wanted);
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

/// The first link that lacks the key by which the server routes, with that key: in 1.x it would never get a request.
pub(super) fn names_no<'a>(
    config: &'a BTreeMap<String, String>,
    links: &'a [LinkSpec],
) -> Option<(&'a str, &'a LinkSpec)> {
    let mode = setting(config, "routing_mode").filter(|mode| matches!(*mode, "path" | "host"))?;
    let lacks = |link: &&LinkSpec| carries_requests(link) && setting(&link.source_config, mode).is_none();
    Some((mode, links.iter().find(lacks)?))
}

fn carries_requests(link: &LinkSpec) -> bool {
    link.namespace == "wasi"
        && link.package == "http"
        && link.interfaces.iter().any(|i| i == "incoming-handler" || i == "handler")
}

/// Keys are compared as 1.x does.
fn setting<'a>(config: &'a BTreeMap<String, String>, wanted: &str) -> Option<&'a str> {
    config.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
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
