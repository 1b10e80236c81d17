//! The floor: a byte pump with TLS on both sides, as lean as tokio and rustls allow.
//!
//! It takes TLS on its port, or CONNECT and TLS inside, shows one leaf, and copies bytes to and from an upstream
//! connection that is open already. It reads no message, so it must believe its client that a connection is clean when the
//! client closes; only a benchmark may do that.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::{LOG, Running, Stand, command, listening};
use crate::Failure;
use crate::identities;
use crate::messages::HOST;
use crate::process::{Process, free_port};
use crate::upstream::listen_on;

/// The pump's own command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PumpArgs {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// The upstream's address.
    #[arg(long)]
    upstream: SocketAddr,
    /// What to trust there.
    #[arg(long)]
    ca: PathBuf,
    /// The leaf to show.
    #[arg(long)]
    leaf: PathBuf,
    /// Its key.
    #[arg(long)]
    key: PathBuf,
}

pub(crate) fn start(stand: &Stand<'_>) -> Result<Running, Failure> {
    let port = free_port()?;
    let mut command = command(stand, &std::env::current_exe()?);
    command
        .arg("pump")
        .arg("--listen")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--upstream")
        .arg(SocketAddr::from((Ipv4Addr::LOCALHOST, stand.upstream)).to_string())
        .arg("--ca")
        .arg(&stand.identities.ca)
        .arg("--leaf")
        .arg(&stand.identities.leaf)
        .arg("--key")
        .arg(&stand.identities.key);
    let process = Process::start(&mut command, stand.cores, &stand.directory.join(LOG))?;
    Ok(listening(process, port, &stand.identities.ca))
}

/// Runs the pump until it is killed.
pub(crate) fn run(args: &PumpArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(args))
}

struct Pump {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    upstream: SocketAddr,
    name: ServerName<'static>,
    warm: Mutex<Vec<Upstream>>,
}

type Upstream = client::TlsStream<TcpStream>;

async fn serve(args: &PumpArgs) -> Result<(), Failure> {
    let listener = listen_on(args.listen)?;
    let pump = Arc::new(Pump {
        acceptor: TlsAcceptor::from(identities::server(&args.leaf, &args.key)?),
        connector: TlsConnector::from(identities::client(&args.ca)?),
        upstream: args.upstream,
        name: ServerName::try_from(HOST)?,
        warm: Mutex::default(),
    });
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let pump = Arc::clone(&pump);
        // How it ends is seen by the client.
        tokio::spawn(async move { drop(pump.connection(socket).await) });
    }
}

impl Pump {
    async fn connection(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut first = [0];
        socket.peek(&mut first).await?;
        if first != [TLS_HANDSHAKE] {
            answer_connect(&mut socket).await?;
        }
        let mut client = self.acceptor.accept(socket).await?;
        // An idle tunnel needs no upstream.
        let mut buffer = vec![0; BUFFER];
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let mut upstream = self.check_out().await?;
        upstream
            .write_all(buffer.get(..read).unwrap_or_default())
            .await?;
        upstream.flush().await?;
        drop(buffer);
        copy(&mut client, &mut upstream).await?;
        self.warm().push(upstream);
        client.shutdown().await
    }

    async fn check_out(&self) -> io::Result<Upstream> {
        let warm = self.warm().pop();
        if let Some(warm) = warm {
            return Ok(warm);
        }
        let socket = TcpStream::connect(self.upstream).await?;
        socket.set_nodelay(true)?;
        self.connector.connect(self.name.clone(), socket).await
    }

    fn warm(&self) -> std::sync::MutexGuard<'_, Vec<Upstream>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer_connect(socket: &mut TcpStream) -> io::Result<()> {
    let mut head = [0; 1024];
    let mut filled = 0;
    // The client waits for the answer, so the head ends where the bytes end.
    while !head
        .get(..filled)
        .is_some_and(|head| head.ends_with(b"\r\n\r\n"))
    {
        match socket
            .read(head.get_mut(filled..).unwrap_or_default())
            .await?
        {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await
}

/// Copies both ways until the client ends its side.
async fn copy(
    client: &mut server::TlsStream<TcpStream>,
    upstream: &mut Upstream,
) -> io::Result<()> {
    let mut up = Lane::default();
    let mut down = Lane::default();
    std::future::poll_fn(|context| {
        let ended = up.poll(context, client, upstream)?;
        if down.poll(context, upstream, client)?.is_ready() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        ended.map(Ok)
    })
    .await
}

/// One direction.
struct Lane {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    unflushed: bool,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER].into(),
            from: 0,
            to: 0,
            unflushed: false,
        }
    }
}

impl Lane {
    /// Moves what can be moved; ready at the reader's end.
    fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> io::Result<Poll<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        match self.advance(context, reader, writer) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    fn advance<R, W>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while let Some(waiting) = self
                .buffer
                .get(self.from..self.to)
                .filter(|waiting| !waiting.is_empty())
            {
                self.from += ready!(Pin::new(&mut *writer).poll_write(context, waiting))?;
                self.unflushed = true;
            }
            let mut room = ReadBuf::new(&mut self.buffer);
            let read = Pin::new(&mut *reader).poll_read(context, &mut room)?;
            self.from = 0;
            self.to = room.filled().len();
            match read {
                Poll::Ready(()) if self.to == 0 => return Poll::Ready(Ok(())),
                Poll::Ready(()) => {}
                Poll::Pending => {
                    self.to = 0;
                    if self.unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(context))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// One TLS record.
const BUFFER: usize = 16 * 1024;
/// Content type of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
