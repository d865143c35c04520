//! What a component may reach outside: the grammar of `allowed_hosts`.
//!
//! An entry is `SCHEME://HOST:PORT`, with `https` and the scheme's own port when left out, or the word `any`. Here
//! entries and hosts are read, and each has one way to be written. Whether a request fits an entry is judged by the
//! host (`lath-host-core`), where resolved addresses are known.

mod host;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use host::{HostError, RequestHost};

/// How an entry is written, in words, for messages.
pub const ENTRY_RULE: &str =
    "an entry is `SCHEME://HOST:PORT`, such as `https://api.example.com` or `http://10.1.2.3:8080`";

/// Longest entry in bytes: a name has 253 at most, and the rest around it is short.
pub const MAX_ENTRY: usize = 300;

/// A protocol that goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// A TCP connection of `wasi:sockets`.
    Tcp,
    /// Datagrams of `wasi:sockets`.
    Udp,
}

impl Scheme {
    /// All of them, for messages that list what there is.
    pub const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Tcp, Self::Udp];

    /// As an entry writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// The port that is meant when none is written; sockets have none.
    #[must_use]
    pub const fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp | Self::Udp => None,
        }
    }

    /// The scheme of that name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
    }
}

/// One entry of `allowed_hosts`. Entries that mean the same are equal and are written the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AllowedHost {
    /// The protocol; none stands for HTTP with TLS and without, and only in the entry `any`.
    scheme: Option<Scheme>,
    hosts: Hosts,
    /// The port; any when absent.
    port: Option<u16>,
}

/// Which hosts an entry is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hosts {
    /// Every name, and every public address.
    Any,
    /// This name: lower-case, without a dot at the end.
    Name(String),
    /// Names with exactly one label more than this one, as `*.example.com` has it.
    Below(String),
    /// Addresses of this network; a single one is a network too.
    Network(Network),
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EntryError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// The bytes of the text that are to blame.
    pub part: Range<usize>,
}

impl Network {
    /// The network of one address. An IPv4 address in IPv6 form is the IPv4 address.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: bits(address) }
    }

    /// The network of the first `prefix` bits; nothing when there are fewer bits, or others are set.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let network = Self { address, prefix };
        let fits = prefix <= bits(address) && (prefix == bits(address) || network.host_part(address) == 0);
        fits.then_some(network)
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && self.network_part(address) == self.network_part(self.address)
    }

    /// Whether all of its addresses are in `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.prefix >= other.prefix && other.contains(self.address)
    }

    fn network_part(&self, address: IpAddr) -> u128 {
        number(address).checked_shr(u32::from(bits(address).saturating_sub(self.prefix))).unwrap_or(0)
    }

    fn host_part(&self, address: IpAddr) -> u128 {
        let kept = u32::from(bits(address).saturating_sub(self.prefix));
        number(address) & (1_u128.checked_shl(kept).unwrap_or(0).wrapping_sub(1))
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl AllowedHost {
    /// The entry that allows exactly one thing.
    #[must_use]
    pub fn exactly(scheme: Scheme, host: &RequestHost, port: u16) -> Self {
        let hosts = match host {
            RequestHost::Name(name) => Hosts::Name(name.clone()),
            RequestHost::Address(address) => Hosts::Network(Network::single(*address)),
        };
        Self { scheme: Some(scheme), hosts, port: Some(port) }
    }

    /// Which hosts it is for.
    #[must_use]
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Whether it is for this protocol at all.
    #[must_use]
    pub fn is_for(&self, scheme: Scheme) -> bool {
        match self.scheme {
            Some(own) => own == scheme,
            None => matches!(scheme, Scheme::Http | Scheme::Https),
        }
    }

    /// Whether it is for this protocol on this port.
    #[must_use]
    pub fn is_for_port(&self, scheme: Scheme, port: u16) -> bool {
        self.is_for(scheme) && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for AllowedHost {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        Entry { text }.read()
    }
}

impl TryFrom<String> for AllowedHost {
    type Error = EntryError;

    fn try_from(text: String) -> Result<Self, EntryError> {
        text.parse()
    }
}

impl From<AllowedHost> for String {
    fn from(entry: AllowedHost) -> Self {
        entry.to_string()
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(scheme) = self.scheme else { return f.write_str("any") };
        write!(f, "{}://{}", scheme.as_str(), self.hosts)?;
        match self.port {
            port if port.is_some() && port == scheme.default_port() => Ok(()),
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":any"),
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.prefix) {
            (IpAddr::V4(address), 32) => write!(f, "{address}"),
            (IpAddr::V4(address), prefix) => write!(f, "{address}/{prefix}"),
            (IpAddr::V6(address), 128) => write!(f, "[{address}]"),
            (IpAddr::V6(address), prefix) => write!(f, "[{address}/{prefix}]"),
        }
    }
}

/// An entry while it is read.
struct Entry<'a> {
    text: &'a str,
}

