//! What the certificates of an authority allow it to sign for.
//!
//! Clients evaluate name constraints on every certificate of the path; we do the same before signing, so that a name
//! outside them is refused here with an explanation instead of there without one. Only the two kinds of name a leaf of
//! ours carries are evaluated: dNSName and iPAddress. RFC 5280 §4.2.1.10.

use std::net::IpAddr;

use rustls::pki_types::DnsName;
use x509_parser::extensions::{GeneralName, GeneralSubtree};
use x509_parser::prelude::X509Certificate;

/// A name a leaf can carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeafName {
    /// A host name: lower case, no trailing dot.
    Dns(String),
    /// An address.
    Address(IpAddr),
}

impl LeafName {
    /// Reads the host of a CONNECT target, a `Host` field or an SNI; brackets around an IPv6 address are dropped.
    #[must_use]
    pub fn parse(host: &str) -> Option<Self> {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address));
        }
        domain(host).map(Self::Dns)
    }
}

impl std::fmt::Display for LeafName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A domain name in the form we compare: lower case, no trailing dot. `None` for what is not a domain name.
pub(crate) fn domain(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    // What still ends in a dot had two of them.
    (!name.ends_with('.') && DnsName::try_from(name.as_str()).is_ok()).then_some(name)
}

/// The domain under a pattern: `*.example.com` and `.example.com` stand for `example.com`.
pub(crate) fn domain_of_pattern(pattern: &str) -> Option<String> {
    domain(
        pattern
            .strip_prefix('*')
            .unwrap_or(pattern)
            .trim_start_matches('.'),
    )
}

/// The constraints of one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameConstraints {
    /// `None`: the certificate names no dNSName, so all are permitted. The same for addresses.
    permitted_domains: Option<Vec<String>>,
    excluded_domains: Vec<String>,
    permitted_addresses: Option<Vec<Network>>,
    excluded_addresses: Vec<Network>,
    /// Clients would hold our leaf's subject against these, and it is in none of them.
    pub(crate) directory_names: bool,
}

/// Address and mask, 4 or 16 bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    address: Vec<u8>,
    mask: Vec<u8>,
}

impl NameConstraints {
    /// Reads a certificate's constraints; without the extension everything is permitted. `None` when the extension
    /// cannot be read.
    pub(crate) fn read(certificate: &X509Certificate<'_>) -> Option<Self> {
        let mut constraints = Self::default();
        let Some(extension) = certificate.name_constraints().ok()? else {
            return Some(constraints);
        };
        for subtree in extension.value.permitted_subtrees.iter().flatten() {
            match read_subtree(subtree)? {
                Subtree::Domain(domain) => constraints
                    .permitted_domains
                    .get_or_insert_default()
                    .push(domain),
                Subtree::Network(network) => constraints
                    .permitted_addresses
                    .get_or_insert_default()
                    .push(network),
                Subtree::DirectoryName => constraints.directory_names = true,
                Subtree::Other => {}
            }
        }
        for subtree in extension.value.excluded_subtrees.iter().flatten() {
            match read_subtree(subtree)? {
                Subtree::Domain(domain) => constraints.excluded_domains.push(domain),
                Subtree::Network(network) => constraints.excluded_addresses.push(network),
                Subtree::DirectoryName | Subtree::Other => {}
            }
        }
        Some(constraints)
    }

    pub(crate) fn permits(&self, name: &LeafName) -> bool {
        match name {
            LeafName::Dns(name) => {
                let permitted = self.permitted_domains.as_ref();
                permitted.is_none_or(|domains| domains.iter().any(|domain| within(name, domain)))
                    && !self
                        .excluded_domains
                        .iter()
                        .any(|domain| within(name, domain))
            }
            LeafName::Address(address) => {
                let permitted = self.permitted_addresses.as_ref();
                permitted
                    .is_none_or(|networks| networks.iter().any(|network| network.contains(address)))
                    && !self
                        .excluded_addresses
                        .iter()
                        .any(|network| network.contains(address))
            }
        }
    }

    /// Whether `domain` and every name below it are permitted.
    pub(crate) fn permits_domain(&self, domain: &str) -> bool {
        self.permits(&LeafName::Dns(domain.to_owned()))
            && self.permits(&LeafName::Dns(format!("x.{domain}")))
            && !self
                .excluded_domains
                .iter()
                .any(|excluded| within(excluded.trim_start_matches('.'), domain))
    }

