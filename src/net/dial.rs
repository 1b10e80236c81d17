//! Connections to upstreams: resolve, check the address, connect, and for https open TLS.
//!
//! Names and verification always stay those of the host that the request names; `connect_to` changes only where the
//! socket goes. Addresses are checked after resolution, on the very address that is dialled; where an upstream proxy
//! resolves, only addresses that stand in the request itself can be.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::address::{self, Class};
use super::descriptors;
use super::stream::BoxDuplex;
use super::upstream_proxy::{self, ProxyFailure};
use crate::config::settings::{ConnectTo, dial_target};
use crate::config::{PrivateDestinations, UpstreamProxy};
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
    #[error("{}", address::explain(host, *address))]
    Forbidden {
        /// The name.
        host: String,
        /// The first address refused.
        address: IpAddr,
    },
    /// It leads back to this gate.
    #[error(
        "{host} leads to {address}, where this gate itself listens, and nothing that comes through it may go there; if DNS \
         or a hosts file leads the name here, --connect-to says where it really is"
    )]
    Ours {
        /// The name.
        host: String,
        /// The address of ours.
        address: SocketAddr,
    },
    /// Nothing accepts connections there.
    #[error("{address} does not accept the connection: {source}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// This process has no descriptor left for it.
    #[error(
        "tollgate has no file descriptor left for a connection to {host} ({source}): its limit is too low for its load, or \
         --max-connections too high"
    )]
    NoDescriptor {
        /// The name or address.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("TLS with {host} failed: {source}{}", clock_hint(source))]
    Tls {
        /// The name verified.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The proxy in between did not lead there.
    #[error("the upstream proxy {proxy} {why}")]
    Proxy {
        /// Its URL, without credentials.
        proxy: String,
        /// What it did, as the rest of the sentence.
        why: Box<ProxyFailure>,
    },
}

impl DialError {
    /// Whether nothing was missing but a descriptor.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        match self {
            Self::NoDescriptor { .. } => true,
            Self::Proxy { why, .. } => why.is_shortage(),
            _ => false,
        }
    }
}

/// How often it was dialled since the start. Clones of a dialer count together.
#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    failed: AtomicU64,
}

