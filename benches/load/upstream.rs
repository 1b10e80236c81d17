//! The upstream: a thread that answers every request on its port with the same pre-rendered answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::Failure;
use crate::identities::Identities;
use crate::intake::Intake;
use crate::machine::{self, Cores};
use crate::messages::{Answer, Script, stamp};

/// What a request is answered with.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// At once.
    Answer(Answer),
    /// Message by message.
    Stream {
        /// What is written.
        script: Script,
        /// How long it waits before each delta; without a pause the deltas follow each other.
        pause: Option<Duration>,
    },
}

/// A running upstream; it stops when dropped.
pub(crate) struct Upstream {
    /// Where it listens on loopback.
    pub port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts one. `epoch`: the stamps in streams count from here.
    pub(crate) fn start(
        identities: &Identities,
        behaviour: Behaviour,
        cores: &Cores,
        epoch: Instant,
    ) -> Result<Self, Failure> {
        let acceptor = TlsAcceptor::from(identities.server()?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(async { listen() })?;
        let port = listener.local_addr()?.port();
        let (stop, stopped) = oneshot::channel::<()>();
        let cores = cores.clone();
        let thread = std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || {
                machine::pin(&cores);
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(&listener, &acceptor, Arc::new(behaviour), epoch) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            port,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A listener whose queue holds what a thousand clients ask for at once.
fn listen() -> io::Result<TcpListener> {
    listen_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// The same on a given address.
pub(crate) fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
    behaviour: Arc<Behaviour>,
    epoch: Instant,
) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            // Descriptors may be short for a moment.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let acceptor = acceptor.clone();
        let behaviour = Arc::clone(&behaviour);
        // How a connection ends is seen by the load generator, which counts.
        tokio::spawn(async move { drop(serve(socket, &acceptor, &behaviour, epoch).await) });
    }
}

async fn serve(
    socket: TcpStream,
    acceptor: &TlsAcceptor,
    behaviour: &Behaviour,
    epoch: Instant,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = acceptor.accept(socket).await?;
    let mut intake = Intake::new(INTAKE);
    while intake.message(&mut stream).await?.is_some() {
        match behaviour {
            Behaviour::Answer(answer) => {
                stream.write_all(&answer.bytes).await?;
                stream.flush().await?;
            }
            Behaviour::Stream { script, pause } => {
                play(&mut stream, script, *pause, epoch).await?;
            }
        }
    }
    stream.shutdown().await
}

async fn play<S>(
    stream: &mut S,
    script: &Script,
    pause: Option<Duration>,
    epoch: Instant,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&script.head).await?;
    stream.write_all(&script.first).await?;
    stream.flush().await?;
    let mut delta = script.delta.clone();
    let mut due = tokio::time::Instant::now();
    for _ in 0..script.deltas {
        if let Some(pause) = pause {
            due += pause;
            tokio::time::sleep_until(due).await;
        }
        let now = u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        stamp(&mut delta, now);
        stream.write_all(&delta).await?;
        stream.flush().await?;
    }
    stream.write_all(&script.last).await?;
    stream.flush().await
}

/// Room for a head and for a piece of a large body.
const INTAKE: usize = 64 * 1024;
