//! Certificates by which clients of the port say who they are: the operator's roots, and the name in a certificate that
//! one of them stands for. RFC 5280 §4.1.2.6, §4.2.1.6; RFC 8446 §4.4.2.
//!
//! Revocation lists are not read: give short-lived certificates, or another root.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::extensions::GeneralName;

use super::certificates::{self, CertificateError};
use crate::config::users::check_name;

/// Verifies client certificates against the roots in the file at `path`. `mandatory`: who shows none gets no TLS.
///
/// # Errors
/// When the file cannot be read, or holds no root.
pub fn verifier(
    path: &Path,
    mandatory: bool,
) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates::read_chain(path)?.into_iter().enumerate() {
        roots
            .add(certificate)
            .map_err(|_| CertificateError::NotX509 {
                path: path.to_owned(),
                number: index + 1,
            })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        certificates::crypto_provider(),
    );
    let builder = if mandatory {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    builder
        .build()
        .map_err(|_| CertificateError::NoCertificate {
            path: path.to_owned(),
        })
}

/// The user that a verified certificate names: its subject's common name, else the first DNS name, e-mail address or URI
/// among its alternative names. `None` when that cannot be a user's name.
#[must_use]
pub fn user_of(der: &[u8]) -> Option<String> {
    let certificate = certificates::parse(der)?;
    let mut common_names = certificate.subject().iter_common_name();
    let name = match common_names.next() {
        // Two names are no name.
        Some(_) if common_names.next().is_some() => None,
        Some(name) => Some(name.as_str().ok()?.to_owned()),
        None => alternative_name(&certificate),
    };
    name.filter(|name| check_name(name).is_ok())
}

fn alternative_name(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some((*name).to_owned())
            }
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn named(common_names: &[&str], others: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = others;
        let key = KeyPair::generate().unwrap();
        user_of(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn the_common_name_comes_first_and_then_the_first_name_of_the_others() {
        let dns = || SanType::DnsName("ci.example".try_into().unwrap());
        let mail = || SanType::Rfc822Name("alice@example.com".try_into().unwrap());
        let uri = || SanType::URI("spiffe://example.com/ci".try_into().unwrap());
        let address = || SanType::IpAddress([127, 0, 0, 1].into());
        for (common_names, others, expected) in [
            (&["alice"][..], vec![dns()], Some("alice")),
            (
                &[],
                vec![address(), mail(), dns()],
                Some("alice@example.com"),
            ),
            (&[], vec![dns(), mail()], Some("ci.example")),
            (&[], vec![address()], None),
            (&[], vec![], None),
            (&[""], vec![dns()], None),
            (&[], vec![uri(), dns()], Some("spiffe://example.com/ci")),
            (&["a\nb"], vec![dns()], None),
            (&["run-0a1b2c"], vec![], None),
        ] {
            assert_eq!(
                named(common_names, others).as_deref(),
                expected,
                "{common_names:?}"
            );
        }
        assert_eq!(user_of(b"no certificate"), None);
    }

    #[test]
    fn a_file_without_roots_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(verifier(file.path(), true).is_err());
        std::fs::write(
            file.path(),
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(verifier(file.path(), true).is_err());
        assert!(verifier(Path::new("/nowhere/ca.pem"), false).is_err());
    }
}
