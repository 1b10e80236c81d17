//! An upstream that does what the test says, when the test says it, and keeps the bytes it was sent.
//!
//! It accepts on its own (so that the gate's handshakes never wait for the test) and hands each connection over in the
//! order they came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::peer::{Peer, with_handle};
use super::{BEDROCK, within};

/// The name of an upstream that is not AWS.
pub(crate) const ELSEWHERE: &str = "models.example.test";

/// A scripted upstream on loopback.
pub(crate) struct RawUpstream {
    pub(crate) address: SocketAddr,
    /// What to trust, for one that speaks TLS.
    pub(crate) ca_pem: Option<String>,
    accepted: Arc<AtomicUsize>,
    connections: Mutex<Receiver<Peer>>,
    accepting: JoinHandle<()>,
}

impl RawUpstream {
    /// Speaks TLS, with a certificate for Bedrock and [`ELSEWHERE`].
    pub(crate) async fn tls() -> Self {
        Self::tls_for(ELSEWHERE).await
    }

    /// The same with a certificate for `name`, too.
    pub(crate) async fn tls_for(name: &str) -> Self {
        let (config, ca_pem) = server_config(name);
        Self::start(Some(TlsAcceptor::from(Arc::new(config))), Some(ca_pem)).await
    }

    /// The same with certificates of the test's own.
    pub(crate) async fn tls_by(tls: TlsAcceptor) -> Self {
        Self::start(Some(tls), None).await
    }

    /// Speaks what it is told to.
    pub(crate) async fn plain() -> Self {
        Self::start(None, None).await
    }

    async fn start(tls: Option<TlsAcceptor>, ca_pem: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = channel(1024);
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&accepted), sender));
        Self {
            address,
            ca_pem,
            accepted,
            connections: Mutex::new(receiver),
            accepting,
        }
    }

    /// The next connection, its TLS open.
    pub(crate) async fn accept(&self) -> Peer {
        within("a connection to the upstream", self.accept_some_time()).await
    }

    /// The same without a deadline.
    pub(crate) async fn accept_some_time(&self) -> Peer {
        self.connections.lock().await.recv().await.unwrap()
    }

    /// The next connection, whenever it comes.
    pub(crate) async fn accept_patiently(&self) -> Peer {
        self.connections.lock().await.recv().await.unwrap()
    }

    /// How many connections wait for the test, their TLS open.
    pub(crate) fn handed_over(&self) -> usize {
        self.connections.try_lock().unwrap().len()
    }

    /// How many connections were accepted, TLS or not.
    pub(crate) fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    accepted: Arc<AtomicUsize>,
    to: Sender<Peer>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        accepted.fetch_add(1, Ordering::SeqCst);
        let (stream, socket) = with_handle(stream);
        let Some(tls) = tls.clone() else {
            if to.send(Peer::new(Box::new(stream), socket)).await.is_err() {
                return;
            }
            continue;
        };
        let to = to.clone();
        tokio::spawn(async move {
            // A gate that does not trust us never finishes; then there is nobody to hand over.
            if let Ok(stream) = tls.accept(stream).await {
                to.send(Peer::new(Box::new(stream), socket)).await.ok();
            }
        });
    }
}

fn server_config(name: &str) -> (ServerConfig, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = [BEDROCK, name, "bedrock-runtime.eu-west-1.amazonaws.com"];
    let leaf = CertificateParams::new(names.map(str::to_owned)).unwrap();
    let leaf = leaf
        .signed_by(&key, &Issuer::from_params(&ca, &ca_key))
        .unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(super::gate::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    (config, ca_certificate.pem())
}
