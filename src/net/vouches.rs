//! What an authority can vouch for, and what its certificates say about themselves, in words.
//!
//! For people who are asked to trust it: the permitted names are those that every certificate of its chain permits.
//! Deciding whether a name may be signed for is left to `ca`. RFC 5280 §4.1.2, §4.2.1.10.

use std::fmt;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::public_key::PublicKey;

use super::certificates::{self, fingerprint};
use super::name_constraints::{LeafName, NameConstraints};

/// The names that certificates below an authority can be valid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouches {
    /// These domains and everything below them; `None`: every host name.
    pub domains: Option<Vec<String>>,
    /// Except these and everything below them.
    pub excluded: Vec<String>,
    /// Whether a certificate of the chain limits addresses. If none does, the certificates leave them all open.
    pub limits_addresses: bool,
}

impl Vouches {
    pub(crate) fn of(levels: &[NameConstraints]) -> Self {
        let lists: Vec<&[String]> = levels
            .iter()
            .filter_map(NameConstraints::permitted_domains)
            .collect();
        let mut domains: Vec<String> = Vec::new();
        for domain in lists.iter().copied().flatten() {
            let bare = domain.trim_start_matches('.');
            // A name below it, since `.example.com` does not permit `example.com`.
            let below = LeafName::Dns(format!("x.{bare}"));
            if levels.iter().all(|level| level.permits(&below)) && !domains.contains(domain) {
                domains.push(domain.clone());
            }
        }
        let excluded = levels.iter().flat_map(NameConstraints::excluded_domains);
        Self {
            domains: (!lists.is_empty()).then_some(domains),
            excluded: excluded.cloned().collect(),
            limits_addresses: levels.iter().any(NameConstraints::limits_addresses),
        }
    }
}

impl fmt::Display for Vouches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.domains {
            None => f.write_str("can vouch for every host name there is")?,
            Some(domains) if domains.is_empty() => f.write_str("can vouch for no host name")?,
            Some(domains) => write!(f, "can only vouch for host names in {}", domains.join(", "))?,
        }
        if !self.excluded.is_empty() {
            write!(f, "; never for names in {}", self.excluded.join(", "))?;
        }
        Ok(())
    }
}

/// What a certificate says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// SHA-256, as tools print it.
    pub fingerprint: String,
    /// First moment.
    pub not_before: OffsetDateTime,
    /// Last moment.
    pub not_after: OffsetDateTime,
    /// Kind and size of its key.
    pub key: String,
}

impl CertificateFacts {
    /// Reads a certificate; `None` when it is not one.
    #[must_use]
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = certificates::parse(der)?;
        let moment = |at: i64| OffsetDateTime::from_unix_timestamp(at).ok();
        let key = match certificate.public_key().parsed() {
            Ok(PublicKey::EC(point)) => format!("ECDSA, {} bits", point.key_size()),
            Ok(PublicKey::RSA(key)) => format!("RSA, {} bits", key.key_size()),
            _ => certificate.public_key().algorithm.algorithm.to_id_string(),
        };
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            fingerprint: fingerprint(der),
            not_before: moment(certificate.validity().not_before.timestamp())?,
            not_after: moment(certificate.validity().not_after.timestamp())?,
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_certificates::authority;
    use super::*;

    #[test]
    fn the_home_authority_vouches_for_aws_and_localhost() {
        let home = tempfile::tempdir().unwrap();
        let authority = authority(home.path());
        let vouches = authority.vouches();
        let domains = vouches.domains.clone().unwrap();
        assert!(domains.contains(&"amazonaws.com".to_owned()));
        assert!(domains.contains(&"localhost".to_owned()));
        assert_eq!(vouches.excluded, Vec::<String>::new());
        assert!(!vouches.limits_addresses);
        assert!(
            vouches
                .to_string()
                .starts_with("can only vouch for host names in localhost, ")
        );
        let [issuer, root] = authority.chain()[..] else {
            panic!("issuer and root");
        };
        let issuer = CertificateFacts::read(issuer).unwrap();
        let root = CertificateFacts::read(root).unwrap();
        assert_eq!(issuer.issuer, root.subject);
        assert_eq!(root.issuer, root.subject);
        assert_eq!(root.key, "ECDSA, 256 bits");
        assert_eq!(root.fingerprint.len(), 95);
        assert_eq!(root.not_after, authority.expires());
    }

    #[test]
    fn an_authority_without_constraints_vouches_for_everything() {
        let vouches = Vouches::of(&[NameConstraints::default()]);
        assert_eq!(
            vouches.to_string(),
            "can vouch for every host name there is"
        );
    }
}
