//! TLS towards the client.
//!
//! Two situations. On the listener itself the SNI says whether the client means an intercepted host, resolved to us by
//! DNS, or us. Inside a tunnel the CONNECT target has said which host is meant, and its certificate is shown whatever
//! the SNI. Both offer `http/1.1` alone: a client that insists on h2 gets `no_application_protocol`, one without ALPN is
//! welcome. Reading what arrives is left to `wire`. RFC 8446, RFC 5246, RFC 7301, RFC 6066 §3.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::ca::{CaError, IssuanceError};
use super::certificate_store::CertificateStore;
use super::certificates;

/// Tells which hosts are opened.
pub type Intercepts = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The TLS configurations of the client side. They share their session tickets and their cryptography, and differ in the
/// certificate.
pub struct ServerConfigs {
    store: Arc<CertificateStore>,
    intercepts: Intercepts,
    /// Shows no certificate.
    bare: Arc<ServerConfig>,
    /// The same for the listener, if that asks clients for theirs.
    asking: Option<Arc<ServerConfig>>,
}

impl ServerConfigs {
    /// Builds what they share, once for the whole process.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers for the ticket keys.
    pub fn new(store: Arc<CertificateStore>, intercepts: Intercepts) -> Result<Self, CaError> {
        let mut bare = ServerConfig::builder_with_provider(certificates::crypto_provider())
            .with_protocol_versions(VERSIONS)
            .map_err(IssuanceError::from)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Nothing));
        bare.alpn_protocols = vec![b"http/1.1".to_vec()];
        bare.ticketer = Ticketer::new().map_err(IssuanceError::from)?;
        // For TLS 1.2 clients that resume by session id.
        bare.session_storage = ServerSessionMemoryCache::new(1024);
        // Some clients use a ticket once; with two, a connection leaves one for itself and one for a parallel one.
        bare.send_tls13_tickets = 2;
        // A call that costs money must not be replayable.
        bare.max_early_data_size = 0;
        Ok(Self {
            store,
            intercepts,
            bare: Arc::new(bare),
            asking: None,
        })
    }

    /// Has the listener ask clients for a certificate that `verifier` takes. Their sessions are not resumed: a certificate
    /// is looked at, its end included, each time that it is to prove something.
    ///
    /// # Errors
    ///
    /// When the cryptography has no protocol version.
    pub fn asking(mut self, verifier: Arc<dyn ClientCertVerifier>) -> Result<Self, CaError> {
        let mut asking = ServerConfig::builder_with_provider(certificates::crypto_provider())
            .with_protocol_versions(VERSIONS)
            .map_err(IssuanceError::from)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Nothing));
        asking.alpn_protocols.clone_from(&self.bare.alpn_protocols);
        asking.session_storage = Arc::new(NoServerSessionStorage {});
        asking.send_tls13_tickets = 0;
        asking.max_early_data_size = 0;
        self.asking = Some(Arc::new(asking));
        Ok(self)
    }

    /// For connections to the listener: the leaf of an intercepted SNI, else the listener's own certificate.
    ///
    /// # Errors
    ///
    /// When there can be no such certificate.
    pub async fn port(
        &self,
        server_name: Option<&str>,
        now: SystemTime,
    ) -> Result<Arc<ServerConfig>, CaError> {
        let certified_key = match server_name {
            Some(host) if (self.intercepts)(host) => self.store.for_host(host, now).await?,
            _ => self.store.for_listener(now).await?,
        };
        let base = self.asking.as_ref().unwrap_or(&self.bare);
        Ok(showing(base, certified_key))
    }

    /// Whether there is, or can be, a certificate for `host`: to be asked before a CONNECT is answered.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.store.covers(host)
    }

    /// For the inside of a tunnel to `host`: always the certificate of `host`.
    ///
    /// # Errors
    ///
    /// When there can be no certificate for `host`.
    pub async fn tunnel(&self, host: &str, now: SystemTime) -> Result<Arc<ServerConfig>, CaError> {
        let certified_key = self.store.for_host(host, now).await?;
        Ok(showing(&self.bare, certified_key))
    }

    /// For a client to whom no certificate can be shown: the handshake ends with an alert.
    #[must_use]
    pub fn nothing(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.bare)
    }

    /// How many minted certificates are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.store.kept()
    }

    /// How many certificates were minted since the start.
    #[must_use]
    pub fn mints(&self) -> u64 {
        self.store.mints()
    }
}

/// What both situations speak.
const VERSIONS: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// A handful of reference counts, so there is no need to keep it.
fn showing(base: &ServerConfig, certified_key: Arc<CertifiedKey>) -> Arc<ServerConfig> {
    let mut config = base.clone();
    config.cert_resolver = Arc::new(SingleCertAndKey::from(certified_key));
    Arc::new(config)
}

impl fmt::Debug for ServerConfigs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfigs").finish_non_exhaustive()
    }
}

/// Has no certificate for anybody.
#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
