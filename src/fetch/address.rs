//! Which addresses may be connected to.
//!
//! Whoever names a URL for us to fetch must not reach what only we can reach: this machine, the
//! network it stands in, a cloud's metadata service. So every address of the special-purpose
//! registries (RFC 6890) is refused, however it is written, and the check is made on the very
//! address that is then connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Special-purpose IPv4 blocks (IANA registry, RFC 6890), multicast and reserved space included.
const SPECIAL_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared address space of carriers
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // public by number, but the inside of one large cloud
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, and the metadata services of clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 31, 196, 0), 24),  // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24),  // AMT
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(192, 175, 48, 0), 24),  // AS112
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, and broadcast
];

/// What is special within the one block of IPv6 that is handed out to the public, `2000::/3`.
const SPECIAL_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments; Teredo, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: any IPv4 address inside
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48), // AS112
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// How IPv6-only networks reach IPv4 (RFC 6052): the last four bytes are the IPv4 address.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// A block of addresses that an operator has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// `None` when there are not that many bits.
    pub(crate) fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => in_v4((network, self.prefix), ip),
            (IpAddr::V6(network), IpAddr::V6(ip)) => in_v6((network, self.prefix), ip),
            _ => false,
        }
    }
}

/// Says which addresses may be connected to.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressPolicy {
    pub(crate) loopback: bool,
    pub(crate) networks: Vec<Network>,
}

impl AddressPolicy {
    /// Whether what `host` led to may be connected to.
    pub(crate) fn allows(&self, host: &str, ip: IpAddr) -> bool {
        // A name of somebody else's that happens to lead here is no loopback name.
        if self.loopback && is_loopback_name(host) {
            return ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
        }
        let ip = ip.to_canonical();
        is_public(ip) || self.networks.iter().any(|network| network.contains(ip))
    }
}

/// The three spellings of this machine that development is allowed to use.
pub(crate) fn is_loopback_name(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "::1" | "[::1]")
}

/// Whether an address belongs to no special-purpose block, whatever it is wrapped in.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) if in_v6(NAT64, ip) => {
            let [.., a, b, c, d] = ip.octets();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(ip) => in_v6(PUBLIC_V6, ip) && !SPECIAL_V6.iter().any(|block| in_v6(*block, ip)),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|block| in_v4(*block, ip))
}

fn in_v4((network, prefix): (Ipv4Addr, u8), ip: Ipv4Addr) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    network.to_bits() & mask == ip.to_bits() & mask
}

fn in_v6((network, prefix): (Ipv6Addr, u8), ip: Ipv6Addr) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    network.to_bits() & mask == ip.to_bits() & mask
}

/// Whether a host is an IPv4 address in a notation that only some parsers know, such as `0x7f.1`
/// or `2130706433`: nobody who means well writes one.
pub(crate) fn is_odd_number(host: &str) -> bool {
    let last = host
        .strip_suffix('.')
        .unwrap_or(host)
        .rsplit('.')
        .next()
        .unwrap_or_default();
    let hexadecimal = last
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("0x"))
        && last[2..].bytes().all(|byte| byte.is_ascii_hexdigit());
    let decimal = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    (hexadecimal || decimal) && host.parse::<Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// CM-7.
    #[test]
    fn every_special_purpose_block_is_refused_at_both_ends() {
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.0",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "192.175.48.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            // Wrapped: mapped, compatible, NAT64, local NAT64, 6to4, Teredo.
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:808:808::1",
            "2001::1",
            "::ffff:0:127.0.0.1",
            // Of IPv6's own.
            "::",
            "::1",
            "100::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2620:4f:8000::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ffff::1",
        ] {
            assert!(!is_public(ip(address)), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(ip(address)), "{address}");
        }
    }

    #[test]
    fn loopback_is_opened_by_its_names_and_nothing_else_with_it() {
        let policy = AddressPolicy {
            loopback: true,
            ..AddressPolicy::default()
        };
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("LocalHost", "::1"),
            ("[::1]", "::1"),
        ] {
            assert!(policy.allows(host, ip(address)), "{host}");
            assert!(
                !AddressPolicy::default().allows(host, ip(address)),
                "{host}"
            );
        }
        for (host, address) in [
            ("localhost", "10.0.0.1"),
            ("localhost", "127.0.0.2"),
            ("127.0.0.2", "127.0.0.2"),
            ("evil.example", "127.0.0.1"),
            ("evil.example", "::ffff:127.0.0.1"),
            ("localhost.evil.example", "::1"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert!(!policy.allows(host, ip(address)), "{host}");
        }
    }

    #[test]
    fn a_network_is_opened_to_its_last_address() {
        let policy = AddressPolicy {
            loopback: false,
            networks: vec![
                Network::new(ip("10.1.0.0"), 16).unwrap(),
                Network::new(ip("fd00::"), 8).unwrap(),
            ],
        };
        for good in ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "fd12::1"] {
            assert!(policy.allows("idp.internal", ip(good)), "{good}");
        }
        for bad in ["10.0.255.255", "10.2.0.0", "fe80::1", "127.0.0.1"] {
            assert!(!policy.allows("idp.internal", ip(bad)), "{bad}");
        }
        assert!(Network::new(ip("10.0.0.0"), 33).is_none());
        assert!(
            Network::new(ip("0.0.0.0"), 0)
                .unwrap()
                .contains(ip("10.9.9.9"))
        );
    }

    #[test]
    fn numbers_in_odd_notations_are_known_for_what_they_are() {
        for odd in [
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "127.1",
            "127.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.0x1",
            "1.2.3.4.5",
            "256.1.1.1",
            "127.0.0.1.",
            "0x",
            "1.1.1.0001",
        ] {
            assert!(is_odd_number(odd), "{odd}");
        }
        for even in [
            "127.0.0.1",
            "a.example",
            "1.example",
            "0x1.example",
            "deadbeef",
            "a.b.c1",
        ] {
            assert!(!is_odd_number(even), "{even}");
        }
    }
}
