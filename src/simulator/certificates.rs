//! A throw-away certificate authority in memory, and a leaf for every name the simulator answers for.
//!
//! The authority lives as long as the simulator; nothing is written to disk. Leaves carry the extensions that strict
//! verifiers ask for (RFC 5280 §4.2.1). Names the simulator does not answer for get no certificate, and the handshake
//! ends with an alert.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};

use super::endpoint::Endpoint;

/// Why the authority or a leaf could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Generating or encoding a certificate failed.
    #[error("a certificate of the simulator could not be made")]
    Issue(#[from] rcgen::Error),
    /// The TLS library does not take the key.
    #[error("the TLS library does not take the key of the simulator")]
    Key(#[from] rustls::Error),
}

/// The authority and the leaves it has issued.
pub(super) struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    ca_der: CertificateDer<'static>,
    leaf_key_pair: KeyPair,
    leaf_key: Arc<dyn SigningKey>,
    aliases: Vec<String>,
    leaves: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

/// Most leaves that are kept; the names come from clients.
const MOST_LEAVES: usize = 128;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Certificates {
    /// Makes a new authority.
    pub(super) fn new(
        provider: &CryptoProvider,
        aliases: Vec<String>,
    ) -> Result<Self, CertificateError> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "tollgate simulator CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        limit_life(&mut params);
        let key = KeyPair::generate()?;
        let ca = params.self_signed(&key)?;
        let leaf_key_pair = KeyPair::generate()?;
        let leaf_der =
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key_pair.serialize_der()));
        Ok(Self {
            issuer: Issuer::new(params, key),
            ca_pem: ca.pem(),
            ca_der: ca.der().clone(),
            leaf_key: provider.key_provider.load_private_key(leaf_der)?,
            leaf_key_pair,
            aliases,
            leaves: Mutex::default(),
        })
    }

    /// The authority's certificate, PEM.
    pub(super) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Names answered for besides the endpoints.
    pub(super) fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn leaf(&self, name: &str) -> Result<Arc<CertifiedKey>, CertificateError> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = leaves.get(name) {
            return Ok(Arc::clone(leaf));
        }
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, "tollgate simulator");
        // Spelling out "not an authority" also makes rcgen write the subject key identifier.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        limit_life(&mut params);
        let certificate = params.signed_by(&self.leaf_key_pair, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.ca_der.clone()];
        let leaf = Arc::new(CertifiedKey::new(chain, Arc::clone(&self.leaf_key)));
        if leaves.len() >= MOST_LEAVES {
            leaves.clear();
        }
        leaves.insert(name.to_owned(), Arc::clone(&leaf));
        Ok(leaf)
    }
}

/// From yesterday, for clocks that are behind, to a month from now. The real clock: TLS stacks look at theirs.
fn limit_life(params: &mut CertificateParams) {
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * 30).into();
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = client_hello.server_name()?.to_ascii_lowercase();
        Endpoint::parse(&name, &self.aliases)?;
        match self.leaf(&name) {
            Ok(leaf) => Some(leaf),
            Err(error) => {
                tracing::warn!(%error, "no certificate for a name of the simulator");
                None
            }
        }
    }
}

/// Holds private keys.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}
