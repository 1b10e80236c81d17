//! The simulator's socket: accepts connections, opens TLS for the name the client asks for, and stops on demand.
//!
//! TLS only, HTTP/1.1 only, one task a connection. Dropping the simulator drops every connection with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::answers::PromptCache;
use super::certificates::{CertificateError, Certificates};
use super::connection::{Connection, Shared};
use super::reader::Reader;
use super::seen::{Seen, SeenRequest, SimulatorStats};

/// How a simulator is to run.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Pause before each event of a stream.
    pub pace: Duration,
    /// Pause of the model `simulate.slow`, before its answer and before each of its events.
    pub slow: Duration,
    /// How long a connection may be silent.
    pub idle_timeout: Duration,
    /// What signatures are dated by, and answers.
    pub clock: fn() -> SystemTime,
    /// Host names to answer for besides every Bedrock endpoint and `localhost`.
    pub aliases: Vec<String>,
}

impl SimulatorOptions {
    /// On `listen`, without pauses, by the real clock.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            pace: Duration::ZERO,
            slow: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(60),
            clock: SystemTime::now,
            aliases: Vec::new(),
        }
    }
}

/// Why a simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address cannot be listened on.
    #[error("the simulator cannot listen on {addr}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// No certificates.
    #[error("the simulator has no certificates")]
    Certificates(#[from] CertificateError),
    /// TLS could not be set up.
    #[error("the simulator's TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// A running Bedrock Runtime that verifies every signature. Stops when dropped.
pub struct Simulator {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    /// Its end is the signal to stop.
    running: oneshot::Sender<()>,
}

/// Most connections at a time; further ones wait in the listener's backlog.
const MOST_CONNECTIONS: usize = 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

impl Simulator {
    /// Binds, makes a certificate authority, and begins to serve.
    ///
    /// # Errors
    /// [`SimulatorError`] when the address is taken or TLS cannot be set up.
    pub async fn start(options: SimulatorOptions) -> Result<Self, SimulatorError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificates = Arc::new(Certificates::new(&provider, options.aliases)?);
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Certificates>::clone(&certificates));
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listen = |source| SimulatorError::Listen {
            addr: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared {
            certificates,
            seen: Seen::default(),
            prompt_cache: PromptCache::default(),
            clock: options.clock,
            pace: options.pace,
            slow: options.slow,
            idle_timeout: options.idle_timeout,
        });
        let (running, stopped) = oneshot::channel();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&shared), stopped));
        Ok(Self {
            addr,
            shared,
            accepting,
            running,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The certificate that a client must trust, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.shared.certificates.ca_pem()
    }

    /// The counters now.
    #[must_use]
    pub fn stats(&self) -> SimulatorStats {
        self.shared.seen.stats()
    }

    /// The latest requests, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<SeenRequest> {
        self.shared.seen.log()
    }

    /// Serves the connection on `stream` to its end, as if its TLS had been opened here for `server_name`: for those
    /// who open TLS themselves, to meddle with what passes.
    pub fn serve<S>(
        &self,
        stream: S,
        server_name: &str,
    ) -> impl Future<Output = ()> + Send + 'static + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        serve(stream, Arc::clone(&self.shared), server_name.to_owned())
    }

    /// Stops listening and drops every connection; returns when that is done.
    pub async fn shutdown(self) {
        drop(self.running);
        if let Err(error) = self.accepting.await {
            tracing::warn!(%error, "the simulator did not stop in an orderly way");
        }
    }
}

/// Accepts until the simulator is gone, then drops the connections.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            Some(_ended) = connections.join_next() => continue,
            _ = &mut stopped => break,
        };
        match accepted {
            (Ok(permit), Ok((stream, _peer))) => {
                connections.spawn(connect(
                    stream,
                    acceptor.clone(),
                    Arc::clone(&shared),
                    permit,
                ));
            }
            (_, Err(error)) => {
                // Out of file descriptors, as a rule: give the other connections time to end.
                tracing::warn!(%error, "the simulator cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Nobody closes the semaphore, and without it there is no bound.
            (Err(_closed), _) => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connect(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the simulator goes on with Nagle's algorithm");
    }
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "no TLS with the simulator"),
        Err(_elapsed) => return tracing::debug!("no TLS with the simulator in time"),
    };
    let (_, session) = stream.get_ref();
    let server_name = session.server_name().unwrap_or_default().to_owned();
    serve(stream, shared, server_name).await;
    drop(permit);
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    shared: Arc<Shared>,
    server_name: String,
) {
    let connection = Connection {
        number: shared.seen.connection(),
        reader: Reader::new(stream, shared.idle_timeout),
        shared,
        server_name,
    };
    if let Err(error) = connection.serve().await {
        tracing::debug!(%error, "a connection to the simulator broke");
    }
}
