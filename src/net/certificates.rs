//! Certificates and keys as they lie in PEM files.
//!
//! Reads what operators have: chains with the end-entity certificate first, keys as PKCS#8, SEC1 or PKCS#1, self-signed
//! pairs without a subjectAltName. Every refusal names the file and what to do. Whether a chain will be trusted is left
//! to the clients, which names it should carry to `ca`. RFC 7468, RFC 5280.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::private_file::{self, FileError};

/// Why a certificate or a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not PEM, or broken inside.
    #[error("{} is not a proper PEM file", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Where it broke.
        source: pem::Error,
    },
    /// PEM, but no `CERTIFICATE` in it.
    #[error("no certificate in {}; a line `-----BEGIN CERTIFICATE-----` is expected", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A `CERTIFICATE` whose content is not one.
    #[error("certificate {number} in {} is not an X.509 certificate", path.display())]
    NotX509 {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        number: usize,
    },
    /// PEM, but no key in it.
    #[error("no private key in {}; a line `-----BEGIN PRIVATE KEY-----` is expected", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key wants a passphrase, and nobody is there to type it.
    #[error("the private key in {0} is encrypted; `openssl pkey -in {0} -out plain.pem` decrypts it", path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A key of a kind, or of a size, we cannot sign with.
    #[error("the private key in {} is of a kind or size that cannot be used", path.display())]
    UnusableKey {
        /// The file.
        path: PathBuf,
        /// What the cryptography said.
        source: rustls::Error,
    },
    /// Key and certificate are not a pair.
    #[error("the private key in {} does not belong to the first certificate in {}", key.display(), certificate.display())]
    KeyMismatch {
        /// Where the key came from.
        key: PathBuf,
        /// Where the certificate came from.
        certificate: PathBuf,
    },
    /// Others than the owner may read the key.
    #[error(
        "the private key {0} can be read by others (mode {mode:04o}, wanted 0600); close it with `chmod 600 '{0}'`",
        path.display()
    )]
    ExposedKey {
        /// The file.
        path: PathBuf,
        /// Its mode bits.
        mode: u32,
    },
}

/// The cryptography of every TLS connection and every signature. Passed explicitly, so that no other crate's choice of
/// a process-wide default can change ours.
#[must_use]
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Reads a certificate chain and its key, and checks that they belong together.
///
/// # Errors
///
/// A [`CertificateError`] that names the file at fault.
pub fn read_pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let chain = read_chain(certificate)?;
    let key_der = read_key(key)?;
    let signing_key = crypto_provider()
        .key_provider
        .load_private_key(key_der.clone_key())
        .map_err(|source| CertificateError::UnusableKey {
            path: key.to_owned(),
            source,
        })?;
    // Compared here and not by rustls, which would refuse an X.509 v1 certificate before comparing anything.
    let public_key = signing_key.public_key();
    if let (Some(first), Some(public_key)) = (chain.first(), public_key)
        && subject_public_key_info(first) != Some(public_key.as_ref())
    {
        return Err(CertificateError::KeyMismatch {
            key: key.to_owned(),
            certificate: certificate.to_owned(),
        });
    }
    Ok(CertifiedKey::new(chain, signing_key))
}

/// Reads all certificates of a file, in order; there is at least one.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = private_file::read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| CertificateError::Pem {
            path: path.to_owned(),
            source,
        })?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate {
            path: path.to_owned(),
        });
    }
    for (index, certificate) in chain.iter().enumerate() {
        if parse(certificate).is_none() {
            return Err(CertificateError::NotX509 {
                path: path.to_owned(),
                number: index + 1,
            });
        }
    }
    Ok(chain)
}

/// Reads the first private key of a file that only its owner may read. It leaves memory when it is dropped.
pub(crate) fn read_key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>, CertificateError> {
    let text = private_file::read_secret(path).map_err(|refusal| match refusal {
        Ok(mode) => CertificateError::ExposedKey {
            path: path.to_owned(),
            mode,
        },
        Err(error) => CertificateError::File(error),
    })?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(Zeroizing::new(key)),
        // Both ways of saying it: `BEGIN ENCRYPTED PRIVATE KEY` is skipped as unknown, while the content below
        // `Proc-Type: 4,ENCRYPTED` is not base64 of a key.
        Err(_) if memchr::memmem::find(&text, b"ENCRYPTED").is_some() => {
            Err(CertificateError::EncryptedKey {
                path: path.to_owned(),
            })
        }
        Err(pem::Error::NoItemsFound) => Err(CertificateError::NoKey {
            path: path.to_owned(),
        }),
        Err(source) => Err(CertificateError::Pem {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The certificate as PEM, lines of 64 characters.
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut pem = String::with_capacity(base64.len() + base64.len() / 64 + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while let Some((line, after)) = rest.split_at_checked(64) {
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

pub(crate) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

/// The SHA-256 of a certificate as tools print it: pairs of upper-case digits with colons between them.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    let pairs = Sha256::digest(der).map(|byte| format!("{byte:02X}"));
    pairs.join(":")
}

/// Every certificate of a PEM text, as far as it can be read.
#[must_use]
pub fn certificates_in(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem)
        .map_while(Result::ok)
        .collect()
}

pub(crate) fn subject_public_key_info(der: &[u8]) -> Option<&[u8]> {
    parse(der).map(|certificate| certificate.tbs_certificate.subject_pki.raw)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            _ = write!(text, "{byte:02x}");
            text
        })
}
