//! What passes through a tunnel, as far as can be seen from outside: how much, when last, and who had the last word.
//!
//! Nothing is opened; but a request-response protocol, which nearly everything in a tunnel is, leaves its mark in who spoke
//! last: a client after which nobody has spoken waits for an answer, an upstream after which nobody has spoken has given
//! one. What is concluded from that is left to `tunnel`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// The traffic of one tunnel, for those who do not hold its streams.
pub(super) struct Traffic {
    begun: Instant,
    from_client: AtomicU64,
    to_client: AtomicU64,
    /// Milliseconds after `begun`.
    last: AtomicU64,
    client_spoke_last: AtomicBool,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            from_client: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            last: AtomicU64::new(0),
            client_spoke_last: AtomicBool::new(false),
        }
    }

    /// Bytes from the client, and bytes to it.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (
            self.from_client.load(Ordering::Relaxed),
            self.to_client.load(Ordering::Relaxed),
        )
    }

    /// Resolves when the upstream spoke last, if anybody has, and nothing has passed for `quiet`.
    pub(super) async fn answered_and_silent(&self, quiet: Duration) {
        self.wait(|now| self.answered_since(now, quiet)).await;
    }

    /// Resolves when nothing has passed for `limit`.
    pub(super) async fn silent_for(&self, limit: Duration) {
        self.wait(|now| self.silent(now, limit, true)).await;
    }

    fn answered_since(&self, now: Instant, quiet: Duration) -> Result<(), Instant> {
        self.silent(now, quiet, !self.client_spoke_last.load(Ordering::Relaxed))
    }

    /// Whether it is silent and `so`; if not, when to look again.
    fn silent(&self, now: Instant, limit: Duration, so: bool) -> Result<(), Instant> {
        let due = self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed)) + limit;
        if due > now {
            Err(due)
        } else if so {
            Ok(())
        } else {
            Err(now + limit)
        }
    }

    async fn wait(&self, look: impl Fn(Instant) -> Result<(), Instant>) {
        while let Err(due) = look(Instant::now()) {
            sleep_until(due).await;
        }
    }

    fn passed(&self, by_client: bool, now: Instant) {
        self.client_spoke_last.store(by_client, Ordering::Relaxed);
        let after = now.saturating_duration_since(self.begun).as_millis();
        self.last
            .store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The client's side of a tunnel, which writes down what passes, so that it is known however the copy ends.
pub(super) struct Counted<S> {
    inner: S,
    traffic: Arc<Traffic>,
    /// It was this side that broke.
    pub(super) failed: bool,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, traffic: Arc<Traffic>) -> Self {
        Self {
            inner,
            traffic,
            failed: false,
        }
    }

    fn note<T>(&mut self, result: io::Result<T>) -> Poll<io::Result<T>> {
        self.failed |= result.is_err();
        Poll::Ready(result)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let read = buf.filled().len() - before;
        if read > 0 {
            let read = u64::try_from(read).unwrap_or(u64::MAX);
            self.traffic.from_client.fetch_add(read, Ordering::Relaxed);
            self.traffic.passed(true, Instant::now());
        }
        self.note(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.inner).poll_write(cx, buf));
        let written = u64::try_from(*result.as_ref().unwrap_or(&0)).unwrap_or(u64::MAX);
        self.traffic.to_client.fetch_add(written, Ordering::Relaxed);
        self.traffic.passed(false, Instant::now());
        self.note(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        self.note(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.inner).poll_shutdown(cx));
        self.note(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn who_waits_for_an_answer_is_let_wait_and_who_has_it_is_not() {
        let traffic = Traffic::new();
        let at = |seconds| traffic.begun + Duration::from_secs(seconds);
        let look = |seconds| traffic.answered_since(at(seconds), LIMIT);
        assert_eq!(look(9), Err(at(10)));
        assert_eq!(look(10), Ok(()));
        traffic.passed(true, at(20));
        assert_eq!(look(25), Err(at(30)));
        assert_eq!(look(30), Err(at(40)));
        assert_eq!(look(4000), Err(at(4010)));
        traffic.passed(false, at(4005));
        assert_eq!(look(4010), Err(at(4015)));
        assert_eq!(look(4015), Ok(()));
    }

    #[test]
    fn a_tunnel_that_nobody_uses_is_given_up_whoever_spoke_last() {
        let traffic = Traffic::new();
        let at = |seconds| traffic.begun + Duration::from_secs(seconds);
        let look = |seconds| traffic.silent(at(seconds), LIMIT, true);
        assert_eq!(look(9), Err(at(10)));
        traffic.passed(true, at(9));
        assert_eq!(look(18), Err(at(19)));
        assert_eq!(look(19), Ok(()));
    }
}
