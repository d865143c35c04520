//! Addresses: where a registry or mirror is spoken to, and where an answer may send us on.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::fault::{Fault, RegistryError};
use crate::manifest::shown;
use crate::reference::{Reference, RegistryName};
use crate::settings::{Mirror, Settings};

/// One registry or mirror, and the repository there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) registry: RegistryName,
    /// Without TLS, because it was named so.
    pub(super) plain: bool,
    repository: String,
    /// What it stands for, when it is a mirror.
    mirror_of: Option<RegistryName>,
}

impl Endpoint {
    pub(super) fn origin(reference: &Reference, settings: &Settings) -> Self {
        let registry = reference.registry().clone();
        let plain = settings.insecure.contains(&registry);
        Self { registry, plain, repository: reference.repository().to_owned(), mirror_of: None }
    }

    pub(super) fn mirror(reference: &Reference, mirror: &Mirror, settings: &Settings) -> Self {
        let repository = match &mirror.path {
            Some(path) => format!("{path}/{}", reference.repository()),
            None => reference.repository().to_owned(),
        };
        let plain = settings.insecure.contains(&mirror.at);
        Self { registry: mirror.at.clone(), plain, repository, mirror_of: Some(mirror.of.clone()) }
    }

    /// The registry as a whole.
    pub(super) fn root(registry: &RegistryName, settings: &Settings) -> Self {
        let plain = settings.insecure.contains(registry);
        Self { registry: registry.clone(), plain, repository: String::new(), mirror_of: None }
    }

    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    /// The address of something in the repository.
    pub(super) fn url(&self, rest: &str) -> Result<Url, RegistryError> {
        let scheme = if self.plain { "http" } else { "https" };
        let slash = if self.repository.is_empty() { "" } else { "/" };
        let text = format!("{scheme}://{}/v2/{}{slash}{rest}", self.registry.authority(), self.repository);
        let wrong = |error| RegistryError::new(Fault::Unreachable, format!("{self}: `{text}`: {error}"));
        text.parse().map_err(wrong)
    }

    /// Whether an address is on this registry itself, the same scheme and port included.
    pub(super) fn holds(&self, url: &Url) -> bool {
        self.url("").is_ok_and(|own| own.origin() == url.origin())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mirror_of {
            Some(of) => write!(f, "mirror {} of {of}", self.registry),
            None => write!(f, "registry {}", self.registry),
        }
    }
}

/// Whom a connection may be made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// A registry that was named by people: any address.
    Named,
    /// Where only an answer has pointed: no address of this machine, none that has a meaning of its own.
    Elsewhere,
}

/// Whether an answer of `endpoint` may send us to `url`, and how far that may reach.
pub(super) fn onward(
    endpoint: &Endpoint,
    url: &Url,
    insecure: &BTreeSet<RegistryName>,
) -> Result<Reach, RegistryError> {
    let host = url.host_str().unwrap_or_default();
    let refused = |why: &str| {
        let message = format!("{endpoint} sends its clients to {}, {why}", shown(host));
        Err(RegistryError::new(Fault::Failed, message).with_help("ask who runs the registry"))
    };
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let named = authority.parse::<RegistryName>().is_ok_and(|name| insecure.contains(&name));
    match url.scheme() {
        "https" => {}
        "http" if endpoint.holds(url) || (endpoint.plain && named) => {}
        _ => return refused("where nothing is encrypted"),
    }
    if named || host == endpoint.registry.host() {
        return Ok(Reach::Named);
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if literal.is_ok_and(is_special) {
        return refused("an address that no registry may point to");
    }
    Ok(Reach::Elsewhere)
}

/// Whether credentials of a registry may be shown at `host` for a token: on its own host or domain.
pub(super) fn is_own_domain(registry: &RegistryName, host: &str) -> bool {
    if host == registry.host() {
        return true;
    }
    let Some((_, domain)) = registry.host().split_once('.') else { return false };
    let is_ip = registry.host().parse::<IpAddr>().is_ok();
    let below = |name: &str| name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    domain.contains('.') && !is_ip && (host == domain || below(host))
}

/// Addresses with a meaning of their own: this machine, this link (where clouds keep credentials), nobody, many.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets().first() == Some(&0)
        }
        IpAddr::V6(v6) => is_special_v6(v6),
    }
}

fn is_special_v6(v6: Ipv6Addr) -> bool {
    // Other ways to write an IPv4 address, the translated form of NAT64 among them.
    let translated = match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(std::net::Ipv4Addr::new(a, b, c, d))
        }
        _ => v6.to_ipv4(),
    };
    v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_unicast_link_local()
        || v6.is_multicast()
        || translated.is_some_and(|v4| is_special(IpAddr::V4(v4)))
}

