//! What an address is for: the public internet, or something that only a grant of its own opens.
//!
//! From the IANA registries of special-purpose addresses. Whatever is not known to be public is not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lath_control_api::egress::Network;

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reached through the public internet.
    Public,
    /// Not public; `block` holds all addresses of the kind.
    Special {
        /// For people, with an article.
        name: &'static str,
        block: Network,
    },
    /// Stands for no host. Systems take it as this machine, so nothing opens it.
    Nowhere,
}

/// Name of the kind that `localhost` opens.
pub(super) const LOOPBACK: &str = "an address of this machine";
const PRIVATE: &str = "a private address";
const METADATA: &str = "the address where clouds hand out credentials";
const LINK_LOCAL: &str = "an address of the local network segment";
const MULTICAST: &str = "an address of many hosts at once";
const RESERVED: &str = "a reserved address";
const TRANSLATED: &str = "an address that is translated to a non-public one";

/// Blocks of IPv4 that are not public, the narrower ones first.
const SPECIAL_4: [([u8; 4], u8, &str); 18] = [
    ([169, 254, 169, 254], 32, METADATA),
    ([100, 100, 100, 200], 32, METADATA),
    ([168, 63, 129, 16], 32, METADATA),
    ([192, 0, 0, 192], 32, METADATA),
    ([127, 0, 0, 0], 8, LOOPBACK),
    ([10, 0, 0, 0], 8, PRIVATE),
    ([172, 16, 0, 0], 12, PRIVATE),
    ([192, 168, 0, 0], 16, PRIVATE),
    ([100, 64, 0, 0], 10, "an address shared between customers of a provider"),
    ([169, 254, 0, 0], 16, LINK_LOCAL),
    ([0, 0, 0, 0], 8, RESERVED),
    ([192, 0, 0, 0], 24, RESERVED),
    ([192, 88, 99, 0], 24, RESERVED),
    ([198, 18, 0, 0], 15, RESERVED),
    ([192, 0, 2, 0], 24, RESERVED),
    ([198, 51, 100, 0], 24, RESERVED),
    ([203, 0, 113, 0], 24, RESERVED),
    ([224, 0, 0, 0], 4, MULTICAST),
];

/// Blocks of IPv6 that are not public, the narrower ones first. Outside of 2000::/3 nothing is public anyway; what
/// stands here has a better name, or may be opened as a block.
const SPECIAL_6: [([u16; 8], u8, &str); 14] = [
    ([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254], 128, METADATA),
    ([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254], 128, METADATA),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, LOOPBACK),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, RESERVED),
    ([0x0064, 0xff9b, 1, 0, 0, 0, 0, 0], 48, TRANSLATED),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, RESERVED),
    ([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32, RESERVED),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, TRANSLATED),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, RESERVED),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, PRIVATE),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LINK_LOCAL),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, PRIVATE),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, MULTICAST),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, RESERVED),
];

/// What `address` is for. An IPv4 address in IPv6 form is the IPv4 address.
pub(super) fn kind(address: IpAddr) -> Kind {
    if address.is_unspecified() {
        return Kind::Nowhere;
    }
    match address.to_canonical() {
        IpAddr::V4(address) => kind_4(address),
        IpAddr::V6(address) => kind_6(address),
    }
}

fn kind_4(address: Ipv4Addr) -> Kind {
    if address.is_unspecified() {
        return Kind::Nowhere;
    }
    let blocks = SPECIAL_4.iter().map(|(first, prefix, name)| (IpAddr::from(*first), *prefix, *name));
    special(IpAddr::V4(address), blocks).unwrap_or_else(|| {
        if address.octets().first().is_some_and(|first| *first >= 240) {
            of_its_own(IpAddr::V4(address))
        } else {
            Kind::Public
        }
    })
}

fn kind_6(address: Ipv6Addr) -> Kind {
    let whole = IpAddr::V6(address);
    if let [0x0064, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        // Gateways of networks without IPv4 put the IPv4 address of the other side here.
        let inner = Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
        return match kind_4(inner) {
            Kind::Public => Kind::Public,
            Kind::Special { .. } | Kind::Nowhere => {
                Kind::Special { name: TRANSLATED, block: Network::single(whole) }
            }
        };
    }
    let blocks = SPECIAL_6.iter().map(|(first, prefix, name)| (IpAddr::from(*first), *prefix, *name));
    special(whole, blocks).unwrap_or_else(|| {
        let global = address.segments().first().is_some_and(|first| first & 0xe000 == 0x2000);
        if global { Kind::Public } else { of_its_own(whole) }
    })
}

fn special(address: IpAddr, blocks: impl Iterator<Item = (IpAddr, u8, &'static str)>) -> Option<Kind> {
    blocks
        .filter_map(|(first, prefix, name)| Network::new(first, prefix).map(|block| (name, block)))
        .find(|(_, block)| block.contains(address))
        .map(|(name, block)| Kind::Special { name, block })
}

/// Reserved, in no block that could be opened as a whole.
const fn of_its_own(address: IpAddr) -> Kind {
    Kind::Special { name: RESERVED, block: Network::single(address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(address: &str) -> Option<&'static str> {
        match kind(address.parse().unwrap()) {
            Kind::Public => None,
            Kind::Special { name, .. } => Some(name),
            Kind::Nowhere => Some("nowhere"),
        }
    }

    #[test]
    fn every_block_is_written_by_its_first_address() {
        for (first, prefix, name) in SPECIAL_4 {
            assert!(Network::new(IpAddr::from(first), prefix).is_some(), "{first:?} {name}");
        }
        for (first, prefix, name) in SPECIAL_6 {
            assert!(Network::new(IpAddr::from(first), prefix).is_some(), "{first:x?} {name}");
        }
    }

    #[test]
    fn addresses_are_told_apart() {
        for public in
            ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
        {
            assert_eq!(named(public), None, "{public}");
        }
        let cases = [
            ("127.0.0.1", LOOPBACK),
            ("127.255.255.254", LOOPBACK),
            ("::1", LOOPBACK),
            ("::ffff:127.0.0.1", LOOPBACK),
            ("0.0.0.0", "nowhere"),
            ("::", "nowhere"),
            ("::ffff:0.0.0.0", "nowhere"),
            ("0.1.2.3", RESERVED),
            ("10.1.2.3", PRIVATE),
            ("172.31.255.255", PRIVATE),
            ("192.168.1.1", PRIVATE),
            ("fd12::1", PRIVATE),
            ("169.254.1.1", LINK_LOCAL),
            ("fe80::1", LINK_LOCAL),
            ("169.254.169.254", METADATA),
            ("fd00:ec2::254", METADATA),
            ("64:ff9b::7f00:1", TRANSLATED),
            ("64:ff9b::a9fe:a9fe", TRANSLATED),
            ("64:ff9b::", TRANSLATED),
            ("64:ff9b:1::1", TRANSLATED),
            ("2002:7f00:1::", TRANSLATED),
            ("2001:0:7f00:1::", RESERVED),
            ("::127.0.0.1", RESERVED),
            ("255.255.255.255", RESERVED),
            ("240.0.0.1", RESERVED),
            ("224.0.0.1", MULTICAST),
            ("ff02::1", MULTICAST),
            ("4000::1", RESERVED),
        ];
        for (address, name) in cases {
            assert_eq!(named(address), Some(name), "{address}");
        }
        assert!(named("100.64.0.1").unwrap().contains("customers"));
    }
}
