//! Warm upstream connections, kept by what makes them interchangeable: scheme, host and port, and which addresses
//! might be dialled for them.
//!
//! The pool knows no protocol. Who puts a connection back says that it is clean: the last message ended where it
//! should, and nothing follows. Before use it is looked at once more: still open, and silent.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf, ReadHalf, WriteHalf};

use super::dial::{DialError, Dialer, Origin, Reach};
use super::stream::{BoxDuplex, Duplex};

/// One connection to an upstream.
pub struct UpstreamConnection {
    /// From the upstream.
    pub reader: ReadHalf<BoxDuplex>,
    /// To the upstream.
    pub writer: WriteHalf<BoxDuplex>,
    /// Read and not yet taken.
    pub buffer: BytesMut,
}

/// Idle connections, newest used first.
pub struct UpstreamPool {
    dialer: Dialer,
    idle_timeout: Duration,
    idle: Mutex<HashMap<(Origin, Reach), Vec<Idle>>>,
}

struct Idle {
    stream: BoxDuplex,
    since: Instant,
}

/// Most idle connections kept for one origin.
const MAX_IDLE_PER_ORIGIN: usize = 256;

impl UpstreamPool {
    /// An empty pool that dials with `dialer`.
    #[must_use]
    pub fn new(dialer: Dialer, idle_timeout: Duration) -> Self {
        Self {
            dialer,
            idle_timeout,
            idle: Mutex::new(HashMap::new()),
        }
    }

    /// How the pool dials.
    #[must_use]
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// A connection to `origin`: a warm one that is still open and silent, else a new one.
    ///
    /// # Errors
    /// [`DialError`] when a new one is needed and cannot be had.
    pub async fn check_out(
        &self,
        origin: &Origin,
        reach: Reach,
    ) -> Result<UpstreamConnection, DialError> {
        while let Some(mut stream) = self.take(origin, reach) {
            if is_open_and_silent(&mut stream) {
                return Ok(UpstreamConnection::new(stream));
            }
        }
        let stream = self.dialer.open(origin, reach).await?;
        Ok(UpstreamConnection::new(stream))
    }

    /// Puts a clean connection back.
    pub fn check_in(&self, origin: Origin, reach: Reach, connection: UpstreamConnection) {
        // Without its buffer: memory goes back while a connection idles.
        let stream = connection.reader.unsplit(connection.writer);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = idle.entry((origin, reach)).or_default();
        if list.len() < MAX_IDLE_PER_ORIGIN {
            list.push(Idle {
                stream,
                since: Instant::now(),
            });
        }
    }

    /// Drops connections that idled too long or that the upstream has closed.
    pub fn sweep(&self, now: Instant) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        for list in idle.values_mut() {
            list.retain_mut(|entry| {
                now.saturating_duration_since(entry.since) < self.idle_timeout
                    && is_open_and_silent(&mut entry.stream)
            });
        }
        idle.retain(|_, list| !list.is_empty());
    }

    fn take(&self, origin: &Origin, reach: Reach) -> Option<BoxDuplex> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = idle.get_mut(&(origin.clone(), reach))?;
        let entry = list.pop()?;
        if entry.since.elapsed() < self.idle_timeout {
            return Some(entry.stream);
        }
        // The list is in order of use: everything older has idled longer.
        list.clear();
        None
    }
}

impl UpstreamConnection {
    fn new(stream: BoxDuplex) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            buffer: BytesMut::new(),
        }
    }
}

/// A read that has nothing to say is the only good sign; bytes or an end mean that the upstream is done with us. The
/// socket is asked as well: what has just arrived there is not known to the runtime yet.
fn is_open_and_silent(stream: &mut BoxDuplex) -> bool {
    let mut probe = [0_u8; 1];
    let mut probe = ReadBuf::new(&mut probe);
    let mut context = Context::from_waker(Waker::noop());
    Pin::new(&mut *stream)
        .poll_read(&mut context, &mut probe)
        .is_pending()
        && stream.is_silent()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use tokio::net::TcpStream;

    use super::*;

    /// Both ends of a connection; the runtime knows that there is nothing to be read from the first.
    async fn warm() -> (BoxDuplex, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let mut stream: BoxDuplex = Box::new(stream.unwrap());
        let (peer, _) = listener.accept().unwrap();
        assert!(is_open_and_silent(&mut stream));
        (stream, peer)
    }

    // Nothing is awaited between arrival and check, so the runtime cannot have heard of either.

    #[tokio::test]
    async fn an_octet_that_has_just_arrived_is_seen() {
        let (mut stream, mut peer) = warm().await;
        peer.write_all(b"x").unwrap();
        assert!(!is_open_and_silent(&mut stream));
    }

    #[tokio::test]
    async fn an_end_that_has_just_arrived_is_seen() {
        let (mut stream, peer) = warm().await;
        drop(peer);
        assert!(!is_open_and_silent(&mut stream));
    }
}
