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
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::ca::{CaError, IssuanceError};
use super::certificate_store::CertificateStore;
use super::certificates;

/// Tells which hosts are opened.
pub type Intercepts = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The TLS configurations of the client side. They share their session tickets and their cryptography.
pub struct ServerConfigs {
    store: Arc<CertificateStore>,
    outer: Arc<ServerConfig>,
}

impl ServerConfigs {
    /// Builds them once for the whole process.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers for the ticket keys.
    pub fn new(store: Arc<CertificateStore>, intercepts: Intercepts) -> Result<Self, CaError> {
        let by_name = BySni {
            store: Arc::clone(&store),
            intercepts,
        };
        let mut outer = ServerConfig::builder_with_provider(certificates::crypto_provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(IssuanceError::from)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(by_name));
        outer.alpn_protocols = vec![b"http/1.1".to_vec()];
        outer.ticketer = Ticketer::new().map_err(IssuanceError::from)?;
        // For TLS 1.2 clients that resume by session id.
        outer.session_storage = ServerSessionMemoryCache::new(1024);
        // Some clients use a ticket once; with two, a connection leaves one for itself and one for a parallel one.
        outer.send_tls13_tickets = 2;
        // A call that costs money must not be replayable.
        outer.max_early_data_size = 0;
        Ok(Self {
            store,
            outer: Arc::new(outer),
        })
    }

    /// For connections to the listener: the leaf of an intercepted SNI, else the listener's own certificate.
    #[must_use]
    pub fn outer(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.outer)
    }

    /// Whether there is, or can be, a certificate for `host`: to be asked before a CONNECT is answered.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.store.covers(host)
    }

    /// How many certificates were minted since the start.
    #[must_use]
    pub fn minted(&self) -> u64 {
        self.store.authority().minted()
    }

    /// For the inside of a tunnel to `host`: always the certificate of `host`. A handful of reference counts, so there
    /// is no need to keep it.
    ///
    /// # Errors
    ///
    /// When there can be no certificate for `host`.
    pub fn tunnel(&self, host: &str, now: SystemTime) -> Result<Arc<ServerConfig>, CaError> {
        let certified_key = self.store.for_host(host, now)?;
        let mut config = ServerConfig::clone(&self.outer);
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certified_key));
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for ServerConfigs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfigs").finish_non_exhaustive()
    }
}

/// Chooses the certificate by the name the client asks for.
struct BySni {
    store: Arc<CertificateStore>,
    intercepts: Intercepts,
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = SystemTime::now();
        let certified_key = match hello.server_name() {
            Some(host) if (self.intercepts)(host) => self.store.for_host(host, now),
            _ => self.store.for_listener(now),
        };
        // rustls can only be told that there is none; why, is for our own log.
        certified_key
            .inspect_err(
                |error| tracing::warn!(sni = hello.server_name(), %error, "no certificate to show"),
            )
            .ok()
    }
}

impl fmt::Debug for BySni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BySni").finish_non_exhaustive()
    }
}
