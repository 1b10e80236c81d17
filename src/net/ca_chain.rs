//! What the certificates of an authority say about it.
//!
//! Checks what every verifier will check once a leaf hangs below them: that each may sign, that each was issued by the
//! next, that their constraints can be evaluated. Signatures are left to the verifiers. RFC 5280 §4.2.1, §6.1.

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::X509Certificate;

use super::ca_error::Flaw;
use super::certificates;
use super::issuance::Validity;
use super::name_constraints::NameConstraints;

/// What the certificates of a chain say, the issuing one first.
pub(crate) struct ChainFacts {
    pub(crate) subject: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) key_identifier: Option<Vec<u8>>,
    pub(crate) constraints: Vec<NameConstraints>,
    pub(crate) validity: Validity,
    pub(crate) ends_self_signed: bool,
}

impl ChainFacts {
    pub(crate) fn read(chain: &[CertificateDer<'_>]) -> Result<Self, Flaw> {
        let mut parsed = Vec::with_capacity(chain.len());
        for (index, der) in chain.iter().enumerate() {
            let certificate = certificates::parse(der).ok_or(Flaw::NotACa { number: index + 1 })?;
            if !may_sign(&certificate) {
                return Err(Flaw::NotACa { number: index + 1 });
            }
            parsed.push(certificate);
        }
        for (number, pair) in (1..).zip(parsed.windows(2)) {
            if let [issued, issuer] = pair
                && issued.issuer().as_raw() != issuer.subject().as_raw()
            {
                return Err(Flaw::Order { number });
            }
        }
        let mut constraints = Vec::with_capacity(parsed.len());
        for (number, certificate) in (1..).zip(&parsed) {
            let level = NameConstraints::read(certificate).filter(|level| !level.directory_names);
            constraints.push(level.ok_or(Flaw::Constraints { number })?);
        }
        let (Some(first), Some(last)) = (parsed.first(), parsed.last()) else {
            return Err(Flaw::Chain { count: 0 });
        };
        Ok(Self {
            subject: first.subject().as_raw().to_vec(),
            public_key: first.tbs_certificate.subject_pki.raw.to_vec(),
            key_identifier: key_identifier(first),
            constraints,
            validity: common_validity(&parsed)?,
            ends_self_signed: last.issuer().as_raw() == last.subject().as_raw(),
        })
    }
}

fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    certificate.is_ca()
        && certificate
            .key_usage()
            .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

fn key_identifier(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
            _ => None,
        })
}

/// The time in which all certificates of the chain are valid.
fn common_validity(chain: &[X509Certificate<'_>]) -> Result<Validity, Flaw> {
    let mut common = Validity {
        not_before: OffsetDateTime::UNIX_EPOCH,
        not_after: time::macros::datetime!(9999-12-31 0:00 UTC),
    };
    for (number, certificate) in (1..).zip(chain) {
        let bound =
            |at: i64| OffsetDateTime::from_unix_timestamp(at).map_err(|_| Flaw::NotACa { number });
        common.not_before = common
            .not_before
            .max(bound(certificate.validity().not_before.timestamp())?);
        common.not_after = common
            .not_after
            .min(bound(certificate.validity().not_after.timestamp())?);
    }
    Ok(common)
}
