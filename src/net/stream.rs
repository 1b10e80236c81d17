//! Byte streams as the proxy sees them: some layer over a socket, with what was read too far put back in front.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

/// Anything that reads and writes bytes: a socket, TLS over it, TLS in TLS.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {
    /// Makes the end of this stream a reset, for a message whose only end is the end of its connection: a plain close
    /// would make a cut one look whole.
    fn reset(&mut self);

    /// Whether the socket below all layers is open and has nothing to be read. The system is asked, not the runtime,
    /// which hears of an arrival only when it next has time.
    fn is_silent(&self) -> bool;
}

impl Duplex for TcpStream {
    fn reset(&mut self) {
        if let Err(error) = SockRef::from(&*self).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "a connection could not be reset");
        }
    }

    fn is_silent(&self) -> bool {
        let peeked = SockRef::from(self).peek(&mut [MaybeUninit::uninit()]);
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl<S: Duplex> Duplex for Prefixed<S> {
    fn reset(&mut self) {
        self.inner.reset();
    }

    fn is_silent(&self) -> bool {
        self.prefix.is_empty() && self.inner.is_silent()
    }
}

impl Duplex for BoxDuplex {
    fn reset(&mut self) {
        self.as_mut().reset();
    }

    fn is_silent(&self) -> bool {
        self.as_ref().is_silent()
    }
}

impl<S: Duplex> Duplex for server::TlsStream<S> {
    fn reset(&mut self) {
        self.get_mut().0.reset();
    }

    fn is_silent(&self) -> bool {
        self.get_ref().0.is_silent()
    }
}

impl<S: Duplex> Duplex for client::TlsStream<S> {
    fn reset(&mut self) {
        self.get_mut().0.reset();
    }

    fn is_silent(&self) -> bool {
        self.get_ref().0.is_silent()
    }
}

/// A stream whose layers no longer matter.
pub type BoxDuplex = Box<dyn Duplex>;

/// A stream with bytes in front that were read while finding out what it speaks.
#[derive(Debug)]
pub struct Prefixed<S> {
    prefix: Bytes,
    inner: S,
}

impl<S> Prefixed<S> {
    /// Puts `prefix` in front of `inner`.
    #[must_use]
    pub fn new(prefix: Bytes, inner: S) -> Self {
        Self { prefix, inner }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let take = self.prefix.len().min(buf.remaining());
        buf.put_slice(self.prefix.get(..take).unwrap_or_default());
        self.prefix.advance(take);
        if self.prefix.is_empty() {
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
