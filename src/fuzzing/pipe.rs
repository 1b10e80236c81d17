//! Connections without sockets, and a runtime on the thread of the fuzzer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::runtime::{Builder, Runtime};

use crate::net::stream::{BoxDuplex, Duplex};

/// The end that is given to the gate.
struct Near {
    inner: DuplexStream,
    reset: Arc<AtomicBool>,
}

/// A connection: the gate's end, ours, and whether the gate asked for a reset. Each direction holds so many bytes.
pub(super) fn pipe(capacity: usize) -> (BoxDuplex, DuplexStream, Arc<AtomicBool>) {
    let (inner, far) = duplex(capacity);
    let reset = Arc::new(AtomicBool::new(false));
    let near = Near {
        inner,
        reset: Arc::clone(&reset),
    };
    (Box::new(near), far, reset)
}

impl Duplex for Near {
    fn reset(&mut self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    fn is_silent(&self) -> bool {
        // Nothing lies below: what a read does not find is not there.
        true
    }
}

impl AsyncRead for Near {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Near {
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
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
}

/// Runs `future` to its end. Its turns are not counted: what stands still stands still for want of bytes.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(tokio::task::unconstrained(future)))
}
