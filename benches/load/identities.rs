//! Certificates of one run: an authority, the leaf that upstream and peers show, and the TLS settings of both ends.
//!
//! Keys are P-256, which is what tollgate mints. The load generator verifies certificates on the first connection to a
//! contender and not under load, where that work would be its own and not the contender's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use crate::Failure;
use crate::messages::HOST;

/// Where the files are that contenders read.
#[derive(Clone, Debug)]
pub(crate) struct Identities {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The leaf for [`HOST`].
    pub leaf: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authority's certificate and key in one file, as mitmproxy wants them.
    pub ca_with_key: PathBuf,
    /// Leaf and key in one file, as HAProxy wants them.
    pub leaf_with_key: PathBuf,
}

impl Identities {
    /// Makes an authority and a leaf below `directory`.
    pub(crate) fn make(directory: &Path) -> Result<Self, Failure> {
        let made = Self {
            ca: directory.join("ca.pem"),
            leaf: directory.join("leaf.pem"),
            key: directory.join("leaf-key.pem"),
            ca_with_key: directory.join("ca-with-key.pem"),
            leaf_with_key: directory.join("leaf-with-key.pem"),
        };
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "load benchmark CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca_key = KeyPair::generate()?;
        let ca_key_pem = ca_key.serialize_pem();
        let ca = CertifiedIssuer::self_signed(params, ca_key)?;

        let mut params = CertificateParams::new(vec![HOST.to_owned(), "localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, HOST);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &ca)?;

        fs::write(&made.ca, ca.pem())?;
        fs::write(&made.leaf, leaf.pem())?;
        fs::write(&made.key, key.serialize_pem())?;
        fs::write(&made.ca_with_key, ca_key_pem + &ca.pem())?;
        fs::write(&made.leaf_with_key, leaf.pem() + &key.serialize_pem())?;
        Ok(made)
    }

    /// A server that shows the leaf.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, Failure> {
        server(&self.leaf, &self.key)
    }
}

/// A server that shows this chain.
pub(crate) fn server(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, Failure> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client that trusts what stands in this file.
pub(crate) fn client(roots: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots)? {
        store.add(root?)?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client that looks at no certificate. `resumes`: it presents the tickets it was given.
pub(crate) fn careless_client(resumes: bool) -> Result<Arc<ClientConfig>, Failure> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless(provider())))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[derive(Debug)]
struct Careless(Arc<CryptoProvider>);

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
