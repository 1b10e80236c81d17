//! What an address is: public, private, or one that is nobody's destination.
//!
//! Asked before anything is dialled. An address is judged in whatever clothes it comes: mapped into IPv6, behind NAT64, in
//! an old spelling. RFC 6890. Tells also whether it leads to a socket of our own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::wire::address::{embedded_v4, parse};

/// What an address is to somebody who chooses where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Link-local, or where credentials are handed out: nobody's destination.
    LinkLocal,
    /// This machine.
    Loopback,
    /// Not globally reachable.
    Private,
    /// Everything else.
    Public,
}

/// Link-local holds the instance metadata services; they hand out credentials and are nobody's destination.
pub(super) fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

/// RFC 6890: everything that is not globally reachable counts as private.
fn class_v4(v4: Ipv4Addr) -> Class {
    let special = matches!(
        v4.octets(),
        [0 | 10 | 224..=255, ..] | [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..]
    );
    if v4.is_link_local() || METADATA_V4.contains(&v4) {
        Class::LinkLocal
    } else if v4.is_loopback() || v4.is_unspecified() {
        // What is addressed to nobody stays on this machine.
        Class::Loopback
    } else if special || v4.is_private() {
        Class::Private
    } else {
        Class::Public
    }
}

fn class_v6(v6: Ipv6Addr) -> Class {
    if v6.is_unicast_link_local() || METADATA_V6.contains(&v6) {
        return Class::LinkLocal;
    }
    if v6.is_loopback() || v6.is_unspecified() {
        return Class::Loopback;
    }
    // In a network of somebody's own, what is embedded says no more than what is around it.
    let around = match v6.segments() {
        [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] | [0, 0, 0, 0, 0, 0, 0, _] => Class::Private,
        [0x100, 0, 0, 0, ..] | [0x2001, 0xdb8, ..] => Class::Private,
        _ if v6.is_unique_local() || v6.is_multicast() => Class::Private,
        _ => Class::Public,
    };
    match (embedded_v4(v6).map(class_v4), around) {
        (Some(class @ (Class::LinkLocal | Class::Loopback)), _) => class,
        (Some(Class::Private), _) | (_, Class::Private) => Class::Private,
        _ => Class::Public,
    }
}

/// Outside of 169.254/16: of Alibaba, of Oracle, and Azure's agent.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// Over IPv6 they are unique local: the instance metadata services of AWS and of Google, and the agent that pods ask for
/// their roles.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
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
        Class::Loopback => format!(
            "{what} the machine that tollgate runs on, which clients reach only where a rule names it: put {host} into the \
             client's NO_PROXY, or name it in tollgate.toml, as in [[host]] pattern = \"{host}\", action = \"tunnel\""
        ),
        Class::Private | Class::Public => format!(
            "{what} a private address, which --private-destinations does not let clients reach from here: allow it \
             there, or put {host} into the client's NO_PROXY"
        ),
    }
}

/// Whether `host` is an address rather than a name, in any spelling that a resolver takes for one (`0x7f.1`). What only
/// looks like one counts as well: no name ends in a number, and resolvers differ in what they make of it.
pub(super) fn is_address(host: &str) -> bool {
    let bare = host.strip_suffix('.').unwrap_or(host);
    let last = bare.rsplit('.').next().unwrap_or(bare);
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = match hexadecimal {
        Some(digits) => digits.bytes().all(|octet| octet.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|octet| octet.is_ascii_digit()),
    };
    is_number || host.contains(':') || parse(host).is_some()
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
            ("127.0.0.1", Class::Loopback),
            ("127.255.255.254", Class::Loopback),
            ("::ffff:127.0.0.1", Class::Loopback),
            ("64:ff9b::a9fe:a9fe", Class::LinkLocal),
            ("2002:a9fe:a9fe::1", Class::LinkLocal),
            ("::10.0.0.1", Class::Private),
            ("64:ff9b::808:808", Class::Public),
            ("fec0::1", Class::Private),
            ("ff02::1", Class::Private),
            ("198.18.0.1", Class::Private),
            ("240.0.0.1", Class::Private),
            ("0.0.0.0", Class::Loopback),
            ("0.0.0.1", Class::Private),
            ("::", Class::Loopback),
            ("10.1.2.3", Class::Private),
            ("100.64.0.1", Class::Private),
            ("::1", Class::Loopback),
            ("::2", Class::Private),
            ("::7f00:1", Class::Loopback),
            ("::ffff:0:127.0.0.1", Class::Loopback),
            ("64:ff9b::127.0.0.1", Class::Loopback),
            ("64:ff9b:1::169.254.169.254", Class::LinkLocal),
            ("64:ff9b:1::8.8.8.8", Class::Private),
            ("2002:7f00:1::1", Class::Loopback),
            ("2001:0:1:2:3:4:5601:5601", Class::LinkLocal),
            ("2001:0:1:2:3:4:80ff:fffe", Class::Loopback),
            ("2001:0:1:2:3:4:f7f7:f7f7", Class::Public),
            ("2600::5efe:10.0.0.1", Class::Private),
            ("fc00::5efe:8.8.8.8", Class::Private),
            ("fd20:ce::254", Class::LinkLocal),
            ("100.100.100.200", Class::LinkLocal),
            ("192.0.0.192", Class::LinkLocal),
            ("168.63.129.16", Class::LinkLocal),
            ("2001:db8::1", Class::Private),
            ("100::1", Class::Private),
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
