//! IP addresses in every spelling that a resolver takes for one, and the IPv4 address that an IPv6 one leads to.
//!
//! inet_aton(3) reads `127.1`, `0177.0.0.1`, `0x7f000001` and `2130706433` as addresses, so whoever compares addresses has
//! to read them as well. What an address may be used for is decided elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that `host` spells: RFC 3986 (with or without brackets), inet_aton(3), with one trailing dot or a zone id
/// (RFC 6874) or without. `None` for a name.
#[must_use]
pub fn parse(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    if bare.contains(':') {
        let address = bare.split_once('%').map_or(bare, |(address, _)| address);
        return address.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    inet_aton(bare).map(IpAddr::V4)
}

/// One to four numbers; the last fills what is left of the 32 bits.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let numbers = text.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, leading) = numbers.split_last()?;
    if leading.len() > 3 {
        return None;
    }
    let bits = 32_u32.checked_sub(8 * u32::try_from(leading.len()).ok()?)?;
    if bits < 32 && last >> bits != 0 {
        return None;
    }
    let mut address = *last;
    let mut shift = 24_u32;
    for number in leading {
        let octet = u8::try_from(*number).ok()?;
        address |= u32::from(octet) << shift;
        shift = shift.saturating_sub(8);
    }
    Some(Ipv4Addr::from(address))
}

/// Decimal, octal after `0`, hexadecimal after `0x`. A lone `0x` is 0, as some resolvers have it.
fn number(text: &str) -> Option<u32> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(""), _) | (None, Some("")) => return Some(0),
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) => (digits, 8),
        (None, None) => (text, 10),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_hexdigit());
    is_number
        .then(|| u32::from_str_radix(digits, radix).ok())
        .flatten()
}

/// The address itself, or the IPv4 address that it stands for.
#[must_use]
pub fn meant(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped and compatible (RFC 4291 §2.5.5), translated (RFC 2765), NAT64
/// (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380 §4: the client's, inverted), ISATAP (RFC 5214 §6.1).
#[must_use]
pub fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(from(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(from(high, low)),
        [0x2001, 0, _, _, _, _, high, low] => Some(from(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_read_as_a_resolver_reads_it() {
        for text in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "0x7f.0.0.0x1",
            "0177.0.0.1",
            "0177.1",
            "017700000001",
            "127.0x0.00.01",
        ] {
            assert_eq!(parse(text), Some(Ipv4Addr::LOCALHOST.into()), "{text}");
        }
        for text in ["::1", "[::1]", "0:0:0:0:0:0:0:1", "::1%lo", "[::1%25lo]"] {
            assert_eq!(parse(text), Some(Ipv6Addr::LOCALHOST.into()), "{text}");
        }
        assert_eq!(parse("0"), Some(Ipv4Addr::UNSPECIFIED.into()));
        assert_eq!(parse("0x"), Some(Ipv4Addr::UNSPECIFIED.into()));
        assert_eq!(
            parse("10.65535"),
            Some(Ipv4Addr::new(10, 0, 255, 255).into())
        );
    }

    #[test]
    fn a_name_is_no_address() {
        for text in [
            "",
            ".",
            "a",
            "1.example",
            "127.0.0.1.example",
            "256.1.1.1.1",
            "1.2.3.4.5",
            "4294967296",
            "0x1ffffffff",
            "1.16777216",
            "1.2.65536",
            "1.2.3.256",
            "256.1",
            "08",
            "0xg",
            "1..2",
            "127.0.0.1..",
            "+1",
            "-1",
            "1.+2",
            "g::1",
            "１２７.0.0.1",
            "::ffff:1.2.3",
            "%lo",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_is_known_in_every_ipv6_dress() {
        let plain: IpAddr = "10.1.2.3".parse().unwrap();
        for text in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "::10.1.2.3",
            "::ffff:0:10.1.2.3",
            "64:ff9b::10.1.2.3",
            "64:ff9b:1::10.1.2.3",
            "64:ff9b:1:7::10.1.2.3",
            "2002:a01:203::1",
            "2001:0:1:2:3:4:f5fe:fdfc",
            "fe80::5efe:10.1.2.3",
            "2600::200:5efe:a01:203",
        ] {
            assert_eq!(meant(text.parse().unwrap()), plain, "{text}");
        }
        for text in ["::", "::1", "2600::1", "fc00::a01:203", "2001:1::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(meant(address), address, "{text}");
        }
    }
}
