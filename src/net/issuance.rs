//! A leaf certificate, made and signed.
//!
//! rcgen writes the certificate; the issuer's name in it is then replaced by the very bytes of the issuing
//! certificate's subject, because clients compare the two and rcgen cannot write back every name that others have
//! written (`DC=example, DC=com` has one attribute twice). Who may be signed for, and for how long, is decided in `ca`.
//! RFC 5280 §4.1 and §4.2.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm, SigningKey,
};
use rustls::crypto::{CryptoProvider, GetRandomFailed};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::asn1_rs::{Any, FromDer};

use super::name_constraints::LeafName;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// Why no certificate came out.
#[derive(Debug, thiserror::Error)]
pub enum IssuanceError {
    /// Writing or signing failed.
    #[error("the certificate cannot be written or signed")]
    Generator(#[from] rcgen::Error),
    /// The system has no random numbers.
    #[error("no random numbers")]
    Random,
    /// The key does not fit into TLS.
    #[error("the minted key cannot be used")]
    Key(#[from] rustls::Error),
    /// Whoever was to make it is gone.
    #[error("nobody is left to make the certificate")]
    Interrupted,
    /// What rcgen wrote is not the certificate we know.
    #[error("the certificate has an unexpected structure")]
    Structure,
}

impl From<GetRandomFailed> for IssuanceError {
    fn from(_: GetRandomFailed) -> Self {
        Self::Random
    }
}

/// First and last moment a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

/// What signs: a key, and how its certificate is named and known.
pub(crate) struct IssuerKey {
    pub(crate) key: KeyPair,
    /// The subject of the issuing certificate, DER.
    pub(crate) subject: Vec<u8>,
    /// Its subjectKeyIdentifier, if it has one.
    pub(crate) key_identifier: Option<Vec<u8>>,
}

impl IssuerKey {
    /// Signs a server certificate for `names` and the public key of `key`.
    pub(crate) fn sign_leaf(
        &self,
        names: &[LeafName],
        validity: Validity,
        key: &KeyPair,
        provider: &CryptoProvider,
    ) -> Result<CertificateDer<'static>, IssuanceError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name("tollgate leaf certificate");
        params.subject_alt_names = names
            .iter()
            .map(subject_alt_name)
            .collect::<Result<_, _>>()?;
        params.not_before = validity.not_before;
        params.not_after = validity.not_after;
        params.serial_number = Some(serial_number(provider)?);
        // Explicit, because with `NoCa` rcgen leaves out basicConstraints and the subjectKeyIdentifier.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python 3.13 refuses a chain without it.
        params.use_authority_key_identifier_extension = true;

        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = DistinguishedName::new();
        if let Some(identifier) = &self.key_identifier {
            issuer.key_identifier_method = KeyIdMethod::PreSpecified(identifier.clone());
        }
        let draft = params.signed_by(key, &Issuer::new(issuer, Unsigned(&self.key)))?;
        self.sign_draft(draft.der())
    }

    /// Puts the issuer's name into the draft and the signature under it.
    fn sign_draft(&self, draft: &[u8]) -> Result<CertificateDer<'static>, IssuanceError> {
        let parts = Draft::read(draft).ok_or(IssuanceError::Structure)?;
        let tbs = tlv(
            SEQUENCE,
            &[parts.before_issuer, &self.subject, parts.after_issuer],
        );
        let signature = self.key.sign(&tbs)?;
        let signature = tlv(BIT_STRING, &[&[0], &signature]);
        Ok(tlv(SEQUENCE, &[&tbs, parts.algorithm, &signature]).into())
    }
}

/// `O=tollgate, CN=…`. The common name must not look like a host name: some verifiers hold it against name constraints.
pub(crate) fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "tollgate");
    name.push(DnType::CommonName, common_name);
    name
}

/// 127 random bits, positive and never shorter.
pub(crate) fn serial_number(provider: &CryptoProvider) -> Result<SerialNumber, GetRandomFailed> {
    let mut serial = [0; 16];
    provider.secure_random.fill(&mut serial)?;
    let [first, ..] = &mut serial;
    *first = *first & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&serial))
}

fn subject_alt_name(name: &LeafName) -> Result<SanType, rcgen::Error> {
    Ok(match name {
        LeafName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        LeafName::Address(address) => SanType::IpAddress(*address),
    })
}

/// Lends the issuer's algorithm to rcgen, but not the signature: that one comes after the name is in place.
struct Unsigned<'a>(&'a KeyPair);

impl PublicKeyData for Unsigned<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for Unsigned<'_> {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(vec![0])
    }
}

/// `Certificate ::= SEQUENCE { SEQUENCE { version, serial, signature, issuer, … }, algorithm, signature }`
struct Draft<'a> {
    before_issuer: &'a [u8],
    after_issuer: &'a [u8],
    algorithm: &'a [u8],
}

impl<'a> Draft<'a> {
    fn read(certificate: &'a [u8]) -> Option<Self> {
        let (_, certificate) = Any::from_der(certificate).ok()?;
        let (after_tbs, tbs) = Any::from_der(certificate.data).ok()?;
        let (after_algorithm, _) = Any::from_der(after_tbs).ok()?;
        let algorithm = after_tbs.get(..after_tbs.len() - after_algorithm.len())?;

        let mut issuer_on = tbs.data;
        for _version_serial_signature in 0..3 {
            (issuer_on, _) = Any::from_der(issuer_on).ok()?;
        }
        let (after_issuer, _) = Any::from_der(issuer_on).ok()?;
        let before_issuer = tbs.data.get(..tbs.data.len() - issuer_on.len())?;
        Some(Self {
            before_issuer,
            after_issuer,
            algorithm,
        })
    }
}

/// A DER value of the concatenated parts.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let significant: Vec<u8> = bytes.into_iter().skip_while(|&byte| byte == 0).collect();
            // At most eight bytes of length, so the count fits.
            der.push(0x80 | u8::try_from(significant.len()).unwrap_or(u8::MAX));
            der.extend(significant);
        }
    }
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_der() {
        assert_eq!(tlv(SEQUENCE, &[]), [0x30, 0]);
        assert_eq!(tlv(SEQUENCE, &[&[0; 127]])[..3], [0x30, 127, 0]);
        assert_eq!(tlv(SEQUENCE, &[&[0; 128]])[..3], [0x30, 0x81, 128]);
        assert_eq!(
            tlv(SEQUENCE, &[&[0; 200], &[0; 56]])[..4],
            [0x30, 0x82, 1, 0]
        );
    }
}
