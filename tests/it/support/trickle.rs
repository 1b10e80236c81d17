//! Streams that cut what is written as networks may: one byte at a time, or with something else in the same segment.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Writes one byte, lets everybody else run, and writes the next.
pub(crate) struct Trickle<S> {
    inner: S,
    pause: Option<Pause>,
}

impl<S> Trickle<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, pause: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Trickle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Trickle<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &buf[..buf.len().min(1)]));
        self.pause = Some(Box::pin(tokio::task::yield_now()));
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Sends a CONNECT head in one segment with whatever is written first, and takes the answer's head off what is read.
pub(crate) struct EagerConnect<S> {
    inner: S,
    /// Not yet written; the head of the CONNECT to begin with.
    out: Vec<u8>,
    /// Read before the answer's head was complete.
    answer: Vec<u8>,
    answered: bool,
}

impl<S> EagerConnect<S> {
    pub(crate) fn new(inner: S, connect: &[u8]) -> Self {
        Self {
            inner,
            out: connect.to_vec(),
            answer: Vec::new(),
            answered: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for EagerConnect<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.answered {
            let mut octet = [0];
            let mut one = ReadBuf::new(&mut octet);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut one))?;
            if one.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            this.answer.extend_from_slice(one.filled());
            if this.answer.ends_with(b"\r\n\r\n") {
                assert!(
                    this.answer.starts_with(b"HTTP/1.1 200 "),
                    "{}",
                    super::shown(&this.answer)
                );
                this.answered = true;
            }
        }
        Pin::new(&mut this.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EagerConnect<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.out.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.out.is_empty() {
            let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &this.out))?;
            this.out.drain(..written);
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