    pub(crate) fn excluded_domains(&self) -> &[String] {
        &self.excluded_domains
    }

    pub(crate) fn limits_addresses(&self) -> bool {
        self.permitted_addresses.is_some()
    }

    pub(crate) fn permitted_domains(&self) -> Option<&[String]> {
        self.permitted_domains.as_deref()
    }
}

impl Network {
    fn contains(&self, address: &IpAddr) -> bool {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        octets.len() == self.address.len()
            && octets
                .iter()
                .zip(&self.address)
                .zip(&self.mask)
                .all(|((ours, net), mask)| ours & mask == net & mask)
    }
}

enum Subtree {
    Domain(String),
    Network(Network),
    DirectoryName,
    Other,
}

fn read_subtree(subtree: &GeneralSubtree<'_>) -> Option<Subtree> {
    Some(match &subtree.base {
        GeneralName::DNSName(domain) => Subtree::Domain(domain.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let (address, mask) = bytes.split_at_checked(bytes.len() / 2)?;
            Subtree::Network(Network {
                address: address.to_vec(),
                mask: mask.to_vec(),
            })
        }
        GeneralName::DirectoryName(_) => Subtree::DirectoryName,
        GeneralName::Invalid(..) => return None,
        _ => Subtree::Other,
    })
}

/// "Any DNS name that can be constructed by simply adding zero or more labels to the left-hand side of the name
/// satisfies the name constraint." A leading dot asks for at least one label, as all verifiers we know read it.
fn within(name: &str, domain: &str) -> bool {
    if domain.is_empty() {
        return true;
    }
    match name.strip_suffix(domain) {
        Some("") => !domain.starts_with('.'),
        Some(labels) => domain.starts_with('.') || labels.ends_with('.'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_matched_by_whole_labels() {
        let rows = [
            (
                "bedrock-runtime.us-east-1.amazonaws.com",
                "amazonaws.com",
                true,
            ),
            ("amazonaws.com", "amazonaws.com", true),
            ("evilamazonaws.com", "amazonaws.com", false),
            ("amazonaws.com.evil.example", "amazonaws.com", false),
            ("com", "amazonaws.com", false),
            ("a.example.com", ".example.com", true),
            ("example.com", ".example.com", false),
            ("badexample.com", ".example.com", false),
            ("anything.example", "", true),
            ("localhost", "localhost", true),
        ];
        for (name, domain, expected) in rows {
            assert_eq!(within(name, domain), expected, "{name} within {domain}");
        }
    }

    #[test]
    fn hosts_are_normalised() {
        assert_eq!(
            LeafName::parse("EXAMPLE.com."),
            Some(LeafName::Dns("example.com".to_owned()))
        );
        assert_eq!(
            LeafName::parse("[::1]"),
            Some(LeafName::Address("::1".parse().unwrap()))
        );
        assert_eq!(
            LeafName::parse("127.0.0.1"),
            Some(LeafName::Address("127.0.0.1".parse().unwrap()))
        );
        for junk in [
            "",
            ".",
            "*.example.com",
            "a b",
            "a..b",
            "a..",
            "-",
            "[::1",
            "ex\u{e4}mple.com",
            "a\0b",
        ] {
            assert_eq!(LeafName::parse(junk), None, "{junk:?}");
        }
        assert_eq!(
            domain_of_pattern("*.Example.com").as_deref(),
            Some("example.com")
        );
        assert_eq!(domain_of_pattern("*"), None);
    }

    #[test]
    fn addresses_are_matched_under_the_mask() {
        let network = Network {
            address: vec![127, 0, 0, 0],
            mask: vec![255, 0, 0, 0],
        };
        assert!(network.contains(&"127.0.0.1".parse().unwrap()));
        assert!(!network.contains(&"128.0.0.1".parse().unwrap()));
        assert!(!network.contains(&"::1".parse().unwrap()));
    }

    #[test]
    fn exclusions_count_for_whole_domains() {
        let constraints = NameConstraints {
            excluded_domains: vec!["secret.example.com".to_owned()],
            ..NameConstraints::default()
        };
        assert!(constraints.permits(&LeafName::Dns("a.example.com".to_owned())));
        assert!(!constraints.permits(&LeafName::Dns("a.secret.example.com".to_owned())));
        assert!(!constraints.permits_domain("example.com"));
        assert!(constraints.permits_domain("example.org"));
    }
}
