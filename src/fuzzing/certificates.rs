//! Certificates and the PEM around them, as operators give them: read or refused, and what is permitted is permitted
//! by every level of a chain.

use rustls::pki_types::CertificateDer;

use super::parts;
use crate::net::ca_chain::ChainFacts;
use crate::net::certificates::{self, certificate_pem, certificates_in, fingerprint};
use crate::net::name_constraints::{LeafName, NameConstraints, domain_of_pattern};
use crate::net::vouches::{CertificateFacts, Vouches};

/// Certificates as PEM or bare, and a name that one might be asked to vouch for.
pub(super) fn certificates(data: &[u8]) {
    let [name, file] = parts(data);
    let name = String::from_utf8_lossy(name);
    check_name(&name);
    let mut chain = certificates_in(file);
    if chain.is_empty() {
        chain.push(CertificateDer::from(file));
    }
    chain.truncate(8);
    let mut levels = Vec::new();
    for der in &chain {
        let again = certificates_in(certificate_pem(der).as_bytes());
        assert!(
            der.is_empty() || again == [der.clone()],
            "PEM holds another certificate"
        );
        assert_eq!(fingerprint(der).len(), 95);
        if let Some(facts) = CertificateFacts::read(der) {
            assert_eq!(facts.fingerprint, fingerprint(der));
        }
        if let Some(certificate) = certificates::parse(der) {
            levels.extend(NameConstraints::read(&certificate));
        }
    }
    let vouches = Vouches::of(&levels);
    assert!(!vouches.to_string().is_empty());
    for domain in vouches.domains.iter().flatten() {
        let below = LeafName::Dns(format!("x.{}", domain.trim_start_matches('.')));
        assert!(
            levels.iter().all(|level| level.permits(&below)),
            "{domain} is not permitted by all"
        );
    }
    if let Ok(facts) = ChainFacts::read(&chain) {
        assert_eq!(facts.constraints.len(), chain.len());
    }
    if let Some(LeafName::Dns(domain)) = LeafName::parse(&name) {
        for level in &levels {
            let permits_all = level.permits_domain(&domain);
            let one = level.permits(&LeafName::Dns(domain.clone()));
            let below = level.permits(&LeafName::Dns(format!("x.{domain}")));
            assert!(!permits_all || (one && below));
        }
    }
}

fn check_name(name: &str) {
    if let Some(LeafName::Dns(domain)) = LeafName::parse(name) {
        assert_eq!(domain, domain.to_ascii_lowercase());
        assert_eq!(
            LeafName::parse(&domain),
            Some(LeafName::Dns(domain.clone()))
        );
        assert_eq!(domain_of_pattern(&format!("*.{domain}")), Some(domain));
    }
}
