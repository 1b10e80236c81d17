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
pub use super::dial_error::DialError;
use super::dial_error::{no_address, no_descriptor};
use super::stream::BoxDuplex;
use super::upstream_proxy;
use crate::config::settings::{ConnectTo, dial_target};
use crate::config::{PrivateDestinations, UpstreamProxy, Vouched};
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

/// Which addresses may be dialled. Never link-local ones, nor where this gate listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reach {
    /// It is for an exchange that is observed, which the demo leads to its simulator.
    pub observed: bool,
    /// Who has chosen the host.
    pub vouched: Vouched,
}

impl Reach {
    /// For an exchange that is observed.
    #[must_use]
    pub const fn observed(vouched: Vouched) -> Self {
        Self {
            observed: true,
            vouched,
        }
    }

    /// For bytes that pass by.
    #[must_use]
    pub const fn unobserved(vouched: Vouched) -> Self {
        Self {
            observed: false,
            vouched,
        }
    }
}

/// How often it was dialled since the start. Clones of a dialer count together.
#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    failed: AtomicU64,
}

/// Whether a rule denies an address.
type Denied = dyn Fn(IpAddr) -> bool + Send + Sync;

/// Opens connections.
#[derive(Clone)]
pub struct Dialer {
    tls: TlsConnector,
    connect_to: Arc<[ConnectTo]>,
    private: PrivateDestinations,
    instead: Option<SocketAddr>,
    proxy: Option<Arc<UpstreamProxy>>,
    own: Arc<[SocketAddr]>,
    denied: Arc<Denied>,
    counts: Arc<Counts>,
    pub(super) connect_timeout: Duration,
    handshake_timeout: Duration,
}

impl Dialer {
    /// A dialer that verifies with `tls`. `instead`: where whatever is observed is dialled.
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
            denied: Arc::new(|_| false),
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

    /// The same, but never to an address that `denied` says yes to.
    #[must_use]
    pub fn without(self, denied: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        let denied = Arc::new(denied);
        Self { denied, ..self }
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
        if !address::is_address(host) {
            self.refuse_ours_behind_a_proxy(host, port).await?;
            return upstream_proxy::connect(self, proxy, host, port).await;
        }
        let Some(address) = self.resolve(host, port).await?.into_iter().next() else {
            return Err(no_address(host));
        };
        // This machine is no proxy's business; and what may not be reached is refused where that is always done.
        let judged = self.judge(host, address.ip(), reach, false);
        if judged.is_err() || address::class(address.ip()) == Class::Loopback {
            let socket = self.connect_directly(host, port, reach).await?;
            return Ok(Box::new(socket));
        }
        // Whatever the spelling was, the proxy is told the address that was judged.
        upstream_proxy::connect(self, proxy, &address.ip().to_string(), port).await
    }

    /// A proxy on this machine could lead a name back to us. What a proxy elsewhere makes of a name that we cannot resolve
    /// is not known here.
    async fn refuse_ours_behind_a_proxy(&self, host: &str, port: u16) -> Result<(), DialError> {
        if self.own.iter().all(|own| own.port() != port) {
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
        let led_elsewhere = (self.instead.is_some() && reach.observed)
            || dial_target(&self.connect_to, host, port) != (host, port);
        (!led_elsewhere && !proxy.is_bypassed(host, port)).then_some(proxy)
    }

    async fn connect_directly(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<TcpStream, DialError> {
        if let (Some(address), true) = (self.instead, reach.observed) {
            return self.socket(host, address).await;
        }
        let (to_host, to_port) = dial_target(&self.connect_to, host, port);
        let redirected = (to_host, to_port) != (host, port);
        let resolved = self.resolve(to_host, to_port).await?;
        let mut allowed = Vec::with_capacity(resolved.len());
        let mut refused = None;
        for address in resolved {
            // What is ours is told as what it is, and a name that leads here as well is not to be trusted.
            self.refuse_ours(host, address)?;
            match self.judge(host, address.ip(), reach, redirected) {
                Ok(()) => allowed.push(address),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) if allowed.is_empty() => Err(error),
            _ => self.first_of(to_host, allowed).await,
        }
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

    /// Whether `address`, which `host` leads to, may be dialled. `redirected`: it is the operator who said so.
    fn judge(
        &self,
        host: &str,
        address: IpAddr,
        reach: Reach,
        redirected: bool,
    ) -> Result<(), DialError> {
        let may_reach = match address::class(address) {
            Class::LinkLocal => false,
            Class::Loopback => redirected || reach.vouched == Vouched::Itself,
            Class::Private => {
                redirected
                    || reach.vouched != Vouched::No
                    || self.private == PrivateDestinations::Allow
            }
            Class::Public => true,
        };
        let host = || host.to_owned();
        if !may_reach {
            Err(DialError::Forbidden {
                host: host(),
                address,
            })
        } else if (self.denied)(address) {
            Err(DialError::Denied {
                host: host(),
                address,
            })
        } else {
            Ok(())
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
#[path = "dial_tests.rs"]
mod tests;
