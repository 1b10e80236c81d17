//! How the load generator reaches an answer: the port, the way in, and the TLS settings.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Failure;
use crate::identities;
use crate::messages::HOST;

/// How a client gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// TLS on the port itself.
    Tls,
    /// CONNECT, and TLS inside.
    Connect,
}

/// A port, and how to get through it.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    way: Way,
    tls: TlsConnector,
    name: ServerName<'static>,
}

/// An open connection.
pub(crate) type Connection = TlsStream<TcpStream>;

impl Target {
    /// A port on loopback; certificates are not looked at, see [`Target::verified`].
    pub(crate) fn new(port: u16, way: Way, resumes: bool) -> Result<Self, Failure> {
        Self::with(port, way, identities::careless_client(resumes)?)
    }

    fn with(port: u16, way: Way, tls: Arc<ClientConfig>) -> Result<Self, Failure> {
        Ok(Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            way,
            tls: TlsConnector::from(tls),
            name: ServerName::try_from(HOST)?,
        })
    }

    /// The same port for a client that verifies what it is shown, as every real one does.
    pub(crate) fn verified(port: u16, way: Way, roots: &Path) -> Result<Self, Failure> {
        Self::with(port, way, identities::client(roots)?)
    }

    /// Opens a connection that is ready for requests.
    pub(crate) async fn open(&self) -> io::Result<Connection> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        if self.way == Way::Connect {
            connect(&mut socket).await?;
        }
        self.tls.connect(self.name.clone(), socket).await
    }
}

async fn connect(socket: &mut TcpStream) -> io::Result<()> {
    let request = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = [0; 1024];
    let mut filled = 0;
    // Nothing follows the head before we speak TLS, so it ends where the bytes end.
    while !answer
        .get(..filled)
        .is_some_and(|head| head.ends_with(b"\r\n\r\n"))
    {
        match socket
            .read(answer.get_mut(filled..).unwrap_or_default())
            .await?
        {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.0 200") {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(answer.get(..filled).unwrap_or_default()).into_owned();
    Err(io::Error::other(format!(
        "CONNECT was answered with {answer}"
    )))
}
