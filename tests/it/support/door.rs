//! The ways into the gate, as raw clients use them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
#[cfg(target_os = "linux")]
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tollgate::ledger::Entry;

use super::gate::provider;
use super::peer::{BoxedStream, Peer, RawClient, with_handle};
use super::trickle::{EagerConnect, Trickle};
use super::{shown, within};

/// A way into the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// CONNECT over plain TCP, TLS inside.
    Connect,
    /// CONNECT inside TLS with the gate, TLS inside that.
    ConnectInTls,
    /// Absolute-form over plain TCP.
    Forward,
    /// Absolute-form inside TLS with the gate.
    ForwardInTls,
    /// Below the default route, over plain TCP.
    Route,
    /// Below the default route, inside TLS with the gate.
    RouteInTls,
    /// TLS under the name of the AWS host.
    Transparent,
    /// Plain, with the AWS host in Host.
    TransparentPlain,
}

impl Door {
    pub(crate) const ALL: [Self; 8] = [
        Self::Connect,
        Self::ConnectInTls,
        Self::Forward,
        Self::ForwardInTls,
        Self::Route,
        Self::RouteInTls,
        Self::Transparent,
        Self::TransparentPlain,
    ];

    /// What the record calls it.
    pub(crate) fn entry(self) -> Entry {
        match self {
            Self::Connect | Self::ConnectInTls => Entry::Connect,
            Self::Forward | Self::ForwardInTls => Entry::Forward,
            Self::Route | Self::RouteInTls => Entry::Route,
            Self::Transparent | Self::TransparentPlain => Entry::Transparent,
        }
    }

    /// The request-target by which this door leads to `path` of `host`.
    pub(crate) fn target(self, host: &str, path: &str) -> String {
        match self {
            Self::Forward | Self::ForwardInTls => format!("https://{host}{path}"),
            Self::Route | Self::RouteInTls => format!("/service/standard{path}"),
            _ => path.to_owned(),
        }
    }

    /// Opens it, for `host`.
    pub(crate) async fn open(self, port: &Port, host: &str) -> RawClient {
        self.open_by(port, host, false).await
    }

    /// [`Self::Connect`], with more `fields` in the CONNECT.
    pub(crate) async fn open_as(port: &Port, host: &str, fields: &str) -> RawClient {
        let (tcp, socket) = with_handle(TcpStream::connect(port.address).await.unwrap());
        let inside = tunnel_with(Box::new(tcp), host, fields, &socket).await;
        Peer::new(tls(port, host, inside).await, socket)
    }

    /// Opens it one byte at a time, and stays that slow.
    pub(crate) async fn open_slowly(self, port: &Port, host: &str) -> RawClient {
        self.open_by(port, host, true).await
    }

    async fn open_by(self, port: &Port, host: &str, slowly: bool) -> RawClient {
        let (tcp, socket) = with_handle(TcpStream::connect(port.address).await.unwrap());
        let tcp: BoxedStream = if slowly {
            Box::new(Trickle::new(tcp))
        } else {
            Box::new(tcp)
        };
        let stream = match self {
            Self::Forward | Self::Route | Self::TransparentPlain => tcp,
            Self::ForwardInTls | Self::RouteInTls => tls(port, "localhost", tcp).await,
            Self::Transparent => tls(port, host, tcp).await,
            Self::Connect => tls(port, host, tunnel(tcp, host, &socket).await).await,
            Self::ConnectInTls => {
                let outer = tls(port, "localhost", tcp).await;
                tls(port, host, tunnel(outer, host, &socket).await).await
            }
        };
        Peer::new(stream, socket)
    }
}

/// Where a gate listens, and what its clients trust.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    pub(crate) roots: Arc<RootCertStore>,
}

impl Port {
    /// The port at `address` of the gate whose home is `home`.
    pub(crate) fn new(address: SocketAddr, home: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(home.join("ca.pem")).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        Self {
            address,
            roots: Arc::new(roots),
        }
    }

    /// A plain connection to the port.
    pub(crate) async fn plain(&self) -> RawClient {
        let (stream, socket) = with_handle(TcpStream::connect(self.address).await.unwrap());
        Peer::new(Box::new(stream), socket)
    }

    /// A plain connection to the port from an address of loopback; only Linux has them all.
    #[cfg(target_os = "linux")]
    pub(crate) async fn plain_from(&self, source: [u8; 4]) -> RawClient {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((source, 0))).unwrap();
        let (stream, socket) = with_handle(socket.connect(self.address).await.unwrap());
        Peer::new(Box::new(stream), socket)
    }

    /// A connection to the port with TLS under `name`.
    pub(crate) async fn tls(&self, name: &str) -> RawClient {
        let (stream, socket) = with_handle(TcpStream::connect(self.address).await.unwrap());
        Peer::new(tls(self, name, Box::new(stream)).await, socket)
    }

    /// TLS under `name` behind the literal CONNECT head `connect`; the ClientHello waits for the answer.
    pub(crate) async fn behind(&self, connect: &str, name: &str) -> RawClient {
        let (stream, socket) = with_handle(TcpStream::connect(self.address).await.unwrap());
        let mut client = Peer::new(Box::new(stream), socket);
        client.send(connect).await;
        let answer = client.head().await;
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", shown(&answer));
        let (stream, socket) = client.into_parts();
        Peer::new(tls(self, name, stream).await, socket)
    }

    /// `client`, TLS open under `name` on what it has already.
    pub(crate) async fn secure(&self, client: RawClient, name: &str) -> RawClient {
        let (stream, socket) = client.into_parts();
        Peer::new(tls(self, name, stream).await, socket)
    }

    /// As [`Port::behind`], the ClientHello in the segment of the CONNECT.
    pub(crate) async fn eagerly_behind(&self, connect: &str, name: &str) -> RawClient {
        let (stream, socket) = with_handle(TcpStream::connect(self.address).await.unwrap());
        let eager = EagerConnect::new(stream, connect.as_bytes());
        Peer::new(tls(self, name, Box::new(eager)).await, socket)
    }

    /// A TLS handshake on the port as `config` wants it.
    pub(crate) async fn handshake(
        &self,
        config: ClientConfig,
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        within(
            "a handshake",
            TlsConnector::from(Arc::new(config)).connect(name, stream),
        )
        .await
    }

    /// What an ordinary client's TLS looks like: our roots, and the ALPN given.
    pub(crate) fn client_config(&self, alpn: &[&[u8]]) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

/// Asks for a tunnel to port 443 of `host`.
async fn tunnel(stream: BoxedStream, host: &str, socket: &std::net::TcpStream) -> BoxedStream {
    tunnel_with(stream, host, "", socket).await
}

async fn tunnel_with(
    stream: BoxedStream,
    host: &str,
    fields: &str,
    socket: &std::net::TcpStream,
) -> BoxedStream {
    let mut client = Peer::new(stream, socket.try_clone().unwrap());
    client
        .send(format!(
            "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n{fields}\r\n"
        ))
        .await;
    let answer = client.head().await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", shown(&answer));
    client.into_parts().0
}

async fn tls(port: &Port, name: &str, stream: BoxedStream) -> BoxedStream {
    let connector = TlsConnector::from(Arc::new(port.client_config(&[b"http/1.1"])));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    Box::new(
        within("a handshake with the gate", connector.connect(name, stream))
            .await
            .unwrap(),
    )
}
