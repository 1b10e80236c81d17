//! One layer of a client's connection: the stream as it stands after the TLS and the CONNECTs opened so far.
//!
//! Tells what is spoken in it and opens TLS in it. What the requests in it lead to is left to `connection`, which layer may
//! carry which requests to `route`.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use rustls::server::Acceptor;
use rustls::{AlertDescription, ServerConfig};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::access::ProxyUser;
use super::route::Scope;
use super::{Services, explain};
use crate::net::client_certificate;
use crate::net::dial::Origin;
use crate::net::stream::{BoxDuplex, Prefixed};
use crate::wire::http1::Scheme;
use crate::wire::sniff::{Opening, sniff};

/// The stream as it stands after the layers opened so far.
pub(super) struct Layer {
    pub(super) stream: BoxDuplex,
    /// Read from `stream` and not yet taken.
    pub(super) buffer: BytesMut,
    pub(super) scope: Scope,
    /// TLS has been opened in this scope.
    pub(super) secured: bool,
    /// Who asked for the tunnel that this is in, or whose certificate the port's TLS has verified.
    pub(super) user: ProxyUser,
}

impl Layer {
    /// What was accepted on the client port.
    pub(super) fn of_port(stream: BoxDuplex) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            scope: Scope::Port { server_name: None },
            secured: false,
            user: ProxyUser::default(),
        }
    }

    /// What is spoken here, by its first bytes; `None` when nothing comes, or the gate drains.
    pub(super) async fn sniff(&mut self, services: &Services) -> Option<Opening> {
        let timeouts = &services.settings.timeouts;
        // A client that has finished a handshake may keep its connection warm for later.
        let deadline = if self.secured {
            timeouts.idle
        } else {
            timeouts.head
        };
        let wait = async {
            loop {
                if let Some(opening) = sniff(&self.buffer) {
                    return Some(opening);
                }
                self.buffer.reserve(HEAD_ROOM);
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(1..) => {}
                    // What is there can still be refused by the head parser.
                    Ok(0) if !self.buffer.is_empty() => return Some(Opening::Http1),
                    _ => return None,
                }
            }
        };
        tokio::select! {
            opening = timeout(deadline, wait) => opening.ok().flatten(),
            () = services.draining() => None,
        }
    }

    /// The stream inside the TLS that is opened here; `None` when the handshake fails, which the log explains.
    pub(super) async fn open_tls(self, services: &Services, client: SocketAddr) -> Option<Self> {
        let scope = self.scope.clone();
        match self.handshake(services).await {
            Ok(layer) => Some(layer),
            Err(NoTls::Failed { error, greeted }) => {
                let home = &services.settings.home;
                explain_handshake(client, &scope, &error, greeted, home);
                services.metrics.tls_failed();
                None
            }
            Err(NoTls::TooSlow) => {
                tracing::info!(client = %client, "the client did not finish its TLS handshake in time");
                services.metrics.tls_failed();
                None
            }
            Err(NoTls::Stopping) => None,
        }
    }

    /// The stream inside the TLS that is opened here. The certificate is chosen, and minted if need be, when the client's
    /// whole hello is there.
    pub(super) async fn handshake(self, services: &Services) -> Result<Self, NoTls> {
        let Self {
            stream,
            buffer,
            scope,
            mut user,
            ..
        } = self;
        let mut greeted = false;
        let accept = async {
            let stream = Prefixed::new(buffer.freeze(), stream);
            let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            greeted = true;
            let config = config(services, &scope, hello.client_hello().server_name()).await;
            hello.into_stream(config).await
        };
        let accepted = tokio::select! {
            accepted = timeout(services.settings.timeouts.handshake, accept) => accepted,
            // Whoever is not in yet is not let in any more.
            () = services.draining() => return Err(NoTls::Stopping),
        };
        let stream = match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(NoTls::Failed { error, greeted }),
            Err(_) => return Err(NoTls::TooSlow),
        };
        let scope = match scope {
            Scope::Port { .. } => {
                let shown = stream.get_ref().1.peer_certificates();
                if let Some(certificate) = shown.and_then(<[_]>::first) {
                    user = of_certificate(certificate);
                }
                let name = stream.get_ref().1.server_name();
                let intercepted = name.filter(|name| services.policy().hosts.is_intercepted(name));
                Scope::Port {
                    server_name: intercepted.map(str::to_owned),
                }
            }
            Scope::Tunnel(origin) => Scope::Tunnel(Origin {
                scheme: Scheme::Https,
                ..origin
            }),
        };
        Ok(Self {
            stream: Box::new(stream),
            buffer: BytesMut::new(),
            scope,
            secured: true,
            user,
        })
    }
}

fn of_certificate(certificate: &[u8]) -> ProxyUser {
    match client_certificate::user_of(certificate) {
        Some(name) => ProxyUser::certified(name),
        None => {
            tracing::warn!(
                "a client's certificate is good but names nobody: it has no common name that can be a user's"
            );
            ProxyUser::default()
        }
    }
}

/// Why there is no TLS.
pub(super) enum NoTls {
    /// One side would not go on. `greeted`: the client has said hello.
    Failed { error: io::Error, greeted: bool },
    /// It took too long.
    TooSlow,
    /// The gate stops.
    Stopping,
}

/// What is shown to a client that asks for `server_name`.
async fn config(
    services: &Services,
    scope: &Scope,
    server_name: Option<&str>,
) -> Arc<ServerConfig> {
    let now = SystemTime::now();
    let config = match scope {
        Scope::Port { .. } => services.tls.port(server_name, now).await,
        Scope::Tunnel(origin) => services.tls.tunnel(&origin.host, now).await,
    };
    config.unwrap_or_else(|error| {
        let host = match scope {
            Scope::Port { .. } => server_name,
            Scope::Tunnel(origin) => Some(origin.host.as_str()),
        };
        tracing::error!(host, %error, "no certificate can be shown");
        // The client is told by an alert.
        services.tls.nothing()
    })
}

/// A handshake that fails is the first thing a newcomer meets: say what to set. `greeted`: the client has said
/// hello, so it has seen our certificate.
fn explain_handshake(
    client: SocketAddr,
    scope: &Scope,
    error: &io::Error,
    greeted: bool,
    home: &Path,
) {
    let (host, port) = match scope {
        Scope::Tunnel(origin) => (origin.host.as_str(), false),
        Scope::Port { .. } => ("the client port", true),
    };
    let distrusts = |alert| {
        let why = explain::distrust(alert, port, home);
        tracing::warn!(%client, host, "{why}");
    };
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::NoApplicationProtocol) => {
            tracing::warn!(%client, host, "{HTTP2_ONLY}");
        }
        Some(rustls::Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown),
        )) => distrusts(Some(*alert)),
        None if greeted && is_gone(error) => distrusts(None),
        _ => tracing::info!(%client, host, %error, "a TLS handshake with a client failed"),
    }
}

/// Whether the peer is no longer there.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// What to do about a client that speaks only HTTP/2.
pub(super) const HTTP2_ONLY: &str = "the client speaks HTTP/2 only, and tollgate HTTP/1.1. In the AWS SDK for JavaScript pass \
requestHandler: new NodeHttpHandler({ httpsAgent: new HttpsProxyAgent(PROXY_URL) }) from @smithy/node-http-handler and \
https-proxy-agent: its default handler for Bedrock uses HTTP/2 and ignores proxies";

/// Room for the usual head in one read.
pub(super) const HEAD_ROOM: usize = 4096;
