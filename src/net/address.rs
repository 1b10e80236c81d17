//! What an address is: public, private, or one that is nobody's destination.
//!
//! Asked before anything is dialled that a client chose. An address is judged in whatever clothes it comes: mapped into
//! IPv6, behind NAT64, in an old spelling. RFC 6890. Tells also whether it leads to a socket of our own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

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

/// Whether a connection to `address` arrives at a socket that listens on `listener`.
pub(super) fn arrives_at(address: SocketAddr, listener: SocketAddr) -> bool {
    address.port() == listener.port() && is_served(address.ip(), listener.ip())
}

fn is_served(address: IpAddr, listener: IpAddr) -> bool {
    let (address, listener) = (address.to_canonical(), listener.to_canonical());
    // What is addressed to nobody stays on this machine.
    let address = match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        given => given,
    };
    if listener.is_unspecified() {
        // `::` takes IPv4 as well on most systems.
        (listener.is_ipv6() || address.is_ipv4()) && is_local(address)
    } else {
        address == listener
    }
}

/// Whether `address` is one of this machine's: then it is what a packet to it would come from. Nothing is sent.
fn is_local(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, DISCARD))?;
        socket.local_addr()
    });
    address.is_loopback() || source.is_ok_and(|source| source.ip() == address)
}

/// RFC 863.
const DISCARD: u16 = 9;

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

    #[test]
    fn a_socket_of_our_own_is_known_by_every_address() {
        let rows = [
            ("127.0.0.1", "127.0.0.1", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("0.0.0.0", "127.0.0.1", true),
            ("127.0.0.2", "127.0.0.1", false),
            ("::1", "127.0.0.1", false),
            ("::", "::1", true),
            ("127.0.0.1", "0.0.0.0", true),
            ("127.9.9.9", "0.0.0.0", true),
            ("127.0.0.1", "::", true),
            ("::1", "::", true),
            ("192.0.2.1", "0.0.0.0", false),
            ("192.0.2.1", "::", false),
        ];
        for (address, listener, ours) in rows {
            let (address, listener) = (address.parse().unwrap(), listener.parse().unwrap());
            let to = |ip: IpAddr, port| SocketAddr::new(ip, port);
            let found = arrives_at(to(address, 5381), to(listener, 5381));
            assert_eq!(found, ours, "{address} at {listener}");
            assert!(!arrives_at(to(address, 5382), to(listener, 5381)));
        }
    }
}
