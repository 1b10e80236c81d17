//! Which hosts are reached without the upstream proxy: lists as `NO_PROXY` holds them.
//!
//! Entries are separated by commas or blanks: `*`, a name (which stands for itself and everything below it, with or
//! without a leading dot or `*.`), an address, or a network in CIDR notation; any but the last may have a `:port`. Names
//! and addresses are compared as the request has them: nothing is resolved. There is no standard; this is what curl
//! reads, and the ports and asterisks that others allow.

use std::net::IpAddr;

/// Hosts that need no proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// Lower case, without dots around it.
    Below(String),
    Network(IpAddr, u8),
}

impl NoProxy {
    /// Reads a list as the environment has it: what is no entry is passed over, as every other program does.
    #[must_use]
    pub fn lenient(list: &str) -> Self {
        Self {
            entries: split(list).filter_map(Entry::parse).collect(),
        }
    }

    /// Reads a list that was written for us.
    ///
    /// # Errors
    /// The first entry that is none.
    pub fn strict(list: &str) -> Result<Self, String> {
        let entry = |text: &str| {
            Entry::parse(text).ok_or_else(|| {
                format!(
                    "`{text}` is neither `*` nor a host name, .suffix, address or network, as in .corp.example, \
                     10.0.0.0/8 or host:8443"
                )
            })
        };
        let entries = split(list).map(entry).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Appends the entries of `other`.
    pub fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    /// Whether `host:port` needs no proxy.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let address = host
            .parse()
            .ok()
            .map(|address: IpAddr| address.to_canonical());
        self.entries.iter().any(|entry| {
            entry.port.is_none_or(|wanted| wanted == port)
                && match (&entry.hosts, address) {
                    (Hosts::All, _) => true,
                    (Hosts::Below(name), None) => is_at_or_below(host, name),
                    (Hosts::Network(network, bits), Some(address)) => {
                        is_in(address, *network, *bits)
                    }
                    _ => false,
                }
        })
    }
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if let Some(hosts) = Hosts::address(text) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|&port| port != 0)?)),
            None => (text, None),
        };
        let hosts = match Hosts::address(host) {
            Some(address) => address,
            None if host == "*" => Hosts::All,
            None => Hosts::name(host)?,
        };
        Some(Self { hosts, port })
    }
}

impl Hosts {
    fn address(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let bare = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let address: IpAddr = bare.unwrap_or(address).parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|&bits| bits <= whole)?,
            None => whole,
        };
        Some(Self::Network(address, bits))
    }

    fn name(text: &str) -> Option<Self> {
        let name = text.strip_prefix('*').unwrap_or(text);
        // `*suffix` would be a name that ends so, not one below it.
        if name.len() != text.len() && !name.starts_with('.') {
            return None;
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name);
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
        (!name.is_empty() && name.bytes().all(fits)).then(|| Self::Below(name.to_ascii_lowercase()))
    }
}

fn is_at_or_below(host: &str, name: &str) -> bool {
    let Some(start) = host.len().checked_sub(name.len()) else {
        return false;
    };
    let (below, end) = host.split_at_checked(start).unwrap_or((host, ""));
    end.eq_ignore_ascii_case(name) && (below.is_empty() || below.ends_with('.'))
}

fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (address, network, whole) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (
            u128::from(address.to_bits()),
            u128::from(network.to_bits()),
            32,
        ),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let shift = u32::saturating_sub(whole, u32::from(bits));
    // A network of no bits holds everything, and a shift by the whole width is none.
    address.checked_shr(shift) == network.checked_shr(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_curl_reads_them() {
        // list, host, port, whether it is reached directly
        let rows = [
            ("", "a.example", 443, false),
            ("*", "a.example", 443, true),
            ("x, *", "10.0.0.1", 443, true),
            ("example.com", "example.com", 443, true),
            ("example.com", "Example.COM.", 443, true),
            ("example.com", "a.example.com", 443, true),
            ("example.com", "badexample.com", 443, false),
            ("example.com", "example.com.evil", 443, false),
            ("example.com", "com", 443, false),
            (".example.com", "example.com", 443, true),
            (".example.com", "a.b.example.com", 443, true),
            ("*.example.com.", "a.example.com", 443, true),
            ("a,b c\td", "c", 443, true),
            ("a,b c\td", "d", 443, true),
            ("example.com:8443", "example.com", 8443, true),
            ("example.com:8443", "example.com", 443, false),
            ("*:8443", "example.com", 8443, true),
            ("10.0.0.1", "10.0.0.1", 443, true),
            ("10.0.0.1", "10.0.0.10", 443, false),
            ("10.0.0.1:80", "10.0.0.1", 80, true),
            ("10.0.0.1:80", "10.0.0.1", 443, false),
            ("10.0.0.1", "x10.0.0.1", 443, false),
            ("0.0.1", "10.0.0.1", 443, false),
            ("10.0.0.0/8", "10.200.3.4", 443, true),
            ("10.0.0.0/8", "11.0.0.1", 443, false),
            ("192.168.4.0/22", "192.168.7.255", 443, true),
            ("192.168.4.0/22", "192.168.8.0", 443, false),
            ("0.0.0.0/0", "8.8.8.8", 443, true),
            ("0.0.0.0/0", "::1", 443, false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", 443, true),
            ("::/0", "2600::1", 443, true),
            ("fd00::/8", "fd12::1", 443, true),
            ("fd00::/8", "fe80::1", 443, false),
            ("::1", "::1", 443, true),
            ("[::1]", "::1", 443, true),
            ("[fd00::]/8", "fd12::1", 443, true),
            ("[::1]:8443", "::1", 8443, true),
            ("[::1]:8443", "::1", 443, false),
            // Passed over, and the rest still counts.
            ("10.0.0.0/33,host:0,*x.example,ü,b", "b", 443, true),
            ("10.0.0.0/33", "10.0.0.1", 443, false),
        ];
        for (list, host, port, direct) in rows {
            let found = NoProxy::lenient(list).matches(host, port);
            assert_eq!(found, direct, "{list:?}: {host}:{port}");
        }
    }

    #[test]
    fn a_list_written_for_us_holds_nothing_but_entries() {
        assert!(NoProxy::strict("a, .b, *.c:80, 10.0.0.0/8, [::1]:80, *").is_ok());
        for wrong in ["10.0.0.0/33", "a:b", "http://a", "*a", ".", "a/b", "a b/8"] {
            assert!(NoProxy::strict(wrong).is_err(), "{wrong}");
        }
    }
}
