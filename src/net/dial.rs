//! Connections to upstreams: resolve, check the address, connect, and for https open TLS.
//!
//! Names and verification always stay those of the host that the request names; `connect_to` changes only where the
//! socket goes. Addresses are checked after resolution, on the very address that is dialled.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::stream::BoxDuplex;
use crate::config::PrivateDestinations;
use crate::config::settings::{ConnectTo, dial_target};
use crate::wire::http1::Scheme;

/// The place a request goes to, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// TLS or not.
    pub scheme: Scheme,
    /// Lower case, without trailing dot.
    pub host: String,
    /// Always given.
    pub port: u16,
}

/// Which addresses may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Any: the host is one the operator or AWS names (VPC endpoints resolve to private addresses).
    Any,
    /// As `--private-destinations` says, and never link-local.
    Checked,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name does not resolve.
    #[error("{host} cannot be resolved: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The name resolves to nothing.
    #[error("{host} resolves to no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// Policy forbids every address.
    #[error("{host} resolves to {address}, which may not be reached from here")]
    Forbidden {
        /// The name.
        host: String,
        /// The first address refused.
        address: IpAddr,
    },
    /// Nothing accepts connections there.
    #[error("{address} does not accept the connection: {source}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("TLS with {host} failed: {source}")]
    Tls {
        /// The name verified.
        host: String,
        /// Why.
        source: io::Error,
    },
}

/// Opens connections.
#[derive(Clone)]
pub struct Dialer {
    tls: TlsConnector,
    connect_to: Arc<[ConnectTo]>,
    private: PrivateDestinations,
    instead: Option<SocketAddr>,
    connect_timeout: Duration,
    handshake_timeout: Duration,
}

impl Dialer {
    /// A dialer that verifies with `tls`. `instead`: where whatever has [`Reach::Any`] is dialled.
    #[must_use]
    pub fn new(
        tls: Arc<ClientConfig>,
        connect_to: &[ConnectTo],
        private: PrivateDestinations,
        instead: Option<SocketAddr>,
        connect_timeout: Duration,
        handshake_timeout: Duration,
    ) -> Self {
        Self {
            tls: TlsConnector::from(tls),
            connect_to: connect_to.into(),
            private,
            instead,
            connect_timeout,
            handshake_timeout,
        }
    }