impl Entry<'_> {
    fn read(&self) -> Result<AllowedHost, EntryError> {
        let text = self.text;
        if text.len() > MAX_ENTRY {
            return Err(self.wrong(0..text.len(), "is longer than 300 bytes", ENTRY_RULE));
        }
        if text == "any" {
            return Ok(AllowedHost { scheme: None, hosts: Hosts::Any, port: None });
        }
        if text.is_empty() || text == "*" {
            return Err(self.wrong(
                0..text.len(),
                "names no host",
                "write `any` for every public host, or name hosts",
            ));
        }
        let (scheme, from) = self.scheme()?;
        let rest = text.get(from..).unwrap_or_default();
        if let Some(at) = rest.find('@') {
            return Err(self.wrong(
                from..from + at + 1,
                "has a user name",
                "leave out what stands before the `@`",
            ));
        }
        let (host, port) = self.split(from, rest)?;
        let hosts = self.hosts(&host)?;
        let port = match port {
            Some(port) => self.port(&port)?,
            None => Some(scheme.default_port().ok_or_else(|| {
                self.wrong(
                    0..text.len(),
                    "has no port, and sockets have none by default",
                    "add `:PORT`, or `:any`",
                )
            })?),
        };
        Ok(AllowedHost { scheme: Some(scheme), hosts, port })
    }

    fn scheme(&self) -> Result<(Scheme, usize), EntryError> {
        let Some(end) = self.text.find("://") else { return Ok((Scheme::Https, 0)) };
        let name = self.text.get(..end).unwrap_or_default();
        Scheme::named(name).map(|scheme| (scheme, end + 3)).ok_or_else(|| {
            self.wrong(0..end, "has a scheme that is not known", "write http, https, tcp or udp")
        })
    }

    /// Host and port as ranges of the text.
    fn split(&self, from: usize, rest: &str) -> Result<(Range<usize>, Option<Range<usize>>), EntryError> {
        let end = from + rest.len();
        let host_len = match rest.strip_prefix('[') {
            Some(inside) => inside.find(']').map(|at| at + 2).ok_or_else(|| {
                self.wrong(from..end, "has a `[` without `]`", "write IPv6 addresses as `[2001:db8::1]`")
            })?,
            None => rest.find(':').unwrap_or(rest.len()),
        };
        let host = from..from + host_len;
        match rest.get(host_len..) {
            None | Some("") => Ok((host, None)),
            Some(after) if after.starts_with(':') => Ok((host.clone(), Some(host.end + 1..end))),
            Some(_) => Err(self.wrong(host.end..end, "goes on after the host", ENTRY_RULE)),
        }
    }

    fn hosts(&self, range: &Range<usize>) -> Result<Hosts, EntryError> {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Some((address, prefix)) = bracketed.unwrap_or(text).split_once('/') {
            return self.network(range, address, prefix, bracketed.is_some());
        }
        if text == "any" {
            return Ok(Hosts::Any);
        }
        if text == "*" {
            return Err(self.wrong(range.clone(), "has `*` as host", "write `any` for every public host"));
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            let help = "`*` stands for one whole label, at the beginning: `*.example.com`";
            return Err(self.wrong(range.clone(), "has a `*` where none may be", help));
        }
        match (name.parse::<RequestHost>(), below) {
            (Ok(RequestHost::Name(name)), true) => Ok(Hosts::Below(name)),
            (Ok(RequestHost::Name(name)), false) => Ok(Hosts::Name(name)),
            (Ok(RequestHost::Address(address)), false) if !address.is_unspecified() => {
                Ok(Hosts::Network(Network::single(address)))
            }
            (Ok(RequestHost::Address(_)), _) => {
                Err(self.wrong(range.clone(), "names no host", "write the address of a host, or its name"))
            }
            (Err(error), _) => Err(self.wrong(range.clone(), &error.to_string(), error.help())),
        }
    }

    fn network(
        &self,
        range: &Range<usize>,
        address: &str,
        prefix: &str,
        bracketed: bool,
    ) -> Result<Hosts, EntryError> {
        let address: IpAddr = address.parse().map_err(|_| {
            self.wrong(range.clone(), "has a path", "name the host only: grants are for hosts, not for paths")
        })?;
        let digits =
            prefix.bytes().all(|b| b.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        let network = Some(prefix)
            .filter(|_| digits && address.is_ipv6() == bracketed)
            .and_then(|prefix| prefix.parse().ok())
            .and_then(|prefix| Network::new(address, prefix));
        network.map(Hosts::Network).ok_or_else(|| {
            let help = "write the first address and the number of bits: `10.0.0.0/8`, `[fd00::/8]`";
            self.wrong(range.clone(), "has a network that is none", help)
        })
    }

    fn port(&self, range: &Range<usize>) -> Result<Option<u16>, EntryError> {
        let text = self.text.get(range.clone()).unwrap_or_default();
        if text == "any" {
            return Ok(None);
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u16>() {
            Ok(port) if digits && port > 0 => Ok(Some(port)),
            Ok(_) | Err(_) => {
                let part =
                    if range.is_empty() { range.start.saturating_sub(1)..range.end } else { range.clone() };
                Err(self.wrong(
                    part,
                    "has a port that is none",
                    "write a number from 1 to 65535, or `any`; and no path",
                ))
            }
        }
    }

    fn wrong(&self, part: Range<usize>, what: &str, help: &str) -> EntryError {
        let shown: String = self.text.chars().take(100).flat_map(char::escape_debug).collect();
        EntryError { message: format!("the entry `{shown}` {what}"), help: help.to_owned(), part }
    }
}

#[cfg(test)]
mod tests;
