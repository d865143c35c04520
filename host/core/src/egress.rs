//! Whether a component may reach a host: its `allowed_hosts` against what it asks for (K3, E06).
//!
//! Judged twice, and both must pass: first scheme, host and port as the component wrote them, then every address
//! that the name stands for. Whoever connects does so to an address that was judged and looks nothing up again.
//! A missing answer is a no: an empty list allows nothing.

mod address;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use lath_control_api::egress::{AllowedHost, HostError, Hosts, Network, RequestHost, Scheme};

use address::Kind;

/// The one name that stands for this machine; it is never looked up elsewhere.
const LOCALHOST: &str = "localhost";

/// What a component may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    entries: BTreeSet<AllowedHost>,
}

/// Where a request wants to go, and may as far as its words say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// How.
    pub scheme: Scheme,
    /// To whom.
    pub host: RequestHost,
    /// The port; never 0.
    pub port: u16,
}

/// Why something was denied. The text names the entry that would allow it, where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No entry is for it.
    #[error(
        "`{wanted}` is not among the `allowed_hosts` of the component; the entry `{wanted}` would allow it{hint}"
    )]
    NotListed {
        /// The narrowest entry that would allow it.
        wanted: AllowedHost,
        /// What else is worth knowing; empty, or begins with a semicolon.
        hint: &'static str,
    },
    /// An entry allows it, and it leads to an address that is not public.
    #[error(
        "`{destination}` leads to {address}, {kind}, which only an entry of its own opens; the entry `{wanted}` beside the others would allow it"
    )]
    Address {
        /// As the component asked, in its normal form.
        destination: AllowedHost,
        /// The address that is to blame.
        address: IpAddr,
        /// What it is for.
        kind: &'static str,
        /// The narrowest entry that would allow it.
        wanted: AllowedHost,
    },
    /// The host cannot be read in one way only.
    #[error("`{}` {problem}, which no entry allows; {}", found.escape_debug(), problem.help())]
    Host {
        /// As the component wrote it, cut to 100 characters.
        found: String,
        /// What is wrong with it.
        problem: HostError,
    },
    /// Something else of the authority.
    #[error("`{}` {problem}, which no entry allows", found.escape_debug())]
    Authority {
        /// As the component wrote it, cut to 100 characters.
        found: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Destination {
    /// Where `authority` leads by `scheme`, in the one way that it can be read.
    ///
    /// # Errors
    /// When it has a user name, an address in disguise, or anything else that two programs might read differently.
    pub fn read(scheme: Scheme, authority: &str) -> Result<Self, Denial> {
        let wrong = |problem| Denial::Authority { found: cut(authority), problem };
        if authority.contains('@') {
            return Err(wrong("has a user name"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inside) => {
                let end = inside.find(']').ok_or_else(|| wrong("has a `[` without `]`"))? + 2;
                authority.split_at(end)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok()
            }
            Some(_) => None,
            None if port.is_empty() => scheme.default_port(),
            None => None,
        };
        let port = port.filter(|port| *port > 0).ok_or_else(|| wrong("has a port that is none"))?;
        let host: RequestHost =
            host.parse().map_err(|problem| Denial::Host { found: cut(authority), problem })?;
        Ok(Self { scheme, host, port })
    }

    /// Whether its name is that of this machine.
    #[must_use]
    pub fn is_localhost(&self) -> bool {
        matches!(&self.host, RequestHost::Name(name) if name == LOCALHOST)
    }

    /// The narrowest entry that fits.
    fn entry(&self) -> AllowedHost {
        AllowedHost::exactly(self.scheme, &self.host, self.port)
    }
}

impl Egress {
    /// The rules of a component.
    #[must_use]
    pub const fn new(entries: BTreeSet<AllowedHost>) -> Self {
        Self { entries }
    }

    /// Whether anything at all is allowed by this scheme.
    #[must_use]
    pub fn allows_some(&self, scheme: Scheme) -> bool {
        self.entries.iter().any(|entry| entry.is_for(scheme))
    }

    /// The first judgement: reads an authority and looks for an entry that is for it.
    ///
    /// # Errors
    /// When there is none, or the authority cannot be read in one way only.
    pub fn judge(&self, scheme: Scheme, authority: &str) -> Result<Destination, Denial> {
        let destination = Destination::read(scheme, authority)?;
        self.judge_host(&destination)?;
        Ok(destination)
    }

    /// The second judgement: what may be connected to, given all addresses that the destination stands for. They keep
    /// their order.
    ///
    /// # Errors
    /// When one of them is not public and has no entry of its own. The others do not help: who can put one private
    /// address into an answer can put it first.
    pub fn judge_addresses(
        &self,
        destination: &Destination,
        addresses: &[IpAddr],
    ) -> Result<Vec<SocketAddr>, Denial> {
        addresses.iter().map(|address| self.judge_address(destination, address.to_canonical())).collect()
    }

    /// Whether a socket may exchange anything with this address. `names` are those that this call has looked up and
    /// that stand for the address.
    ///
    /// # Errors
    /// When no entry allows it.
    pub fn judge_socket<'a>(
        &self,
        scheme: Scheme,
        peer: SocketAddr,
        names: impl IntoIterator<Item = &'a RequestHost>,
    ) -> Result<(), Denial> {
        let address = peer.ip().to_canonical();
        let judge = |host: RequestHost| {
            let destination = Destination { scheme, host, port: peer.port() };
            self.judge_host(&destination)?;
            self.judge_address(&destination, address).map(drop)
        };
        let Err(mut denied) = judge(RequestHost::Address(address)) else { return Ok(()) };
        for name in names {
            match judge(name.clone()) {
                Ok(()) => return Ok(()),
                // Closer to what was meant than that the address has no entry.
                Err(named @ Denial::Address { .. }) => denied = named,
                Err(_) => {}
            }
        }
        Err(denied)
    }

    /// Whether sockets of the component may look this name up: only one that an entry for sockets names, since a
    /// question to a name server can carry data out.
    ///
    /// # Errors
    /// When no entry names it, or it cannot be read in one way only.
    pub fn judge_lookup(&self, name: &str) -> Result<RequestHost, Denial> {
        let host: RequestHost = name.parse().map_err(|problem| Denial::Host { found: cut(name), problem })?;
        let sockets = [Scheme::Tcp, Scheme::Udp];
        let named = self
            .entries
            .iter()
            .any(|entry| sockets.iter().any(|scheme| entry.is_for(*scheme)) && names(entry.hosts(), &host));
        if named {
            return Ok(host);
        }
        let wanted = AllowedHost::exactly(Scheme::Tcp, &host, 443);
        Err(Denial::NotListed { wanted, hint: "; write the port that is needed" })
    }

    fn judge_host(&self, destination: &Destination) -> Result<(), Denial> {
        let Destination { scheme, host, port } = destination;
        if matches!(host, RequestHost::Address(address) if address.is_unspecified()) {
            return Err(Denial::Host { found: host.to_string(), problem: HostError::Empty });
        }
        let mut entries = self.entries.iter().filter(|entry| entry.is_for_port(*scheme, *port));
        if entries.any(|entry| names(entry.hosts(), host)) {
            return Ok(());
        }
        let wanted = destination.entry();
        let hint = if self.entries.is_empty() { "; the list is empty" } else { "" };
        Err(Denial::NotListed { wanted, hint })
    }

    fn judge_address(&self, destination: &Destination, address: IpAddr) -> Result<SocketAddr, Denial> {
        let Destination { scheme, port, .. } = destination;
        let kind = address::kind(address);
        let opened = match kind {
            Kind::Public => true,
            Kind::Nowhere => false,
            // The name of this machine opens this machine, and only where it is written out.
            Kind::Special { name: address::LOOPBACK, .. } if destination.is_localhost() => {
                let own = Hosts::Name(LOCALHOST.to_owned());
                let mut entries = self.entries.iter().filter(|entry| entry.is_for_port(*scheme, *port));
                entries.any(|entry| *entry.hosts() == own)
            }
            Kind::Special { block, .. } => {
                let mut entries = self.entries.iter().filter(|entry| entry.is_for_port(*scheme, *port));
                entries.any(|entry| opens(entry.hosts(), address, &block))
            }
        };
        if opened {
            return Ok(SocketAddr::new(address, *port));
        }
        let (kind, host) = match kind {
            Kind::Special { name: kind @ address::LOOPBACK, .. } if destination.is_localhost() => {
                (kind, destination.host.clone())
            }
            Kind::Special { name, .. } => (name, RequestHost::Address(address)),
            Kind::Public | Kind::Nowhere => {
                return Err(Denial::Host { found: destination.host.to_string(), problem: HostError::Empty });
            }
        };
        let wanted = AllowedHost::exactly(*scheme, &host, *port);
        Err(Denial::Address { destination: destination.entry(), address, kind, wanted })
    }
}

/// Whether hosts of an entry hold the host as it was written.
fn names(hosts: &Hosts, host: &RequestHost) -> bool {
    match (hosts, host) {
        (Hosts::Any, _) => true,
        (Hosts::Name(own), RequestHost::Name(name)) => own == name,
        (Hosts::Below(own), RequestHost::Name(name)) => {
            name.split_once('.').is_some_and(|(_, above)| above == own)
        }
        (Hosts::Network(network), RequestHost::Address(address)) => network.contains(*address),
        (Hosts::Name(_) | Hosts::Below(_), RequestHost::Address(_))
        | (Hosts::Network(_), RequestHost::Name(_)) => false,
    }
}

/// Whether hosts of an entry open an address that is not public: they name it, or a network that lies in the block of
/// its kind. So `0.0.0.0/0` opens no private address.
fn opens(hosts: &Hosts, address: IpAddr, block: &Network) -> bool {
    match hosts {
        Hosts::Network(network) => network.contains(address) && network.within(block),
        Hosts::Any | Hosts::Name(_) | Hosts::Below(_) => false,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