/// Resolves names and leaves out special addresses, so that a name cannot lead where a number may not.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrdinaryAddresses;

impl Resolve for OrdinaryAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let ordinary: Vec<SocketAddr> = found.filter(|address| !is_special(address.ip())).collect();
            if ordinary.is_empty() {
                let message = format!("{} has no address that a registry may point to", shown(name.as_str()));
                return Err(message.into());
            }
            Ok(Box::new(ordinary.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Patience, RegistryArgs};

    fn settings(insecure: &[&str]) -> Settings {
        let insecure = insecure.iter().map(|name| name.parse().unwrap()).collect();
        Settings::new(&RegistryArgs { insecure, ..Default::default() }, Patience::TRANSFER).unwrap()
    }

    fn endpoint(reference: &str, settings: &Settings) -> Endpoint {
        Endpoint::origin(&reference.parse().unwrap(), settings)
    }

    #[test]
    fn plain_http_is_only_for_those_named() {
        let settings = settings(&["localhost:5000"]);
        let url = |text: &str| endpoint(text, &settings).url("manifests/1").unwrap().to_string();
        assert_eq!(url("localhost:5000/a:1"), "http://localhost:5000/v2/a/manifests/1");
        assert_eq!(url("localhost:5001/a:1"), "https://localhost:5001/v2/a/manifests/1");
        assert_eq!(url("hello"), "https://registry-1.docker.io/v2/library/hello/manifests/1");
    }

    #[test]
    fn a_mirror_may_hold_it_below_a_path() {
        let settings = settings(&[]);
        let mirror = "ghcr.io=m.test/cache".parse().unwrap();
        let endpoint = Endpoint::mirror(&"ghcr.io/a/b:1".parse().unwrap(), &mirror, &settings);
        assert_eq!(endpoint.url("x").unwrap().as_str(), "https://m.test/v2/cache/a/b/x");
        assert_eq!(endpoint.to_string(), "mirror m.test of ghcr.io");
    }

    #[test]
    fn xo04_answers_do_not_send_us_anywhere() {
        let settings = settings(&["localhost:5000", "localhost:5001"]);
        let secure = endpoint("r.test/a", &settings);
        let plain = endpoint("localhost:5000/a", &settings);
        let go = |from: &Endpoint, to: &str| onward(from, &to.parse().unwrap(), &settings.insecure);
        assert_eq!(go(&secure, "https://cdn.test/x"), Ok(Reach::Elsewhere));
        assert_eq!(go(&secure, "https://r.test:8443/x"), Ok(Reach::Named));
        assert_eq!(go(&plain, "http://localhost:5000/x"), Ok(Reach::Named));
        assert_eq!(go(&plain, "http://localhost:5001/x"), Ok(Reach::Named));
        for to in [
            "http://r.test/x",
            "http://localhost:5001/x",
            "https://127.0.0.1/x",
            "https://0x7f.1/x",
            "https://169.254.169.254/x",
            "https://[::1]/x",
            "https://[::ffff:169.254.169.254]/x",
            "https://[64:ff9b::7f00:1]/x",
            "https://[fe80::1]/x",
            "https://0.0.0.0/x",
            "ftp://r.test/x",
        ] {
            assert_eq!(go(&secure, to).unwrap_err().fault, Fault::Failed, "{to}");
        }
        for to in ["http://localhost:5002/x", "http://cdn.test/x", "https://127.0.0.1/x"] {
            assert!(go(&plain, to).is_err(), "{to}");
        }
    }

    #[tokio::test]
    async fn a_name_does_not_lead_where_a_number_may_not() {
        let error = OrdinaryAddresses.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(error.to_string().contains("localhost"), "{error}");
    }

    #[test]
    fn xo02_credentials_stay_in_the_domain_of_their_registry() {
        let own = |registry: &str, host: &str| is_own_domain(&registry.parse().unwrap(), host);
        for (registry, host) in [
            ("docker.io", "auth.docker.io"),
            ("ghcr.io", "ghcr.io"),
            ("registry.gitlab.com", "gitlab.com"),
            ("registry.corp.test:5000", "auth.corp.test"),
            ("localhost:5000", "localhost"),
        ] {
            assert!(own(registry, host), "{registry} {host}");
        }
        for (registry, host) in [
            ("ghcr.io", "evil.io"),
            ("registry.corp.test", "evil.test"),
            ("registry.corp.test", "evilcorp.test"),
            ("10.0.0.1:5000", "9.0.0.1"),
            ("localhost:5000", "evil.test"),
        ] {
            assert!(!own(registry, host), "{registry} {host}");
        }
    }
}
