//! Warm upstream connections, kept by what makes them interchangeable: scheme, host and port, and which addresses
//! might be dialled for them.
//!
//! The pool knows no protocol. Who puts a connection back says that it is clean: the last message ended where it
//! should, and nothing follows. Before use it is looked at once more: still open, and silent.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    max_idle: usize,
    idle: Mutex<IdleConnections>,
    reused: AtomicU64,
}

#[derive(Default)]
struct IdleConnections {
    /// Those of one origin in the order they were last used.
    by_origin: HashMap<(Origin, Reach), Vec<Idle>>,
    count: usize,
}

struct Idle {
    stream: BoxDuplex,
    since: Instant,
}

impl UpstreamPool {
    /// An empty pool that dials with `dialer` and keeps at most `max_idle` connections for all origins together.
    #[must_use]
    pub fn new(dialer: Dialer, idle_timeout: Duration, max_idle: usize) -> Self {
        Self {
            dialer,
            idle_timeout,
            max_idle,
            idle: Mutex::default(),
            reused: AtomicU64::new(0),
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
                self.reused.fetch_add(1, Ordering::Relaxed);
                return Ok(UpstreamConnection::new(stream));
            }
        }
        let stream = match self.dialer.open(origin, reach).await {
            // Nothing has been sent: what is kept for later gives way to what is needed now.
            Err(error) if error.is_shortage() && self.give_up_idle() => {
                self.dialer.open(origin, reach).await?
            }
            opened => opened?,
        };
        Ok(UpstreamConnection::new(stream))
    }

    /// How often a warm connection was found since the start.
    #[must_use]
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// A stream to `host:port` that never comes back, without TLS of its own.
    ///
    /// # Errors
    /// [`DialError`] when it cannot be had.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<BoxDuplex, DialError> {
        match self.dialer.connect(host, port, reach).await {
            Err(error) if error.is_shortage() && self.give_up_idle() => {
                self.dialer.connect(host, port, reach).await
            }
            connected => connected,
        }
    }

    /// Puts a clean connection back.
    pub fn check_in(&self, origin: Origin, reach: Reach, connection: UpstreamConnection) {
        // Without its buffer: memory goes back while a connection idles.
        let stream = connection.reader.unsplit(connection.writer);
        let since = Instant::now();
        let mut idle = self.lock();
        if idle.count >= self.max_idle {
            idle.forget_one();
        }
        idle.count += 1;
        let list = idle.by_origin.entry((origin, reach)).or_default();
        list.push(Idle { stream, since });
    }

    /// How many connections idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.lock().count
    }

    /// Closes all that idle, for their descriptors are needed. Whether there were any.
    pub fn give_up_idle(&self) -> bool {
        std::mem::take(&mut *self.lock()).count > 0
    }

    /// Drops connections that idled too long or that the upstream has closed.
    pub fn sweep(&self, now: Instant) {
        let mut idle = self.lock();
        for list in idle.by_origin.values_mut() {
            list.retain_mut(|entry| {
                now.saturating_duration_since(entry.since) < self.idle_timeout
                    && is_open_and_silent(&mut entry.stream)
            });
        }
        idle.by_origin.retain(|_, list| !list.is_empty());
        idle.count = idle.by_origin.values().map(Vec::len).sum();
    }

    fn take(&self, origin: &Origin, reach: Reach) -> Option<BoxDuplex> {
        let mut idle = self.lock();
        let list = idle.by_origin.get_mut(&(origin.clone(), reach))?;
        let entry = list.pop()?;
        let is_fresh = entry.since.elapsed() < self.idle_timeout;
        // The list is in order of use: everything older has idled longer.
        let older = if is_fresh {
            0
        } else {
            std::mem::take(list).len()
        };
        idle.count = idle.count.saturating_sub(1 + older);
        is_fresh.then_some(entry.stream)
    }

    fn lock(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdleConnections {
    /// Closes the one that idles longest.
    fn forget_one(&mut self) {
        let oldest = self
            .by_origin
            .iter()
            .filter_map(|(key, list)| Some((list.first()?.since, key)))
            .min_by_key(|(since, _)| *since)
            .map(|(_, key)| key.clone());
        if let Some(list) = oldest.and_then(|key| self.by_origin.get_mut(&key)) {
            list.remove(0);
            self.count = self.count.saturating_sub(1);
        }
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
    use std::io::{self, Write as _};
    use std::net::TcpListener;
    use std::task::Poll;

    use tokio::io::AsyncWrite;
    use tokio::net::TcpStream;

    use super::*;
    use crate::config::{PrivateDestinations, Vouched};
    use crate::net::stream::Prefixed;
    use crate::net::trust::{self, PlatformRoots};
    use crate::wire::http1::Scheme;

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

    /// A layer that has read what the socket below knows nothing of any more, as TLS does.
    struct Ahead;

    impl AsyncRead for Ahead {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buf.put_slice(b"x");
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Ahead {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Duplex for Ahead {
        fn reset(&mut self) {}

        fn is_silent(&self) -> bool {
            true
        }
    }

    #[test]
    fn an_octet_that_a_layer_above_the_socket_holds_is_seen() {
        let mut stream: BoxDuplex = Box::new(Ahead);
        assert!(!is_open_and_silent(&mut stream));
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const OBSERVED: Reach = Reach::observed(Vouched::Itself);
    const UNOBSERVED: Reach = Reach::unobserved(Vouched::Itself);

    /// A pool with one connection that idles, where that leads, and the other end of it.
    async fn idling(idle_timeout: Duration) -> (UpstreamPool, Origin, TcpListener) {
        let tls = trust::upstream_client_config(&PlatformRoots::default(), &[], None).unwrap();
        let dialer = Dialer::new(tls, &[], PrivateDestinations::Allow, None, HOUR, HOUR);
        let pool = UpstreamPool::new(dialer, idle_timeout, 8);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Origin {
            scheme: Scheme::Http,
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let connection = pool.check_out(&origin, OBSERVED).await.unwrap();
        pool.check_in(origin.clone(), OBSERVED, connection);
        (pool, origin, listener)
    }

    #[tokio::test]
    async fn what_has_idled_too_long_is_not_used() {
        for (idle_timeout, reused) in [(Duration::ZERO, 0), (HOUR, 1)] {
            let (pool, origin, _listener) = idling(idle_timeout).await;
            pool.check_out(&origin, OBSERVED).await.unwrap();
            assert_eq!(pool.reused(), reused, "{idle_timeout:?}");
        }
    }

    #[tokio::test]
    async fn what_has_idled_too_long_and_what_was_closed_is_not_kept() {
        let (pool, _, listener) = idling(HOUR).await;
        let (peer, _) = listener.accept().unwrap();
        let now = Instant::now();
        pool.sweep(now);
        assert_eq!(pool.idle(), 1);
        pool.sweep(now + HOUR);
        assert_eq!(pool.idle(), 0);
        drop(peer);
        let (pool, _, listener) = idling(HOUR).await;
        drop(listener.accept().unwrap());
        pool.sweep(now);
        assert_eq!(pool.idle(), 0);
    }

    #[tokio::test]
    async fn what_was_dialled_for_one_reach_is_not_used_for_the_other() {
        let (pool, origin, _listener) = idling(HOUR).await;
        pool.check_out(&origin, UNOBSERVED).await.ok();
        assert_eq!((pool.reused(), pool.idle()), (0, 1));
        let connection = pool.check_out(&origin, OBSERVED).await.unwrap();
        pool.check_in(origin.clone(), UNOBSERVED, connection);
        pool.check_out(&origin, OBSERVED).await.unwrap();
        assert_eq!((pool.reused(), pool.idle()), (1, 1));
    }

    #[tokio::test]
    async fn an_octet_that_was_put_back_in_front_is_no_silence() {
        let (stream, _peer) = warm().await;
        let stream = Prefixed::new(bytes::Bytes::from_static(b"x"), stream);
        assert!(!stream.is_silent());
    }
}