    /// A stream to `origin`, TLS already open when its scheme asks for it.
    ///
    /// # Errors
    /// [`DialError`]: which step failed and why.
    pub async fn open(&self, origin: &Origin, reach: Reach) -> Result<BoxDuplex, DialError> {
        let socket = self.connect(&origin.host, origin.port, reach).await?;
        if origin.scheme == Scheme::Http {
            return Ok(Box::new(socket));
        }
        let failed = |source| DialError::Tls {
            host: origin.host.clone(),
            source,
        };
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let handshake = self.tls.connect(name, socket);
        match timeout(self.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }

    /// A socket to `host:port`.
    ///
    /// # Errors
    /// [`DialError`]: which step failed and why.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<TcpStream, DialError> {
        if let (Some(address), Reach::Any) = (self.instead, reach) {
            return self.socket(address).await;
        }
        let (to_host, to_port) = dial_target(&self.connect_to, host, port);
        let redirected = (to_host, to_port) != (host, port);
        let unresolved = |source| DialError::Resolve {
            host: to_host.to_owned(),
            source,
        };
        let resolved = timeout(
            self.connect_timeout,
            tokio::net::lookup_host((to_host, to_port)),
        )
        .await
        .map_err(|_| unresolved(io::ErrorKind::TimedOut.into()))?
        .map_err(unresolved)?;
        let mut last = DialError::NoAddress {
            host: to_host.to_owned(),
        };
        // A client gives up after a minute: of many dead addresses, not all can have their full time.
        let deadline = Instant::now() + 2 * self.connect_timeout;
        for address in alternating(resolved) {
            if reach == Reach::Checked && !redirected && !self.may_reach(address.ip()) {
                last = DialError::Forbidden {
                    host: host.to_owned(),
                    address: address.ip(),
                };
                continue;
            }
            match self.socket(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(last)
    }

    async fn socket(&self, address: SocketAddr) -> Result<TcpStream, DialError> {
        let failed = |source| DialError::Connect { address, source };
        match timeout(self.connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                tune(&socket);
                Ok(socket)
            }
            Ok(Err(source)) => Err(failed(source)),
            Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }

    fn may_reach(&self, address: IpAddr) -> bool {
        match class(address) {
            Class::LinkLocal => false,
            Class::Private => self.private == PrivateDestinations::Allow,
            Class::Public => true,
        }
    }
}

/// The addresses in the resolver's order, but with the families in turn, so that a family without a route costs one
/// time-out.
fn alternating(resolved: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (first, second): (Vec<_>, Vec<_>) = {
        let all: Vec<_> = resolved.collect();
        let family = all.first().is_some_and(SocketAddr::is_ipv6);
        all.into_iter()
            .partition(|address| address.is_ipv6() == family)
    };
    let mut second = second.into_iter();
    let mut ordered: Vec<_> = first
        .into_iter()
        .flat_map(|one| [Some(one), second.next()])
        .flatten()
        .collect();
    ordered.extend(second);
    ordered
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    LinkLocal,
    Private,
    Public,
}

/// Link-local holds the instance metadata services; they hand out credentials and are nobody's destination.
fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => class_v4(v4),
            None if v6.is_unicast_link_local() || v6 == METADATA_V6 => Class::LinkLocal,
            None => {
                let site_local = v6
                    .segments()
                    .first()
                    .is_some_and(|first| first & 0xffc0 == 0xfec0);
                let not_public = v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unique_local()
                    || v6.is_multicast();
                if not_public || site_local {
                    Class::Private
                } else {
                    Class::Public
                }
            }
        },
    }
}

/// RFC 6890: everything that is not globally reachable counts as private.
fn class_v4(v4: Ipv4Addr) -> Class {
    let special = matches!(
        v4.octets(),
        [0 | 10 | 127 | 224..=255, ..] | [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..]
    );
    if v4.is_link_local() {
        Class::LinkLocal
    } else if special || v4.is_private() {
        Class::Private
    } else {
        Class::Public
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(from(high, low))
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// The instance metadata service over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// NAT gateways forget a flow after 350 s of silence, and a non-stream answer may take an hour.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Options of every socket we hold, on both sides. Failing to set one costs comfort, never a call.
pub fn tune(socket: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    let set = socket
        .set_nodelay(true)
        .and_then(|()| SockRef::from(socket).set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%error, "a socket option could not be set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_in_every_spelling() {
        let rows = [
            ("169.254.169.254", Class::LinkLocal),
            ("::ffff:169.254.169.254", Class::LinkLocal),
            ("fe80::1", Class::LinkLocal),
            ("fd00:ec2::254", Class::LinkLocal),
            ("127.0.0.1", Class::Private),
            ("::ffff:127.0.0.1", Class::Private),
            ("64:ff9b::a9fe:a9fe", Class::LinkLocal),
            ("2002:a9fe:a9fe::1", Class::LinkLocal),
            ("::10.0.0.1", Class::Private),
            ("64:ff9b::808:808", Class::Public),
            ("fec0::1", Class::Private),
            ("ff02::1", Class::Private),
            ("198.18.0.1", Class::Private),
            ("240.0.0.1", Class::Private),
            ("0.0.0.0", Class::Private),
            ("10.1.2.3", Class::Private),
            ("100.64.0.1", Class::Private),
            ("::1", Class::Private),
            ("fc00::1", Class::Private),
            ("8.8.8.8", Class::Public),
            ("2600::1", Class::Public),
        ];
        for (address, want) in rows {
            assert_eq!(class(address.parse().unwrap()), want, "{address}");
        }
    }
}
