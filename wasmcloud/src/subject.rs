//! The subjects of the 1.x world, and what stands in the messages on each.
//!
//! A lattice, host id or component id is one token. Names of configs are one token too: hosts refuse more.

use std::fmt;
use std::str::FromStr;

/// Queue group of all managers.
pub const WADM_QUEUE: &str = "wadm_server";
/// The variable by which hosts and `wash` of 1.x are told of another [`ControlPrefix`].
pub const CONTROL_PREFIX_VARIABLE: &str = "WASMCLOUD_CTL_TOPIC_PREFIX";
/// The variable by which wadm is told of another [`WadmPrefix`].
pub const WADM_PREFIX_VARIABLE: &str = "WADM_API_PREFIX";

/// Longest prefix, in bytes.
const MAX_PREFIX: usize = 128;

/// A prefix that cannot begin a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixError;

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "1 to {MAX_PREFIX} visible ASCII characters without `*` and `>`, no part between dots empty"
        )
    }
}

impl std::error::Error for PrefixError {}

/// What subjects of the control interface begin with: `wasmbus.ctl`, unless somebody has chosen another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPrefix(String);

impl ControlPrefix {
    /// What every subject of the control interface of a lattice begins with.
    #[must_use]
    pub fn of(&self, lattice: &str) -> String {
        format!("{}.v1.{lattice}.", self.0)
    }
}

impl Default for ControlPrefix {
    fn default() -> Self {
        Self("wasmbus.ctl".to_owned())
    }
}

impl FromStr for ControlPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        prefix(text).map(Self)
    }
}

impl fmt::Display for ControlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What subjects of the manager's API begin with: `wadm.api`, unless somebody has chosen another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WadmPrefix(String);

impl WadmPrefix {
    /// What every subject of the API of a lattice begins with.
    #[must_use]
    pub fn of(&self, lattice: &str) -> String {
        format!("{}.{lattice}.", self.0)
    }
}

impl Default for WadmPrefix {
    fn default() -> Self {
        Self("wadm.api".to_owned())
    }
}

impl FromStr for WadmPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        prefix(text).map(Self)
    }
}

impl fmt::Display for WadmPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn prefix(text: &str) -> Result<String, PrefixError> {
    let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'*' && byte != b'>';
    let fits = text.len() <= MAX_PREFIX
        && text.bytes().all(visible)
        && text.split('.').all(|token| !token.is_empty());
    if fits { Ok(text.to_owned()) } else { Err(PrefixError) }
}

/// Where an event is told.
#[must_use]
pub fn event(lattice: &str, name: &str) -> String {
    format!("wasmbus.evt.{lattice}.{name}")
}

