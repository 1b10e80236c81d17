//! Warm upstream connections, kept by what makes them interchangeable: scheme, host and port, and which addresses
//! might be dialled for them.
//!
//! The pool knows no protocol. Who puts a connection back says that it is clean: the last message ended where it
//! should, and nothing follows. Before use it is looked at once more: still open, and silent.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf, ReadHalf, WriteHalf};

use super::dial::{DialError, Dialer, Origin, Reach};
use super::stream::BoxDuplex;

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
    reused: AtomicU64,
}

struct Idle {
    connection: UpstreamConnection,
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
        while let Some(mut connection) = self.take(origin, reach) {
            if is_open_and_silent(&mut connection.reader) {
                self.reused.fetch_add(1, Ordering::Relaxed);
                return Ok(connection);
            }
        }
        let stream = self.dialer.open(origin, reach).await?;
        let (reader, writer) = tokio::io::split(stream);
        Ok(UpstreamConnection {
            reader,
            writer,
            buffer: BytesMut::new(),
        })
    }

    /// How often a warm connection was found since the start.
    #[must_use]
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// How many connections are kept warm now.
    #[must_use]
    pub fn idle(&self) -> usize {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.values().map(Vec::len).sum()
    }

    /// Puts a clean connection back.
    pub fn check_in(&self, origin: Origin, reach: Reach, mut connection: UpstreamConnection) {
        // Memory goes back while a connection idles.
        connection.buffer = BytesMut::new();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = idle.entry((origin, reach)).or_default();
        if list.len() < MAX_IDLE_PER_ORIGIN {
            list.push(Idle {
                connection,
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
                    && is_open_and_silent(&mut entry.connection.reader)
            });
        }
        idle.retain(|_, list| !list.is_empty());
    }

    fn take(&self, origin: &Origin, reach: Reach) -> Option<UpstreamConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = idle.get_mut(&(origin.clone(), reach))?;
        let entry = list.pop()?;
        if entry.since.elapsed() < self.idle_timeout {
            return Some(entry.connection);
        }
        // The list is in order of use: everything older has idled longer.
        list.clear();
        None
    }
}

/// A read that has nothing to say is the only good sign; bytes or an end mean that the upstream is done with us.
fn is_open_and_silent(reader: &mut ReadHalf<BoxDuplex>) -> bool {
    let mut probe = [0_u8; 1];
    let mut probe = ReadBuf::new(&mut probe);
    let mut context = Context::from_waker(Waker::noop());
    matches!(
        Pin::new(reader).poll_read(&mut context, &mut probe),
        Poll::Pending
    )
}
