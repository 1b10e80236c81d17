//! Certificates of the upstream: good ones for every name, and bad ones for those who must not take them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::TlsAcceptor;

type Failure = Box<dyn Error + Send + Sync>;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// It is for another name.
    Name,
    /// Its time is over.
    Expired,
    /// Nobody trusts who signed it.
    Stranger,
}

/// An authority in memory, and acceptors that show its certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    good: TlsAcceptor,
    name: TlsAcceptor,
    expired: TlsAcceptor,
    stranger: TlsAcceptor,
}

impl Authority {
    pub(crate) fn new() -> Result<Self, Failure> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (issuer, pem) = issuer()?;
        let issuer = Arc::new(issuer);
        let acceptor = |issuer: &Arc<Issuer<'static, KeyPair>>, flaw| {
            acceptor(&provider, Leaves::new(&provider, Arc::clone(issuer), flaw)?)
        };
        Ok(Self {
            pem,
            good: acceptor(&issuer, Flaw::None)?,
            name: acceptor(&issuer, Flaw::Name)?,
            expired: acceptor(&issuer, Flaw::Expired)?,
            stranger: acceptor(&Arc::new(self::issuer()?.0), Flaw::Stranger)?,
        })
    }

    pub(crate) fn acceptor(&self, flaw: Flaw) -> TlsAcceptor {
        match flaw {
            Flaw::None => self.good.clone(),
            Flaw::Name => self.name.clone(),
            Flaw::Expired => self.expired.clone(),
            Flaw::Stranger => self.stranger.clone(),
        }
    }
}

fn issuer() -> Result<(Issuer<'static, KeyPair>, String), Failure> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "soak upstream CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

fn acceptor(provider: &Arc<CryptoProvider>, leaves: Leaves) -> Result<TlsAcceptor, Failure> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(leaves));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Leaves by name, all with one key.
struct Leaves {
    issuer: Arc<Issuer<'static, KeyPair>>,
    key_pair: KeyPair,
    key: Arc<dyn SigningKey>,
    flaw: Flaw,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

/// Most leaves that are kept.
const MOST_LEAVES: usize = 256;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Leaves {
    fn new(
        provider: &CryptoProvider,
        issuer: Arc<Issuer<'static, KeyPair>>,
        flaw: Flaw,
    ) -> Result<Self, Failure> {
        let key_pair = KeyPair::generate()?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pair.serialize_der()));
        Ok(Self {
            issuer,
            key: provider.key_provider.load_private_key(der)?,
            key_pair,
            flaw,
            made: Mutex::default(),
        })
    }

    fn leaf(&self, name: &str) -> Result<Arc<CertifiedKey>, Failure> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = made.get(name) {
            return Ok(Arc::clone(leaf));
        }
        let shown = match self.flaw {
            Flaw::Name => "another.soak.example",
            _ => name,
        };
        let mut params = CertificateParams::new(vec![shown.to_owned()])?;
        let now = SystemTime::now();
        params.not_before = (now - 30 * DAY).into();
        params.not_after = match self.flaw {
            Flaw::Expired => now - DAY,
            _ => now + 30 * DAY,
        }
        .into();
        let certificate = params.signed_by(&self.key_pair, &self.issuer)?;
        let chain = vec![certificate.der().clone()];
        let leaf = Arc::new(CertifiedKey::new(chain, Arc::clone(&self.key)));
        if made.len() >= MOST_LEAVES {
            made.clear();
        }
        made.insert(name.to_owned(), Arc::clone(&leaf));
        Ok(leaf)
    }
}

impl ResolvesServerCert for Leaves {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.leaf(hello.server_name()?).ok()
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaves").finish_non_exhaustive()
    }
}
