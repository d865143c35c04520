//! What a component may reach: an entry is written back in a form that means the same; a denial names the entry that
//! allows it; nothing that is not public opens by a name, by `any`, or by a network that is wider than its kind.
//!
//! An input is text: `SCHEME AUTHORITY` in the first line, addresses that the name stands for in the second, entries in
//! the others.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use lath_control_api::egress::{AllowedHost, Hosts, RequestHost, Scheme};
use lath_host_core::egress::{Denial, Destination, Egress};

use crate::lines::lines;

pub(crate) fn check(bytes: &[u8]) {
    let Some(mut lines) = lines(bytes) else { return };
    let Some(first) = lines.next() else { return };
    let &[scheme, authority] = first.as_slice() else { return };
    let Some(scheme) = Scheme::named(scheme) else { return };
    let addresses: Vec<IpAddr> =
        lines.next().unwrap_or_default().iter().filter_map(|word| word.parse().ok()).collect();
    let entries: BTreeSet<AllowedHost> =
        lines.take(50).filter_map(|words| entry(words.first().copied().unwrap_or_default())).collect();
    judge(&entries, scheme, authority, &addresses);
    lookup(&entries, authority);
}

fn entry(text: &str) -> Option<AllowedHost> {
    let entry: AllowedHost = match text.parse() {
        Ok(entry) => entry,
        Err(error) => {
            let error: lath_control_api::egress::EntryError = error;
            assert!(text.get(error.part.clone()).is_some(), "{error:?} blames no part of `{text}`");
            return None;
        }
    };
    let written = entry.to_string();
    let read = written.parse();
    assert_eq!(read.as_ref(), Ok(&entry), "`{text}` is written `{written}`, which means something else");
    Some(entry)
}

fn judge(entries: &BTreeSet<AllowedHost>, scheme: Scheme, authority: &str, addresses: &[IpAddr]) {
    let egress = Egress::new(entries.clone());
    let destination = match egress.judge(scheme, authority) {
        Ok(destination) => destination,
        Err(Denial::NotListed { wanted, .. }) => {
            // The advice is good, and opens nothing to anyone else.
            let advised = with(entries, &wanted).judge(scheme, authority);
            assert!(advised.is_ok(), "`{wanted}` does not allow {authority}: {advised:?}");
            return;
        }
        Err(Denial::Address { .. } | Denial::Host { .. } | Denial::Authority { .. }) => {
            let all = Egress::new(entry("any").into_iter().collect());
            assert!(all.judge(scheme, authority).is_err(), "{authority} cannot be read, and `any` allows it");
            return;
        }
    };
    assert!(!entries.is_empty(), "an empty list allowed {authority}");
    for address in addresses {
        match egress.judge_addresses(&destination, &[*address]) {
            Ok(allowed) => {
                assert_eq!(allowed, [SocketAddr::new(address.to_canonical(), destination.port)]);
                check_opened(entries, &destination, address.to_canonical());
            }
            Err(Denial::Address { wanted, .. }) => {
                let advised = with(entries, &wanted).judge_addresses(&destination, &[*address]);
                assert!(advised.is_ok(), "`{wanted}` does not open {address}: {advised:?}");
            }
            Err(Denial::NotListed { .. } | Denial::Host { .. } | Denial::Authority { .. }) => {
                assert!(address.to_canonical().is_unspecified(), "{address} is denied without advice");
            }
        }
    }
}

/// A plainly private address is opened by nothing but an entry that names it or a network of its own kind.
fn check_opened(entries: &BTreeSet<AllowedHost>, destination: &Destination, address: IpAddr) {
    let private = match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast(),
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast()
        }
    };
    if !private {
        return;
    }
    let own = entries.iter().filter(|entry| entry.is_for_port(destination.scheme, destination.port));
    let named = own.clone().any(|entry| match entry.hosts() {
        Hosts::Network(network) => network.contains(address) && !network.contains(far_from(address)),
        Hosts::Any | Hosts::Name(_) | Hosts::Below(_) => false,
    });
    let here = destination.is_localhost()
        && address.is_loopback()
        && own.clone().any(|entry| *entry.hosts() == Hosts::Name("localhost".to_owned()));
    assert!(named || here, "{address} was opened for {destination:?} by {entries:?}");
}

/// A public address: a network that holds it as well is for no kind of private addresses.
fn far_from(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::from([8, 8, 8, 8]),
        IpAddr::V6(_) => IpAddr::from([0x2606, 0x4700, 0, 0, 0, 0, 0, 0x1111]),
    }
}

fn with(entries: &BTreeSet<AllowedHost>, wanted: &AllowedHost) -> Egress {
    let mut entries = entries.clone();
    entries.insert(wanted.clone());
    Egress::new(entries)
}

fn lookup(entries: &BTreeSet<AllowedHost>, name: &str) {
    let Ok(host) = Egress::new(entries.clone()).judge_lookup(name) else { return };
    let written = host.to_string();
    assert_eq!(written.parse::<RequestHost>().as_ref(), Ok(&host), "`{name}` is looked up as `{written}`");
}