/// Opens connections.
#[derive(Clone)]
pub struct Dialer {
    tls: TlsConnector,
    connect_to: Arc<[ConnectTo]>,
    private: PrivateDestinations,
    instead: Option<SocketAddr>,
    proxy: Option<Arc<UpstreamProxy>>,
    own: Arc<[SocketAddr]>,
    counts: Arc<Counts>,
    pub(super) connect_timeout: Duration,
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
            proxy: None,
            own: Arc::default(),
            counts: Arc::default(),
            connect_timeout,
            handshake_timeout,
        }
    }

    /// The same, but through `proxy` wherever nothing else says where to dial.
    #[must_use]
    pub fn through(self, proxy: Option<UpstreamProxy>) -> Self {
        let proxy = proxy.map(Arc::new);
        Self { proxy, ..self }
    }

    /// The same, but never to where these sockets of ours listen, whoever asks for it.
    #[must_use]
    pub fn apart_from(self, own: impl IntoIterator<Item = SocketAddr>) -> Self {
        let own = own.into_iter().collect();
        Self { own, ..self }
    }

    /// A stream to `origin`, TLS already open when its scheme asks for it.
    ///
    /// # Errors
    /// [`DialError`]: which step failed and why.
    pub async fn open(&self, origin: &Origin, reach: Reach) -> Result<BoxDuplex, DialError> {
        let opened = async {
            let stream = self.lead_to(&origin.host, origin.port, reach).await?;
            match origin.scheme {
                Scheme::Http => Ok(stream),
                Scheme::Https => self.secure(&origin.host, stream).await,
            }
        };
        self.counted(opened.await)
    }

    /// How many connections were opened since the start, and how many could not be.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let Counts { opened, failed } = &*self.counts;
        (
            opened.load(Ordering::Relaxed),
            failed.load(Ordering::Relaxed),
        )
    }

    fn counted(&self, result: Result<BoxDuplex, DialError>) -> Result<BoxDuplex, DialError> {
        let Counts { opened, failed } = &*self.counts;
        let count = if result.is_ok() { opened } else { failed };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// TLS for `host` over `stream`.
    pub(super) async fn secure(
        &self,
        host: &str,
        stream: BoxDuplex,
    ) -> Result<BoxDuplex, DialError> {
        let failed = |source| DialError::Tls {
            host: host.to_owned(),
            source,
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let handshake = self.tls.connect(name, stream);
        match timeout(self.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }

    /// A stream to `host:port`, without TLS of its own.
    ///
    /// # Errors
    /// [`DialError`]: which step failed and why.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<BoxDuplex, DialError> {
        self.counted(self.lead_to(host, port, reach).await)
    }

    async fn lead_to(&self, host: &str, port: u16, reach: Reach) -> Result<BoxDuplex, DialError> {
        let Some(proxy) = self.proxy_for(host, port, reach) else {
            let socket = self.connect_directly(host, port, reach).await?;
            return Ok(Box::new(socket));
        };
        if reach == Reach::Any || !address::is_address(host) {
            self.refuse_ours_behind_a_proxy(host, port, reach).await?;
            return upstream_proxy::connect(self, proxy, host, port).await;
        }
        let Some(address) = self.resolve(host, port).await?.into_iter().next() else {
            return Err(no_address(host));
        };
        // This machine is no proxy's business; and what may not be reached is refused where that is always done.
        if address.ip().to_canonical().is_loopback() || !self.may_reach(address.ip()) {
            let socket = self.connect_directly(host, port, reach).await?;
            return Ok(Box::new(socket));
        }
        // Whatever the spelling was, the proxy is told the address that was judged.
        upstream_proxy::connect(self, proxy, &address.ip().to_string(), port).await
    }

    /// A proxy on this machine could lead a name back to us. What a proxy elsewhere makes of a name that we cannot resolve
    /// is not known here.
    async fn refuse_ours_behind_a_proxy(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<(), DialError> {
        if reach == Reach::Any || self.own.iter().all(|own| own.port() != port) {
            return Ok(());
        }
        let resolved = self.resolve(host, port).await.unwrap_or_default();
        resolved
            .into_iter()
            .try_for_each(|address| self.refuse_ours(host, address))
    }

    fn refuse_ours(&self, host: &str, address: SocketAddr) -> Result<(), DialError> {
        let ours = self
            .own
            .iter()
            .any(|own| address::arrives_at(address, *own));
        let refused = || DialError::Ours {
            host: host.to_owned(),
            address,
        };
        if ours { Err(refused()) } else { Ok(()) }
    }

    fn proxy_for(&self, host: &str, port: u16, reach: Reach) -> Option<&UpstreamProxy> {
        let proxy = self.proxy.as_deref()?;
        let led_elsewhere = (self.instead.is_some() && reach == Reach::Any)
            || dial_target(&self.connect_to, host, port) != (host, port);
        (!led_elsewhere && !proxy.is_bypassed(host, port)).then_some(proxy)
    }

    async fn connect_directly(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<TcpStream, DialError> {
        if let (Some(address), Reach::Any) = (self.instead, reach) {
            return self.socket(host, address).await;
        }
        let (to_host, to_port) = dial_target(&self.connect_to, host, port);
        let redirected = (to_host, to_port) != (host, port);
        let resolved = self.resolve(to_host, to_port).await?;
        let may_reach = |address| reach == Reach::Any || redirected || self.may_reach(address);
        let (allowed, forbidden): (Vec<_>, Vec<_>) = resolved
            .into_iter()
            .partition(|address| may_reach(address.ip()));
        if let ([], Some(address)) = (allowed.as_slice(), forbidden.first()) {
            return Err(DialError::Forbidden {
                host: host.to_owned(),
                address: address.ip(),
            });
        }
        self.first_of(to_host, allowed).await
    }

    /// A socket to `host:port`, whatever the address: it is the operator's.
    pub(super) async fn connect_to_any(
        &self,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, DialError> {
        let resolved = self.resolve(host, port).await?;
        self.first_of(host, resolved).await
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let unresolved = |source| {
            if descriptors::is_shortage(&source) {
                return no_descriptor(host, source);
            }
            DialError::Resolve {
                host: host.to_owned(),
                source,
            }
        };
        let resolved = timeout(self.connect_timeout, tokio::net::lookup_host((host, port)))
            .await
            .map_err(|_| unresolved(io::ErrorKind::TimedOut.into()))?
            .map_err(unresolved)?;
        Ok(alternating(resolved))
    }

    /// The first of `addresses` that accepts.
    async fn first_of(
        &self,
        host: &str,
        addresses: Vec<SocketAddr>,
    ) -> Result<TcpStream, DialError> {
        let mut last = no_address(host);
        // A client gives up after a minute: of many dead addresses, not all can have their full time.
        let deadline = Instant::now() + 2 * self.connect_timeout;
        for address in addresses {
            match self.socket(host, address).await {
                Ok(socket) => return Ok(socket),
                // A name that leads here as well as elsewhere is not to be trusted with either.
                Err(error @ DialError::Ours { .. }) => return Err(error),
                Err(error) => last = error,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(last)
    }

    /// The one place where this gate opens a connection.
    async fn socket(&self, host: &str, address: SocketAddr) -> Result<TcpStream, DialError> {
        self.refuse_ours(host, address)?;
        let failed = |source| {
            if descriptors::is_shortage(&source) {
                return no_descriptor(&address.to_string(), source);
            }
            DialError::Connect { address, source }
        };
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
        match address::class(address) {
            Class::LinkLocal => false,
            Class::Private => self.private == PrivateDestinations::Allow,
            Class::Public => true,
        }
    }
}

/// A certificate whose time seems not to have come, or to be over, may only be looked at with the wrong clock.
fn clock_hint(error: &io::Error) -> &'static str {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    match error {
        Some(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        )) => "; or it is the clock of the machine that tollgate runs on that is wrong",
        _ => "",
    }
}

fn no_address(host: &str) -> DialError {
    DialError::NoAddress {
        host: host.to_owned(),
    }
}

fn no_descriptor(host: &str, source: io::Error) -> DialError {
    DialError::NoDescriptor {
        host: host.to_owned(),
        source,
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
    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::net::trust::{self, PlatformRoots};

    /// An address where nobody answers, as long as the sockets are held.
    fn black_hole() -> (SocketAddr, Vec<Socket>) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut held = vec![listener];
        // Nobody accepts, so the queue is full after one or two.
        loop {
            assert!(held.len() < 100, "the queue never fills");
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let limit = Duration::from_millis(200);
            if socket.connect_timeout(&address.into(), limit).is_err() {
                return (address, held);
            }
            held.push(socket);
        }
    }

    #[tokio::test]
    async fn many_dead_addresses_cost_hardly_more_than_one() {
        let tls = trust::upstream_client_config(&PlatformRoots::default(), &[], None).unwrap();
        let limit = Duration::from_millis(100);
        let dialer = Dialer::new(tls, &[], PrivateDestinations::Allow, None, limit, limit);
        let (address, _held) = black_hole();
        let begun = Instant::now();
        let dialled = dialer.first_of("dead.example", vec![address; 200]).await;
        assert!(matches!(dialled, Err(DialError::Connect { .. })));
        // Twice the limit and one more; all of them would take twenty seconds.
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }
}
