//! What an address is: public, private, or one that is nobody's destination.
//!
//! Asked before anything is dialled that a client chose. An address is judged in whatever clothes it comes: mapped into
//! IPv6, behind NAT64, in an old spelling. RFC 6890.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is to somebody who chooses where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Link-local, or where credentials are handed out: nobody's destination.
    LinkLocal,
    /// Not globally reachable.
    Private,
    /// Everything else.
    Public,
}

/// Link-local holds the instance metadata services; they hand out credentials and are nobody's destination.
pub(super) fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => class_v4(v4),
            None if v6.is_unicast_link_local() || METADATA_V6.contains(&v6) => Class::LinkLocal,
            None => {
                let site_local = v6
                    .segments()
                    .first()
                    .is_some_and(|first| first & 0xffc0 == 0xfec0);
                let not_public = v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unique_local()
                    || v6.is_multicast();
                if not_public || site_local {
                    Class::Private
                } else {
                    Class::Public
                }
            }
        },
    }
}

/// RFC 6890: everything that is not globally reachable counts as private.
fn class_v4(v4: Ipv4Addr) -> Class {
    let special = matches!(
        v4.octets(),
        [0 | 10 | 127 | 224..=255, ..] | [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..]
    );
    if v4.is_link_local() {
        Class::LinkLocal
    } else if special || v4.is_private() {
        Class::Private
    } else {
        Class::Public
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(from(high, low))
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Over IPv6 they are unique local: the instance metadata service, and the agent that pods ask for their roles.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
];

/// What to tell somebody who asked for `host` and may not reach `address`.
pub(super) fn explain(host: &str, address: IpAddr) -> String {
    let what = if host.parse() == Ok(address) {
        format!("{address} is")
    } else {
        format!("{host} is {address},")
    };
    match class(address) {
        Class::LinkLocal => format!(
            "{what} where a machine or container asks for its own metadata and credentials, and no proxy may ask for \
             it: put {address} into the client's NO_PROXY, so that it asks directly"
        ),
        Class::Private | Class::Public => format!(
            "{what} a private address, which --private-destinations does not let clients reach from here: allow it \
             there, or put {host} into the client's NO_PROXY"
        ),
    }
}

/// Whether `host` is an address rather than a name, in any spelling that a resolver takes for one (`0x7f.1`).
pub(super) fn is_address(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = match hexadecimal {
        Some(digits) => digits.bytes().all(|octet| octet.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|octet| octet.is_ascii_digit()),
    };
    is_number || host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_in_every_spelling() {
        let rows = [
            ("169.254.169.254", Class::LinkLocal),
            ("::ffff:169.254.169.254", Class::LinkLocal),
            ("fe80::1", Class::LinkLocal),
            ("fd00:ec2::254", Class::LinkLocal),
            ("fd00:ec2::23", Class::LinkLocal),
            ("169.254.170.2", Class::LinkLocal),
            ("127.0.0.1", Class::Private),
            ("::ffff:127.0.0.1", Class::Private),
            ("64:ff9b::a9fe:a9fe", Class::LinkLocal),
            ("2002:a9fe:a9fe::1", Class::LinkLocal),
            ("::10.0.0.1", Class::Private),
            ("64:ff9b::808:808", Class::Public),
            ("fec0::1", Class::Private),
            ("ff02::1", Class::Private),
            ("198.18.0.1", Class::Private),
            ("240.0.0.1", Class::Private),
            ("0.0.0.0", Class::Private),
            ("10.1.2.3", Class::Private),
            ("100.64.0.1", Class::Private),
            ("::1", Class::Private),
            ("fc00::1", Class::Private),
            ("8.8.8.8", Class::Public),
            ("2600::1", Class::Public),
        ];
        for (address, want) in rows {
            assert_eq!(class(address.parse().unwrap()), want, "{address}");
        }
    }

    #[test]
    fn addresses_are_told_from_names_in_every_spelling() {
        for address in [
            "10.0.0.1",
            "10.0.0.1.",
            "::1",
            "2852039166",
            "0xa9fea9fe",
            "0xA9.0376.1",
            "127.1",
            "0X",
        ] {
            assert!(is_address(address), "{address}");
        }
        for name in [
            "a",
            "a.example",
            "1.example",
            "0xfg",
            "10.0.0.1.example",
            "v6",
            "",
        ] {
            assert!(!is_address(name), "{name}");
        }
    }

    #[test]
    fn whoever_asks_a_proxy_for_metadata_is_told_of_no_proxy() {
        for (host, address) in [
            ("169.254.169.254", "169.254.169.254"),
            ("fd00:ec2::254", "fd00:ec2::254"),
            ("metadata.example", "169.254.170.2"),
        ] {
            let told = explain(host, address.parse().unwrap());
            let wanted = format!("put {address} into the client's NO_PROXY");
            assert!(told.starts_with(host) && told.contains(&wanted), "{told}");
        }
        let told = explain("db.corp", "10.0.0.1".parse().unwrap());
        assert!(
            told.contains("db.corp is 10.0.0.1, a private address"),
            "{told}"
        );
    }
}
