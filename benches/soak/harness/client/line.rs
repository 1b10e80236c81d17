//! A client's connection to the gate: the ways in, one exchange over it, and the ways to leave it.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use super::super::acts::Going;
use super::super::reading::Reading;

type Failure = Box<dyn Error + Send + Sync>;

/// Plain or TLS, and TLS in either.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
pub(crate) type BoxedStream = Box<dyn Stream>;

/// A way into the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Connect,
    ConnectInTls,
    Forward,
    ForwardInTls,
    Route,
    RouteInTls,
    Transparent,
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
    pub(crate) fn entry(self) -> &'static str {
        match self {
            Self::Connect | Self::ConnectInTls => "connect",
            Self::Forward | Self::ForwardInTls => "forward",
            Self::Route | Self::RouteInTls => "route",
            Self::Transparent | Self::TransparentPlain => "transparent",
        }
    }

    /// The request-target by which this door leads to `target` of `host`.
    pub(crate) fn target(self, host: &str, target: &str) -> String {
        match self {
            Self::Forward | Self::ForwardInTls => format!("https://{host}{target}"),
            Self::Route | Self::RouteInTls => format!("/service/standard{target}"),
            _ => target.to_owned(),
        }
    }
}

/// Where the gate listens and how to reach it.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    tls: TlsConnector,
    /// Trusts nobody.
    distrust: TlsConnector,
}

/// The name the gate has a certificate for when it is addressed itself.
const GATE_NAME: &str = "localhost";

impl Port {
    /// The port at `address` of the gate whose home is `home`.
    pub(crate) fn new(address: SocketAddr, home: &Path) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(home.join("ca.pem"))? {
            roots.add(certificate?)?;
        }
        Ok(Self {
            address,
            tls: connector(roots)?,
            distrust: connector(RootCertStore::empty())?,
        })
    }

    /// A connection from `source` to the port itself.
    pub(crate) async fn plain(&self, source: Ipv4Addr) -> std::io::Result<Line> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let stream = stream.into_std()?;
        let handle = stream.try_clone()?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        Ok(Line::new(Box::new(stream), handle, local))
    }

    /// A connection through `door` for `host`.
    pub(crate) async fn open(
        &self,
        source: Ipv4Addr,
        door: Door,
        host: &str,
    ) -> Result<Line, OpenError> {
        let line = self.plain(source).await.map_err(OpenError::Io)?;
        match door {
            Door::Forward | Door::Route | Door::TransparentPlain => Ok(line),
            Door::ForwardInTls | Door::RouteInTls => self.secure(line, GATE_NAME).await,
            Door::Transparent => self.secure(line, host).await,
            Door::Connect => {
                let tunnel = line.connect(host, 443).await?;
                self.secure(tunnel, host).await
            }
            Door::ConnectInTls => {
                let outer = self.secure(line, GATE_NAME).await?;
                let tunnel = outer.connect(host, 443).await?;
                self.secure(tunnel, host).await
            }
        }
    }

    /// TLS under `name` on `line`.
    pub(crate) async fn secure(&self, line: Line, name: &str) -> Result<Line, OpenError> {
        secured(&self.tls, line, name).await
    }

    /// The same for a client that trusts nobody: it always fails.
    pub(crate) async fn distrust(&self, line: Line, name: &str) -> Result<Line, OpenError> {
        secured(&self.distrust, line, name).await
    }
}

fn connector(roots: RootCertStore) -> Result<TlsConnector, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn secured(tls: &TlsConnector, line: Line, name: &str) -> Result<Line, OpenError> {
    let (stream, handle, local) = line.into_parts();
    let name = ServerName::try_from(name.to_owned())
        .map_err(|error| OpenError::Io(std::io::Error::other(error)))?;
    let stream = tls.connect(name, stream).await.map_err(OpenError::Io)?;
    Ok(Line::new(Box::new(stream), handle, local))
}

/// Why a way in did not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0}")]
    Io(std::io::Error),
    #[error("CONNECT was answered with {0}")]
    Refused(u16),
    #[error("CONNECT was not answered: {0}")]
    Unanswered(String),
}

/// A connection to the gate.
pub(crate) struct Line {
    pub(crate) reading: Reading<ReadHalf<BoxedStream>>,
    pub(crate) writer: WriteHalf<BoxedStream>,
    /// The socket below all layers.
    handle: std::net::TcpStream,
    /// Our address, as the gate sees it.
    pub(crate) local: SocketAddr,
}

impl Line {
    fn new(stream: BoxedStream, handle: std::net::TcpStream, local: SocketAddr) -> Self {
        let (reader, writer) = split(stream);
        Self {
            reading: Reading::new(reader),
            writer,
            handle,
            local,
        }
    }

    fn into_parts(self) -> (BoxedStream, std::net::TcpStream, SocketAddr) {
        let stream = self.reading.stream.unsplit(self.writer);
        (stream, self.handle, self.local)
    }

    /// Asks for a tunnel to `host:port`.
    pub(crate) async fn connect(mut self, host: &str, port: u16) -> Result<Self, OpenError> {
        let head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        self.send(head.as_bytes()).await.map_err(OpenError::Io)?;
        match self.reading.response_head().await {
            Ok(Some(head)) if head.status == 200 => Ok(self),
            Ok(Some(head)) => Err(OpenError::Refused(head.status)),
            Ok(None) => Err(OpenError::Unanswered("the connection ended".to_owned())),
            Err(end) => Err(OpenError::Unanswered(format!("{end:?}"))),
        }
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(octets).await?;
        self.writer.flush().await
    }

    /// Takes less than the system would from here on.
    pub(crate) fn narrow(&self) {
        // A hint; what it is for works without it, if less well.
        SockRef::from(&self.handle)
            .set_recv_buffer_size(8 * 1024)
            .ok();
    }

    /// Goes away.
    pub(crate) async fn go(mut self, going: Going) {
        match going {
            Going::Close => {
                // The gate may have been faster.
                tokio::time::timeout(GOODBYE, self.writer.shutdown())
                    .await
                    .ok();
            }
            Going::Cut => {}
            Going::Reset => {
                SockRef::from(&self.handle)
                    .set_linger(Some(Duration::ZERO))
                    .ok();
            }
        }
    }
}

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);