/// A request of the control interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control<'a> {
    /// `registry.put`
    PutRegistries,
    /// `host.ping`: every host answers.
    Ping,
    /// `host.get.{host}`
    Inventory(&'a str),
    /// `host.stop.{host}`
    StopHost(&'a str),
    /// `claims.get`: one host answers.
    Claims,
    /// `link.put`: one host answers.
    PutLink,
    /// `link.del`: one host answers.
    DeleteLink,
    /// `link.get`: one host answers.
    Links,
    /// `config.put.{name}`: one host answers.
    PutConfig(&'a str),
    /// `config.del.{name}`: one host answers.
    DeleteConfig(&'a str),
    /// `config.get.{name}`: one host answers.
    Config(&'a str),
    /// `component.auction`: hosts that could run it answer.
    AuctionComponent,
    /// `component.scale.{host}`
    ScaleComponent(&'a str),
    /// `component.update.{host}`
    UpdateComponent(&'a str),
    /// `provider.auction`: hosts that could run it answer.
    AuctionProvider,
    /// `provider.start.{host}`
    StartProvider(&'a str),
    /// `provider.stop.{host}`
    StopProvider(&'a str),
    /// `label.put.{host}`
    PutLabel(&'a str),
    /// `label.del.{host}`
    DeleteLabel(&'a str),
}

impl<'a> Control<'a> {
    /// Reads what follows `{prefix}.v1.{lattice}.`. None: hosts answer `unsupported subject`.
    #[must_use]
    pub fn read(rest: &'a str) -> Option<Self> {
        let tokens: Vec<&str> = rest.split('.').collect();
        if tokens.iter().any(|token| token.is_empty()) {
            return None;
        }
        Some(match tokens.as_slice() {
            ["registry", "put"] => Self::PutRegistries,
            ["host", "ping"] => Self::Ping,
            ["host", "get", host] => Self::Inventory(host),
            ["host", "stop", host] => Self::StopHost(host),
            ["claims", "get"] => Self::Claims,
            ["link", "put"] => Self::PutLink,
            ["link", "del"] => Self::DeleteLink,
            ["link", "get"] => Self::Links,
            ["config", "put", name] => Self::PutConfig(name),
            ["config", "del", name] => Self::DeleteConfig(name),
            ["config", "get", name] => Self::Config(name),
            ["component", "auction"] => Self::AuctionComponent,
            ["component", "scale", host] => Self::ScaleComponent(host),
            ["component", "update", host] => Self::UpdateComponent(host),
            ["provider", "auction"] => Self::AuctionProvider,
            ["provider", "start", host] => Self::StartProvider(host),
            ["provider", "stop", host] => Self::StopProvider(host),
            ["label", "put", host] => Self::PutLabel(host),
            ["label", "del", host] => Self::DeleteLabel(host),
            _ => return None,
        })
    }
}

impl fmt::Display for Control<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutRegistries => f.write_str("registry.put"),
            Self::Ping => f.write_str("host.ping"),
            Self::Inventory(host) => write!(f, "host.get.{host}"),
            Self::StopHost(host) => write!(f, "host.stop.{host}"),
            Self::Claims => f.write_str("claims.get"),
            Self::PutLink => f.write_str("link.put"),
            Self::DeleteLink => f.write_str("link.del"),
            Self::Links => f.write_str("link.get"),
            Self::PutConfig(name) => write!(f, "config.put.{name}"),
            Self::DeleteConfig(name) => write!(f, "config.del.{name}"),
            Self::Config(name) => write!(f, "config.get.{name}"),
            Self::AuctionComponent => f.write_str("component.auction"),
            Self::ScaleComponent(host) => write!(f, "component.scale.{host}"),
            Self::UpdateComponent(host) => write!(f, "component.update.{host}"),
            Self::AuctionProvider => f.write_str("provider.auction"),
            Self::StartProvider(host) => write!(f, "provider.start.{host}"),
            Self::StopProvider(host) => write!(f, "provider.stop.{host}"),
            Self::PutLabel(host) => write!(f, "label.put.{host}"),
            Self::DeleteLabel(host) => write!(f, "label.del.{host}"),
        }
    }
}

/// What a host tells a provider, on `wasmbus.rpc.{lattice}.{id}.…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToProvider {
    /// `health`, which is answered.
    Health,
    /// `default.shutdown`, which is answered.
    ShutDown,
    /// `linkdefs.put`: to the public key of the provider's process, or to its id.
    PutLink,
    /// `linkdefs.del`
    DeleteLink,
    /// `config.update`
    Config,
}

impl ToProvider {
    /// Reads what follows the id.
    #[must_use]
    pub fn read(rest: &str) -> Option<Self> {
        Some(match rest {
            "health" => Self::Health,
            "default.shutdown" => Self::ShutDown,
            "linkdefs.put" => Self::PutLink,
            "linkdefs.del" => Self::DeleteLink,
            "config.update" => Self::Config,
            _ => return None,
        })
    }
}

impl fmt::Display for ToProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Health => "health",
            Self::ShutDown => "default.shutdown",
            Self::PutLink => "linkdefs.put",
            Self::DeleteLink => "linkdefs.del",
            Self::Config => "config.update",
        })
    }
}

/// Where a provider is told something; `id` is its key, or for links the public key of its process.
#[must_use]
pub fn provider(lattice: &str, id: &str, what: ToProvider) -> String {
    format!("wasmbus.rpc.{lattice}.{id}.{what}")
}

/// A request to the manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model<'a> {
    /// `list`: answered with an array alone.
    List,
    /// `get` without a name.
    GetAll,
    /// `get.{name}`
    Get(&'a str),
    /// `put`
    Put,
    /// `del.{name}`
    Delete(&'a str),
    /// `versions.{name}`
    Versions(&'a str),
    /// `deploy.{name}`
    Deploy(&'a str),
    /// `undeploy.{name}`
    Undeploy(&'a str),
    /// `status.{name}`
    Status(&'a str),
    /// `history.{name}`: answered with an error.
    History(&'a str),
}

impl<'a> Model<'a> {
    /// Reads what follows `{prefix}.{lattice}.model.`.
    #[must_use]
    pub fn read(rest: &'a str) -> Option<Self> {
        let (verb, name) = rest.split_once('.').map_or((rest, None), |(verb, name)| (verb, Some(name)));
        if name.is_some_and(|name| name.is_empty() || name.contains('.')) {
            return None;
        }
        Some(match (verb, name) {
            ("list", None) => Self::List,
            ("get", None) => Self::GetAll,
            ("get", Some(name)) => Self::Get(name),
            ("put", None) => Self::Put,
            ("del", Some(name)) => Self::Delete(name),
            ("versions", Some(name)) => Self::Versions(name),
            ("deploy", Some(name)) => Self::Deploy(name),
            ("undeploy", Some(name)) => Self::Undeploy(name),
            ("status", Some(name)) => Self::Status(name),
            ("history", Some(name)) => Self::History(name),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_begin_subjects_and_widen_none() {
        assert_eq!(ControlPrefix::default().of("default"), "wasmbus.ctl.v1.default.");
        assert_eq!(WadmPrefix::default().of("default"), "wadm.api.default.");
        assert_eq!("acme.ctl".parse::<ControlPrefix>().unwrap().of("eu"), "acme.ctl.v1.eu.");
        for wrong in ["", ".", "a.", ".a", "a..b", "a.*", ">", "a b", "ä", &"a".repeat(200)] {
            assert!(wrong.parse::<ControlPrefix>().is_err(), "{wrong:?}");
            assert!(wrong.parse::<WadmPrefix>().is_err(), "{wrong:?}");
        }
    }
}
