//! The host that a request or an entry names, read in the one way that leaves no room for tricks.
//!
//! A name is ASCII, and an address is written out in full: what some resolver might read as an address in disguise
//! (`127.1`, `0x7f000001`, `0177.0.0.1`) is neither.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A name or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestHost {
    /// A name: lower-case ASCII, without a dot at the end.
    Name(String),
    /// An address; an IPv4 address in IPv6 form is the IPv4 address.
    Address(IpAddr),
}

/// In an entry, every host.
const ANY: &str = "any";

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing, or only a dot.
    #[error("names no host")]
    Empty,
    /// A character outside ASCII.
    #[error("has a host with characters outside of ASCII")]
    NotAscii,
    /// A `%`.
    #[error("has a host with percent-encoded characters")]
    Encoded,
    /// Another character that no name has.
    #[error("has a host with characters that no name has")]
    Character,
    /// An empty or overlong label, or too many.
    #[error("has a host whose labels are empty or too long")]
    Label,
    /// Something that ends in a number and is no address in its usual form.
    #[error("has an address in an unusual form")]
    Address,
    /// The word that stands for every host in an entry: a host of that name could not be written in one.
    #[error("has a host that is called `any`, the word for every host")]
    Any,
}

impl HostError {
    /// What to write instead.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Empty => "write the name or address of a host",
            Self::NotAscii => "write the name as it is looked up, in its ASCII form (`xn--…`)",
            Self::Encoded => "write the name without `%`",
            Self::Character => "names have letters, digits, `-`, `_` and dots",
            Self::Label => "between two dots stand 1 to 63 characters, and 253 are all",
            Self::Any => {
                "give the host a name of more than one label; `any` in lower-case is every public host"
            }
            Self::Address => "write IPv4 addresses as `192.0.2.1` and IPv6 addresses as `[2001:db8::1]`",
        }
    }
}

impl FromStr for RequestHost {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Some(inside) = text.strip_prefix('[') {
            let address = inside.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok());
            return address
                .map(|address| Self::Address(IpAddr::V6(address).to_canonical()))
                .ok_or(HostError::Address);
        }
        check_characters(text)?;
        // One dot at the end only says that the name is complete.
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(HostError::Empty);
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        let labels = || name.split('.');
        if labels().next_back().is_some_and(is_number) {
            return Err(HostError::Address);
        }
        if name.len() > 253 || labels().any(|label| label.is_empty() || label.len() > 63) {
            return Err(HostError::Label);
        }
        if labels().any(|label| label.starts_with('-') || label.ends_with('-')) {
            return Err(HostError::Character);
        }
        let name = name.to_ascii_lowercase();
        if name == ANY { Err(HostError::Any) } else { Ok(Self::Name(name)) }
    }
}

impl fmt::Display for RequestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn check_characters(text: &str) -> Result<(), HostError> {
    if !text.is_ascii() {
        return Err(HostError::NotAscii);
    }
    if text.contains('%') {
        return Err(HostError::Encoded);
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.bytes().all(fits) { Ok(()) } else { Err(HostError::Character) }
}

/// Whether resolvers may take a last label as part of an address: digits, or hexadecimal ones after `0x`.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()),
    }
}
