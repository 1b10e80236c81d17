//! Blind tunnels: bytes both ways, never opened, counted only as bytes. RFC 9110 §9.3.6.
//!
//! The upstream is dialled before the 200, so that a failure is an answer. Either side may stop sending while the other
//! goes on.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, copy_bidirectional};

use super::Services;
use super::meter::Arrival;
use super::reply::{Kind, Reply};
use super::settle::Settled;
use crate::ledger::{Entry, Identity, Outcome, UsageRecord};
use crate::net::dial::{DialError, Reach};
use crate::net::stream::{BoxDuplex, Prefixed};

/// The answer to a CONNECT that stands.
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Connects `client` with `host:port` until both sides have said everything.
pub async fn run(
    services: &Services,
    arrival: Arrival,
    who: Identity,
    mut client: BoxDuplex,
    early: Bytes,
    (host, port): (&str, u16),
) {
    let mut record = arrival.record(Entry::Tunnel);
    record.identity = who;
    record.host = Some(host.to_owned());
    let dialled = tokio::select! {
        biased;
        dialled = services.pool.connect(host, port, Reach::Checked) => dialled.map_err(|error| refusal(&error)),
        () = services.cut() => Err(Reply::new(Kind::Stopping, "tollgate is stopping")),
    };
    let mut upstream = match dialled {
        Ok(upstream) => upstream,
        Err(reply) => {
            record.error_type = Some(reply.error_type().to_owned());
            record.status = Some(reply.status());
            tracing::warn!(client = %arrival.client, host, code = reply.code(), "{}", reply.message);
            finish(services, arrival, record, reply.outcome()).await;
            super::closing::answer_and_linger(client, &reply.plain("CONNECT", true)).await;
            return;
        }
    };
    record.status = Some(200);
    if client.write_all(ESTABLISHED).await.is_err() || client.flush().await.is_err() {
        finish(services, arrival, record, Outcome::ClientAborted).await;
        return;
    }
    let traffic = Traffic::default();
    let mut client = Counted::new(Prefixed::new(early, client), &traffic);
    let ended = tokio::select! {
        ended = copy_bidirectional(&mut client, &mut upstream) => ended.map(|_| ()),
        () = traffic.silent(services.settings.timeouts.tunnel) => Err(io::ErrorKind::TimedOut.into()),
        () = services.cut() => Err(io::ErrorKind::Interrupted.into()),
    };
    (record.request_bytes, record.response_bytes) = traffic.passed();
    let outcome = match ended {
        Ok(()) => Outcome::Complete,
        Err(_) if client.failed => Outcome::ClientAborted,
        Err(_) => Outcome::UpstreamAborted,
    };
    finish(services, arrival, record, outcome).await;
}

async fn finish(services: &Services, arrival: Arrival, mut record: UsageRecord, outcome: Outcome) {
    record.outcome = outcome;
    record.duration_ms = arrival.elapsed_ms();
    services.record(Some(Settled::only(record, None))).await;
}

fn refusal(error: &DialError) -> Reply {
    let kind = match error {
        DialError::Forbidden { .. } | DialError::Ours { .. } => Kind::Denied,
        error if error.is_shortage() => Kind::NoDescriptor,
        _ => Kind::UpstreamUnreachable,
    };
    Reply::new(kind, error.to_string())
}

use counted::{Counted, Traffic};

/// A stream that counts, so that the numbers are known however the copy ends, and that knows which side failed.
mod counted {
    use std::io;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    /// What has passed.
    #[derive(Default)]
    pub(super) struct Traffic {
        read: AtomicU64,
        written: AtomicU64,
    }

    impl Traffic {
        /// From the client, and to it.
        pub(super) fn passed(&self) -> (u64, u64) {
            let (read, written) = (&self.read, &self.written);
            (
                read.load(Ordering::Relaxed),
                written.load(Ordering::Relaxed),
            )
        }

        /// Resolves when nothing has passed for `limit`, or up to a quarter longer.
        pub(super) async fn silent(&self, limit: Duration) {
            let mut before = self.passed();
            let mut quiet = 0;
            while quiet < 4 {
                tokio::time::sleep(limit / 4).await;
                let now = self.passed();
                quiet = if now == before { quiet + 1 } else { 0 };
                before = now;
            }
        }
    }

    pub(super) struct Counted<'a, S> {
        inner: S,
        traffic: &'a Traffic,
        pub(super) failed: bool,
    }

    impl<'a, S> Counted<'a, S> {
        pub(super) fn new(inner: S, traffic: &'a Traffic) -> Self {
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

    impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let before = buf.filled().len();
            let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
            let read = (buf.filled().len() - before) as u64;
            self.traffic.read.fetch_add(read, Ordering::Relaxed);
            self.note(result)
        }
    }

    impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let result = ready!(Pin::new(&mut self.inner).poll_write(cx, buf));
            let written = *result.as_ref().unwrap_or(&0) as u64;
            self.traffic.written.fetch_add(written, Ordering::Relaxed);
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
}
